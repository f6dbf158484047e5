#include "cred.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "io.h"
#include "json.h"
#include "log.h"
#include "url.h"
#include "xalloc.h"

#define GOOGLE_TOKEN_URL "https://oauth2.googleapis.com/token"
#define PROGRAM_TIMEOUT MILLIS(30000)
#define LIFETIME 3600

/* One file being read. */
struct reading {
	struct json j;
	const char *name;
	struct err *e;
};

static int
refuse(const struct reading *r, const char *member, const char *why)
{
	return err_set(r->e, ERR_CONFIG, "cannot use the credentials in '%s': '%s' %s", r->name, member, why);
}

/* Ends up in headers and URLs: visible ASCII. Names of Google's and of audiences have no other. */
static bool
visible(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s <= ' ' || *s > '~')
			return false;
	}
	return true;
}

/* A text without control characters or blanks, as a copy. */
static int
take(struct reading *r, uint32_t object, const char *member, bool must, char **to)
{
	uint32_t t = json_get(&r->j, object, member);
	if (t == JSON_NONE || json_is(&r->j, t, JSON_NULL))
		return must ? refuse(r, member, "is missing") : 0;
	*to = json_dup(&r->j, t);
	if (*to == NULL || !visible(*to))
		return refuse(r, member, "is no text of visible characters");
	return **to == '\0' ? refuse(r, member, "is empty") : 0;
}

static int
take_url(struct reading *r, uint32_t object, const char *member, bool must, char **to)
{
	if (take(r, object, member, must, to) < 0)
		return -1;
	if (*to != NULL && !url_keeps_secrets(*to))
		return refuse(r, member, "is no place for secrets: it must be https,"
		    " or http to this machine or a link-local address");
	return 0;
}

static int
take_path(struct reading *r, uint32_t object, const char *member, bool must, char **to)
{
	uint32_t t = json_get(&r->j, object, member);
	if (t == JSON_NONE || json_is(&r->j, t, JSON_NULL))
		return must ? refuse(r, member, "is missing") : 0;
	*to = json_dup(&r->j, t);
	return *to == NULL || **to == '\0' ? refuse(r, member, "is no path") : 0;
}

static int
take_number(struct reading *r, uint32_t object, const char *member, int64_t min, int64_t max, int64_t *to)
{
	char why[80];
	uint32_t t = json_get(&r->j, object, member);
	if (t == JSON_NONE || json_is(&r->j, t, JSON_NULL))
		return 0;
	if (json_i64(&r->j, t, to) && *to >= min && *to <= max)
		return 0;
	snprintf(why, sizeof(why), "is no number from %lld to %lld", (long long)min, (long long)max);
	return refuse(r, member, why);
}

/* ---- the kinds ---- */

static int
take_key(struct reading *r, struct cred *c)
{
	struct err why;
	char *pem = json_dup(&r->j, json_get(&r->j, 0, "private_key"));
	if (pem == NULL)
		return refuse(r, "private_key", "is missing, or no text");
	c->key = jwt_key_read(str_of(pem), &why);
	xwipe(pem);
	return c->key == NULL ? refuse(r, "private_key", why.text) : 0;
}

static int
service_account(struct reading *r, struct cred *c)
{
	c->kind = CRED_SERVICE_ACCOUNT;
	if (take(r, 0, "client_email", true, &c->email) < 0 || take(r, 0, "private_key_id", false, &c->key_id) < 0 ||
	    take_url(r, 0, "token_uri", false, &c->token_url) < 0 || take_key(r, c) < 0)
		return -1;
	if (c->token_url == NULL)
		c->token_url = xstrdup(GOOGLE_TOKEN_URL);
	return 0;
}

static int
user(struct reading *r, struct cred *c)
{
	c->kind = CRED_USER;
	if (take(r, 0, "client_id", true, &c->client_id) < 0 || take(r, 0, "client_secret", true, &c->client_secret) < 0 ||
	    take(r, 0, "refresh_token", true, &c->refresh_token) < 0 || take_url(r, 0, "token_uri", false, &c->token_url) < 0)
		return -1;
	if (c->token_url == NULL)
		c->token_url = xstrdup(GOOGLE_TOKEN_URL);
	return 0;
}

