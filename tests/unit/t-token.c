/* token: cached, fetched ahead, once for all, again after a refusal; failures that pass and such that do not. */
#include "token.h"

#include <string.h>

#include "answer.h"
#include "clock.h"
#include "httpfake.h"
#include "log.h"
#include "tap.h"

/* A step that ends when the test says so. */
static int begun, refusals;
static struct flow *under_way;

static void
step_test(struct flow *f)
{
	begun++;
	refusals += f->refused;
	under_way = f;
}

static void
give(const char *token, int64_t life)
{
	struct flow *f = under_way;
	under_way = NULL;
	flow_next(f, str_of(token), life);
}

static void
deny(enum err_class class)
{
	struct flow *f = under_way;
	struct err e;
	under_way = NULL;
	err_set(&e, class, "cannot get it");
	flow_fail(f, &e, 0);
}

static void
open_token(struct token *t, struct http *h, int64_t patience)
{
	begun = refusals = 0;
	under_way = NULL;
	token_init(t, h, patience);
	flow_add(&t->flow, step_test, NULL, SCOPE_CLOUD);
}

static void
test_cache(struct http *h)
{
	struct token t;
	int64_t now = clock_now();
	open_token(&t, h, 0);
	is_int(token_state(&t, now), TOKEN_WAITING, "at first there is none");
	for (int i = 0; i < 5; i++)
		token_turn(&t, now);
	is_int(begun, 1, "one fetch, however often it is asked for");
	give("abc", SECONDS(20));
	is_int(token_state(&t, clock_now()), TOKEN_READY, "there it is");
	is_str(str_of(token_header(&t)), "Authorization: Bearer abc", "its header");
	is_str(token_secret(&t), "abc", "by itself");
	unsigned serial = t.serial;
	int64_t when = token_turn(&t, now);
	ok(when > now + SECONDS(14) && when <= clock_now() + SECONDS(15), "of 20 s, fetched again after 15");
	is_int(begun, 1, "not before");
	token_turn(&t, when);
	is_int(begun, 2, "then");
	is_int(token_state(&t, when), TOKEN_READY, "requests go on with the old one meanwhile");
	is_int(token_state(&t, now + SECONDS(21)), TOKEN_WAITING, "until it ends");
	give("def", SECONDS(20));
	ok(t.serial == serial + 1 && str_is(token_secret(&t), "def"), "another one");
	ok(token_refused(&t, serial) && token_state(&t, clock_now()) == TOKEN_READY, "the old one refused: there is a newer one");
	is_int(begun, 2, "nothing is fetched for that");
	ok(token_refused(&t, t.serial), "the newer one refused");
	for (int i = 0; i < 5; i++) {
		ok(token_refused(&t, serial + 1), "by everybody");
		token_turn(&t, clock_now());
	}
	is_int(begun, 3, "one fetch for all");
	is_int(refusals, 1, "which knows why");
	is_int(token_state(&t, clock_now()), TOKEN_WAITING, "and nobody sends the refused one");
	give("ghi", LIFE_UNKNOWN);
	ok(token_turn(&t, clock_now() + SECONDS(100000)) == CLOCK_NEVER, "one without an end is not fetched again");
	token_release(&t);
}

static void
test_failures(struct http *h)
{
	struct token t;
	open_token(&t, h, 0);
	token_turn(&t, clock_now());
	int64_t when = clock_now();
	for (int i = 0; i < 10; i++) {
		deny(ERR_TRANSIENT);
		when = token_turn(&t, 0);
		token_turn(&t, when);
	}
	is_int(begun, 11, "what passes is tried again without an end");
	give("abc", SECONDS(20));
	is_int(token_state(&t, clock_now()), TOKEN_READY, "until it comes");
	token_turn(&t, clock_now() + SECONDS(15));
	deny(ERR_AUTH);
	is_int(token_state(&t, clock_now()), TOKEN_READY, "a refusal does not end the old one");
	when = token_turn(&t, 0);
	ok(when > clock_now() + SECONDS(5) && when < clock_now() + SECONDS(15), "it is tried again while that lives");
	t.expires = 1; /* it has ended */
	token_turn(&t, when);
	deny(ERR_AUTH);
	is_int(token_state(&t, clock_now()), TOKEN_FAILED, "then it counts");
	ok(t.err.class == ERR_AUTH && !token_refused(&t, t.serial) && token_turn(&t, clock_now()) == CLOCK_NEVER, "for good");
	token_release(&t);

	open_token(&t, h, 1);
	t.first_patience = 1;
	t.nowhere = "cannot find any";
	token_turn(&t, clock_now());
	while (under_way != NULL) {
		deny(ERR_TRANSIENT);
		if (token_state(&t, 0) != TOKEN_FAILED)
			token_turn(&t, t.when);
	}
	ok(t.err.class == ERR_AUTH && strcmp(t.err.text, "cannot find any") == 0, "a place that never answers is none");
	token_release(&t);

	open_token(&t, h, SECONDS(1));
	token_turn(&t, clock_now());
	struct flow *f = under_way;
	flow_next(f, STR("a b\r\nX: y"), SECONDS(5));
	is_int(token_state(&t, clock_now()), TOKEN_WAITING, "what is no token does not become a header");
	token_turn(&t, t.when);
	token_release(&t); /* with a step under way */
}

