/*
 * token: the OAuth2 access token that requests carry. It is read from a file and read again when a service
 * answers 401; it never goes into logs or argv.
 */
#ifndef EVPIPE_TOKEN_H
#define EVPIPE_TOKEN_H

#include "buf.h"
#include "err.h"

struct token {
	const char *path;
	struct buf header; /* "Authorization: Bearer ..." */
};

/* path may be NULL: then there is no token, and only emulators can be used. */
int token_load(struct token *t, const char *path, struct err *e);
/* Reads the file again. 1: the token changed, 0: it is the same, -1: failed. */
int token_refresh(struct token *t, struct err *e);
void token_release(struct token *t);

#endif
