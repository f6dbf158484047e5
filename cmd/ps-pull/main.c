/* ps-pull: Pub/Sub to records. See ps-pull(1). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "confine.h"
#include "jsonw.h"
#include "log.h"
#include "ps-pull.h"

/* How long receipts are waited for, and acks sent, after the chain's death. */
#define DEATH_PATIENCE SECONDS(5)
/* How long the stages may take to end after the last receipt: a reader that left before would be a failure to them. */
#define EOF_PATIENCE SECONDS(5)

static int
on_receipt(struct stage *s, const struct line *l, struct err *e)
{
	struct puller *p = s->ctx;
	p->now = s->now;
	return acks_receipt(p, l, e);
}

static void
stop(struct puller *p, const char *why)
{
	if (p->phase != PULLING)
		return;
	log_info("%s: taking no more messages", why);
	p->phase = STOPPING;
}

/* The first signal stops the source and the chain runs dry; a second one does not wait for it. */
static int
on_signal(struct stage *s, struct err *e)
{
	struct puller *p = s->ctx;
	(void)e;
	p->now = s->now;
	if (s->signals == 1) {
		stop(p, "got a signal");
	} else {
		/* A reader that stands still would keep us; what it has not read is given back. */
		sink_release(&p->out);
		acks_give_back(p);
	}
	return 0;
}

/*
 * The chain is dead, as e says; while we drain that is no news, only the end of it. What it had stored was receipted:
 * those receipts still count, the rest is given back.
 */
static void
chain_died(struct puller *p, const struct err *e)
{
	if (p->phase >= WAITING)
		return;
	if (p->phase == PULLING)
		p->death = *e;
	p->give_up_at = p->now + DEATH_PATIENCE;
	p->phase = WAITING;
	sink_release(&p->out);
}

static int
on_out_failed(struct stage *s, struct err *e)
{
	struct puller *p = s->ctx;
	p->now = s->now;
	chain_died(p, e);
	return 0;
}

/* The acks' end is the chain's: expected when we have closed our output, a death before. */
static void
check_chain(struct puller *p, const struct stage *s)
{
	struct err e;
	if (p->o->acks == NULL || !s->drained || p->phase >= WAITING)
		return;
	err_set(&e, ERR_IO, "cannot go on: '%s' was closed by its writers, so the chain has ended", p->o->acks);
	chain_died(p, &e);
}

static bool
gone_on_too_long(const struct puller *p)
{
	return p->death.class != ERR_NONE && p->now >= p->give_up_at;
}

/* After a stop: how long the next receipt, or the receipts' end, is waited for. */
static int64_t
receipts_until(const struct puller *p)
{
	return p->active_at + (lease_held(&p->leases) > 0 ? p->o->drain : EOF_PATIENCE);
}

/* Receipts are read to their end, which comes when the last stage has ended. */
static bool
receipts_expected(const struct puller *p, const struct stage *s)
{
	return p->o->acks != NULL && p->now < receipts_until(p) && !s->drained && !gone_on_too_long(p);
}

/* Moves through the phases; true at the end. */
static bool
advance(struct puller *p, const struct stage *s)
{
	if (p->phase == PULLING && pulls_due(p) <= p->now)
		stop(p, p->o->quiet_exit > 0 ? "quiet" : "idle");
	if (p->phase == PULLING && pulls_finished(p))
		stop(p, "got --max-messages");
	if (p->phase == STOPPING && p->npulls == 0 && sink_pending(&p->out) == 0) {
		sink_release(&p->out);
		p->phase = WAITING;
		p->active_at = p->now;
		if (p->o->acks != NULL && lease_held(&p->leases) > 0)
			log_info("waiting for %zu receipts; a second signal gives their messages back", lease_held(&p->leases));
	}
	bool unanswered = p->npulls > 0 || p->leases.acks.n > 0 || p->ack_calls > 0;
	bool over = p->phase == WAITING && !receipts_expected(p, s) && (!unanswered || gone_on_too_long(p));
	if (!over && p->phase != RETURNING)
		return false;
	bool settled = acks_give_back(p) && p->leases.acks.n == 0 && p->ack_calls == 0;
	if (settled || p->now < p->give_up_at)
		return settled;
	p->incomplete = true;
	return true;
}