/* Replies of a token endpoint: what they make of a fetch. */
static void
test_replies(struct http *h)
{
	static const struct {
		int status;
		const char *body, *words;
		enum err_class class;
	} table[] = {
	    {200, "{\"access_token\":\"abc\",\"expires_in\":3600}", NULL, ERR_NONE},
	    {200, "{\"access_token\":\"abc\",\"expires_in\":\"3600\"}", NULL, ERR_NONE},
	    {200, "{\"access_token\":\"abc\"}", NULL, ERR_NONE},
	    {200, "{\"access_token\":\"abc\",\"expires_in\":0}", "expires_in is no whole number", ERR_TRANSIENT},
	    {200, "{\"access_token\":\"abc\",\"expires_in\":-1}", "expires_in is no whole number", ERR_TRANSIENT},
	    {200, "{\"access_token\":\"abc\",\"expires_in\":\"x\"}", "expires_in is no whole number", ERR_TRANSIENT},
	    {200, "{\"access_token\":5}", "no access_token", ERR_TRANSIENT},
	    {200, "{\"access_token\":\"\"}", "empty", ERR_TRANSIENT},
	    {200, "{\"access_token\":\"a\\r\\nb\"}", "characters", ERR_TRANSIENT},
	    {200, "<html>", "no JSON", ERR_TRANSIENT},
	    {200, "", "no JSON", ERR_TRANSIENT},
	    {503, "", "HTTP 503", ERR_TRANSIENT},
	    {429, "", "HTTP 429", ERR_TRANSIENT},
	    {400, "{\"error\":\"invalid_grant\",\"error_description\":\"Bad Request\"}", "revoked", ERR_AUTH},
	    {400, "{\"error\":\"invalid_grant\",\"error_description\":\"no REFRESH-TOKEN-OF-SOMEBODY\"}", "withheld", ERR_AUTH},
	    {404, "nothing", "HTTP 404", ERR_AUTH},
	    {302, "", "HTTP 302", ERR_AUTH},
	};
	struct fake_answer answers[sizeof(table) / sizeof(table[0]) + 1] = {0};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		answers[i] = (struct fake_answer){"POST /token", 1, table[i].status,
		    "Location: http://127.0.0.1:1/\r\n", table[i].body, 0};
	struct fake fake;
	fake_start(&fake, answers);
	char url[64];
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/token", fake.port);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct token t;
		token_init(&t, h, -1); /* no second try */
		t.cred = (struct cred){.kind = CRED_USER, .token_url = strdup(url), .client_id = strdup("c"),
		    .client_secret = strdup("s"),
		    .refresh_token = strdup("REFRESH-TOKEN-OF-SOMEBODY")};
		flow_add(&t.flow, step_user, &t.cred, SCOPE_CLOUD);
		token_turn(&t, clock_now());
		int64_t end = clock_now() + SECONDS(10);
		while (t.flow.busy && clock_now() < end)
			net_turn(h, end);
		if (table[i].class == ERR_NONE) {
			ok(str_is(token_secret(&t), "abc"), "%d %s: a token", table[i].status, table[i].body);
		} else {
			ok(t.failed && t.err.class == table[i].class && strstr(t.err.text, table[i].words) != NULL &&
			    strstr(t.err.text, "SOMEBODY") == NULL, "%d %s: %s", table[i].status, table[i].body, t.err.text);
		}
		token_release(&t);
	}
	fake_stop(&fake);
}

static void
test_repeats(void)
{
	struct str secret = STR("0123456789abcdefghij");
	ok(answer_repeats(STR("no 3456789abcdefghi in here"), secret), "a piece of a secret is seen");
	ok(!answer_repeats(STR("no 3456789abcdefg"), secret), "15 bytes may be chance");
	ok(!answer_repeats(STR(""), secret) && !answer_repeats(secret, STR("")) && !answer_repeats(secret,
	    STR_NONE), "nothing repeats nothing");
}

int
main(void)
{
	log_init("t-token");
	log_set(LOG_ERROR, false);
	struct http *h = http_new();
	test_cache(h);
	test_failures(h);
	test_replies(h);
	test_repeats();
	http_free(h);
	return done();
}
