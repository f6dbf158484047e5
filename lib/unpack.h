/*
 * unpack: gzip, zstd or plain bytes in, plain bytes out, a piece at a time. What it is, is told by the content's first
 * bytes: 1f 8b is gzip [RFC 1952], 28 b5 2f fd or a skippable frame's number is zstd [RFC 8878], all else is plain.
 *
 * Several gzip members or zstd frames after one another are one text, as the commands have it; zeros behind a gzip
 * stream are padding. Memory: 32 KiB for gzip, the frame's window for zstd (at most 128 MiB, as the zstd command takes).
 */
#ifndef EVPIPE_UNPACK_H
#define EVPIPE_UNPACK_H

#include <stdint.h>

#include "buf.h"
#include "err.h"

struct unpack;

struct unpack *unpack_new(void);
/*
 * Takes bytes from *in, moving it on, and adds what they stand for to out, at most room bytes of it (and at least 1).
 * 1: something was added, and there may be more; 0: all of *in was taken; -1: the bytes are broken (ERR_INPUT, with the
 * offset in the packed bytes).
 */
int unpack_step(struct unpack *u, struct str *in, struct buf *out, size_t room, struct err *e);
/* The input has ended and unpack_step says 0. -1: in the middle of a stream. May still add bytes to out (at most 4). */
int unpack_end(struct unpack *u, struct buf *out, struct err *e);
/* "gzip", "zstd" or "plain"; "plain" also before the first 4 bytes */
const char *unpack_kind(const struct unpack *u);
void unpack_free(struct unpack *u);

#endif
