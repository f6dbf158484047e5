/*
 * map: bytes to pointer, open hashing. Keys are borrowed: the caller keeps them alive and unchanged for
 * as long as they are in the map, which is easy when the key lies in the value.
 */
#ifndef EVPIPE_MAP_H
#define EVPIPE_MAP_H

#include <stdint.h>

#include "str.h"

struct map_slot {
	struct str key;
	uint64_t hash;
	void *value; /* NULL: empty */
};

struct map {
	struct map_slot *slots;
	size_t n, cap;
	uint64_t seed; /* chosen at first use, so that keys cannot be made to collide */
};

uint64_t map_hash(uint64_t seed, struct str key);
void *map_get(const struct map *m, struct str key);
/* Sets key to value (not NULL). Returns what stood there before (then the new key is stored), or NULL. */
void *map_put(struct map *m, struct str key, void *value);
/* Takes key out; returns its value, or NULL. */
void *map_del(struct map *m, struct str key);
/* The next used slot at or after *i, moving *i past it; NULL at the end. Do not change m meanwhile. */
struct map_slot *map_each(const struct map *m, size_t *i);
void map_release(struct map *m);

#endif
