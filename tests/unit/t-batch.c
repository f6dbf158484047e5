/*
 * batch: what closes a request, whose turn it is, and what refusals cost. Time is an argument: nothing here
 * waits.
 */
#include "tap.h"

#include "batch.h"
#include "clock.h"

#define ITEM(n) ((void *)(uintptr_t)(n))

static const struct batch_limits limits = {.rows = 4, .bytes = 100, .linger = MILLIS(100), .flights = 2,
    .held_items = 16, .held_bytes = 1000};
static struct rng rng = {1};

static void
drop(void *ctx, void *item)
{
	(void)item;
	++*(int *)ctx;
}

static void
fill(struct batch *b, const char *group, bool serial, int from, int to, size_t size, int64_t now)
{
	for (int i = from; i <= to; i++)
		batch_add(b, str_of(group), serial, ITEM(i), size, now);
}

static enum batch_verdict
land_all(struct batch *b, struct flight *f, enum fate fate, int64_t now)
{
	const struct batch_patience p = {.rng = &rng};
	for (size_t i = 0; i < f->n; i++)
		f->fates[i] = fate;
	f->passed = true;
	return batch_land(b, f, now, &p);
}

static int
pop(struct batch *b, bool *rejected)
{
	return (int)(uintptr_t)batch_pop(b, rejected);
}

static void
closing(void)
{
	int dropped = 0;
	struct batch *b = batch_new(&limits);
	is_int(batch_when(b), CLOCK_NEVER, "an empty batch wants nothing");
	fill(b, "a", false, 1, 1, 10, 0);
	ok(batch_take(b, MILLIS(99), false) == NULL, "one item waits for company");
	is_int(batch_when(b), MILLIS(100), "until it has lingered");
	struct flight *f = batch_take(b, MILLIS(100), false);
	ok(f != NULL && f->n == 1, "then it goes alone");
	fill(b, "a", false, 2, 6, 10, MILLIS(100));
	struct flight *g = batch_take(b, MILLIS(100), false);
	ok(g != NULL && g->n == 4 && g->items[0] == ITEM(2), "four are full at once");
	ok(batch_take(b, MILLIS(900), true) == NULL, "no third request flies");
	is_int(batch_when(b), CLOCK_NEVER, "nor is one waited for");
	land_all(b, g, FATE_DONE, MILLIS(100));
	bool rejected;
	ok(batch_pop(b, &rejected) == NULL, "the second request's items wait for the first's");
	land_all(b, f, FATE_DONE, MILLIS(100));
	for (int i = 1; i <= 5; i++)
		is_int(pop(b, &rejected), i, "item %d comes out in its place", i);
	fill(b, "a", false, 7, 7, 95, MILLIS(100));
	f = batch_take(b, MILLIS(100), false);
	ok(f != NULL && f->n == 1 && f->bytes == 10,
	    "a request closes by bytes, and the next item does not fit");
	batch_free(b, drop, &dropped);
	is_int(dropped, 2, "what was left is handed back");
}

static void
groups(void)
{
	int dropped = 0;
	struct batch *b = batch_new(&limits);
	fill(b, "k", true, 1, 2, 60, 0);
	fill(b, "l", true, 3, 3, 60, 1);
	struct flight *f = batch_take(b, 0, true), *g = batch_take(b, 0, true);
	ok(f->n == 1 && f->items[0] == ITEM(1), "the oldest group goes first");
	ok(g->items[0] == ITEM(3), "a serial group has one request under way: another group's turn");
	land_all(b, f, FATE_DONE, 0);
	f = batch_take(b, 0, true);
	ok(f != NULL && f->items[0] == ITEM(2), "then its next");
	land_all(b, f, FATE_DONE, 0);
	land_all(b, g, FATE_DONE, 0);
	bool rejected;
	while (batch_pop(b, &rejected) != NULL)
		;
	is_int((long long)batch_held(b), 0, "all came out");
	batch_free(b, drop, &dropped);
}

static void
again(void)
{
	int dropped = 0;
	struct batch *b = batch_new(&limits);
	const struct batch_patience p = {.rng = &rng}, brief = {.rng = &rng, .patience = MILLIS(1)};
	fill(b, "a", false, 1, 4, 10, 0);
	struct flight *f = batch_take(b, 0, false);
	f->fates[0] = f->fates[2] = FATE_DONE;
	f->fates[1] = FATE_REJECTED;
	is_int(batch_land(b, f, 0, &p), BATCH_ON, "one of four goes again");
	ok(!batch_room(b), "meanwhile no input is taken");
	bool rejected;
	is_int(pop(b, &rejected), 1, "the first is out");
	ok(pop(b, &rejected) == 2 && rejected, "the second is out, rejected");
	is_int(pop(b, &rejected), 3, "the third is out");
	ok(batch_pop(b, &rejected) == NULL, "the fourth is not");
	int64_t when = batch_when(b);
	ok(when >= 0 && when <= 2 * RETRY_BASE, "it waits as retry says: %lld", (long long)when);
	fill(b, "a", false, 5, 5, 10, 0);
	f = batch_take(b, RETRY_CAP, true);
	ok(f->n == 2 && f->items[0] == ITEM(4) && f->items[1] == ITEM(5), "it is first in the next request");
	f->fates[1] = FATE_DONE;
	ok(batch_land(b, f, RETRY_CAP, &brief) == BATCH_IMPATIENT, "patience ends");
	batch_free(b, drop, &dropped);
}

