/* sources: counts of what went out and came back. */
#include <string.h>

#include "sources.h"
#include "tap.h"

static struct sources s;
static struct err e;

static struct source *
begin(const char *name, uint64_t emitted, bool ended)
{
	struct source *x = sources_begin(&s, str_of(name));
	sources_emitted(&s, x, emitted);
	if (ended)
		sources_end(&s, x, true);
	return x;
}

static void
test_done(void)
{
	sources_init(&s);
	struct source *a = begin("a@1", 3, true), *b = begin("b@1", 2, false);
	ok(sources_begin(&s, STR("a@1")) == NULL, "a source is there once");
	ok(sources_next_done(&s) == NULL, "nothing is done without receipts");
	ok(sources_receipt(&s, STR("a@1"), 2, &e) == 0 && sources_next_done(&s) == NULL, "nor with some");
	ok(sources_receipt_id(&s, STR("a@1:17"), &e) == 0 && sources_next_done(&s) == a, "with all it is");
	ok(sources_next_done(&s) == NULL, "once");
	sources_forget(&s, a);
	ok(sources_receipt(&s, STR("b@1"), 2, &e) == 0 && sources_next_done(&s) == NULL, "one that is still read is not");
	sources_end(&s, b, true);
	ok(sources_next_done(&s) == b, "until its end");
	sources_forget(&s, b);
	struct source *c = begin("c@1", 0, true);
	ok(sources_next_done(&s) == c, "an empty source is done at its end");
	sources_forget(&s, c);
	is_int((long long)sources_n(&s), 0, "then nothing is known");
	is_int((long long)s.outstanding, 0, "or outstanding");
	is_int((long long)s.receipts, 5, "and receipts were counted");
	sources_release(&s);
}

static void
test_faults(void)
{
	sources_init(&s);
	begin("a@1", 3, true);
	ok(sources_receipt(&s, STR("a@1"), 4, &e) < 0 && e.class == ERR_BUG, "more receipts than events: %s", e.text);
	ok(sources_receipt(&s, STR("z@1"), 4, &e) == 0 && s.unknown == 1, "receipts for nothing of ours are counted");
	ok(sources_receipt_id(&s, STR("z"), &e) == 0 && s.unknown == 2, "as are ids that are none of ours");
	ok(sources_receipt_id(&s, STR("a@1:x"), &e) == 0 && s.unknown == 3, "or have no number");
	struct source *b = sources_begin(&s, STR("b@1"));
	sources_emitted(&s, b, 1);
	sources_end(&s, b, false);
	ok(sources_next_done(&s) == NULL, "a spoilt source waits for its receipts, too");
	sources_receipt(&s, STR("b@1"), 1, &e);
	ok(sources_next_done(&s) == b && b->spoilt, "and is then settled, as spoilt");
	sources_release(&s);
}

static void
test_window(void)
{
	sources_init(&s);
	ok(sources_room(&s, 1), "at first there is room");
	begin("a@1", 1000, true);
	ok(sources_room(&s, 10), "the newest source does not count: its end shows with the next one's begin");
	begin("b@1", 1, false);
	ok(!sources_room(&s, 10) && sources_room(&s, 1001), "older ones do");
	sources_receipt(&s, STR("a@1"), 995, &e);
	ok(sources_room(&s, 10), "until their receipts come");
	sources_release(&s);
}

int
main(void)
{
	test_done();
	test_faults();
	test_window();
	return done();
}
