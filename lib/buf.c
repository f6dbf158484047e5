#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xalloc.h"

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf)BUF_INIT(max);
}

/* room for nothing is room, too */
char *
buf_room_made(struct buf *b, size_t n)
{
	if (b->over || n > b->max || b->n > b->max - n) {
		b->over = true;
		return NULL;
	}
	size_t cap = b->cap < 256 ? 256 : b->cap + b->cap / 2;
	if (cap < b->n + n)
		cap = b->n + n;
	if (cap > b->max)
		cap = b->max;
	b->p = xrealloc(b->p, cap);
	b->cap = cap;
	return b->p + b->n;
}

void
buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n >= 0 && (size_t)n < sizeof(small)) {
		buf_add(b, small, (size_t)n);
	} else if (n >= 0) {
		char *text = xmalloc((size_t)n + 1);
		vsnprintf(text, (size_t)n + 1, fmt, again);
		buf_add(b, text, (size_t)n);
		free(text);
	}
	va_end(again);
}

/*
 * The bytes of the character at p that is better spelled out; 0: it may stand as it is. C0 and DEL; C1; the marks that change
 * the direction of writing, and the line and paragraph separators: U+200E-F, U+2028-E, U+2066-9.
 */
static size_t
steers(const unsigned char *p, size_t n, unsigned *c)
{
	*c = p[0];
	if (p[0] < 0x20 || p[0] == 0x7f)
		return 1;
	if (n >= 2 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
		*c = p[1];
		return 2;
	}
	if (n < 3 || p[0] != 0xe2 || (p[1] & 0xfe) != 0x80)
		return 0;
	*c = 0x2000u | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	return *c == 0x200e || *c == 0x200f || (*c >= 0x2028 && *c <= 0x202e) || (*c >= 0x2066 && *c <= 0x2069) ? 3 : 0;
}

void
buf_add_printable(struct buf *b, struct str s)
{
	unsigned c;
	for (size_t i = 0, n; i < s.n; i += n) {
		n = steers((const unsigned char *)s.p + i, s.n - i, &c);
		if (n > 0)
			buf_addf(b, "\\u%04x", c);
		else
			buf_addc(b, s.p[i]);
		n += n == 0;
	}
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n < b->n)
		memmove(b->p, b->p + n, b->n - n);
	b->n = n < b->n ? b->n - n : 0;
}

void
buf_reset(struct buf *b, size_t keep)
{
	b->n = 0;
	b->over = false;
	if (b->cap > keep) {
		free(b->p);
		b->p = NULL;
		b->cap = 0;
	}
}

const char *
buf_cstr(struct buf *b)
{
	if (b->n == b->cap) {
		b->p = xrealloc(b->p, b->cap + 1);
		b->cap++;
	}
	b->p[b->n] = '\0';
	return b->p;
}

void
buf_release(struct buf *b)
{
	free(b->p);
	*b = (struct buf)BUF_INIT(b->max);
}

void
buf_wipe(struct buf *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->cap);
	buf_release(b);
}
