/*
 * publisher: messages in, publish requests out, several under way, and each message's end in the order they
 * came.
 *
 * A request holds up to PUBSUB_PUBLISH_MAX messages of one ordering key; of one key only one request is under
 * way, so that the order stays. A request refused for its content is sent again in halves until the message
 * is alone (batch.h).
 */
#ifndef EVPIPE_PUBLISHER_H
#define EVPIPE_PUBLISHER_H

#include "batch.h"
#include "pubsub.h"

/*
 * A message's end. why: what the service said to it alone; NULL: it is published. Cookies are the caller's
 * again.
 */
typedef void publisher_ended(void *arg, void *cookie, const char *why);

struct publisher {
	struct gapi *g;
	const char *topic; /* full name, borrowed */
	struct batch *batch;
	struct json json;
	struct err failed; /* class other than ERR_NONE: it stopped */
	int64_t now;
	publisher_ended *ended;
	void *arg;
	struct sending *sending; /* private: requests under way */
	uint64_t published, requests;
};

/* What all publishers start from: the fields may be changed before publisher_init. */
struct batch_limits publisher_limits(void);
void publisher_init(struct publisher *p, struct gapi *g, const char *topic, const struct batch_limits *limits,
    publisher_ended *ended, void *arg);
/* May one more come in now? */
bool publisher_room(const struct publisher *p);
/* Does a message of n bytes of JSON fit a request? One that does not must not be added. */
bool publisher_fits(size_t n);
/* Adds a message, as JSON; its memory is taken over. */
void publisher_add(struct publisher *p, struct buf *message, struct str ordering_key, void *cookie,
    int64_t now);
/*
 * Once a turn: sends what is due, reports ends, asks s to wake it. hurry: no more input comes. STAGE_DONE
 * where nothing is left in it; STAGE_FAILED with e filled where the service refused for good.
 */
enum stage_step publisher_turn(struct publisher *p, struct stage *s, bool hurry, struct err *e);
/*
 * Ends what is under way. ended is not called for what is left; drop(arg, cookie) is, where it is not NULL.
 */
void publisher_release(struct publisher *p, void (*drop)(void *arg, void *cookie));

#endif
