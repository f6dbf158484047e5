/*
 * s3xml: what S3 answers, out of XML into typed structs.
 * [docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html, ErrorResponses.html]
 */
#ifndef EVPIPE_S3XML_H
#define EVPIPE_S3XML_H

#include <stdint.h>

#include "buf.h"
#include "err.h"

#define S3_PAGE_MAX 1000 /* objects in one page */
#define S3_KEY_MAX 1024  /* bytes of a key */

struct s3_object {
	struct str key;      /* UTF-8, decoded */
	struct str etag;     /* without its quotes */
	int64_t size;
	int64_t modified;    /* microseconds since 1970 */
};

struct s3_page {
	struct s3_object *v;
	size_t n;
	struct str next;     /* the next page's continuation token; n 0: this is the last */
	struct buf text;     /* private: what the views point into */
};

/* -1 with class ERR_TRANSIENT where the body is no ListBucketResult. Release in any case. */
int s3xml_page(struct s3_page *page, struct str body, struct err *e);
void s3xml_page_release(struct s3_page *page);

/* An error's body. What is no such body leaves the texts empty. All are printable. */
struct s3_error {
	char code[64];      /* "NoSuchKey" */
	char message[301];
	char region[64];    /* where the bucket is, if it says so */
};
void s3xml_error(struct s3_error *out, struct str body);

#endif
