/*
 * parts: messages that came in numbered pieces, until they are whole. Pure.
 *
 * Parts come in any order and more than once; one that comes again once its message is whole joins that
 * message's ticket. What waits is bounded: see parts_drop.
 */
#ifndef EVPIPE_PARTS_H
#define EVPIPE_PARTS_H

#include "buf.h"
#include "err.h"
#include "receipt.h"

struct parts;

enum parts_step {
	PARTS_WAITING, /* others are missing */
	PARTS_WHOLE,   /* *ticket and *data are set */
	PARTS_LATE,    /* its message was whole before: it is receipted with it */
	PARTS_PAID,    /* and that one's receipts are written: this part's may be, too */
};

struct parts *parts_new(size_t max_bytes);
/*
 * Adds part `number` of `of` (as deadletter_read checks them). data is base64. When the message is whole its
 * data, as base64, are appended to *whole and *ticket is the caller's until parts_end. -1 with ERR_INPUT:
 * data are not base64.
 */
int parts_add(struct parts *p, struct str key, unsigned number, unsigned of, struct str data, struct str id,
    struct str source, enum parts_step *step, struct ticket **ticket, struct buf *whole, struct err *e);
/* The whole message of a ticket was published (paid), or given up. The ticket is then the caller's alone. */
void parts_end(struct parts *p, struct ticket *ticket, bool paid);
/*
 * Takes out the oldest message that is not whole while more than max_bytes wait, or any at all (`all`): its
 * ticket, to be freed, and how many parts of how many there were; NULL when there is none to take.
 */
struct ticket *parts_drop(struct parts *p, bool all, unsigned *have, unsigned *of);
void parts_free(struct parts *p);

#endif
