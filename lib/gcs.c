#include "gcs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "bounds.h"
#include "clock.h"
#include "jsonw.h"
#include "log.h"
#include "num.h"
#include "xalloc.h"

#define SESSION_MAX (8 * KIB)
#define METADATA_MAX (16 * KIB)
#define WHAT "store"

struct gcs_upload {
	struct gapi *g;
	struct gcs_object o;
	gcs_done *done;
	void *arg;
	struct gapi_call *call;
	char *label;      /* gs://BUCKET/NAME */
	char *session;    /* the resumable session's URI */
	uint64_t at;      /* what the session has for sure */
	uint64_t position; /* where o.read stands */
	struct retry retry; /* since the session last got further */
};

int
gcs_init(struct gapi *g, struct http *http, const struct login *login, int64_t patience, struct err *e)
{
	return gapi_init(g, http, "STORAGE_EMULATOR_HOST", "https://storage.googleapis.com", login,
	    patience, e);
}

void
gcs_object_url(struct buf *url, const struct gapi *g, const char *bucket, struct str name)
{
	buf_addf(url, "%s/storage/v1/b/", g->endpoint.base);
	url_encode(url, str_of(bucket));
	buf_addz(url, "/o");
	if (name.n > 0) {
		buf_addc(url, '/');
		url_encode(url, name);
	}
}

static void
free_upload(struct gcs_upload *u)
{
	free(u->label);
	free(u->session);
	free(u);
}

void
gcs_cancel(struct gcs_upload *u)
{
	if (u == NULL)
		return;
	if (u->call != NULL)
		gapi_cancel(u->call);
	free_upload(u);
}

static void
finish(struct gcs_upload *u, const struct gcs_stored *stored, const struct err *e)
{
	u->done(u->arg, stored, e);
	free_upload(u);
}

static void
finish_existed(struct gcs_upload *u)
{
	finish(u, &(struct gcs_stored){.existed = true}, NULL);
}

/* The content's next n bytes, appended. */
static int
read_content(struct gcs_upload *u, struct buf *to, size_t n, struct err *e)
{
	char *p = buf_room(to, n);
	if (p == NULL)
		return err_set(e, ERR_BUG, "cannot " WHAT " '%s': a chunk of %zu bytes does not fit",
		    u->label, n);
	long got = u->o.read(u->o.arg, p, n, e);
	if (got < 0)
		return -1;
	if ((size_t)got != n)
		return err_set(e, ERR_BUG, "cannot " WHAT " '%s': its content ends %zu bytes early", u->label,
		    n - (size_t)got);
	buf_grew(to, n);
	u->position += n;
	return 0;
}

/* Going back means reading from the start: content is a compressed stream, and this is rare. */
static int
seek_content(struct gcs_upload *u, uint64_t to, struct err *e)
{
	struct buf skipped = BUF_INIT(1 * MIB);
	int rc = -1;
	if (to < u->position || to == 0) {
		if (u->o.rewind(u->o.arg, e) < 0)
			goto out;
		u->position = 0;
	}
	while (u->position < to) {
		uint64_t left = to - u->position;
		buf_reset(&skipped, 1 * MIB);
		if (read_content(u, &skipped, left < 1 * MIB ? (size_t)left : 1 * MIB, e) < 0)
			goto out;
	}
	rc = 0;
out:
	buf_release(&skipped);
	return rc;
}

static void
write_metadata(const struct gcs_upload *u, struct buf *out)
{
	struct jsonw w = jsonw_to(out);
	jsonw_object(&w);
	jsonw_member(&w, "name", str_of(u->o.name));
	jsonw_member(&w, "contentType", str_of(u->o.content_type));
	jsonw_key(&w, "md5Hash");
	jsonw_base64(&w, (struct str){(const char *)u->o.md5, sizeof(u->o.md5)});
	jsonw_end(&w);
}

static void
upload_url(const struct gcs_upload *u, const char *type, struct buf *out)
{
	buf_addf(out, "%s/upload/storage/v1/b/", u->g->endpoint.base);
	url_encode(out, str_of(u->o.bucket));
	buf_addf(out, "/o?uploadType=%s&ifGenerationMatch=0", type);
}

/*
 * The reply of a finished upload is the object's metadata. 1: it holds what was sent and *stored is filled;
 * 0: it is no such reply, and e says so; -1: the service holds something else.
 */
