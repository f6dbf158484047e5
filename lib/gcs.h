/*
 * gcs: storing one object, whatever its size. [cloud.google.com/storage/docs/json_api]
 *
 * Objects up to GCS_SINGLE_MAX go in one multipart request, larger ones in a resumable session, GCS_CHUNK at
 * a time. ifGenerationMatch=0 always: an object that exists is never overwritten, and 412 is success for a
 * name that is a hash of the content. md5 is sent with the object and compared with what the service answers.
 *
 * A chunk whose PUT failed is not sent again blindly: the service is asked what it kept, after the usual
 * back-off, and the upload goes on from there. A session that is gone (404, 410) is opened anew.
 * [cloud.google.com/storage/docs/performing-resumable-uploads]
 */
#ifndef EVPIPE_GCS_H
#define EVPIPE_GCS_H

#include "gapi.h"
#include "json.h"

int gcs_init(struct gapi *g, struct http *http, const struct login *login, int64_t patience, struct err *e);

/* The address of an object's metadata; with ?alt=media behind it, of its content. Of the bucket's list where name is empty. */
void gcs_object_url(struct buf *url, const struct gapi *g, const char *bucket, struct str name);

/* What one upload holds of the content in memory at most. */
#define GCS_UPLOAD_MEMORY (GCS_CHUNK > GCS_SINGLE_MAX ? GCS_CHUNK : GCS_SINGLE_MAX)

struct gcs_object {
	const char *bucket, *name;     /* borrowed until done */
	const char *content_type;      /* constant */
	uint64_t size;
	uint8_t md5[16];
	/*
	 * The content: rewind(arg) before the first read and whenever it must be read again from the start (a
	 * lost chunk or session); read gives n bytes at p, fewer only at the end. -1 with e filled.
	 */
	int (*rewind)(void *arg, struct err *e);
	long (*read)(void *arg, char *p, size_t n, struct err *e);
	void *arg;
};

struct gcs_stored {
	bool existed;        /* 412: it was there already */
	char generation[24]; /* "" where it existed */
};

/* e: NULL where the object is stored, otherwise why not. Called from the loop, never from gcs_store. */
typedef void gcs_done(void *arg, const struct gcs_stored *stored, const struct err *e);

struct gcs_upload;
/* Returns NULL with e filled where the content cannot be read. The upload frees itself after done. */
struct gcs_upload *gcs_store(struct gapi *g, const struct gcs_object *o, gcs_done *done, void *arg,
    struct err *e);
/* Ends it without done. */
void gcs_cancel(struct gcs_upload *u);
/* The bucket is there and objects may be created in it. */
int gcs_check_bucket(struct gapi *g, const char *bucket, struct err *e);

#endif
