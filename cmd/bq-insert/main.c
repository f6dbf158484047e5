/*
 * bq-insert: valid records in, rows to BigQuery by tabledata.insertAll, the same records out once they are
 * stored. See bq-insert(1).
 */
#include <stdio.h>
#include <stdlib.h>

#include "bounds.h"
#include "clock.h"
#include "confine.h"
#include "insert.h"
#include "log.h"
#include "utf8.h"
#include "xalloc.h"

#define INPUT_NAME "standard input"
/* After a failure: how long to try to pass on what is stored. */
#define LAST_WORDS SECONDS(2)

static struct table *
table_of(struct insert *in, struct str name, struct err *e)
{
	const struct schema_table *t = schema_by_table(&in->schema, name);
	if (t == NULL) {
		err_set(e, ERR_CONFIG,
		    "its table '%.*s' is not in schemas.json: the stages have different schemas; give all "
		    "the same --schemas",
		    (int)utf8_cut(name, 128), name.p);
		return NULL;
	}
	return &in->tables[t - in->schema.tables];
}

static int
add_row(struct insert *in, const struct record *r, struct err *e)
{
	if (r->kind != RECORD_VALID)
		return err_set(e, ERR_INPUT,
		    "it is %s; bq-insert takes valid records, as ev-validate writes them",
		    record_kind_name(r->kind));
	if (r->table.n == 0)
		return err_set(e, ERR_INPUT, "its member 'table' is missing");
	struct table *t = table_of(in, r->table, e);
	if (t == NULL || (in->o.receipts && receipt_fits(r->id, r->source, e) < 0))
		return -1;
	/*
	 * What a row adds to a request, and what it holds in memory: the line is a little more than either.
	 */
	batch_add(in->batch, t->schema->name, false, row_new(r, t), r->line.n, in->stage.now);
	in->tally.in++;
	return 0;
}

static void
add_end(struct insert *in, struct str line)
{
	struct end *end = xcalloc(1, sizeof(*end));
	*end = (struct end){.after = in->tally.in, .line = str_dup(line), .n = line.n};
	if (in->ends == NULL)
		in->last_end = &in->ends;
	*in->last_end = end;
	in->last_end = &end->next;
}

static void
drop_end(struct insert *in)
{
	struct end *end = in->ends;
	in->ends = end->next;
	free(end->line);
	free(end);
}

/* Receipts need no ends. */
static void
pass_ends(struct insert *in)
{
	while (in->ends != NULL && in->ends->after <= in->tally.done + in->tally.rejected) {
		if (!in->o.receipts)
			sink_line(&in->out, (struct str){in->ends->line, in->ends->n});
		drop_end(in);
	}
}

static int
on_line(struct stage *s, const struct line *l, struct err *e)
{
	struct insert *in = s->ctx;
	struct record r;
	int rc = record_take(&r, &in->json, l, INPUT_NAME, e);
	if (rc <= 0) {
		in->torn = in->torn || rc == 0;
		return rc;
	}
	if (r.kind == RECORD_END) {
		add_end(in, l->text);
		return 0;
	}
	if (add_row(in, &r, e) < 0)
		return err_wrap(e, "cannot use line %llu of '%s'", (unsigned long long)l->number, INPUT_NAME);
	return 0;
}

static bool
wants(struct stage *s)
{
	const struct insert *in = s->ctx;
	return in->gapi.retrying == 0 && in->failed.class == ERR_NONE && batch_room(in->batch);
}

/* Its place is named, and never its value. */
static void
refuse_without_rejects(struct insert *in, const struct row *r)
{
	struct err e;
	struct str id = row_id(r);
	err_set(&e, ERR_INPUT,
	    "cannot store row '%.*s' in table '%s:%s.%s': %s%s%s; give --rejects FILE to put such rows aside",
	    STR_ARG(id), in->project, in->dataset, r->table->name, r->code, *r->path != '\0' ? " at " : "",
	    r->path);
	insert_stop(in, &e);
}

static void
reject_row(struct insert *in, const struct row *r)
{
	if (in->rejects.fd < 0) {
		refuse_without_rejects(in, r);
		return;
	}
	row_write_rejected(&in->writer, sink_buf(&in->rejects), r, &in->json);
	sink_commit(&in->rejects);
	in->tally.rejected++;
}

/* What is stored goes on, in the order it came, and no faster than it is taken. */
static void
pass_on(struct insert *in)
{
	struct row *r;
	bool rejected;
	pass_ends(in);
	while (in->failed.class != ERR_INPUT && stage_pending(&in->stage) < LIMIT_OUTPUT &&
	    (r = batch_pop(in->batch, &rejected)) != NULL) {
		if (rejected) {
			reject_row(in, r);
		} else {
			in->tally.done++;
			if (in->o.receipts)
				receipts_pay(&in->receipts, row_id(r), row_source(r));
			else
				sink_line(&in->out, (struct str){r->line, r->n});
		}
		row_free(r);
		pass_ends(in);
	}
	receipts_flush(&in->receipts);
}

static enum stage_step
turn(struct stage *s, struct err *e)
{
	struct insert *in = s->ctx;
	struct flight *f;
	pass_on(in);
	bool hurry = s->drained || !batch_room(in->batch);
	while (in->failed.class == ERR_NONE && (f = batch_take(in->batch, s->now, hurry)) != NULL)
		request_send(in, f);
	pass_on(in); /* a row may be refused without being sent */
	if (in->failed.class != ERR_NONE) {
		*e = in->failed;
		return STAGE_FAILED;
	}
	stage_wake_at(s, gapi_turn(&in->gapi, s->now));
	stage_wake_at(s, batch_when(in->batch));
	return s->drained && batch_held(in->batch) == 0 ? STAGE_DONE : STAGE_MORE;
}

