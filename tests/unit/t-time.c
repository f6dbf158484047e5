/* time: RFC 3339 narrowed by the contract, and the calendar. */
#include "tap.h"
#include "time.h"

static void
timestamp(const char *text, const char *want)
{
	struct buf b = BUF_INIT(64);
	int64_t micros;
	const char *why = time_parse_timestamp(str_of(text), &micros);
	if (why == NULL)
		time_format(&b, micros);
	is_str(why == NULL ? buf_str(&b) : STR("-"), want, "%s", text);
	buf_release(&b);
}

static void
test_timestamps(void)
{
	timestamp("2025-02-08T13:09:00Z", "2025-02-08T13:09:00Z");
	timestamp("2025-02-08t13:09:00z", "2025-02-08T13:09:00Z");
	timestamp("2025-02-08T13:09:00.500000+05:30", "2025-02-08T07:39:00.5Z");
	timestamp("2025-02-08T13:09:00.123456-00:00", "2025-02-08T13:09:00.123456Z");
	timestamp("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z");
	timestamp("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z");
	timestamp("0001-01-01T00:00:00+00:01", "-");
	timestamp("9999-12-31T23:59:59-00:01", "-");
	timestamp("0000-12-31T23:59:59-14:00", "0001-01-01T13:59:59Z");
	timestamp("2025-02-08T13:09:00+14:00", "2025-02-07T23:09:00Z");
	timestamp("2025-02-08T13:09:00+14:01", "-");
	timestamp("2025-02-08T13:09:00.1234567Z", "-");
	timestamp("2025-02-08T13:09:00.Z", "-");
	timestamp("2025-02-08 13:09:00Z", "-");
	timestamp("2025-02-08T13:09:00", "-");
	timestamp("2025-02-08T13:09Z", "-");
	timestamp("2025-02-29T00:00:00Z", "-");
	timestamp("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z");
	timestamp("1900-02-29T00:00:00Z", "-");
	timestamp("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z");
	timestamp("2025-13-01T00:00:00Z", "-");
	timestamp("2025-00-01T00:00:00Z", "-");
	timestamp("2025-01-00T00:00:00Z", "-");
	timestamp("2025-01-01T24:00:00Z", "-");
	timestamp("2025-01-01T23:59:60Z", "-");
	timestamp("2025-01-01T23:60:00Z", "-");
	timestamp("2025-01-01T00:00:00Z ", "-");
	timestamp(" 2025-01-01T00:00:00Z", "-");
	timestamp("+2025-01-01T00:00:00Z", "-");
	timestamp("2025-1-01T00:00:00Z", "-");
	timestamp("", "-");
}

static void
test_others(void)
{
	int64_t v;
	ok(time_parse_date(STR("1970-01-02"), &v) == NULL && v == 86400000000, "a date");
	ok(time_parse_date(STR("1970-1-2"), &v) != NULL && time_parse_date(STR("0000-01-01"), &v) != NULL, "no dates");
	ok(time_parse_datetime(STR("1970-01-01T00:00:01.5"), &v) == NULL && v == 1500000, "a datetime");
	ok(time_parse_datetime(STR("1970-01-01 00:00:01"), &v) == NULL && v == 1000000, "a datetime with a space");
	ok(time_parse_datetime(STR("1970-01-01T00:00:01Z"), &v) != NULL, "a datetime has no zone");
	ok(time_parse_time(STR("23:59:59.999999"), &v) == NULL && v == 86399999999, "a time");
	ok(time_parse_time(STR("24:00:00"), &v) != NULL && time_parse_time(STR("1:00:00"), &v) != NULL, "no times");
	ok(time_parse_service(STR("2025-01-01T00:00:00.123456789Z"), &v) == NULL && v % 1000000 == 123456,
	    "a service may send nanoseconds");
}

static void
test_calendar(void)
{
	bool good = true;
	struct civil before = {0};
	/* Every day of the years 0001 to 9999 there and back, one after the other. */
	for (int64_t day = -719162; day <= 2932896; day++) {
		struct civil c;
		time_civil(day * 86400 * 1000000, &c);
		good = good && time_from_civil(&c) == day * 86400 * 1000000;
		good = good && (c.day == before.day + 1 || (c.day == 1 && c.month != before.month));
		before = c;
	}
	ok(good && before.year == 9999 && before.month == 12 && before.day == 31, "3.6 million days there and back");
}

int
main(void)
{
	test_timestamps();
	test_others();
	test_calendar();
	return done();
}
