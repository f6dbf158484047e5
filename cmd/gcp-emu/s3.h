/*
 * s3: reading Cloud Storage's buckets as S3 clients do, in path style: ListObjectsV2 and GetObject.
 *
 *	s3.c       which requests these are, preconditions, errors
 *	s3_sign.c  Signature Version 4 checked against --s3-key
 *	s3_list.c  ListObjectsV2
 */
#ifndef GCP_EMU_S3_H
#define GCP_EMU_S3_H

#include "gcs.h"

#define S3_LIST_MAX 1000

/* It carries a Signature Version 4. */
bool s3_signed(const struct request *req);
/* It is for s3_handle rather than for the XML API of Cloud Storage. */
bool s3_claims(const struct emu *emu, const struct request *req);
void s3_handle(struct gcs *g, struct request *req, struct reply *rep);
void s3_error(struct reply *rep, int status, const char *code, const char *message);
/* The request's signature is that of --s3-key; otherwise rep holds the error. */
bool s3_admits(const struct emu *emu, const struct request *req, struct reply *rep);
void s3_list(struct gcs *g, struct str bucket, struct request *req, struct reply *rep);
/* Percent-encodes as S3 does in a signature's path: slashes stay. */
void s3_encode_path(struct buf *out, struct str s);

#endif
