/*
 * check: the verdict on one event (CONTRACT section 5, ev-validate(1)): a compiled schema run over tokens.
 *
 * Whatever produces the tokens may be replaced by something faster; the rules are here, in scalar and in dup,
 * and nowhere else.
 */
#ifndef EVPIPE_CHECK_H
#define EVPIPE_CHECK_H

#include "bounds.h"
#include "faults.h"
#include "json.h"
#include "schema.h"

struct verdict {
	const struct schema_table *table; /* NULL where the event's type is not known */
	const struct fault *faults; /* sorted by path, then code */
	unsigned nfaults; /* 0: valid; at most LIMIT_FAULTS */
	bool parsed;      /* the text is JSON in good UTF-8: check_json() has its tokens */
	int64_t time;     /* the partition field in microseconds; only where valid */
	/* With drop_unknown: the byte ranges of the text to cut out so that no unknown member is left, in order. */
	const struct check_cut {
		uint32_t from, to;
	} *cuts;
	uint32_t ncuts;
};

struct check; /* reusable memory for many verdicts */

/* s is borrowed for the check's life. */
struct check *check_new(const struct schema *s, bool drop_unknown);
/*
 * Judges text, which is any bytes at all. The verdict is the check's own, borrowed until the next call.
 * The text's tokens stand in check_json() for as long.
 */
const struct verdict *check_event(struct check *c, struct str text);
const struct json *check_json(const struct check *c);
void check_free(struct check *c);

#endif
