/* lease: a simulated day in a millisecond. */
#include "clock.h"
#include "lease.h"
#include "tap.h"

#define LEASE SECONDS(60)
#define MAX_LEASE SECONDS(3600)

static struct buf text = BUF_INIT(1 << 20);
static uint32_t lens[3000];

static size_t
take(struct lease_table *t, enum lease_action action, int64_t now)
{
	buf_reset(&text, 1 << 20);
	return lease_take(t, action, now, &text, lens, 2500, 500000);
}

static enum lease_seen
deliver(struct lease_table *t, const char *id, const char *ack, int64_t now)
{
	return lease_deliver(t, str_of(id), str_of(ack), 100, now);
}

static void
test_life(void)
{
	struct lease_table t;
	lease_init(&t, LEASE, MAX_LEASE);
	ok(lease_due(&t, LEASE_EXTEND, 0) == CLOCK_NEVER, "an empty table has nothing to extend");
	ok(deliver(&t, "m1", "a1", 0) == LEASE_NEW, "a first delivery is new");
	is_int((long long)t.bytes, 100, "its bytes count against the window");
	is_int(lease_due(&t, LEASE_EXTEND, MILLIS(100)), MILLIS(100), "it is extended at receipt, after the linger");
	is_int((long long)take(&t, LEASE_EXTEND, MILLIS(100)), 1, "one id is taken for it");
	is_str(buf_str(&text), "a1", "namely its ack id");
	is_int(lease_due(&t, LEASE_EXTEND, MILLIS(100)), MILLIS(100) + LEASE * 11 / 20, "the next is due after 55 %% of a lease");
	is_int((long long)take(&t, LEASE_EXTEND, SECONDS(10)), 0, "and not earlier");
	ok(lease_receipt(&t, STR("m1"), SECONDS(20)), "its receipt is known");
	ok(!lease_receipt(&t, STR("m1"), SECONDS(20)), "a second receipt is not");
	ok(!lease_receipt(&t, STR("other"), SECONDS(20)), "nor one for what was never delivered");
	is_int((long long)t.bytes, 0, "the window is free again");
	is_int(lease_due(&t, LEASE_ACK, MILLIS(100)), SECONDS(20) + MILLIS(100), "the ack waits for others, not for long");
	is_int((long long)take(&t, LEASE_ACK, SECONDS(21)), 1, "it is taken once");
	is_int((long long)take(&t, LEASE_ACK, SECONDS(21)), 0, "and only once");
	lease_release(&t);
}

static void
test_redelivery(void)
{
	struct lease_table t;
	lease_init(&t, LEASE, MAX_LEASE);
	deliver(&t, "m1", "old", 0);
	take(&t, LEASE_EXTEND, 0);
	ok(deliver(&t, "m1", "newer and longer", SECONDS(70)) == LEASE_HELD, "a redelivery of what is held is not new");
	is_int((long long)lease_held(&t), 1, "it is held once");
	is_int((long long)t.bytes, 100, "and counted once");
	lease_receipt(&t, STR("m1"), SECONDS(71));
	take(&t, LEASE_ACK, SECONDS(72));
	is_str(buf_str(&text), "newer and longer", "the newest ack id is acknowledged");
	ok(deliver(&t, "m1", "again", SECONDS(80)) == LEASE_DONE, "a redelivery of what was receipted is done");
	is_int((long long)take(&t, LEASE_ACK, SECONDS(81)), 1, "and acknowledged at once");
	is_str(buf_str(&text), "again", "with its new ack id");
	is_int((long long)t.redelivered, 2, "redeliveries are counted");
	lease_release(&t);
}

static void
test_memory_of_receipts(void)
{
	struct lease_table t;
	char id[32];
	lease_init(&t, LEASE, MAX_LEASE);
	for (int i = 0; i <= LEASE_REMEMBERED; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		deliver(&t, id, "a", 0);
		lease_receipt(&t, str_of(id), 0);
	}
	ok(deliver(&t, "m0", "b", 1) == LEASE_NEW, "the oldest of 100,001 receipted ids is forgotten");
	ok(deliver(&t, "m1", "b", 1) == LEASE_DONE, "the one after it is remembered");
	while (take(&t, LEASE_ACK, 2) > 0)
		continue;
	lease_release(&t);
}

static void
test_a_day(void)
{
	struct lease_table t;
	int64_t now = 0;
	unsigned extensions = 0;
	lease_init(&t, LEASE, SECONDS(86400));
	deliver(&t, "m1", "a1", now);
	while (now < SECONDS(86000)) {
		int64_t due = lease_due(&t, LEASE_EXTEND, MILLIS(100));
		if (!ok(due - now < LEASE, "extended before its lease of 60 s ends") || extensions > 3000)
			break;
		now = due;
		extensions += take(&t, LEASE_EXTEND, now) > 0;
		tap_count--; /* one line for the day, not one a minute */
	}
	ok(extensions > 86000 / 60 && extensions < 86000 / 30, "a day takes %u extensions", extensions);
	lease_release(&t);
}

static void
test_max_lease(void)
{
	struct lease_table t;
	lease_init(&t, LEASE, MAX_LEASE);
	deliver(&t, "m1", "a1", 0);
	for (int64_t now = 0; now < MAX_LEASE + SECONDS(120); now += SECONDS(10))
		take(&t, LEASE_EXTEND, now);
	is_int((long long)lease_held(&t), 0, "past --max-lease a message is given up");
	is_int((long long)t.lapsed, 1, "and counted");
	ok(deliver(&t, "m1", "a2", MAX_LEASE * 2) == LEASE_NEW, "when it comes again it is new");
	lease_release(&t);
}

static void
test_batches(void)
{
	struct lease_table t;
	char id[32];
	lease_init(&t, LEASE, MAX_LEASE);
	for (int i = 0; i < 2600; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		deliver(&t, id, "0123456789", 0);
	}
	is_int((long long)take(&t, LEASE_EXTEND, 1), 2500, "a request takes 2,500 ids");
	is_int((long long)take(&t, LEASE_EXTEND, 1), 100, "the next one the rest");
	buf_reset(&text, 1 << 20);
	is_int((long long)lease_take(&t, LEASE_GIVE_BACK, 2, &text, lens, 2500, 95), 9, "bytes bound a request too");
	is_int((long long)lease_held(&t), 2591, "what is given back is held no more");
	lease_receipt_all(&t, 3);
	is_int((long long)t.acks.n, 2591, "all can be receipted at once");
	lease_release(&t);
}

int
main(void)
{
	test_life();
	test_redelivery();
	test_memory_of_receipts();
	test_a_day();
	test_max_lease();
	test_batches();
	buf_release(&text);
	return done();
}
