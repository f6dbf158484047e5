/*
 * base64: RFC 4648. Encodes to the standard alphabet with padding. The strict decoder takes just that;
 * the lenient one also the URL-safe alphabet and missing padding, as Pub/Sub's API does (GCP: proto3 JSON).
 */
#ifndef EVPIPE_BASE64_H
#define EVPIPE_BASE64_H

#include "buf.h"

#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

void base64_encode(struct buf *out, struct str in);
/* Appends the decoded bytes. 0, or -1 where `in` is not base64: out is then as it was. */
int base64_decode(struct buf *out, struct str in);
int base64_decode_lenient(struct buf *out, struct str in);
/* the bytes that padded base64 of this text decodes to */
size_t base64_decoded_len(struct str in);

#endif
