/*
 * Another provider's token, exchanged for one of Google's [AIP-4117; RFC 8693], and impersonation
 * [cloud.google.com/iam/docs/reference/credentials/rest: generateAccessToken]. A file is read again at each exchange: whoever
 * put it there (Kubernetes' projected tokens) writes a new token in time.
 */
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "flow.h"
#include "io.h"
#include "json.h"
#include "jsonw.h"
#include "time.h"
#include "xalloc.h"

void
step_file(struct flow *f)
{
	struct buf text = BUF_INIT(LIMIT_TOKEN);
	const char *path = f->step->cred->file;
	struct err e;
	if (io_read_file(path, LIMIT_TOKEN, &text, &e) < 0) {
		e.class = ERR_AUTH;
		flow_fail(f, &e, 0);
		buf_wipe(&text);
		return;
	}
	struct str token = str_trim(buf_str(&text));
	bool fine = true;
	for (size_t i = 0; i < token.n; i++)
		fine = fine && token.p[i] > ' ' && token.p[i] <= '~';
	if (!fine || token.n == 0) {
		err_set(&e, ERR_AUTH, "cannot use the token in '%s': %s", path,
		    fine ? "the file is empty" : "it holds characters that no token has");
		flow_fail(f, &e, 0);
	} else {
		flow_next(f, token, LIFE_UNKNOWN);
	}
	buf_wipe(&text);
}

/* Of a text, itself; of JSON the named member. */
static void
give_subject(struct flow *f, struct str text, const char *where)
{
	const struct cred *c = f->step->cred;
	struct json j = {0};
	struct err e;
	if (c->field == NULL) {
		flow_next(f, str_trim(text), LIFE_UNKNOWN);
		return;
	}
	char *token = json_parse(&j, text) == JSON_OK ? json_dup(&j, json_get(&j, 0, c->field)) : NULL;
	json_release(&j);
	if (token == NULL) {
		err_set(&e, ERR_AUTH, "cannot use the token in '%s': it is no JSON with the member '%s'", where, c->field);
		flow_fail(f, &e, 0);
	} else {
		flow_next(f, str_of(token), LIFE_UNKNOWN);
	}
	xwipe(token);
}

static void
on_subject(struct flow *f, const struct http_reply *reply)
{
	give_subject(f, reply->body, f->step->cred->url);
}

void
step_subject(struct flow *f)
{
	const struct cred *c = f->step->cred;
	struct buf text = BUF_INIT(LIMIT_TOKEN);
	struct err e;
	if (c->subject == SUBJECT_URL) {
		struct flow_request r = {.method = "GET", .url = c->url, .headers = (const char *const *)c->headers,
		    .what = "get the provider's token from", .object = c->url};
		for (int i = 0; c->headers[i] != NULL; i++)
			flow_secret(f, str_of(c->headers[i]));
		flow_send(f, &r, on_subject);
	} else if (io_read_file(c->file, LIMIT_TOKEN, &text, &e) < 0) {
		e.class = ERR_AUTH;
		flow_fail(f, &e, 0);
	} else {
		give_subject(f, buf_str(&text), c->file);
	}
	buf_wipe(&text);
}

void
step_sts(struct flow *f)
{
	const struct cred *c = f->step->cred;
	struct buf body = BUF_INIT(4 * LIMIT_TOKEN), basic = BUF_INIT(LIMIT_TOKEN);
	const char *headers[] = {NULL, NULL};
	flow_form(&body, "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
	flow_form(&body, "audience", c->audience);
	flow_form(&body, "scope", f->step->scope);
	flow_form(&body, "requested_token_type", "urn:ietf:params:oauth:token-type:access_token");
	flow_form(&body, "subject_token", buf_cstr(&f->in));
	flow_form(&body, "subject_token_type", c->subject_type);
	if (c->client_id != NULL && c->client_secret != NULL) {
		flow_secret(f, str_of(c->client_secret));
		flow_basic(&basic, c);
		headers[0] = buf_cstr(&basic);
	} else if (c->user_project != NULL) {
		struct buf options = BUF_INIT(LIMIT_TOKEN);
		struct jsonw w = jsonw_to(&options);
		jsonw_object(&w);
		jsonw_member(&w, "userProject", str_of(c->user_project));
		jsonw_end(&w);
		flow_form(&body, "options", buf_cstr(&options));
		buf_release(&options);
	}
	struct flow_request r = {.method = "POST", .url = c->token_url, .headers = headers, .body = &body,
	    .what = "exchange the provider's token for", .object = c->audience};
	flow_send(f, &r, flow_read_token);
	buf_wipe(&body);
	buf_wipe(&basic);
}

static void
on_impersonated(struct flow *f, const struct http_reply *reply)
{
	struct json j = {0};
	int64_t end = 0, began = clock_wall() - (clock_now() - f->began);
	bool fine = json_parse(&j, reply->body) == JSON_OK;
	char *token = fine ? json_dup(&j, json_get(&j, 0, "accessToken")) : NULL;
	fine = fine && time_parse_service(json_text(&j, json_get(&j, 0, "expireTime")), &end) == NULL;
	json_release(&j);
	if (token == NULL || !fine)
		flow_garbled(f, "the reply has no accessToken with an expireTime");
	else if (end - clock_wall() < SECONDS(1))
		flow_garbled(f, "the token has ended already; is this machine's clock right?");
	else
		flow_next(f, str_of(token), end - began);
	xwipe(token);
}

void
step_impersonate(struct flow *f)
{
	const struct cred *c = f->step->cred;
	struct buf body = BUF_INIT(LIMIT_TOKEN), bearer = BUF_INIT(LIMIT_TOKEN + 64);
	struct jsonw w = jsonw_to(&body);
	struct str scopes = str_of(f->step->scope);
	char lifetime[32];
	jsonw_object(&w);
	jsonw_key(&w, "scope");
	jsonw_array(&w);
	while (scopes.n > 0) {
		size_t n = str_find(scopes, ' ');
		if (n > 0)
			jsonw_str(&w, (struct str){scopes.p, n});
		scopes = str_skip(scopes, n + 1);
	}
	jsonw_end(&w);
	jsonw_key(&w, "delegates");
	jsonw_array(&w);
	for (int i = 0; c->delegates[i] != NULL; i++)
		jsonw_cstr(&w, c->delegates[i]);
	jsonw_end(&w);
	snprintf(lifetime, sizeof(lifetime), "%llds", (long long)c->lifetime);
	jsonw_member(&w, "lifetime", str_of(lifetime));
	jsonw_end(&w);
	buf_addf(&bearer, "Authorization: Bearer %.*s", STR_ARG(buf_str(&f->in)));
	const char *headers[] = {buf_cstr(&bearer), NULL};
	struct flow_request r = {.method = "POST", .url = c->impersonate_url, .headers = headers, .body = &body,
	    .what = "impersonate by", .object = c->impersonate_url};
	flow_send(f, &r, on_impersonated);
	buf_wipe(&body);
	buf_wipe(&bearer);
}
