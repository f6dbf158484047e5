/* jwt: no token is believed but what the key signed, and no text is a key but a key. "@" at the start stands for a good token. */
#include "bounds.h"
#include "fuzz.h"
#include "jwt.h"

#define CLAIMS "{\"aud\":\"https://pubsub.googleapis.com/\",\"exp\":1739020140}"

static void
as_token(const struct jwt_key *key, struct str token, struct str good)
{
	struct buf claims = BUF_INIT(LIMIT_TOKEN);
	struct err e;
	if (jwt_verify(key, token, &claims, &e) == 0)
		MUST(str_eq(token, good) && str_is(buf_str(&claims), CLAIMS));
	else
		MUST(e.class == ERR_AUTH && claims.n == 0);
	buf_release(&claims);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct jwt_key *key;
	static struct buf pem = BUF_INIT(LIMIT_TOKEN), good = BUF_INIT(LIMIT_TOKEN);
	struct str in = {(const char *)p, n};
	struct err e;
	if (key == NULL) {
		MUST(jwt_key_make(JWT_BITS_MIN, &pem, &e) == 0 && (key = jwt_key_read(buf_str(&pem), &e)) != NULL);
		MUST(jwt_sign(key, "k1", STR(CLAIMS), &good, &e) == 0);
	}
	/* The good one, with the bytes that follow "@AB" put in at the place A*256 + B. */
	if (n >= 3 && p[0] == '@') {
		struct buf bent = BUF_INIT(LIMIT_TOKEN);
		size_t at = (size_t)(p[1] * 256 + p[2]) % (good.n + 1);
		buf_add(&bent, good.p, at);
		buf_add(&bent, p + 3, n - 3);
		buf_adds(&bent, str_skip(buf_str(&good), at + n - 3));
		as_token(key, buf_str(&bent), buf_str(&good));
		buf_release(&bent);
	} else {
		as_token(key, in, buf_str(&good));
		struct jwt_key *read = jwt_key_read(in, &e);
		MUST(read != NULL || e.class == ERR_CONFIG);
		jwt_key_free(read);
	}
	return 0;
}
