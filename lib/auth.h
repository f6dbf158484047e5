/*
 * auth: which credentials are used, in Google's order [AIP-4110; evpipe-auth(7)]:
 *
 *	--access-token-file FILE          an access token, read again when a service refuses it
 *	--credentials FILE                see cred.h for what can be in it
 *	GOOGLE_APPLICATION_CREDENTIALS    likewise
 *	gcloud's own file                 application_default_credentials.json in CLOUDSDK_CONFIG or ~/.config/gcloud
 *	the metadata service              GCE_METADATA_HOST, GCE_METADATA_ROOT, GCE_METADATA_IP, else 169.254.169.254
 *
 * From here on the process writes no core file and cannot be traced by other processes of the same user, for it holds
 * secrets, and so do the buffers of the libraries it uses (prctl(2), PR_SET_DUMPABLE).
 */
#ifndef EVPIPE_AUTH_H
#define EVPIPE_AUTH_H

#include "common.h"
#include "token.h"

struct auth_want {
	const char *scopes;   /* between blanks; NULL: SCOPE_CLOUD */
	const char *audience; /* instead of scopes: a service account's key signs a JWT for it; NULL: no */
	bool exchange;        /* an access token from the token endpoint, never what a key signed itself */
};

/* Sets t up; opens no connection. login->credentials "default" is the order without options. Release t in any case. */
int auth_open(struct token *t, struct http *http, const struct login *login, const struct auth_want *want, int64_t patience,
    struct err *e);

#endif
