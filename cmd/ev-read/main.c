/* ev-read: files, wherever they are, to records. See ev-read(1). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "confine.h"
#include "gsjournal.h"
#include "log.h"
#include "read.h"
#include "xalloc.h"

/* How long receipts are waited for after the chain's death. */
#define DEATH_PATIENCE SECONDS(5)
/* How long the stages may take to end after the last receipt: a reader that left before would be a failure to them. */
#define EOF_PATIENCE SECONDS(5)

/* Of several faults the one that a supervisor should act on first is the status. */
static bool
is_worse(enum err_class a, enum err_class b)
{
	static const enum err_class order[] = {ERR_NONE, ERR_TRANSIENT, ERR_QUOTA, ERR_NOINPUT, ERR_INPUT, ERR_IO, ERR_PERMANENT,
	    ERR_AUTH, ERR_CONFIG, ERR_USAGE, ERR_BUG};
	int place[2] = {0, 0};
	for (int i = 0; i < (int)(sizeof(order) / sizeof(order[0])); i++) {
		place[0] = order[i] == a ? i : place[0];
		place[1] = order[i] == b ? i : place[1];
	}
	return place[0] > place[1];
}

void
fault(struct read *r, const struct err *e)
{
	progress_clear(r);
	log_error("%s", e->text);
	if (is_worse(e->class, r->worst))
		r->worst = e->class;
}

static int
on_receipt(struct stage *s, const struct line *l, struct err *e)
{
	struct read *r = s->ctx;
	r->now = s->now;
	return done_receipt(r, l, e);
}

/* The first signal takes no new object and lets the one being read end, for so long; a second one cuts it. */
static int
on_signal(struct stage *s, struct err *e)
{
	struct read *r = s->ctx;
	(void)e;
	r->now = s->now;
	progress_clear(r);
	if (s->signals == 1)
		log_info("got a signal: beginning no more objects");
	r->cut_at = s->signals == 1 ? r->now + r->o.drain : r->now;
	return 0;
}

/* The chain is dead, as e says. What it had stored was receipted: those receipts still count. */
static void
chain_died(struct read *r, const struct err *e)
{
	if (r->phase < WAITING)
		r->death = *e;
	r->phase = WAITING;
	r->active_at = r->now;
	sink_release(&r->out);
	sink_release(&r->rejects);
}

static int
on_out_failed(struct stage *s, struct err *e)
{
	struct read *r = s->ctx;
	r->now = s->now;
	chain_died(r, e);
	return 0;
}

/* The acks' end is the chain's: expected once our outputs are closed, a death before. */
static void
check_chain(struct read *r)
{
	struct err e;
	if (r->o.acks == NULL || !r->stage.drained || r->phase >= WAITING)
		return;
	err_set(&e, ERR_IO, "cannot go on: '%s' was closed by its writers, so the chain has ended", r->o.acks);
	chain_died(r, &e);
}

static void
read_on(struct read *r)
{
	list_turn(r);
	emit_turn(r);
	bool stopped = r->cut_at > 0 && r->now >= r->cut_at;
	if (stopped)
		emit_cut(r);
	bool over = r->cut_at > 0 || (r->listed && r->queue.n == 0);
	if (r->cut_at > 0)
		stage_wake_at(&r->stage, r->cut_at);
	if (r->reading != NULL || !over)
		return;
	if (r->o.dry_run) {
		progress_sample(r);
	}
	r->phase = DRAINING;
}

/* Moves through the phases; true at the end. */
static bool
advance(struct read *r)
{
	if (r->phase == READING)
		read_on(r);
	if (r->phase == LOADING && r->cut_at > 0)
		r->phase = DRAINING;
	if (r->phase == DRAINING && stage_pending(&r->stage) == 0) {
		sink_release(&r->out);
		sink_release(&r->rejects);
		r->phase = WAITING;
		r->active_at = r->now;
	}
	if (r->phase != WAITING || r->journal_calls > 0)
		return false;
	if (r->o.acks == NULL || r->stage.drained)
		return sources_n(&r->sources) == 0 || r->sources.done == NULL;
	if (r->death.class != ERR_NONE || sources_n(&r->sources) == 0) {
		int64_t until = r->active_at + (r->death.class != ERR_NONE ? DEATH_PATIENCE : EOF_PATIENCE);
		stage_wake_at(&r->stage, until);
		return r->now >= until;
	}
	return r->stage.signals > 1;
}

