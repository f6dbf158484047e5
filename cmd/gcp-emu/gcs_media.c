/*
 * Downloads: whole, in ranges, decompressed where the client asks for no gzip; and the XML API's GET and
 * HEAD.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "bounds.h"
#include "digest.h"
#include "gcs.h"
#include "num.h"
#include "s3.h"
#include "xalloc.h"

#define INFLATED_MAX (256 * MIB)

struct range {
	int64_t from, to; /* the first byte and the one behind the last */
};

/* One "bytes=a-b", "bytes=a-" or "bytes=-n". 1: a range, 0: none to obey, -1: beyond the content. */
static int
read_range(struct str s, int64_t size, struct range *r)
{
	size_t dash;
	struct str a, b;

	if (!str_starts(s, STR("bytes=")) || str_find(s, ',') < s.n)
		return 0;
	s = str_trim(str_skip(s, 6));
	dash = str_find(s, '-');
	if (dash == s.n)
		return 0;
	a = (struct str){s.p, dash};
	b = str_skip(s, dash + 1);
	if (a.n == 0) {
		if (!num_i64(b, &r->from) || r->from < 0)
			return 0;
		r->from = r->from > size ? 0 : size - r->from;
		r->to = size;
		return r->from < size ? 1 : -1;
	}
	if (!num_i64(a, &r->from) || r->from < 0 || (b.n > 0 && (!num_i64(b, &r->to) || r->to < r->from)))
		return 0;
	r->to = b.n == 0 || r->to >= size ? size : r->to + 1;
	return r->from < size ? 1 : -1;
}

static int
read_file(const char *path, const struct range *r, struct buf *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
	size_t left = (size_t)(r->to - r->from);
	off_t at = r->from;

	if (fd < 0)
		return err_set(e, ERR_IO, "cannot open '%s': %s", path, strerror(errno));
	while (left > 0 && rc == 0) {
		char *p = buf_room(out, left);
		ssize_t n = p != NULL ? pread(fd, p, left, at) : -1;

		if (p == NULL)
			rc = err_set(e, ERR_IO, "cannot send '%s': it is too large for one reply of gcp-emu",
			    path);
		else if (n <= 0)
			rc = err_set(e, ERR_IO, "cannot read '%s': %s", path, n < 0 ? strerror(errno) :
			    "it is shorter than stored");
		else {
			buf_grew(out, (size_t)n);
			at += n;
			left -= (size_t)n;
		}
	}
	close(fd);
	return rc;
}

/* a header's value that came from a client's metadata: what could not stand in a header is left out */
static void
meta_header(struct reply *rep, const char *name, struct str v)
{
	for (size_t i = 0; i < v.n; i++)
		if ((unsigned char)v.p[i] < 0x20 || v.p[i] == 0x7f)
			return;
	if (v.n > 0)
		reply_header(rep, name, "%.*s", STR_ARG(v));
}

static void
extra_headers(const struct gcs_object *o, struct reply *rep, bool unpacked)
{
	struct json j = {0};
	struct buf scratch = BUF_INIT(GCS_META_MAX);

	if (json_parse(&j, o->extra) == JSON_OK) {
		meta_header(rep, "Cache-Control", json_string(&j, json_get(&j, 0, "cacheControl"), &scratch));
		meta_header(rep, "Content-Disposition", json_string(&j, json_get(&j, 0, "contentDisposition"),
		    &scratch));
		meta_header(rep, "Content-Language", json_string(&j, json_get(&j, 0, "contentLanguage"),
		    &scratch));
		if (!unpacked)
			meta_header(rep, "Content-Encoding",
			    json_string(&j, json_get(&j, 0, "contentEncoding"), &scratch));
	}
	buf_release(&scratch);
	json_release(&j);
}

static bool
is_gzip(const struct gcs_object *o)
{
	struct json j = {0};
	bool gzip = json_parse(&j, o->extra) == JSON_OK &&
	    str_is(json_text(&j, json_get(&j, 0, "contentEncoding")), "gzip");

	json_release(&j);
	return gzip;
}

/* S3's ETag is the content's MD5, Cloud Storage's XML API has its generation there. */
static void
add_etag(const struct gcs_object *o, struct reply *rep, bool s3)
{
	char hex[2 * DIGEST_MAX + 1];

	digest_hex(hex, o->md5, sizeof(o->md5));
	if (s3)
		reply_header(rep, "ETag", "\"%s\"", hex);
	else
		reply_header(rep, "ETag", "\"%lld\"", (long long)o->generation);
}

