#include "s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "num.h"
#include "url.h"
#include "xalloc.h"

#define HEADERS_MAX 4
#define WARN_EVERY SECONDS(10)

struct bucket_region {
	char region[S3_REGION_MAX];
	char bucket[]; /* the map's key */
};

struct s3_call {
	struct s3 *s;
	char *bucket, *path, *query, *label; /* path: "/KEY", encoded */
	const char *what;
	char *headers[HEADERS_MAX + 1];
	int64_t timeout;
	http_data *on_data;
	bool once;
	s3_done *done;
	void *arg;
	struct http_request *request; /* NULL between tries */
	struct retry retry;
	int64_t when;    /* of the next try */
	unsigned serial; /* of the keys of the last try */
	bool refreshed, moved; /* once each: other keys, another region */
	bool again;      /* the callback asked for another try */
	struct s3_call *next, **link; /* in s->waiting */
};

/* ---- where ---- */

static bool
label_ok(struct str s, const char *more, size_t max)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
		if (!plain && (c == '\0' || strchr(more, c) == NULL))
			return false;
	}
	return s.n > 0 && s.n <= max && s.p[0] != '-' && s.p[s.n - 1] != '-';
}

static bool
region_ok(const char *region)
{
	return label_ok(str_of(region), "", S3_REGION_MAX - 1);
}

static int
set_endpoint(struct s3 *s, const char *endpoint, struct err *e)
{
	struct str url = str_of(endpoint);
	while (url.n > 0 && url.p[url.n - 1] == '/')
		url.n--;
	struct str rest = str_skip(url, str_starts(url, STR("https://")) ? 8 : 7);
	bool fine = (str_starts(url, STR("http://")) || str_starts(url, STR("https://"))) && rest.n > 0 &&
	    rest.p[0] != '/' && url.n < sizeof(s->base);
	for (size_t i = 0; i < url.n && fine; i++)
		fine = url.p[i] > ' ' && url.p[i] <= '~' && strchr("?#@\\", url.p[i]) == NULL;
	if (!fine)
		return err_set(e, ERR_CONFIG,
		    "cannot use the S3 endpoint of AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the "
		    "profile: it must be http:// or https://, a host and a path at most, of less than %zu "
		    "bytes",
		    sizeof(s->base));
	snprintf(s->base, sizeof(s->base), "%.*s", STR_ARG(url));
	return 0;
}

int
s3_init(struct s3 *s, struct http *http, int64_t patience, struct err *e)
{
	*s = (struct s3){.http = http, .patience = patience};
	rng_seed_os(&s->rng);
	if (awscred_init(&s->cred, http, patience, e) < 0)
		return -1;
	const char *region = s->cred.region != NULL ? s->cred.region : "us-east-1";
	if (!region_ok(region))
		return err_set(e, ERR_CONFIG,
		    "cannot use AWS region '%.60s': a region is lower-case letters, digits and -; set "
		    "AWS_REGION",
		    region);
	snprintf(s->region, sizeof(s->region), "%s", region);
	if (s->cred.endpoint != NULL && set_endpoint(s, s->cred.endpoint, e) < 0)
		return -1;
	if (*s->base != '\0')
		log_info("using %s (S3)", s->base);
	else
		log_info("using S3 of AWS, region %s", s->region);
	return 0;
}

static const char *
region_of(const struct s3 *s, const char *bucket)
{
	const struct bucket_region *b = map_get(&s->regions, str_of(bucket));
	return b != NULL ? b->region : s->region;
}

/* True where it is news. */
static bool
learn_region(struct s3 *s, const char *bucket, const char *region)
{
	if (!region_ok(region) || strcmp(region_of(s, bucket), region) == 0)
		return false;
	struct bucket_region *b = map_get(&s->regions, str_of(bucket));
	if (b == NULL) {
		if (s->regions.n >= S3_REGIONS_MAX)
			return false;
		size_t n = strlen(bucket) + 1;
		b = xcalloc(1, sizeof(*b) + n);
		memcpy(b->bucket, bucket, n);
		map_put(&s->regions, str_of(b->bucket), b);
	}
	memcpy(b->region, region, strlen(region) + 1);
	log_debug("bucket '%s' is in region %s", bucket, b->region);
	return true;
}

