/*
 * ps_queue: one subscription's messages: which are ready, which are leased and until when.
 *
 * Messages of an ordered subscription that share a key stand in that key's queue; only its first one is
 * ever in the ready list, and only while none of the key is leased. Slots move when the array grows: hold
 * indexes.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "ps.h"
#include "xalloc.h"

#define SLOTS_KEPT 4096 /* when a queue runs empty, more than this is given back */

static void
list_append(struct sub *s, struct slot_list *l, uint32_t i)
{
	struct slot *x = &s->slots[i];
	x->prev = l->tail;
	x->next = NIL;
	if (l->n++ == 0)
		l->head = i;
	else
		s->slots[l->tail].next = i;
	l->tail = i;
}

static void
list_remove(struct sub *s, struct slot_list *l, uint32_t i)
{
	struct slot *x = &s->slots[i];
	if (x->prev != NIL)
		s->slots[x->prev].next = x->next;
	else
		l->head = x->next;
	if (x->next != NIL)
		s->slots[x->next].prev = x->prev;
	else
		l->tail = x->prev;
	l->n--;
	if (l->n == 0)
		l->head = l->tail = NIL;
}

/* --- the heap: the slot with the earliest due on top */

static void
heap_set(struct sub *s, uint32_t at, uint32_t i)
{
	s->heap[at] = i;
	s->slots[i].heap = at;
}

