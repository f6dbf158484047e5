/*
 * token: one access token, kept good: cached, fetched again ahead of its end (refresh.h) while requests go on with the old
 * one, fetched once for all that wait, and again where a service refuses it. It never goes into logs or argv.
 *
 * Fetches that fail are tried again by the one retry list (answer.h, retry.h) for `patience`, and without an end while the
 * old token lives.
 */
#ifndef EVPIPE_TOKEN_H
#define EVPIPE_TOKEN_H

#include "flow.h"
#include "retry.h"

enum token_state {
	TOKEN_READY,   /* token_header may be sent */
	TOKEN_WAITING, /* it is on its way: ask again once token_turn was called */
	TOKEN_FAILED,  /* it will not come: t->err */
};

struct token {
	unsigned serial;        /* one more each time it changes */
	struct err err;
	const char *advice;     /* "; get a fresh one": when a service refuses it */
	char *project;          /* "x-goog-user-project: P", to be sent along; or NULL */
	int64_t patience;       /* microseconds; 0: no end */
	/* Set up before the first turn by who opens it: */
	struct cred cred;
	struct flow flow;
	int64_t first_patience; /* of the very first fetch; 0: as any other */
	const char *nowhere;    /* what it means when that got no answer; NULL: nothing special */
	/* private */
	struct buf header;
	int64_t expires, when;
	bool refused, failed, ever;
	struct retry retry;
	struct rng rng;
	int64_t warned;
};

/* A token without steps; add them to t->flow. Release in any case. */
void token_init(struct token *t, struct http *http, int64_t patience);
/* Starts the fetch that is due at `now`; returns when to be called again (CLOCK_NEVER: nothing is due). Once a turn. */
int64_t token_turn(struct token *t, int64_t now);
enum token_state token_state(const struct token *t, int64_t now);
/* "Authorization: Bearer ...", while TOKEN_READY; borrowed until the next token_turn */
const char *token_header(struct token *t);
/* The token by itself, likewise; empty while there is none. */
struct str token_secret(const struct token *t);
/* A service refuses the token of that serial. True: another has come since, or is fetched now. False: there will be none. */
bool token_refused(struct token *t, unsigned serial);
void token_release(struct token *t);

#endif
