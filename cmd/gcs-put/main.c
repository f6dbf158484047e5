/* gcs-put: valid records in, objects of the lake stored, receipts out. See gcs-put(1). */
#include "put.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "confine.h"
#include "log.h"

#define MEGA 1000000
/* After a failure: how long to try to write what is owed for objects that are stored. */
#define LAST_WORDS SECONDS(2)

static int
on_line(struct stage *s, const struct line *l, struct err *e)
{
	return input_line(s->ctx, l, e);
}

/* While the service struggles nothing more is taken in: the pipe holds back, the source keeps its leases. */
static bool
wants(struct stage *s)
{
	const struct put *p = s->ctx;
	return p->gapi.retrying == 0 && p->waiting.n < WAITING_MAX && p->failed.class == ERR_NONE;
}

static int
close_due(struct put *p, struct err *e)
{
	struct stage *s = &p->stage;
	struct lake_part *part;
	if (s->drained && p->lake.by_source)
		input_cut(p);
	if (!wants(s) || stage_pending(s) >= LIMIT_OUTPUT)
		lake_not_idle(&p->lake, s->now);
	while ((part = s->drained ? p->lake.oldest : lake_due(&p->lake, s->now)) != NULL) {
		if (object_close((struct object *)part, e) < 0)
			return -1;
	}
	stage_wake_at(s, lake_wake(&p->lake));
	return 0;
}

static enum stage_step
on_turn(struct stage *s, struct err *e)
{
	struct put *p = s->ctx;
	bool wanted = wants(s);
	if (p->failed.class == ERR_NONE &&
	    (close_due(p, e) < 0 || objects_upload(p, e) < 0 || objects_receipt(p, e) < 0))
		return STAGE_FAILED;
	if (p->failed.class != ERR_NONE) {
		*e = p->failed;
		return STAGE_FAILED;
	}
	stage_wake_at(s, gapi_turn(&p->gapi, s->now));
	/* Lines that were read already wake nobody. */
	if (!wanted && wants(s))
		stage_wake_at(s, s->now);
	return s->drained && objects_settled(p) ? STAGE_DONE : STAGE_MORE;
}

static const struct stage_ops ops = {.line = on_line, .wants = wants, .turn = on_turn};

static int
set_up(struct put *p, const char *url, struct err *e)
{
	struct options *o = &p->o;
	if (o->pass && o->objects)
		return err_set(e, ERR_USAGE,
		    "cannot take --pass and --objects: standard output has one stream");
	bool receipts = !o->pass && !o->objects;
	if (name_bucket(url, &p->bucket, &p->prefix, e) < 0 ||
	    common_outputs(&p->out, receipts, NULL, NULL, e) < 0)
		return -1;
	struct lake_rules rules = {.rotate_bytes = (uint64_t)o->rotate_bytes, .rotate_after = o->rotate_after,
	    .idle_after = o->idle_after, .max_held = (uint64_t)o->max_held,
	    .max_held_bytes = (uint64_t)o->max_held_bytes, .max_open = GCS_OPEN_MAX};
	/* Else glibc, having freed a large buffer, takes the next from the heap, where small ones pin it. */
	mallopt(M_MMAP_THRESHOLD, 512 * 1024);
	lake_init(&p->lake, &rules, clock_now());
	spool_pool_init(&p->pool, SPOOL_MEMORY_MAX);
	buf_init(&p->source, LIMIT_LINE);
	buf_init(&p->key, 64 * KIB);
	buf_init(&p->text, 2 * LIMIT_LINE);
	buf_init(&p->partial, LIMIT_LINE + 1 * MIB);
	p->http = http_new();
	if (gcs_init(&p->gapi, p->http, &o->common.login, o->common.retry_for, e) < 0)
		return -1;
	confine(&(struct confine){.token = p->gapi.token, .writes = spool_folder()});
	return gcs_check_bucket(&p->gapi, p->bucket, e);
}

/*
 * What is stored is owed for, whatever failed since: unpaid it would come again and be stored twice. And no line is left
 * torn.
 */
static void
pay_last(struct put *p)
{
	int64_t end = clock_now() + LAST_WORDS;
	int rc;
	do {
		rc = objects_receipt(p, NULL);
		stage_flush(&p->stage, end - clock_now());
	} while (rc == 0 && p->stored.n > 0 && stage_pending(&p->stage) == 0);
}

