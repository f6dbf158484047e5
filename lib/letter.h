/*
 * letter: a Pub/Sub message as it is published: data, attributes, ordering key. Pure.
 *
 * [cloud.google.com/pubsub/docs/reference/rest/v1/PubsubMessage, cloud.google.com/pubsub/quotas]
 */
#ifndef EVPIPE_LETTER_H
#define EVPIPE_LETTER_H

#include "json.h"
#include "record.h"

struct attribute {
	struct str key, value; /* decoded */
};

/* A Pub/Sub message as it is published. */
struct letter {
	struct str data;       /* base64, borrowed */
	struct attribute *attributes;
	size_t n, cap;
	struct str ordering_key; /* decoded; empty: none */
	struct buf text;       /* private: where decoded texts live */
};

/*
 * Takes a raw or rejected record's message: data, msg.attributes, msg.ordering_key. data stay borrowed from
 * the line. Of attributes of one name the last counts, as in Pub/Sub. -1 with ERR_INPUT.
 */
int letter_read(struct letter *l, const struct record *r, const struct json *j, struct err *e);
/* The same from two tokens of any text, either may be JSON_NONE; data stay as they are. */
int letter_take(struct letter *l, const struct json *j, uint32_t attributes, uint32_t ordering_key,
    struct err *e);
/* Sets an attribute, in the place of one of that name. Both texts are borrowed. */
void letter_set(struct letter *l, struct str key, struct str value);
const struct attribute *letter_get(const struct letter *l, const char *key);
/*
 * The rule of Pub/Sub that the message breaks, a constant; NULL where it fits. The request's size is not
 * looked at.
 */
const char *letter_fault(const struct letter *l);
/* Appends the message as it stands in a publish request. */
void letter_write(struct buf *out, const struct letter *l);
void letter_release(struct letter *l);

#endif
