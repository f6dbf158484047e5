/* An object's resource, the preconditions of a request, get and delete. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "gcs.h"
#include "log.h"
#include "num.h"
#include "time.h"
#include "xalloc.h"

static const char *const extras[] = {"cacheControl", "contentDisposition", "contentEncoding",
    "contentLanguage", "metadata", "customTime", "storageClass", NULL};

void
gcs_member_i64(struct jsonw *w, const char *name, int64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)v);
	jsonw_member(w, name, str_of(text));
}

void
gcs_member_time(struct jsonw *w, const char *name, int64_t micros)
{
	struct buf text = BUF_INIT(64);

	time_format(&text, micros - micros % 1000);
	jsonw_member(w, name, buf_str(&text));
	buf_release(&text);
}

void
gcs_base64(char out[32], const void *p, size_t n)
{
	struct buf text = BUF_INIT(31);

	base64_encode(&text, (struct str){p, n});
	snprintf(out, 32, "%.*s", STR_ARG(buf_str(&text)));
	buf_release(&text);
}

void
gcs_failed(struct reply *rep, const struct err *e)
{
	log_error("%s", e->text);
	reply_error(rep, 500, "internalError", "%s", e->text);
}

void
gcs_no_object(struct reply *rep, struct str bucket, struct str name)
{
	reply_error(rep, 404, "notFound", "No such object: %.*s/%.*s", STR_ARG(bucket), STR_ARG(name));
}

/* %-escapes all that is not unreserved (RFC 3986), slashes too: one segment of the JSON API's path. */
static void
add_segment(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
		    (c != '\0' && strchr("-._~", c) != NULL))
			buf_addc(out, (char)c);
		else
			buf_addf(out, "%%%02X", c);
	}
}

static void
write_links(struct jsonw *w, const struct gcs_object *o, const struct request *req)
{
	struct buf link = BUF_INIT(16 * 1024);
	struct str host = request_header(req, "Host");

	host = host.n > 0 ? host : STR("localhost");
	buf_addf(&link, "http://%.*s/storage/v1/b/%.*s/o/", STR_ARG(host), STR_ARG(o->bucket));
	add_segment(&link, o->name);
	jsonw_member(w, "selfLink", buf_str(&link));
	buf_reset(&link, 4096);
	buf_addf(&link, "http://%.*s/download/storage/v1/b/%.*s/o/", STR_ARG(host), STR_ARG(o->bucket));
	add_segment(&link, o->name);
	buf_addf(&link, "?generation=%lld&alt=media", (long long)o->generation);
	jsonw_member(w, "mediaLink", buf_str(&link));
	buf_release(&link);
}

static void
write_hashes(struct jsonw *w, const struct gcs_object *o)
{
	uint8_t crc[4] = {(uint8_t)(o->crc32c >> 24), (uint8_t)(o->crc32c >> 16), (uint8_t)(o->crc32c >> 8),
	    (uint8_t)o->crc32c};
	char text[32];

	gcs_base64(text, o->md5, 16);
	jsonw_member(w, "md5Hash", str_of(text));
	gcs_base64(text, crc, 4);
	jsonw_member(w, "crc32c", str_of(text));
}

static void
write_extras(struct jsonw *w, const struct gcs_object *o)
{
	struct json j = {0};
	bool class = false;

	if (json_parse(&j, o->extra) == JSON_OK) {
		for (size_t i = 0; extras[i] != NULL; i++) {
			uint32_t t = json_get(&j, 0, extras[i]);

			if (t == JSON_NONE || json_is(&j, t, JSON_NULL))
				continue;
			jsonw_key(w, extras[i]);
			jsonw_raw(w, json_raw(&j, t));
			class = class || strcmp(extras[i], "storageClass") == 0;
		}
	}
	if (!class)
		jsonw_member(w, "storageClass", STR("STANDARD"));
	json_release(&j);
}

