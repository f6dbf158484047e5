/*
 * values: splits a file's text into events, as it comes, a piece at a time.
 *
 * The form is told by the first 64 KiB (more, where the first two lines are longer):
 *
 *	lines    one event a line, whatever is in it: a broken line is an event like the others, for judging is not done
 *	         here, and never takes its neighbour along. White space at a line's end and blank lines are left out.
 *	values   JSON values after one another, over lines as they like; of an array at top level each element is one. Commas
 *	         and white space between them do not count. The end of a value is told by its brackets and quotes alone.
 *
 * It is `values` where the first line is nothing but values, several and sound, or where some value that the text begins
 * with is sound and goes over a line's end; else `lines` where lines that begin with { and end with } stand alone, as
 * elements of an array never do, whatever the first line is: it may have lost its beginning; else `values`.
 *
 * An event past LIMIT_DATA is handed out as its first LIMIT_LONG_LINE_KEPT bytes, with its length. In the form `values`
 * a bracket that does not match, a line's end in a string, or the text's end within a value breaks the file: what stands
 * from there on is its rest, handed out once, likewise cut.
 */
#ifndef EVPIPE_VALUES_H
#define EVPIPE_VALUES_H

#include <stdint.h>

#include "buf.h"
#include "json.h"

enum values_form { VALUES_UNKNOWN, VALUES_LINES, VALUES_VALUES };

struct value {
	struct str text;     /* borrowed until the next call */
	uint64_t number;     /* from 1: the line's, blank ones counted; in the form `values` the value's */
	uint64_t offset;     /* of its first byte in the unpacked text */
	uint64_t length;     /* text.n, or more where it is cut */
	const char *broken;  /* NULL, or why this is the unreadable rest; constant */
};

struct values {
	enum values_form form;
	struct buf buf;
	size_t start;        /* of what was not handed out yet */
	size_t scanned;      /* behind start, looked at already */
	uint64_t base;       /* the offset of buf's first byte */
	uint64_t number;
	uint64_t dropped;    /* bytes of an over-long event that are gone from the buffer, behind its start */
	bool ended;
	const char *cut;     /* the text was cut off: why */
	/* private, for the form `values` */
	struct buf kinds;    /* the open brackets */
	bool inside, in_string, in_scalar, in_array;
	const char *broken;
	bool over;           /* the rest was handed out */
	struct json json;
};

void values_init(struct values *v);
/* Empties it for the next file. */
void values_reset(struct values *v);
/* Where the next bytes go: make room with buf_room, add at most VALUES_FILL bytes at a time. */
#define VALUES_FILL (256 * KIB)
struct buf *values_buf(struct values *v);
/* No more bytes follow. cut: NULL, or why the text is not whole: what is then left over is the rest. */
void values_end(struct values *v, const char *cut);
/* The next event: false where more bytes are needed or, after the end, where there is none. */
bool values_next(struct values *v, struct value *out);
void values_release(struct values *v);

#endif
