/* A person's refresh token [RFC 6749 section 6; AIP-4113]. */
#include <string.h>

#include "base64.h"
#include "bounds.h"
#include "flow.h"
#include "json.h"
#include "xalloc.h"

/* A provider may give a new refresh token with each access token; then the old one has ended. */
static void
on_reply(struct flow *f, const struct http_reply *reply)
{
	struct cred *c = f->step->cred;
	struct json j = {0};
	char *next = json_parse(&j, reply->body) == JSON_OK ? json_dup(&j, json_get(&j, 0, "refresh_token")) : NULL;
	json_release(&j);
	if (next != NULL && *next != '\0' && strlen(next) < LIMIT_TOKEN / 4) {
		xwipe(c->refresh_token);
		c->refresh_token = next;
		next = NULL;
	}
	xwipe(next);
	flow_read_token(f, reply);
}

void
step_user(struct flow *f)
{
	const struct cred *c = f->step->cred;
	struct buf body = BUF_INIT(LIMIT_TOKEN), basic = BUF_INIT(LIMIT_TOKEN);
	const char *headers[] = {NULL, NULL};
	flow_secret(f, str_of(c->client_secret));
	flow_secret(f, str_of(c->refresh_token));
	flow_form(&body, "grant_type", "refresh_token");
	flow_form(&body, "refresh_token", c->refresh_token);
	if (c->kind == CRED_EXTERNAL_USER) {
		flow_basic(&basic, c);
		headers[0] = buf_cstr(&basic);
	} else {
		flow_form(&body, "client_id", c->client_id);
		flow_form(&body, "client_secret", c->client_secret);
	}
	struct flow_request r = {.method = "POST", .url = c->token_url, .headers = headers, .body = &body,
	    .what = "renew the log-in of", .object = c->client_id};
	flow_send(f, &r, on_reply);
	buf_wipe(&body);
	buf_wipe(&basic);
}
