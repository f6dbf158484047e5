#include "flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "base64.h"
#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "num.h"
#include "url.h"
#include "xalloc.h"

#define TIMEOUT SECONDS(30)
#define SECRETS_MAX (8 * LIMIT_TOKEN)

void
flow_init(struct flow *f, struct http *http)
{
	*f = (struct flow){.http = http};
	buf_init(&f->in, LIMIT_TOKEN);
	buf_init(&f->secrets, SECRETS_MAX);
}

void
flow_add(struct flow *f, flow_begin *begin, struct cred *cred, const char *scope)
{
	if (f->nsteps < FLOW_STEPS_MAX)
		f->steps[f->nsteps++] = (struct flow_step){begin, cred, scope};
}

/* Nothing of the step under way is left. */
static void
end_step(struct flow *f)
{
	void (*stop)(struct flow *) = f->stop;
	f->stop = NULL;
	f->turn = NULL;
	if (stop != NULL)
		stop(f);
	f->state = NULL;
	if (f->request != NULL)
		http_cancel(f->request);
	f->request = NULL;
	buf_wipe(&f->body);
	free(f->object);
	f->object = NULL;
}

static void
end(struct flow *f)
{
	end_step(f);
	f->busy = false;
	buf_wipe(&f->in);
	buf_wipe(&f->secrets);
}

void
flow_start(struct flow *f, bool refused, flow_done *done, void *arg)
{
	f->refused = refused;
	f->done = done;
	f->arg = arg;
	f->began = clock_now();
	f->busy = true;
	f->step = f->steps;
	f->step->begin(f);
}

int64_t
flow_turn(struct flow *f, int64_t now)
{
	return f->turn != NULL ? f->turn(f, now) : CLOCK_NEVER;
}

void
flow_stop(struct flow *f)
{
	if (f->busy)
		end(f);
}

void
flow_release(struct flow *f)
{
	flow_stop(f);
	buf_wipe(&f->in);
	buf_wipe(&f->secrets);
}

void
flow_secret(struct flow *f, struct str s)
{
	buf_adds(&f->secrets, s);
	buf_addc(&f->secrets, '\n');
}

void
flow_fail(struct flow *f, const struct err *e, int64_t retry_after)
{
	end(f);
	f->done(f->arg, STR_NONE, 0, e, retry_after);
}

void
flow_next(struct flow *f, struct str token, int64_t life)
{
	struct err e;
	bool fine = token.n > 0 && token.n <= LIMIT_TOKEN;
	for (size_t i = 0; i < token.n && fine; i++)
		fine = token.p[i] > ' ' && token.p[i] <= '~';
	if (!fine) {
		err_set(&e, ERR_TRANSIENT, "cannot use what came as a token: it is %s",
		    token.n == 0 ? "empty" : "too long, or has characters that no token has");
		flow_fail(f, &e, 0);
		return;
	}
	struct buf mine = BUF_INIT(LIMIT_TOKEN);
	buf_adds(&mine, token); /* which may lie in what ends now */
	end_step(f);
	if (f->step + 1 < f->steps + f->nsteps) {
		flow_secret(f, buf_str(&mine));
		buf_wipe(&f->in);
		f->in = mine;
		f->step++;
		f->step->begin(f);
		return;
	}
	end(f);
	f->done(f->arg, buf_str(&mine), life, NULL, 0);
	buf_wipe(&mine);
}

void
flow_garbled(struct flow *f, const char *cause)
{
	struct err e;
	err_set(&e, ERR_TRANSIENT, "cannot %s '%s': %s", f->what, f->object, cause);
	flow_fail(f, &e, 0);
}

static void
on_reply(void *arg, const struct http_reply *reply)
{
	struct flow *f = arg;
	char reason[ANSWER_REASON_MAX];
	struct err e;
	f->request = NULL;
	if (f->metadata && reply->status != 0 && !str_is(http_header(reply, "Metadata-Flavor"), "Google")) {
		flow_garbled(f, "what answers is not the metadata service: no Metadata-Flavor in its reply");
		return;
	}
	struct answer_to to = {.what = f->what, .object = f->object, .secret = buf_str(&f->secrets)};
	answer_judge(&to, reply, reason, &e);
	if (e.class == ERR_NONE) {
		f->read(f, reply);
		return;
	}
	/* Whoever refuses to give a token says that we are not authorised, in whatever status. */
	if (e.class == ERR_PERMANENT)
		e.class = ERR_AUTH;
	if (strcmp(reason, "invalid_grant") == 0) {
		struct err last = e;
		err_set(&e, ERR_AUTH, "%s; it was revoked, or has ended, or this machine's clock is wrong", last.text);
	}
	flow_fail(f, &e, http_retry_after(reply));
}

void
flow_send(struct flow *f, const struct flow_request *r, flow_read *read)
{
	const char *headers[CRED_LIST_MAX + 4];
	int n = 0;
	buf_wipe(&f->body);
	if (r->body != NULL) {
		f->body = *r->body;
		*r->body = (struct buf)BUF_INIT(0);
		headers[n++] = f->body.n > 0 && f->body.p[0] == '{' ? "Content-Type: application/json"
		                                                    : "Content-Type: application/x-www-form-urlencoded";
	}
	for (const char *const *h = r->headers; h != NULL && *h != NULL; h++)
		headers[n++] = *h;
	headers[n] = NULL;
	struct http_spec spec = {.method = r->method, .url = r->url, .headers = headers,
	    .body = buf_str(&f->body), .timeout = r->timeout > 0 ? r->timeout : TIMEOUT,
	    .direct = strncmp(r->url, "http://", 7) == 0, .secret = true};
	f->what = r->what;
	free(f->object);
	f->object = xstrdup(r->object);
	f->read = read;
	f->metadata = r->metadata;
	f->request = http_start(f->http, &spec, on_reply, f);
}

void
flow_read_token(struct flow *f, const struct http_reply *reply)
{
	struct json j = {0};
	int64_t seconds = 0;
	if (json_parse(&j, reply->body) != JSON_OK) {
		json_release(&j);
		flow_garbled(f, "the reply is no JSON");
		return;
	}
	uint32_t expires = json_get(&j, 0, "expires_in");
	char *token = json_dup(&j, json_get(&j, 0, "access_token"));
	bool timed = json_i64(&j, expires, &seconds), fine = expires == JSON_NONE || (timed && seconds > 0);
	json_release(&j);
	if (token == NULL)
		flow_garbled(f, "the reply has no access_token");
	else if (!fine)
		flow_garbled(f, "the reply's expires_in is no whole number of seconds above 0");
	else
		flow_next(f, str_of(token), !timed ? SECONDS(3600) : SECONDS(seconds < 86400 * 7 ? seconds : 86400 * 7));
	xwipe(token);
}

void
flow_form(struct buf *body, const char *name, const char *value)
{
	buf_addf(body, "%s%s=", body->n > 0 ? "&" : "", name);
	url_encode(body, str_of(value));
}

void
flow_basic(struct buf *header, const struct cred *c)
{
	struct buf plain = BUF_INIT(LIMIT_TOKEN);
	buf_addf(&plain, "%s:%s", c->client_id, c->client_secret);
	buf_addz(header, "Authorization: Basic ");
	base64_encode(header, buf_str(&plain));
	buf_wipe(&plain);
}
