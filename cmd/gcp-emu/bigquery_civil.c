/*
 * Dates, times and numbers as BigQuery's JSON reads and prints them: wider than RFC 3339, which lib/time
 * keeps to.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "num.h"
#include "time.h"

#define MICROS 1000000
#define EPOCH_MIN (-62135596800 * MICROS)             /* 0001-01-01T00:00:00Z */
#define EPOCH_MAX (253402300799 * MICROS + 999999)    /* 9999-12-31T23:59:59.999999Z */

static bool
take(struct str *s, const char *any, char *got)
{
	if (s->n == 0 || s->p[0] == '\0' || strchr(any, s->p[0]) == NULL)
		return false;
	if (got != NULL)
		*got = s->p[0];
	*s = str_skip(*s, 1);
	return true;
}

static bool
digits(struct str *s, int min, int max, int *out)
{
	int n = 0, v = 0;

	while (n < max && s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
		v = v * 10 + (s->p[0] - '0');
		*s = str_skip(*s, 1);
		n++;
	}
	*out = v;
	return n >= min;
}

static int
month_days(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* YYYY-[M]M-[D]D, or with slashes */
static bool
take_date(struct str *s, struct civil *c)
{
	char sep[2] = "";

	if (!digits(s, 4, 4, &c->year) || !take(s, "-/", &sep[0]) || !digits(s, 1, 2, &c->month) ||
	    !take(s, sep, NULL) || !digits(s, 1, 2, &c->day))
		return false;
	return c->year >= 1 && c->month >= 1 && c->month <= 12 && c->day >= 1 &&
	    c->day <= month_days(c->year, c->month);
}

/* [H]H:[M]M:[S]S[.ffffff] */
static bool
take_clock(struct str *s, struct civil *c)
{
	size_t before;

	if (!digits(s, 1, 2, &c->hour) || !take(s, ":", NULL) || !digits(s, 1, 2, &c->minute) ||
	    !take(s, ":", NULL) || !digits(s, 1, 2, &c->second))
		return false;
	if (take(s, ".", NULL)) {
		before = s->n;
		if (!digits(s, 1, 6, &c->micros))
			return false;
		for (size_t n = before - s->n; n < 6; n++)
			c->micros *= 10;
	}
	return c->hour <= 23 && c->minute <= 59 && c->second <= 59;
}

/* Z, UTC, +H, -HH:MM, ... or nothing, which is UTC; named zones beside UTC are not known here */
static bool
take_zone(struct str *s, int *minutes)
{
	int hours, rest = 0;
	char sign;

	*minutes = 0;
	if (s->n == 0 || take(s, "Zz", NULL))
		return s->n == 0;
	take(s, " ", NULL);
	if (str_ieq(*s, STR("UTC"))) {
		*s = str_skip(*s, 3);
		return true;
	}
	if (!take(s, "+-", &sign) || !digits(s, 1, 2, &hours))
		return false;
	if (take(s, ":", NULL) && !digits(s, 1, 2, &rest))
		return false;
	*minutes = (hours * 60 + rest) * (sign == '-' ? -1 : 1);
	return hours * 60 + rest <= 14 * 60 && rest <= 59;
}

bool
bq_timestamp_in_range(int64_t micros)
{
	return micros >= EPOCH_MIN && micros <= EPOCH_MAX;
}

bool
bq_parse_timestamp(struct str s, int64_t *micros)
{
	struct civil c = {0};
	int zone;

	if (!take_date(&s, &c))
		return false;
	if (s.n > 1 && (s.p[0] == 'T' || s.p[0] == 't' || (s.p[0] == ' ' && s.p[1] >= '0' &&
	    s.p[1] <= '9'))) {
		s = str_skip(s, 1);
		if (!take_clock(&s, &c))
			return false;
	}
	if (!take_zone(&s, &zone) || s.n > 0)
		return false;
	*micros = time_from_civil(&c) - (int64_t)zone * 60 * MICROS;
	return bq_timestamp_in_range(*micros);
}

bool
bq_parse_datetime(struct str s, int64_t *micros)
{
	struct civil c = {0};

	if (!take_date(&s, &c))
		return false;
	if (s.n > 0 && (!take(&s, "Tt ", NULL) || !take_clock(&s, &c)))
		return false;
	*micros = time_from_civil(&c);
	return s.n == 0;
}

bool
bq_parse_date(struct str s, int64_t *micros)
{
	struct civil c = {0};

	if (!take_date(&s, &c) || s.n > 0)
		return false;
	*micros = time_from_civil(&c);
	return true;
}

bool
bq_parse_time(struct str s, int64_t *micros)
{
	struct civil c = {.year = 1970, .month = 1, .day = 1};

	if (!take_clock(&s, &c) || s.n > 0)
		return false;
	*micros = time_from_civil(&c);
	return true;
}

/*
 * A decimal taken apart: value = 0.DIGITS * 10^point. Leading and trailing zeros are gone; n is 0 for zero.
 */
struct decimal {
	char digits[80];
	int n, point;
	bool negative;
};

static bool
decimal_exponent(struct str s, int *out)
{
	int64_t v;

	if (s.n > 0 && s.p[0] == '+')
		s = str_skip(s, 1);
	if (!num_i64(s, &v) || v > 1000 || v < -1000)
		return false;
	*out = (int)v;
	return true;
}

static bool
decimal_parse(struct decimal *d, struct str s)
{
	bool any = false, dot = false;
	int exponent = 0;
	size_t i = 0;

	memset(d, 0, sizeof(*d));
	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
		d->negative = s.p[i++] == '-';
	for (; i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] == '.' && !dot)); i++) {
		if (s.p[i] == '.') {
			dot = true;
			continue;
		}
		any = true;
		if (d->n == 0 && s.p[i] == '0') {
			d->point -= dot; /* a zero before the first digit that counts */
			continue;
		}
		if (d->n == (int)sizeof(d->digits))
			return false;
		d->digits[d->n++] = s.p[i];
		d->point += !dot;
	}
	if (!any || (i < s.n && ((s.p[i] | 0x20) != 'e' || !decimal_exponent(str_skip(s, i + 1), &exponent))))
		return false;
	while (d->n > 0 && d->digits[d->n - 1] == '0')
		d->n--;
	d->point = d->n == 0 ? 0 : d->point + exponent;
	return true;
}

