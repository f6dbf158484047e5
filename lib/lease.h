/*
 * lease: the messages that a puller has outstanding, what must be extended and acknowledged, and when. Pure: `now`
 * is an argument, nothing is sent from here.
 *
 * A message is held from its first delivery until its receipt; then its ack id waits to be taken by lease_take. A
 * redelivery of a held message brings a new ack id, which takes the old one's place, and is not to be emitted again;
 * a redelivery of one of the last LEASE_REMEMBERED receipted ones is acknowledged at once. Ids are remembered, data
 * are not.
 */
#ifndef EVPIPE_LEASE_H
#define EVPIPE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "map.h"

#define LEASE_REMEMBERED 100000

struct lease_entry;
struct lease_memory;

struct lease_list {
	struct lease_entry *head, *tail;
	size_t n;
};

/* What a batch of ack ids is for. */
enum lease_action { LEASE_ACK, LEASE_EXTEND, LEASE_GIVE_BACK };

struct lease_table {
	int64_t lease;      /* microseconds an extension lasts */
	int64_t max_lease;  /* microseconds after its delivery that a message is given up */
	struct map held;    /* id to entry */
	uint64_t bytes;     /* of the held messages' data */
	struct lease_list fresh;  /* held, to be extended at once */
	struct lease_list leased; /* held, in order of expiry */
	struct lease_list acks;   /* receipted, to be acknowledged */
	struct map done;    /* the ids of the ring */
	struct lease_memory **ring;
	size_t ring_next;
	uint64_t redelivered, lapsed; /* counted */
};

enum lease_seen {
	LEASE_NEW,  /* emit it */
	LEASE_HELD, /* it was emitted already: do not emit it again */
	LEASE_DONE, /* it was receipted already: it is acknowledged again */
};

void lease_init(struct lease_table *t, int64_t lease, int64_t max_lease);
/* A delivery. id (at most LIMIT_ID bytes and a little) and ack_id are copied. bytes: of its data, for the window. */
enum lease_seen lease_deliver(struct lease_table *t, struct str id, struct str ack_id, uint32_t bytes, int64_t now);
/* A receipt. false: no such message is held (it was receipted before, or given up). */
bool lease_receipt(struct lease_table *t, struct str id, int64_t now);
/* Receipts everything that is held (--ack-on-write). */
void lease_receipt_all(struct lease_table *t, int64_t now);
/*
 * When lease_take should be called for acks or extensions at the latest: CLOCK_NEVER for nothing to do. linger: how long
 * an ack or a fresh message may wait for others.
 */
int64_t lease_due(const struct lease_table *t, enum lease_action action, int64_t linger);
/*
 * Takes up to max ack ids of at most max_bytes together for an action, appending them to text and their lengths to lens:
 * how many. LEASE_EXTEND counts them as extended at `now`, and gives up those past max_lease. LEASE_ACK and
 * LEASE_GIVE_BACK forget them. What is due soon goes along, so that few, full requests go out.
 */
size_t lease_take(struct lease_table *t, enum lease_action action, int64_t now, struct buf *text, uint32_t *lens,
    size_t max, size_t max_bytes);
size_t lease_held(const struct lease_table *t);
void lease_release(struct lease_table *t);

#endif
