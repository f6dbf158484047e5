/*
 * flow: how an access token is got: up to FLOW_STEPS_MAX steps, each of which takes what the one before gave (nothing, a
 * provider's token, an access token) and gives its own. A step works at once or over the loop, and ends with flow_next or
 * flow_fail, exactly once. Nothing is tried again in here: who runs the flow begins it anew, for what the first step gave
 * may have ended meanwhile.
 *
 * What is sent and given counts as secret: it is wiped, and no message repeats it.
 */
#ifndef EVPIPE_FLOW_H
#define EVPIPE_FLOW_H

#include "cred.h"
#include "http.h"

#define FLOW_STEPS_MAX 5
#define SCOPE_CLOUD "https://www.googleapis.com/auth/cloud-platform"
#define LIFE_UNKNOWN INT64_MAX

struct flow;
typedef void flow_begin(struct flow *f);
typedef void flow_read(struct flow *f, const struct http_reply *reply);
/* token: borrowed for the call; life: microseconds from flow->began, or LIFE_UNKNOWN. token STR_NONE: *e says why. */
typedef void flow_done(void *arg, struct str token, int64_t life, const struct err *e, int64_t retry_after);

struct flow_step {
	flow_begin *begin;
	struct cred *cred;
	const char *scope; /* words between blanks */
};

struct flow {
	struct http *http;
	bool refused;        /* a service refused the token that came last */
	int64_t began;       /* monotonic */
	/* the step under way */
	struct flow_step *step;
	struct buf in;       /* what the step before gave */
	void *state;         /* the step's own, */
	int64_t (*turn)(struct flow *f, int64_t now); /* its timers (NULL: none), */
	void (*stop)(struct flow *f); /* and its end, also if it is given up; NULL: nothing to end */
	/* private */
	struct flow_step steps[FLOW_STEPS_MAX];
	int nsteps;
	bool busy;
	struct buf secrets, body;
	struct http_request *request;
	const char *what;
	char *object;
	flow_read *read;
	bool metadata;
	flow_done *done;
	void *arg;
};

void flow_init(struct flow *f, struct http *http);
void flow_add(struct flow *f, flow_begin *begin, struct cred *cred, const char *scope);
void flow_start(struct flow *f, bool refused, flow_done *done, void *arg);
/* Returns when it wants to be called again. Once a turn. */
int64_t flow_turn(struct flow *f, int64_t now);
/* Gives up without calling done. */
void flow_stop(struct flow *f);
void flow_release(struct flow *f);

/* ---- for steps ---- */

struct flow_request {
	const char *method, *url;
	const char *const *headers; /* ended by NULL; may be NULL */
	struct buf *body;           /* a form, or JSON where it begins with '{'; taken over; may be NULL */
	int64_t timeout;            /* microseconds; 0: 30 s */
	const char *what;           /* for messages: "get a token for"; constant */
	const char *object;         /* "service account NAME" */
	bool metadata;              /* only a reply with "Metadata-Flavor: Google" is one, whatever its status */
};

/* Sends it; a 2xx goes to read, anything else fails the flow by the one retry list, a permanent refusal as ERR_AUTH. */
void flow_send(struct flow *f, const struct flow_request *r, flow_read *read);
/* What flow_send was told, for messages of read: fails the flow with "cannot WHAT 'OBJECT': CAUSE", ERR_TRANSIENT. */
void flow_garbled(struct flow *f, const char *cause);
/* The usual reply: {"access_token": ..., "expires_in": seconds} */
void flow_read_token(struct flow *f, const struct http_reply *reply);
/* The step gave this; it is looked at: tokens have visible characters only. */
void flow_next(struct flow *f, struct str token, int64_t life);
void flow_fail(struct flow *f, const struct err *e, int64_t retry_after);
/* Says that a text is secret: no message repeats it. */
void flow_secret(struct flow *f, struct str s);
/* Appends "&name=value" (without the "&" at the start) of a form. */
void flow_form(struct buf *body, const char *name, const char *value);
/* Appends the header of a client's own id and secret. */
void flow_basic(struct buf *header, const struct cred *c);

/* ---- the steps: what each takes and gives ---- */

flow_begin step_file;        /* a file with an access token: cred->file */
flow_begin step_key;         /* service_account: its own JWT, or, once that was refused, an access token */
flow_begin step_key_exchange; /* likewise, always an access token */
flow_begin step_user;        /* authorized_user, external_account_authorized_user */
flow_begin step_subject;     /* external_account: the provider's token from a file or URL */
flow_begin step_program;     /* ... from a program */
flow_begin step_aws;         /* ... of AWS: a signed request */
flow_begin step_sts;         /* ... and its exchange */
flow_begin step_impersonate; /* an access token that may impersonate -> one of the account */
flow_begin step_metadata;    /* the metadata service: cred->url, or Google's own place */

#endif
