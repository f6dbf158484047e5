#include "auth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "io.h"
#include "log.h"
#include "sandbox.h"
#include "url.h"
#include "xalloc.h"

#define METADATA_ADDRESS "169.254.169.254"
#define METADATA_TIMEOUT SECONDS(10)
/* Where nothing says that there is such a service: how long to look for it. */
#define METADATA_GUESS_TIMEOUT SECONDS(3)
#define METADATA_GUESS SECONDS(4)

static const char nowhere[] =
    "cannot find credentials: no --credentials, no GOOGLE_APPLICATION_CREDENTIALS, no log-in of gcloud, and no metadata "
    "service; give --credentials FILE or --access-token-file FILE, or run: gcloud auth application-default login";

static const char *
env(const char *name)
{
	const char *v = getenv(name);
	return v != NULL && *v != '\0' ? v : NULL;
}

/* ---- from a file ---- */

/* The steps that lead from an external account to an access token. */
static int
add_external(struct flow *f, struct cred *c, const char *scopes, struct err *e)
{
	const char *allowed = env("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES");
	if (c->subject == SUBJECT_PROGRAM && (allowed == NULL || strcmp(allowed, "1") != 0))
		return err_set(e, ERR_CONFIG,
		    "cannot use these credentials: they want the program '%s' to be run; if that is meant, set "
		    "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1", c->command[0]);
	flow_add(f, c->subject == SUBJECT_PROGRAM ? step_program : c->subject == SUBJECT_AWS ? step_aws : step_subject, c, scopes);
	flow_add(f, step_sts, c, c->impersonate_url != NULL ? SCOPE_CLOUD : scopes);
	if (c->impersonate_url != NULL)
		flow_add(f, step_impersonate, c, scopes);
	return 0;
}

static int
add_steps(struct flow *f, struct cred *c, const char *scopes, bool exchange, struct err *e)
{
	switch (c->kind) {
	case CRED_SERVICE_ACCOUNT:
		flow_add(f, exchange ? step_key_exchange : step_key, c, scopes);
		return 0;
	case CRED_USER:
	case CRED_EXTERNAL_USER:
		flow_add(f, step_user, c, scopes);
		return 0;
	case CRED_EXTERNAL:
		return add_external(f, c, scopes, e);
	case CRED_IMPERSONATED:
		break;
	}
	if (add_steps(f, c->source, SCOPE_CLOUD, exchange, e) < 0)
		return -1;
	flow_add(f, step_impersonate, c, scopes);
	return 0;
}

static int
use_file(struct token *t, const char *path, const struct auth_want *want, const char *scopes, struct err *e)
{
	if (cred_load(&t->cred, path, e) < 0)
		return -1;
	if (want->audience != NULL && t->cred.kind != CRED_SERVICE_ACCOUNT)
		return err_set(e, ERR_USAGE, "cannot sign for an audience with '%s': only a service account's key can", path);
	t->cred.audience = want->audience != NULL ? xstrdup(want->audience) : t->cred.audience;
	const char *project = env("GOOGLE_CLOUD_QUOTA_PROJECT");
	project = project != NULL ? project : t->cred.quota_project;
	for (const char *p = project; p != NULL && *p != '\0'; p++) {
		if (*p <= ' ' || *p > '~')
			return err_set(e, ERR_CONFIG, "cannot use GOOGLE_CLOUD_QUOTA_PROJECT: it is no project");
	}
	if (project != NULL)
		t->project = xasprintf("x-goog-user-project: %s", project);
	t->advice = "; is this account still there, and is this machine's clock right?";
	char *label = cred_label(&t->cred);
	log_info("credentials: %s, from '%s'", label, path);
	free(label);
	return add_steps(&t->flow, &t->cred, scopes, want->exchange, e);
}

static char *
gcloud_file(void)
{
	const char *config = env("CLOUDSDK_CONFIG"), *home = env("HOME");
	if (config != NULL)
		return xasprintf("%s/application_default_credentials.json", config);
	return home != NULL ? xasprintf("%s/.config/gcloud/application_default_credentials.json", home) : NULL;
}

