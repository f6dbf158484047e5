/*
 * lake: what an object of the lake is called and when it closes. Pure: `now` is an argument, nothing is read
 * or written, so that a day's rotation is tested in a millisecond. This is the book; the caller has the data.
 *
 * A part is one open object. Records of a stream go to the part of their key. A part closes when
 *
 *	its size would pass rotate_bytes                         lake_before, lake_after
 *	it has been open for rotate_after                        lake_due
 *	no record came for idle_after                            lake_due
 *	more than max_held records or max_held_bytes are held    lake_after: the oldest
 *	max_open parts are open and one more is wanted           lake_before: the oldest
 *
 * Records of a file (by_source) must make the same objects whenever they are read again, so there neither
 * clocks nor what is held close anything: only size, the number open, and the source's end, which is the
 * caller's to see.
 */
#ifndef EVPIPE_LAKE_H
#define EVPIPE_LAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "map.h"

#define LAKE_TYPE_MAX 200 /* bytes of an escaped type: it stands in a name twice, and names end at 1,024 */

struct lake_rules {
	uint64_t rotate_bytes;
	int64_t rotate_after, idle_after;  /* microseconds; 0: never */
	uint64_t max_held, max_held_bytes; /* records, and bytes of their events */
	unsigned max_open;
};

/* One open object, inside the caller's own. */
struct lake_part {
	struct lake_part *older, *newer;
	struct str key;       /* owned here from lake_open to lake_close */
	int64_t opened;       /* monotonic */
	int64_t earliest;     /* the least time of its records, since 1970 */
	uint64_t records, bytes;
};

struct lake {
	struct lake_rules rules;
	bool by_source;
	struct lake_part *oldest, *newest;
	struct map parts;
	unsigned open;
	uint64_t records, bytes; /* in all that is open */
	int64_t last_input;      /* monotonic */
};

void lake_init(struct lake *l, const struct lake_rules *rules, int64_t now);
struct lake_part *lake_find(const struct lake *l, struct str key);
/*
 * Before a record of so many bytes goes into part (NULL: a new one is to be opened): a part that must close
 * first, or NULL.
 */
struct lake_part *lake_before(const struct lake *l, struct lake_part *part, uint64_t bytes);
/* key is copied. */
void lake_open(struct lake *l, struct lake_part *part, struct str key, int64_t now);
/* A record went into part. */
void lake_count(struct lake *l, struct lake_part *part, uint64_t bytes, int64_t time, int64_t now);
/* After that: a part that must close, or NULL. Ask until it is NULL. */
struct lake_part *lake_after(const struct lake *l, struct lake_part *part);
/* A part whose time has come, or NULL. Ask until it is NULL. */
struct lake_part *lake_due(const struct lake *l, int64_t now);
/* when lake_due has an answer at the earliest; INT64_MAX: never */
int64_t lake_wake(const struct lake *l);
/* Input was not asked for until now: that is no silence of the source. */
void lake_not_idle(struct lake *l, int64_t now);
/* Takes part out of the book. Its counts stay. */
void lake_close(struct lake *l, struct lake_part *part);
/* Every part must have been closed. */
void lake_release(struct lake *l);

/*
 * Appends type as it stands in names: every byte but A-Z a-z 0-9 . _ - as %XX, and a dot at its start, so
 * that no type can leave its prefix. -1 with ERR_INPUT for an empty type or one that passes LAKE_TYPE_MAX.
 */
int lake_escape_type(struct buf *out, struct str type, struct err *e);
/* Appends [PREFIX/]TYPE/YYYY/MM/DD/HH/MM/TYPE_YYYYMMDDHHMM_HASH.json[.gz]; type is escaped already. */
void lake_name(struct buf *out, const char *prefix, const char *type, int64_t earliest, const char *hash,
    bool gzip);
/* the UTC day of an instant, counted from 1970-01-01 */
int64_t lake_day(int64_t micros);

#endif