void
gcs_object_write(struct jsonw *w, const struct gcs_object *o, const struct request *req)
{
	char *id = xasprintf("%.*s/%.*s/%lld", STR_ARG(o->bucket), STR_ARG(o->name),
	    (long long)o->generation);
	char etag[32];

	gcs_base64(etag, &o->generation, 8);
	jsonw_object(w);
	jsonw_member(w, "kind", STR("storage#object"));
	jsonw_member(w, "id", str_of(id));
	write_links(w, o, req);
	jsonw_member(w, "name", o->name);
	jsonw_member(w, "bucket", o->bucket);
	gcs_member_i64(w, "generation", o->generation);
	gcs_member_i64(w, "metageneration", o->metageneration);
	jsonw_member(w, "contentType", str_of(o->content_type));
	gcs_member_i64(w, "size", o->size);
	write_hashes(w, o);
	jsonw_member(w, "etag", str_of(etag));
	write_extras(w, o);
	gcs_member_time(w, "timeCreated", o->created);
	gcs_member_time(w, "updated", o->updated);
	gcs_member_time(w, "timeStorageClassUpdated", o->created);
	gcs_member_time(w, "timeFinalized", o->created);
	jsonw_end(w);
	free(id);
}

/* ---- preconditions ---- */

bool
gcs_conds_read(const struct request *req, struct reply *rep, struct gcs_conds *c)
{
	static const char *const names[GCS_CONDS] = {"ifGenerationMatch", "ifGenerationNotMatch",
	    "ifMetagenerationMatch", "ifMetagenerationNotMatch"};

	memset(c, 0, sizeof(*c));
	for (int i = 0; i < GCS_CONDS; i++) {
		struct str s = request_query(req, names[i]);

		if (s.p == NULL)
			continue;
		c->has[i] = true;
		if (!num_i64(s, &c->v[i]) || c->v[i] < 0) {
			reply_error(rep, 400, "invalid", "Invalid argument: %s", names[i]);
			return false;
		}
	}
	return true;
}

int
gcs_conds_check(const struct gcs_conds *c, const struct gcs_object *o)
{
	int64_t generation = o != NULL ? o->generation : 0, meta = o != NULL ? o->metageneration : 0;

	if ((c->has[GCS_GEN_MATCH] && c->v[GCS_GEN_MATCH] != generation) ||
	    (c->has[GCS_META_MATCH] && c->v[GCS_META_MATCH] != meta))
		return 412;
	if ((c->has[GCS_GEN_NOT] && c->v[GCS_GEN_NOT] == generation) ||
	    (c->has[GCS_META_NOT] && c->v[GCS_META_NOT] == meta))
		return 304;
	return 0;
}

void
gcs_conds_failed(struct reply *rep, int code)
{
	if (code == 304)
		rep->status = 304;
	else
		reply_error(rep, 412, "conditionNotMet", "At least one of the pre-conditions you specified "
		    "did not hold.");
}

bool
gcs_other_generation(const struct request *req, const struct gcs_object *o)
{
	struct str s = request_query(req, "generation");
	int64_t v;

	return s.n > 0 && (o == NULL || !num_i64(s, &v) || v != o->generation);
}

/* ---- get, delete ---- */

static void
get_object(struct gcs *g, const struct gcs_object *o, struct request *req, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);

	if (str_is(request_query(req, "alt"), "media") || str_starts(req->path, STR("/download/")))
		gcs_media(g, o, req, rep);
	else
		gcs_object_write(&w, o, req);
}

void
gcs_object(struct gcs *g, struct str bucket, struct str name, struct request *req, struct reply *rep)
{
	bool get = strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0;
	bool delete = strcmp(req->method, "DELETE") == 0;
	struct gcs_conds conds;
	struct gcs_object o;
	struct err e;
	int there, code;

	if (!gcs_conds_read(req, rep, &conds))
		return;
	there = gcs_object_get(g, bucket, name, &o, &e);
	code = gcs_conds_check(&conds, there == 1 ? &o : NULL);
	if (there < 0)
		gcs_failed(rep, &e);
	else if (!get && !delete)
		reply_error(rep, 501, "notImplemented", "gcp-emu's Cloud Storage knows no %s of an object",
		    req->method);
	else if (there == 0 && !gcs_bucket_exists(g, bucket))
		gcs_no_bucket(rep);
	else if (there == 0 || gcs_other_generation(req, &o))
		gcs_no_object(rep, bucket, name);
	else if (code != 0)
		gcs_conds_failed(rep, get ? code : 412);
	else if (get)
		get_object(g, &o, req, rep);
	else if (gcs_object_remove(g, &o, &e) < 0)
		gcs_failed(rep, &e);
	else
		rep->status = 204;
	gcs_object_release(&o);
}
