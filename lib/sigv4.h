/*
 * sigv4: AWS Signature Version 4 in headers. Pure: the time is an argument, nothing is read or sent.
 * [docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html]
 *
 * The caller sends the headers that come out together with those it gave, to exactly the path and query it
 * gave. Path and query are taken as they stand in the URL, percent-encoded once: what S3 signs. Other
 * services sign the path encoded twice, which is the same as long as it holds no '%'.
 */
#ifndef EVPIPE_SIGV4_H
#define EVPIPE_SIGV4_H

#include <stdint.h>

#include "buf.h"
#include "err.h"

#define SIGV4_HEADERS_MAX 16 /* headers of a request, ours included */
#define SIGV4_PARAMS_MAX 32  /* parameters of a query */

/* SHA-256 of nothing: the payload hash of a request without a body. */
#define SIGV4_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct sigv4_keys {
	const char *id, *secret;
	const char *token; /* of temporary credentials; NULL: none */
};

struct sigv4_request {
	const char *method;
	const char *host;           /* as in the Host header: with the port, unless the scheme implies it */
	struct str path;            /* "/" at least */
	struct str query;           /* without "?"; in any order */
	const char *const *headers; /* "Name: value": more to be signed; ended by NULL; may be NULL */
	const char *payload;        /* lower-case hex SHA-256 of the body, or "UNSIGNED-PAYLOAD" */
	bool send_payload;          /* with x-amz-content-sha256, which S3 demands */
	const char *region, *service;
	int64_t time;               /* microseconds since 1970 */
};

/* "Name: value" lines ended by NULL: Authorization, x-amz-date, and what is needed of the other two. */
struct sigv4 {
	char *v[5];
};

/* -1: too many headers or parameters, or one holds a control character. Release out in any case. */
int sigv4_sign(const struct sigv4_request *r, const struct sigv4_keys *k, struct sigv4 *out, struct err *e);
/* Wipes and frees. */
void sigv4_release(struct sigv4 *s);

/* The canonical request, appended: for tests, and to be compared with what a service says. */
int sigv4_canonical(
    const struct sigv4_request *r, const struct sigv4_keys *k, struct buf *out, struct err *e);

#endif