bool
bq_parse_epoch(struct str number, int64_t *micros)
{
	struct decimal d;
	int64_t v = 0;

	if (!decimal_parse(&d, number) || d.point > 12 || d.n - d.point > 6)
		return false;
	for (int i = 0; i < d.point + 6; i++)
		v = v * 10 + (i < d.n ? d.digits[i] - '0' : 0);
	*micros = d.negative ? -v : v;
	return true;
}

bool
bq_write_numeric(struct buf *out, struct str s)
{
	struct decimal d;

	if (!decimal_parse(&d, s) || d.point > 29 || d.n - d.point > 9)
		return false;
	if (d.n == 0) {
		buf_addc(out, '0');
		return true;
	}
	if (d.negative)
		buf_addc(out, '-');
	if (d.point <= 0)
		buf_addc(out, '0');
	for (int i = 0; i < d.point; i++)
		buf_addc(out, i < d.n ? d.digits[i] : '0');
	if (d.n > d.point)
		buf_addc(out, '.');
	for (int i = d.point; i < d.n; i++)
		buf_addc(out, i < 0 ? '0' : d.digits[i]);
	return true;
}

static void
put_two(char *p, int v)
{
	p[0] = (char)('0' + v / 10);
	p[1] = (char)('0' + v % 10);
}

static void
write_clock(struct buf *out, const struct civil *c)
{
	char t[] = "00:00:00.000000";
	size_t n = 15;

	put_two(t, c->hour);
	put_two(t + 3, c->minute);
	put_two(t + 6, c->second);
	put_two(t + 9, c->micros / 10000);
	put_two(t + 11, c->micros / 100 % 100);
	put_two(t + 13, c->micros % 100);
	if (c->micros == 0)
		n = 8;
	while (c->micros != 0 && t[n - 1] == '0')
		n--;
	buf_add(out, t, n);
}

void
bq_write_civil(struct buf *out, enum field_type type, int64_t micros)
{
	char t[] = "0000-00-00T";
	struct civil c;

	time_civil(micros, &c);
	if (type != FIELD_TIME) {
		put_two(t, c.year / 100);
		put_two(t + 2, c.year % 100);
		put_two(t + 5, c.month);
		put_two(t + 8, c.day);
		buf_add(out, t, type == FIELD_DATE ? 10 : 11);
	}
	if (type != FIELD_DATE)
		write_clock(out, &c);
	if (type == FIELD_TIMESTAMP)
		buf_addc(out, 'Z');
}

/* digits d (n of them) as Java's Double.toString lays them out: value = 0.ddd * 10^point */
static void
write_java(struct buf *out, bool negative, const char *d, int n, int point)
{
	if (negative)
		buf_addc(out, '-');
	if (point > 7 || point < -2) { /* 10^7 and more, less than 10^-3 */
		buf_addc(out, d[0]);
		buf_addc(out, '.');
		buf_add(out, n > 1 ? d + 1 : "0", n > 1 ? (size_t)n - 1 : 1);
		buf_addf(out, "E%d", point - 1);
		return;
	}
	if (point <= 0)
		buf_addc(out, '0');
	for (int i = 0; i < point; i++)
		buf_addc(out, i < n ? d[i] : '0');
	buf_addc(out, '.');
	for (int i = point; i < 0; i++)
		buf_addc(out, '0');
	if (n > point)
		buf_add(out, d + (point > 0 ? point : 0), (size_t)(n - (point > 0 ? point : 0)));
	else
		buf_addc(out, '0');
}

void
bq_write_epoch(struct buf *out, int64_t micros)
{
	char d[24];
	int n, point;

	if (micros == 0) {
		buf_addz(out, "0.0");
		return;
	}
	n = snprintf(d, sizeof(d), "%llu",
	    (unsigned long long)(micros < 0 ? 0 - (uint64_t)micros : (uint64_t)micros));
	point = n - 6;
	while (n > 1 && d[n - 1] == '0')
		n--;
	write_java(out, micros < 0, d, n, point);
}

void
bq_write_double(struct buf *out, double v)
{
	char t[40], d[24];
	int n = 0, precision;

	if (isnan(v) || isinf(v)) {
		buf_addz(out, isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity");
		return;
	}
	if (v == 0) {
		buf_addz(out, signbit(v) ? "-0.0" : "0.0");
		return;
	}
	for (precision = 14; precision < 17; precision++) { /* the fewest digits that read back the same */
		snprintf(t, sizeof(t), "%.*e", precision, fabs(v));
		if (strtod(t, NULL) == fabs(v))
			break;
	}
	for (const char *p = t; *p != 'e'; p++)
		if (*p != '.')
			d[n++] = *p;
	while (n > 1 && d[n - 1] == '0')
		n--;
	write_java(out, v < 0, d, n, atoi(strchr(t, 'e') + 1) + 1);
}