static int
read_stored(const struct gcs_upload *u, struct str body, struct gcs_stored *stored, struct err *e)
{
	struct json j = {0};
	struct buf ours = BUF_INIT(64), scratch = BUF_INIT(4 * KIB);
	int rc = 0;
	base64_encode(&ours, (struct str){(const char *)u->o.md5, sizeof(u->o.md5)});
	if (json_read(&j, body, e) < 0) {
		err_wrap(e, "cannot " WHAT " '%s': the reply cannot be read", u->label);
		goto out;
	}
	struct str theirs = json_string(&j, json_get(&j, 0, "md5Hash"), &scratch);
	if (theirs.n == 0) {
		err_set(e, ERR_TRANSIENT, "cannot " WHAT " '%s': the reply has no md5Hash", u->label);
		goto out;
	}
	if (!str_eq(theirs, buf_str(&ours))) {
		theirs.n = theirs.n < 64 ? theirs.n : 64;
		err_set(e, ERR_PERMANENT, "cannot " WHAT " '%s': the service holds other bytes than were "
		    "sent (md5 %.*s, sent %.*s); look at that object and delete it", u->label,
		    STR_ARG(theirs), STR_ARG(buf_str(&ours)));
		rc = -1;
		goto out;
	}
	struct str generation = json_text(&j, json_get(&j, 0, "generation"));
	int64_t number;
	*stored = (struct gcs_stored){0};
	if (generation.n < sizeof(stored->generation) && num_i64(generation, &number))
		memcpy(stored->generation, generation.p, generation.n);
	rc = 1;
out:
	if (rc == 0)
		e->class = ERR_TRANSIENT;
	json_release(&j);
	buf_release(&ours);
	buf_release(&scratch);
	return rc;
}

static void
on_single(void *arg, const struct gapi_result *r)
{
	struct gcs_upload *u = arg;
	struct gcs_stored stored;
	struct err e;
	if (r->err.class == ERR_NONE && r->status != 412) {
		int rc = read_stored(u, r->reply->body, &stored, &e);
		/* Tried again, it finds nothing, or by 412 the object whose md5 the service has checked. */
		if (rc == 0 && gapi_again(r, &e))
			return;
		u->call = NULL;
		finish(u, &stored, rc == 1 ? NULL : &e);
		return;
	}
	u->call = NULL;
	if (r->status == 412)
		finish_existed(u);
	else
		finish(u, NULL, &r->err);
}

/* multipart/related: metadata, content [RFC 2387]. A random boundary is in no content, even on purpose. */
static int
send_single(struct gcs_upload *u, struct err *e)
{
	struct buf body = BUF_INIT(GCS_SINGLE_MAX + METADATA_MAX), url = BUF_INIT(4 * KIB);
	char boundary[48], type[96];
	int rc = -1;
	snprintf(boundary, sizeof(boundary), "evpipe-%016llx%016llx",
	    (unsigned long long)rng_next(&u->g->rng), (unsigned long long)rng_next(&u->g->rng));
	snprintf(type, sizeof(type), "multipart/related; boundary=%s", boundary);
	if (buf_room(&body, (size_t)u->o.size + 4 * KIB) == NULL)
		body.over = false; /* a hint only: the real test is in read_content */
	buf_addf(&body, "--%s\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n", boundary);
	write_metadata(u, &body);
	buf_addf(&body, "\r\n--%s\r\nContent-Type: %s\r\n\r\n", boundary, u->o.content_type);
	if (seek_content(u, 0, e) < 0 || read_content(u, &body, (size_t)u->o.size, e) < 0)
		goto out;
	buf_addf(&body, "\r\n--%s--\r\n", boundary);
	upload_url(u, "multipart", &url);
	struct gapi_spec spec = {.method = "POST", .url = buf_cstr(&url), .content_type = type, .body = &body,
	    .what = WHAT, .object = u->label, .accept = 412};
	u->call = gapi_start(u->g, &spec, on_single, u);
	rc = 0;
out:
	buf_release(&body);
	buf_release(&url);
	return rc;
}

static void open_session(struct gcs_upload *u, int64_t when);
static void send_chunk(struct gcs_upload *u);
static void ask(struct gcs_upload *u, int64_t when);

static size_t
origin_len(const char *url)
{
	const char *authority = strstr(url, "://");
	return authority != NULL ? (size_t)(authority + 3 - url) + strcspn(authority + 3, "/?#") : 0;
}

/* The service names the session, and our token goes there: over TLS, or to where we spoke already. */
static bool
session_ok(const struct gcs_upload *u, struct str uri)
{
	const char *base = u->g->endpoint.base;
	size_t n = origin_len(base);
	bool same = n > 0 && uri.n > n && memcmp(uri.p, base, n) == 0 && (uri.p[n] == '/' || uri.p[n] == '?');
	for (size_t i = 0; i < uri.n; i++) {
		if ((unsigned char)uri.p[i] <= 0x20 || uri.p[i] == 0x7f)
			return false;
	}
	return uri.n <= SESSION_MAX && (same || str_starts(uri, STR("https://")));
}

