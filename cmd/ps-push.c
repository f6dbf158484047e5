/*
 * ps-push: lines or records in, messages to a Pub/Sub topic, receipts out; with --replay dead letters go back
 * to where they came from. See ps-push(1).
 */
#include <stdio.h>
#include <stdlib.h>

#include "base64.h"
#include "bounds.h"
#include "clock.h"
#include "common.h"
#include "confine.h"
#include "deadletter.h"
#include "log.h"
#include "parts.h"
#include "publisher.h"
#include "receipt.h"
#include "record.h"
#include "tally.h"
#include "time.h"
#include "utf8.h"
#include "xalloc.h"

#define INPUT_NAME "standard input"
/* After a failure: how long to try to write receipts for what is published. */
#define LAST_WORDS SECONDS(2)
/* Parts of messages that are not whole yet. */
#define WAITING_PARTS_MAX (64 * MIB)

enum input { INPUT_GUESS = -1, INPUT_RECORDS, INPUT_BARE };

struct options {
	struct common common;
	struct opt_list attributes;
	int input;
	bool replay;
	int64_t max_replays;
	const char *before;
	struct batch_limits limits;
};

struct push {
	struct options o;
	enum input input;
	struct letter added; /* --attribute */
	struct stage stage;
	struct sink out;
	struct receipts receipts;
	struct http *http;
	struct gapi gapi;
	struct publisher publisher;
	struct parts *parts;
	struct deadletter dead;
	struct letter letter;
	struct buf topic, whole, encoded, decoded;
	struct json json;
	struct tally tally;
	uint64_t empty;   /* bare lines skipped */
	int64_t before;   /* --before */
	uint64_t left;    /* dead letters of that time or later */
	bool torn;
};

/* What is published or was refused: a bare line, by its number, or a record or several, by a ticket. */
struct cargo {
	struct ticket *ticket;
	uint64_t line;
};

static void
free_cargo(struct push *p, struct cargo *c, bool paid)
{
	if (c->ticket != NULL)
		parts_end(p->parts, c->ticket, paid);
	ticket_free(c->ticket);
	free(c);
}

/* A message that cannot be published: it is named, the rest goes on, and the end is 65. */
static void
refuse(struct push *p, const struct cargo *c, const char *why)
{
	if (c->ticket == NULL) {
		log_error("cannot publish line %llu of '%s': %s", (unsigned long long)c->line, INPUT_NAME,
		    why);
		p->tally.rejected++;
		return;
	}
	struct str id = c->ticket->origins[0].id;
	if (id.n > 0)
		log_error("cannot publish message '%.*s': %s", STR_ARG(id), why);
	else if (c->line == 0)
		log_error("cannot publish a message without an id: %s", why);
	else
		log_error("cannot publish the record in line %llu of '%s': %s", (unsigned long long)c->line,
		    INPUT_NAME, why);
	p->tally.rejected += c->ticket->n;
}

static void
on_ended(void *arg, void *cookie, const char *why)
{
	struct push *p = arg;
	struct cargo *c = cookie;
	if (why != NULL) {
		refuse(p, c, why);
	} else if (c->ticket == NULL) {
		p->tally.done++;
	} else {
		p->tally.done += c->ticket->n;
		receipts_pay_ticket(&p->receipts, c->ticket);
	}
	free_cargo(p, c, why == NULL);
}

static void
drop(void *arg, void *cookie)
{
	free_cargo(arg, cookie, false);
}

static struct cargo *
cargo_new(struct ticket *ticket, uint64_t line)
{
	struct cargo *c = xcalloc(1, sizeof(*c));
	*c = (struct cargo){ticket, line};
	return c;
}

/* Publishes a letter, with --attribute's, or refuses it. The cargo is taken over. */
static void
publish(struct push *p, struct letter *l, struct cargo *c)
{
	struct buf message = BUF_INIT(2 * LIMIT_LINE);
	for (size_t i = 0; i < p->added.n; i++)
		letter_set(l, p->added.attributes[i].key, p->added.attributes[i].value);
	const char *why = letter_fault(l);
	buf_reset(&p->decoded, 1 * MIB);
	if (why == NULL && c->ticket != NULL && base64_decode_lenient(&p->decoded, l->data) < 0)
		why = "its data are not base64";
	if (why == NULL) {
		letter_write(&message, l);
		if (message.over || !publisher_fits(message.n))
			why = "with its data as base64 it is larger than the 10 MiB of a REST request; "
			      "publish it with a gRPC client";
	}
	if (why != NULL) {
		refuse(p, c, why);
		free_cargo(p, c, false);
	} else {
		publisher_add(&p->publisher, &message, l->ordering_key, c, p->stage.now);
	}
	buf_release(&message);
}

