#include "token.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "refresh.h"
#include "xalloc.h"

#define WARN_EVERY SECONDS(10)

static const char bearer[] = "Authorization: Bearer ";

void
token_init(struct token *t, struct http *http, int64_t patience)
{
	*t = (struct token){.patience = patience};
	buf_init(&t->header, LIMIT_TOKEN + sizeof(bearer));
	flow_init(&t->flow, http);
	rng_seed_os(&t->rng);
}

static bool
usable(const struct token *t, int64_t now)
{
	return t->header.n > 0 && now < t->expires;
}

enum token_state
token_state(const struct token *t, int64_t now)
{
	return usable(t, now) ? TOKEN_READY : t->failed ? TOKEN_FAILED : TOKEN_WAITING;
}

static void
got(struct token *t, struct str token, int64_t life)
{
	buf_wipe(&t->header);
	buf_addz(&t->header, bearer);
	buf_adds(&t->header, token);
	t->expires = life == LIFE_UNKNOWN ? CLOCK_NEVER : t->flow.began + life;
	t->when = life == LIFE_UNKNOWN ? CLOCK_NEVER : refresh_at(t->flow.began, life);
	t->serial++;
	t->ever = true;
	retry_reset(&t->retry);
	if (life != LIFE_UNKNOWN)
		log_debug("got an access token, good for %lld s", (long long)(life / 1000000));
}

static void
failed(struct token *t, const struct err *e, int64_t after)
{
	int64_t now = clock_now(), patience = usable(t, now) ? 0 : t->patience;
	bool transient = e->class == ERR_TRANSIENT || e->class == ERR_QUOTA;
	bool first = !t->ever && t->first_patience > 0;
	if (!transient && usable(t, now)) {
		t->when = refresh_again(now, t->expires);
		log_warn("%s; going on with the old token while it lives", e->text);
		return;
	}
	if (transient && retry_next(&t->retry, &t->rng, now, after, e->class == ERR_QUOTA, first ? t->first_patience : patience,
	    &t->when)) {
		bool loud = t->retry.attempts > 1 && !first && now - t->warned >= WARN_EVERY;
		t->warned = loud ? now : t->warned;
		(loud ? log_warn : log_debug)("%s; trying again in %.1f s", e->text, (double)(t->when - now) / 1e6);
		return;
	}
	t->failed = true;
	t->when = CLOCK_NEVER;
	t->err = *e;
	if (first && transient && t->nowhere != NULL)
		err_set(&t->err, ERR_AUTH, "%s", t->nowhere);
}

static void
on_done(void *arg, struct str token, int64_t life, const struct err *e, int64_t retry_after)
{
	struct token *t = arg;
	if (token.p != NULL)
		got(t, token, life);
	else
		failed(t, e, retry_after);
}

int64_t
token_turn(struct token *t, int64_t now)
{
	if (!t->flow.busy) {
		if (t->failed || t->when > now)
			return t->failed ? CLOCK_NEVER : t->when;
		bool refused = t->refused;
		t->refused = false;
		t->when = CLOCK_NEVER;
		flow_start(&t->flow, refused, on_done, t);
	}
	int64_t next = t->flow.busy ? flow_turn(&t->flow, now) : t->when;
	return t->flow.busy ? next : t->when;
}

const char *
token_header(struct token *t)
{
	return buf_cstr(&t->header);
}

struct str
token_secret(const struct token *t)
{
	return str_skip(buf_str(&t->header), sizeof(bearer) - 1);
}

bool
token_refused(struct token *t, unsigned serial)
{
	if (serial != t->serial)
		return true;
	if (t->failed)
		return false;
	t->expires = 0;
	if (!t->flow.busy) {
		t->refused = true;
		t->when = clock_now();
		http_nudge(t->flow.http);
	}
	return true;
}

void
token_release(struct token *t)
{
	flow_release(&t->flow);
	cred_release(&t->cred);
	buf_wipe(&t->header);
	free(t->project);
	t->project = NULL;
}
