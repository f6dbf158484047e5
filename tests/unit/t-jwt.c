/* jwt: signing and verifying, keys that are none, tokens that were changed; refresh: when a token is fetched again. */
#include "jwt.h"

#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "refresh.h"
#include "tap.h"

static void
is_refused(struct str pem, const char *words, const char *name)
{
	struct err e = {0};
	struct jwt_key *k = jwt_key_read(pem, &e);
	ok(k == NULL && e.class == ERR_CONFIG && strstr(e.text, words) != NULL, "%s is refused: %s", name, e.text);
	jwt_key_free(k);
}

static void
test_keys(const struct buf *pem)
{
	static const char ec[] = "-----BEGIN PRIVATE KEY-----\n"
	    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n"
	    "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n"
	    "1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n"
	    "-----END PRIVATE KEY-----\n";
	struct str whole = buf_str(pem);
	is_refused(STR(""), "PEM", "nothing");
	is_refused(STR("a key"), "PEM", "a word");
	is_refused((struct str){whole.p, whole.n / 2}, "PEM", "half a key");
	is_refused(str_of(ec), "no RSA", "an elliptic curve's key");
	struct buf small = BUF_INIT(LIMIT_TOKEN);
	struct err e;
	ok(jwt_key_make(512, &small, &e) == 0, "a key of 512 bits");
	is_refused(buf_str(&small), "512 bits", "it");
	buf_release(&small);
}

/* Signs and verifies; then with every byte changed in turn. */
static void
test_sign(const struct jwt_key *k, const struct jwt_key *other)
{
	static const char claims[] = "{\"iss\":\"a@b\",\"exp\":1}";
	struct buf token = BUF_INIT(LIMIT_TOKEN), got = BUF_INIT(LIMIT_TOKEN), small = BUF_INIT(100);
	struct err e = {0};
	ok(jwt_sign(k, "kid-1", str_of(claims), &token, &e) == 0, "it signs");
	ok(str_starts(buf_str(&token), STR("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImtpZC0xIn0.")),
	    "its header names alg, typ and kid");
	ok(strpbrk(buf_cstr(&token), "+/=\n ") == NULL, "nothing that a URL or header minds");
	ok(jwt_verify(k, buf_str(&token), &got, &e) == 0, "its own signature is right");
	is_str(buf_str(&got), claims, "and gives the claims");
	ok(jwt_verify(other, buf_str(&token), &got, &e) < 0 && e.class == ERR_AUTH, "another key's is not");
	unsigned passed = 0;
	for (size_t i = 0; i < token.n; i++) {
		char was = token.p[i];
		token.p[i] = was == 'A' ? 'B' : 'A';
		passed += jwt_verify(k, buf_str(&token), &got, &e) == 0;
		token.p[i] = was;
	}
	is_int(passed, 0, "changed in any one byte it is refused");
	for (size_t n = 0; n < token.n; n++)
		passed += jwt_verify(k, (struct str){token.p, n}, &got, &e) == 0;
	is_int(passed, 0, "cut anywhere it is refused");
	/* "a token's + for its -": found by fuzzing. RFC 7515 knows one spelling. */
	unsigned spelled = 0;
	for (int i = 0; i < 20; i++) {
		char text[40], *odd;
		snprintf(text, sizeof(text), "{\"exp\":%d}", i);
		token.n = 0;
		ok(jwt_sign(k, NULL, str_of(text), &token, &e) == 0, "another one");
		for (odd = token.p; odd < token.p + token.n; odd++) {
			if (*odd != '-' && *odd != '_')
				continue;
			char was = *odd;
			*odd = was == '-' ? '+' : '/';
			passed += jwt_verify(k, buf_str(&token), &got, &e) == 0;
			spelled++;
			*odd = was;
		}
		buf_addz(&token, "==");
		passed += jwt_verify(k, buf_str(&token), &got, &e) == 0;
	}
	ok(passed == 0 && spelled > 20, "spelled in another way it is refused, %u times", spelled);
	token.n = 0;
	ok(jwt_sign(k, NULL, str_of(claims), &token, &e) == 0, "and one more");
	/* {"alg":"none"} and {"alg":"HS256"}, with the rest as it was */
	struct str rest = str_skip(buf_str(&token), str_find(buf_str(&token), '.'));
	static const char *const heads[] = {"eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9", "", "e30", NULL};
	for (int i = 0; heads[i] != NULL; i++) {
		struct buf forged = BUF_INIT(LIMIT_TOKEN);
		buf_addf(&forged, "%s%.*s", heads[i], STR_ARG(rest));
		ok(jwt_verify(k, buf_str(&forged), &got, &e) < 0, "a header '%s' is refused", heads[i]);
		buf_release(&forged);
	}
	ok(jwt_sign(k, NULL, str_of(claims), &small, &e) < 0, "what does not fit its buffer is refused");
	buf_release(&token);
	buf_release(&got);
	buf_release(&small);
}

