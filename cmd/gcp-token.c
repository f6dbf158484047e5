/* gcp-token: prints an access token, for use with curl (gcp-token(1)). */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth.h"
#include "bounds.h"
#include "clock.h"
#include "confine.h"
#include "io.h"
#include "log.h"
#include "xalloc.h"

#define PATIENCE SECONDS(60)

struct options {
	const char *scopes, *audience;
	bool exchange, header;
	struct common common;
};

/* "storage,bigquery" or whole URLs, between commas or blanks, as the words of OAuth. */
static int
read_scopes(const char *given, struct buf *out, struct err *e)
{
	for (const char *p = given; *(p += strspn(p, ", ")) != '\0';) {
		struct str word = {p, strcspn(p, ", ")};
		for (size_t i = 0; i < word.n; i++) {
			if (word.p[i] <= ' ' || word.p[i] > '~')
				return err_set(e, ERR_USAGE, "cannot ask for the scopes '%s': a scope is a URL or a word", given);
		}
		bool whole = str_find(word, ':') < word.n || str_is(word, "openid") || str_is(word, "email");
		buf_addf(out, "%s%s%.*s", out->n > 0 ? " " : "", whole ? "" : "https://www.googleapis.com/auth/", STR_ARG(word));
		p += word.n;
	}
	if (out->n == 0 || out->over)
		return err_set(e, ERR_USAGE, "cannot ask for the scopes '%s': there are none, or too many", given);
	return 0;
}

static int
fetch(struct token *t, struct http *http, struct err *e)
{
	static struct pollset set;
	struct stage_net net = http_net(http);
	enum token_state state;
	for (;;) {
		set.n = 0;
		set.wake = token_turn(t, clock_now());
		state = token_state(t, clock_now());
		if (state != TOKEN_WAITING)
			break;
		net.fill(net.ctx, &set);
		int64_t left = set.wake == CLOCK_NEVER ? SECONDS(1) : set.wake - clock_now();
		poll(set.fds, set.n, left <= 0 ? 0 : left > SECONDS(60) ? 60000 : (int)((left + 999) / 1000));
		net.ready(net.ctx, &set);
	}
	if (state == TOKEN_FAILED)
		*e = t->err;
	return state == TOKEN_FAILED ? -1 : 0;
}

static int
print(struct token *t, bool header, struct err *e)
{
	struct buf out = BUF_INIT(LIMIT_TOKEN + 1024);
	if (header)
		buf_addz(&out, token_header(t));
	else
		buf_adds(&out, token_secret(t));
	buf_addc(&out, '\n');
	if (header && t->project != NULL)
		buf_addf(&out, "%s\n", t->project);
	int rc = io_write_all(STDOUT_FILENO, buf_str(&out), "standard output", e);
	buf_wipe(&out);
	return rc;
}

static int
run(const struct options *o, struct err *e)
{
	struct buf scopes = BUF_INIT(8 * KIB);
	struct token token = {0};
	struct http *http = NULL;
	int rc = -1;
	if (o->scopes != NULL && read_scopes(o->scopes, &scopes, e) < 0)
		goto out;
	if (o->audience != NULL && (o->scopes != NULL || o->exchange)) {
		err_set(e, ERR_USAGE, "cannot take --audience with --scopes or --exchange: it is one or the other");
		goto out;
	}
	struct auth_want want = {.scopes = scopes.n > 0 ? buf_cstr(&scopes) : NULL, .audience = o->audience,
	    .exchange = o->exchange};
	http = http_new();
	int64_t patience = o->common.retry_for >= 0 ? o->common.retry_for : PATIENCE;
	if (auth_open(&token, http, &o->common.login, &want, patience, e) < 0)
		goto out;
	confine(&(struct confine){.token = &token});
	if (fetch(&token, http, e) < 0)
		goto out;
	rc = o->common.check ? 0 : print(&token, o->header, e);
out:
	token_release(&token);
	http_free(http);
	buf_release(&scopes);
	return rc;
}

int
main(int argc, char **argv)
{
	struct options o = {.common = {.retry_for = -1, .quiet = 1}}; /* what it prints is all there is to say */
	const struct opt own[] = {
	    {"scopes", 0, OPT_STR, &o.scopes, "LIST", "what the token is for (cloud-platform)"},
	    {"audience", 0, OPT_STR, &o.audience, "URL", "a JWT for that one service, signed by a service account's key"},
	    {"exchange", 0, OPT_FLAG, &o.exchange, NULL, "an access token even where a key could sign its own"},
	    {"header", 'H', OPT_FLAG, &o.header, NULL, "print it as a header: gcp-token -H | curl -H @- URL"},
	    OPT_END};
	const struct opt_spec spec = {.synopsis = "[options]", .summary = "Prints an access token for Google's APIs.",
	    .own = own, .shared = common_options(&o.common, true), .see = "gcp-token(1)"};
	char **operands;
	int n, status;
	struct err e = {0};
	if (!common_start("gcp-token", &spec, &o.common, argc, argv, &operands, &n, &status))
		return status;
	return run(&o, &e) < 0 ? log_fail(&e) : 0;
}