static int
take_bare(struct push *p, const struct line *l)
{
	struct letter *letter = &p->letter;
	if (l->length == 0 && p->added.n == 0) {
		p->empty++;
		return 0;
	}
	p->tally.in++;
	if (l->length > l->text.n) {
		struct cargo c = {NULL, l->number};
		refuse(p, &c, "it is longer than the 16 MiB of a line");
		return 0;
	}
	letter->n = 0;
	letter->ordering_key = STR_NONE;
	buf_reset(&p->encoded, 1 * MIB);
	base64_encode(&p->encoded, l->text);
	letter->data = buf_str(&p->encoded);
	publish(p, letter, cargo_new(NULL, l->number));
	return 0;
}

/* Puts the count of replays up by one. The text lives in the letter's own memory. */
static void
count_replay(struct deadletter *d, char *number, size_t size)
{
	snprintf(number, size, "%lld", (long long)d->replays + 1);
	if (d->letter.n >= PUBSUB_ATTRIBUTES_MAX && letter_get(&d->letter, "dlq_replays") == NULL)
		log_warn("no room for dlq_replays beside 100 attributes: this replay is not counted");
	else
		letter_set(&d->letter, STR("dlq_replays"), str_of(number));
}

/* A dead letter whose data are whole goes back. */
static void
send_back(struct push *p, struct str data, struct cargo *c)
{
	char number[24];
	struct err e;
	if (deadletter_open(&p->dead, data, &e) < 0) {
		refuse(p, c, e.text);
		free_cargo(p, c, false);
		return;
	}
	count_replay(&p->dead, number, sizeof(number));
	publish(p, &p->dead.letter, c);
}

static void
give_up_parts(struct push *p, bool all)
{
	unsigned have, of;
	struct ticket *t;
	while ((t = parts_drop(p->parts, all, &have, &of)) != NULL) {
		char why[128];
		struct cargo c = {t, 0};
		snprintf(why, sizeof(why), "%s: %u of its %u parts came", all ? "it is not whole" :
		    "more than 64 MiB of parts wait, and it is the oldest that is not whole", have, of);
		refuse(p, &c, why);
		ticket_free(t);
	}
}

static int
take_part(struct push *p, const struct record *r, uint64_t line, struct err *e)
{
	struct deadletter *d = &p->dead;
	struct ticket *ticket = NULL;
	enum parts_step step;
	buf_reset(&p->whole, 1 * MIB);
	if (parts_add(p->parts, buf_str(&d->key), d->part, d->parts, d->letter.data, r->id, r->source, &step,
		&ticket, &p->whole, e) < 0)
		return -1;
	if (step == PARTS_PAID) {
		p->tally.done++;
		receipts_pay(&p->receipts, r->id, r->source);
	} else if (step == PARTS_WHOLE) {
		send_back(p, buf_str(&p->whole), cargo_new(ticket, line));
	}
	give_up_parts(p, false);
	return 0;
}

/*
 * One message of a dead-letter subscription. What is wrong with it alone is its own matter, and not the
 * stream's.
 */
static void
take_dead(struct push *p, const struct record *r, uint64_t line)
{
	struct err e = {0};
	struct deadletter *d = &p->dead;
	bool ok = deadletter_read(d, r, &p->json, &e) == 0;
	if (ok && d->replays >= p->o.max_replays) {
		err_set(&e, ERR_INPUT,
		    "it was replayed %lld times before; correct its cause, or raise --max-replays",
		    (long long)d->replays);
		ok = false;
	}
	if (ok && d->parts > 1)
		ok = take_part(p, r, line, &e) == 0;
	else if (ok)
		send_back(p, d->letter.data, cargo_new(ticket_new(r->id, r->source), line));
	if (!ok) {
		struct cargo c = {ticket_new(r->id, r->source), line};
		refuse(p, &c, e.text);
		ticket_free(c.ticket);
	}
}

/* Whether a dead letter is newer than --before allows; one without a time is not. */
static bool
too_new(const struct push *p, const struct record *r)
{
	int64_t time;
	uint32_t t = p->o.before != NULL ? json_get(&p->json, r->t_msg, "time") : JSON_NONE;
	return json_is(&p->json, t, JSON_STRING) && time_parse_service(json_text(&p->json, t), &time) == NULL &&
	    time >= p->before;
}

