#include "insert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "utf8.h"
#include "xalloc.h"

/* A table whose rows are refused is looked at again at most this often. */
#define LOOK_EVERY SECONDS(60)
#define WARN_EVERY SECONDS(10)
/*
 * A row of this size that is called too large when alone is; a smaller one may stand before a proxy that
 * takes nothing.
 */
#define CERTAINLY_LARGE 1000000

void
insert_stop(struct insert *in, const struct err *why)
{
	if (in->failed.class == ERR_NONE)
		in->failed = *why;
}

static void
on_row_error(void *arg, const struct bigquery_row_error *error)
{
	struct request *q = arg;
	struct row *r = q->flight->items[error->index];
	enum fate *fate = &q->flight->fates[error->index];
	if (!str_is(error->reason, "invalid")) {
		if (*fate == FATE_DONE)
			*fate = FATE_AGAIN;
		q->quota = q->quota || str_is(error->reason, "quotaExceeded");
		snprintf(q->again, sizeof(q->again), "%.*s", (int)utf8_cut(error->reason, 63),
		    error->reason.p);
		return;
	}
	*fate = FATE_REJECTED;
	row_refuse(r, "invalid", error->location, error->message);
}

static void
free_request(struct request *q)
{
	*q->link = q->next;
	if (q->next != NULL)
		q->next->link = q->link;
	free(q);
}

static void
warn_again(struct insert *in, const struct request *q, size_t rows)
{
	in->sent_again += rows;
	if (in->stage.now - in->warned < WARN_EVERY && in->warned != 0)
		return;
	in->warned = in->stage.now;
	log_warn("BigQuery did not store %zu rows of '%s:%s.%s' (%s); sending them again", rows, in->project,
	    in->dataset, q->table->name, *q->again != '\0' ? q->again : "no reason given");
}

/* All of its rows' fates are known. */
static void
land(struct request *q)
{
	struct insert *in = q->in;
	size_t again = 0;
	struct err e;
	for (size_t i = 0; i < q->flight->n; i++)
		again += q->flight->fates[i] == FATE_AGAIN;
	if (again > 0)
		warn_again(in, q, again);
	struct batch_patience patience = {&in->gapi.rng, in->o.common.retry_for, q->quota};
	switch (batch_land(in->batch, q->flight, in->stage.now, &patience)) {
	case BATCH_ON:
		break;
	case BATCH_IMPATIENT:
		err_set(&e, ERR_TRANSIENT,
		    "cannot insert rows into '%s:%s.%s': BigQuery keeps answering '%s'; try again later",
		    in->project, in->dataset, q->table->name, q->again);
		insert_stop(in, &e);
		break;
	case BATCH_ALL_REFUSED:
		err_set(&e, ERR_PERMANENT, "cannot insert rows into '%s:%s.%s': every row is refused",
		    in->project, in->dataset, q->table->name);
		insert_stop(in, &e);
		break;
	}
	free_request(q);
}

static void
land_waiting(struct table *t)
{
	while (t->waiting != NULL) {
		struct request *q = t->waiting;
		t->waiting = q->waiting;
		land(q);
	}
}

/* A table whose rows were refused was fetched again: if it no longer fits, the rows are not to blame. */
static void
on_table(void *arg, const struct gapi_result *result)
{
	struct table *t = arg;
	struct insert *in = t->in;
	struct err e = result->err;
	char *object = xasprintf("%s:%s.%s", in->project, in->dataset, t->name);
	if (e.class == ERR_NONE)
		bigquery_compare(&in->json, result->reply->body, object, &in->schema, t->schema, &e);
	free(object);
	if (e.class == ERR_TRANSIENT && result->err.class == ERR_NONE && gapi_again(result, &e))
		return;
	t->look = NULL;
	if (e.class != ERR_NONE) {
		insert_stop(in, &e);
		return;
	}
	t->looked = clock_now();
	land_waiting(t);
}

static void
look_again(struct request *q)
{
	struct table *t = q->table;
	struct insert *in = q->in;
	q->waiting = t->waiting;
	t->waiting = q;
	if (t->look == NULL)
		t->look = bigquery_get_table(&in->gapi, in->project, in->dataset, t->name, on_table, t);
}

