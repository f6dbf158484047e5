/*
 * scalar: one JSON value against one field's type and checks (CONTRACT section 5). Pure: no state but the
 * caller's scratch memory.
 */
#ifndef EVPIPE_SCALAR_H
#define EVPIPE_SCALAR_H

#include "json.h"
#include "schema.h"

#define SCALAR_FAULTS 3 /* a string may miss its enum, its length and its format */
#define SCALAR_DETAIL 512

struct scalar {
	const struct schema *s; /* where enum values are */
	struct buf scratch;     /* decoded text */
	int64_t time;           /* of a valid TIMESTAMP, DATE or DATETIME: microseconds since 1970 */
	unsigned nfaults;
	struct scalar_fault {
		const char *code;
		struct buf detail;
	} faults[SCALAR_FAULTS];
};

void scalar_init(struct scalar *sc, const struct schema *s);
/* Checks token t, neither null nor missing, against f, no RECORD. True: valid; otherwise nfaults > 0. */
bool scalar_check(struct scalar *sc, const struct schema_field *f, const struct json *j, uint32_t t);
void scalar_release(struct scalar *sc);

/*
 * Appends what was found, for a fault's detail: "the string \"5\"", "an object". At most LIMIT_DETAIL bytes
 * of the value, cut on a character boundary.
 */
void scalar_describe(struct buf *out, const struct json *j, uint32_t t);
/* Appends words in quotes, separated by commas, as many as fit a detail. */
void scalar_list(struct buf *out, const struct str *words, size_t n);

#endif
