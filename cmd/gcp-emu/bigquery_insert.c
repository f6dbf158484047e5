/*
 * tabledata.insertAll: a request's rows are read one by one and stored as they prove good, all in one
 * transaction, which is undone where a bad row must stop the others.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "bounds.h"
#include "log.h"
#include "xalloc.h"

#define DAY_MICROS ((int64_t)86400 * 1000000)

struct verdict {
	uint32_t index;
	const char *reason; /* of the row's first error */
	size_t at, n;       /* of the JSON text of its errors in insert.texts */
};

struct insert {
	struct bigquery *bq;
	struct bq_table *t;
	sqlite3_stmt *st;
	struct bq_row row;
	bool skip_invalid;
	bool stopped;        /* nothing of this request may stay */
	uint32_t nrows, stored, repeated;
	struct verdict *bad; /* in the rows' order */
	uint32_t nbad;
	struct buf texts;
	struct buf hashes;   /* of the insertIds to remember */
	struct buf id;
};

static bool
flag(const struct json *j, const char *name)
{
	return str_is(json_text(j, json_get(j, 0, name)), "true"); /* or the string "true" */
}

static void
add_verdict(struct insert *in, uint32_t index)
{
	struct jsonw w = jsonw_to(&in->texts);
	struct verdict *v;

	if (in->nbad % 64 == 0)
		in->bad = xreallocarray(in->bad, in->nbad + 64, sizeof(*in->bad));
	v = &in->bad[in->nbad++];
	*v = (struct verdict){.index = index, .reason = in->row.errors[0].reason, .at = in->texts.n};
	jsonw_array(&w);
	for (unsigned i = 0; i < in->row.nerrors; i++) {
		jsonw_object(&w);
		jsonw_member(&w, "reason", str_of(in->row.errors[i].reason));
		jsonw_member(&w, "location", str_of(in->row.errors[i].location));
		jsonw_member(&w, "debugInfo", STR(""));
		jsonw_member(&w, "message", str_of(in->row.errors[i].message));
		jsonw_end(&w);
	}
	jsonw_end(&w);
	v->n = in->texts.n - v->at;
}

static void
check_partition(struct insert *in)
{
	const struct bq_table *t = in->t;
	const struct bq_cell *c;
	struct str text;
	int64_t age;

	if (!in->bq->partition_window || t->partition < 0 || in->row.nerrors > 0)
		return;
	c = &in->row.cells[t->partition];
	if (c->kind == BQ_NULL)
		return;
	age = in->bq->emu->wall - c->i;
	if (age <= 3650 * DAY_MICROS && age >= -366 * DAY_MICROS)
		return;
	text = bq_cell_text(&in->row, c);
	bq_row_fail(&in->row, "invalid", STR_NONE, "Value %.*s for field %.*s of the destination table "
	    "%.*s.%.*s is outside the allowed bounds. You can only stream to date range within 3650 days in "
	    "the past and 366 days in the future relative to the current date.", STR_ARG(text),
	    STR_ARG(t->fields.v[t->partition].name), STR_ARG(t->dataset->key), STR_ARG(t->name));
}

static int
bind_cell(const struct bq_row *r, sqlite3_stmt *st, int i, const struct bq_cell *c)
{
	struct str text;

	switch (c->kind) {
	case BQ_NULL:
		return sqlite3_bind_null(st, i);
	case BQ_INT:
		return sqlite3_bind_int64(st, i, c->i);
	case BQ_REAL:
		/* SQLite has no NaN */
		return isnan(c->d) ? sqlite3_bind_text(st, i, "NaN", 3, SQLITE_STATIC) :
		    sqlite3_bind_double(st, i, c->d);
	default:
		text = bq_cell_text(r, c);
		return sqlite3_bind_text(st, i, text.n > 0 ? text.p : "", (int)text.n, SQLITE_STATIC);
	}
}

int
bq_row_store(const struct bq_row *r, const struct bq_table *t, sqlite3_stmt *st, struct err *e)
{
	int code = SQLITE_OK;

	for (uint32_t i = 0; i < t->fields.n && code == SQLITE_OK; i++)
		code = bind_cell(r, st, (int)i + 1, &r->cells[i]);
	if (code == SQLITE_OK)
		code = sqlite3_step(st);
	sqlite3_reset(st);
	return code == SQLITE_DONE ? 0 :
	    err_set(e, ERR_IO, "cannot store a row in '%s': %s", t->dataset->path, sqlite3_errstr(code));
}

static int
store_row(struct insert *in, struct err *e)
{
	in->stored++;
	return bq_row_store(&in->row, in->t, in->st, e);
}

/* true where the row's insertId was stored within the last minute */
static bool
known_id(struct insert *in, uint32_t row)
{
	const struct json *j = &in->bq->json;
	uint32_t t = json_get(j, row, "insertId");
	struct str id = json_string(j, t, &in->id);
	uint64_t hash;

	if (id.n == 0)
		return false;
	hash = bq_ids_hash(id);
	in->id.n = 0;
	if (!bq_ids_add(in->t->ids, hash, in->bq->emu->now))
		return true;
	buf_add(&in->hashes, &hash, sizeof(hash));
	return false;
}

