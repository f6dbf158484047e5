/*
 * pubsub: the Pub/Sub calls as functions with typed results. [cloud.google.com/pubsub/docs/reference/rest]
 */
#ifndef EVPIPE_PUBSUB_H
#define EVPIPE_PUBSUB_H

#include "gapi.h"
#include "json.h"

/* One received message. All views are borrowed from the reply, during the callback. */
struct pubsub_message {
	struct str ack_id;      /* decoded */
	struct str id;          /* messageId, decoded */
	struct str data;        /* base64 as it came, standard alphabet; "" where absent */
	struct str time;        /* publishTime */
	struct str attributes;  /* raw JSON object; STR_NONE where absent */
	struct str ordering_key; /* raw, with quotes; STR_NONE where absent */
	int64_t attempt;        /* deliveryAttempt; 0 where absent */
};

int pubsub_init(struct gapi *g, struct http *http, const struct login *login, int64_t patience, struct err *e);

/* Starts a pull of at most max messages; it waits at the service until there are some (up to about 90 s). */
struct gapi_call *pubsub_pull(struct gapi *g, const char *subscription, unsigned max, gapi_done *done, void *arg);
/* Calls each(arg, message) for every message of a pull's reply: how many, or -1 with e filled (a broken reply). */
long pubsub_read_pull(struct json *j, struct str body, int (*each)(void *arg, const struct pubsub_message *m),
    void *arg, struct err *e);

/* ids: n views. seconds: the new deadline, 0 gives the messages back. */
struct gapi_call *pubsub_acknowledge(struct gapi *g, const char *subscription, const struct str *ids, size_t n,
    gapi_done *done, void *arg);
struct gapi_call *pubsub_modify_deadline(struct gapi *g, const char *subscription, const struct str *ids, size_t n,
    int seconds, gapi_done *done, void *arg);

/* body: {"messages":[...]}, taken over. */
struct gapi_call *pubsub_publish(struct gapi *g, const char *topic, struct buf *body, gapi_done *done, void *arg);
/* the number of messageIds in a publish's reply, or -1 with e filled */
long pubsub_read_publish(struct json *j, struct str body, struct err *e);

/* The object is there and may be used: for --check and before the first call. permission: one name. */
int pubsub_check(struct gapi *g, const char *name, const char *permission, struct err *e);

#endif
