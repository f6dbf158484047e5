/*
 * gcs: what the parts of the Cloud Storage stand-in share.
 *
 *	gcs.c            open, close, the routes, the default bucket
 *	gcs_store.c      metadata in SQLite, content in files; how the two stay together
 *	gcs_path.c       an object's name as a path
 *	gcs_bucket.c     buckets
 *	gcs_object.c     an object's resource, preconditions, delete
 *	gcs_list.c       objects.list
 *	gcs_media.c      downloads: ranges, transcoding, the XML API's GET
 *	gcs_upload.c     uploads in one request, and what every upload ends with
 *	gcs_multipart.c  multipart/related
 *	gcs_session.c    resumable uploads
 *
 * DIR/storage/BUCKET/... holds the contents, DIR/storage/.meta.sqlite everything else, DIR/storage/.uploads
 * what is not whole yet. No bucket's name begins with a dot.
 */
#ifndef GCP_EMU_GCS_H
#define GCP_EMU_GCS_H

#include <sqlite3.h>

#include "emu.h"

#define GCS_NAME_MAX 1024
#define GCS_CHUNK_UNIT (256 * 1024) /* a resumable chunk but the last is a multiple of it */
#define GCS_LIST_MAX 1000
#define GCS_SESSION_SECONDS (7 * 86400) /* an upload session's life */
#define GCS_META_MAX (1024 * 1024)  /* bytes of an object's metadata as JSON */

struct gcs {
	struct emu *emu;
	char *dir;          /* DIR/storage */
	char *uploads;      /* DIR/storage/.uploads */
	sqlite3 *db;
	int64_t generation; /* the last one given */
	uint64_t serial;    /* of temporary files */
	struct json json;
};

/* An object as the database has it; every text owned by it. */
struct gcs_object {
	struct str bucket, name;
	char *path;           /* below the bucket's folder */
	int64_t generation, metageneration;
	int64_t size;
	uint8_t md5[16];
	uint32_t crc32c;
	char *content_type;
	struct str extra;     /* a JSON object: cacheControl, metadata, ... as they came */
	int64_t created, updated; /* microseconds */
};

/* What an upload says about the object to come. */
struct gcs_meta {
	struct str name;
	char *content_type;
	struct str extra;
	char *md5, *crc32c;   /* base64, as promised by the client; NULL where not */
};

enum { GCS_GEN_MATCH, GCS_GEN_NOT, GCS_META_MATCH, GCS_META_NOT, GCS_CONDS };

struct gcs_conds {
	bool has[GCS_CONDS];
	int64_t v[GCS_CONDS];
};

/* ---- gcs_store.c ---- */

int gcs_store_open(struct gcs *g, struct err *e);
/* A statement, its parameters bound from args by fmt: s struct str, i int64_t, z const char *, b md5 blob. */
sqlite3_stmt *gcs_sql(struct gcs *g, const char *sql, const char *fmt, ...);
/* Runs one that returns no rows: -1 with e filled. */
int gcs_run(struct gcs *g, sqlite3_stmt *st, struct err *e);
struct str gcs_column(sqlite3_stmt *st, int i);
bool gcs_bucket_exists(struct gcs *g, struct str bucket);
/* 1 found, 0 not, -1 failed. Release out in any case. */
int gcs_object_get(struct gcs *g, struct str bucket, struct str name, struct gcs_object *out, struct err *e);
/* Reads a row of "SELECT " GCS_OBJECT_COLUMNS " FROM objects ...". */
#define GCS_OBJECT_COLUMNS \
	"bucket, name, path, generation, metageneration, size, md5, crc32c, content_type, extra, " \
	"created, updated"
void gcs_object_read(struct gcs_object *o, sqlite3_stmt *st);
void gcs_object_release(struct gcs_object *o);
/*
 * Puts the file `temp` (a name in .uploads) in the place of o, whose bucket, name, size, hashes, content_type
 * and extra are set; the rest is filled in. The object is there whole or not at all, whenever the process
 * dies.
 */