/* One row. -1 where the store failed. */
static int
take_row(struct insert *in, uint32_t index, uint32_t t, struct err *e)
{
	const struct json *j = &in->bq->json;
	uint32_t json = json_get(j, t, "json");
	const char *reason = faults_row(in->bq->emu, in->t->name);
	int rc = 0;

	if (json_is(j, json, JSON_OBJECT))
		bq_row_read(&in->row, &in->t->fields, json);
	else
		bq_row_fail(&in->row, "invalid", STR_NONE, "The row has no object named json.");
	check_partition(in);
	if (reason != NULL && in->row.nerrors == 0)
		bq_row_fail(&in->row, reason, STR_NONE, "A fault that gcp-emu was asked for.");
	if (in->row.nerrors > 0) {
		add_verdict(in, index);
		if (!in->skip_invalid && strcmp(in->row.errors[0].reason, "invalid") == 0)
			in->stopped = true;
	} else if (!in->stopped && known_id(in, t)) {
		in->repeated++;
	} else if (!in->stopped) {
		rc = store_row(in, e);
	}
	bq_row_clear(&in->row);
	return rc;
}

/* The ids of this request, kept with its rows so that a restart within the minute still knows them. */
static int
save_ids(struct insert *in, struct err *e)
{
	struct bq_dataset *d = in->t->dataset;
	int64_t now = in->bq->emu->wall;
	int code;

	if (in->hashes.n == 0)
		return 0;
	if ((d->ids_put == NULL && sqlite3_prepare_v2(d->db, "INSERT INTO _insert_ids(name, expires, ids)"
	    " VALUES(?, ?, ?)", -1, &d->ids_put, NULL) != SQLITE_OK) ||
	    (d->ids_drop == NULL && sqlite3_prepare_v2(d->db,
	    "DELETE FROM _insert_ids WHERE rowid IN (SELECT rowid FROM _insert_ids ORDER BY rowid LIMIT 8) "
	    "AND expires < ?", -1, &d->ids_drop, NULL) != SQLITE_OK))
		return err_set(e, ERR_IO, "cannot use '%s': %s", d->path, sqlite3_errmsg(d->db));
	sqlite3_bind_text(d->ids_put, 1, in->t->name.p, (int)in->t->name.n, SQLITE_STATIC);
	sqlite3_bind_int64(d->ids_put, 2, now + (int64_t)BQ_INSERT_ID_SECONDS * 1000000);
	sqlite3_bind_blob(d->ids_put, 3, in->hashes.p, (int)in->hashes.n, SQLITE_STATIC);
	code = sqlite3_step(d->ids_put);
	sqlite3_reset(d->ids_put);
	sqlite3_bind_int64(d->ids_drop, 1, now);
	if (code == SQLITE_DONE)
		code = sqlite3_step(d->ids_drop);
	sqlite3_reset(d->ids_drop);
	return code == SQLITE_DONE ? 0 :
	    err_set(e, ERR_IO, "cannot write '%s': %s", d->path, sqlite3_errstr(code));
}

static int
take_rows(struct insert *in, uint32_t rows, struct err *e)
{
	const struct json *j = &in->bq->json;
	sqlite3 *db = in->t->dataset->db;
	uint32_t index = 0;
	int64_t before = in->t->rows;

	if (bq_exec(db, "BEGIN IMMEDIATE", e) < 0)
		return -1;
	for (uint32_t t = json_first(rows); t < json_end(j, rows); t = j->tok[t].next)
		if (take_row(in, index++, t, e) < 0)
			goto fail;
	if (!in->stopped) {
		if (save_ids(in, e) < 0 || bq_exec(db, "COMMIT", e) < 0)
			goto fail;
		if (before >= 0)
			in->t->rows = before + in->stored;
		in->bq->stored += in->stored;
		in->bq->repeated += in->repeated;
		return 0;
	}
	bq_ids_undo(in->t->ids, in->hashes.n / sizeof(uint64_t));
	return bq_exec(db, "ROLLBACK", e);
fail:
	bq_ids_undo(in->t->ids, in->hashes.n / sizeof(uint64_t));
	bq_exec(db, "ROLLBACK", NULL);
	return -1;
}

static void
write_entry(struct jsonw *w, uint32_t index, struct str errors)
{
	jsonw_object(w);
	jsonw_key(w, "index");
	jsonw_i64(w, index);
	jsonw_key(w, "errors");
	jsonw_raw(w, errors);
	jsonw_end(w);
}

