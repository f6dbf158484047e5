#include "time.h"

#define DAY_MICROS ((int64_t)86400 * 1000000)

static const char rule_timestamp[] = "RFC 3339 wants YYYY-MM-DDThh:mm:ss[.ffffff] and Z or +hh:mm";
static const char rule_date[] = "a DATE is YYYY-MM-DD";
static const char rule_datetime[] = "a DATETIME is YYYY-MM-DDThh:mm:ss[.ffffff] without a zone";
static const char rule_time[] = "a TIME is hh:mm:ss[.ffffff]";
static const char rule_calendar[] = "no such day in the calendar";
static const char rule_clock[] = "hours are 00-23, minutes and seconds 00-59";
static const char rule_fraction[] = "at most 6 fraction digits: BigQuery keeps microseconds";
static const char rule_offset[] = "offsets are at most 14:00";
static const char rule_years[] = "years are 0001-9999 in UTC";

static int64_t
days_from_civil(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int
days_in_month(int y, int m)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
	return days[m - 1] + (m == 2 && leap);
}

int64_t
time_from_civil(const struct civil *c)
{
	int64_t seconds = days_from_civil(c->year, c->month, c->day) * 86400 + c->hour * 3600 +
	    c->minute * 60 + c->second;
	return seconds * 1000000 + c->micros;
}

void
time_civil(int64_t micros, struct civil *out)
{
	int64_t day = micros / DAY_MICROS, rest = micros % DAY_MICROS;
	if (rest < 0) {
		rest += DAY_MICROS;
		day--;
	}
	day += 719468;
	int64_t era = (day >= 0 ? day : day - 146096) / 146097;
	int64_t doe = day - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int mp = (int)((5 * doy + 2) / 153);
	out->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	out->month = mp < 10 ? mp + 3 : mp - 9;
	out->year = (int)(yoe + era * 400 + (out->month <= 2));
	out->micros = (int)(rest % 1000000);
	rest /= 1000000;
	out->hour = (int)(rest / 3600);
	out->minute = (int)(rest / 60 % 60);
	out->second = (int)(rest % 60);
}

