/* lake: when parts close, in every way there is, and what their objects are called. */
#include "lake.h"

#include <string.h>

#include "clock.h"
#include "tap.h"
#include "time.h"

static const struct lake_rules rules = {
    .rotate_bytes = 1000, .rotate_after = SECONDS(30), .idle_after = SECONDS(5), .max_held = 100,
    .max_held_bytes = 1500, .max_open = 3};

static void
add(struct lake *l, struct lake_part *p, const char *key, uint64_t bytes, int64_t time, int64_t now)
{
	if (p->key.p == NULL)
		lake_open(l, p, str_of(key), now);
	lake_count(l, p, bytes, time, now);
}

static void
by_size(void)
{
	struct lake l;
	struct lake_part a = {0};
	lake_init(&l, &rules, 0);
	ok(lake_before(&l, NULL, 5000) == NULL, "the first record is never too large");
	add(&l, &a, "a", 600, 7, 0);
	ok(lake_find(&l, STR("a")) == &a && lake_find(&l, STR("b")) == NULL, "parts are found by their key");
	ok(lake_before(&l, &a, 400) == NULL, "an object may be as large as --rotate-bytes");
	ok(lake_before(&l, &a, 401) == &a, "and not larger");
	ok(lake_after(&l, &a) == NULL, "600 bytes stay open");
	lake_count(&l, &a, 400, 3, 1);
	ok(a.earliest == 3, "the earliest record counts");
	ok(lake_after(&l, &a) == &a, "1000 bytes close");
	lake_close(&l, &a);
	ok(lake_after(&l, &a) == NULL, "once");
	ok(l.open == 0 && l.records == 0 && l.bytes == 0 && lake_find(&l, STR("a")) == NULL,
	    "then nothing is held");
	ok(a.records == 2 && a.bytes == 1000, "but its counts stay");
	add(&l, &a, "a", 3000, 0, 2);
	ok(lake_after(&l, &a) == &a, "one record larger than an object is an object");
	lake_close(&l, &a);
	lake_release(&l);
}

static void
by_time(void)
{
	struct lake l;
	struct lake_part a = {0}, b = {0};
	lake_init(&l, &rules, 0);
	ok(lake_wake(&l) == INT64_MAX && lake_due(&l, SECONDS(9999)) == NULL, "nothing open, nothing due");
	add(&l, &a, "a", 1, 0, SECONDS(100));
	ok(lake_wake(&l) == SECONDS(105), "silence ends it after 5 s");
	for (int t = 101; t < 130; t++)
		add(&l, &b, "b", 1, 0, SECONDS(t));
	ok(lake_wake(&l) == SECONDS(130) && lake_due(&l, SECONDS(130) - 1) == NULL,
	    "while records come it is 30 s");
	ok(lake_due(&l, SECONDS(130)) == &a, "the oldest first");
	lake_close(&l, &a);
	ok(lake_due(&l, SECONDS(130)) == NULL, "the younger not yet");
	ok(lake_wake(&l) == SECONDS(131), "but a second later");
	lake_not_idle(&l, SECONDS(129) + 1);
	lake_close(&l, &b);
	add(&l, &a, "a", 1, 0, SECONDS(200));
	add(&l, &b, "b", 1, 0, SECONDS(201));
	ok(lake_due(&l, SECONDS(206)) == &a, "silence ends all: one");
	lake_close(&l, &a);
	ok(lake_due(&l, SECONDS(206)) == &b, "and the other");
	lake_not_idle(&l, SECONDS(206));
	ok(lake_due(&l, SECONDS(210)) == NULL && lake_due(&l, SECONDS(211)) == &b,
	    "no silence while nothing is asked for");
	lake_close(&l, &b);
	lake_release(&l);
}

