#include "base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define BAD 0xff

/* the value of a character, BAD where it is none; [1] also takes the URL-safe alphabet */
static const uint8_t *
values(bool url_safe)
{
	static uint8_t table[2][256];
	if (table[0][0] != BAD) {
		for (int i = 0; i < 256; i++)
			table[0][i] = table[1][i] = BAD;
		for (uint8_t i = 0; i < 64; i++)
			table[0][(uint8_t)alphabet[i]] = table[1][(uint8_t)alphabet[i]] = i;
		table[1]['-'] = 62;
		table[1]['_'] = 63;
	}
	return table[url_safe];
}

void
base64_encode(struct buf *out, struct str in)
{
	const uint8_t *p = (const uint8_t *)in.p;
	char *to = in.n > 0 ? buf_room(out, BASE64_LEN(in.n)) : NULL;
	if (to == NULL)
		return;
	size_t i = 0;
	for (; i + 3 <= in.n; i += 3, to += 4) {
		uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
		to[0] = alphabet[v >> 18];
		to[1] = alphabet[v >> 12 & 63];
		to[2] = alphabet[v >> 6 & 63];
		to[3] = alphabet[v & 63];
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

/* Decodes unpadded text; the last group has 2, 3 or 4 characters and no stray bits. */
static int
decode(struct buf *out, struct str in, const uint8_t *v)
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
	char *start = to;
	unsigned bad = 0;
	for (size_t i = 0; i < whole; i += 4, to += 3) {
		uint8_t a = v[p[i]], b = v[p[i + 1]], c = v[p[i + 2]], d = v[p[i + 3]];
		bad |= a | b | c | d;
		uint32_t w = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | d;
		to[0] = (char)(w >> 16);
		to[1] = (char)(w >> 8);
		to[2] = (char)w;
	}
	if (tail > 0) {
		uint8_t a = v[p[whole]], b = v[p[whole + 1]], c = tail == 3 ? v[p[whole + 2]] : 0;
		bad |= a | b | c | (tail == 3 ? c & 3 ? BAD : 0 : b & 15 ? BAD : 0);
		*to++ = (char)(a << 2 | b >> 4);
		if (tail == 3)
			*to++ = (char)(b << 4 | c >> 2);
	}
	if (bad & 0xc0)
		return -1;
	buf_grew(out, (size_t)(to - start));
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
	return decode(out, unpadded(in), values(false));
}

int
base64_decode_lenient(struct buf *out, struct str in)
{
	struct str text = unpadded(in);
	if (text.n != in.n && in.n % 4 != 0)
		return -1;
	return decode(out, text, values(true));
}

size_t
base64_decoded_len(struct str in)
{
	return unpadded(in).n * 3 / 4;
}
