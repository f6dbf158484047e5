/*
 * line: reads a descriptor and hands out whole lines without copying.
 *
 * A line is a view into the reader's buffer, without its newline, valid until the next call. The newline may
 * be missing only at the very end: `torn` is then set. A line past max bytes is handed out as its first
 * LIMIT_LONG_LINE_KEPT bytes with `length` telling how long it really was.
 */
#ifndef EVPIPE_LINE_H
#define EVPIPE_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct line_reader {
	int fd;
	const char *name; /* for messages; borrowed */
	size_t max;
	struct buf buf;
	size_t start;   /* of the next line in buf */
	size_t scanned; /* from start on, known to hold no newline */
	uint64_t skipped; /* bytes of an over-long line already dropped */
	uint64_t lines; /* handed out so far */
	bool eof;
};

struct line {
	struct str text;
	uint64_t number; /* from 1 */
	uint64_t length; /* text.n, or more where the line was too long */
	bool torn;       /* the last line, without its newline */
};

void line_init(struct line_reader *r, int fd, const char *name, size_t max);
/* One read(2) into the buffer. 1: got bytes, 0: end of file (eof is set), -1: failed. Call when poll says readable. */
int line_fill(struct line_reader *r, struct err *e);
/* The next line that is complete: true, or false when more must be read (or, after eof, when there is none). */
bool line_next(struct line_reader *r, struct line *out);
void line_release(struct line_reader *r);

#endif
