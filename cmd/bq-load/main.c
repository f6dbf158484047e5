/* bq-load: object lines in, load jobs into BigQuery, receipts out once their rows are there. See bq-load(1). */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "confine.h"
#include "digest.h"
#include "log.h"
#include "xalloc.h"

/* After a failure: how long to try to pass on what is loaded. */
#define LAST_WORDS SECONDS(2)
#define GIGA INT64_C(1000000000)

static int
on_line(struct stage *s, const struct line *l, struct err *e)
{
	return input_line(s->ctx, l, e);
}

static bool
wants(struct stage *s)
{
	const struct load *ld = s->ctx;
	return ld->failed.class == ERR_NONE && ld->held < HELD_MAX;
}

static bool
nothing_left(const struct load *ld)
{
	for (uint32_t i = 0; i < ld->schema.ntables; i++) {
		if (ld->tables[i].open[0] != NULL || ld->tables[i].open[1] != NULL)
			return false;
	}
	return ld->jobs == NULL;
}

static enum stage_step
turn(struct stage *s, struct err *e)
{
	struct load *ld = s->ctx;
	bool wanted = wants(s);
	if (ld->failed.class == ERR_NONE)
		jobs_turn(ld);
	if (ld->failed.class != ERR_NONE) {
		*e = ld->failed;
		return STAGE_FAILED;
	}
	stage_wake_at(s, gapi_turn(&ld->gapi, s->now));
	/* Lines that were read already wake nobody. */
	if (!wanted && wants(s))
		stage_wake_at(s, s->now);
	return s->drained && nothing_left(ld) ? STAGE_DONE : STAGE_MORE;
}

static int
run(struct load *ld, struct err *e)
{
	static const struct stage_ops ops = {.line = on_line, .wants = wants, .turn = turn};
	struct stage_net net = http_net(ld->http);
	stage_init(&ld->stage, &ops, ld, STDIN_FILENO, "standard input");
	ld->stage.outs[0] = &ld->out;
	ld->stage.net = &net;
	if (book_open(ld, e) < 0)
		return -1;
	int rc = stage_run(&ld->stage, e);
	if (rc < 0)
		stage_flush(&ld->stage, LAST_WORDS);
	return rc;
}

/* "evpipe-load-", and 16 digits of the dataset's hash */
static void
make_prefix(struct load *ld)
{
	uint8_t sum[DIGEST_MAX];
	char hex[17], *name = xasprintf("%s:%s", ld->project, ld->dataset);
	digest_of(DIGEST_SHA256, str_of(name), sum);
	digest_hex(hex, sum, 8);
	snprintf(ld->prefix, sizeof(ld->prefix), "evpipe-load-%s-", hex);
	free(name);
}

static int
prepare_tables(struct load *ld, struct err *e)
{
	ld->tables = xcalloc(ld->schema.ntables, sizeof(*ld->tables));
	for (uint32_t i = 0; i < ld->schema.ntables; i++) {
		const struct schema_table *t = &ld->schema.tables[i];
		ld->tables[i] = (struct table){.schema = t, .name = str_dup(t->name),
		    .ignore_unknown = schema_column(&ld->schema, t, ld->schema.discriminator) == NULL};
		if (bigquery_check_table(&ld->gapi, ld->project, ld->dataset, &ld->schema, t, e) < 0)
			return -1;
	}
	return 0;
}

/* Everything that can be found wrong before the first job. */
static int
prepare(struct load *ld, const char *dataset, struct err *e)
{
	struct options *o = &ld->o;
	if (o->journal == NULL && !o->common.check)
		return err_set(e, ERR_USAGE, "cannot start: --journal is missing; it keeps objects from being loaded twice");
	if (common_outputs(&ld->out, true, NULL, NULL, e) < 0 ||
	    name_dataset(dataset, o->common.project, &ld->project, &ld->dataset, e) < 0 ||
	    schema_load(&ld->schema, schema_path(o->schemas), e) < 0 ||
	    bigquery_init(&ld->gapi, ld->http, &o->common.login, o->common.retry_for, e) < 0)
		return -1;
	confine(&(struct confine){.token = ld->gapi.token, .journal = o->journal});
	ld->location = bqjob_location(&ld->gapi, ld->project, ld->dataset, e);
	if (ld->location == NULL)
		return -1;
	ld->place = (struct bqjob_place){.project = o->common.project != NULL ? o->common.project : ld->project,
	    .location = ld->location, .dataset_project = ld->project, .dataset = ld->dataset};
	make_prefix(ld);
	rng_seed_os(&ld->rng);
	return prepare_tables(ld, e);
}

