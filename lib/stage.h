/*
 * stage: the record loop, the toolkit's calling convention. A tool reads lines, works, and writes lines; what it
 * does with one line, and in one turn, are callbacks. The loop owns the rest:
 *
 *  - one poll(2) a turn, its set rebuilt from state; the clock is read once a turn (stage->now);
 *  - signals first, then writes, network, reads, and new work up to what `wants` allows;
 *  - back-pressure: while an output holds LIMIT_OUTPUT, or `wants` says no, the input is left out of the set;
 *  - every output is watched for a reader that left, even with nothing to write: that ends the tool (74);
 *  - SIGTERM and SIGINT: the first is ignored (the source ends the stream, EOF runs down the chain), a second one
 *    ends the tool at once with 75. A source sets `signal` and decides for itself;
 *  - a service manager is told when the loop begins, and that it turns.
 */
#ifndef EVPIPE_STAGE_H
#define EVPIPE_STAGE_H

#include <poll.h>

#include "line.h"
#include "notify.h"
#include "sink.h"

#define STAGE_OUTS 2
#define POLLSET_MAX 1024

struct pollset {
	struct pollfd fds[POLLSET_MAX];
	unsigned n;
	int64_t wake; /* monotonic microseconds; the earliest that anyone asked for */
};

/* Adds fd and returns its place; what does not fit is not watched, so callers bound their descriptors. */
unsigned pollset_add(struct pollset *p, int fd, short events);
void pollset_wake_at(struct pollset *p, int64_t when);

/* Descriptors other than the stage's own: the network. */
struct stage_net {
	void *ctx;
	void (*fill)(void *ctx, struct pollset *p);
	void (*ready)(void *ctx, const struct pollset *p);
};

struct stage;

enum stage_step {
	STAGE_FAILED = -1,
	STAGE_MORE, /* go on */
	STAGE_DONE, /* nothing left to do: the loop ends when all outputs are written */
};

struct stage_ops {
	/* One line, valid during the call. -1 with e filled ends the tool. */
	int (*line)(struct stage *s, const struct line *l, struct err *e);
	/* The input makes no output (receipts): a full output does not keep it waiting. */
	bool input_is_free;
	/* May more input be taken now? NULL: yes. */
	bool (*wants)(struct stage *s);
	/*
	 * Once a turn, after reading: timers, new work. stage_wake_at says when to be called again at the latest.
	 * STAGE_DONE ends the loop. NULL: done at the input's end.
	 */
	enum stage_step (*turn)(struct stage *s, struct err *e);
	/* SIGTERM or SIGINT came. NULL: as described above. */
	int (*signal)(struct stage *s, struct err *e);
	/* An output failed, as e says. NULL or -1: that ends the tool; 0: it goes on, having released the sink. */
	int (*out_failed)(struct stage *s, struct err *e);
};

struct stage {
	const struct stage_ops *ops;
	void *ctx;              /* the tool's own */
	struct line_reader in;  /* in.fd -1: no input; in.eof tells its end */
	bool drained;           /* in.eof, and every line was handed out */
	struct sink *outs[STAGE_OUTS]; /* may be NULL */
	const struct stage_net *net; /* may be NULL */
	int64_t now;            /* monotonic, this turn */
	unsigned signals;
	bool held_back;         /* private: whole lines may wait in memory */
	int64_t wake;           /* private */
	int signal_fd;          /* private */
	struct notify notify;   /* private */
};

/* in_fd -1: no input. Nothing is opened that needs closing if stage_run is not called. */
void stage_init(struct stage *s, const struct stage_ops *ops, void *ctx, int in_fd, const char *in_name);
/* Runs until a turn says STAGE_DONE and the outputs are written (0), or something fails (-1). */
int stage_run(struct stage *s, struct err *e);
/*
 * After stage_run failed: writes what waits in the outputs, for at most `within` microseconds, so that work already done
 * is passed on and no line is left torn.
 */
void stage_flush(struct stage *s, int64_t within);
void stage_wake_at(struct stage *s, int64_t when);
/* the bytes that wait in the fullest output */
size_t stage_pending(const struct stage *s);

#endif
