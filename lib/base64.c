#include "base64.h"

#include <stdint.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/*
 * Messages are base64 from one end of a pipe to the other, so both ways work a group of four characters at a time with
 * tables. The tables hold bytes in the order in which they are written, so that no machine's byte order matters.
 */

/* The two characters of each 12 bits. */
static const char (*
pairs(void))[2]
{
	static char table[4096][2];
	if (table[0][0] == '\0') {
		for (int i = 0; i < 4096; i++) {
			table[i][0] = alphabet[i >> 6];
			table[i][1] = alphabet[i & 63];
		}
	}
	return (const char (*)[2])table;
}

#define BAD 0xff

/* For each place in a group: what a character adds to its three bytes, and in the fourth BAD where it is none. */
struct places {
	_Alignas(64) uint8_t add[4][256][4];
	bool made;
};

static void
place(struct places *t, uint8_t c, uint32_t v)
{
	for (int i = 0; i < 4; i++) {
		uint32_t bits = v << (18 - 6 * i);
		memcpy(t->add[i][c], (uint8_t[4]){(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits, 0}, 4);
	}
}

static const struct places *
places(bool url_safe)
{
	static struct places both[2];
	struct places *t = &both[url_safe];
	if (!t->made) {
		memset(t->add, BAD, sizeof(t->add));
		for (uint8_t i = 0; i < 64; i++)
			place(t, (uint8_t)alphabet[i], i);
		if (url_safe) {
			place(t, '-', 62);
			place(t, '_', 63);
		}
		t->made = true;
	}
	return t;
}

void
base64_encode(struct buf *out, struct str in)
{
	const uint8_t *p = (const uint8_t *)in.p;
	const char (*pair)[2] = pairs();
	char *to = in.n > 0 ? buf_room(out, BASE64_LEN(in.n)) : NULL;
	if (to == NULL)
		return;
	size_t i = 0;
	for (; i + 3 <= in.n; i += 3, to += 4) {
		uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
		memcpy(to, pair[v >> 12], 2);
		memcpy(to + 2, pair[v & 4095], 2);
	}
	if (i < in.n) {
		bool two = in.n - i == 2;
		uint32_t v = (uint32_t)p[i] << 16 | (two ? (uint32_t)p[i + 1] << 8 : 0);
		to[0] = alphabet[v >> 18];
		to[1] = alphabet[v >> 12 & 63];
		to[2] = two ? alphabet[v >> 6 & 63] : '=';
		to[3] = '=';
	}
	buf_grew(out, BASE64_LEN(in.n));
}

static uint32_t
look_up(const struct places *t, int i, uint8_t c)
{
	uint32_t word;
	memcpy(&word, t->add[i][c], sizeof(word));
	return word;
}

/*
 * The wide way: 32 characters at a time, for the start of a text that is all of the standard alphabet. Gives how many
 * characters it took, a multiple of four; the tables do the rest, and they alone say that one is bad. It writes up to 8
 * bytes more than it decodes, which is why it stops while 36 bytes of room are left.
 */
#ifdef __x86_64__
/* A character's upper half (2 to 7 of the alphabet's) chooses a bit, its lower half says for which of them it is bad. */
#define EACH_LANE(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)
#define OTHER 0x10

__attribute__((target("avx2"))) static size_t
decode_wide(char *to, const uint8_t *p, size_t n)
{
	const __m256i half = _mm256_set1_epi8(0x0f);
	const __m256i kind = EACH_LANE(OTHER, OTHER, 1, 2, 4, 8, 4, 8, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER);
	const __m256i bad = EACH_LANE(OTHER | 5, OTHER | 1, OTHER | 1, OTHER | 1, OTHER | 1, OTHER | 1, OTHER | 1, OTHER | 1,
	    OTHER | 1, OTHER | 1, OTHER | 3, OTHER | 10, OTHER | 11, OTHER | 11, OTHER | 11, OTHER | 10);
	/* From character to value, by the upper half; '/' alone has the place below its own. */
	const __m256i shift = EACH_LANE(0, 63 - '/', 62 - '+', 52 - '0', -'A', -'A', 26 - 'a', 26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0);
	const __m256i bytes = EACH_LANE(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
	const __m256i join = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7);
	size_t i = 0;
	for (; n - i >= 48; i += 32, to += 24) {
		__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(p + i));
		__m256i upper = _mm256_and_si256(_mm256_srli_epi32(v, 4), half);
		if (!_mm256_testz_si256(_mm256_shuffle_epi8(kind, upper), _mm256_shuffle_epi8(bad, _mm256_and_si256(v, half))))
			break;
		__m256i slash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('/')); /* -1 where it is one */
		v = _mm256_add_epi8(v, _mm256_shuffle_epi8(shift, _mm256_add_epi8(upper, slash)));
		/* Four values of 6 bits to 12 and 12, to 24, to three bytes in their order. */
		v = _mm256_maddubs_epi16(v, _mm256_set1_epi32(0x01400140));
		v = _mm256_madd_epi16(v, _mm256_set1_epi32(0x00011000));
		v = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(v, bytes), join);
		_mm256_storeu_si256((__m256i *)(void *)to, v);
	}
	return i;
}