static enum stage_step
on_turn(struct stage *s, struct err *e)
{
	struct puller *p = s->ctx;
	p->now = s->now;
	if (p->failure.class != ERR_NONE) {
		*e = p->failure;
		return STAGE_FAILED;
	}
	check_chain(p, s);
	if (gapi_waiting(&p->g))
		p->active_at = p->receipt_at = s->now; /* a service that fails does not say that nothing is there */
	/* An output that failed has nothing pending either, and did not get it all. */
	if (p->o->ack_on_write && p->out.fd >= 0 && sink_pending(&p->out) == 0) {
		p->tally.done += lease_held(&p->leases);
		lease_receipt_all(&p->leases, p->now);
	}
	pulls_start(p);
	acks_send(p);
	if (p->phase != PULLING)
		stage_wake_at(s, pulls_cancel_idle(p));
	enum phase before = p->phase;
	if (advance(p, s))
		return STAGE_DONE;
	if (p->phase != before)
		stage_wake_at(s, p->now);
	stage_wake_at(s, gapi_turn(&p->g, p->now));
	stage_wake_at(s, acks_due(p));
	stage_wake_at(s, pulls_due(p));
	if (p->phase == WAITING && p->now < receipts_until(p))
		stage_wake_at(s, receipts_until(p));
	if (p->phase == RETURNING || p->death.class != ERR_NONE)
		stage_wake_at(s, p->give_up_at);
	return STAGE_MORE;
}

static const struct stage_ops ops = {
    .line = on_receipt, .input_is_free = true, .turn = on_turn, .signal = on_signal, .out_failed = on_out_failed};

static int
check_options(const struct options *o, struct err *e)
{
	if (o->acks != NULL && o->ack_on_write)
		return err_set(e, ERR_USAGE, "cannot take --acks and --ack-on-write together: which one acknowledges?");
	if (o->max_lease < o->lease)
		return err_set(e, ERR_USAGE, "cannot take --max-lease shorter than --lease");
	if (o->quiet_exit > 0 && (o->acks == NULL || o->idle_exit > 0))
		return err_set(e, ERR_USAGE, "cannot take --quiet-exit %s", o->acks == NULL ?
		    "without --acks: no receipt would ever come" : "and --idle-exit together: which one ends it?");
	return 0;
}

static int
set_up(struct puller *p, const char *name, struct http *http, struct err *e)
{
	const struct options *o = p->o;
	struct common c = o->common;
	if (check_options(o, e) < 0 || name_pubsub(&p->subscription, "subscriptions", name, c.project, e) < 0)
		return -1;
	jsonw_escape(&p->source, buf_str(&p->subscription));
	/* For cron: a service that is down for long is reported, not waited for. */
	int64_t patience = c.retry_for >= 0 ? c.retry_for : o->idle_exit + o->quiet_exit > 0 ? SECONDS(60) : 0;
	if (pubsub_init(&p->g, http, &c.login, patience, e) < 0)
		return -1;
	confine(&(struct confine){.token = p->g.token});
	return pubsub_check(&p->g, buf_cstr(&p->subscription), "pubsub.subscriptions.consume", e);
}

static void
report(const struct puller *p)
{
	char extra[256];
	snprintf(extra, sizeof(extra), "given back %llu, redelivered %llu, lapsed %llu, unknown receipts %llu, refused acks %llu, "
				       "retries %llu",
	    (unsigned long long)p->given_back,
	    (unsigned long long)p->leases.redelivered, (unsigned long long)p->leases.lapsed,
	    (unsigned long long)p->unknown_receipts, (unsigned long long)p->refused, (unsigned long long)p->g.retries);
	tally_report(&p->tally, extra);
}

static int
run(struct puller *p, struct stage *s, struct stage_net *net, struct err *e)
{
	const struct options *o = p->o;
	s->outs[0] = &p->out;
	s->net = net;
	p->active_at = p->receipt_at = clock_now();
	if (o->acks == NULL && !o->ack_on_write)
		log_info("without --acks nothing is acknowledged: the messages stay in the subscription");
	int rc = stage_run(s, e);
	report(p);
	if (rc == 0 && p->death.class != ERR_NONE) {
		*e = p->death;
		rc = -1;
	}
	if (rc < 0)
		return -1;
	bool refused = p->refused_in_a_row > 0;
	/* Who asked for a quiet exit knows that some have no receipt; but only a chain that ended by itself has seen them all. */
	bool left = o->quiet_exit > 0 && s->drained && s->signals == 0;
	if (((p->incomplete && !left) || refused) && (o->acks != NULL || o->ack_on_write))
		return err_set(e, ERR_TRANSIENT, "cannot acknowledge all: it ended before every message had its receipt, or every "
						 "acknowledgement its answer; what is left comes again");
	return 0;
}

