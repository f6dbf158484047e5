#include "num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool
num_i64(struct str s, int64_t *out)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	uint64_t limit = (uint64_t)INT64_MAX + negative, v = 0;
	s = str_skip(s, negative);
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - '0';
		if (digit > 9 || v > (limit - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

bool
num_size(struct str s, int64_t *out)
{
	static const struct {
		const char *suffix;
		int64_t factor;
	} units[] = {
	    {"", 1}, {"k", 1000}, {"K", 1000}, {"M", 1000000}, {"G", 1000000000},
	    {"Ki", 1024}, {"Mi", 1 << 20}, {"Gi", 1 << 30},
	};
	size_t digits = 0;
	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	struct str unit = str_skip(s, digits);
	if (unit.n > 0 && unit.p[unit.n - 1] == 'B')
		unit.n--;
	int64_t v;
	if (!num_i64((struct str){s.p, digits}, &v))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!str_is(unit, units[i].suffix))
			continue;
		return !__builtin_mul_overflow(v, units[i].factor, out);
	}
	return false;
}

bool
num_double(struct str s, double *out)
{
	char small[64];
	char *text = s.n < sizeof(small) ? small : str_dup(s);
	if (text == small) {
		if (s.n > 0)
			memcpy(small, s.p, s.n);
		small[s.n] = '\0';
	}
	/* No tool calls setlocale, so the decimal point is a point. */
	char *end;
	*out = strtod(text, &end);
	bool ok = end == text + s.n && s.n > 0 && isfinite(*out);
	if (text != small)
		free(text);
	return ok;
}