/* Takes exactly n digits off s. */
static bool
digits(struct str *s, int n, int *out)
{
	int v = 0;
	if (s->n < (size_t)n)
		return false;
	for (int i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	*s = str_skip(*s, (size_t)n);
	*out = v;
	return true;
}

static bool
take(struct str *s, const char *any)
{
	for (; s->n > 0 && *any != '\0'; any++) {
		if (s->p[0] == *any) {
			*s = str_skip(*s, 1);
			return true;
		}
	}
	return false;
}

static const char *
parse_date(struct str *s, struct civil *c, const char *rule)
{
	if (!digits(s, 4, &c->year) || !take(s, "-") || !digits(s, 2, &c->month) || !take(s, "-") ||
	    !digits(s, 2, &c->day))
		return rule;
	if (c->month < 1 || c->month > 12 || c->day < 1 || c->day > days_in_month(c->year, c->month))
		return rule_calendar;
	return NULL;
}

static const char *
parse_clock(struct str *s, struct civil *c, const char *rule, int max_fraction)
{
	if (!digits(s, 2, &c->hour) || !take(s, ":") || !digits(s, 2, &c->minute) || !take(s, ":") ||
	    !digits(s, 2, &c->second))
		return rule;
	if (c->hour > 23 || c->minute > 59 || c->second > 59)
		return rule_clock;
	c->micros = 0;
	if (!take(s, "."))
		return NULL;
	int n = 0, digit;
	for (; digits(s, 1, &digit); n++) {
		if (n < 6)
			c->micros = c->micros * 10 + digit;
	}
	if (n == 0)
		return rule;
	if (n > max_fraction)
		return rule_fraction;
	for (; n < 6; n++)
		c->micros *= 10;
	return NULL;
}

/* Takes Z, z or ±hh:mm off s: the offset in minutes. */
static const char *
parse_zone(struct str *s, int *offset)
{
	*offset = 0;
	if (take(s, "Zz"))
		return NULL;
	bool west = s->n > 0 && s->p[0] == '-';
	int h, m;
	if (!take(s, "+-") || !digits(s, 2, &h) || !take(s, ":") || !digits(s, 2, &m))
		return rule_timestamp;
	if (m > 59 || h * 60 + m > 14 * 60)
		return rule_offset;
	*offset = west ? -(h * 60 + m) : h * 60 + m;
	return NULL;
}

static const char *
parse_instant(struct str s, int max_fraction, int64_t *micros)
{
	struct civil c = {0};
	int offset;
	const char *why = parse_date(&s, &c, rule_timestamp);
	if (why == NULL && !take(&s, "Tt"))
		why = rule_timestamp;
	if (why == NULL)
		why = parse_clock(&s, &c, rule_timestamp, max_fraction);
	if (why == NULL)
		why = parse_zone(&s, &offset);
	if (why == NULL && s.n > 0)
		why = rule_timestamp;
	if (why != NULL)
		return why;
	*micros = time_from_civil(&c) - (int64_t)offset * 60 * 1000000;
	struct civil utc;
	time_civil(*micros, &utc);
	return utc.year < 1 || utc.year > 9999 ? rule_years : NULL;
}

const char *
time_parse_timestamp(struct str s, int64_t *micros)
{
	return parse_instant(s, 6, micros);
}

const char *
time_parse_service(struct str s, int64_t *micros)
{
	return parse_instant(s, 9, micros);
}

const char *
time_parse_date(struct str s, int64_t *micros)
{
	struct civil c = {0};
	const char *why = parse_date(&s, &c, rule_date);
	if (why == NULL && s.n > 0)
		why = rule_date;
	if (why == NULL && c.year < 1)
		why = rule_years;
	if (why == NULL)
		*micros = time_from_civil(&c);
	return why;
}

const char *
time_parse_datetime(struct str s, int64_t *micros)
{
	struct civil c = {0};
	const char *why = parse_date(&s, &c, rule_datetime);
	if (why == NULL && !take(&s, "Tt "))
		why = rule_datetime;
	if (why == NULL)
		why = parse_clock(&s, &c, rule_datetime, 6);
	if (why == NULL && s.n > 0)
		why = rule_datetime;
	if (why == NULL && c.year < 1)
		why = rule_years;
	if (why == NULL)
		*micros = time_from_civil(&c);
	return why;
}

const char *
time_parse_time(struct str s, int64_t *micros)
{
	struct civil c = {.year = 1970, .month = 1, .day = 1};
	const char *why = parse_clock(&s, &c, rule_time, 6);
	if (why == NULL && s.n > 0)
		why = rule_time;
	if (why == NULL)
		*micros = time_from_civil(&c);
	return why;
}

/* n digits of v, with zeros in front; this is written once for every valid event, so not by printf */
static char *
put(char *to, int v, int n)
{
	for (int i = n - 1; i >= 0; i--, v /= 10)
		to[i] = (char)('0' + v % 10);
	return to + n;
}

void
time_format(struct buf *out, int64_t micros)
{
	struct civil c;
	char text[32], *p = text;
	time_civil(micros, &c);
	p = put(p, c.year, 4);
	*p++ = '-';
	p = put(p, c.month, 2);
	*p++ = '-';
	p = put(p, c.day, 2);
	*p++ = 'T';
	p = put(p, c.hour, 2);
	*p++ = ':';
	p = put(p, c.minute, 2);
	*p++ = ':';
	p = put(p, c.second, 2);
	if (c.micros > 0) {
		*p++ = '.';
		p = put(p, c.micros, 6);
		while (p[-1] == '0')
			p--;
	}
	*p++ = 'Z';
	buf_add(out, text, (size_t)(p - text));
}
