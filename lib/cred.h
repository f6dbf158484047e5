/*
 * cred: a file of credentials, as Google's tools write it, turned into a typed struct. What is in it decides where secrets
 * go, so every URL must keep them (url_keeps_secrets), every text that ends up in a header or URL is looked at, and
 * messages name members of the file, never their values.
 *
 *	service_account                   an RSA key [AIP-4111, AIP-4112]
 *	authorized_user                   a person's refresh token [AIP-4113]
 *	external_account                  another provider's token, from a file, a URL, a program or AWS [AIP-4117]
 *	external_account_authorized_user  a person's, by way of such a provider
 *	impersonated_service_account      one of the others that speaks for a service account
 */
#ifndef EVPIPE_CRED_H
#define EVPIPE_CRED_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "jwt.h"

#define CRED_LIST_MAX 16 /* delegates, headers, words of a command */

enum cred_kind { CRED_SERVICE_ACCOUNT, CRED_USER, CRED_EXTERNAL, CRED_EXTERNAL_USER, CRED_IMPERSONATED };
enum cred_subject { SUBJECT_FILE, SUBJECT_URL, SUBJECT_PROGRAM, SUBJECT_AWS };

/* NULL: not there */
struct cred {
	enum cred_kind kind;
	char *quota_project;
	char *email;           /* service_account's */
	char *key_id;
	struct jwt_key *key;
	bool exchange;         /* no longer what the key signs itself: a service refused that */
	char *token_url;       /* where tokens come from; of an authorized_user by default Google's */
	char *client_id, *client_secret, *refresh_token;
	/* external_account */
	char *audience, *subject_type, *user_project;
	enum cred_subject subject;
	char *file, *url;      /* of the subject token; of a program its output_file */
	char *field;           /* the member of a JSON that has it; NULL: the text is the token */
	char *headers[CRED_LIST_MAX + 1];
	char *command[CRED_LIST_MAX + 1];
	int64_t timeout;       /* of the program or metadata service, microseconds */
	char *region_url, *session_url; /* AWS's */
	/* of external_account and impersonated_service_account */
	char *impersonate_url;
	int64_t lifetime;      /* seconds */
	char *delegates[CRED_LIST_MAX + 1];
	struct cred *source;   /* who impersonates */
};

/* Reads a file and warns where others can read the secrets in it. -1: ERR_AUTH (not there), ERR_CONFIG. Release in any case. */
int cred_load(struct cred *c, const char *path, struct err *e);
/* name: for messages */
int cred_parse(struct cred *c, struct str json, const char *name, struct err *e);
/* for people: "service account NAME", without secrets; to be freed */
char *cred_label(const struct cred *c);
void cred_release(struct cred *c);

#endif
