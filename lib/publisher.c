#include "publisher.h"

#include <stdio.h>
#include <stdlib.h>

#include "bounds.h"
#include "clock.h"
#include "utf8.h"
#include "xalloc.h"

#define BODY_START "{\"messages\":["
#define BODY_END "]}"

struct message {
	struct buf json;
	void *cookie;
	char *why; /* what was said to it alone */
};

/* A request under way. */
struct sending {
	struct publisher *p;
	struct flight *flight;
	struct gapi_call *call;
	struct sending *next, **link; /* in p->sending */
};

struct batch_limits
publisher_limits(void)
{
	return (struct batch_limits){.rows = PUBSUB_PUBLISH_MAX,
	    .bytes = PUBSUB_BATCH_BYTES,
	    .linger = MILLIS(100),
	    .flights = 4,
	    .held_items = 8192,
	    .held_bytes = 16 * MIB,
	    .one_trial = true};
}

void
publisher_init(struct publisher *p, struct gapi *g, const char *topic, const struct batch_limits *limits,
    publisher_ended *ended, void *arg)
{
	*p = (struct publisher){.g = g, .topic = topic, .ended = ended, .arg = arg};
	p->batch = batch_new(limits);
}

bool
publisher_room(const struct publisher *p)
{
	return p->g->retrying == 0 && p->failed.class == ERR_NONE && batch_room(p->batch);
}

bool
publisher_fits(size_t n)
{
	return n + sizeof(BODY_START BODY_END) <= PUBSUB_REQUEST_MAX;
}

void
publisher_add(struct publisher *p, struct buf *message, struct str ordering_key, void *cookie, int64_t now)
{
	struct message *m = xcalloc(1, sizeof(*m));
	m->json = *message;
	*message = (struct buf)BUF_INIT(m->json.max);
	m->cookie = cookie;
	batch_add(p->batch, ordering_key, ordering_key.n > 0, m, m->json.n + 1, now);
}

static void
free_message(struct message *m)
{
	buf_release(&m->json);
	free(m->why);
	free(m);
}

static void
stop(struct publisher *p, const struct err *why)
{
	if (p->failed.class == ERR_NONE)
		p->failed = *why;
}

/* The request was refused for what is in it. */
static void
on_refused(struct sending *s, const struct gapi_result *result)
{
	struct flight *f = s->flight;
	if (f->n == 1) {
		struct message *m = f->items[0];
		free(m->why);
		m->why = xstrdup(result->err.text);
	}
	if (batch_refuse(s->p->batch, f) == BATCH_ALL_REFUSED)
		stop(s->p, &result->err);
}

/* 0: all are published; 1: the call goes on; -1: e says why not. */
static int
take_reply(struct sending *s, const struct gapi_result *result, struct err *e)
{
	struct publisher *p = s->p;
	long n = pubsub_read_publish(&p->json, result->reply->body, e);
	if (n == (long)s->flight->n)
		return 0;
	if (n >= 0)
		err_set(e, ERR_TRANSIENT, "its reply has %ld message ids for %zu messages", n, s->flight->n);
	err_wrap(e, "cannot publish to '%s'", p->topic);
	return gapi_again(result, e) ? 1 : -1;
}

static void
free_sending(struct sending *s)
{
	*s->link = s->next;
	if (s->next != NULL)
		s->next->link = s->link;
	free(s);
}

static void
on_reply(void *arg, const struct gapi_result *result)
{
	struct sending *s = arg;
	struct publisher *p = s->p;
	struct err e = result->err;
	bool refused = e.class == ERR_PERMANENT && (result->status == 400 || result->status == 413);
	if (e.class == ERR_NONE) {
		int rc = take_reply(s, result, &e);
		if (rc > 0)
			return;
		if (rc == 0) {
			for (size_t i = 0; i < s->flight->n; i++)
				s->flight->fates[i] = FATE_DONE;
			s->flight->passed = true;
			batch_land(p->batch, s->flight, p->now, NULL);
		} else {
			stop(p, &e);
		}
	} else if (refused) {
		on_refused(s, result);
	} else {
		stop(p, &e);
	}
	free_sending(s);
}

static void
send_request(struct publisher *p, struct flight *f)
{
	struct buf body = BUF_INIT(2 * LIMIT_LINE);
	struct sending *s = xcalloc(1, sizeof(*s));
	/* Its size is known: the body is not grown step by step, which would hold it twice. */
	buf_room(&body, f->bytes + sizeof(BODY_START BODY_END));
	buf_addz(&body, BODY_START);
	for (size_t i = 0; i < f->n; i++) {
		struct message *m = f->items[i];
		if (i > 0)
			buf_addc(&body, ',');
		buf_adds(&body, buf_str(&m->json));
	}
	buf_addz(&body, BODY_END);
	*s = (struct sending){.p = p, .flight = f, .next = p->sending, .link = &p->sending};
	if (s->next != NULL)
		s->next->link = &s->next;
	p->sending = s;
	p->requests++;
	s->call = pubsub_publish(p->g, p->topic, &body, on_reply, s);
	buf_release(&body);
}

static void
report_ends(struct publisher *p)
{
	bool rejected;
	struct message *m;
	while ((m = batch_pop(p->batch, &rejected)) != NULL) {
		p->published += !rejected;
		p->ended(p->arg, m->cookie, rejected ? m->why : NULL);
		free_message(m);
	}
}

enum stage_step
publisher_turn(struct publisher *p, struct stage *s, bool hurry, struct err *e)
{
	struct flight *f;
	p->now = s->now;
	report_ends(p);
	if (p->failed.class != ERR_NONE) {
		*e = p->failed;
		return STAGE_FAILED;
	}
	hurry = hurry || !batch_room(p->batch);
	while ((f = batch_take(p->batch, s->now, hurry)) != NULL)
		send_request(p, f);
	stage_wake_at(s, gapi_turn(p->g, s->now));
	stage_wake_at(s, batch_when(p->batch));
	return batch_held(p->batch) == 0 ? STAGE_DONE : STAGE_MORE;
}

struct dropping {
	struct publisher *p;
	void (*drop)(void *arg, void *cookie);
};

static void
drop_message(void *ctx, void *item)
{
	struct dropping *d = ctx;
	struct message *m = item;
	if (d->drop != NULL)
		d->drop(d->p->arg, m->cookie);
	free_message(m);
}

void
publisher_release(struct publisher *p, void (*drop)(void *arg, void *cookie))
{
	struct dropping d = {p, drop};
	while (p->sending != NULL) {
		gapi_cancel(p->sending->call);
		free_sending(p->sending);
	}
	batch_free(p->batch, drop_message, &d);
	json_release(&p->json);
}
