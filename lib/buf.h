/*
 * buf: a byte buffer that grows up to its maximum and owns its memory.
 *
 * An addition that would pass the maximum adds nothing and sets `over`, which stays set until
 * buf_reset: build a whole text and ask once at the end. `p` is not ended by NUL; buf_cstr makes it so.
 */
#ifndef EVPIPE_BUF_H
#define EVPIPE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "str.h"

struct buf {
	char *p;
	size_t n;
	size_t cap;
	size_t max;
	bool over;
};

#define BUF_INIT(maximum) {.max = (maximum)}

void buf_init(struct buf *b, size_t max);
/* for buf_room alone */
char *buf_room_made(struct buf *b, size_t n);

/* room for n more bytes at the end: where to write them, or NULL past the maximum. Follow with buf_grew. */
static inline char *
buf_room(struct buf *b, size_t n)
{
	return b->p != NULL && n <= b->cap - b->n && !b->over ? b->p + b->n : buf_room_made(b, n);
}

static inline void
buf_grew(struct buf *b, size_t n)
{
	b->n += n;
}

static inline void
buf_add(struct buf *b, const void *p, size_t n)
{
	char *to = n > 0 ? buf_room(b, n) : NULL;
	if (to != NULL) {
		memcpy(to, p, n);
		b->n += n;
	}
}

static inline void
buf_adds(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

static inline void
buf_addz(struct buf *b, const char *cstr)
{
	buf_add(b, cstr, strlen(cstr));
}

static inline void
buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

/* the content, borrowed until the next change */
static inline struct str
buf_str(const struct buf *b)
{
	return (struct str){b->p, b->n};
}

/* Text from outside, for a person to read: what would steer a terminal, or turn its writing around, is spelled \\uXXXX. */
void buf_add_printable(struct buf *b, struct str s);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list ap);
/* drops the first n bytes */
void buf_consume(struct buf *b, size_t n);
/* empty again, memory kept unless it is larger than keep bytes */
void buf_reset(struct buf *b, size_t keep);
/* the content with a NUL behind it (not counted in n), borrowed until the next change */
const char *buf_cstr(struct buf *b);
void buf_release(struct buf *b);
/* the same for secrets: zeroes the memory before it goes */
void buf_wipe(struct buf *b);

#endif
