#include "utf8.h"

#include <string.h>

size_t
utf8_decode(struct str s, uint32_t *cp)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned char c = p[0];
	if (c < 0x80) {
		*cp = c;
		return 1;
	}
	size_t n = c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
	if (n == 0 || s.n < n)
		return 0;
	uint32_t v = c & (0xff >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	bool overlong = (n == 3 && v < 0x800) || (n == 4 && v < 0x10000);
	if (overlong || (v >= 0xd800 && v <= 0xdfff) || v > 0x10ffff)
		return 0;
	*cp = v;
	return n;
}

bool
utf8_valid(struct str s)
{
	size_t i = 0;
	uint32_t cp;
	while (i < s.n) {
		/* Most text is ASCII: eight bytes at a time. */
		while (s.n - i >= 8) {
			uint64_t w;
			memcpy(&w, s.p + i, 8);
			if (w & 0x8080808080808080u)
				break;
			i += 8;
		}
		while (i < s.n && (unsigned char)s.p[i] < 0x80)
			i++;
		if (i == s.n)
			break;
		size_t n = utf8_decode(str_skip(s, i), &cp);
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

size_t
utf8_cut(struct str s, size_t max)
{
	if (s.n <= max)
		return s.n;
	size_t n = max;
	while (n > 0 && max - n < 4 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

size_t
utf8_count(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

size_t
utf8_encode(uint32_t cp, char out[4])
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--, cp >>= 6)
		out[i] = (char)(0x80 | (cp & 0x3f));
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	out[0] = (char)(lead[n] | cp);
	return n;
}
