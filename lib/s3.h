/*
 * s3: one signed request to S3, or to what speaks like it, with S3's error body and the toolkit's one retry
 * list. The sibling of gapi.h, whose table of classes holds here too, with what S3 says in its own words:
 *
 *	SlowDown, InternalError, RequestTimeout, ...    ERR_TRANSIENT
 *	ExpiredToken                                    the keys are fetched again once, then ERR_AUTH
 *	RequestTimeTooSkewed                            ERR_CONFIG     this machine's clock is wrong
 *	AccessDenied, SignatureDoesNotMatch, ...        ERR_AUTH
 *	the bucket is in another region                 asked there, once; remembered
 *	NoSuchBucket, NoSuchKey and the rest            ERR_PERMANENT
 *
 * [docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html]
 *
 * Where: AWS_ENDPOINT_URL_S3 (see awscred.h) as ENDPOINT/BUCKET/KEY, otherwise AWS as
 * https://BUCKET.s3.REGION.amazonaws.com/KEY, or https://s3.REGION.amazonaws.com/BUCKET/KEY where the
 * bucket's name is no single label of a host. Without a region us-east-1 is asked, which knows where each
 * bucket is.
 */
#ifndef EVPIPE_S3_H
#define EVPIPE_S3_H

#include "awscred.h"
#include "map.h"
#include "s3xml.h"

#define S3_REGION_MAX 40
#define S3_REGIONS_MAX 1000 /* buckets whose region is remembered */

struct s3 {
	struct http *http;
	struct awscred cred;
	char base[512];          /* the endpoint, without a slash at its end; "": AWS's own */
	char region[S3_REGION_MAX];
	int64_t patience;        /* microseconds of failing before a call gives up; 0: never */
	unsigned active;         /* calls not yet ended */
	unsigned retrying;       /* of these, calls whose last try failed */
	uint64_t retries;        /* tries that failed and were tried again */
	struct rng rng;
	int64_t warned;          /* private: when the last warning was logged */
	struct map regions;      /* private: of buckets that are elsewhere */
	struct s3_call *waiting; /* private: calls between two tries, or waiting for keys */
};

struct s3_call;

/* How a call ended. Borrowed until the callback returns. */
struct s3_result {
	int status;              /* HTTP's; 0 where no reply came */
	const struct http_reply *reply; /* NULL where nothing was sent */
	struct err err;          /* err.class ERR_NONE: 2xx */
	struct s3_error said;    /* the error's body */
	struct s3_call *call;    /* for s3_again */
};

struct s3_spec {
	const char *bucket;      /* copied */
	struct str key;          /* copied; n 0: the bucket itself */
	const char *query;       /* percent-encoded; copied; NULL: none */
	const char *const *headers; /* "Name: value", at most 4, ended by NULL; copied; may be NULL */
	const char *what;        /* for messages: "read"; constant */
	int64_t timeout;         /* microseconds a try, or of standing still with on_data; 0: 120 s */
	http_data *on_data;      /* see http.h; NULL: the body is gathered */
	bool once;               /* no retry: the caller decides */
	int64_t when;            /* monotonic: not before; the call then counts as retrying; 0: now */
};

typedef void s3_done(void *arg, const struct s3_result *result);

/* Opens no connection: keys that must be fetched are fetched by s3_turn. Release in any case. */
int s3_init(struct s3 *s, struct http *http, int64_t patience, struct err *e);
/* A GET. done is called later, from the loop, exactly once unless it is cancelled. */
struct s3_call *s3_start(struct s3 *s, const struct s3_spec *spec, s3_done *done, void *arg);
/* As gapi_again: from within the callback, for a 2xx whose body is not what it should be. */
bool s3_again(const struct s3_result *result, const struct err *why);
/* See http_resume. */
void s3_resume(struct s3_call *c);
/* Ends a call without its callback. */
void s3_cancel(struct s3_call *c);
/*
 * Starts what is due at `now`; returns when to be called next (CLOCK_NEVER: when the network has moved). Once
 * a turn, after new calls were started.
 */
int64_t s3_turn(struct s3 *s, int64_t now);
/* "s3://BUCKET/KEY" for people, control characters as '?'; to be freed. */
char *s3_label(const char *bucket, struct str key);
/* Before http_free. */
void s3_release(struct s3 *s);

#endif
