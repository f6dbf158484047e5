/*
 * seen: a set of texts, kept as 16 bytes of their SHA-256 each, for there may be millions. It only grows.
 */
#ifndef EV_READ_SEEN_H
#define EV_READ_SEEN_H

#include <stdint.h>

#include "str.h"

#define SEEN_KEY 16

struct seen {
	uint8_t (*keys)[SEEN_KEY];
	size_t n, cap;
};

void seen_key(uint8_t key[SEEN_KEY], struct str text);
/* false where it was there already */
bool seen_add(struct seen *s, const uint8_t key[SEEN_KEY]);
bool seen_has(const struct seen *s, const uint8_t key[SEEN_KEY]);
void seen_release(struct seen *s);

#endif
