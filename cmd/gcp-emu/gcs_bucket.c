/* Buckets: insert, get, list, delete, permissions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gcs.h"
#include "httpd.h"
#include "num.h"
#include "xalloc.h"

static const char *const kept[] = {"location", "storageClass", "labels", "iamConfiguration", "lifecycle",
    "versioning", "softDeletePolicy", "retentionPolicy", NULL};

static bool
is(const struct request *req, const char *method)
{
	return strcmp(req->method, method) == 0;
}

void
gcs_no_bucket(struct reply *rep)
{
	reply_error(rep, 404, "notFound", "The specified bucket does not exist.");
}

static bool
alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool
like_address(struct str name)
{
	int dots = 0;

	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '.')
			dots++;
		else if (name.p[i] < '0' || name.p[i] > '9')
			return false;
	}
	return dots == 3;
}

/* The rules of cloud.google.com/storage/docs/buckets#naming. */
bool
gcs_bucket_name_fits(struct str name)
{
	size_t part = 0, max = memchr(name.p, '.', name.n) != NULL ? 222 : 63;

	if (name.n < 3 || name.n > max || !alnum(name.p[0]) || !alnum(name.p[name.n - 1]) ||
	    like_address(name) ||
	    str_starts(name, STR("goog")) || memmem(name.p, name.n, "google", 6) != NULL)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!alnum(c) && c != '-' && c != '_' && c != '.')
			return false;
		part = c == '.' ? 0 : part + 1;
		if (part > 63 || (c == '.' && name.p[i - 1] == '.'))
			return false;
	}
	return true;
}

static void
copy_kept(struct jsonw *w, const struct json *j, uint32_t object)
{
	for (size_t i = 0; kept[i] != NULL; i++) {
		uint32_t t = json_get(j, object, kept[i]);

		if (t == JSON_NONE || json_is(j, t, JSON_NULL))
			continue;
		jsonw_key(w, kept[i]);
		jsonw_raw(w, json_raw(j, t));
	}
}

static void
write_bucket(struct gcs *g, struct jsonw *w, sqlite3_stmt *st, const struct request *req)
{
	struct str name = gcs_column(st, 0), host = request_header(req, "Host");
	int64_t created = sqlite3_column_int64(st, 2);
	char *link = xasprintf("http://%.*s/storage/v1/b/%.*s", STR_ARG(host.n > 0 ? host : STR("localhost")),
	    STR_ARG(name));

	jsonw_object(w);
	jsonw_member(w, "kind", STR("storage#bucket"));
	jsonw_member(w, "id", name);
	jsonw_member(w, "name", name);
	jsonw_member(w, "selfLink", str_of(link));
	jsonw_member(w, "projectNumber", STR("1"));
	jsonw_member(w, "metageneration", STR("1"));
	jsonw_member(w, "etag", STR("CAE="));
	gcs_member_time(w, "timeCreated", created);
	gcs_member_time(w, "updated", created);
	if (json_parse(&g->json, gcs_column(st, 1)) == JSON_OK) {
		copy_kept(w, &g->json, 0);
		if (json_get(&g->json, 0, "location") == JSON_NONE)
			jsonw_member(w, "location", STR("US"));
		if (json_get(&g->json, 0, "storageClass") == JSON_NONE)
			jsonw_member(w, "storageClass", STR("STANDARD"));
	}
	jsonw_member(w, "locationType", STR("multi-region"));
	jsonw_end(w);
	free(link);
}

static void
get_bucket(struct gcs *g, struct str bucket, struct request *req, struct reply *rep)
{
	sqlite3_stmt *st = gcs_sql(g, "SELECT name, extra, created FROM buckets WHERE name = ?", "s", bucket);
	struct jsonw w = jsonw_to(&rep->body);

	if (st != NULL && sqlite3_step(st) == SQLITE_ROW)
		write_bucket(g, &w, st, req);
	else
		gcs_no_bucket(rep);
	sqlite3_finalize(st);
}

int
gcs_bucket_create(struct gcs *g, struct str bucket, struct str extra, struct err *e)
{
	char *folder = xasprintf("%s/%.*s", g->dir, STR_ARG(bucket));
	int rc = -1;

	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		err_set(e, ERR_IO, "cannot create '%s': %s", folder, strerror(errno));
	else
		rc = gcs_run(g, gcs_sql(g, "INSERT INTO buckets(name, extra, created) VALUES(?, ?, ?)", "ssi",
		    bucket, extra, g->emu->wall), e);
	free(folder);
	return rc;
}

static void
insert_bucket(struct gcs *g, struct request *req, struct reply *rep)
{
	struct buf extra = BUF_INIT(GCS_META_MAX);
	struct jsonw w = jsonw_to(&extra);
	struct err e;
	char *name;

	if (json_parse(&g->json, req->body) != JSON_OK || !json_is(&g->json, 0, JSON_OBJECT)) {
		reply_error(rep, 400, "parseError", "Parse Error");
		return;
	}
	name = json_dup(&g->json, json_get(&g->json, 0, "name"));
	jsonw_object(&w);
	copy_kept(&w, &g->json, 0);
	jsonw_end(&w);
	if (name == NULL)
		reply_error(rep, 400, "required", "Required");
	else if (!gcs_bucket_name_fits(str_of(name)))
		reply_error(rep, 400, "invalid", "Invalid bucket name: '%.300s'", name);
	else if (gcs_bucket_exists(g, str_of(name)))
		reply_error(rep, 409, "conflict", "Your previous request to create the named bucket "
		    "succeeded and you already own it.");
	else if (gcs_bucket_create(g, str_of(name), buf_str(&extra), &e) < 0)
		gcs_failed(rep, &e);
	else
		get_bucket(g, str_of(name), req, rep);
	free(name);
	buf_release(&extra);
}