static size_t
decode_start(char *to, const uint8_t *p, size_t n)
{
	return __builtin_cpu_supports("avx2") ? decode_wide(to, p, n) : 0;
}
#else
static size_t
decode_start(char *to, const uint8_t *p, size_t n)
{
	(void)to, (void)p, (void)n;
	return 0;
}
#endif

/* Decodes unpadded text; the last group has 2, 3 or 4 characters and no stray bits. */
static int
decode(struct buf *out, struct str in, const struct places *t)
{
	size_t tail = in.n % 4, whole = in.n - tail;
	if (tail == 1)
		return -1;
	if (in.n == 0)
		return 0;
	const uint8_t *p = (const uint8_t *)in.p;
	char *to = buf_room(out, in.n / 4 * 3 + 3);
	if (to == NULL)
		return -1;
	uint32_t bad = 0, g;
	size_t start = decode_start(to, p, whole);
	to += start / 4 * 3;
	for (size_t i = start; i < whole; i += 4, to += 3) {
		g = look_up(t, 0, p[i]) | look_up(t, 1, p[i + 1]) | look_up(t, 2, p[i + 2]) | look_up(t, 3, p[i + 3]);
		bad |= g;
		memcpy(to, &g, 4); /* one byte too many: the next group's, or spare */
	}
	uint8_t last[4], flags[4];
	g = tail > 0 ? look_up(t, 0, p[whole]) | look_up(t, 1, p[whole + 1]) : 0;
	g |= tail > 2 ? look_up(t, 2, p[whole + 2]) : 0;
	memcpy(last, &g, 4);
	bad |= g;
	memcpy(flags, &bad, 4);
	/* Of 2 characters the first byte counts, of 3 the first two. */
	if (flags[3] != 0 || (tail > 0 && last[tail - 1] != 0))
		return -1;
	memcpy(to, last, tail > 0 ? tail - 1 : 0);
	buf_grew(out, whole / 4 * 3 + (tail > 0 ? tail - 1 : 0));
	return 0;
}

static struct str
unpadded(struct str in)
{
	for (int i = 0; i < 2 && in.n > 0 && in.p[in.n - 1] == '='; i++)
		in.n--;
	return in;
}

int
base64_decode(struct buf *out, struct str in)
{
	if (in.n % 4 != 0)
		return -1;
	return decode(out, unpadded(in), places(false));
}

int
base64_decode_lenient(struct buf *out, struct str in)
{
	struct str text = unpadded(in);
	if (text.n != in.n && in.n % 4 != 0)
		return -1;
	return decode(out, text, places(true));
}

size_t
base64_decoded_len(struct str in)
{
	return unpadded(in).n * 3 / 4;
}
