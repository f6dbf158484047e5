/*
 * Resumable uploads. A session's bytes are a file in .uploads named by its id; the database knows how many of
 * them count (what a death left behind those is cut off), the metadata, and how the session ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "digest.h"
#include "gcs.h"
#include "num.h"
#include "io.h"
#include "rng.h"
#include "xalloc.h"

#define UNKNOWN (-1)
#define PIECE (1024 * 1024)

struct session {
	struct str id;          /* the request's */
	char *bucket, *json, *content_type, *conds, *state;
	int64_t total;          /* UNKNOWN, or X-Upload-Content-Length */
	int64_t received;
	int64_t generation;     /* of the object it became */
};

/*
 * What a Content-Range says: bytes 0-9/10; 0-9 of *; 0-* of an unknown total, which is all there will be; *
 * of 10, a question.
 */
struct content_range {
	bool status;            /* a question, no bytes */
	int64_t from, to;       /* to is the byte behind the last; UNKNOWN for "*" */
	int64_t total;          /* UNKNOWN for "*" */
};

static bool
number_or_star(struct str s, int64_t *out)
{
	*out = UNKNOWN;
	return str_is(s, "*") || (num_i64(s, out) && *out >= 0);
}

static bool
read_content_range(struct str s, struct content_range *r)
{
	size_t slash, dash;
	struct str span;

	if (!str_starts(s, STR("bytes ")) && !str_starts(s, STR("bytes=")))
		return false;
	s = str_trim(str_skip(s, 6));
	slash = str_find(s, '/');
	if (slash == s.n || !number_or_star(str_skip(s, slash + 1), &r->total))
		return false;
	span = (struct str){s.p, slash};
	r->status = str_is(span, "*");
	if (r->status)
		return true;
	dash = str_find(span, '-');
	if (dash == span.n || !num_i64((struct str){span.p, dash}, &r->from) || r->from < 0 ||
	    !number_or_star(str_skip(span, dash + 1), &r->to))
		return false;
	if (r->to != UNKNOWN)
		r->to++;
	return (r->to == UNKNOWN || r->to > r->from) && (r->total == UNKNOWN || r->to <= r->total);
}

static void
release(struct session *s)
{
	free(s->bucket);
	free(s->json);
	free(s->content_type);
	free(s->conds);
	free(s->state);
}

static bool
load(struct gcs *g, struct str id, struct session *s)
{
	sqlite3_stmt *st = gcs_sql(g, "SELECT bucket, json, content_type, total, conds, received, state, "
	    "generation FROM sessions WHERE id = ? AND created > ?", "si", id,
	    g->emu->wall - (int64_t)GCS_SESSION_SECONDS * 1000000);
	bool there = st != NULL && sqlite3_step(st) == SQLITE_ROW;

	memset(s, 0, sizeof(*s));
	if (there) {
		s->id = id;
		s->bucket = str_dup(gcs_column(st, 0));
		s->json = str_dup(gcs_column(st, 1));
		s->content_type = str_dup(gcs_column(st, 2));
		s->total = sqlite3_column_int64(st, 3);
		s->conds = str_dup(gcs_column(st, 4));
		s->received = sqlite3_column_int64(st, 5);
		s->state = str_dup(gcs_column(st, 6));
		s->generation = sqlite3_column_int64(st, 7);
	}
	sqlite3_finalize(st);
	return there;
}

static int
save(struct gcs *g, const struct session *s, const char *state, struct err *e)
{
	return gcs_run(g, gcs_sql(g, "UPDATE sessions SET received = ?, state = ?, generation = ? WHERE id = "
	    "?", "izis", s->received, state, s->generation, s->id), e);
}

/* ---- the start ---- */

static void
conds_text(char out[160], const struct gcs_conds *c)
{
	int n = 0;

	for (int i = 0; i < GCS_CONDS; i++)
		n += snprintf(out + n, 160 - (size_t)n, "%lld ", c->has[i] ? (long long)c->v[i] : -1LL);
}

static void
conds_parse(const char *text, struct gcs_conds *c)
{
	char *end = (char *)(uintptr_t)text;

	for (int i = 0; i < GCS_CONDS; i++) {
		c->v[i] = strtoll(end, &end, 10);
		c->has[i] = c->v[i] >= 0;
	}
}

