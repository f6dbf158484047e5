/*
 * sink: one output of a tool. What is added waits in memory until the descriptor takes it; a stage stops
 * taking input while a sink holds LIMIT_OUTPUT or more, so the wait is bounded by that and one more line.
 *
 * shared: several processes write to the same pipe (receipts): then only whole lines, at most PIPE_BUF a
 * write, go out at a time.
 */
#ifndef EVPIPE_SINK_H
#define EVPIPE_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct sink {
	int fd;           /* -1: not there; additions are dropped */
	const char *name; /* for messages; borrowed */
	bool shared;
	bool regular;     /* private: a file, which never makes anyone wait for a reader */
	struct buf buf;
	size_t sent;      /* of buf */
	uint64_t lines, bytes;
};

void sink_init(struct sink *s, int fd, const char *name, bool shared);
/* Adds a line; the newline is added here. */
void sink_line(struct sink *s, struct str line);
/* For building a line in place: add to sink_buf(s), then sink_commit(s), which adds the newline. */
struct buf *sink_buf(struct sink *s);
void sink_commit(struct sink *s);
size_t sink_pending(const struct sink *s);
/* Writes what the descriptor takes now without waiting. */
int sink_flush(struct sink *s, struct err *e);
/* Closes the descriptor and frees. What is pending is lost: flush first. Later additions are dropped. */
void sink_release(struct sink *s);

#endif
