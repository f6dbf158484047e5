/*
 * deadletter: the dead-letter message, both directions. Pure: records in, JSON texts out.
 *
 * A rejected record becomes a Pub/Sub message whose data are the original bytes and whose attributes are the
 * original ones and what is known of the fault:
 *
 *	dlq_version       "1"
 *	dlq_stage         who rejected it: "ev-validate", "bq-insert"
 *	dlq_code, dlq_path, dlq_detail   the first fault
 *	dlq_errors        all faults as a JSON array; what does not fit is counted in a last {"more":N}
 *	dlq_source, dlq_message_id, dlq_publish_time   of the original, where it had them
 *	dlq_time          when it was dead-lettered
 *	dlq_replays       how often it was replayed before; "0" at first
 *	dlq_format        "raw" or "envelope"
 *	dlq_part, dlq_parts   where the data did not fit one message: from 1
 *
 * Values are cut to 1,024 bytes on a character boundary. Where the original attributes do not fit beside ours
 * (too many, too long, beginning with "dlq_" or "goog"), the data are an envelope and the attributes ours
 * alone:
 *
 *	{"dlq_envelope":1,"data":"<base64>","attributes":{...},"ordering_key":"..."}
 */
#ifndef EVPIPE_DEADLETTER_H
#define EVPIPE_DEADLETTER_H

#include "letter.h"

/* One message of a dead letter, ready for a publish request; the text may be taken over (emptied). */
typedef void deadletter_emit(void *arg, struct str ordering_key, struct buf *message);
/*
 * wall: now, in microseconds since 1970. Returns how many messages were emitted, or -1 with ERR_INPUT and
 * none.
 */
int deadletter_make(const struct record *r, const struct json *j, int64_t wall, deadletter_emit *emit,
    void *arg, struct err *e);

/* A message of a dead-letter subscription, on its way back. */
struct deadletter {
	struct letter letter; /* without the marks of dead-lettering, ours and Pub/Sub's own */
	int64_t replays;      /* how often it was replayed before */
	bool envelope;
	unsigned part, parts; /* 1 of 1 where it is whole */
	struct buf key;       /* the same for all parts of one message and no other */
	struct json json;     /* private: the envelope */
	struct buf body;      /* private */
};

/* Zeroed, or used before: its memory is used again. -1 with ERR_INPUT for a form that we do not know. */
int deadletter_read(struct deadletter *d, const struct record *r, const struct json *j, struct err *e);
/* Puts the whole data (base64, borrowed) in and takes them out of their envelope. */
int deadletter_open(struct deadletter *d, struct str data, struct err *e);
void deadletter_release(struct deadletter *d);

#endif
