/*
 * answer: what a service's reply means: Google's error body, and the toolkit's one retry list. By this table (evpipe(7)
 * has it too):
 *
 *	no connection, time-out, cut or broken reply      ERR_TRANSIENT
 *	408 429 500 502 503 504                           ERR_TRANSIENT  Retry-After obeyed
 *	403 rateLimitExceeded, userRateLimitExceeded      ERR_TRANSIENT
 *	any of these, or 403, with quotaExceeded          ERR_QUOTA      slowly, with a warning
 *	409 ABORTED on Pub/Sub                            ERR_TRANSIENT
 *	401, other 403                                    ERR_AUTH
 *	400, 404, 409, 410, 412, 413 and the rest         ERR_PERMANENT
 *
 * [cloud.google.com/apis/design/errors; GCP.md 1.7; for tokens RFC 6749 section 5.2]
 */
#ifndef EVPIPE_ANSWER_H
#define EVPIPE_ANSWER_H

#include "http.h"

#define ANSWER_REASON_MAX 64

struct answer_to {
	const char *what, *object;  /* for messages: "insert rows into", "P:D.orders" */
	int accept;                 /* one more status that is no error; 0: none */
	bool aborted_is_transient;  /* Pub/Sub */
	const char *advice_401;     /* what to do about it; NULL: nothing said */
	struct str secret;          /* what was sent and must not come back in a message; may be empty */
};

/* Fills e (class ERR_NONE for what is no error) and reason: the error body's reason or status, "" where absent. */
void answer_judge(const struct answer_to *to, const struct http_reply *reply, char reason[ANSWER_REASON_MAX], struct err *e);

/* Does text repeat a piece of the secret? Replies are not trusted to keep to themselves what they were sent. */
bool answer_repeats(struct str text, struct str secret);

#endif
