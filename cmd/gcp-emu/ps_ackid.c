/*
 * ps_ackid: ack ids as the service's look: long and opaque. 123 bytes in base64: a nonce, the reference
 * hidden under noise, and a checksum over both, so that an id that we never made is told from one that is
 * merely old.
 */
#include <string.h>

#include "base64.h"
#include "ps.h"

#define RAW_LEN 123
#define CHECK_AT (RAW_LEN - 8)
#define KEY_NOISE 0x6763702d656d7531u
#define KEY_CHECK 0x61636b2d69642e31u

/* Fills n bytes that only the nonce determines. */
static void
noise(uint64_t nonce, unsigned char *to, size_t n)
{
	struct rng rng = {(nonce ^ KEY_NOISE) | 1};
	for (size_t i = 0; i < n; i += 8) {
		uint64_t v = rng_next(&rng);
		memcpy(to + i, &v, n - i < 8 ? n - i : 8);
	}
}

static void
mask(unsigned char *p, const struct ack_ref *a)
{
	unsigned char plain[20];
	memcpy(plain, &a->sub, 8);
	memcpy(plain + 8, &a->delivery, 8);
	memcpy(plain + 16, &a->slot, 4);
	for (size_t i = 0; i < sizeof(plain); i++)
		p[i] ^= plain[i];
}

void
ackid_write(struct buf *out, const struct ack_ref *a)
{
	unsigned char raw[RAW_LEN];
	uint64_t nonce = a->delivery * 0x9e3779b97f4a7c15u ^ a->sub;
	memcpy(raw, &nonce, 8);
	noise(nonce, raw + 8, CHECK_AT - 8);
	mask(raw + 8, a);
	uint64_t check = map_hash(KEY_CHECK, (struct str){(char *)raw, CHECK_AT});
	memcpy(raw + CHECK_AT, &check, 8);
	size_t from = out->n;
	base64_encode(out, (struct str){(char *)raw, RAW_LEN});
	for (size_t i = from; i < out->n; i++) {
		char c = out->p[i];
		out->p[i] = c == '+' ? '-' : c == '/' ? '_' : c;
	}
}

bool
ackid_read(struct str text, struct ack_ref *a, struct buf *scratch)
{
	unsigned char hidden[24];
	uint64_t nonce, check;
	if (text.n != PS_ACKID_LEN)
		return false;
	buf_reset(scratch, SIZE_MAX);
	if (base64_decode_lenient(scratch, text) != 0 || scratch->n != RAW_LEN)
		return false;
	unsigned char *raw = (unsigned char *)scratch->p;
	memcpy(&check, raw + CHECK_AT, 8);
	if (check != map_hash(KEY_CHECK, (struct str){(char *)raw, CHECK_AT}))
		return false;
	memcpy(&nonce, raw, 8);
	noise(nonce, hidden, sizeof(hidden));
	for (size_t i = 0; i < 20; i++)
		raw[8 + i] ^= hidden[i];
	memcpy(&a->sub, raw + 8, 8);
	memcpy(&a->delivery, raw + 16, 8);
	memcpy(&a->slot, raw + 24, 4);
	return true;
}
