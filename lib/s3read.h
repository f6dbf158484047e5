/*
 * s3read: listing objects page by page, and reading one from any byte, of the one ETag that was listed. A
 * broken connection goes on at its byte. In the shapes of gcsread.h, so that a reader has one set of
 * callbacks for both: an item's generation is its ETag without quotes.
 * [docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html, API_GetObject.html]
 */
#ifndef EVPIPE_S3READ_H
#define EVPIPE_S3READ_H

#include "gcsread.h"
#include "s3.h"

struct s3_listing; /* one call under way */

/* A page of the objects whose keys begin with prefix. token: of the page before, empty for the first. */
struct s3_listing *s3_list(struct s3 *s, const char *bucket, struct str prefix, struct str token,
    gcs_each *each, gcs_page *page, void *arg);
/* The object of that key, as a listing of one; it needs no right to list. */
struct s3_listing *s3_stat(struct s3 *s, const char *bucket, struct str key, gcs_each *each, gcs_page *page,
    void *arg);
/* The bucket may be listed. Runs to its end by itself, for start checks before the stage's loop. */
int s3_check_bucket(struct s3 *s, const char *bucket, struct err *e);
void s3_listing_cancel(struct s3_listing *l);

struct s3_read;
/* As gcs_read_start. */
struct s3_read *s3_read_start(struct s3 *s, const char *bucket, const struct gcs_item *item, ranged_data *data,
    gcs_read_end *end, void *arg);
void s3_read_resume(struct s3_read *r);
void s3_read_cancel(struct s3_read *r);

#endif