static void
add_headers(const struct gcs_object *o, struct reply *rep, bool gzip, bool unpacked)
{
	uint8_t crc[4] = {(uint8_t)(o->crc32c >> 24), (uint8_t)(o->crc32c >> 16), (uint8_t)(o->crc32c >> 8),
	    (uint8_t)o->crc32c};
	char crc_text[32], md5_text[32], date[64];
	time_t seconds = (time_t)(o->updated / 1000000);
	struct tm tm;

	gcs_base64(crc_text, crc, 4);
	gcs_base64(md5_text, o->md5, 16);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&seconds, &tm));
	reply_header(rep, "X-Goog-Hash", "crc32c=%s,md5=%s", crc_text, md5_text);
	reply_header(rep, "X-Goog-Generation", "%lld", (long long)o->generation);
	reply_header(rep, "X-Goog-Metageneration", "%lld", (long long)o->metageneration);
	reply_header(rep, "X-Goog-Storage-Class", "STANDARD");
	reply_header(rep, "X-Goog-Stored-Content-Length", "%lld", (long long)o->size);
	reply_header(rep, "X-Goog-Stored-Content-Encoding", "%s", gzip ? "gzip" : "identity");
	reply_header(rep, "Last-Modified", "%s", date);
	if (unpacked)
		reply_header(rep, "Warning", "214 UploadServer gunzipped");
	else
		reply_header(rep, "Accept-Ranges", "bytes");
	meta_header(rep, "Content-Type", str_of(o->content_type));
	extra_headers(o, rep, unpacked);
}

/* Decompresses body: false where it is no gzip or too large, and body is as it was. */
static bool
gunzip(struct buf *body)
{
	struct buf out = BUF_INIT(INFLATED_MAX);
	z_stream z = {.next_in = (Bytef *)body->p, .avail_in = (uInt)body->n};
	int code = inflateInit2(&z, 16 + MAX_WBITS);

	while (code == Z_OK) {
		char *p = buf_room(&out, 256 * KIB);

		if (p == NULL)
			break;
		z.next_out = (Bytef *)p;
		z.avail_out = 256 * KIB;
		code = inflate(&z, Z_NO_FLUSH);
		buf_grew(&out, 256 * KIB - z.avail_out);
	}
	inflateEnd(&z);
	if (code == Z_STREAM_END) {
		buf_reset(body, 0);
		buf_adds(body, buf_str(&out));
	}
	buf_release(&out);
	return code == Z_STREAM_END;
}

void
gcs_media(struct gcs *g, const struct gcs_object *o, struct request *req, struct reply *rep)
{
	struct str accepted = request_header(req, "Accept-Encoding");
	bool gzip = is_gzip(o), s3 = s3_claims(g->emu, req);
	bool unpack = gzip && !s3 && (accepted.n == 0 || memmem(accepted.p, accepted.n, "gzip", 4) == NULL);
	struct range r;
	int ranged = unpack ? 0 : read_range(request_header(req, "Range"), o->size, &r);
	char *path;
	struct err e;

	if (ranged == 0)
		r = (struct range){0, o->size};
	if (ranged < 0) {
		reply_error(rep, 416, "requestedRangeNotSatisfiable", "Request range not satisfiable");
		reply_header(rep, "Content-Range", "bytes */%lld", (long long)o->size);
		return;
	}
	path = gcs_file(g, o);
	if (read_file(path, &r, &rep->body, &e) < 0) {
		gcs_failed(rep, &e);
	} else {
		unpack = unpack && gunzip(&rep->body);
		rep->content_type = ""; /* an empty one is dropped: the object's is among the headers */
		add_headers(o, rep, gzip, unpack);
		add_etag(o, rep, s3);
		if (ranged == 1) {
			rep->status = 206;
			reply_header(rep, "Content-Range", "bytes %lld-%lld/%lld", (long long)r.from,
			    (long long)r.to - 1, (long long)o->size);
		}
	}
	free(path);
}

/* ---- the XML API ---- */

static void
xml_error(struct reply *rep, int status, const char *code, const char *message)
{
	rep->status = status;
	rep->content_type = "application/xml; charset=UTF-8";
	buf_reset(&rep->body, 0);
	buf_addf(&rep->body,
	    "<?xml version='1.0' encoding='UTF-8'?><Error><Code>%s</Code><Message>%s</Message></Error>",
	    code, message);
}

void
gcs_xml(struct gcs *g, struct request *req, struct reply *rep)
{
	struct buf name = BUF_INIT(64 * KIB);
	struct str path = str_skip(req->path, 1), bucket;
	size_t slash = str_find(path, '/');
	struct gcs_object o = {0};
	struct err e;
	int there = 0;

	bucket = (struct str){path.p, slash};
	if (strcmp(req->method, "GET") != 0 && strcmp(req->method, "HEAD") != 0)
		xml_error(rep, 501, "NotImplemented", "gcp-emu's XML API reads objects only.");
	else if (!gcs_bucket_exists(g, bucket))
		xml_error(rep, 404, "NoSuchBucket", "The specified bucket does not exist.");
	else if (slash >= path.n || !url_decode(&name, str_skip(path, slash + 1)))
		xml_error(rep, 501, "NotImplemented", "gcp-emu's XML API reads objects only.");
	else if ((there = gcs_object_get(g, bucket, buf_str(&name), &o, &e)) < 0)
		gcs_failed(rep, &e);
	else if (there == 0 || gcs_other_generation(req, &o))
		xml_error(rep, 404, "NoSuchKey", "The specified key does not exist.");
	else
		gcs_media(g, &o, req, rep);
	gcs_object_release(&o);
	buf_release(&name);
}
