#include "gapi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "jsonw.h"
#include "log.h"
#include "num.h"
#include "utf8.h"
#include "xalloc.h"

#define HEADERS_MAX 12
#define WARN_EVERY SECONDS(10)
/* A start check is a small question: who takes it and does not answer it soon is not well. */
#define SYNC_TIMEOUT SECONDS(15)

struct gapi_call {
	struct gapi *g;
	char *method, *url, *object, *content_type;
	const char *what;
	char *headers[HEADERS_MAX];
	int nheaders;
	struct buf body;
	int64_t timeout;
	bool once, gzip;
	int accept;
	gapi_done *done;
	http_data *on_data;
	void *arg;
	struct http_request *request; /* NULL between tries */
	struct retry retry;
	int64_t when;    /* of the next try */
	bool refreshed;  /* the token was read again for this call */
	bool again;      /* the callback asked for another try */
	struct gapi_call *next, **link; /* in g->waiting */
};

/* A whole host, not a beginning: "127.0.0.1.example.com" is anywhere. */
static bool
is_loopback(const char *base)
{
	static const char scheme[] = "http://";
	if (strncmp(base, scheme, sizeof(scheme) - 1) != 0)
		return false;
	const char *host = base + sizeof(scheme) - 1;
	size_t n = *host == '[' ? strcspn(host, "]/") + 1 : strcspn(host, ":/");
	struct str s = {host, n};
	return str_is(s, "localhost") || str_is(s, "[::1]") || (str_starts(s, STR("127.")) && strspn(host, "0123456789.") == n);
}

int
gapi_init(struct gapi *g, struct http *http, const char *service_env, const char *real, const char *token_file,
    int64_t patience, struct err *e)
{
	*g = (struct gapi){.http = http, .patience = patience};
	rng_seed_os(&g->rng);
	if (endpoint_init(&g->endpoint, service_env, real, e) < 0)
		return -1;
	/* Emulators get no credentials, but for one that runs on this very machine and a token given for it. */
	bool wants = !g->endpoint.emulator || is_loopback(g->endpoint.base);
	if (token_load(&g->token, wants ? token_file : NULL, e) < 0)
		return -1;
	if (!g->endpoint.emulator && token_file == NULL)
		return err_set(e, ERR_AUTH,
		    "cannot call '%s': no credentials; give --access-token-file FILE, or set %s for an emulator", real,
		    service_env);
	log_info("using %s%s", g->endpoint.base, g->endpoint.emulator ? " (emulator)" : "");
	return 0;
}

void
gapi_release(struct gapi *g)
{
	while (g->waiting != NULL)
		gapi_cancel(g->waiting);
	token_release(&g->token);
}

static void
wait_list_add(struct gapi_call *c)
{
	struct gapi *g = c->g;
	c->next = g->waiting;
	c->link = &g->waiting;
	if (c->next != NULL)
		c->next->link = &c->next;
	g->waiting = c;
}

static void
wait_list_del(struct gapi_call *c)
{
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
}

static void
free_call(struct gapi_call *c)
{
	c->g->active--;
	c->g->retrying -= c->retry.attempts > 0;
	for (int i = 0; i < c->nheaders; i++)
		free(c->headers[i]);
	buf_release(&c->body);
	free(c->method);
	free(c->url);
	free(c->object);
	free(c->content_type);
	free(c);
}

void
gapi_cancel(struct gapi_call *c)
{
	if (c->request != NULL)
		http_cancel(c->request);
	else
		wait_list_del(c);
	free_call(c);
}

bool
gapi_waiting(const struct gapi *g)
{
	return g->waiting != NULL;
}

bool
gapi_answering(const struct gapi_call *c)
{
	return c->request != NULL && http_answering(c->request);
}

/*
 * Google's error body: {"error":{"message":…,"status":…,"errors":[{"reason":…}],"details":[{"reason":…}]}}. What is not
 * that (a proxy's page, nothing at all) is shown as its first printable bytes.
 */