static void
drop(void *ctx, void *item)
{
	(void)ctx;
	row_free(item);
}

static int
run(struct insert *in, struct err *e)
{
	static const struct stage_ops ops = {.line = on_line, .wants = wants, .turn = turn};
	struct stage_net net = http_net(in->http);
	stage_init(&in->stage, &ops, in, 0, INPUT_NAME);
	in->stage.outs[0] = &in->out;
	in->stage.outs[1] = &in->rejects;
	in->stage.net = &net;
	in->batch = batch_new(&in->o.limits);
	int rc = stage_run(&in->stage, e);
	if (rc < 0)
		stage_flush(&in->stage, LAST_WORDS);
	requests_cancel(in);
	batch_free(in->batch, drop, NULL);
	return rc;
}

/* Everything that can be found wrong before the first row: names, files, schemas, tables. */
static int
prepare(struct insert *in, const char *dataset, struct err *e)
{
	struct options *o = &in->o;
	if (common_outputs(&in->out, o->receipts, &in->rejects, o->common.check ? NULL : o->rejects, e) < 0 ||
	    name_dataset(dataset, o->common.project, &in->project, &in->dataset, e) < 0 ||
	    schema_load(&in->schema, schema_path(o->schemas), e) < 0 ||
	    bigquery_init(&in->gapi, in->http, &o->common.login, o->common.retry_for, e) < 0)
		return -1;
	confine(&(struct confine){.token = in->gapi.token});
	in->tables = xcalloc(in->schema.ntables, sizeof(*in->tables));
	for (uint32_t i = 0; i < in->schema.ntables; i++) {
		const struct schema_table *t = &in->schema.tables[i];
		in->tables[i] = (struct table){.in = in, .schema = t, .name = str_dup(t->name)};
		if (bigquery_check_table(&in->gapi, in->project, in->dataset, &in->schema, t, e) < 0)
			return -1;
	}
	return 0;
}

static int
work(struct insert *in, const char *dataset)
{
	struct err e = {0};
	char extra[96];
	if (prepare(in, dataset, &e) < 0)
		return log_fail(&e);
	if (in->o.common.check)
		return 0;
	receipts_init(&in->receipts, &in->out);
	int status = run(in, &e) < 0 ? log_fail(&e) : 0;
	snprintf(extra, sizeof(extra), "requests %llu, rows sent again %llu, retries %llu",
	    (unsigned long long)in->sent, (unsigned long long)in->sent_again,
	    (unsigned long long)in->gapi.retries);
	if (tally_report(&in->tally, extra) < 0)
		return err_status(ERR_BUG);
	return status == 0 && in->torn ? err_status(ERR_INPUT) : status;
}

static void
release(struct insert *in)
{
	while (in->ends != NULL)
		drop_end(in);
	gapi_release(&in->gapi);
	http_free(in->http);
	for (uint32_t i = 0; in->tables != NULL && i < in->schema.ntables; i++)
		free(in->tables[i].name);
	free(in->tables);
	schema_release(&in->schema);
	receipts_release(&in->receipts);
	sink_release(&in->out);
	sink_release(&in->rejects);
	json_release(&in->json);
	row_writer_release(&in->writer);
	free(in->project);
	free(in->dataset);
}

int
main(int argc, char **argv)
{
	struct insert in = {.out.fd = -1,
	    .rejects.fd = -1,
	    .o.limits = {.rows = BIGQUERY_BATCH_ROWS,
		.bytes = BIGQUERY_BATCH_BYTES,
		.linger = MILLIS(100),
		.flights = 4,
		.held_items = 8192,
		.held_bytes = 24 * MIB}};
	struct options *o = &in.o;
	int64_t rows = BIGQUERY_BATCH_ROWS, bytes = BIGQUERY_BATCH_BYTES, flights = 4;
	char **operands;
	int n, status;
	const struct opt own[] = {
	    {"schemas", 0, OPT_STR, &o->schemas, "FILE", "the tables' schemas", .env = "EVPIPE_SCHEMAS"},
	    {"rejects", 0, OPT_STR, &o->rejects, "FILE|fd:N",
		"write refused rows there, as rejected records"},
	    {"insert-id", 0, OPT_CHOICE, &o->insert_id, NULL, "what BigQuery tells repeated rows by",
		.choices = "message|none"},
	    {"receipts", 0, OPT_FLAG, &o->receipts, NULL,
		"write receipts instead of the records (when the last stage)"},
	    {"linger", 0, OPT_MILLIS, &o->limits.linger, "MS", "insert what waited this long (100)",
		.max = 60000},
	    {"batch-rows", 0, OPT_INT, &rows, "N", "rows of a request at most (500)", .min = 1, .max = 50000},
	    {"batch-bytes", 0, OPT_SIZE, &bytes, "SIZE", "bytes of a request at most (9000000)", .min = 1,
		.max = 10000000},
	    {"in-flight", 0, OPT_INT, &flights, "N", "requests under way at once (4)", .min = 1, .max = 64},
	    {"gzip", 0, OPT_FLAG, &o->gzip, NULL, "compress requests"}, OPT_END};
	const struct opt_spec spec = {.synopsis = "[options] DATASET",
	    .summary = "Stores valid records in BigQuery and passes them on once they are stored.",
	    .own = own, .shared = common_options(&o->common, true), .min_operands = 1, .max_operands = 1,
	    .see = "bq-insert(1)"};
	if (!common_start("bq-insert", &spec, &o->common, argc, argv, &operands, &n, &status))
		return status;
	o->limits.rows = (size_t)rows;
	o->limits.bytes = (size_t)bytes;
	o->limits.flights = (unsigned)flights;
	in.http = http_new();
	status = work(&in, operands[0]);
	release(&in);
	return status;
}
