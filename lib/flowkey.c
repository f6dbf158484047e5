/*
 * A service account's key. By default the key signs what is itself the access token: no request, nothing that can fail
 * [AIP-4111]. A scope in it makes it good for every Google API; with an audience instead it is for one. Where a service
 * refuses it, an assertion is exchanged for a token [AIP-4112].
 */
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "flow.h"
#include "jsonw.h"
#include "xalloc.h"

#define LIFE 3600 /* seconds: the longest there is */
#define SKEW 10   /* a clock that is a little fast must not make it come from the future */

/* Signs the claims, with either aud or scope or both: -1 with the flow failed. */
static int
sign(struct flow *f, const char *audience, const char *scope, bool sub, struct buf *out)
{
	const struct cred *c = f->step->cred;
	struct buf claims = BUF_INIT(LIMIT_TOKEN / 2);
	struct jsonw w = jsonw_to(&claims);
	struct err e;
	int64_t now = clock_wall() / 1000000 - SKEW;
	jsonw_object(&w);
	jsonw_member(&w, "iss", str_of(c->email));
	if (sub)
		jsonw_member(&w, "sub", str_of(c->email));
	if (audience != NULL)
		jsonw_member(&w, "aud", str_of(audience));
	if (scope != NULL)
		jsonw_member(&w, "scope", str_of(scope));
	jsonw_key(&w, "iat");
	jsonw_i64(&w, now);
	jsonw_key(&w, "exp");
	jsonw_i64(&w, now + LIFE);
	jsonw_end(&w);
	int rc = jwt_sign(c->key, c->key_id, buf_str(&claims), out, &e);
	buf_release(&claims);
	if (rc < 0)
		flow_fail(f, &e, 0);
	return rc;
}

void
step_key_exchange(struct flow *f)
{
	const struct cred *c = f->step->cred;
	struct buf body = BUF_INIT(LIMIT_TOKEN), assertion = BUF_INIT(LIMIT_TOKEN);
	if (sign(f, c->token_url, f->step->scope, false, &assertion) == 0) {
		flow_secret(f, buf_str(&assertion));
		flow_form(&body, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
		flow_form(&body, "assertion", buf_cstr(&assertion));
		struct flow_request r = {.method = "POST", .url = c->token_url, .body = &body,
		    .what = "get a token for the service account", .object = c->email};
		flow_send(f, &r, flow_read_token);
	}
	buf_wipe(&assertion);
	buf_wipe(&body);
}

void
step_key(struct flow *f)
{
	struct cred *c = f->step->cred;
	struct buf token = BUF_INIT(LIMIT_TOKEN);
	c->exchange = c->exchange || (f->refused && c->audience == NULL);
	if (c->exchange)
		step_key_exchange(f);
	else if (sign(f, c->audience, c->audience == NULL ? f->step->scope : NULL, true, &token) == 0)
		flow_next(f, buf_str(&token), SECONDS(LIFE - SKEW));
	buf_wipe(&token);
}