static void
read_error_body(struct str body, char *message, size_t size, char *reason, size_t reason_size)
{
	struct json j = {0};
	struct buf scratch = BUF_INIT(1 * MIB);
	struct str why = STR_NONE, text = STR_NONE;
	*reason = '\0';
	if (json_parse(&j, body) == JSON_OK) {
		uint32_t error = json_get(&j, 0, "error");
		uint32_t first = json_get(&j, error, "errors");
		text = json_string(&j, json_get(&j, error, "message"), &scratch);
		why = json_text(&j, json_get(&j, error, "status"));
		if (json_is(&j, first, JSON_ARRAY) && j.tok[first].count > 0) {
			struct str inner = json_text(&j, json_get(&j, json_first(first), "reason"));
			why = inner.n > 0 ? inner : why;
		}
		uint32_t details = json_get(&j, error, "details");
		for (uint32_t d = json_is(&j, details, JSON_ARRAY) ? json_first(details) : JSON_NONE;
		     d != JSON_NONE && d < json_end(&j, details); d = j.tok[d].next) {
			struct str inner = json_text(&j, json_get(&j, d, "reason"));
			why = inner.n > 0 ? inner : why;
		}
		if (json_is(&j, error, JSON_STRING)) /* OAuth's form */
			why = json_text(&j, error);
	}
	if (text.n == 0)
		text = why.n > 0 ? why : str_trim(body);
	size_t n = utf8_cut(text, 300 < size - 1 ? 300 : size - 1);
	bool clean = utf8_valid((struct str){text.p, n}); /* noise must not steer a terminal */
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)text.p[i];
		message[i] = ch < 0x20 || ch == 0x7f || (ch >= 0x80 && !clean) ? ' ' : (char)ch;
	}
	message[n] = '\0';
	if (why.n < reason_size) {
		memcpy(reason, why.n > 0 ? why.p : "", why.n);
		reason[why.n] = '\0';
	}
	buf_release(&scratch);
	json_release(&j);
}

static bool
reason_is(const char *reason, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strcmp(reason, *words) == 0)
			return true;
	}
	return false;
}

/* The one retry list. See the table in gapi.h. */
static enum err_class
classify(const struct gapi *g, int status, const char *reason)
{
	static const char *const rate[] = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", NULL};
	static const char *const quota[] = {"quotaExceeded", "QUOTA_EXCEEDED", NULL};
	switch (status) {
	case 408:
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		return reason_is(reason, quota) ? ERR_QUOTA : ERR_TRANSIENT;
	case 401:
		return ERR_AUTH;
	case 403:
		return reason_is(reason, rate) ? ERR_TRANSIENT : reason_is(reason, quota) ? ERR_QUOTA : ERR_AUTH;
	case 409:
		return g->aborted_is_transient && strcmp(reason, "ABORTED") == 0 ? ERR_TRANSIENT : ERR_PERMANENT;
	default:
		return ERR_PERMANENT;
	}
}

static const char *
advice(int status, enum err_class class)
{
	if (class == ERR_TRANSIENT || class == ERR_QUOTA)
		return "";
	switch (status) {
	case 401:
		return "; get a fresh access token";
	case 403:
		return "; give this account the role that allows it";
	case 404:
		return "; check the name and the project, or create it";
	default:
		return "";
	}
}

/* Fills result->err and reason from a reply. */
static void
judge(const struct gapi_call *c, const struct http_reply *reply, struct gapi_result *result)
{
	char message[512];
	result->status = reply->status;
	if (reply->status == 0) {
		err_set(&result->err, reply->hopeless ? ERR_CONFIG : ERR_TRANSIENT, "cannot %s '%s': %s%s", c->what, c->object,
		    reply->failure, reply->hopeless ? "; check the endpoint and its certificate" : "");
		return;
	}
	if (reply->too_large) {
		err_set(&result->err, ERR_TRANSIENT, "cannot %s '%s': the reply is larger than %llu bytes", c->what, c->object,
		    (unsigned long long)LIMIT_REPLY);
		return;
	}
	if (reply->status / 100 == 2 || reply->status == c->accept)
		return;
	read_error_body(reply->body, message, sizeof(message), result->reason, sizeof(result->reason));
	enum err_class class = classify(c->g, reply->status, result->reason);
	err_set(&result->err, class, "cannot %s '%s': HTTP %d%s%s%s%s%s%s", c->what,
	    c->object, reply->status, *message != '\0' ? ": " : "", message, *result->reason != '\0' ? " (" : "",
	    result->reason, *result->reason != '\0' ? ")" : "", advice(reply->status, class));
}

static void
warn(struct gapi_call *c, const struct err *why, int64_t now)
{
	double wait = (double)(c->when - now) / 1e6;
	bool loud = why->class == ERR_QUOTA || (c->retry.attempts > 1 && now - c->g->warned >= WARN_EVERY);
	if (!loud) {
		log_debug("%s; trying again in %.1f s", why->text, wait);
		return;
	}
	c->g->warned = now;
	log_warn("%s; trying again in %.1f s (failed %u times so far)", why->text, wait, c->retry.attempts);
}

/* Puts the call up for another try: false where its patience has ended. */
static bool
try_later(struct gapi_call *c, const struct err *why, int64_t after)
{
	int64_t now = clock_now();
	if (c->once)
		return false;
	c->g->retrying += c->retry.attempts == 0; /* until the call is freed */
	if (!retry_next(&c->retry, &c->g->rng, now, after, why->class == ERR_QUOTA, c->g->patience, &c->when))
		return false;
	c->g->retries++;
	warn(c, why, now);
	return true;
}