/* One bad item among n: how it comes out, and how many requests that takes. */
static int
one_bad(int n, int bad, bool *found)
{
	int requests = 0, out = 0;
	struct batch_limits wide = limits;
	wide.rows = wide.held_items = 500;
	wide.bytes = wide.held_bytes = 100000;
	wide.flights = 1;
	struct batch *b = batch_new(&wide);
	fill(b, "a", false, 1, n, 10, 0);
	*found = true;
	while (out < n && requests < 1000) {
		struct flight *f = batch_take(b, 0, true);
		requests++;
		bool poisoned = f->items[0] <= ITEM(bad) && f->items[f->n - 1] >= ITEM(bad), rejected;
		if (poisoned)
			*found = batch_refuse(b, f) == BATCH_ON && *found;
		else
			land_all(b, f, FATE_DONE, 0);
		for (int i; (i = pop(b, &rejected)) != 0; out++)
			*found = *found && i == out + 1 && rejected == (i == bad);
	}
	batch_free(b, drop, &out);
	return requests;
}

static void
refusals(void)
{
	bool found;
	for (int bad = 1; bad < 500; bad += 83) {
		int requests = one_bad(500, bad, &found);
		ok(found && requests < 60, "item %d of 500 is rejected alone, in %d requests", bad, requests);
	}
	found = false;
	one_bad(500, 500, &found);
	ok(found, "the last of 500 is rejected: the others had passed");

	int dropped = 0;
	struct batch *b = batch_new(&limits);
	fill(b, "a", false, 1, 2, 10, 0);
	is_int(batch_refuse(b, batch_take(b, 0, true)), BATCH_ON, "two refused: halves");
	is_int(batch_refuse(b, batch_take(b, 0, true)), BATCH_ON, "the first refused alone: under suspicion");
	ok(!batch_room(b), "no input under suspicion");
	is_int(batch_refuse(b, batch_take(b, 0, true)), BATCH_ALL_REFUSED, "the second too: all are refused");
	batch_free(b, drop, &dropped);
	is_int(dropped, 2, "and none was rejected");

	b = batch_new(&limits);
	bool rejected;
	fill(b, "a", false, 1, 1, 10, 0);
	land_all(b, batch_take(b, 0, true), FATE_DONE, 0);
	is_int(pop(b, &rejected), 1, "a table passes");
	fill(b, "a", false, 2, 2, 10, 0);
	is_int(batch_refuse(b, batch_take(b, 0, true)), BATCH_ON, "then a lonely item is refused");
	ok(pop(b, &rejected) == 2 && rejected, "it is rejected, for others passed");
	fill(b, "a", false, 3, 3, 10, 0);
	is_int(batch_refuse(b, batch_take(b, 0, true)), BATCH_ALL_REFUSED,
	    "the next one, with no pass between, stops all");
	batch_free(b, drop, &dropped);
}

static void
trials(void)
{
	int dropped = 0;
	bool rejected;
	struct batch_limits one = limits;
	one.one_trial = true;
	struct batch *b = batch_new(&one);
	fill(b, "k", true, 1, 1, 10, 0);
	fill(b, "l", true, 2, 2, 10, 0);
	is_int(batch_refuse(b, batch_take(b, 0, true)), BATCH_ON,
	    "in one trial, a refused item of one group");
	land_all(b, batch_take(b, 0, true), FATE_DONE, 0);
	ok(pop(b, &rejected) == 1 && rejected && pop(b, &rejected) == 2 && !rejected,
	    "is judged by another's pass");
	batch_free(b, drop, &dropped);

	b = batch_new(&limits);
	fill(b, "k", false, 1, 1, 10, 0);
	fill(b, "l", false, 2, 2, 10, 0);
	is_int(batch_refuse(b, batch_take(b, 0, true)), BATCH_ALL_REFUSED,
	    "in trials of their own it is not");
	batch_free(b, drop, &dropped);
}

static void
rooms(void)
{
	int dropped = 0;
	struct batch_limits tight = limits;
	tight.held_items = 2;
	tight.held_bytes = 50;
	struct batch *b = batch_new(&tight);
	ok(batch_room(b), "there is room for one, whatever its size");
	fill(b, "a", false, 1, 1, 1000, 0);
	ok(!batch_room(b), "bytes bound");
	fill(b, "a", false, 2, 200, 1, 0);
	is_int((long long)batch_held(b), 200, "an addition without room is kept all the same");
	batch_free(b, drop, &dropped);
	is_int(dropped, 200, "and nothing is lost of it");
}

int
main(void)
{
	closing();
	groups();
	again();
	refusals();
	trials();
	rooms();
	return done();
}