static enum stage_step
on_turn(struct stage *s, struct err *e)
{
	struct read *r = s->ctx;
	r->now = s->now;
	check_chain(r);
	enum phase before = r->phase;
	bool over = advance(r);
	if (done_turn(r, e) < 0)
		return STAGE_FAILED;
	if (r->failure.class != ERR_NONE) {
		*e = r->failure;
		return STAGE_FAILED;
	}
	if (over && r->journal_calls == 0)
		return STAGE_DONE;
	if (r->phase != before || r->sources.done != NULL)
		stage_wake_at(s, r->now);
	if (r->uses_gcs)
		stage_wake_at(s, gapi_turn(&r->gcs, r->now));
	if (r->uses_s3)
		stage_wake_at(s, s3_turn(&r->s3, r->now));
	progress_turn(r);
	return STAGE_MORE;
}

static const struct stage_ops ops = {
    .line = on_receipt, .input_is_free = true, .turn = on_turn, .signal = on_signal, .out_failed = on_out_failed};

/* ---- the descriptors that are not the stage's: the network's, and a pipe that is read ---- */

static void
net_fill(void *ctx, struct pollset *p)
{
	struct read *r = ctx;
	bool wanted = r->pipe_fd >= 0 && !r->pipe_ready && r->phase == READING && stage_pending(&r->stage) < LIMIT_OUTPUT;
	r->pipe_place = wanted ? pollset_add(p, r->pipe_fd, POLLIN) : POLLSET_MAX;
	r->http_net.fill(r->http_net.ctx, p);
}

static void
net_ready(void *ctx, const struct pollset *p)
{
	struct read *r = ctx;
	if (r->pipe_place < p->n && p->fds[r->pipe_place].revents != 0)
		r->pipe_ready = true;
	r->http_net.ready(r->http_net.ctx, p);
}

static int
check_options(struct read *r, char **urls, int n, struct err *e)
{
	const struct options *o = &r->o;
	if (o->journal != NULL && o->acks == NULL && !o->dry_run && !o->common.check)
		return err_set(e, ERR_USAGE, "cannot keep a journal without --acks: what is done is known by its receipts");
	if (list_shard(r, e) < 0 || list_parse(r, urls, n, e) < 0)
		return -1;
	if (!gsjournal_is(o->journal))
		return 0;
	r->uses_gcs = true;
	char *prefix;
	if (name_bucket(o->journal, &r->journal_bucket, &prefix, e) < 0)
		return err_wrap(e, "--journal");
	r->journal_prefix = xasprintf("%s%s", prefix, *prefix != '\0' ? "/" : "");
	free(prefix);
	return 0;
}

/* --check: may the buckets be listed and read? */
static int
check_buckets(struct read *r, struct err *e)
{
	static const char *const permissions[] = {"storage.objects.list", "storage.objects.get", NULL};
	for (int i = 0; i < r->ntargets; i++) {
		struct buf url = BUF_INIT(4 * KIB), label = BUF_INIT(4 * KIB);
		int rc = 0;
		if (r->targets[i].place == PLACE_GCS) {
			buf_addf(&label, "gs://%s", r->targets[i].bucket);
			buf_addf(&url, "%s/storage/v1/b/", r->gcs.endpoint.base);
			url_encode(&url, str_of(r->targets[i].bucket));
			buf_addz(&url, "/iam/testPermissions");
			rc = gapi_test_permissions(&r->gcs, buf_cstr(&url), true, buf_cstr(&label), permissions, e);
		} else if (r->targets[i].place == PLACE_S3) {
			rc = s3_check_bucket(&r->s3, r->targets[i].bucket, e);
		}
		buf_release(&url);
		buf_release(&label);
		if (rc < 0)
			return -1;
	}
	return 0;
}

/* Files come faster than messages: with a pipe of the usual 64 KiB the two ends would wait for one another all the time. */
static void
widen_output(void)
{
	(void)fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 1 << 20);
}

static int
set_up(struct read *r, char **urls, int n, struct err *e)
{
	const struct options *o = &r->o;
	if (check_options(r, urls, n, e) < 0)
		return -1;
	int acks = common_open_acks(o->acks, e);
	if (o->acks != NULL && acks < 0)
		return -1;
	stage_init(&r->stage, &ops, r, acks, o->acks);
	if (common_outputs(&r->out, false, &r->rejects, o->rejects, e) < 0)
		return -1;
	widen_output();
	r->http = http_new();
	if (r->uses_gcs && gcs_init(&r->gcs, r->http, &o->common.login, o->common.retry_for, e) < 0)
		return -1;
	if (r->uses_s3 && s3_init(&r->s3, r->http, o->common.retry_for, e) < 0)
		return -1;
	confine(&(struct confine){.token = r->gcs.token, .reads = r->uses_files ? "/" : NULL,
	    .journal = r->journal_bucket == NULL ? o->journal : NULL});
	return o->common.check ? check_buckets(r, e) : done_open(r, e);
}