static int
external_user(struct reading *r, struct cred *c)
{
	c->kind = CRED_EXTERNAL_USER;
	return take(r, 0, "client_id", true, &c->client_id) < 0 || take(r, 0, "client_secret", true, &c->client_secret) < 0 ||
	    take(r, 0, "refresh_token", true, &c->refresh_token) < 0 || take_url(r, 0, "token_url", true, &c->token_url) < 0
	    ? -1 : 0;
}

static int
take_format(struct reading *r, uint32_t source, struct cred *c)
{
	uint32_t format = json_get(&r->j, source, "format");
	struct str type = json_text(&r->j, json_get(&r->j, format, "type"));
	if (type.n == 0 || str_is(type, "text"))
		return 0;
	if (!str_is(type, "json"))
		return refuse(r, "credential_source.format.type", "is neither text nor json");
	return take(r, format, "subject_token_field_name", true, &c->field);
}

static int
take_headers(struct reading *r, uint32_t source, struct cred *c)
{
	struct json *j = &r->j;
	uint32_t o = json_get(j, source, "headers");
	if (o == JSON_NONE || json_is(j, o, JSON_NULL))
		return 0;
	int n = 0;
	for (uint32_t k = json_is(j, o, JSON_OBJECT) ? json_first(o) : JSON_NONE; k != JSON_NONE && k < json_end(j, o);
	     k = j->tok[k + 1].next) {
		char *name = json_dup(j, k), *value = json_dup(j, k + 1);
		bool fine = n < CRED_LIST_MAX && name != NULL && *name != '\0' && visible(name) && strchr(name, ':') == NULL &&
		    value != NULL;
		for (const char *p = value; fine && *p != '\0'; p++)
			fine = *p >= ' ' && *p <= '~';
		if (fine)
			c->headers[n++] = xasprintf("%s: %s", name, value);
		free(name);
		xwipe(value);
		if (!fine)
			return refuse(r, "credential_source.headers", "holds what is no header, or more than 16");
	}
	return json_is(j, o, JSON_OBJECT) ? 0 : refuse(r, "credential_source.headers", "is no object");
}

/* Words, between blanks or quotes of either kind; no shell. */
static int
split_command(struct reading *r, const char *text, struct cred *c)
{
	int n = 0;
	while (*(text += strspn(text, " \t")) != '\0') {
		char quote = *text == '"' || *text == '\'' ? *text++ : '\0';
		size_t len = quote != '\0' ? strcspn(text, quote == '"' ? "\"" : "'") : strcspn(text, " \t");
		if (n == CRED_LIST_MAX || (quote != '\0' && text[len] == '\0'))
			return refuse(r, "credential_source.executable.command",
			    "has more than 16 words, or a quote without an end");
		c->command[n++] = str_dup((struct str){text, len});
		text += len + (quote != '\0');
	}
	return n > 0 ? 0 : refuse(r, "credential_source.executable.command", "is empty");
}

static int
take_program(struct reading *r, uint32_t executable, struct cred *c)
{
	int64_t millis = PROGRAM_TIMEOUT / 1000;
	char *command = NULL;
	c->subject = SUBJECT_PROGRAM;
	int rc = take_path(r, executable, "command", true, &command);
	rc = rc < 0 ? rc : split_command(r, command, c);
	free(command);
	if (rc < 0 || take_number(r, executable, "timeout_millis", 5000, 120000, &millis) < 0 ||
	    take_path(r, executable, "output_file", false, &c->file) < 0)
		return -1;
	c->timeout = MILLIS(millis);
	return 0;
}