static bool
refresh(struct gapi_call *c)
{
	struct err ignored;
	if (c->refreshed || c->g->token.path == NULL || token_refresh(&c->g->token, &ignored) < 0)
		return false;
	c->refreshed = true;
	c->when = clock_now();
	c->g->retries++;
	return true;
}

bool
gapi_again(const struct gapi_result *result, const struct err *why)
{
	struct gapi_call *c = result->call;
	c->again = try_later(c, why, 0);
	return c->again;
}

static bool
on_piece(void *arg, int status, struct str headers, struct str piece)
{
	struct gapi_call *c = arg;
	return c->on_data(c->arg, status, headers, piece);
}

void
gapi_resume(struct gapi_call *c)
{
	if (c->request != NULL)
		http_resume(c->request);
}

static void
on_reply(void *arg, const struct http_reply *reply)
{
	struct gapi_call *c = arg;
	struct gapi_result result = {.reply = reply, .call = c};
	c->request = NULL;
	judge(c, reply, &result);
	/* "Once" is in a row: a call may outlive several tokens. */
	if (result.status != 0 && result.status != 401)
		c->refreshed = false;
	enum err_class class = result.err.class;
	bool transient = class == ERR_TRANSIENT || class == ERR_QUOTA;
	if ((result.status == 401 && refresh(c)) || (transient && try_later(c, &result.err, http_retry_after(reply)))) {
		wait_list_add(c);
		return;
	}
	if (transient && !c->once) {
		struct err last = result.err;
		err_set(&result.err, class, "%s; gave up after %u tries", last.text, c->retry.attempts);
	}
	c->again = false;
	c->done(c->arg, &result);
	if (c->again)
		wait_list_add(c);
	else
		free_call(c);
}

static void
start_try(struct gapi_call *c)
{
	const char *headers[HEADERS_MAX + 4];
	char type[128];
	int n = 0;
	if (c->g->token.header.n > 0)
		headers[n++] = buf_cstr(&c->g->token.header);
	snprintf(type, sizeof(type), "Content-Type: %s", c->content_type != NULL ? c->content_type : "application/json");
	if (c->body.n > 0)
		headers[n++] = type;
	if (c->gzip)
		headers[n++] = "Content-Encoding: gzip";
	for (int i = 0; i < c->nheaders; i++)
		headers[n++] = c->headers[i];
	headers[n] = NULL;
	struct http_spec spec = {.method = c->method, .url = c->url, .headers = headers, .body = buf_str(&c->body),
	    .timeout = c->timeout, .direct = c->g->endpoint.emulator,
	    .on_data = c->on_data != NULL ? on_piece : NULL};
	c->request = http_start(c->g->http, &spec, on_reply, c);
}

/* Replaces the body by its gzip form. */
static void
compress_body(struct buf *body)
{
	z_stream z = {0};
	/* 15 + 16: the gzip framing */
	if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return;
	struct buf out = BUF_INIT(body->max);
	uLong bound = deflateBound(&z, body->n);
	char *to = buf_room(&out, bound);
	if (to != NULL) {
		z.next_in = (Bytef *)body->p;
		z.avail_in = (uInt)body->n;
		z.next_out = (Bytef *)to;
		z.avail_out = (uInt)bound;
		if (deflate(&z, Z_FINISH) == Z_STREAM_END) {
			buf_grew(&out, z.total_out);
			buf_release(body);
			*body = out;
			out = (struct buf)BUF_INIT(0);
		}
	}
	deflateEnd(&z);
	buf_release(&out);
}

struct gapi_call *
gapi_start(struct gapi *g, const struct gapi_spec *spec, gapi_done *done, void *arg)
{
	struct gapi_call *c = xcalloc(1, sizeof(*c));
	*c = (struct gapi_call){.g = g, .what = spec->what, .timeout = spec->timeout, .once = spec->once,
	    .accept = spec->accept, .done = done, .on_data = spec->on_data, .arg = arg};
	c->method = xstrdup(spec->method);
	c->url = xstrdup(spec->url);
	c->object = xstrdup(spec->object);
	c->content_type = spec->content_type != NULL ? xstrdup(spec->content_type) : NULL;
	for (const char *const *h = spec->headers; h != NULL && *h != NULL && c->nheaders < HEADERS_MAX; h++)
		c->headers[c->nheaders++] = xstrdup(*h);
	if (spec->body != NULL) {
		size_t max = spec->body->max;
		c->body = *spec->body;
		*spec->body = (struct buf)BUF_INIT(max);
	}
	if (spec->gzip && c->body.n > 0) {
		size_t before = c->body.n;
		compress_body(&c->body);
		c->gzip = c->body.n != before;
	}
	g->active++;
	if (spec->when > 0) {
		c->when = spec->when;
		c->retry = (struct retry){.attempts = 1, .first = clock_now()};
		g->retrying++;
		wait_list_add(c);
		return c;
	}
	start_try(c);
	return c;
}