static int
run(struct read *r, struct err *e)
{
	r->http_net = http_net(r->http);
	r->net = (struct stage_net){.ctx = r, .fill = net_fill, .ready = net_ready};
	r->stage.net = &r->net;
	r->stage.outs[0] = &r->out;
	r->stage.outs[1] = &r->rejects;
	r->started = clock_now();
	int rc = stage_run(&r->stage, e);
	if (r->o.dry_run)
		progress_clear(r);
	else
		progress_report(r);
	if (rc < 0)
		return -1;
	if (r->death.class != ERR_NONE) {
		*e = r->death;
		return -1;
	}
	bool unread = r->cut_at > 0 && (r->queue.n > 0 || !r->listed || r->objects + r->objects_failed < r->objects_listed -
	    r->objects_skipped);
	if (r->worst == ERR_NONE && (unread || !done_settled(r)))
		return err_set(e, ERR_TRANSIENT, "cannot finish: %s; run it again with the same journal, and it goes on from here",
		    unread ? "it was stopped" : "not all that was read had its receipt when the chain ended");
	return 0;
}

static void
release(struct read *r)
{
	object_free(r->reading);
	list_release(r);
	done_release(r);
	unpack_free(r->unpack);
	values_release(&r->values);
	if (r->uses_gcs)
		gapi_release(&r->gcs);
	if (r->uses_s3)
		s3_release(&r->s3);
	http_free(r->http);
	if (r->stage.in.fd >= 0)
		close(r->stage.in.fd);
	sink_release(&r->out);
	sink_release(&r->rejects);
	json_release(&r->json);
	buf_release(&r->head);
	buf_release(&r->tail);
	buf_release(&r->name);
}

static void
init(struct read *r)
{
	*r = (struct read){.out.fd = -1, .rejects.fd = -1, .journal.fd = -1, .pipe_fd = -1, .pipe_place = POLLSET_MAX,
	    .stage.in.fd = -1};
	r->o = (struct options){.common.retry_for = SECONDS(300), .max_outstanding = 10000000, .drain = SECONDS(8)};
	buf_init(&r->head, 8 * KIB);
	buf_init(&r->tail, 8 * KIB);
	buf_init(&r->name, 64 * KIB);
	values_init(&r->values);
	sources_init(&r->sources);
	rng_seed(&r->sample.rng, 1);
}

int
main(int argc, char **argv)
{
	static struct read r;
	init(&r);
	struct options *o = &r.o;
	const struct opt own[] = {
	    {"acks", 0, OPT_STR, &o->acks, "FIFO", "an object is done when receipts for all its events came from FIFO"},
	    {"journal", 0, OPT_STR, &o->journal, "FILE|gs://...", "keep what is done there, and skip it the next time"},
	    {"settings", 0, OPT_STR, &o->settings, "TEXT", "what the journal must have been begun with"},
	    {"shard", 0, OPT_STR, &o->shard, "I/N", "read only every N-th object, by its name's hash"},
	    {"rejects", 0, OPT_STR, &o->rejects, "FILE|fd:N", "write what cannot be read there, as rejected records"},
	    {"dry-run", 0, OPT_FLAG, &o->dry_run, NULL, "list the objects, their sizes, and what loading them would cost"},
	    {"mark-ends", 0, OPT_FLAG, &o->mark_ends, NULL, "write a line with source and count at each object's end"},
	    {"max-outstanding", 0, OPT_INT, &o->max_outstanding, "N", "events of finished objects without a receipt at most",
	        .min = 1, .max = INT64_MAX},
	    {"drain", 0, OPT_SECONDS, &o->drain, "SECONDS", "when stopped, go on with the object at hand so long", .max = 86400},
	    OPT_END,
	};
	const struct opt_spec spec = {.synopsis = "[--acks FIFO] [--journal FILE] [options] URL...",
	    .summary = "Reads events from files, in buckets or here, and writes each as a raw record.", .own = own,
	    .shared = common_options(&o->common, true), .min_operands = 1, .max_operands = -1, .see = "ev-read(1)"};
	struct err e = {0};
	char **urls;
	int n, status = 0;
	if (!common_start("ev-read", &spec, &o->common, argc, argv, &urls, &n, &status))
		return status;
	if (set_up(&r, urls, n, &e) < 0 || (!o->common.check && run(&r, &e) < 0))
		status = log_fail(&e);
	else if (r.worst != ERR_NONE)
		status = err_status(r.worst);
	release(&r);
	return status;
}
