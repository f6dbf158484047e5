/*
 * ps: the inside of gcp-emu's Pub/Sub. A message is kept once, as the JSON text that pulls send; each
 * subscription has a slot for it until it is acknowledged. Slots are found by index, which ack ids carry,
 * so that neither pulling nor acknowledging looks anything up. All of it is in memory, and a journal
 * (ps_journal.c) in DIR/pubsub makes it survive.
 */
#ifndef GCP_EMU_PS_H
#define GCP_EMU_PS_H

#include "emu.h"
#include "map.h"
#include "rng.h"

#define PS_REQUEST_MAX 10485760     /* bytes of any request's body [Pub/Sub quotas] */
#define PS_ACK_REQUEST_MAX 524288   /* ... of acknowledge and modifyAckDeadline [Pub/Sub quotas] */
#define PS_PUBLISH_MAX 1000
#define PS_PULL_MAX 1000
#define PS_PULL_BYTES (20 * 1000 * 1000) /* of messages in a reply; one always fits */
#define PS_ATTRIBUTES_MAX 100
#define PS_KEY_MAX 256
#define PS_VALUE_MAX 1024
#define PS_ORDERING_KEY_MAX 1024
#define PS_DEADLINE_MAX 600
#define PS_ACKID_LEN 164            /* "ack IDs up to 164 bytes" */
#define PS_NAMES_MAX 100000         /* topics; subscriptions likewise */

#define NIL UINT32_MAX

struct message {
	uint32_t refs;
	uint32_t len;
	uint32_t key_at, key_len; /* the ordering key within text, escapes and all; key_len 0: none */
	uint64_t id;
	int64_t time;             /* of publishing, microseconds since 1970 */
	char text[];              /* {"data":...,"messageId":...} */
};

enum slot_state {
	SLOT_FREE,
	SLOT_READY,   /* in the ready list */
	SLOT_BLOCKED, /* behind another message of its ordering key */
	SLOT_LEASED,  /* outstanding until `due`; in the heap */
	SLOT_WAITING, /* given back, available again at `due` (retryPolicy); in the heap */
	SLOT_DYING,   /* has had its attempts; in the dying list until ps_bury */
};

struct slot {
	struct message *m;
	struct order *order;   /* its ordering key's queue, or NULL */
	int64_t due;
	uint64_t delivery;     /* of the latest delivery, 0 before the first; ack ids carry it */
	uint32_t prev, next;   /* in the ready or dying list; next: in the free list */
	uint32_t oprev, onext; /* in the order's queue */
	uint32_t heap;         /* its place in the heap */
	uint16_t attempts;
	uint8_t state;
};

/* The unacknowledged messages of one ordering key, as published. */
struct order {
	uint32_t head, tail;
	uint32_t leased;
	struct str key; /* is text */
	char text[];
};

struct slot_list {
	uint32_t head, tail, n;
};

struct topic {
	uint64_t uid;
	char *name;        /* projects/P/topics/T */
	char *labels;      /* a JSON object, or NULL */
	int64_t retention; /* microseconds, 0: none */
};

struct sub_config {
	int64_t deadline;  /* seconds */
	int64_t retention; /* microseconds */
	int64_t ttl;       /* likewise; 0: never expires */
	bool retain_acked, ordered;
	char *labels;
	char *dead_topic;  /* full name, or NULL: no dead-letter policy */
	int64_t dead_attempts;
	bool retry;        /* has a retryPolicy */
	int64_t retry_min, retry_max;
};

struct sub_counts {
	uint64_t delivered, acked, redelivered, expired, dead;
};

struct sub {
	uint64_t uid;
	char *name;
	struct topic *topic; /* NULL: deleted */
	struct sub_config c;
	struct slot *slots;
	uint32_t nslots, capslots, free;
	struct slot_list ready, dying;
	uint32_t *heap; /* slots by due */
	uint32_t nheap, capheap;
	uint32_t n;      /* unacknowledged */
	uint32_t leased;
	struct map orders;
	struct sub_counts counts;
};

struct journal {
	int fd;
	int lock;      /* on the folder */
	char *dir, *path;
	uint64_t size;
	struct buf out; /* records not yet written */
};

