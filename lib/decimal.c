#include "decimal.h"

#include <stdint.h>
#include <string.h>

/* Far past anything that fits, near enough to add text lengths to. */
#define EXPONENT_MAX ((int64_t)1 << 40)

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int64_t
parse_exponent(struct str s)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	int64_t v = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (is_digit(s.p[i]) && v < EXPONENT_MAX)
			v = v * 10 + (s.p[i] - '0');
	}
	return negative ? -v : v;
}

bool
decimal_parse(struct decimal *d, struct str number)
{
	struct str s = number;
	bool negative = s.n > 0 && s.p[0] == '-';
	s = str_skip(s, negative);
	/* Each digit's place is counted from the first one; `point` is where the units end. */
	int64_t place = 0, point = -1;
	int64_t at[DECIMAL_WHOLE + DECIMAL_FRACTION];
	char digit[DECIMAL_WHOLE + DECIMAL_FRACTION];
	int n = 0;
	bool too_many = false;
	memset(d, '0', sizeof(*d));
	d->negative = false;
	for (; s.n > 0 && (is_digit(s.p[0]) || s.p[0] == '.'); s = str_skip(s, 1)) {
		if (s.p[0] == '.') {
			point = place;
			continue;
		}
		if (s.p[0] != '0' && n < DECIMAL_WHOLE + DECIMAL_FRACTION) {
			at[n] = place;
			digit[n++] = s.p[0];
		} else if (s.p[0] != '0') {
			too_many = true;
		}
		place++;
	}
	if (point < 0)
		point = place;
	if (s.n > 0)
		point += parse_exponent(str_skip(s, 1));
	for (int i = 0; i < n; i++) {
		int64_t to = DECIMAL_WHOLE - point + at[i];
		if (to < 0 || to >= DECIMAL_WHOLE + DECIMAL_FRACTION)
			return false;
		d->digits[to] = digit[i];
	}
	d->negative = negative && n > 0;
	return !too_many;
}

int
decimal_cmp(const struct decimal *a, const struct decimal *b)
{
	if (a->negative != b->negative)
		return a->negative ? -1 : 1;
	int c = memcmp(a->digits, b->digits, sizeof(a->digits));
	return a->negative ? -c : c;
}