static int
pull(const struct options *o, const char *name, struct err *e)
{
	int rc = -1;
	struct puller p = {.o = o, .wanted = 2, .subscription = BUF_INIT(1 * KIB), .source = BUF_INIT(8 * KIB),
	    .scratch = BUF_INIT(LIMIT_LINE), .out.fd = -1};
	struct stage s;
	struct http *http = http_new();
	struct stage_net net = http_net(http);
	lease_init(&p.leases, o->lease, o->max_lease);
	int fd = common_open_acks(o->acks, e);
	if (o->acks != NULL && fd < 0)
		goto out;
	stage_init(&s, &ops, &p, fd, o->acks);
	if (common_outputs(&p.out, false, NULL, NULL, e) < 0 || set_up(&p, name, http, e) < 0)
		goto out;
	rc = o->common.check ? 0 : run(&p, &s, &net, e);
out:
	if (fd >= 0)
		close(fd);
	pulls_release(&p);
	gapi_release(&p.g);
	http_free(http);
	sink_release(&p.out);
	lease_release(&p.leases);
	json_release(&p.json);
	buf_release(&p.subscription);
	buf_release(&p.source);
	buf_release(&p.scratch);
	return rc;
}

int
main(int argc, char **argv)
{
	struct options o = {.common.retry_for = -1, .max_outstanding = 100000, .max_bytes = 256000000,
	    .max_lease = SECONDS(3600), .drain = SECONDS(60), .lease = SECONDS(60), .pulls = 16, .batch = PUBSUB_PULL_MAX};
	const struct opt own[] = {
	    {"acks", 0, OPT_STR, &o.acks, "FIFO", "acknowledge messages whose receipts come from FIFO"},
	    {"ack-on-write", 0, OPT_FLAG, &o.ack_on_write, NULL, "acknowledge once written out (at most once)"},
	    {"max-messages", 0, OPT_INT, &o.max_messages, "N", "end after N messages", .min = 1, .max = INT64_MAX},
	    {"idle-exit", 0, OPT_SECONDS, &o.idle_exit, "SECONDS", "end after nothing happened this long", .max = 86400},
	    {"quiet-exit", 0, OPT_SECONDS, &o.quiet_exit, "SECONDS", "end after no receipt came this long", .max = 86400},
	    {"max-outstanding", 0, OPT_INT, &o.max_outstanding, "N", "messages not yet acknowledged at most",
		.min = 1, .max = 10000000},
	    {"max-bytes", 0, OPT_SIZE, &o.max_bytes, "SIZE", "and their data at most", .min = 1, .max = INT64_MAX},
	    {"lease", 0, OPT_SECONDS, &o.lease, "SECONDS", "extend leases by this much at a time", .min = 1, .max = 60},
	    {"drain", 0, OPT_SECONDS, &o.drain, "SECONDS", "after a stop, wait so long for the next receipt", .min = 1,
		.max = 86400},
	    {"max-lease", 0, OPT_SECONDS, &o.max_lease, "SECONDS", "give a message up after this long", .min = 1, .max = 604800},
	    {"pulls", 0, OPT_INT, &o.pulls, "N", "pulls outstanding at most", .min = 1, .max = PULLS_MAX},
	    {"batch", 0, OPT_INT, &o.batch, "N", "messages asked for in one pull", .min = 1, .max = PUBSUB_PULL_MAX},
	    OPT_END,
	};
	const struct opt_spec spec = {
	    .synopsis = "[--acks FIFO] [options] SUBSCRIPTION",
	    .summary = "Pulls messages from a Pub/Sub subscription and writes each as a raw record.",
	    .own = own, .shared = common_options(&o.common, true), .min_operands = 1, .max_operands = 1, .see = "ps-pull(1)"};
	struct err e = {0};
	char **operands;
	int n, status;
	if (!common_start("ps-pull", &spec, &o.common, argc, argv, &operands, &n, &status))
		return status;
	return pull(&o, operands[0], &e) < 0 ? log_fail(&e) : 0;
}