/* A 200. A reply that cannot be read proves nothing: the call goes on. */
static void
take_reply(struct request *q, const struct gapi_result *result)
{
	struct insert *in = q->in;
	struct flight *f = q->flight;
	bool refused = false;
	struct err e;
	for (size_t i = 0; i < f->n; i++)
		f->fates[i] = FATE_DONE;
	if (bigquery_read_insert(&in->json, result->reply->body, (uint32_t)f->n, on_row_error, q, &e) < 0) {
		err_wrap(&e, "cannot insert rows into '%s:%s.%s'", in->project, in->dataset, q->table->name);
		for (size_t i = 0; i < f->n; i++)
			f->fates[i] = FATE_AGAIN;
		if (gapi_again(result, &e))
			q->call = result->call;
		else
			insert_stop(in, &e);
		return;
	}
	f->passed = true;
	for (size_t i = 0; i < f->n; i++)
		refused = refused || f->fates[i] == FATE_REJECTED;
	if (refused && (q->table->looked == 0 || clock_now() - q->table->looked >= LOOK_EVERY))
		look_again(q);
	else
		land(q);
}

static bool
says_too_large(const struct gapi_result *result)
{
	return result->status == 413 || strcmp(result->reason, "requestTooLarge") == 0 ||
	    strstr(result->err.text, "payload size exceeds") != NULL;
}

/* What BigQuery says of rows may quote them, so its words go into dead letters and never into a log. */
static void
stop_refused(struct insert *in, const struct request *q, const struct gapi_result *result)
{
	struct err e;
	err_set(&e, ERR_PERMANENT,
	    "cannot insert rows into '%s:%s.%s': HTTP %d (%s): every row is refused, the last one alone; look at "
	    "the table with bq-insert --check, and at its rows",
	    in->project, in->dataset, q->table->name, result->status,
	    *result->reason != '\0' ? result->reason : "no reason given");
	insert_stop(in, &e);
}

/* 400 or 413: something in it, or simply too much. */
static void
take_refusal(struct request *q, const struct gapi_result *result)
{
	struct insert *in = q->in;
	bool too_large = says_too_large(result);
	if (q->flight->n == 1)
		row_refuse(q->flight->items[0], too_large ? "too_large" : "invalid", STR_NONE,
		    str_of(result->err.text));
	if (q->flight->n == 1 && too_large && q->flight->bytes > CERTAINLY_LARGE) {
		q->flight->fates[0] = FATE_REJECTED;
		land(q);
		return;
	}
	if (batch_refuse(in->batch, q->flight) == BATCH_ALL_REFUSED)
		stop_refused(in, q, result);
	free_request(q);
}

static void
on_insert(void *arg, const struct gapi_result *result)
{
	struct request *q = arg;
	bool refused = result->err.class == ERR_PERMANENT && (result->status == 400 || result->status == 413);
	q->call = NULL;
	if (result->err.class == ERR_NONE)
		take_reply(q, result);
	else if (refused)
		take_refusal(q, result);
	else
		insert_stop(q->in, &result->err);
}

void
request_send(struct insert *in, struct flight *f)
{
	struct buf body = BUF_INIT(2 * LIMIT_LINE);
	struct request *q = xcalloc(1, sizeof(*q));
	struct row *first = f->items[0];
	*q = (struct request){.in = in, .table = first->table, .flight = f, .next = in->requests,
	    .link = &in->requests};
	if (q->next != NULL)
		q->next->link = &q->next;
	in->requests = q;
	bigquery_begin(&body);
	for (size_t i = 0; i < f->n; i++)
		row_write(&in->writer, &body, i == 0, in->o.insert_id == INSERT_ID_MESSAGE, f->items[i]);
	bigquery_end(&body);
	if (f->n == 1 && body.n > BIGQUERY_REQUEST_MAX) {
		row_refuse(first, "too_large", STR_NONE,
		    STR("the row is larger than the 10 MiB of a request"));
		f->fates[0] = FATE_REJECTED;
		land(q);
	} else {
		in->sent++;
		q->call = bigquery_insert(&in->gapi, in->project, in->dataset, q->table->name, &body,
		    in->o.gzip, on_insert, q);
	}
	buf_release(&body);
}

void
requests_cancel(struct insert *in)
{
	for (uint32_t i = 0; i < in->schema.ntables; i++) {
		if (in->tables[i].look != NULL)
			gapi_cancel(in->tables[i].look);
	}
	while (in->requests != NULL) {
		if (in->requests->call != NULL)
			gapi_cancel(in->requests->call);
		free_request(in->requests);
	}
}
