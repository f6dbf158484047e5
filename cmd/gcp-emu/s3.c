/* s3: which requests are S3's, and what they share. */
#include "s3.h"

#include <string.h>

#include "bounds.h"
#include "digest.h"
#include "url.h"

bool
s3_signed(const struct request *req)
{
	return str_starts(request_header(req, "Authorization"), STR("AWS4-HMAC-SHA256"));
}

bool
s3_claims(const struct emu *emu, const struct request *req)
{
	bool bearer = str_starts(request_header(req, "Authorization"), STR("Bearer "));
	return gcs_is_xml(req->path) &&
	    (s3_signed(req) || request_query(req, "list-type").n > 0 || (emu->s3_key != NULL && !bearer));
}

void
s3_error(struct reply *rep, int status, const char *code, const char *message)
{
	rep->status = status;
	rep->content_type = "application/xml";
	buf_reset(&rep->body, 0);
	buf_addf(&rep->body,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message>"
	    "<RequestId>gcp-emu</RequestId></Error>", code, message);
}

void
s3_encode_path(struct buf *out, struct str s)
{
	for (bool more = true; more;) {
		struct str part = {s.p, str_find(s, '/')};
		more = part.n < s.n;
		url_encode(out, part);
		if (more)
			buf_addc(out, '/');
		s = str_skip(s, part.n + 1);
	}
}

/* If-Match names another content. */
static bool
other_content(const struct request *req, const struct gcs_object *o)
{
	struct str want = request_header(req, "If-Match");
	char hex[2 * DIGEST_MAX + 1];
	if (want.n == 0 || str_is(want, "*"))
		return false;
	if (want.n >= 2 && want.p[0] == '"' && want.p[want.n - 1] == '"')
		want = (struct str){want.p + 1, want.n - 2};
	digest_hex(hex, o->md5, sizeof(o->md5));
	return !str_is(want, hex);
}

static void
get(struct gcs *g, struct str bucket, struct str name, struct request *req, struct reply *rep)
{
	struct gcs_object o = {0};
	struct err e;
	int there = gcs_object_get(g, bucket, name, &o, &e);
	if (there < 0)
		s3_error(rep, 500, "InternalError", "We encountered an internal error. Please try again.");
	else if (there == 0)
		s3_error(rep, 404, "NoSuchKey", "The specified key does not exist.");
	else if (other_content(req, &o))
		s3_error(rep, 412, "PreconditionFailed",
		    "At least one of the pre-conditions you specified did not hold");
	else
		gcs_media(g, &o, req, rep);
	if (rep->status == 416)
		s3_error(rep, 416, "InvalidRange", "The requested range is not satisfiable");
	gcs_object_release(&o);
}

void
s3_handle(struct gcs *g, struct request *req, struct reply *rep)
{
	struct buf name = BUF_INIT(64 * KIB);
	struct str path = str_skip(req->path, 1);
	struct str bucket = {path.p, str_find(path, '/')};
	bool reads = strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0;
	if (!s3_admits(g->emu, req, rep))
		goto out;
	if (!url_decode(&name, str_skip(path, bucket.n + 1)))
		s3_error(rep, 400, "InvalidURI", "Couldn't parse the specified URI.");
	else if (!reads)
		s3_error(rep, 501, "NotImplemented", "gcp-emu's S3 only reads.");
	else if (!gcs_bucket_exists(g, bucket))
		s3_error(rep, 404, "NoSuchBucket", "The specified bucket does not exist");
	else if (name.n > 0)
		get(g, bucket, buf_str(&name), req, rep);
	else if (!str_is(request_query(req, "list-type"), "2"))
		s3_error(rep, 501, "NotImplemented", "gcp-emu's S3 lists by ListObjectsV2 only.");
	else
		s3_list(g, bucket, req, rep);
out:
	buf_release(&name);
}