/*
 * After a failure that may pass: when to go on, or false with the upload at its end. The session's own
 * counter, for a question that is answered says nothing about the chunk that failed before it.
 */
static bool
back_off(struct gcs_upload *u, const struct gapi_result *r, const struct err *why, int64_t *when)
{
	int64_t now = clock_now();
	bool quota = why->class == ERR_QUOTA;
	if (!retry_next(&u->retry, &u->g->rng, now, http_retry_after(r->reply), quota, u->g->patience, when)) {
		struct err e;
		err_set(&e, ERR_TRANSIENT, "%s; gave up after %u tries", why->text, u->retry.attempts);
		finish(u, NULL, &e);
		return false;
	}
	u->g->retries++;
	if (u->retry.attempts > 1)
		log_warn("%s; going on in %.1f s", why->text, (double)(*when - now) / 1e6);
	else
		log_debug("%s; going on in %.1f s", why->text, (double)(*when - now) / 1e6);
	return true;
}

static void
ask_later(struct gcs_upload *u, const struct gapi_result *r, const struct err *why)
{
	int64_t when;
	if (back_off(u, r, why, &when))
		ask(u, when);
}

static void
on_opened(void *arg, const struct gapi_result *r)
{
	struct gcs_upload *u = arg;
	struct err e;
	u->call = NULL;
	if (r->status == 412) {
		finish_existed(u);
		return;
	}
	if (r->err.class != ERR_NONE) {
		finish(u, NULL, &r->err);
		return;
	}
	struct str uri = http_header(r->reply, "location");
	if (uri.n == 0 || !session_ok(u, uri)) {
		const char *why = "wants the upload at an address that is neither https nor its own";
		if (uri.n == 0)
			why = "opened no upload session (no Location in its reply)";
		err_set(&e, ERR_PERMANENT, "cannot " WHAT " '%s': the service %s; check the endpoint",
		    u->label, why);
		finish(u, NULL, &e);
		return;
	}
	u->session = str_dup(uri);
	send_chunk(u);
}

static void
open_session(struct gcs_upload *u, int64_t when)
{
	struct buf body = BUF_INIT(METADATA_MAX), url = BUF_INIT(4 * KIB);
	char type[128], length[64];
	snprintf(type, sizeof(type), "X-Upload-Content-Type: %s", u->o.content_type);
	snprintf(length, sizeof(length), "X-Upload-Content-Length: %llu", (unsigned long long)u->o.size);
	const char *headers[] = {type, length, NULL};
	free(u->session);
	u->session = NULL;
	u->at = 0;
	write_metadata(u, &body);
	upload_url(u, "resumable", &url);
	struct gapi_spec spec = {.method = "POST", .url = buf_cstr(&url), .headers = headers, .body = &body,
	    .what = WHAT, .object = u->label, .accept = 412, .when = when};
	u->call = gapi_start(u->g, &spec, on_opened, u);
	buf_release(&body);
	buf_release(&url);
}

/* What a 308 says is kept: "bytes=0-N", or nothing. -1 where it cannot be true. */
static int64_t
kept(const struct gcs_upload *u, const struct gapi_result *r)
{
	struct str range = http_header(r->reply, "range");
	int64_t last;
	if (range.n == 0)
		return 0;
	if (!str_starts(range, STR("bytes=0-")) || !num_i64(str_skip(range, strlen("bytes=0-")), &last) ||
	    last < 0 || (uint64_t)last >= u->o.size)
		return -1;
	return last + 1;
}

/* A 308. asked: the reply to a question, after which sending is in order even when nothing more was kept. */
static void
go_on(struct gcs_upload *u, const struct gapi_result *r, bool asked)
{
	struct err e;
	int64_t have = kept(u, r);
	if (have < 0) {
		err_set(&e, ERR_PERMANENT, "cannot " WHAT " '%s': the service says it kept what was not sent",
		    u->label);
		finish(u, NULL, &e);
		return;
	}
	bool further = (uint64_t)have > u->at;
	if (further)
		retry_reset(&u->retry);
	u->at = (uint64_t)have;
	if (u->at < u->o.size && (further || asked)) {
		send_chunk(u);
		return;
	}
	err_set(&e, ERR_TRANSIENT,
	    "cannot " WHAT " '%s': the service kept %lld of %llu bytes and does not go on", u->label,
	    (long long)have, (unsigned long long)u->o.size);
	ask_later(u, r, &e);
}

