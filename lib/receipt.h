/*
 * receipt: what is owed for a message that came in, and the lines that pay it (records(5)).
 *
 * A message of a subscription is receipted by its id, a record of a file by its source and a count, and one
 * that has neither by nothing. All texts are as they stand between the quotes of a record, escapes and all.
 */
#ifndef EVPIPE_RECEIPT_H
#define EVPIPE_RECEIPT_H

#include <stdint.h>

#include "err.h"
#include "sink.h"
#include "str.h"

/* The records that one thing to do stands for: one, or all the parts of a message. Texts are owned. */
struct ticket {
	struct origin {
		struct str id, source;
	} *origins;
	size_t n;
	unsigned left; /* the caller's: what must still end before it is paid */
	void *user;    /* the caller's */
};

struct ticket *ticket_new(struct str id, struct str source);
void ticket_add(struct ticket *t, struct str id, struct str source);
void ticket_free(struct ticket *t);

/* Writes receipts to a sink. Counts of one file are added up until receipts_flush or another source. */
struct receipts {
	struct sink *out;
	struct buf source;
	uint64_t count;
	bool rejected; /* the caller's: what is paid are dead letters, and a file's receipts say so */
};

void receipts_init(struct receipts *r, struct sink *out);
void receipts_pay(struct receipts *r, struct str id, struct str source);
void receipts_pay_ticket(struct receipts *r, const struct ticket *t);
/* Once a turn, so that no count waits. */
void receipts_flush(struct receipts *r);
void receipts_release(struct receipts *r);

/* 0, or -1 with ERR_INPUT where a receipt for these could not be written in one piece: they pass LIMIT_ID. */
int receipt_fits(struct str id, struct str source, struct err *e);
/* Does a source name a file ("gs://bucket/name@1", "a.json@0") rather than a subscription? */
bool receipt_source_is_file(struct str source);

#endif
