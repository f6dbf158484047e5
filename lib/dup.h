/*
 * dup: member names that stand twice in one object. Names are compared decoded, so "a" and "\u0061" are one
 * name. n members cost n log n comparisons whatever they look like, so a hostile object is only as slow as it
 * is long.
 */
#ifndef EVPIPE_DUP_H
#define EVPIPE_DUP_H

#include "json.h"

struct dup_name {
	struct str name;
	uint32_t key;
};

/* Memory for many calls; starts as {0}. */
struct dup {
	uint32_t *found; /* after dup_find: the key tokens of the names that repeat, one each */
	uint32_t nfound, capfound;
	struct dup_name *names; /* private */
	uint32_t capnames;
	struct buf text;
};

/* Looks at the object's own members, not into their values. Returns the number found, usually 0. */
uint32_t dup_find(struct dup *d, const struct json *j, uint32_t object);
void dup_release(struct dup *d);

#endif