/* How every reply in a session may end it, or open a new one: true where it did. */
static bool
session_over(struct gcs_upload *u, const struct gapi_result *r)
{
	struct gcs_stored stored;
	struct err e;
	int64_t when;
	if (r->status == 412) {
		finish_existed(u);
		return true;
	}
	if (r->status == 404 || r->status == 410) {
		err_set(&e, ERR_TRANSIENT, "cannot " WHAT " '%s': its upload session is gone (HTTP %d)",
		    u->label, r->status);
		if (back_off(u, r, &e, &when))
			open_session(u, when);
		return true;
	}
	if (r->status / 100 == 2) {
		int rc = read_stored(u, r->reply->body, &stored, &e);
		/* Asked often enough, it will not tell: better to fail than to ask for ever. */
		if (rc == 0 && u->retry.attempts < 5)
			ask_later(u, r, &e);
		else
			finish(u, &stored, rc == 1 ? NULL : &e);
		return true;
	}
	return false;
}

static void
on_chunk(void *arg, const struct gapi_result *r)
{
	struct gcs_upload *u = arg;
	enum err_class class = r->err.class;
	u->call = NULL;
	if (session_over(u, r))
		return;
	if (r->status == 308)
		go_on(u, r, false);
	/* A token may have ended; asking makes gapi read it again. Refused twice in a row, it is meant. */
	else if (class == ERR_TRANSIENT || class == ERR_QUOTA || (r->status == 401 && u->retry.attempts == 0))
		ask_later(u, r, &r->err);
	else
		finish(u, NULL, &r->err);
}

static void
send_chunk(struct gcs_upload *u)
{
	uint64_t left = u->o.size - u->at;
	size_t n = left < GCS_CHUNK ? (size_t)left : GCS_CHUNK;
	struct buf body = BUF_INIT(GCS_CHUNK);
	struct err e;
	char range[96];
	snprintf(range, sizeof(range), "Content-Range: bytes %llu-%llu/%llu", (unsigned long long)u->at,
	    (unsigned long long)(u->at + n - 1), (unsigned long long)u->o.size);
	const char *headers[] = {range, NULL};
	if (seek_content(u, u->at, &e) < 0 || read_content(u, &body, n, &e) < 0) {
		buf_release(&body);
		finish(u, NULL, &e);
		return;
	}
	struct gapi_spec spec = {.method = "PUT", .url = u->session, .content_type = u->o.content_type,
	    .headers = headers, .body = &body, .what = WHAT, .object = u->label, .once = true, .accept = 308};
	u->call = gapi_start(u->g, &spec, on_chunk, u);
}

static void
on_answer(void *arg, const struct gapi_result *r)
{
	struct gcs_upload *u = arg;
	u->call = NULL;
	if (session_over(u, r))
		return;
	if (r->status == 308)
		go_on(u, r, true);
	else
		finish(u, NULL, &r->err);
}

/* Asks what the session holds. This may be repeated, so gapi does. */
static void
ask(struct gcs_upload *u, int64_t when)
{
	char range[64];
	snprintf(range, sizeof(range), "Content-Range: bytes */%llu", (unsigned long long)u->o.size);
	/* Without a body there is no type, whatever libcurl thinks. */
	const char *headers[] = {range, "Content-Type:", NULL};
	struct gapi_spec spec = {.method = "PUT", .url = u->session, .headers = headers, .what = WHAT,
	    .object = u->label, .accept = 308, .when = when};
	u->call = gapi_start(u->g, &spec, on_answer, u);
}

struct gcs_upload *
gcs_store(struct gapi *g, const struct gcs_object *o, gcs_done *done, void *arg, struct err *e)
{
	struct gcs_upload *u = xcalloc(1, sizeof(*u));
	*u = (struct gcs_upload){.g = g, .o = *o, .done = done, .arg = arg};
	u->label = xasprintf("gs://%s/%s", o->bucket, o->name);
	if (o->size > GCS_SINGLE_MAX) {
		open_session(u, 0);
	} else if (send_single(u, e) < 0) {
		free_upload(u);
		return NULL;
	}
	return u;
}

int
gcs_check_bucket(struct gapi *g, const char *bucket, struct err *e)
{
	static const char *const permissions[] = {"storage.objects.create", NULL};
	struct buf url = BUF_INIT(4 * KIB);
	struct err why = {0};
	char *label = xasprintf("gs://%s", bucket);
	buf_addf(&url, "%s/storage/v1/b/", g->endpoint.base);
	url_encode(&url, str_of(bucket));
	buf_addz(&url, "/iam/testPermissions");
	int rc = gapi_test_permissions(g, buf_cstr(&url), true, label, permissions, &why);
	if (rc < 0 && str_ends(str_of(why.text), STR("create it")))
		err_set(e, why.class, "%s with: gcloud storage buckets create %s", why.text, label);
	else if (rc < 0)
		*e = why;
	buf_release(&url);
	free(label);
	return rc;
}