static void
list_buckets(struct gcs *g, struct request *req, struct reply *rep)
{
	struct str prefix = request_query(req, "prefix"), token = request_query(req, "pageToken"), last;
	struct jsonw w = jsonw_to(&rep->body);
	int64_t max = GCS_LIST_MAX, n = 0;
	char *next = NULL;
	sqlite3_stmt *st;

	if (request_query(req, "maxResults").n > 0 && (!num_i64(request_query(req, "maxResults"), &max) ||
	    max < 1)) {
		reply_error(rep, 400, "invalid", "Invalid argument: maxResults");
		return;
	}
	if (max > GCS_LIST_MAX)
		max = GCS_LIST_MAX;
	st = gcs_sql(g, "SELECT name, extra, created FROM buckets WHERE name > ? ORDER BY name", "s",
	    token.n > 0 ? token : STR(""));
	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("storage#buckets"));
	jsonw_key(&w, "items");
	jsonw_array(&w);
	while (st != NULL && sqlite3_step(st) == SQLITE_ROW) {
		last = gcs_column(st, 0);
		if (prefix.n > 0 && !str_starts(last, prefix))
			continue;
		if (n++ == max)
			break;
		free(next);
		next = str_dup(last);
		write_bucket(g, &w, st, req);
	}
	jsonw_end(&w);
	if (n > max)
		jsonw_member(&w, "nextPageToken", str_of(next));
	jsonw_end(&w);
	sqlite3_finalize(st);
	free(next);
}

void
gcs_buckets(struct gcs *g, struct request *req, struct reply *rep)
{
	if (is(req, "GET"))
		list_buckets(g, req, rep);
	else if (is(req, "POST"))
		insert_bucket(g, req, rep);
	else
		reply_error(rep, 405, "methodNotAllowed", "Method not allowed.");
}

static void
delete_bucket(struct gcs *g, struct str bucket, struct reply *rep)
{
	sqlite3_stmt *st = gcs_sql(g, "SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", "s", bucket);
	bool used = st != NULL && sqlite3_step(st) == SQLITE_ROW;
	char *folder = xasprintf("%s/%.*s", g->dir, STR_ARG(bucket));
	struct err e;

	sqlite3_finalize(st);
	if (used) {
		reply_error(rep, 409, "conflict", "The bucket you tried to delete is not empty.");
	} else if (gcs_run(g, gcs_sql(g, "DELETE FROM buckets WHERE name = ?", "s", bucket), &e) < 0) {
		gcs_failed(rep, &e);
	} else {
		rmdir(folder); /* a file that somebody else put there keeps it */
		rep->status = 204;
	}
	free(folder);
}

/* Everyone may do everything here: all that was asked, by as many `permissions` as the query has. */
static void
test_permissions(struct request *req, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);
	const struct conn *c = req->conn;

	request_query(req, "permissions"); /* the query is taken apart by now */
	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("storage#testIamPermissionsResponse"));
	jsonw_key(&w, "permissions");
	jsonw_array(&w);
	for (int i = 0; c != NULL && i < c->nparams; i++)
		if (str_is(c->params[i].name, "permissions"))
			jsonw_str(&w, c->params[i].value);
	jsonw_end(&w);
	jsonw_end(&w);
}

/* gcloud asks whether the bucket has folders of its own. It has not. */
static void
storage_layout(struct str bucket, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);

	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("storage#storageLayout"));
	jsonw_member(&w, "bucket", bucket);
	jsonw_member(&w, "location", STR("US"));
	jsonw_member(&w, "locationType", STR("multi-region"));
	jsonw_key(&w, "hierarchicalNamespace");
	jsonw_object(&w);
	jsonw_key(&w, "enabled");
	jsonw_bool(&w, false);
	jsonw_end(&w);
	jsonw_end(&w);
}

void
gcs_bucket(struct gcs *g, struct str bucket, struct str rest, struct request *req, struct reply *rep)
{
	if (!gcs_bucket_exists(g, bucket))
		gcs_no_bucket(rep);
	else if (rest.n == 0 && is(req, "GET"))
		get_bucket(g, bucket, req, rep);
	else if (rest.n == 0 && is(req, "DELETE"))
		delete_bucket(g, bucket, rep);
	else if (str_is(rest, "/iam/testPermissions") && is(req, "GET"))
		test_permissions(req, rep);
	else if (str_is(rest, "/storageLayout") && is(req, "GET"))
		storage_layout(bucket, rep);
	else
		reply_error(rep, 501, "notImplemented", "gcp-emu's Cloud Storage knows no %s of a bucket's "
		    "'%.*s'", req->method, STR_ARG(rest));
}
