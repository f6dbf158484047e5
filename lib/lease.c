#include "lease.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "xalloc.h"

/* 100,000 of these are held at a time: every word counts. */
struct lease_entry {
	struct lease_entry *prev, *next;
	struct lease_list *list;
	int64_t delivered; /* first, monotonic */
	int64_t since;     /* when it came into its list */
	uint32_t bytes;
	uint32_t ack_len;
	uint16_t id_len;
	char text[];       /* the id, then the ack id */
};

struct lease_memory {
	uint16_t id_len;
	char id[];
};

static struct str
id_of(const struct lease_entry *e)
{
	return (struct str){e->text, e->id_len};
}

static void
unlink_entry(struct lease_entry *e)
{
	struct lease_list *l = e->list;
	*(e->prev != NULL ? &e->prev->next : &l->head) = e->next;
	*(e->next != NULL ? &e->next->prev : &l->tail) = e->prev;
	l->n--;
	e->list = NULL;
}

static void
append(struct lease_list *l, struct lease_entry *e, int64_t now)
{
	e->list = l;
	e->since = now;
	e->prev = l->tail;
	e->next = NULL;
	*(l->tail != NULL ? &l->tail->next : &l->head) = e;
	l->tail = e;
	l->n++;
}

static struct lease_entry *
make(struct str id, struct str ack_id, uint32_t bytes, int64_t now)
{
	struct lease_entry *e = xmalloc(offsetof(struct lease_entry, text) + id.n + ack_id.n);
	e->delivered = now;
	e->bytes = bytes;
	e->id_len = (uint16_t)id.n;
	e->ack_len = (uint32_t)ack_id.n;
	memcpy(e->text, id.p, id.n);
	memcpy(e->text + id.n, ack_id.p, ack_id.n);
	return e;
}

void
lease_init(struct lease_table *t, int64_t lease, int64_t max_lease)
{
	*t = (struct lease_table){.lease = lease, .max_lease = max_lease};
	t->ring = xcalloc(LEASE_REMEMBERED, sizeof(*t->ring));
}

size_t
lease_held(const struct lease_table *t)
{
	return t->held.n;
}

/* Takes an entry out of what is held. */
static void
let_go(struct lease_table *t, struct lease_entry *e)
{
	map_del(&t->held, id_of(e));
	t->bytes -= e->bytes;
	unlink_entry(e);
}

/* Remembers an id as receipted, forgetting the oldest. */
static void
remember(struct lease_table *t, struct str id)
{
	struct lease_memory **slot = &t->ring[t->ring_next], *m = *slot;
	t->ring_next = (t->ring_next + 1) % LEASE_REMEMBERED;
	if (m != NULL) {
		map_del(&t->done, (struct str){m->id, m->id_len});
		free(m);
	}
	*slot = m = xmalloc(sizeof(*m) + id.n);
	m->id_len = (uint16_t)id.n;
	memcpy(m->id, id.p, id.n);
	map_put(&t->done, (struct str){m->id, m->id_len}, m);
}

enum lease_seen
lease_deliver(struct lease_table *t, struct str id, struct str ack_id, uint32_t bytes, int64_t now)
{
	struct lease_entry *old = map_get(&t->held, id);
	if (old == NULL && map_get(&t->done, id) != NULL) {
		t->redelivered++;
		append(&t->acks, make(id, ack_id, 0, now), now);
		return LEASE_DONE;
	}
	struct lease_entry *e = make(id, ack_id, bytes, now);
	if (old != NULL) {
		t->redelivered++;
		e->delivered = old->delivered;
		let_go(t, old);
		free(old);
	}
	map_put(&t->held, id_of(e), e);
	t->bytes += e->bytes;
	append(&t->fresh, e, now);
	return old != NULL ? LEASE_HELD : LEASE_NEW;
}

static void
receipt(struct lease_table *t, struct lease_entry *e, int64_t now)
{
	let_go(t, e);
	remember(t, id_of(e));
	append(&t->acks, e, now);
}

bool
lease_receipt(struct lease_table *t, struct str id, int64_t now)
{
	struct lease_entry *e = map_get(&t->held, id);
	if (e == NULL)
		return false;
	receipt(t, e, now);
	return true;
}

void
lease_receipt_all(struct lease_table *t, int64_t now)
{
	while (t->fresh.head != NULL)
		receipt(t, t->fresh.head, now);
	while (t->leased.head != NULL)
		receipt(t, t->leased.head, now);
}

/* An extension goes out when a little over half of the last one is used up. */
static int64_t
renew_at(const struct lease_table *t, const struct lease_entry *e)
{
	return e->since + t->lease * 11 / 20;
}

int64_t
lease_due(const struct lease_table *t, enum lease_action action, int64_t linger)
{
	int64_t due = CLOCK_NEVER;
	if (action == LEASE_ACK)
		return t->acks.head != NULL ? t->acks.head->since + linger : due;
	if (t->fresh.head != NULL)
		due = t->fresh.head->since + linger;
	if (t->leased.head != NULL && renew_at(t, t->leased.head) < due)
		due = renew_at(t, t->leased.head);
	return due;
}

/* Those that would be due within a tenth of a lease go along, so that requests are few and full. */
static bool
is_due(const struct lease_table *t, const struct lease_entry *e, int64_t now)
{
	return e->list == &t->fresh || renew_at(t, e) <= now + t->lease / 10;
}

static struct lease_entry *
next_for(const struct lease_table *t, enum lease_action action, int64_t now)
{
	if (action == LEASE_ACK)
		return t->acks.head;
	struct lease_entry *e = t->fresh.head != NULL ? t->fresh.head : t->leased.head;
	return e != NULL && (action == LEASE_GIVE_BACK || is_due(t, e, now)) ? e : NULL;
}

/* What becomes of an entry whose ack id was taken. */
static void
taken(struct lease_table *t, struct lease_entry *e, enum lease_action action, int64_t now)
{
	if (action == LEASE_EXTEND) {
		unlink_entry(e);
		append(&t->leased, e, now);
		return;
	}
	if (action == LEASE_ACK)
		unlink_entry(e);
	else
		let_go(t, e);
	free(e);
}

size_t
lease_take(struct lease_table *t, enum lease_action action, int64_t now, struct buf *text, uint32_t *lens, size_t max,
    size_t max_bytes)
{
	size_t n = 0, bytes = 0;
	for (struct lease_entry *e; n < max && (e = next_for(t, action, now)) != NULL;) {
		if (action == LEASE_EXTEND && now - e->delivered > t->max_lease) {
			t->lapsed++;
			let_go(t, e);
			free(e);
			continue;
		}
		if (n > 0 && bytes + e->ack_len > max_bytes)
			break;
		buf_add(text, e->text + e->id_len, e->ack_len);
		lens[n++] = e->ack_len;
		bytes += e->ack_len;
		taken(t, e, action, now);
	}
	return n;
}

static void
free_list(struct lease_list *l)
{
	while (l->head != NULL) {
		struct lease_entry *e = l->head;
		unlink_entry(e);
		free(e);
	}
}

void
lease_release(struct lease_table *t)
{
	free_list(&t->fresh);
	free_list(&t->leased);
	free_list(&t->acks);
	for (size_t i = 0; t->ring != NULL && i < LEASE_REMEMBERED; i++)
		free(t->ring[i]);
	free(t->ring);
	map_release(&t->held);
	map_release(&t->done);
}