int gcs_object_put(struct gcs *g, struct gcs_object *o, const char *temp, struct err *e);
int gcs_object_remove(struct gcs *g, const struct gcs_object *o, struct err *e);
/* A new file in .uploads with these bytes; its name to be freed, or NULL. */
char *gcs_temp(struct gcs *g, struct str bytes, struct err *e);
void gcs_temp_drop(struct gcs *g, const char *temp);
/* the path of an object's content, to be freed */
char *gcs_file(const struct gcs *g, const struct gcs_object *o);

/* ---- gcs_path.c ---- */

/* The path below folder for a new object, its directories made; to be freed, NULL with e filled. */
char *gcs_path_make(const char *folder, struct str name, struct err *e);
/* Removes the directories of path that are empty now. */
void gcs_path_prune(const char *folder, const char *path);

/* ---- gcs_bucket.c ---- */

void gcs_buckets(struct gcs *g, struct request *req, struct reply *rep);
/* /b/BUCKET and /b/BUCKET/rest but for objects */
void gcs_bucket(struct gcs *g, struct str bucket, struct str rest, struct request *req, struct reply *rep);
int gcs_bucket_create(struct gcs *g, struct str bucket, struct str extra, struct err *e);
bool gcs_bucket_name_fits(struct str name);
void gcs_no_bucket(struct reply *rep);

/* ---- gcs_object.c ---- */

void gcs_object_write(struct jsonw *w, const struct gcs_object *o, const struct request *req);
void gcs_object(struct gcs *g, struct str bucket, struct str name, struct request *req, struct reply *rep);
/* The preconditions of a request: false after the error reply. */
bool gcs_conds_read(const struct request *req, struct reply *rep, struct gcs_conds *c);
/* Whether they hold for o (NULL: there is none): 0, 412, or 304 for what a download answers with that. */
int gcs_conds_check(const struct gcs_conds *c, const struct gcs_object *o);
void gcs_conds_failed(struct reply *rep, int code);
/* generation=G in the query asks for another one than o's (NULL: none) */
bool gcs_other_generation(const struct request *req, const struct gcs_object *o);
void gcs_no_object(struct reply *rep, struct str bucket, struct str name);
void gcs_failed(struct reply *rep, const struct err *e);
void gcs_member_i64(struct jsonw *w, const char *name, int64_t v);
void gcs_member_time(struct jsonw *w, const char *name, int64_t micros);
void gcs_base64(char out[32], const void *p, size_t n);

/* ---- gcs_list.c, gcs_media.c, gcs_upload.c, gcs_multipart.c, gcs_session.c ---- */

void gcs_list(struct gcs *g, struct str bucket, struct request *req, struct reply *rep);
/* o's content as the request's Range wants it. */
void gcs_media(struct gcs *g, const struct gcs_object *o, struct request *req, struct reply *rep);
/* GET or HEAD /BUCKET/OBJECT */
void gcs_xml(struct gcs *g, struct request *req, struct reply *rep);
/* the path is none of the JSON API's */
bool gcs_is_xml(struct str path);

void gcs_upload(struct gcs *g, struct str bucket, struct request *req, struct reply *rep);
/* Metadata from a JSON text ("" for none) and the request's query: false after the error reply. */
bool gcs_meta_read(struct gcs *g, const struct request *req, struct reply *rep, struct str json,
    struct str content_type, struct gcs_meta *m);
/* adds the checksums of the request's headers */
void gcs_meta_hashes(const struct request *req, struct gcs_meta *m);
void gcs_meta_release(struct gcs_meta *m);
/*
 * Stores what an upload brought and replies with it. temp is gone afterwards in any case. True where it is
 * stored.
 */
bool gcs_upload_end(struct gcs *g, struct str bucket, const struct gcs_meta *m, const struct gcs_conds *c,
    const char *temp, struct gcs_object *o, struct request *req, struct reply *rep);

struct gcs_parts {
	struct str json, type, data;
};
/* Takes a multipart/related body apart: NULL, or what is wrong with it. Views of the body. */
const char *gcs_multipart(struct str content_type, struct str body, struct gcs_parts *out);

void gcs_session_start(struct gcs *g, struct str bucket, struct request *req, struct reply *rep);
void gcs_session(struct gcs *g, struct str bucket, struct str id, struct request *req, struct reply *rep);

#endif