/* The metadata's JSON with the name that counts, for the session to keep. */
static struct str
session_json(struct gcs *g, const struct gcs_meta *m, struct buf *out)
{
	struct jsonw w = jsonw_to(out);
	const struct json *j = &g->json; /* gcs_meta_read left it there */

	jsonw_object(&w);
	jsonw_member(&w, "name", m->name);
	for (uint32_t k = json_first(0); k < json_end(j, 0); k = j->tok[k + 1].next) {
		if (str_is(json_text(j, k), "name") || j->tok[k].escaped)
			continue;
		jsonw_keys(&w, json_text(j, k));
		jsonw_raw(&w, json_raw(j, k + 1));
	}
	if (json_get(j, 0, "contentEncoding") == JSON_NONE && strstr(m->extra.p, "contentEncoding") != NULL) {
		struct json extra = {0};

		json_parse(&extra, m->extra);
		jsonw_key(&w, "contentEncoding");
		jsonw_raw(&w, json_raw(&extra, json_get(&extra, 0, "contentEncoding")));
		json_release(&extra);
	}
	jsonw_end(&w);
	return buf_str(out);
}

static void
reply_location(struct request *req, struct reply *rep, const struct gcs_meta *m, const char *id)
{
	struct buf name = BUF_INIT(16 * KIB);
	struct str host = request_header(req, "Host");

	for (size_t i = 0; i < m->name.n; i++)
		buf_addf(&name, "%%%02X", (unsigned char)m->name.p[i]);
	reply_header(rep, "Location", "http://%.*s%.*s?uploadType=resumable&name=%s&upload_id=%s",
	    STR_ARG(host.n > 0 ? host : STR("localhost")), STR_ARG(req->path), buf_cstr(&name), id);
	reply_header(rep, "X-GUploader-UploadID", "%s", id);
	buf_release(&name);
}

