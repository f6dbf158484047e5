/*
 * batch: items in, requests out, verdicts back, and the items out again in the order they came. Pure: it does
 * no I/O and `now` is an argument.
 *
 * Every item belongs to a group (a table, an ordering key); a request holds items of one group. A request
 * closes when it is full by rows or bytes, when its oldest item has waited for `linger`, or in a hurry.
 * Several are under way at once, except in a serial group, where the order of requests matters.
 *
 *	batch_add ... f = batch_take ... [send] ... f->fates[i] = FATE_DONE ... batch_land(f) ... batch_pop
 *
 * What a request's end means for its items:
 *
 *  - Landed (batch_land): each item has the fate that the caller wrote down. FATE_AGAIN, which every item
 *    has at first, puts it in front of its group, and the group waits by retry's rule.
 *  - Refused as a whole for what is in it (batch_refuse): its items go again in requests of half the size.
 *    An item refused alone is put aside as a suspect. As soon as another request of the trial (a group, or
 *    all groups together) passes, the suspects are rejected, for then it was them. Where nothing is left
 *    that could pass, one suspect after a trial that had passed is rejected; anything else means that the
 *    other side refuses all, and the caller stops. So a table that went bad costs at most one item and
 *    never the stream.
 */
#ifndef EVPIPE_BATCH_H
#define EVPIPE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "retry.h"
#include "str.h"

struct batch_limits {
	size_t rows, bytes;   /* of one request; an item larger than bytes goes alone */
	int64_t linger;       /* microseconds */
	unsigned flights;     /* requests at once */
	size_t held_items, held_bytes; /* in all, in flight or not: see batch_room */
	bool one_trial;       /* refusals are judged over all groups together */
};

enum fate { FATE_AGAIN, FATE_DONE, FATE_REJECTED };

struct batch;
struct batch_group;

/* A request's items. Owned by the batch, from batch_take to batch_land or batch_refuse. */
struct flight {
	struct batch_group *group; /* private */
	void **items;
	enum fate *fates;  /* for the caller to fill in */
	uint64_t *places;  /* private */
	size_t n, bytes;
	bool passed;       /* for the caller: the other side judged the items one by one */
	void *user;        /* the caller's */
};

/* How to wait where items go again; see retry_next. */
struct batch_patience {
	struct rng *rng;
	int64_t patience;
	bool quota;
};

enum batch_verdict {
	BATCH_ON,          /* go on */
	BATCH_ALL_REFUSED, /* nothing passes: stop */
	BATCH_IMPATIENT,   /* items go again, and the patience has ended: stop */
};

struct batch *batch_new(const struct batch_limits *limits);
/* May one more item come in? Also no while items wait in back-off or stand under suspicion. */
bool batch_room(const struct batch *b);
/*
 * item is the caller's until it comes back from batch_pop; size is what it adds to a request. Works also
 * without room.
 */
void batch_add(struct batch *b, struct str group, bool serial, void *item, size_t size, int64_t now);
/* The next request that is due, or NULL. hurry: what waits is not going to get company. */
struct flight *batch_take(struct batch *b, int64_t now, bool hurry);
/* When batch_take may have one at the latest; CLOCK_NEVER: not before something else happens. */
int64_t batch_when(const struct batch *b);
/* Ends f: the request was taken, or is taken to be lost. */
enum batch_verdict batch_land(struct batch *b, struct flight *f, int64_t now,
    const struct batch_patience *p);
/* Ends f: the whole request was refused. */
enum batch_verdict batch_refuse(struct batch *b, struct flight *f);
/* The oldest item, once its fate is known: *rejected tells which. NULL where it is not. */
void *batch_pop(struct batch *b, bool *rejected);
size_t batch_held(const struct batch *b);
unsigned batch_flights(const struct batch *b);
/* Releases all, flights too; drop(ctx, item) is called for each item. */
void batch_free(struct batch *b, void (*drop)(void *ctx, void *item), void *ctx);

#endif