static void
heap_up(struct sub *s, uint32_t at)
{
	uint32_t i = s->heap[at];
	int64_t due = s->slots[i].due;
	while (at > 0 && s->slots[s->heap[(at - 1) / 2]].due > due) {
		heap_set(s, at, s->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_set(s, at, i);
}

static void
heap_down(struct sub *s, uint32_t at)
{
	uint32_t i = s->heap[at], child;
	int64_t due = s->slots[i].due;
	while ((child = 2 * at + 1) < s->nheap) {
		if (child + 1 < s->nheap && s->slots[s->heap[child + 1]].due < s->slots[s->heap[child]].due)
			child++;
		if (s->slots[s->heap[child]].due >= due)
			break;
		heap_set(s, at, s->heap[child]);
		at = child;
	}
	heap_set(s, at, i);
}

static void
heap_push(struct sub *s, uint32_t i)
{
	if (s->nheap == s->capheap) {
		s->capheap = s->capheap > 0 ? s->capheap * 2 : 64;
		s->heap = xreallocarray(s->heap, s->capheap, sizeof(*s->heap));
	}
	heap_set(s, s->nheap++, i);
	heap_up(s, s->nheap - 1);
}

static void
heap_remove(struct sub *s, uint32_t i)
{
	uint32_t at = s->slots[i].heap, last = s->heap[--s->nheap];
	if (last == i)
		return;
	heap_set(s, at, last);
	heap_up(s, at);
	heap_down(s, s->slots[last].heap);
}

/* --- slots */

static uint32_t
slot_new(struct sub *s)
{
	uint32_t i = s->free;
	if (i != NIL) {
		s->free = s->slots[i].next;
	} else {
		if (s->nslots == s->capslots) {
			s->capslots = s->capslots > 0 ? s->capslots + s->capslots / 2 : 64;
			s->slots = xreallocarray(s->slots, s->capslots, sizeof(*s->slots));
		}
		i = s->nslots++;
	}
	s->slots[i] = (struct slot){.prev = NIL, .next = NIL, .oprev = NIL, .onext = NIL};
	s->n++;
	return i;
}

/* Out of whatever holds it; its state is then to be set. */
static void
slot_detach(struct sub *s, uint32_t i)
{
	struct slot *x = &s->slots[i];
	switch (x->state) {
	case SLOT_READY:
		list_remove(s, &s->ready, i);
		break;
	case SLOT_DYING:
		list_remove(s, &s->dying, i);
		break;
	case SLOT_LEASED:
		s->leased--;
		if (x->order != NULL)
			x->order->leased--;
		heap_remove(s, i);
		break;
	case SLOT_WAITING:
		heap_remove(s, i);
		break;
	}
}

static void
slot_ready(struct sub *s, uint32_t i)
{
	s->slots[i].state = SLOT_READY;
	list_append(s, &s->ready, i);
}

/* --- ordering keys */

static struct order *
order_of(struct sub *s, const struct message *m)
{
	struct str key = {m->text + m->key_at, m->key_len};
	struct order *o = map_get(&s->orders, key);
	if (o == NULL) {
		o = xmalloc(sizeof(*o) + key.n);
		*o = (struct order){.head = NIL, .tail = NIL, .key = {o->text, key.n}};
		memcpy(o->text, key.p, key.n);
		map_put(&s->orders, o->key, o);
	}
	return o;
}

static void
order_append(struct sub *s, struct order *o, uint32_t i)
{
	struct slot *x = &s->slots[i];
	x->order = o;
	x->oprev = o->tail;
	if (o->tail != NIL)
		s->slots[o->tail].onext = i;
	else
		o->head = i;
	o->tail = i;
}

/* With none of the key leased its first message is ready. */
static void
order_settle(struct sub *s, struct order *o)
{
	if (o->leased == 0 && o->head != NIL && s->slots[o->head].state == SLOT_BLOCKED)
		slot_ready(s, o->head);
}

static void
order_remove(struct sub *s, uint32_t i)
{
	struct slot *x = &s->slots[i];
	struct order *o = x->order;
	if (x->oprev != NIL)
		s->slots[x->oprev].onext = x->onext;
	else
		o->head = x->onext;
	if (x->onext != NIL)
		s->slots[x->onext].oprev = x->oprev;
	else
		o->tail = x->oprev;
	if (o->head == NIL) {
		map_del(&s->orders, o->key);
		free(o);
	} else {
		order_settle(s, o);
	}
}

/* --- what the rest calls */

void
queue_add(struct sub *s, struct message *m)
{
	uint32_t i = slot_new(s);
	s->slots[i].m = m;
	m->refs++;
	if (s->c.ordered && m->key_len > 0) {
		s->slots[i].state = SLOT_BLOCKED;
		order_append(s, order_of(s, m), i);
		order_settle(s, s->slots[i].order);
	} else {
		slot_ready(s, i);
	}
}

uint32_t
queue_next(const struct sub *s, uint32_t after)
{
	if (after != NIL && s->slots[after].order != NULL) {
		uint32_t i = s->slots[after].onext;
		if (i != NIL && s->slots[i].state == SLOT_BLOCKED)
			return i;
	}
	return s->ready.head;
}

void
queue_lease(struct sub *s, uint32_t i, uint64_t delivery, int64_t now)
{
	struct slot *x = &s->slots[i];
	slot_detach(s, i);
	x->state = SLOT_LEASED;
	x->due = now + SECONDS(s->c.deadline);
	x->delivery = delivery;
	s->counts.delivered++;
	s->counts.redelivered += x->attempts > 0;
	if (x->attempts < UINT16_MAX)
		x->attempts++;
	s->leased++;
	if (x->order != NULL)
		x->order->leased++;
	heap_push(s, i);
}

uint32_t
queue_find(const struct sub *s, const struct ack_ref *a)
{
	if (a->slot >= s->nslots)
		return NIL;
	const struct slot *x = &s->slots[a->slot];
	return x->state != SLOT_FREE && x->delivery == a->delivery ? a->slot : NIL;
}

void
queue_extend(struct sub *s, uint32_t i, int64_t due)
{
	struct slot *x = &s->slots[i];
	bool later = due > x->due;
	x->due = due;
	if (later)
		heap_down(s, x->heap);
	else
		heap_up(s, x->heap);
}

/* microseconds until a message that came back is available again */
static int64_t
backoff(const struct sub *s, unsigned attempts)
{
	int64_t wait = s->c.retry_min;
	if (!s->c.retry)
		return 0;
	for (unsigned i = 1; i < attempts && wait < s->c.retry_max; i++)
		wait *= 2;
	return wait < s->c.retry_max ? wait : s->c.retry_max;
}

/* A lease is over: what becomes of the slot. An ordered one stays behind its key unless it is the first. */
static void
unlease(struct sub *s, uint32_t i, int64_t now)
{
	struct slot *x = &s->slots[i];
	slot_detach(s, i);
	if (s->c.dead_topic != NULL && x->attempts >= s->c.dead_attempts) {
		x->state = SLOT_DYING;
		list_append(s, &s->dying, i);
		return;
	}
	int64_t wait = backoff(s, x->attempts);
	if (x->order != NULL && x->order->head != i) {
		x->state = SLOT_BLOCKED;
	} else if (wait > 0) {
		x->state = SLOT_WAITING;
		x->due = now + wait;
		heap_push(s, i);
	} else if (x->order != NULL) {
		x->state = SLOT_BLOCKED;
	} else {
		slot_ready(s, i);
	}
}

void
queue_give_back(struct sub *s, uint32_t i, int64_t now)
{
	struct order *o = s->slots[i].order;
	if (o == NULL) {
		unlease(s, i, now);
		return;
	}
	/* What comes back brings those of its key that were delivered after it, or they would overtake. */
	for (uint32_t k = o->head; k != NIL; k = s->slots[k].onext) {
		if (s->slots[k].state == SLOT_LEASED)
			unlease(s, k, now);
	}
	order_settle(s, o);
}

void
queue_revive(struct sub *s, uint32_t i)
{
	struct slot *x = &s->slots[i];
	slot_detach(s, i);
	if (x->order == NULL) {
		slot_ready(s, i);
		return;
	}
	x->state = SLOT_BLOCKED;
	order_settle(s, x->order);
}

static void
maybe_shrink(struct sub *s)
{
	if (s->n > 0 || s->capslots <= SLOTS_KEPT)
		return;
	free(s->slots);
	free(s->heap);
	s->slots = NULL;
	s->heap = NULL;
	s->nslots = s->capslots = s->nheap = s->capheap = 0;
	s->free = NIL;
}

void
queue_done(struct pubsub *p, struct sub *s, uint32_t i)
{
	slot_detach(s, i);
	struct slot *x = &s->slots[i];
	if (x->order != NULL) {
		x->state = SLOT_FREE; /* so that its key does not take it for the next one */
		order_remove(s, i);
	}
	message_unref(p, x->m);
	*x = (struct slot){.state = SLOT_FREE, .next = s->free};
	s->free = i;
	s->n--;
	maybe_shrink(s);
}

int64_t
queue_turn(struct sub *s, int64_t now, bool *woke)
{
	while (s->nheap > 0 && s->slots[s->heap[0]].due <= now) {
		uint32_t i = s->heap[0];
		*woke = true;
		if (s->slots[i].state == SLOT_LEASED) {
			s->counts.expired++;
			queue_give_back(s, i, now);
		} else {
			slot_detach(s, i);
			slot_ready(s, i);
		}
	}
	return s->nheap > 0 ? s->slots[s->heap[0]].due : CLOCK_NEVER;
}

void
queue_release(struct pubsub *p, struct sub *s)
{
	for (uint32_t i = 0; i < s->nslots; i++) {
		if (s->slots[i].state != SLOT_FREE)
			message_unref(p, s->slots[i].m);
	}
	size_t at = 0;
	for (struct map_slot *m; (m = map_each(&s->orders, &at)) != NULL;)
		free(m->value);
	map_release(&s->orders);
	free(s->slots);
	free(s->heap);
}