static int
create(struct gcs *g, struct str bucket, const struct gcs_meta *m, const struct gcs_conds *c, int64_t total,
    const char *id, struct err *e)
{
	struct buf json = BUF_INIT(GCS_META_MAX);
	char conds[160], *path = xasprintf("%s/%s", g->uploads, id);
	int fd, rc;

	conds_text(conds, c);
	rc = gcs_run(g, gcs_sql(g, "INSERT INTO sessions(id, bucket, json, content_type, total, conds, "
	    "received, state, generation, created) VALUES(?, ?, ?, ?, ?, ?, 0, 'open', 0, ?)", "zsszizi", id,
	    bucket,
	    session_json(g, m, &json), m->content_type, total, conds, g->emu->wall), e);
	fd = rc == 0 ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
	if (rc == 0 && fd < 0)
		rc = err_set(e, ERR_IO, "cannot create '%s': %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(path);
	buf_release(&json);
	return rc;
}

void
gcs_session_start(struct gcs *g, struct str bucket, struct request *req, struct reply *rep)
{
	struct str length = request_header(req, "X-Upload-Content-Length");
	struct gcs_conds conds;
	struct gcs_object old;
	struct gcs_meta m;
	int64_t total = UNKNOWN;
	struct rng rng;
	char id[48];
	struct err e;
	int there;

	if (!gcs_conds_read(req, rep, &conds))
		return;
	if (length.n > 0 && (!num_i64(length, &total) || total < 0)) {
		reply_error(rep, 400, "invalid", "Invalid value for X-Upload-Content-Length");
		return;
	}
	if (!gcs_meta_read(g, req, rep, req->body, request_header(req, "X-Upload-Content-Type"), &m))
		return;
	rng_seed_os(&rng);
	snprintf(id, sizeof(id), "s-%016llx%016llx", (unsigned long long)rng_next(&rng),
	    (unsigned long long)rng_next(&rng));
	there = gcs_object_get(g, bucket, m.name, &old, &e);
	if (there >= 0 && gcs_conds_check(&conds, there == 1 ? &old : NULL) != 0)
		gcs_conds_failed(rep, 412);
	else if (there < 0 || create(g, bucket, &m, &conds, total, id, &e) < 0)
		gcs_failed(rep, &e);
	else
		reply_location(req, rep, &m, id);
	gcs_object_release(&old);
	gcs_meta_release(&m);
}

/* ---- bytes ---- */

/* 308 and how many bytes are kept; no Range where there are none. */
static void
reply_more(const struct session *s, struct reply *rep)
{
	rep->status = 308;
	if (s->received > 0)
		reply_header(rep, "Range", "bytes=0-%lld", (long long)s->received - 1);
	reply_header(rep, "X-GUploader-UploadID", "%.*s", STR_ARG(s->id));
}

/* Writes bytes at s->received of the session's file, cutting off what lies behind them. */
static int
append(struct gcs *g, struct session *s, struct str bytes, struct err *e)
{
	char *path = xasprintf("%s/%.*s", g->uploads, STR_ARG(s->id));
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666), rc = -1;

	if (fd < 0 || ftruncate(fd, s->received) < 0 || lseek(fd, s->received, SEEK_SET) < 0)
		err_set(e, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
	else
		rc = io_write_all(fd, bytes, path, e);
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		s->received += (int64_t)bytes.n;
	free(path);
	return rc;
}

static int
hash_file(struct gcs *g, const struct session *s, struct gcs_object *o, struct err *e)
{
	char *path = xasprintf("%s/%.*s", g->uploads, STR_ARG(s->id)), *piece = xmalloc(PIECE);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct digest md5;
	ssize_t n = -1;

	digest_begin(&md5, DIGEST_MD5);
	while (fd >= 0 && (n = read(fd, piece, PIECE)) > 0) {
		digest_add(&md5, (struct str){piece, (size_t)n});
		o->crc32c = crc32c(o->crc32c, (struct str){piece, (size_t)n});
		o->size += n;
	}
	digest_end(&md5, o->md5);
	if (n < 0)
		err_set(e, ERR_IO, "cannot read '%s': %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(piece);
	free(path);
	return n < 0 ? -1 : 0;
}

static void
finish(struct gcs *g, struct session *s, struct request *req, struct reply *rep)
{
	struct gcs_object o = {0};
	struct gcs_conds conds;
	struct gcs_meta m;
	char *id;
	struct err e;
	bool stored;

	if (!gcs_meta_read(g, req, rep, str_of(s->json), str_of(s->content_type), &m))
		return;
	gcs_meta_hashes(req, &m);
	conds_parse(s->conds, &conds);
	id = str_dup(s->id);
	if (append(g, s, STR(""), &e) < 0 || hash_file(g, s, &o, &e) < 0) {
		gcs_failed(rep, &e);
	} else {
		stored = gcs_upload_end(g, str_of(s->bucket), &m, &conds, id, &o, req, rep);
		s->generation = stored ? o.generation : 0;
		if (save(g, s, stored ? "done" : "failed", &e) < 0)
			gcs_failed(rep, &e);
	}
	free(id);
	gcs_object_release(&o);
	gcs_meta_release(&m);
}

/* The session has become an object: that object again, for a client whose reply was lost. */
static void
reply_done(struct gcs *g, const struct session *s, struct request *req, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);
	struct json j = {0};
	struct buf scratch = BUF_INIT(64 * KIB);
	struct gcs_object o = {0};
	struct err e;

	if (json_parse(&j, str_of(s->json)) == JSON_OK &&
	    gcs_object_get(g, str_of(s->bucket), json_string(&j, json_get(&j, 0, "name"), &scratch), &o,
	    &e) == 1 && o.generation == s->generation)
		gcs_object_write(&w, &o, req);
	else
		reply_error(rep, 410, "uploadBrokenConnection",
		    "The upload is finished, and its object is gone since.");
	gcs_object_release(&o);
	buf_release(&scratch);
	json_release(&j);
}

/* Whether the request's bytes fit its Content-Range and the session: false after the error reply. */
static bool
bytes_fit(const struct session *s, const struct content_range *r, size_t n, struct reply *rep)
{
	if (r->from > s->received)
		reply_error(rep, 400, "invalid", "Invalid request.  According to the Content-Range header, "
		    "the upload offset is %lld byte(s), which exceeds already uploaded size of %lld byte(s).",
		    (long long)r->from,
		    (long long)s->received);
	else if (r->to != UNKNOWN && (int64_t)n != r->to - r->from)
		reply_error(rep, 400, "invalid", "Invalid request.  There were %zu byte(s) in the request "
		    "body.  There should have been %lld byte(s) (starting at offset %lld) according to the "
		    "Content-Range header.", n,
		    (long long)(r->to - r->from), (long long)r->from);
	else if (s->total != UNKNOWN && ((r->total != UNKNOWN && r->total != s->total) ||
	    r->from + (int64_t)n > s->total))
		reply_error(rep, 400, "invalid", "Invalid request.  The upload was begun for %lld byte(s).",
		    (long long)s->total);
	else if (r->total != UNKNOWN && r->from + (int64_t)n > r->total)
		reply_error(rep, 400, "invalid", "Invalid request.  There are more than %lld byte(s).",
		    (long long)r->total);
	else
		return true;
	return false;
}

static void
take_bytes(struct gcs *g, struct session *s, const struct content_range *r, struct request *req,
    struct reply *rep)
{
	struct str bytes = req->body;
	int64_t end = r->from + (int64_t)bytes.n;
	bool last = r->total != UNKNOWN ? end == r->total : r->to == UNKNOWN;
	struct err e;

	if (!bytes_fit(s, r, bytes.n, rep))
		return;
	/* what is kept already is not written again */
	bytes = str_skip(bytes, (size_t)(s->received - r->from));
	if (!last && bytes.n > 0 && bytes.n < GCS_CHUNK_UNIT) {
		reply_error(rep, 400, "invalid", "Invalid request.  The number of bytes uploaded is required "
		    "to be equal or greater than %d, except for the final request (it's recommended to be "
		    "the exact multiple of %d).  The received "
		    "request contained %zu bytes, which does not meet this requirement.", GCS_CHUNK_UNIT,
		    GCS_CHUNK_UNIT, bytes.n);
		return;
	}
	/* the service keeps whole units only, and says so in Range */
	if (!last)
		bytes.n -= bytes.n % GCS_CHUNK_UNIT;
	if (append(g, s, bytes, &e) < 0)
		gcs_failed(rep, &e);
	else if (last)
		finish(g, s, req, rep);
	else if (save(g, s, "open", &e) < 0)
		gcs_failed(rep, &e);
	else
		reply_more(s, rep);
}

/* "bytes *" "/N" ends an upload whose N bytes are all there, and else asks how far it is. */
static void
answer_status(struct gcs *g, struct session *s, const struct content_range *r, struct request *req,
    struct reply *rep)
{
	if (r->total != UNKNOWN && r->total == s->received && (s->total == UNKNOWN || s->total == r->total))
		finish(g, s, req, rep);
	else
		reply_more(s, rep);
}

static void
put_bytes(struct gcs *g, struct session *s, struct request *req, struct reply *rep)
{
	struct str header = request_header(req, "Content-Range");
	struct content_range r = {.to = UNKNOWN, .total = UNKNOWN};

	if (header.n > 0 && !read_content_range(header, &r))
		reply_error(rep, 400, "invalid", "Invalid Content-Range: '%.*s'", STR_ARG(header));
	else if (r.status && req->body.n > 0)
		reply_error(rep, 400, "invalid", "Invalid request.  There were %zu byte(s) in the request "
		    "body of a status query.", req->body.n);
	else if (r.status)
		answer_status(g, s, &r, req, rep);
	else
		take_bytes(g, s, &r, req, rep);
}

static void
cancel(struct gcs *g, struct session *s, struct reply *rep)
{
	char *id = str_dup(s->id);
	struct err e;

	if (save(g, s, "cancelled", &e) < 0) {
		gcs_failed(rep, &e);
	} else {
		gcs_temp_drop(g, id);
		rep->status = 499;
	}
	free(id);
}

void
gcs_session(struct gcs *g, struct str bucket, struct str id, struct request *req, struct reply *rep)
{
	bool put = strcmp(req->method, "PUT") == 0 || strcmp(req->method, "POST") == 0;
	struct session s;

	if (!load(g, id, &s) || !str_eq(str_of(s.bucket), bucket))
		reply_error(rep, 404, "notFound", "Upload session not found.");
	else if (!put && strcmp(req->method, "DELETE") != 0)
		reply_error(rep, 405, "methodNotAllowed", "Method not allowed.");
	else if (strcmp(s.state, "done") == 0)
		reply_done(g, &s, req, rep);
	else if (strcmp(s.state, "open") != 0)
		reply_error(rep, 410, "gone", "The upload session has ended.");
	else if (put)
		put_bytes(g, &s, req, rep);
	else
		cancel(g, &s, rep);
	release(&s);
}
