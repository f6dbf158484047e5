/*
 * gapi: one authorised call to a Google JSON API, with Google's error body and the toolkit's one retry list.
 *
 * A call is retried until it works, is refused for good, or its patience ends; the caller's callback sees only the
 * end. Everything a service can answer ends in one of the classes of err.h, by the table in answer.h; a 401 has the token
 * fetched again, once, before it counts.
 */
#ifndef EVPIPE_GAPI_H
#define EVPIPE_GAPI_H

#include "answer.h"
#include "auth.h"
#include "retry.h"
#include "url.h"

struct gapi {
	struct http *http;
	struct token *token;     /* NULL: an emulator that wants none */
	struct endpoint endpoint;
	struct rng rng;
	int64_t patience;        /* microseconds of failing before a call gives up; 0: never */
	unsigned active;         /* calls not yet ended */
	unsigned retrying;       /* of these, calls whose last try failed */
	uint64_t retries;        /* tries that failed and were tried again */
	bool aborted_is_transient; /* Pub/Sub */
	int64_t warned;          /* private: when the last warning was logged */
	struct gapi_call *waiting; /* private: calls between two tries */
};

struct gapi_call;

/* How a call ended. Borrowed until the callback returns. */
struct gapi_result {
	int status;             /* HTTP's; 0 where no reply came */
	const struct http_reply *reply; /* NULL after a time-out between tries */
	struct err err;         /* err.class ERR_NONE: 2xx */
	struct gapi_call *call; /* for gapi_again */
	char reason[ANSWER_REASON_MAX]; /* the error body's reason ("notFound") or status ("NOT_FOUND"); "" where absent */
};

struct gapi_spec {
	const char *method;
	const char *url;         /* whole; copied */
	const char *content_type; /* NULL: application/json where there is a body */
	const char *const *headers; /* more of them, ended by NULL; copied; may be NULL */
	struct buf *body;        /* taken over: emptied and owned by the call; may be NULL */
	const char *what;        /* for messages: "insert rows into"; constant */
	const char *object;      /* for messages: "P:D.orders"; copied */
	int64_t timeout;         /* microseconds a try; 0: 120 s */
	bool gzip;               /* compress the body */
	bool json;               /* for gapi_sync: a 2xx whose body is no JSON is garbled, and tried again */
	bool once;               /* no retry of any kind: the caller decides (resumable uploads) */
	http_data *on_data;      /* streams a 2xx body there, with done's arg; only with `once`. See http.h */
	int accept;              /* one more status that is no error, as 308 or 412; 0: none */
	int64_t when;            /* monotonic: not before; the call then counts as retrying, for it follows a failed one; 0: now */
};

/*
 * From within the callback, for a 2xx whose body is not what it should be (cut, garbage): asks for another try, as for
 * ERR_TRANSIENT, with why as the cause. true: the callback will be called again later, and result->err stays the
 * caller's to ignore; false: patience has ended (or `once`), and this was the last call.
 */
bool gapi_again(const struct gapi_result *result, const struct err *why);

typedef void gapi_done(void *arg, const struct gapi_result *result);

/*
 * service_env as in endpoint_init. An emulator gets credentials only if it is on this machine and login names some. -1:
 * settings or credentials that make no sense. Release in any case.
 */
int gapi_init(struct gapi *g, struct http *http, const char *service_env, const char *real, const struct login *login,
    int64_t patience, struct err *e);
struct gapi_call *gapi_start(struct gapi *g, const struct gapi_spec *spec, gapi_done *done, void *arg);
/* Ends a call without its callback. */
void gapi_cancel(struct gapi_call *c);
/* Is a call between two tries? */
bool gapi_waiting(const struct gapi *g);
/* true once the reply to the current try has begun */
bool gapi_answering(const struct gapi_call *c);
/* See http_resume. */
void gapi_resume(struct gapi_call *c);
/* Starts the tries that are due at `now`; returns when the next one is (CLOCK_NEVER: none). Once a turn. */
int64_t gapi_turn(struct gapi *g, int64_t now);
/*
 * Runs a call to its end by itself, for start checks before the stage's loop; a try without a time-out of its own has
 * 15 s, and patience is 60 s at most. The reply's body is appended to out (may be NULL). -1 with e filled on any failure.
 * *status may be NULL.
 */
int gapi_sync(struct gapi *g, const struct gapi_spec *spec, struct buf *out, int *status, struct err *e);
/* The same for calls that were started, several at once: runs until none is left. */
void gapi_wait(struct gapi *g);
/*
 * Asks testIamPermissions at url for the permissions (a NULL-ended list). -1 where one is missing (ERR_AUTH, named) or
 * the object is not there; a 501 is tolerated (emulators). Cloud Storage asks by GET.
 */
int gapi_test_permissions(struct gapi *g, const char *url, bool by_get, const char *object,
    const char *const *permissions, struct err *e);
void gapi_release(struct gapi *g);

#endif
