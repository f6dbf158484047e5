/*
 * Uploads in one request (media, multipart), and what every upload ends with: checksums compared,
 * preconditions looked at, the object put.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "digest.h"
#include "gcs.h"
#include "utf8.h"
#include "xalloc.h"

static const char *const kept[] = {"cacheControl", "contentDisposition", "contentEncoding", "contentLanguage",
    "metadata", "customTime", "storageClass", NULL};

static bool
name_fits(struct str name)
{
	return name.n >= 1 && name.n <= GCS_NAME_MAX && utf8_valid(name) &&
	    memchr(name.p, '\r', name.n) == NULL &&
	    memchr(name.p, '\n', name.n) == NULL && !str_is(name, ".") && !str_is(name, "..") &&
	    !str_starts(name, STR(".well-known/acme-challenge/"));
}

void
gcs_meta_release(struct gcs_meta *m)
{
	free((char *)m->name.p);
	free(m->content_type);
	free((char *)m->extra.p);
	free(m->md5);
	free(m->crc32c);
	memset(m, 0, sizeof(*m));
}

static struct str
keep(struct gcs *g, struct str encoding)
{
	struct buf out = BUF_INIT(GCS_META_MAX);
	struct jsonw w = jsonw_to(&out);
	struct str s;

	jsonw_object(&w);
	for (size_t i = 0; kept[i] != NULL; i++) {
		uint32_t t = json_get(&g->json, 0, kept[i]);

		if (t != JSON_NONE && !json_is(&g->json, t, JSON_NULL)) {
			jsonw_key(&w, kept[i]);
			jsonw_raw(&w, json_raw(&g->json, t));
		} else if (strcmp(kept[i], "contentEncoding") == 0 && encoding.n > 0) {
			jsonw_member(&w, "contentEncoding", encoding);
		}
	}
	jsonw_end(&w);
	s = out.over ? STR_NONE : (struct str){str_dup(buf_str(&out)), out.n};
	buf_release(&out);
	return s;
}

static bool
printable(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static void
read_name(struct gcs *g, const struct request *req, struct gcs_meta *m)
{
	struct buf scratch = BUF_INIT(64 * KIB);
	struct str name = request_query(req, "name"); /* overrides the metadata's */

	if (name.n == 0)
		name = json_string(&g->json, json_get(&g->json, 0, "name"), &scratch);
	m->name = name.p != NULL ? (struct str){str_dup(name), name.n} : STR_NONE;
	buf_release(&scratch);
}

bool
gcs_meta_read(struct gcs *g, const struct request *req, struct reply *rep, struct str json,
    struct str content_type, struct gcs_meta *m)
{
	memset(m, 0, sizeof(*m));
	if (json_parse(&g->json, str_trim(json).n > 0 ? json : STR("{}")) != JSON_OK ||
	    !json_is(&g->json, 0, JSON_OBJECT)) {
		reply_error(rep, 400, "parseError", "Parse Error: the metadata is not a JSON object");
		return false;
	}
	read_name(g, req, m);
	m->content_type = json_dup(&g->json, json_get(&g->json, 0, "contentType"));
	if (m->content_type == NULL)
		m->content_type = content_type.n > 0 ? str_dup(content_type) :
		    xstrdup("application/octet-stream");
	m->extra = keep(g, request_query(req, "contentEncoding"));
	m->md5 = json_dup(&g->json, json_get(&g->json, 0, "md5Hash"));
	m->crc32c = json_dup(&g->json, json_get(&g->json, 0, "crc32c"));
	if (m->name.n == 0)
		reply_error(rep, 400, "required", "Required");
	else if (!name_fits(m->name))
		reply_error(rep, 400, "invalid", "Invalid object name: 1 to %d bytes of UTF-8 without CR and "
		    "LF, and not . or ..", GCS_NAME_MAX);
	else if (!printable(m->content_type) || m->extra.p == NULL)
		reply_error(rep, 400, "invalid", "Invalid metadata");
	else
		return true;
	gcs_meta_release(m);
	return false;
}

static void
promise(char **hash, struct str v)
{
	v = str_trim(v);
	if (*hash == NULL && v.n > 0)
		*hash = str_dup(v);
}

void
gcs_meta_hashes(const struct request *req, struct gcs_meta *m)
{
	struct str list = request_header(req, "x-goog-hash");

	while (list.n > 0) {
		size_t n = str_find(list, ',');
		struct str one = str_trim((struct str){list.p, n});

		if (str_starts(one, STR("md5=")))
			promise(&m->md5, str_skip(one, 4));
		else if (str_starts(one, STR("crc32c=")))
			promise(&m->crc32c, str_skip(one, 7));
		list = str_skip(list, n + 1);
	}
}