static int
take_record(struct push *p, const struct line *l, struct err *e)
{
	struct record r;
	int rc = record_take(&r, &p->json, l, INPUT_NAME, e);
	if (rc <= 0) {
		p->torn = p->torn || rc == 0;
		return rc;
	}
	bool fits = r.kind == RECORD_RAW || (r.kind == RECORD_REJECTED && !p->o.replay);
	if (!fits)
		err_set(e, ERR_INPUT, "it is %s; ps-push takes raw%s", record_kind_name(r.kind),
		    p->o.replay ? " records of a dead-letter subscription with --replay"
				: " and rejected records, or bare lines");
	if (!fits || receipt_fits(r.id, r.source, e) < 0)
		return err_wrap(e, "cannot use line %llu of '%s'", (unsigned long long)l->number, INPUT_NAME);
	if (too_new(p, &r)) {
		p->left++;
		return 0;
	}
	p->tally.in++;
	if (p->o.replay) {
		take_dead(p, &r, l->number);
		return 0;
	}
	if (letter_read(&p->letter, &r, &p->json, e) < 0)
		return err_wrap(e, "cannot use line %llu of '%s'", (unsigned long long)l->number, INPUT_NAME);
	publish(p, &p->letter, cargo_new(ticket_new(r.id, r.source), l->number));
	return 0;
}

/* The first line tells what the stream is, unless --input does. */
static enum input
guess(struct push *p, const struct line *l)
{
	struct record r;
	if (l->length > LIMIT_LINE)
		return INPUT_BARE;
	/* A record with a fault is a record: it must not be published as it stands. */
	record_parse(&r, &p->json, l->text, NULL);
	return r.t_msg != JSON_NONE ? INPUT_RECORDS : INPUT_BARE;
}

static int
on_line(struct stage *s, const struct line *l, struct err *e)
{
	struct push *p = s->ctx;
	if (p->input == INPUT_GUESS)
		p->input = guess(p, l);
	return p->input == INPUT_BARE ? take_bare(p, l) : take_record(p, l, e);
}

static bool
wants(struct stage *s)
{
	return publisher_room(&((struct push *)s->ctx)->publisher);
}

static enum stage_step
turn(struct stage *s, struct err *e)
{
	struct push *p = s->ctx;
	if (s->drained)
		give_up_parts(p, true);
	enum stage_step step = publisher_turn(&p->publisher, s, s->drained, e);
	receipts_flush(&p->receipts);
	return step == STAGE_DONE && !s->drained ? STAGE_MORE : step;
}

static int
take_before(struct push *p, struct err *e)
{
	if (p->o.before == NULL)
		return 0;
	if (!p->o.replay)
		return err_set(e, ERR_USAGE, "cannot take --before without --replay");
	const char *why = time_parse_service(str_of(p->o.before), &p->before);
	return why != NULL ? err_set(e, ERR_USAGE, "cannot take '%s' for --before: %s", p->o.before, why) : 0;
}

/* --attribute K=V, held to Pub/Sub's rules before anything is sent. */
static int
take_attributes(struct push *p, struct err *e)
{
	const struct opt_list *list = &p->o.attributes;
	for (int i = 0; i < list->n; i++) {
		struct str s = str_of(list->v[i]);
		size_t n = str_find(s, '=');
		if (n == s.n)
			return err_set(e, ERR_USAGE, "cannot take '%s' for --attribute: it is KEY=VALUE",
			    list->v[i]);
		if (!utf8_valid(s))
			return err_set(e, ERR_USAGE, "cannot take an --attribute that is not UTF-8");
		letter_set(&p->added, (struct str){s.p, n}, str_skip(s, n + 1));
	}
	const char *why = p->added.n > 0 ? letter_fault(&p->added) : NULL;
	return why != NULL ? err_set(e, ERR_USAGE, "cannot use --attribute: %s", why) : 0;
}

static int
prepare(struct push *p, const char *topic, struct err *e)
{
	const struct common *c = &p->o.common;
	if (p->o.replay && p->o.input == INPUT_BARE)
		return err_set(e, ERR_USAGE,
		    "cannot take --replay with --input bare: dead letters are records");
	p->input = p->o.replay ? INPUT_RECORDS : (enum input)p->o.input;
	if (take_before(p, e) < 0 || take_attributes(p, e) < 0 || name_pubsub(&p->topic, "topics", topic, c->project, e) < 0 ||
	    pubsub_init(&p->gapi, p->http, &c->login, c->retry_for, e) < 0)
		return -1;
	confine(&(struct confine){.token = p->gapi.token});
	return pubsub_check(&p->gapi, buf_cstr(&p->topic), "pubsub.topics.publish", e);
}

