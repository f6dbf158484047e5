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
	unsigned serial; /* of the token that was sent */
	bool refreshed;  /* the token was fetched again for this call */
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
gapi_init(struct gapi *g, struct http *http, const char *service_env, const char *real, const struct login *login,
    int64_t patience, struct err *e)
{
	*g = (struct gapi){.http = http, .patience = patience};
	rng_seed_os(&g->rng);
	if (endpoint_init(&g->endpoint, service_env, real, e) < 0)
		return -1;
	/* Emulators get no credentials, but for one that runs on this very machine and credentials given for it. */
	bool named = login != NULL && (login->credentials != NULL || login->access_token_file != NULL);
	if (!g->endpoint.emulator || (named && is_loopback(g->endpoint.base))) {
		static const struct login none;
		g->token = xcalloc(1, sizeof(*g->token));
		if (auth_open(g->token, http, login != NULL ? login : &none, &(struct auth_want){0}, patience, e) < 0)
			return -1;
	}
	log_info("using %s%s", g->endpoint.base, g->endpoint.emulator ? " (emulator)" : "");
	return 0;
}

void
gapi_release(struct gapi *g)
{
	while (g->waiting != NULL)
		gapi_cancel(g->waiting);
	if (g->token != NULL)
		token_release(g->token);
	free(g->token);
	g->token = NULL;
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

/* Fills result->err and reason from a reply. */
static void
judge(const struct gapi_call *c, const struct http_reply *reply, struct gapi_result *result)
{
	const struct token *t = c->g->token;
	struct answer_to to = {.what = c->what, .object = c->object, .accept = c->accept,
	    .aborted_is_transient = c->g->aborted_is_transient,
	    .advice_401 = t != NULL ? t->advice : "; it wants credentials",
	    .secret = t != NULL ? token_secret(t) : STR_NONE};
	result->status = reply->status;
	answer_judge(&to, reply, result->reason, &result->err);
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
	if (c->refreshed || c->g->token == NULL || !token_refused(c->g->token, c->serial))
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
	const char *headers[HEADERS_MAX + 5];
	char type[128];
	int n = 0;
	struct token *t = c->g->token;
	if (t != NULL) {
		c->serial = t->serial;
		headers[n++] = token_header(t);
	}
	if (t != NULL && t->project != NULL)
		headers[n++] = t->project;
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
	z_stream z = {.zalloc = xalloc_zlib, .zfree = xalloc_zlib_free};
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

static bool
has_token(struct gapi *g, int64_t now)
{
	return g->token == NULL || token_state(g->token, now) == TOKEN_READY;
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
	}
	if (spec->when > 0 || !has_token(g, clock_now())) {
		wait_list_add(c);
		http_nudge(g->http); /* gapi_turn sees to the token */
	} else {
		start_try(c);
	}
	return c;
}

/* There will be no token for it. */
static void
fail(struct gapi_call *c, const struct err *e)
{
	struct gapi_result result = {.err = *e, .call = c};
	c->again = false;
	c->done(c->arg, &result);
	free_call(c);
}

int64_t
gapi_turn(struct gapi *g, int64_t now)
{
	int64_t next = CLOCK_NEVER;
	enum token_state state = TOKEN_READY;
	if (g->token != NULL) {
		g->token->patience = g->patience;
		next = token_turn(g->token, now);
		state = token_state(g->token, now);
	}
	for (struct gapi_call *c = g->waiting, *after; c != NULL; c = after) {
		after = c->next;
		if (c->when > now) {
			next = c->when < next ? c->when : next;
		} else if (state == TOKEN_READY) {
			wait_list_del(c);
			start_try(c);
		} else if (state == TOKEN_FAILED) {
			wait_list_del(c);
			fail(c, &g->token->err);
			after = g->waiting; /* the callback may have changed any of them, */
			next = now;         /* and the caller's own state */
		}
	}
	return next;
}

struct sync {
	const struct gapi_spec *spec;
	bool ended;
	int status;
	struct buf *out;
	struct err *e;
};

static bool
is_json(struct str text)
{
	struct json j = {0};
	struct err why;
	bool ok = json_read(&j, text, &why) == 0;
	json_release(&j);
	return ok;
}

static void
on_sync(void *arg, const struct gapi_result *r)
{
	struct sync *s = arg;
	struct err garbled;
	if (r->err.class == ERR_NONE && s->spec->json && !is_json(r->reply->body)) {
		err_set(&garbled, ERR_TRANSIENT, "cannot %s '%s': the reply is no JSON", s->spec->what, s->spec->object);
		if (gapi_again(r, &garbled))
			return;
		*s->e = garbled;
		s->ended = true;
		return;
	}
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
	struct sync s = {.spec = spec, .out = out, .e = e != NULL ? e : &mine};
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
	    .what = "check the permissions on", .object = object, .json = true};
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
