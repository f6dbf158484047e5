/*
 * awscred: the keys that S3 requests are signed with, and where AWS expects a client to be. In the order of
 * AWS's own tools [docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html]:
 *
 *	environment  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *	profile      AWS_PROFILE, else "default", of AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE
 *	             (~/.aws/credentials, ~/.aws/config)
 *	container    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI (https, or http to this machine and
 *	             link-local addresses), with AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE or
 *	             AWS_CONTAINER_AUTHORIZATION_TOKEN
 *	instance     version 2 of the instance metadata service, unless AWS_EC2_METADATA_DISABLED=true;
 *	             AWS_EC2_METADATA_SERVICE_ENDPOINT (https, or http as above),
 *	             AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=IPv6
 *
 * Keys of the last two end: they are fetched by the loop, once for all requests, and again 10 minutes before
 * their end. Nothing of them is ever logged.
 */
#ifndef EVPIPE_AWSCRED_H
#define EVPIPE_AWSCRED_H

#include "http.h"
#include "retry.h"
#include "sigv4.h"

#define AWS_LINK_LOCAL_CONTAINER "http://169.254.170.2"
#define AWS_INSTANCE_METADATA "http://169.254.169.254"

enum awscred_source { AWSCRED_ENVIRONMENT, AWSCRED_PROFILE, AWSCRED_CONTAINER, AWSCRED_INSTANCE };

enum awscred_state {
	AWSCRED_READY,   /* c->keys may be used */
	AWSCRED_WAITING, /* they are on their way: ask again when awscred_turn has been called */
	AWSCRED_FAILED,  /* they will not come: c->err */
};

struct awscred {
	struct http *http;
	enum awscred_source source;
	struct sigv4_keys keys;
	unsigned serial;     /* one more each time the keys change */
	char *region;        /* NULL: nobody said */
	char *endpoint;      /* AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's endpoint_url; or NULL */
	struct err err;
	/* private */
	char *id, *secret, *token; /* what keys borrows */
	char *profile;       /* its name */
	int64_t expires;     /* wall clock; CLOCK_NEVER: they do not */
	int64_t patience;
	bool failed, fetched; /* fetched: at least once */
	int step;
	char *url;           /* where the keys are; of the metadata service its base */
	char *session;       /* the metadata service's token, as a header */
	char *role;
	struct http_request *request;
	struct retry retry;
	struct rng rng;
	int64_t when;        /* of the next fetch, monotonic */
};

/*
 * Finds out where the keys come from; opens no connection. patience: microseconds for which fetching them
 * anew may fail once they have ended; 0: no end. -1: settings that make no sense (ERR_CONFIG, ERR_IO), or no
 * keys anywhere (ERR_AUTH). Release in any case.
 */
int awscred_init(struct awscred *c, struct http *http, int64_t patience, struct err *e);
/* Starts the fetch that is due at `now`; returns when the next one is (CLOCK_NEVER: none). Once a turn. */
int64_t awscred_turn(struct awscred *c, int64_t now);
enum awscred_state awscred_state(const struct awscred *c);
/*
 * A service says that the keys of that serial have ended. True where others have come since, or may come:
 * then wait for AWSCRED_READY. False where there are none but these.
 */
bool awscred_ended(struct awscred *c, unsigned serial);
void awscred_release(struct awscred *c);

#endif