/* Run from the top of the tree. */
static void
test_large_key(void)
{
	struct buf pem = BUF_INIT(LIMIT_TOKEN), token = BUF_INIT(LIMIT_TOKEN), claims = BUF_INIT(LIMIT_TOKEN);
	struct err e = {0};
	FILE *f = fopen("tests/unit/rsa-8192.pem", "r");
	char *to = buf_room(&pem, 16 * KIB);
	size_t n = f != NULL && to != NULL ? fread(to, 1, 16 * KIB, f) : 0;
	buf_grew(&pem, n);
	struct jwt_key *k = jwt_key_read(buf_str(&pem), &e);
	ok(k != NULL, "a key of 8192 bits, with words before it: %s", e.text);
	ok(k != NULL && jwt_sign(k, NULL, STR("{}"), &token, &e) == 0 && jwt_verify(k, buf_str(&token), &claims, &e) == 0 &&
	        token.n > 8192 / 6,
	    "signs, and its signature is right");
	jwt_key_free(k);
	if (f != NULL)
		fclose(f);
	buf_release(&pem);
	buf_release(&token);
	buf_release(&claims);
}

static void
test_refresh(void)
{
	static const struct {
		int64_t asked, life, at;
		const char *name;
	} table[] = {
	    {0, SECONDS(3600), SECONDS(3375), "an hour: 225 s ahead"},
	    {SECONDS(7), SECONDS(3600), SECONDS(3382), "counted from when it was asked for"},
	    {0, SECONDS(900), SECONDS(675), "a quarter of 900 s is 225 s"},
	    {0, SECONDS(300), SECONDS(225), "five minutes: a quarter ahead"},
	    {0, SECONDS(22), MILLIS(16500), "22 s, as a metadata service was seen to give"},
	    {0, SECONDS(20), SECONDS(15), "20 s"},
	    {0, SECONDS(1), MILLIS(750), "a second"},
	    {0, SECONDS(43200), SECONDS(42975), "twelve hours: 225 s ahead"},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		is_int(refresh_at(table[i].asked, table[i].life), table[i].at, "%s", table[i].name);
	is_int(refresh_again(0, SECONDS(1000)), SECONDS(60), "refused with much time left: in a minute");
	is_int(refresh_again(SECONDS(10), SECONDS(14)), SECONDS(12), "with less: after half of it");
	is_int(refresh_again(SECONDS(10), SECONDS(10)), SECONDS(10) + MILLIS(250), "with none: no busy loop");
	/* A day of tokens of any life: never one that has ended, and not many more than there must be. */
	for (int64_t life = SECONDS(1); life <= SECONDS(43200); life *= 3) {
		int64_t now = 0, fetches = 0;
		while (now < SECONDS(86400)) {
			int64_t next = refresh_at(now, life);
			if (next <= now || next >= now + life)
				break;
			now = next;
			fetches++;
		}
		ok(now >= SECONDS(86400) && fetches <= SECONDS(86400) / life * 4 / 3 + 2, "tokens of %lld s: %lld in a day",
		    (long long)(life / 1000000), (long long)fetches);
	}
}

int
main(void)
{
	struct buf pem = BUF_INIT(LIMIT_TOKEN), pem2 = BUF_INIT(LIMIT_TOKEN);
	struct err e;
	ok(jwt_key_make(1024, &pem, &e) == 0 && jwt_key_make(2048, &pem2, &e) == 0, "keys are made");
	struct jwt_key *k = jwt_key_read(buf_str(&pem), &e), *other = jwt_key_read(buf_str(&pem2), &e);
	ok(k != NULL && other != NULL, "and read");
	test_keys(&pem);
	test_sign(k, other);
	test_sign(other, k);
	test_large_key();
	test_refresh();
	jwt_key_free(k);
	jwt_key_free(other);
	buf_wipe(&pem);
	buf_wipe(&pem2);
	return done();
}