/* Scheme and host into base, and the path on that host. */
static void
locate(const struct s3_call *c, struct buf *base, struct buf *path)
{
	const struct s3 *s = c->s;
	const char *region = region_of(s, c->bucket);
	const char *china = strncmp(region, "cn-", 3) == 0 ? ".cn" : "";
	if (*s->base != '\0') {
		size_t scheme = strncmp(s->base, "https", 5) == 0 ? 8 : 7;
		size_t n = scheme + strcspn(s->base + scheme, "/");
		buf_add(base, s->base, n);
		buf_addz(path, s->base + n);
	} else if (label_ok(str_of(c->bucket), "", 63)) {
		buf_addf(base, "https://%s.s3.%s.amazonaws.com%s", c->bucket, region, china);
		buf_addz(path, c->path);
		return;
	} else {
		buf_addf(base, "https://s3.%s.amazonaws.com%s", region, china);
	}
	buf_addc(path, '/');
	url_encode(path, str_of(c->bucket));
	/* "/" alone is the bucket itself */
	buf_addz(path, c->path[1] != '\0' ? c->path : "");
}

/* As libcurl would send it: without the scheme's own port. */
static char *
host_of(struct str base)
{
	bool tls = str_starts(base, STR("https://"));
	struct str host = str_skip(base, tls ? 8 : 7), port = tls ? STR(":443") : STR(":80");
	if (str_ends(host, port))
		host.n -= port.n;
	return str_dup(host);
}

/* ---- calls ---- */

static void
wait_list_add(struct s3_call *c)
{
	struct s3 *s = c->s;
	c->next = s->waiting;
	c->link = &s->waiting;
	if (c->next != NULL)
		c->next->link = &c->next;
	s->waiting = c;
}

static void
wait_list_del(struct s3_call *c)
{
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
}

static void
free_call(struct s3_call *c)
{
	c->s->active--;
	c->s->retrying -= c->retry.attempts > 0;
	for (int i = 0; c->headers[i] != NULL; i++)
		free(c->headers[i]);
	free(c->bucket);
	free(c->path);
	free(c->query);
	free(c->label);
	free(c);
}

void
s3_cancel(struct s3_call *c)
{
	if (c->request != NULL)
		http_cancel(c->request);
	else
		wait_list_del(c);
	free_call(c);
}

void
s3_resume(struct s3_call *c)
{
	if (c->request != NULL)
		http_resume(c->request);
}

void
s3_release(struct s3 *s)
{
	size_t i = 0;
	while (s->waiting != NULL)
		s3_cancel(s->waiting);
	for (struct map_slot *slot; (slot = map_each(&s->regions, &i)) != NULL;)
		free(slot->value);
	map_release(&s->regions);
	awscred_release(&s->cred);
}

static bool
is_one_of(const char *word, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (strcmp(word, *list) == 0)
			return true;
	}
	return false;
}

static const char *const ended[] = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", NULL};

/* The one retry list, in S3's words where it has some. See the table in s3.h. */
static enum err_class
classify(int status, const char *code)
{
	static const char *const passing[] = {"SlowDown", "InternalError", "ServiceUnavailable",
	    "RequestTimeout", "OperationAborted", "Throttling", "ThrottlingException", "RequestLimitExceeded",
	    "RequestThrottled", "BandwidthLimitExceeded", "Busy", NULL};
	static const char *const identity[] = {"AccessDenied", "AllAccessDisabled", "AccountProblem",
	    "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "NotSignedUp",
	    NULL};
	if (is_one_of(code, passing))
		return ERR_TRANSIENT;
	if (strcmp(code, "RequestTimeTooSkewed") == 0)
		return ERR_CONFIG;
	if (is_one_of(code, identity) || is_one_of(code, ended))
		return ERR_AUTH;
	if (strcmp(code, "InvalidObjectState") == 0)
		return ERR_PERMANENT;
	switch (status) {
	case 408:
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		return ERR_TRANSIENT;
	case 401:
	case 403:
		return ERR_AUTH;
	default:
		return ERR_PERMANENT;
	}
}

static const char *
advice(int status, const char *code)
{
	static const struct {
		const char *code, *text;
	} by_code[] = {
	    {"RequestTimeTooSkewed", "; set this machine's clock"},
	    {"InvalidObjectState", "; it is archived: restore it first"},
	    {"SignatureDoesNotMatch", "; check AWS_SECRET_ACCESS_KEY"},
	    {"InvalidAccessKeyId", "; check AWS_ACCESS_KEY_ID"},
	    {"AccessDenied", "; give these credentials s3:ListBucket and s3:GetObject"},
	};
	for (size_t i = 0; i < sizeof(by_code) / sizeof(by_code[0]); i++) {
		if (strcmp(by_code[i].code, code) == 0)
			return by_code[i].text;
	}
	if (is_one_of(code, ended))
		return "; get fresh AWS credentials";
	if (status == 301 || status == 307)
		return "; the bucket is in another region: set AWS_REGION";
	return status == 401 || status == 403 ? "; check the AWS credentials and what they allow" :
	    status == 404 ? "; check the name" : "";
}

