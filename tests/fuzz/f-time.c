/* time: what is read as an instant is written as the same instant, and the readers agree. */
#include "fuzz.h"
#include "time.h"

#define YEAR_1 (-INT64_C(62135596800000000))
#define YEAR_10000 INT64_C(253402300800000000)

static void
write_back(int64_t t)
{
	struct buf out = BUF_INIT(64);
	struct civil c;
	int64_t again;
	MUST(t >= YEAR_1 && t < YEAR_10000);
	time_format(&out, t);
	MUST(time_parse_timestamp(buf_str(&out), &again) == NULL && again == t);
	time_civil(t, &c);
	MUST(time_from_civil(&c) == t);
	buf_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str s = {(const char *)p, n};
	int64_t t, other;
	bool instant = time_parse_timestamp(s, &t) == NULL;
	if (instant)
		write_back(t);
	if (time_parse_service(s, &other) == NULL) {
		write_back(other);
		MUST(!instant || other == t);
	} else {
		MUST(!instant);
	}
	if (time_parse_date(s, &other) == NULL) {
		MUST(!instant && n == 10 && other % INT64_C(86400000000) == 0);
		write_back(other);
	}
	if (time_parse_datetime(s, &other) == NULL) {
		MUST(!instant);
		write_back(other);
	}
	if (time_parse_time(s, &other) == NULL)
		MUST(other >= 0 && other < INT64_C(86400000000));
	return 0;
}
