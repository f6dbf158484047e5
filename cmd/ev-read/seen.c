#include "seen.h"

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "xalloc.h"

void
seen_key(uint8_t key[SEEN_KEY], struct str text)
{
	uint8_t sum[DIGEST_MAX];
	digest_of(DIGEST_SHA256, text, sum);
	memcpy(key, sum, SEEN_KEY);
}

static bool
is_empty(const uint8_t key[SEEN_KEY])
{
	static const uint8_t none[SEEN_KEY];
	return memcmp(key, none, SEEN_KEY) == 0;
}

/* the place of key, or the empty one where it would go; a digest needs no hashing */
static uint8_t *
find(const struct seen *s, const uint8_t key[SEEN_KEY])
{
	uint64_t hash;
	memcpy(&hash, key, sizeof(hash));
	size_t i = hash & (s->cap - 1);
	while (!is_empty(s->keys[i]) && memcmp(s->keys[i], key, SEEN_KEY) != 0)
		i = (i + 1) & (s->cap - 1);
	return s->keys[i];
}

static void
grow(struct seen *s)
{
	struct seen old = *s;
	s->cap = old.cap > 0 ? old.cap * 2 : 1024;
	s->keys = xcalloc(s->cap, sizeof(*s->keys));
	for (size_t i = 0; i < old.cap; i++) {
		if (!is_empty(old.keys[i]))
			memcpy(find(s, old.keys[i]), old.keys[i], SEEN_KEY);
	}
	free(old.keys);
}

bool
seen_has(const struct seen *s, const uint8_t key[SEEN_KEY])
{
	return s->n > 0 && !is_empty(find(s, key));
}

bool
seen_add(struct seen *s, const uint8_t key[SEEN_KEY])
{
	if (s->n >= s->cap / 4 * 3)
		grow(s);
	uint8_t *place = find(s, key);
	if (!is_empty(place))
		return false;
	memcpy(place, key, SEEN_KEY);
	s->n++;
	return true;
}

void
seen_release(struct seen *s)
{
	free(s->keys);
	*s = (struct seen){0};
}
