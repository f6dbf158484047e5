/*
 * Cloud Storage's APIs: which call a path is. The JSON API answers under /storage/v1 and without it, uploads
 * under /upload and /resumable/upload, downloads also under /download; every other path is the XML API's.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "gcs.h"
#include "s3.h"
#include "xalloc.h"

struct gcs *
gcs_open(struct emu *emu, struct err *e)
{
	struct gcs *g = xcalloc(1, sizeof(*g));

	g->emu = emu;
	g->dir = xasprintf("%s/storage", emu->dir);
	g->uploads = xasprintf("%s/.uploads", g->dir);
	if (gcs_store_open(g, e) == 0)
		return g;
	gcs_close(g);
	return NULL;
}

void
gcs_close(struct gcs *g)
{
	if (g == NULL)
		return;
	sqlite3_close(g->db);
	json_release(&g->json);
	free(g->uploads);
	free(g->dir);
	free(g);
}

static bool
strip(struct str *path, struct str prefix)
{
	if (!str_starts(*path, prefix))
		return false;
	*path = str_skip(*path, prefix.n);
	return true;
}

/* /b/BUCKET/rest: the JSON API without its prefixes */
static void
handle_json(struct gcs *g, struct str path, bool upload, struct request *req, struct reply *rep)
{
	struct buf bucket = BUF_INIT(4 * KIB), name = BUF_INIT(64 * KIB);
	struct str rest = str_skip(path, 3);
	size_t slash = str_find(rest, '/');

	if (path.n <= 3) {
		gcs_buckets(g, req, rep);
		goto out;
	}
	if (!url_decode(&bucket, (struct str){rest.p, slash}) || bucket.n == 0) {
		reply_error(rep, 400, "invalid", "Invalid bucket name");
		goto out;
	}
	rest = str_skip(rest, slash);
	if (upload && str_is(rest, "/o"))
		gcs_upload(g, buf_str(&bucket), req, rep);
	else if (upload)
		reply_error(rep, 404, "notFound", "Not Found");
	else if (str_is(rest, "/o") && strcmp(req->method, "GET") == 0)
		gcs_list(g, buf_str(&bucket), req, rep);
	else if (!str_starts(rest, STR("/o/")))
		gcs_bucket(g, buf_str(&bucket), rest, req, rep);
	else if (!url_decode(&name, str_skip(rest, 3)) || name.n == 0)
		reply_error(rep, 400, "invalid", "Invalid object name");
	else
		gcs_object(g, buf_str(&bucket), buf_str(&name), req, rep);
out:
	buf_release(&bucket);
	buf_release(&name);
}

bool
gcs_is_xml(struct str path)
{
	static const char *const json[] = {"/download/", "/resumable/upload/", "/upload/", "/storage/v1/", "/b/"};

	for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
		if (str_starts(path, str_of(json[i])))
			return false;
	}
	return !str_is(path, "/b");
}

enum emu_answer
gcs_handle(struct emu *emu, struct request *req, struct reply *rep)
{
	struct str path = req->path;
	bool download = strip(&path, STR("/download"));
	bool resumable = !download && str_starts(path, STR("/resumable/upload/")) &&
	    strip(&path, STR("/resumable"));
	bool upload = !download && str_starts(path, STR("/upload/")) && strip(&path, STR("/upload"));
	bool prefixed = str_starts(path, STR("/storage/v1/b")) && strip(&path, STR("/storage/v1"));

	if (s3_claims(emu, req))
		s3_handle(emu->gcs, req, rep);
	else if (str_is(path, "/b") || str_starts(path, STR("/b/")))
		handle_json(emu->gcs, path, upload, req, rep);
	else if (!download && !resumable && !upload && !prefixed && !str_starts(path, STR("/storage/v1/")))
		gcs_xml(emu->gcs, req, rep);
	else
		reply_error(rep, 404, "notFound", "gcp-emu's Cloud Storage knows no %s %.*s", req->method,
		    (int)(req->path.n < 200 ? req->path.n : 200), req->path.p);
	return EMU_DONE;
}

int
gcs_defaults(struct emu *emu, struct err *e)
{
	char *name = xasprintf("%s-events-output", emu->project);
	int rc = 0;

	if (!gcs_bucket_name_fits(str_of(name)))
		rc = err_set(e, ERR_USAGE, "cannot make bucket '%s': a bucket's name is 3 to 63 lower-case "
		    "letters, digits, - and _, and has no \"google\" in it; choose another --project", name);
	else if (!gcs_bucket_exists(emu->gcs, str_of(name)))
		rc = gcs_bucket_create(emu->gcs, str_of(name), STR("{}"), e);
	free(name);
	return rc;
}
