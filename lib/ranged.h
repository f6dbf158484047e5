/*
 * ranged: the bytes of one object, in order and each once, out of as many replies as it takes.
 *
 * Each reply's headers are looked at before its bytes are: a range must begin where the last reply ended and go on to the end,
 * a whole must be as long as the object. Nothing is taken of a reply that is something else. At the end the checksum tells
 * whether the bytes are the object's. [RFC 9110, 14.4]
 */
#ifndef EVPIPE_RANGED_H
#define EVPIPE_RANGED_H

#include <stdint.h>

#include "err.h"
#include "http.h"
#include "retry.h"

/* Takes bytes of the object, in order, each once: false where there is no room now. */
typedef bool ranged_data(void *arg, struct str piece);

struct ranged {
	uint64_t at, size;   /* the next byte that is wanted; the object's end */
	uint32_t crc;        /* crc32c of what was taken */
	bool other;          /* the reply is not the object's, or another range: the caller may set it too */
	bool begun;          /* the reply's headers were looked at */
	struct retry retry;  /* of replies in a row that brought nothing */
	uint64_t skip;       /* private: bytes of the reply that came before */
	ranged_data *data;
	void *arg;
};

/* Of "bytes A-B/TOTAL" A and TOTAL: false where it is not that. */
bool ranged_parse(struct str content_range, int64_t *from, int64_t *total);
/* Another reply is asked for, from byte `at` on. */
void ranged_begin(struct ranged *r);
/* A piece of it, as http_data has it. Returns what that returns. */
bool ranged_piece(struct ranged *r, int status, struct str headers, struct str piece);
/* What is wrong with a reply that ended well before all was there. */
void ranged_short(const struct ranged *r, const char *label, struct err *e);
/* The object is no longer the one that was asked for: gone (404), or changed. */
void ranged_lost(const struct ranged *r, const char *label, bool gone, struct err *e);
/*
 * A reply failed of e: is there to be another, and *when? Says so in the log; where the tries are over, says it in e.
 * after, patience: as retry_next has them.
 */
bool ranged_again(struct ranged *r, struct rng *rng, int64_t after, int64_t patience, int64_t *when, struct err *e);

#endif