static int
take_source(struct reading *r, struct cred *c)
{
	uint32_t source = json_get(&r->j, 0, "credential_source");
	uint32_t executable = json_get(&r->j, source, "executable");
	if (!json_is(&r->j, source, JSON_OBJECT))
		return refuse(r, "credential_source", "is missing, or no object");
	if (json_get(&r->j, source, "environment_id") != JSON_NONE) {
		c->subject = SUBJECT_AWS;
		if (!str_is(json_text(&r->j, json_get(&r->j, source, "environment_id")), "aws1"))
			return refuse(r, "credential_source.environment_id", "is not aws1, the only one known");
		return take_url(r, source, "regional_cred_verification_url", true, &c->url) < 0 ||
		    take_url(r, source, "region_url", false, &c->region_url) < 0 ||
		    take_url(r, source, "imdsv2_session_token_url", false, &c->session_url) < 0 ? -1 : 0;
	}
	if (executable != JSON_NONE)
		return take_program(r, executable, c);
	if (json_get(&r->j, source, "file") != JSON_NONE) {
		c->subject = SUBJECT_FILE;
		return take_path(r, source, "file", true, &c->file) < 0 || take_format(r, source, c) < 0 ? -1 : 0;
	}
	if (json_get(&r->j, source, "url") == JSON_NONE)
		return refuse(r, "credential_source", "has neither file, url, executable nor AWS's environment_id");
	c->subject = SUBJECT_URL;
	return take_url(r, source, "url", true, &c->url) < 0 || take_headers(r, source, c) < 0 || take_format(r, source, c) < 0
	    ? -1 : 0;
}

static int
external(struct reading *r, struct cred *c)
{
	uint32_t settings = json_get(&r->j, 0, "service_account_impersonation");
	c->kind = CRED_EXTERNAL;
	c->lifetime = LIFETIME;
	if (take(r, 0, "audience", true, &c->audience) < 0 || take(r, 0, "subject_token_type", true, &c->subject_type) < 0 ||
	    take_url(r, 0, "token_url", true, &c->token_url) < 0 ||
	    take_url(r, 0, "service_account_impersonation_url", false, &c->impersonate_url) < 0 ||
	    take_number(r, settings, "token_lifetime_seconds", 600, 43200, &c->lifetime) < 0 ||
	    take(r, 0, "client_id", false, &c->client_id) < 0 || take(r, 0, "client_secret", false, &c->client_secret) < 0 ||
	    take(r, 0, "workforce_pool_user_project", false, &c->user_project) < 0)
		return -1;
	return take_source(r, c);
}

static int
take_delegates(struct reading *r, struct cred *c)
{
	struct json *j = &r->j;
	uint32_t list = json_get(j, 0, "delegates");
	int n = 0;
	if (list == JSON_NONE || json_is(j, list, JSON_NULL))
		return 0;
	if (!json_is(j, list, JSON_ARRAY) || j->tok[list].count > CRED_LIST_MAX)
		return refuse(r, "delegates", "is no array of at most 16");
	for (uint32_t t = json_first(list); t < json_end(j, list); t = j->tok[t].next) {
		c->delegates[n] = json_dup(j, t);
		if (c->delegates[n] == NULL || !visible(c->delegates[n]))
			return refuse(r, "delegates", "holds what is no account");
		n++;
	}
	return 0;
}

static int
impersonated(struct reading *r, struct cred *c)
{
	uint32_t source = json_get(&r->j, 0, "source_credentials");
	c->kind = CRED_IMPERSONATED;
	c->lifetime = LIFETIME;
	if (take_url(r, 0, "service_account_impersonation_url", true, &c->impersonate_url) < 0 || take_delegates(r, c) < 0)
		return -1;
	if (!json_is(&r->j, source, JSON_OBJECT))
		return refuse(r, "source_credentials", "is missing, or no object");
	/* A file within the file: read by itself, so that every member is looked up at its top. */
	char *name = xasprintf("%s: source_credentials", r->name);
	c->source = xcalloc(1, sizeof(*c->source));
	int rc = cred_parse(c->source, json_raw(&r->j, source), name, r->e);
	free(name);
	if (rc == 0 && c->source->kind == CRED_IMPERSONATED)
		return refuse(r, "source_credentials", "impersonates too; use 'delegates' for a chain of accounts");
	return rc;
}