/* Fills result->err from a reply. */
static void
judge(const struct s3_call *c, const struct http_reply *reply, struct s3_result *result)
{
	result->status = reply->status;
	if (reply->status == 0) {
		err_set(&result->err, reply->hopeless ? ERR_CONFIG : ERR_TRANSIENT, "cannot %s '%s': %s%s",
		    c->what, c->label, reply->failure,
		    reply->hopeless ? "; check the endpoint and its certificate" : "");
		return;
	}
	if (reply->too_large) {
		err_set(&result->err, ERR_TRANSIENT, "cannot %s '%s': the reply is larger than %llu bytes",
		    c->what, c->label, (unsigned long long)LIMIT_REPLY);
		return;
	}
	if (reply->status / 100 == 2)
		return;
	s3xml_error(&result->said, reply->body);
	const struct s3_error *said = &result->said;
	bool named = *said->code != '\0';
	err_set(&result->err, classify(reply->status, said->code), "cannot %s '%s': HTTP %d%s%s%s%s%s%s",
	    c->what, c->label, reply->status, *said->message != '\0' ? ": " : "", said->message,
	    named ? " (" : "", said->code, named ? ")" : "", advice(reply->status, said->code));
}

static void
warn(struct s3_call *c, const struct err *why, int64_t now)
{
	double wait = (double)(c->when - now) / 1e6;
	if (c->retry.attempts <= 1 || now - c->s->warned < WARN_EVERY) {
		log_debug("%s; trying again in %.1f s", why->text, wait);
		return;
	}
	c->s->warned = now;
	log_warn("%s; trying again in %.1f s (failed %u times so far)", why->text, wait, c->retry.attempts);
}

/* Puts the call up for another try: false where its patience has ended. */
static bool
try_later(struct s3_call *c, const struct err *why, int64_t after)
{
	int64_t now = clock_now();
	bool first = c->retry.attempts == 0;
	if (c->once || !retry_next(&c->retry, &c->s->rng, now, after, false, c->s->patience, &c->when))
		return false;
	c->s->retrying += first;
	c->s->retries++;
	warn(c, why, now);
	return true;
}

bool
s3_again(const struct s3_result *result, const struct err *why)
{
	struct s3_call *c = result->call;
	c->again = try_later(c, why, 0);
	return c->again;
}

/* The keys have ended, or the bucket is elsewhere: asked again at once, once. */
static bool
try_otherwise(struct s3_call *c, const struct s3_result *result)
{
	char named[S3_REGION_MAX];
	struct str header = http_header(result->reply, "x-amz-bucket-region");
	const char *region = result->said.region;
	if (is_one_of(result->said.code, ended) && !c->refreshed) {
		c->refreshed = true;
		c->when = 0;
		return awscred_ended(&c->s->cred, c->serial);
	}
	if (header.n > 0 && header.n < sizeof(named)) {
		snprintf(named, sizeof(named), "%.*s", STR_ARG(header));
		region = named;
	}
	if (result->status / 100 == 2 || result->status == 0 || c->moved ||
	    !learn_region(c->s, c->bucket, region))
		return false;
	c->moved = true;
	c->when = 0;
	return true;
}

static void
deliver(struct s3_call *c, struct s3_result *result)
{
	c->again = false;
	c->done(c->arg, result);
	if (c->again)
		wait_list_add(c);
	else
		free_call(c);
}

static void
on_reply(void *arg, const struct http_reply *reply)
{
	struct s3_call *c = arg;
	struct s3_result result = {.reply = reply, .call = c};
	c->request = NULL;
	judge(c, reply, &result);
	bool transient = result.err.class == ERR_TRANSIENT;
	if (try_otherwise(c, &result) || (transient && try_later(c, &result.err, http_retry_after(reply)))) {
		wait_list_add(c);
		return;
	}
	if (transient && !c->once)
		err_wrap(&result.err, "gave up after %u tries", c->retry.attempts);
	deliver(c, &result);
}

static bool
on_data(void *arg, int status, struct str headers, struct str piece)
{
	struct s3_call *c = arg;
	return c->on_data(c->arg, status, headers, piece);
}

static void
fail(struct s3_call *c, const struct err *why)
{
	struct s3_result result = {.call = c, .err = *why};
	err_wrap(&result.err, "cannot %s '%s'", c->what, c->label);
	deliver(c, &result);
}

