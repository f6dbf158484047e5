/*
 * ps-pull: what its three parts share. pull.c keeps pulls outstanding and writes records; acks.c sends
 * acknowledgements, extensions and what is given back; main.c is the options and the stage's callbacks.
 *
 * The life of a run:  PULLING --(signal, --max-messages, --idle-exit, --quiet-exit)--> STOPPING (pulls that are being answered end,
 * output is written and closed) --> WAITING (receipts come in) --> RETURNING (what has no receipt is given back) --> end.
 * A chain that dies leads to WAITING at once: the receipts that are in the FIFO already still count.
 */
#ifndef PS_PULL_H
#define PS_PULL_H

#include "common.h"
#include "gapi.h"
#include "json.h"
#include "lease.h"
#include "pubsub.h"
#include "tally.h"

#define PULLS_MAX 64
#define ACK_CALLS_MAX 4

enum phase { PULLING, STOPPING, WAITING, RETURNING };

struct options {
	struct common common;
	const char *acks;
	bool ack_on_write;
	int64_t max_messages;    /* 0: no end */
	int64_t idle_exit;       /* microseconds; 0: never */
	int64_t quiet_exit;      /* likewise */
	int64_t max_outstanding; /* messages */
	int64_t max_bytes;       /* of their data */
	int64_t max_lease, lease, drain; /* microseconds */
	int64_t pulls;           /* at once, at most */
	int64_t batch;           /* messages asked for in one pull */
};

struct pull {
	struct puller *p;
	struct gapi_call *call; /* NULL: free */
	unsigned asked;
	int64_t started;
};

struct puller {
	const struct options *o;
	struct gapi g;
	struct buf subscription;   /* full name */
	struct buf source;         /* the same, escaped for records */
	struct lease_table leases;
	struct sink out;
	struct tally tally;
	struct json json;          /* replies and receipts, by turns */
	struct buf scratch;
	enum phase phase;
	int64_t now;
	int64_t active_at;         /* when anything last happened: for --idle-exit */
	int64_t receipt_at;        /* when a receipt last came: for --quiet-exit */
	int64_t give_up_at;        /* when WAITING after a death, or RETURNING, ends though something is unanswered */
	struct pull pulls[PULLS_MAX];
	unsigned wanted;           /* pulls to keep outstanding, grows and shrinks with what they bring */
	unsigned npulls, asked;    /* outstanding, and what they asked for together */
	uint64_t reply_bytes;      /* the largest reply lately */
	unsigned ack_calls, extend_calls;
	size_t acking;             /* ids in the calls that acknowledge */
	uint64_t unknown_receipts, given_back;
	unsigned refused_in_a_row; /* ack ids, since a request was taken */
	uint64_t refused;          /* ack ids, by the service */
	bool warned_attempts;
	bool incomplete;           /* something was given back, or its acknowledgement never answered */
	struct err failure;        /* set by a callback, ends the loop */
	struct err death;          /* the chain died: how, reported once the receipts are in */
};

/* pull.c */
void pulls_start(struct puller *p);        /* as many as the window and the output allow */
/* Once no more are wanted: ends those that wait for messages. Returns when to call again (CLOCK_NEVER: never). */
int64_t pulls_cancel_idle(struct puller *p);
/* Ends those that a failure left under way. */
void pulls_release(struct puller *p);
int64_t pulls_due(const struct puller *p); /* --idle-exit or --quiet-exit: when */
bool pulls_finished(const struct puller *p); /* nothing more is to be pulled */

/* acks.c */
int acks_receipt(struct puller *p, const struct line *l, struct err *e);
void acks_send(struct puller *p);      /* acks and extensions that are due */
/* Moves to RETURNING and gives back what is held, a few requests at a time: call each turn. true: all is given back. */
bool acks_give_back(struct puller *p);
int64_t acks_due(const struct puller *p);

#endif