static int
take_kind(struct reading *r, uint32_t type, struct cred *c)
{
	static const struct {
		const char *name;
		int (*take)(struct reading *, struct cred *);
	} kinds[] = {{"service_account", service_account}, {"authorized_user", user}, {"external_account", external},
	    {"external_account_authorized_user", external_user}, {"impersonated_service_account", impersonated}};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (str_is(json_text(&r->j, type), kinds[i].name))
			return kinds[i].take(r, c);
	}
	return refuse(r, "type", "is none of service_account, authorized_user, external_account, "
	    "external_account_authorized_user and impersonated_service_account; is this a file of credentials?");
}

int
cred_parse(struct cred *c, struct str json, const char *name, struct err *e)
{
	struct reading r = {.name = name, .e = e};
	struct err why;
	char *universe = NULL;
	int rc = -1;
	*c = (struct cred){0};
	if (json_read(&r.j, json, &why) < 0 || !json_is(&r.j, 0, JSON_OBJECT) || r.j.depth > LIMIT_DEPTH) {
		err_set(e, ERR_CONFIG, "cannot use the credentials in '%s': the file is no JSON object", name);
		goto out;
	}
	if (take_kind(&r, json_get(&r.j, 0, "type"), c) < 0 || take(&r, 0, "universe_domain", false, &universe) < 0 ||
	    take(&r, 0, "quota_project_id", false, &c->quota_project) < 0)
		goto out;
	if (universe != NULL && strcmp(universe, "googleapis.com") != 0) {
		refuse(&r, "universe_domain", "is not googleapis.com, and no other universe is known here");
		goto out;
	}
	rc = 0;
out:
	free(universe);
	json_release(&r.j);
	return rc;
}

/* external_account's file says where secrets are, and has none, or hardly one. */
static void
warn_of_readers(const char *path, const struct cred *c)
{
	if (c->kind != CRED_EXTERNAL || c->client_secret != NULL)
		io_warn_of_readers(path);
}

int
cred_load(struct cred *c, const char *path, struct err *e)
{
	struct buf text = BUF_INIT(LIMIT_TOKEN);
	*c = (struct cred){0};
	int rc = io_read_file(path, LIMIT_TOKEN, &text, e);
	if (rc < 0)
		e->class = e->class == ERR_INPUT ? ERR_CONFIG : ERR_AUTH;
	else
		rc = cred_parse(c, buf_str(&text), path, e);
	if (rc == 0)
		warn_of_readers(path, c);
	buf_wipe(&text);
	return rc;
}

char *
cred_label(const struct cred *c)
{
	static const char *const subjects[] = {"a file", "a URL", "a program", "AWS"};
	struct str account = str_of(c->impersonate_url);
	while (account.n > 0 && memchr(account.p, '/', account.n) != NULL)
		account = str_skip(account, str_find(account, '/') + 1);
	account.n = str_find(account, ':');
	switch (c->kind) {
	case CRED_SERVICE_ACCOUNT:
		return xasprintf("the service account %s", c->email);
	case CRED_USER:
	case CRED_EXTERNAL_USER:
		return xstrdup("a person's log-in");
	case CRED_IMPERSONATED:
		return xasprintf("the service account %.*s, impersonated", STR_ARG(account));
	case CRED_EXTERNAL:
		break;
	}
	return xasprintf("a token of %s%s%.*s", subjects[c->subject], account.n > 0 ? " for the service account " : "",
	    STR_ARG(account));
}

static void
free_list(char **list)
{
	for (int i = 0; i < CRED_LIST_MAX; i++)
		xwipe(list[i]);
}

void
cred_release(struct cred *c)
{
	if (c->source != NULL)
		cred_release(c->source);
	free(c->source);
	jwt_key_free(c->key);
	xwipe(c->client_secret);
	xwipe(c->refresh_token);
	free_list(c->headers);
	free_list(c->command);
	free_list(c->delegates);
	char *rest[] = {c->quota_project, c->email, c->key_id, c->token_url, c->client_id, c->audience, c->subject_type,
	    c->user_project, c->file, c->url, c->field, c->region_url, c->session_url, c->impersonate_url};
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
		free(rest[i]);
	*c = (struct cred){0};
}