/* false after the error reply where a promised checksum is not the content's */
static bool
hashes_fit(const struct gcs_meta *m, const struct gcs_object *o, struct reply *rep)
{
	uint8_t crc[4] = {(uint8_t)(o->crc32c >> 24), (uint8_t)(o->crc32c >> 16), (uint8_t)(o->crc32c >> 8),
	    (uint8_t)o->crc32c};
	char md5_text[32], crc_text[32];

	gcs_base64(md5_text, o->md5, 16);
	gcs_base64(crc_text, crc, 4);
	if (m->md5 != NULL && strcmp(m->md5, md5_text) != 0)
		reply_error(rep, 400, "invalid", "Provided MD5 hash \"%.100s\" doesn't match calculated MD5 "
		    "hash \"%s\".", m->md5, md5_text);
	else if (m->crc32c != NULL && strcmp(m->crc32c, crc_text) != 0)
		reply_error(rep, 400, "invalid", "Provided CRC32C \"%.100s\" doesn't match calculated CRC32C "
		    "\"%s\".", m->crc32c, crc_text);
	else
		return true;
	return false;
}

bool
gcs_upload_end(struct gcs *g, struct str bucket, const struct gcs_meta *m, const struct gcs_conds *c,
    const char *temp, struct gcs_object *o, struct request *req, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);
	struct gcs_object old;
	bool stored = false;
	struct err e;
	int there = gcs_object_get(g, bucket, m->name, &old, &e);

	o->bucket = (struct str){str_dup(bucket), bucket.n};
	o->name = (struct str){str_dup(m->name), m->name.n};
	o->content_type = xstrdup(m->content_type);
	o->extra = (struct str){str_dup(m->extra), m->extra.n};
	if (there < 0)
		gcs_failed(rep, &e);
	else if (gcs_conds_check(c, there == 1 ? &old : NULL) != 0)
		gcs_conds_failed(rep, 412);
	else if (!hashes_fit(m, o, rep))
		;
	else if (gcs_object_put(g, o, temp, &e) < 0)
		gcs_failed(rep, &e);
	else {
		stored = true;
		gcs_object_write(&w, o, req);
	}
	if (!stored)
		gcs_temp_drop(g, temp);
	gcs_object_release(&old);
	return stored;
}

/* The whole content is in the request. */
static void
store(struct gcs *g, struct str bucket, struct gcs_meta *m, struct str data, struct request *req,
    struct reply *rep)
{
	struct gcs_object o = {.size = (int64_t)data.n};
	struct gcs_conds conds;
	struct err e;
	char *temp;

	if (!gcs_conds_read(req, rep, &conds))
		return;
	gcs_meta_hashes(req, m);
	digest_of(DIGEST_MD5, data, o.md5);
	o.crc32c = crc32c(0, data);
	temp = gcs_temp(g, data, &e);
	if (temp == NULL)
		gcs_failed(rep, &e);
	else
		gcs_upload_end(g, bucket, m, &conds, temp, &o, req, rep);
	free(temp);
	gcs_object_release(&o);
}

static void
upload_media(struct gcs *g, struct str bucket, struct request *req, struct reply *rep)
{
	struct gcs_meta m;

	if (!gcs_meta_read(g, req, rep, STR(""), request_header(req, "Content-Type"), &m))
		return;
	promise(&m.md5, request_header(req, "Content-MD5"));
	store(g, bucket, &m, req->body, req, rep);
	gcs_meta_release(&m);
}

static void
upload_multipart(struct gcs *g, struct str bucket, struct request *req, struct reply *rep)
{
	struct gcs_parts parts;
	struct gcs_meta m;
	const char *why = gcs_multipart(request_header(req, "Content-Type"), req->body, &parts);

	if (why != NULL) {
		reply_error(rep, 400, "badContent", "%s", why);
		return;
	}
	if (!gcs_meta_read(g, req, rep, parts.json, parts.type, &m))
		return;
	store(g, bucket, &m, parts.data, req, rep);
	gcs_meta_release(&m);
}

/* /upload/.../b/BUCKET/o */
void
gcs_upload(struct gcs *g, struct str bucket, struct request *req, struct reply *rep)
{
	struct str type = request_query(req, "uploadType"), id = request_query(req, "upload_id");

	if (id.n > 0)
		gcs_session(g, bucket, id, req, rep);
	else if (strcmp(req->method, "POST") != 0)
		reply_error(rep, 405, "methodNotAllowed", "Method not allowed.");
	else if (!gcs_bucket_exists(g, bucket))
		gcs_no_bucket(rep);
	else if (str_is(type, "media"))
		upload_media(g, bucket, req, rep);
	else if (str_is(type, "multipart"))
		upload_multipart(g, bucket, req, rep);
	else if (str_is(type, "resumable"))
		gcs_session_start(g, bucket, req, rep);
	else
		reply_error(rep, 400, "invalid", "Invalid argument: uploadType is media, multipart or "
		    "resumable");
}