static void
write_reply(const struct insert *in, struct reply *rep)
{
	static const struct str stopped =
	    STR("[{\"reason\":\"stopped\",\"location\":\"\",\"debugInfo\":\"\",\"message\":\"\"}]");
	struct jsonw w = jsonw_to(&rep->body);

	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("bigquery#tableDataInsertAllResponse"));
	if (in->nbad > 0) {
		jsonw_key(&w, "insertErrors");
		jsonw_array(&w);
		for (uint32_t i = 0; i < in->nbad; i++) {
			const struct verdict *v = &in->bad[i];

			write_entry(&w, v->index, (struct str){in->texts.p + v->at, v->n});
		}
		for (uint32_t i = 0, k = 0; in->stopped && i < in->nrows; i++) {
			if (k < in->nbad && in->bad[k].index == i)
				k++;
			else
				write_entry(&w, i, stopped);
		}
		jsonw_end(&w);
	}
	jsonw_end(&w);
}

/* What is wrong with the request itself: true after the error reply. */
static bool
refused(struct bigquery *bq, struct request *req, struct reply *rep, uint32_t *rows)
{
	struct json *j = &bq->json;

	if (req->body.n > BQ_REQUEST_MAX) {
		reply_error(rep, 413, "requestTooLarge", "Request payload size exceeds the limit: %d bytes.",
		    BQ_REQUEST_MAX);
		return true;
	}
	if (!bq_body(bq, req, rep))
		return true;
	*rows = json_get(j, 0, "rows");
	if (json_text(j, json_get(j, 0, "templateSuffix")).n > 0 &&
	    json_is(j, json_get(j, 0, "templateSuffix"), JSON_STRING))
		reply_error(rep, 400, "invalid", "gcp-emu has no template tables");
	else if (*rows != JSON_NONE && !json_is(j, *rows, JSON_ARRAY) && !json_is(j, *rows, JSON_NULL))
		reply_error(rep, 400, "invalid", "Invalid value at 'rows': not an array");
	else if (!json_is(j, *rows, JSON_ARRAY) || j->tok[*rows].count == 0)
		reply_error(rep, 400, "invalid", "No rows present in the request.");
	else if (j->tok[*rows].count > BQ_ROWS_MAX)
		reply_error(rep, 400, "invalid", "too many rows present in the request, limit: %d row count: "
		    "%u.", BQ_ROWS_MAX, (unsigned)j->tok[*rows].count);
	else
		return false;
	return true;
}

/* Every row an object whose insertId is a short string: false after the error reply. */
static bool
rows_fit(struct bigquery *bq, uint32_t rows, struct reply *rep)
{
	const struct json *j = &bq->json;
	unsigned i = 0;

	for (uint32_t t = json_first(rows); t < json_end(j, rows); t = j->tok[t].next, i++) {
		uint32_t id = json_get(j, t, "insertId");

		if (!json_is(j, t, JSON_OBJECT))
			reply_error(rep, 400, "invalid", "Invalid value at 'rows[%u]': not an object", i);
		else if (id != JSON_NONE && !json_is(j, id, JSON_STRING) && !json_is(j, id, JSON_NULL))
			reply_error(rep, 400, "invalid", "Invalid value at 'rows[%u].insertId': not a string",
			    i);
		else if (json_is(j, id, JSON_STRING) && j->tok[id].len > BQ_INSERT_ID_BYTES)
			reply_error(rep, 400, "invalid", "The insertId of row %u is longer than %d bytes", i,
			    BQ_INSERT_ID_BYTES);
		else
			continue;
		return false;
	}
	return true;
}

void
bq_insert_all(struct bigquery *bq, struct bq_table *t, struct request *req, struct reply *rep)
{
	struct insert in = {.bq = bq, .t = t};
	uint32_t rows;
	struct err e;

	if (refused(bq, req, rep, &rows) || !rows_fit(bq, rows, rep))
		return;
	buf_init(&in.texts, 64 * MIB);
	buf_init(&in.hashes, BQ_ROWS_MAX * sizeof(uint64_t));
	buf_init(&in.id, 64 * KIB);
	buf_init(&in.row.scratch, 64 * MIB);
	buf_init(&in.row.path, 64 * KIB);
	in.skip_invalid = flag(&bq->json, "skipInvalidRows");
	in.row.ignore_unknown = flag(&bq->json, "ignoreUnknownValues");
	in.row.j = &bq->json;
	in.row.cells = xcalloc(t->fields.n + 1, sizeof(*in.row.cells));
	in.nrows = bq->json.tok[rows].count;
	in.st = bq_table_insert(t, &e);
	if (in.st == NULL || take_rows(&in, rows, &e) < 0) {
		log_error("%s", e.text);
		reply_error(rep, 500, "internalError", "%s", e.text);
	} else {
		write_reply(&in, rep);
	}
	bq_row_clear(&in.row);
	buf_release(&in.row.scratch);
	buf_release(&in.row.path);
	buf_release(&in.texts);
	buf_release(&in.hashes);
	buf_release(&in.id);
	free(in.row.cells);
	free(in.bad);
}

void
bigquery_counts(struct emu *emu, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);

	jsonw_object(&w);
	jsonw_key(&w, "stored");
	jsonw_i64(&w, (int64_t)emu->bigquery->stored);
	jsonw_key(&w, "repeated");
	jsonw_i64(&w, (int64_t)emu->bigquery->repeated);
	jsonw_end(&w);
	buf_addc(&rep->body, '\n');
}