static int
work(struct load *ld, const char *dataset)
{
	struct err e = {0};
	char extra[256];
	if (prepare(ld, dataset, &e) < 0)
		return log_fail(&e);
	if (ld->o.common.check)
		return 0;
	int status = run(ld, &e) < 0 ? log_fail(&e) : 0;
	snprintf(extra, sizeof(extra), "%" PRIu64 " jobs, %" PRIu64 " rows, %" PRIu64 " objects were loaded before, %" PRIu64
	    " refused, %" PRIu64 " rows in all, %" PRIu64 " retries", ld->njobs, ld->nrows, ld->nexisted, ld->nfailed,
	    ld->nreceipted, ld->gapi.retries);
	if (tally_report(&ld->tally, extra) < 0)
		return err_status(ERR_BUG);
	if (status == 0 && ld->torn)
		status = err_status(ERR_INPUT);
	return status == 0 && ld->nfailed > 0 ? err_status(ERR_PERMANENT) : status;
}

static void
release(struct load *ld)
{
	struct map_slot *slot;
	jobs_free(ld);
	gapi_release(&ld->gapi);
	http_free(ld->http);
	journal_close(&ld->journal);
	gsjournal_release(&ld->gsjournal);
	for (size_t i = 0; (slot = map_each(&ld->known, &i)) != NULL;)
		free(slot->value);
	map_release(&ld->known);
	for (uint32_t i = 0; ld->tables != NULL && i < ld->schema.ntables; i++) {
		free(ld->tables[i].name);
		free(ld->tables[i].submitted);
	}
	free(ld->tables);
	schema_release(&ld->schema);
	sink_release(&ld->out);
	json_release(&ld->json);
	free(ld->project);
	free(ld->dataset);
	free(ld->location);
}

int
main(int argc, char **argv)
{
	struct load ld = {.out.fd = -1, .journal.fd = -1, .o = {.linger = SECONDS(60), .max_objects = 10000,
	    .max_bytes = 15000 * GIGA, .max_jobs = TABLE_JOBS_MAX}};
	struct options *o = &ld.o;
	int64_t days = 180;
	char **operands;
	int n, status;
	const struct opt own[] = {
	    {"journal", 0, OPT_STR, &o->journal, "FILE|gs://...",
		"where jobs are written down before they are submitted"},
	    {"schemas", 0, OPT_STR, &o->schemas, "FILE", "the tables' schemas", .env = "EVPIPE_SCHEMAS"},
	    {"linger", 0, OPT_SECONDS, &o->linger, "SECONDS", "load what waited this long (60)", .max = 86400},
	    {"max-objects", 0, OPT_INT, &o->max_objects, "N", "objects of a job at most (10000)", .min = 1,
		.max = 10000},
	    {"max-bytes", 0, OPT_SIZE, &o->max_bytes, "SIZE", "bytes of a job at most (15000G)", .min = 1,
		.max = 15000 * GIGA},
	    {"max-jobs", 0, OPT_INT, &o->max_jobs, "N", "jobs into a table in 24 hours at most (1500)", .min = 1,
		.max = 1000000},
	    {"look-back", 0, OPT_INT, &days, "DAYS", "ask BigQuery for jobs a new journal lacks (180); 0: never",
		.max = 180},
	    OPT_END};
	const struct opt_spec spec = {.synopsis = "--journal FILE [options] DATASET",
	    .summary = "Loads objects of the lake into BigQuery, each once, and writes receipts.",
	    .own = own, .shared = common_options(&o->common, true), .min_operands = 1, .max_operands = 1,
	    .see = "bq-load(1)"};
	if (!common_start("bq-load", &spec, &o->common, argc, argv, &operands, &n, &status))
		return status;
	o->look_back = SECONDS(86400) * days;
	ld.http = http_new();
	status = work(&ld, operands[0]);
	release(&ld);
	return status;
}
