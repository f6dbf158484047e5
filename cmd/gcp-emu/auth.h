/*
 * auth: the bearer token of --auth: the content of DIR/token, read anew for each request, so that a test may let a
 * token "expire" by writing another one there, or one of those that are given for it (oauth.h).
 */
#ifndef GCP_EMU_AUTH_H
#define GCP_EMU_AUTH_H

#include "emu.h"

/* Makes DIR/token (mode 0600) with a random token unless there is one. */
int auth_init(const char *dir, struct err *e);
/* true where the request may pass; otherwise rep holds the 401 */
bool auth_check(struct emu *emu, struct request *req, struct reply *rep);

#endif