int64_t
gapi_turn(struct gapi *g, int64_t now)
{
	int64_t next = CLOCK_NEVER;
	for (struct gapi_call *c = g->waiting, *after; c != NULL; c = after) {
		after = c->next;
		if (c->when <= now) {
			wait_list_del(c);
			start_try(c);
		} else if (c->when < next) {
			next = c->when;
		}
	}
	return next;
}

struct sync {
	bool ended;
	int status;
	struct buf *out;
	struct err *e;
};

static void
on_sync(void *arg, const struct gapi_result *r)
{
	struct sync *s = arg;
	s->ended = true;
	s->status = r->status;
	*s->e = r->err;
	if (s->out != NULL && r->reply != NULL)
		buf_adds(s->out, r->reply->body);
}

/*
 * Until it is true, or with NULL until no call is left. A start check that never ends helps nobody: a supervisor starts us
 * again.
 */
static void
run_until(struct gapi *g, const bool *ended)
{
	static struct pollset set;
	struct stage_net net = http_net(g->http);
	int64_t patience = g->patience;
	if (patience == 0 || patience > SECONDS(60))
		g->patience = SECONDS(60);
	while (ended != NULL ? !*ended : g->active > 0) {
		set.n = 0;
		set.wake = gapi_turn(g, clock_now());
		net.fill(net.ctx, &set);
		int64_t left = set.wake == CLOCK_NEVER ? SECONDS(1) : set.wake - clock_now();
		poll(set.fds, set.n, left <= 0 ? 0 : (int)((left + 999) / 1000));
		net.ready(net.ctx, &set);
	}
	g->patience = patience;
}

void
gapi_wait(struct gapi *g)
{
	run_until(g, NULL);
}

int
gapi_sync(struct gapi *g, const struct gapi_spec *spec, struct buf *out, int *status, struct err *e)
{
	struct err mine = {0};
	struct sync s = {.out = out, .e = e != NULL ? e : &mine};
	s.e->class = ERR_NONE;
	struct gapi_spec quick = *spec;
	if (quick.timeout == 0)
		quick.timeout = SYNC_TIMEOUT;
	gapi_start(g, &quick, on_sync, &s);
	run_until(g, &s.ended);
	if (status != NULL)
		*status = s.status;
	return s.e->class == ERR_NONE ? 0 : -1;
}

static int
missing_permission(struct str reply, const char *object, const char *const *permissions, struct err *e)
{
	struct json j = {0};
	int rc = 0;
	if (json_read(&j, reply, e) < 0) {
		json_release(&j);
		return err_wrap(e, "cannot check the permissions on '%s'", object);
	}
	uint32_t list = json_get(&j, 0, "permissions");
	for (; *permissions != NULL && rc == 0; permissions++) {
		bool has = false;
		for (uint32_t t = list; json_is(&j, list, JSON_ARRAY) && ++t < json_end(&j, list);)
			has = has || str_is(json_text(&j, t), *permissions);
		if (!has)
			rc = err_set(e, ERR_AUTH,
			    "cannot use '%s': this account lacks the permission %s; give it a role that has it", object,
			    *permissions);
	}
	json_release(&j);
	return rc;
}

int
gapi_test_permissions(struct gapi *g, const char *url, bool by_get, const char *object, const char *const *permissions,
    struct err *e)
{
	struct buf body = BUF_INIT(8 * KIB), reply = BUF_INIT(LIMIT_REPLY), full = BUF_INIT(8 * KIB);
	struct jsonw w = jsonw_to(&body);
	int status, rc;
	buf_addz(&full, url);
	if (by_get) {
		for (const char *const *p = permissions; *p != NULL; p++)
			buf_addf(&full, "%cpermissions=%s", p == permissions ? '?' : '&', *p);
	} else {
		jsonw_object(&w);
		jsonw_key(&w, "permissions");
		jsonw_array(&w);
		for (const char *const *p = permissions; *p != NULL; p++)
			jsonw_cstr(&w, *p);
		jsonw_end(&w);
		jsonw_end(&w);
	}
	struct gapi_spec spec = {.method = by_get ? "GET" : "POST", .url = buf_cstr(&full), .body = by_get ? NULL : &body,
	    .what = "check the permissions on", .object = object};
	rc = gapi_sync(g, &spec, &reply, &status, e);
	if (rc == 0)
		rc = missing_permission(buf_str(&reply), object, permissions, e);
	else if (status == 501)
		rc = 0;
	buf_release(&body);
	buf_release(&reply);
	buf_release(&full);
	return rc;
}
