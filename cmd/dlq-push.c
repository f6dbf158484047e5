/*
 * dlq-push: rejected records in, dead-letter messages to a Pub/Sub topic, receipts out. See dlq-push(1).
 */
#include <stdio.h>

#include "bounds.h"
#include "clock.h"
#include "common.h"
#include "confine.h"
#include "deadletter.h"
#include "log.h"
#include "publisher.h"
#include "receipt.h"
#include "record.h"
#include "tally.h"

#define INPUT_NAME "standard input"
/* After a failure: how long to try to write receipts for what is published. */
#define LAST_WORDS SECONDS(2)

struct dlq {
	struct common common;
	struct batch_limits limits;
	struct stage stage;
	struct sink out;
	struct receipts receipts;
	struct http *http;
	struct gapi gapi;
	struct publisher publisher;
	struct buf topic;
	struct json json;
	struct tally tally;
	int64_t wall; /* of the last dead letter; no two have the same, which tells parts without an id apart */
	bool torn;
};

/* A message was published; when it was the record's last one, the record is done. */
static void
on_ended(void *arg, void *cookie, const char *why)
{
	struct dlq *d = arg;
	struct ticket *t = cookie;
	if (why != NULL) {
		/*
		 * What cannot be dead-lettered must not be lost: it stays unacknowledged, and a person
		 * looks.
		 */
		struct str id = t->origins[0].id;
		if (d->publisher.failed.class == ERR_NONE)
			err_set(&d->publisher.failed, ERR_PERMANENT, "cannot dead-letter message '%.*s': %s",
			    STR_ARG(id), why);
		t->user = d;
	}
	if (--t->left > 0)
		return;
	if (t->user == NULL) {
		d->tally.done++;
		receipts_pay_ticket(&d->receipts, t);
	}
	ticket_free(t);
}

/* At the end: a message that was not published. */
static void
drop(void *arg, void *cookie)
{
	struct ticket *t = cookie;
	(void)arg;
	if (--t->left == 0)
		ticket_free(t);
}

struct emitting {
	struct dlq *d;
	struct ticket *ticket;
};

static void
on_message(void *arg, struct str ordering_key, struct buf *message)
{
	struct emitting *m = arg;
	m->ticket->left++;
	publisher_add(&m->d->publisher, message, ordering_key, m->ticket, m->d->stage.now);
}

static int
on_line(struct stage *s, const struct line *l, struct err *e)
{
	struct dlq *d = s->ctx;
	struct record r;
	int rc = record_take(&r, &d->json, l, INPUT_NAME, e);
	if (rc <= 0) {
		d->torn = d->torn || rc == 0;
		return rc;
	}
	int64_t wall = clock_wall();
	d->wall = wall > d->wall ? wall : d->wall + 1;
	struct emitting m = {d, ticket_new(r.id, r.source)};
	if (receipt_fits(r.id, r.source, e) < 0 ||
	    deadletter_make(&r, &d->json, d->wall, on_message, &m, e) < 0) {
		ticket_free(m.ticket);
		return err_wrap(e, "cannot use line %llu of '%s'", (unsigned long long)l->number, INPUT_NAME);
	}
	d->tally.in++;
	return 0;
}

static bool
wants(struct stage *s)
{
	return publisher_room(&((struct dlq *)s->ctx)->publisher);
}

static enum stage_step
turn(struct stage *s, struct err *e)
{
	struct dlq *d = s->ctx;
	enum stage_step step = publisher_turn(&d->publisher, s, s->drained, e);
	receipts_flush(&d->receipts);
	return step == STAGE_DONE && !s->drained ? STAGE_MORE : step;
}

static int
prepare(struct dlq *d, const char *topic, struct err *e)
{
	if (name_pubsub(&d->topic, "topics", topic, d->common.project, e) < 0 ||
	    pubsub_init(&d->gapi, d->http, &d->common.login, d->common.retry_for, e) < 0)
		return -1;
	confine(&(struct confine){.token = d->gapi.token});
	return pubsub_check(&d->gapi, buf_cstr(&d->topic), "pubsub.topics.publish", e);
}

static int
run(struct dlq *d, struct err *e)
{
	static const struct stage_ops ops = {.line = on_line, .wants = wants, .turn = turn};
	struct stage_net net = http_net(d->http);
	stage_init(&d->stage, &ops, d, 0, INPUT_NAME);
	d->stage.outs[0] = &d->out;
	d->stage.net = &net;
	publisher_init(&d->publisher, &d->gapi, buf_cstr(&d->topic), &d->limits, on_ended, d);
	int rc = stage_run(&d->stage, e);
	if (rc < 0) {
		receipts_flush(&d->receipts);
		stage_flush(&d->stage, LAST_WORDS);
	}
	publisher_release(&d->publisher, drop);
	return rc;
}

static int
report(const struct dlq *d)
{
	char extra[96];
	snprintf(extra, sizeof(extra), "messages %llu, requests %llu, retries %llu",
	    (unsigned long long)d->publisher.published, (unsigned long long)d->publisher.requests,
	    (unsigned long long)d->gapi.retries);
	return tally_report(&d->tally, extra);
}

int
main(int argc, char **argv)
{
	struct dlq d = {.limits = publisher_limits(), .topic = BUF_INIT(4 * KIB)};
	int64_t flights = d.limits.flights;
	struct err e = {0};
	char **operands;
	int n, status;
	const struct opt own[] = {
	    {"linger", 0, OPT_MILLIS, &d.limits.linger, "MS", "publish what waited this long (100)",
		.max = 60000},
	    {"in-flight", 0, OPT_INT, &flights, "N", "requests under way at once (4)", .min = 1, .max = 64},
	    OPT_END};
	const struct opt_spec spec = {.synopsis = "[options] TOPIC",
	    .summary = "Publishes rejected records as dead letters and writes a receipt for each.",
	    .own = own, .shared = common_options(&d.common, true), .min_operands = 1, .max_operands = 1,
	    .see = "dlq-push(1)"};
	if (!common_start("dlq-push", &spec, &d.common, argc, argv, &operands, &n, &status))
		return status;
	d.limits.flights = (unsigned)flights;
	common_outputs(&d.out, true, NULL, NULL, &e);
	receipts_init(&d.receipts, &d.out);
	d.receipts.rejected = true;
	d.http = http_new();
	status = 0;
	if (prepare(&d, operands[0], &e) < 0)
		status = log_fail(&e);
	else if (!d.common.check) {
		if (run(&d, &e) < 0)
			status = log_fail(&e);
		if (report(&d) < 0)
			status = err_status(ERR_BUG);
		if (status == 0 && d.torn)
			status = err_status(ERR_INPUT);
	}
	gapi_release(&d.gapi);
	http_free(d.http);
	receipts_release(&d.receipts);
	sink_release(&d.out);
	json_release(&d.json);
	buf_release(&d.topic);
	return status;
}