/* ---- the metadata service ---- */

/* As Google's own clients find out. */
static bool
on_google(void)
{
	struct buf text = BUF_INIT(256);
	bool yes = io_read_file("/sys/class/dmi/id/product_name", 256, &text, NULL) == 0 &&
	    str_starts(buf_str(&text), STR("Google"));
	buf_release(&text);
	return yes;
}

static int
use_metadata(struct token *t, const struct auth_want *want, const char *scopes, struct err *e)
{
	const char *host = env("GCE_METADATA_HOST"), *off = env("NO_GCE_CHECK");
	host = host != NULL ? host : env("GCE_METADATA_ROOT");
	host = host != NULL ? host : env("GCE_METADATA_IP");
	bool sure = host != NULL || on_google();
	if (want->audience != NULL)
		return err_set(e, ERR_USAGE, "cannot sign for an audience: only a service account's key can; give --credentials");
	if (!sure && off != NULL && str_ieq(str_of(off), STR("true")))
		return err_set(e, ERR_AUTH, "%s", nowhere);
	/* Names are for resolvers to answer, who need not be trusted: this one has one address. */
	if (host == NULL || strcmp(host, "metadata.google.internal") == 0 || strcmp(host, "metadata") == 0)
		host = METADATA_ADDRESS;
	t->cred.url = xasprintf("http://%s", host);
	if (!url_keeps_secrets(t->cred.url) || strpbrk(host, "/?#@") != NULL)
		return err_set(e, ERR_CONFIG,
		    "cannot use GCE_METADATA_HOST='%.100s': it must be this machine or a link-local address,"
		    " with or without a port",
		    host);
	t->cred.timeout = sure ? METADATA_TIMEOUT : METADATA_GUESS_TIMEOUT;
	if (!sure) {
		t->first_patience = METADATA_GUESS;
		t->nowhere = nowhere;
	}
	t->advice = "; is this machine's service account still there?";
	log_info("credentials: the metadata service at %s", host);
	flow_add(&t->flow, step_metadata, &t->cred, scopes);
	return 0;
}

static int
use_default(struct token *t, const struct auth_want *want, const char *scopes, struct err *e)
{
	const char *named = env("GOOGLE_APPLICATION_CREDENTIALS");
	char *path = named != NULL ? xstrdup(named) : gcloud_file();
	int rc;
	if (named != NULL || (path != NULL && (access(path, F_OK) == 0 || errno != ENOENT)))
		rc = use_file(t, path, want, scopes, e);
	else
		rc = use_metadata(t, want, scopes, e);
	free(path);
	return rc;
}

int
auth_open(struct token *t, struct http *http, const struct login *login, const struct auth_want *want, int64_t patience,
    struct err *e)
{
	const char *universe = env("GOOGLE_CLOUD_UNIVERSE_DOMAIN");
	const char *scopes = want->scopes != NULL ? want->scopes : SCOPE_CLOUD;
	token_init(t, http, patience);
	sandbox_secrets();
	if (universe != NULL && strcmp(universe, "googleapis.com") != 0)
		return err_set(e, ERR_CONFIG, "cannot use GOOGLE_CLOUD_UNIVERSE_DOMAIN='%.100s': only googleapis.com is known here",
		    universe);
	if (login->credentials != NULL && login->access_token_file != NULL)
		return err_set(e, ERR_USAGE, "cannot take both --credentials and --access-token-file: give one of them");
	if (login->access_token_file != NULL) {
		t->cred.file = xstrdup(login->access_token_file);
		t->advice = "; get a fresh access token";
		flow_add(&t->flow, step_file, &t->cred, scopes);
		return 0;
	}
	if (login->credentials != NULL && strcmp(login->credentials, "default") != 0)
		return use_file(t, login->credentials, want, scopes, e);
	return use_default(t, want, scopes, e);
}