static int
run(struct put *p, struct err *e)
{
	stage_init(&p->stage, &ops, p, STDIN_FILENO, "standard input");
	struct stage_net net = http_net(p->http);
	p->stage.net = &net;
	p->stage.outs[0] = &p->out;
	if (stage_run(&p->stage, e) < 0) {
		pay_last(p);
		return -1;
	}
	if (p->torn > 0)
		return err_set(e, ERR_INPUT,
		    "cannot read '%s': line %" PRIu64 ", the last, is torn (no newline) and dropped",
		    p->stage.in.name, p->torn);
	if (p->cut)
		return err_set(e, ERR_TRANSIENT,
		    "cannot store all of '%s': it was cut off in the middle of a file", p->stage.in.name);
	return 0;
}

static int
report(const struct put *p)
{
	char extra[160];
	snprintf(extra, sizeof(extra),
	    "%" PRIu64 " objects (%" PRIu64 " were there already), %" PRIu64 " bytes, %" PRIu64 " retries",
	    p->nobjects, p->nexisted, p->nbytes, p->gapi.retries);
	return tally_report(&p->tally, extra);
}

static void
release(struct put *p)
{
	objects_free(p);
	lake_release(&p->lake);
	spool_pool_release(&p->pool);
	gapi_release(&p->gapi);
	http_free(p->http);
	sink_release(&p->out);
	json_release(&p->json);
	buf_release(&p->source);
	buf_release(&p->key);
	buf_release(&p->text);
	buf_release(&p->partial);
	free(p->bucket);
	free(p->prefix);
}

int
main(int argc, char **argv)
{
	static struct put put = {.o = {.rotate_bytes = 64 * MEGA, .rotate_after = SECONDS(30),
	    .idle_after = SECONDS(5), .max_held = 50000, .max_held_bytes = 128 * MEGA}, .out.fd = -1};
	struct options *o = &put.o;
	const struct opt own[] = {
	    {"rotate-bytes", 0, OPT_SIZE, &o->rotate_bytes, "SIZE", "close an object at this size (64M)",
		.min = 1, .max = INT64_C(1000000000000)},
	    {"rotate-seconds", 0, OPT_SECONDS, &o->rotate_after, "N", "close it at this age (30); 0: never",
		.max = 86400},
	    {"idle-seconds", 0, OPT_SECONDS, &o->idle_after, "N", "close all when nothing came so long (5)",
		.max = 86400},
	    {"max-held", 0, OPT_INT, &o->max_held, "N", "close the oldest when more records are held (50000)",
		.min = 1},
	    {"max-held-bytes", 0, OPT_SIZE, &o->max_held_bytes, "SIZE", "likewise for bytes of events (128M)",
		.min = 1},
	    {"compress", 0, OPT_CHOICE, &o->compress, NULL, "how objects are stored (none)",
		.choices = "none|gzip"},
	    {"by", 0, OPT_CHOICE, &o->by, NULL, "the time that sorts and names objects (publish)",
		.choices = "publish|event"},
	    {"pass", 0, OPT_FLAG, &o->pass, NULL, "write the records themselves instead of receipts"},
	    {"objects", 0, OPT_FLAG, &o->objects, NULL, "write a line for each object instead of receipts"},
	    OPT_END};
	const struct opt_spec spec = {.synopsis = "[options] gs://BUCKET[/PREFIX]",
	    .summary = "Stores the events of valid records as objects in Cloud Storage.",
	    .own = own, .shared = common_options(&o->common, true), .min_operands = 1, .max_operands = 1,
	    .see = "gcs-put(1)"};
	struct err e = {0};
	char **operands;
	int noperands, status = 0;
	if (!common_start("gcs-put", &spec, &o->common, argc, argv, &operands, &noperands, &status))
		return status;
	if (set_up(&put, operands[0], &e) < 0) {
		status = log_fail(&e);
	} else if (!o->common.check) {
		if (run(&put, &e) < 0)
			status = log_fail(&e);
		if (report(&put) < 0)
			status = err_status(ERR_BUG);
	}
	release(&put);
	return status;
}
