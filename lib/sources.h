/*
 * sources: the files of a backfill between their first event and their last receipt. Pure.
 *
 * A source is done when it was read to its end and as many receipts came as events were emitted; more is a bug.
 *
 *	sources_begin ... sources_emitted ... sources_end      what was read
 *	sources_receipt                                        what came back
 *	sources_next_done ... sources_forget                   what can be journaled
 *
 * The window counts the events outstanding of all sources but the newest. The newest does not count: the lake's objects
 * close at a source's end, which shows with the next one's first event, so waiting for its receipts would be for ever.
 */
#ifndef EVPIPE_SOURCES_H
#define EVPIPE_SOURCES_H

#include <stdint.h>

#include "err.h"
#include "map.h"

struct source {
	struct source *next;  /* of those that are done */
	struct str name;      /* as it stands in records, escaped; owned */
	uint64_t emitted, receipted;
	bool ended;           /* read to its end */
	bool spoilt;          /* it could not be read whole: it is settled, and not to be journaled */
	bool broken;          /* the caller's: something of it could not be read */
};

struct sources {
	struct map map;
	struct source *newest;
	struct source *done, **done_tail;
	uint64_t outstanding;  /* of all */
	uint64_t receipts;     /* that came, in events */
	uint64_t unknown;      /* receipts for what is not ours */
};

void sources_init(struct sources *s);
/* name is copied; NULL where such a source is there already. */
struct source *sources_begin(struct sources *s, struct str name);
void sources_emitted(struct sources *s, struct source *x, uint64_t n);
/* No more events. whole: it was read to its end; otherwise it is spoilt. */
void sources_end(struct sources *s, struct source *x, bool whole);
/* n receipts of the source of that name. -1 with ERR_BUG where they are more than its events. */
int sources_receipt(struct sources *s, struct str name, uint64_t n, struct err *e);
/* The source of an id, "SOURCE:NUMBER"; empty where it is none. */
struct str sources_of_id(struct str id);
/* A receipt of one event, by its id. */
int sources_receipt_id(struct sources *s, struct str id, struct err *e);
/* May events be emitted, with so many outstanding at most? */
bool sources_room(const struct sources *s, uint64_t most);
/* A source that is done, or spoilt and settled; it stays known until it is forgotten. NULL: none. */
struct source *sources_next_done(struct sources *s);
void sources_forget(struct sources *s, struct source *x);
/* how many are known */
size_t sources_n(const struct sources *s);
void sources_release(struct sources *s);

#endif
