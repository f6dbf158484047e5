/*
 * oauth: who --auth lets in. Access tokens are given by /token (a service account's assertion, a refresh token), /v1/token
 * (an external account's exchange), generateAccessToken (impersonation) and the metadata service; a token carries its end
 * and a checksum over it and the content of DIR/token, so that it needs no memory, survives a restart, and ends when
 * DIR/token is written anew. What a service account's key signed itself is good too.
 *
 * The files that clients log in with are made in DIR, and read anew whenever they are compared with:
 *
 *	service-account.json   a key, made once
 *	authorized-user.json   a client and a refresh token
 *	external-account.json  whose provider's token is in subject-token
 */
#ifndef GCP_EMU_OAUTH_H
#define GCP_EMU_OAUTH_H

#include "emu.h"

/* Makes DIR's files, or has those that are there name this port. */
int oauth_init(const char *dir, int port, struct err *e);
/* Is this bearer token one that was given and has not ended, or a JWT by the key? */
bool oauth_good(struct emu *emu, const struct request *req, struct str bearer);
bool oauth_is(struct str path);
enum emu_answer oauth_handle(struct emu *emu, struct request *req, struct reply *rep);

/* ---- among its parts ---- */

/* Appends a token that is good until `until`, microseconds since 1970. */
void oauth_make(struct emu *emu, int64_t until, struct buf *out);
/* Replies with {"access_token": ...}; type: its issued_token_type, or NULL. */
void oauth_give(struct emu *emu, struct reply *rep, const char *type);
/* Replies with OAuth's error body [RFC 6749 section 5.2]. */
void oauth_refuse(struct reply *rep, int status, const char *error, const char *description);
/* A member of a form, decoded, to be freed; NULL where it is not there. */
char *oauth_form(const struct request *req, const char *name);
/* A member of DIR/FILE (NULL: the file's text), to be freed; NULL where it is not there. */
char *oauth_stored(const char *dir, const char *file, const char *member);

void oauth_sts(struct emu *emu, struct request *req, struct reply *rep);         /* /v1/token */
void oauth_impersonate(struct emu *emu, struct request *req, struct reply *rep); /* ...:generateAccessToken */
void oauth_metadata(struct emu *emu, struct request *req, struct reply *rep);    /* /computeMetadata/... */

#endif