/* Signs as the clock stands and sends. */
static int
send_signed(struct s3_call *c, struct err *e)
{
	struct buf url = BUF_INIT(16 * KIB), path = BUF_INIT(8 * KIB);
	const char *headers[HEADERS_MAX + 8];
	struct sigv4 signature = {0};
	int n = 0;
	locate(c, &url, &path);
	char *host = host_of(buf_str(&url)), *host_line = xasprintf("Host: %s", host);
	struct sigv4_request r = {.method = "GET",
	    .host = host,
	    .path = buf_str(&path),
	    .query = str_of(c->query),
	    .headers = (const char *const *)c->headers,
	    .payload = SIGV4_EMPTY,
	    .send_payload = true,
	    .region = region_of(c->s, c->bucket),
	    .service = "s3",
	    .time = clock_wall()};
	int rc = sigv4_sign(&r, &c->s->cred.keys, &signature, e);
	buf_adds(&url, buf_str(&path));
	if (c->query != NULL)
		buf_addf(&url, "?%s", c->query);
	if (rc == 0 && (url.over || path.over))
		rc = err_set(e, ERR_INPUT, "its name is too long");
	headers[n++] = host_line;
	for (int i = 0; signature.v[i] != NULL; i++)
		headers[n++] = signature.v[i];
	for (int i = 0; c->headers[i] != NULL; i++)
		headers[n++] = c->headers[i];
	headers[n] = NULL;
	struct http_spec spec = {.method = "GET",
	    .url = buf_cstr(&url),
	    .headers = headers,
	    .timeout = c->timeout,
	    .on_data = c->on_data != NULL ? on_data : NULL};
	c->serial = c->s->cred.serial;
	if (rc == 0)
		c->request = http_start(c->s->http, &spec, on_reply, c);
	sigv4_release(&signature);
	free(host);
	free(host_line);
	buf_release(&url);
	buf_release(&path);
	return rc;
}

static char *
encode_key(struct str key)
{
	struct buf out = BUF_INIT(8 * KIB);
	for (bool more = true; more;) {
		struct str part = {key.p, str_find(key, '/')};
		more = part.n < key.n;
		buf_addc(&out, '/');
		url_encode(&out, part);
		key = str_skip(key, part.n + 1);
	}
	char *path = xstrdup(buf_cstr(&out));
	buf_release(&out);
	return path;
}

char *
s3_label(const char *bucket, struct str key)
{
	char *label = xasprintf("s3://%s%s%.*s", bucket, key.n > 0 ? "/" : "", STR_ARG(key));
	for (char *p = label; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	return label;
}

struct s3_call *
s3_start(struct s3 *s, const struct s3_spec *spec, s3_done *done, void *arg)
{
	struct s3_call *c = xcalloc(1, sizeof(*c));
	*c = (struct s3_call){.s = s, .what = spec->what, .timeout = spec->timeout, .on_data = spec->on_data,
	    .once = spec->once, .done = done, .arg = arg, .when = spec->when};
	c->bucket = xstrdup(spec->bucket);
	c->path = encode_key(spec->key);
	c->query = spec->query != NULL ? xstrdup(spec->query) : NULL;
	c->label = s3_label(spec->bucket, spec->key);
	for (int n = 0; spec->headers != NULL && spec->headers[n] != NULL && n < HEADERS_MAX; n++)
		c->headers[n] = xstrdup(spec->headers[n]);
	s->active++;
	if (spec->when > 0) {
		c->retry = (struct retry){.attempts = 1, .first = clock_now()};
		s->retrying++;
	}
	/* What cannot go now is left to s3_turn; keys are asked for at once, which wakes the loop. */
	struct err ignored;
	awscred_turn(&s->cred, clock_now());
	if (spec->when > 0 || awscred_state(&s->cred) != AWSCRED_READY || send_signed(c, &ignored) < 0)
		wait_list_add(c);
	return c;
}

int64_t
s3_turn(struct s3 *s, int64_t now)
{
	int64_t next = awscred_turn(&s->cred, now);
	for (struct s3_call *c = s->waiting, *after; c != NULL; c = after) {
		enum awscred_state state = awscred_state(&s->cred);
		struct err e = s->cred.err;
		after = c->next;
		if (c->when > now) {
			next = c->when < next ? c->when : next;
			continue;
		}
		if (state == AWSCRED_WAITING)
			continue;
		wait_list_del(c);
		if (state == AWSCRED_READY && send_signed(c, &e) == 0)
			continue;
		fail(c, &e);
		after = s->waiting; /* the callback may have changed any of them, */
		next = now;         /* and the caller's own state */
	}
	return next;
}