static int
run(struct push *p, struct err *e)
{
	static const struct stage_ops ops = {.line = on_line, .wants = wants, .turn = turn};
	struct stage_net net = http_net(p->http);
	stage_init(&p->stage, &ops, p, 0, INPUT_NAME);
	p->stage.outs[0] = &p->out;
	p->stage.net = &net;
	p->parts = parts_new(WAITING_PARTS_MAX);
	publisher_init(&p->publisher, &p->gapi, buf_cstr(&p->topic), &p->o.limits, on_ended, p);
	int rc = stage_run(&p->stage, e);
	if (rc < 0) {
		receipts_flush(&p->receipts);
		stage_flush(&p->stage, LAST_WORDS);
	}
	publisher_release(&p->publisher, drop);
	parts_free(p->parts);
	return rc;
}

static int
report(const struct push *p)
{
	char extra[96];
	if (p->empty > 0)
		log_warn("skipped %llu empty lines: Pub/Sub takes no message without data and attributes",
		    (unsigned long long)p->empty);
	if (p->left > 0)
		log_info("left %llu dead letters of %s or later", (unsigned long long)p->left, p->o.before);
	snprintf(extra, sizeof(extra), "messages %llu, requests %llu, retries %llu",
	    (unsigned long long)p->publisher.published, (unsigned long long)p->publisher.requests,
	    (unsigned long long)p->gapi.retries);
	return tally_report(&p->tally, extra);
}

static int
work(struct push *p, const char *topic)
{
	struct err e = {0};
	if (prepare(p, topic, &e) < 0)
		return log_fail(&e);
	if (p->o.common.check)
		return 0;
	int status = run(p, &e) < 0 ? log_fail(&e) : 0;
	if (report(p) < 0)
		return err_status(ERR_BUG);
	if (status == 0 && (p->torn || p->tally.rejected > 0))
		return err_status(ERR_INPUT);
	return status;
}

int
main(int argc, char **argv)
{
	struct push p = {.topic = BUF_INIT(4 * KIB),
	    .whole = BUF_INIT(3 * LIMIT_LINE),
	    .encoded = BUF_INIT(2 * LIMIT_LINE),
	    .decoded = BUF_INIT(2 * LIMIT_LINE),
	    .o = {.limits = publisher_limits(), .max_replays = 10, .input = INPUT_GUESS}};
	struct options *o = &p.o;
	int64_t flights = o->limits.flights;
	char **operands;
	int n, status;
	const struct opt own[] = {
	    {"replay", 0, OPT_FLAG, &o->replay, NULL, "undo the dead-letter form of what is published"},
	    {"before", 0, OPT_STR, &o->before, "TIME", "with --replay: leave what was dead-lettered at TIME or later"},
	    {"max-replays", 0, OPT_INT, &o->max_replays, "N", "refuse what was replayed N times before (10)",
		.min = 1, .max = 999999},
	    {"attribute", 0, OPT_LIST, &o->attributes, "K=V",
		"give every message this attribute; repeatable"},
	    {"input", 0, OPT_CHOICE, &o->input, NULL, "what a line is; default: what the first one is",
		.choices = "records|bare"},
	    {"linger", 0, OPT_MILLIS, &o->limits.linger, "MS", "publish what waited this long (100)",
		.max = 60000},
	    {"in-flight", 0, OPT_INT, &flights, "N", "requests under way at once (4)", .min = 1, .max = 64},
	    OPT_END};
	const struct opt_spec spec = {.synopsis = "[options] TOPIC",
	    .summary = "Publishes lines or records; with --replay, dead letters as they were before.",
	    .own = own,
	    .shared = common_options(&o->common, true),
	    .min_operands = 1,
	    .max_operands = 1,
	    .see = "ps-push(1)"};
	if (!common_start("ps-push", &spec, &o->common, argc, argv, &operands, &n, &status))
		return status;
	o->limits.flights = (unsigned)flights;
	common_outputs(&p.out, true, NULL, NULL, NULL);
	receipts_init(&p.receipts, &p.out);
	p.http = http_new();
	status = work(&p, operands[0]);
	gapi_release(&p.gapi);
	http_free(p.http);
	receipts_release(&p.receipts);
	sink_release(&p.out);
	letter_release(&p.letter);
	letter_release(&p.added);
	deadletter_release(&p.dead);
	json_release(&p.json);
	buf_release(&p.topic);
	buf_release(&p.whole);
	buf_release(&p.encoded);
	buf_release(&p.decoded);
	free(o->attributes.v);
	return status;
}
