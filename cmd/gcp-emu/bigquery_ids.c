/*
 * bigquery_ids: which insertIds a table was given in the last minute.
 *
 * A ring of entries in the order they came, and chains through it by hash, newest first: an entry that the
 * ring's front has passed is dead, and so is all of its chain behind it, so nothing is ever unlinked. 64 bits
 * of hash stand for the id: at two million entries a new id is taken for a known one once in 10^13.
 */
#include <stdlib.h>

#include "bigquery.h"
#include "clock.h"
#include "xalloc.h"

#define IDS_MIN 1024u
#define IDS_MAX (1u << 21) /* past this many in a minute the oldest are forgotten early */

struct entry {
	uint64_t hash;
	uint32_t expires; /* milliseconds, wrapping */
	uint32_t next;    /* the chain's next older entry, by sequence number */
};

struct bq_ids {
	struct entry *ring;
	uint32_t *heads;     /* sequence numbers */
	uint32_t cap;        /* a power of 2, of both */
	uint32_t front, end; /* sequence numbers: the oldest that lives, the next new one */
};

struct bq_ids *
bq_ids_new(void)
{
	struct bq_ids *ids = xcalloc(1, sizeof(*ids));

	ids->front = ids->end = 1; /* so that heads of 0 are dead */
	return ids;
}

void
bq_ids_free(struct bq_ids *ids)
{
	if (ids == NULL)
		return;
	free(ids->ring);
	free(ids->heads);
	free(ids);
}

uint64_t
bq_ids_hash(struct str id)
{
	/* the seed is fixed: hashes are kept on disk across a restart */
	return map_hash(0x6576706970650001u, id);
}

static bool
alive(const struct bq_ids *ids, uint32_t seq)
{
	return seq - ids->front < ids->end - ids->front;
}

static void
link_entry(struct bq_ids *ids, uint32_t seq)
{
	struct entry *en = &ids->ring[seq & (ids->cap - 1)];
	uint32_t *head = &ids->heads[en->hash & (ids->cap - 1)];

	en->next = *head;
	*head = seq;
}

static void
grow(struct bq_ids *ids)
{
	uint32_t cap = ids->cap == 0 ? IDS_MIN : ids->cap * 2;
	struct entry *ring = xcalloc(cap, sizeof(*ring));
	uint32_t seq;

	for (seq = ids->front; seq != ids->end; seq++)
		ring[seq & (cap - 1)] = ids->ring[seq & (ids->cap - 1)];
	free(ids->ring);
	free(ids->heads);
	ids->ring = ring;
	ids->cap = cap;
	ids->heads = xreallocarray(NULL, cap, sizeof(*ids->heads));
	for (uint32_t i = 0; i < cap; i++)
		ids->heads[i] = ids->front - 1;
	for (seq = ids->front; seq != ids->end; seq++)
		link_entry(ids, seq);
}

static void
push(struct bq_ids *ids, uint64_t hash, uint32_t expires)
{
	struct entry *en;

	if (ids->end - ids->front == ids->cap) {
		if (ids->cap < IDS_MAX)
			grow(ids);
		else
			ids->front++;
	}
	en = &ids->ring[ids->end & (ids->cap - 1)];
	en->hash = hash;
	en->expires = expires;
	ids->end++;
	link_entry(ids, ids->end - 1);
}

static void
expire(struct bq_ids *ids, uint32_t now)
{
	while (ids->front != ids->end &&
	    (int32_t)(now - ids->ring[ids->front & (ids->cap - 1)].expires) >= 0)
		ids->front++;
}

static bool
known(const struct bq_ids *ids, uint64_t hash)
{
	uint32_t seq;

	if (ids->cap == 0)
		return false;
	seq = ids->heads[hash & (ids->cap - 1)];
	while (alive(ids, seq)) {
		const struct entry *en = &ids->ring[seq & (ids->cap - 1)];

		if (en->hash == hash)
			return true;
		seq = en->next;
	}
	return false;
}

bool
bq_ids_add(struct bq_ids *ids, uint64_t hash, int64_t now)
{
	uint32_t ms = (uint32_t)(now / 1000);

	expire(ids, ms);
	if (known(ids, hash))
		return false;
	push(ids, hash, ms + BQ_INSERT_ID_SECONDS * 1000);
	return true;
}

void
bq_ids_restore(struct bq_ids *ids, uint64_t hash, int64_t now, int64_t left)
{
	push(ids, hash, (uint32_t)((now + left) / 1000));
}

void
bq_ids_undo(struct bq_ids *ids, size_t n)
{
	while (n-- > 0 && ids->end != ids->front) {
		const struct entry *en = &ids->ring[--ids->end & (ids->cap - 1)];

		/* the newest entry is the head of its chain */
		ids->heads[en->hash & (ids->cap - 1)] = en->next;
	}
}