static void
by_what_is_held(void)
{
	struct lake l;
	struct lake_part a = {0}, b = {0}, c = {0};
	lake_init(&l, &rules, 0);
	add(&l, &a, "a", 700, 0, 0);
	add(&l, &b, "b", 700, 0, 0);
	ok(lake_after(&l, &b) == NULL, "1400 bytes may be held");
	add(&l, &c, "c", 101, 0, 0);
	ok(lake_after(&l, &c) == &a, "1501 are too many: the oldest closes");
	ok(lake_before(&l, NULL, 1) == &a, "three may be open: so it does for a fourth");
	lake_close(&l, &a);
	ok(lake_after(&l, &c) == NULL, "then it is enough");
	ok(lake_before(&l, NULL, 1) == NULL, "and there is room for another");
	for (int i = 0; i < 98; i++)
		add(&l, &c, "c", 1, 0, 0);
	ok(lake_after(&l, &c) == NULL && l.records == 100, "100 records may be held");
	add(&l, &c, "c", 1, 0, 0);
	ok(lake_after(&l, &c) == &b, "101 not");
	lake_close(&l, &c);
	ok(l.oldest == &b && l.newest == &b, "parts may close in any order");
	lake_close(&l, &b);
	lake_release(&l);
}

static void
by_source(void)
{
	struct lake l;
	struct lake_part p[4] = {{0}};
	lake_init(&l, &rules, 0);
	l.by_source = true;
	add(&l, &p[0], "a", 999, 0, 0);
	add(&l, &p[1], "b", 999, 0, 0);
	for (int i = 0; i < 200; i++)
		add(&l, &p[2], "c", 1, 0, 0);
	ok(lake_after(&l, &p[2]) == NULL, "of a file any number may be held");
	ok(lake_wake(&l) == INT64_MAX && lake_due(&l, SECONDS(9999)) == NULL, "for any time");
	ok(lake_before(&l, &p[0], 2) == &p[0], "size closes");
	ok(lake_before(&l, NULL, 2) == &p[0], "and so does the number open");
	for (int i = 0; i < 3; i++)
		lake_close(&l, &p[i]);
	lake_release(&l);
}

static struct str
escaped(const char *type, size_t n)
{
	static struct buf out = BUF_INIT(4096);
	struct err e = {0};
	buf_reset(&out, 4096);
	return lake_escape_type(&out, (struct str){type, n}, &e) < 0 ? STR("refused") : buf_str(&out);
}

static void
names(void)
{
	char wide[300];
	struct buf out = BUF_INIT(4096);
	int64_t t;
	is_str(escaped("user_activity", 13), "user_activity", "a plain type");
	is_str(escaped("a.b-C", 5), "a.b-C", "dots inside stay");
	is_str(escaped("../../etc", 9), "%2E.%2F..%2Fetc", "no type leaves its prefix");
	is_str(escaped("..", 2), "%2E.", "not even as two dots");
	is_str(escaped("a/b\0c", 5), "a%2Fb%00c", "slashes and NULs are escaped");
	is_str(escaped("50%\xc3\xa9", 5), "50%25%C3%A9", "and so are percent signs and what is not ASCII");
	is_str(escaped("", 0), "refused", "an empty type is refused");
	memset(wide, 'x', sizeof(wide));
	ok(escaped(wide, LAKE_TYPE_MAX).n == LAKE_TYPE_MAX, "a type of the longest length");
	is_str(escaped(wide, LAKE_TYPE_MAX + 1), "refused", "and one byte more");
	memset(wide, '/', sizeof(wide));
	is_str(escaped(wide, LAKE_TYPE_MAX / 3 + 1), "refused", "what counts is its length in names");
	time_parse_timestamp(STR("2025-02-08T13:09:59.999999Z"), &t);
	lake_name(&out, "output", "order", t, "0123456789abcdef0123456789abcdef", false);
	is_str(buf_str(&out),
	    "output/order/2025/02/08/13/09/order_202502081309_0123456789abcdef0123456789abcdef.json",
	    "a name");
	buf_reset(&out, 4096);
	lake_name(&out, "", "order", t, "00", true);
	is_str(buf_str(&out), "order/2025/02/08/13/09/order_202502081309_00.json.gz",
	    "without prefix, with gzip");
	buf_release(&out);
	ok(lake_day(0) == 0 && lake_day(SECONDS(86400) - 1) == 0 && lake_day(SECONDS(86400)) == 1, "days");
	ok(lake_day(-1) == -1 && lake_day(-SECONDS(86400)) == -1 && lake_day(-SECONDS(86400) - 1) == -2,
	    "before 1970 too");
}

int
main(void)
{
	by_size();
	by_time();
	by_what_is_held();
	by_source();
	names();
	return done();
}
