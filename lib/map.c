#include "map.h"

#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "xalloc.h"

uint64_t
map_hash(uint64_t seed, struct str key)
{
	const char *p = key.p;
	uint64_t h = seed ^ key.n * 0x9e3779b97f4a7c15u, w;
	for (size_t left = key.n; left > 0;) {
		size_t n = left < 8 ? left : 8;
		w = 0;
		memcpy(&w, p, n);
		h = (h ^ w) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
		p += n;
		left -= n;
	}
	h *= 0xc4ceb9fe1a85ec53u;
	return h ^ h >> 29;
}

/* the slot of key, or the empty one where it would go */
static struct map_slot *
find(const struct map *m, struct str key, uint64_t hash)
{
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];
		if (s->value == NULL || (s->hash == hash && str_eq(s->key, key)))
			return s;
	}
}

static void
grow(struct map *m)
{
	struct map old = *m;
	if (m->seed == 0) {
		struct rng r;
		rng_seed_os(&r);
		m->seed = rng_next(&r) | 1;
	}
	m->cap = old.cap > 0 ? old.cap * 2 : 16;
	m->slots = xcalloc(m->cap, sizeof(*m->slots));
	for (size_t i = 0; i < old.cap; i++) {
		if (old.slots[i].value != NULL)
			*find(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
	}
	free(old.slots);
}

void *
map_get(const struct map *m, struct str key)
{
	return m->n > 0 ? find(m, key, map_hash(m->seed, key))->value : NULL;
}

void *
map_put(struct map *m, struct str key, void *value)
{
	if (m->n >= m->cap / 8 * 7)
		grow(m);
	uint64_t hash = map_hash(m->seed, key);
	struct map_slot *s = find(m, key, hash);
	void *before = s->value;
	*s = (struct map_slot){key, hash, value};
	m->n += before == NULL;
	return before;
}

void *
map_del(struct map *m, struct str key)
{
	if (m->n == 0)
		return NULL;
	struct map_slot *s = find(m, key, map_hash(m->seed, key));
	void *value = s->value;
	if (value == NULL)
		return NULL;
	s->value = NULL;
	m->n--;
	/* Close the gap: what follows in the same run may have been pushed past it. */
	size_t gap = (size_t)(s - m->slots), mask = m->cap - 1;
	for (size_t i = (gap + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;
		if (((i - home) & mask) >= ((i - gap) & mask)) {
			m->slots[gap] = m->slots[i];
			m->slots[i].value = NULL;
			gap = i;
		}
	}
	return value;
}

struct map_slot *
map_each(const struct map *m, size_t *i)
{
	while (*i < m->cap) {
		struct map_slot *s = &m->slots[(*i)++];
		if (s->value != NULL)
			return s;
	}
	return NULL;
}

void
map_release(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}