struct pubsub {
	struct emu *emu;
	struct map topics, subs; /* by full name */
	struct sub **list;       /* the subscriptions again, for going through them */
	size_t nlist, caplist;
	struct journal journal;
	uint64_t next_id;        /* of a message */
	uint64_t next_uid;       /* of a topic or subscription */
	uint64_t next_delivery;
	uint64_t live_bytes;     /* of all messages */
	int64_t next_sweep;      /* when to look for messages past their retention */
	struct rng rng;
	struct json json;        /* the request's body */
	struct buf scratch;      /* for decoded strings, emptied with each request */
	struct buf line;
};

/* One request, taken apart. */
struct ps_call {
	struct pubsub *p;
	struct emu *emu;
	struct request *req;
	struct reply *rep;
	const struct json *j;  /* the body, once ps_body was called */
	struct str project, collection, id, verb; /* id without verb; verb STR_NONE: none */
	struct str rest;       /* what follows the id, or STR_NONE */
	struct str name;       /* projects/P/COLLECTION/ID */
};

/* --- ps.c */
/* Parses the body into c->j. False where it is no JSON object; the reply then says so. */
bool ps_body(struct ps_call *c);
enum emu_answer ps_bad(struct ps_call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum emu_answer ps_missing(struct ps_call *c, const char *what, struct str name); /* 404 */
enum emu_answer ps_no_method(struct ps_call *c);
/* 501: something that the service has and gcp-emu does not, rather than doing nothing about it in silence */
enum emu_answer ps_not_emulated(struct ps_call *c, const char *what);
/* Writes the journal. False where that failed: the reply says so and nothing may be changed. */
bool ps_commit(struct ps_call *c);
bool ps_wants(const struct ps_call *c, const char *method, const char *verb);
/* {"permissions":[...]}: those asked for, or none where the resource does not exist */
enum emu_answer ps_permissions(struct ps_call *c, bool exists);

/* --- ps_names.c: NULL where fine, otherwise what is wrong, a constant */
const char *ps_check_id(struct str id);
const char *ps_check_project(struct str project);
/* a full name of that collection ("topics") */
const char *ps_check_name(struct str name, const char *collection);

/* --- ps_topics.c */
enum emu_answer ps_topics_handle(struct ps_call *c);
struct topic *topic_get(struct pubsub *p, struct str name);
struct topic *topic_add(struct pubsub *p, struct str name, uint64_t uid);
void topic_remove(struct pubsub *p, struct topic *t);
void topic_free(struct topic *t);
void topic_write(const struct topic *t, struct jsonw *w);
/* labels and retention out of a JSON object that topic_write or a client made */
bool topic_read(struct ps_call *c, struct topic *t, uint32_t object);
/* One page of names. */
struct ps_names {
	struct str *v;
	size_t n;
};
void ps_write_page(struct ps_call *c, struct ps_names *names, const char *member,
    void (*write)(struct pubsub *p, struct str name, struct jsonw *w));

/* --- ps_subs.c */
enum emu_answer ps_subs_handle(struct ps_call *c);
struct sub *sub_get(struct pubsub *p, struct str name);
struct sub *sub_by_uid(struct pubsub *p, uint64_t uid);
/* Owns nothing of config afterwards: it is moved in. */
struct sub *sub_add(struct pubsub *p, struct str name, uint64_t uid, struct topic *t,
    struct sub_config *config);
void sub_remove(struct pubsub *p, struct sub *s);
void sub_free(struct pubsub *p, struct sub *s);
enum emu_answer ps_emu_stats(struct ps_call *c);

/* --- ps_config.c */
void sub_config_default(struct sub_config *c);
void sub_config_copy(struct sub_config *to, const struct sub_config *from);
void sub_config_release(struct sub_config *c);
/*
 * Fields out of a subscription's JSON: all of them, or those that mask (comma-separated) names. trusted:
 * from our own journal. False where one is wrong; the reply says so.
 */
bool sub_config_read(struct ps_call *call, struct sub_config *c, uint32_t object, const char *mask,
    bool trusted);
void sub_write(const struct sub *s, struct jsonw *w);
/* "604800s", as microseconds; false where it is none */
bool ps_duration(struct str s, int64_t *micros);
void ps_write_duration(struct jsonw *w, const char *key, int64_t micros);
/* a JSON object of strings as compact text for the caller to free; false where it is none. NULL for none. */
bool ps_labels(const struct json *j, uint32_t t, char **out);

/* --- ps_publish.c */
enum emu_answer ps_publish(struct ps_call *c, struct topic *t);
struct message *message_new(struct pubsub *p, struct str text, struct str key, uint64_t id, int64_t time);
void message_unref(struct pubsub *p, struct message *m);
/* the subscriptions of a topic have one more message, whose only reference is given up */
void topic_fan_out(struct pubsub *p, struct topic *t, struct message *m);
bool topic_has_subs(const struct pubsub *p, const struct topic *t);
uint64_t ps_next_id(struct pubsub *p);
/* "2025-02-08T13:09:00.12345Z" of a message published at time: 0 to 9 digits, by its id */
void ps_publish_time(struct buf *out, uint64_t id, int64_t time);

/* --- ps_pull.c, ps_ack.c */
enum emu_answer ps_pull(struct ps_call *c, struct sub *s);
enum emu_answer ps_pull_again(struct ps_call *c);
enum emu_answer ps_acknowledge(struct ps_call *c, struct sub *s);
enum emu_answer ps_modify_deadline(struct ps_call *c, struct sub *s);
enum emu_answer ps_seek(struct ps_call *c, struct sub *s);
/* Acknowledges all that was published before time. False where the journal failed. */
bool ps_drop_before(struct pubsub *p, struct sub *s, int64_t time);

/* --- ps_ackid.c */
struct ack_ref {
	uint64_t sub;      /* its uid */
	uint64_t delivery;
	uint32_t slot;
};
void ackid_write(struct buf *out, const struct ack_ref *a);
/* false where it was not made by ackid_write; scratch is emptied and used */
bool ackid_read(struct str text, struct ack_ref *a, struct buf *scratch);

/* --- ps_queue.c */
void queue_add(struct sub *s, struct message *m); /* takes a reference of its own */
/*
 * The next slot for a pull whose latest was `after` (NIL: the first): of the same ordering key where there
 * is one.
 */
uint32_t queue_next(const struct sub *s, uint32_t after);
void queue_lease(struct sub *s, uint32_t i, uint64_t delivery, int64_t now);
/* a slot that this delivery may still acknowledge, or NIL */
uint32_t queue_find(const struct sub *s, const struct ack_ref *a);
void queue_extend(struct sub *s, uint32_t i, int64_t due);
/* not acknowledged in time, or refused: available again, at the end of the queue */
void queue_give_back(struct sub *s, uint32_t i, int64_t now);
void queue_done(struct pubsub *p, struct sub *s, uint32_t i);
/* a dying one that could not be buried: available again */
void queue_revive(struct sub *s, uint32_t i);
/*
 * Leases and waits that are over; returns when the next is (CLOCK_NEVER: none). Sets *woke where one got
 * ready.
 */
int64_t queue_turn(struct sub *s, int64_t now, bool *woke);
void queue_release(struct pubsub *p, struct sub *s);

/* --- ps_dead.c: forwards what is dying to the dead-letter topics */
void ps_bury(struct pubsub *p);

/* --- ps_journal.c, ps_load.c */
int journal_open(struct pubsub *p, struct err *e);
void journal_close(struct journal *j);
/* Records, added to journal.out. Each kind is described in ps_load.c. */
void journal_topic(struct journal *j, const struct topic *t);
void journal_topic_gone(struct journal *j, const struct topic *t);
void journal_sub(struct journal *j, const struct sub *s);
void journal_sub_gone(struct journal *j, const struct sub *s);
/* begins a message's record; its JSON text and a newline follow in journal.out */
void journal_message(struct journal *j, char kind, uint64_t topic, uint64_t id, int64_t time);
/* begins a list of message ids; they follow as " ID", then a newline */
void journal_ids(struct journal *j, char kind, uint64_t sub);
/* Writes what was added. On -1 the file is as before and what was added is dropped. */
int journal_commit(struct journal *j, struct err *e);
/* Writes the journal anew where it is much larger than what it describes. */
void journal_tidy(struct pubsub *p);
int journal_rewrite(struct pubsub *p, struct err *e);
int journal_load(struct pubsub *p, struct str text, struct err *e);

#endif
