/*
 * gcsread: listing objects page by page, and reading one from any byte, of the one generation that was listed. A broken
 * connection goes on at its byte. [cloud.google.com/storage/docs/json_api/v1/objects]
 */
#ifndef EVPIPE_GCSREAD_H
#define EVPIPE_GCSREAD_H

#include "gapi.h"
#include "json.h"
#include "ranged.h"

struct gcs_item {
	struct str name;       /* decoded; borrowed until the callback returns */
	struct str generation; /* digits */
	struct str updated;    /* RFC 3339 */
	struct str crc32c;     /* base64, as in listings; empty: it is not known */
	int64_t size;
};

/* One object of a listing. */
typedef void gcs_each(void *arg, const struct gcs_item *item);
/*
 * The end of a page. e: NULL or what failed. token: how to go on, empty at the end; borrowed. status: HTTP's.
 */
typedef void gcs_page(void *arg, struct str token, const struct err *e, int status);

struct gcs_listing; /* one call under way */

/* A page of the objects whose names begin with prefix. token: of the page before, empty for the first. */
struct gcs_listing *gcs_list(struct gapi *g, const char *bucket, struct str prefix, struct str token, gcs_each *each,
    gcs_page *page, void *arg);
/* The object of that name, as a listing of one. */
struct gcs_listing *gcs_stat(struct gapi *g, const char *bucket, struct str name, gcs_each *each, gcs_page *page, void *arg);
void gcs_listing_cancel(struct gcs_listing *l);

/* The end: e is NULL where all bytes came. ERR_TRANSIENT also where the object is no longer the one that was listed. */
typedef void gcs_read_end(void *arg, const struct err *e);

struct gcs_read;
/*
 * What item says of an object, but for its time; all is copied. data: see gcs_read_resume. The reader frees itself after
 * `end`, which is called from the loop.
 */
struct gcs_read *gcs_read_start(struct gapi *g, const char *bucket, const struct gcs_item *item, ranged_data *data,
    gcs_read_end *end, void *arg);
void gcs_read_resume(struct gcs_read *r);
/* Ends it without `end`. */
void gcs_read_cancel(struct gcs_read *r);

#endif
