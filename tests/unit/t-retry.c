/* retry: waits are jittered, capped, obey Retry-After, and end with patience. */
#include "clock.h"
#include "retry.h"
#include "tap.h"

static void
test_growth(void)
{
	struct retry r = {0};
	struct rng rng;
	int64_t when, now = 0, limit = RETRY_BASE;
	bool within = true;
	rng_seed(&rng, 1);
	for (int i = 0; i < 40; i++) {
		ok(retry_next(&r, &rng, now, 0, false, 0, &when), "without patience's end there is always a next try");
		tap_count--;
		within = within && when >= now && when - now <= limit;
		limit = limit * 2 > RETRY_CAP ? RETRY_CAP : limit * 2;
		now = when;
	}
	ok(within, "the n-th wait is at most 0.1 s * 2^n, and never more than 60 s");
	is_int(r.attempts, 40, "attempts are counted");
	retry_reset(&r);
	retry_next(&r, &rng, now, 0, false, 0, &when);
	ok(when - now <= RETRY_BASE, "after a success it starts anew");
}

static void
test_jitter(void)
{
	struct rng rng;
	int64_t when, low = INT64_MAX, high = 0;
	rng_seed(&rng, 7);
	for (int i = 0; i < 1000; i++) {
		struct retry r = {.attempts = 5};
		retry_next(&r, &rng, 0, 0, false, 0, &when);
		low = when < low ? when : low;
		high = when > high ? when : high;
	}
	ok(low < RETRY_BASE && high > 30 * RETRY_BASE, "the jitter is full: from near 0 to near the limit");
}

static void
test_limits(void)
{
	struct retry r = {0}, q = {0};
	struct rng rng;
	int64_t when;
	rng_seed(&rng, 3);
	ok(retry_next(&r, &rng, 0, SECONDS(7), false, 0, &when) && when == SECONDS(7), "Retry-After is the least wait");
	ok(!retry_next(&r, &rng, SECONDS(61), SECONDS(1), false, SECONDS(60), &when), "patience ends 60 s after the first failure");
	int64_t high = 0;
	for (int i = 0; i < 200; i++) {
		q = (struct retry){0};
		retry_next(&q, &rng, 0, 0, true, 0, &when);
		high = when > high ? when : high;
	}
	ok(high > SECONDS(4), "quota refusals wait longer from the start");
}

int
main(void)
{
	test_growth();
	test_jitter();
	test_limits();
	return done();
}
