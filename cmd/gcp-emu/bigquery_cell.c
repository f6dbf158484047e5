/*
 * What is stored, as the API shows it: rows of {"f":[{"v":...}]}, every scalar a string, a TIMESTAMP the
 * seconds since 1970 as a float in a string ("1.7672256E9") or, when asked for, the microseconds as an
 * integer in one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "num.h"

static void
write_timestamp(struct jsonw *w, struct str text, bool as_int64)
{
	struct buf out = BUF_INIT(64);
	int64_t micros;

	if (!bq_parse_timestamp(text, &micros))
		jsonw_str(w, text); /* somebody wrote it with sqlite3 */
	else {
		if (as_int64)
			buf_addf(&out, "%lld", (long long)micros);
		else
			bq_write_epoch(&out, micros);
		jsonw_str(w, buf_str(&out));
	}
	buf_release(&out);
}

static void
write_real(struct jsonw *w, double d)
{
	struct buf out = BUF_INIT(64);

	bq_write_double(&out, d);
	jsonw_str(w, buf_str(&out));
	buf_release(&out);
}

static void
scalar_json(struct bigquery *bq, struct jsonw *w, const struct bq_field *f, uint32_t t, bool as_int64)
{
	const struct json *j = &bq->cell;
	struct str text = json_string(j, t, &bq->scratch);
	double d;

	if (text.p == NULL)
		text = json_raw(j, t);
	if (f->type == FIELD_TIMESTAMP)
		write_timestamp(w, text, as_int64);
	else if (f->type == FIELD_FLOAT64 && num_double(text, &d))
		write_real(w, d);
	else
		jsonw_str(w, text);
	buf_reset(&bq->scratch, 64 * 1024);
}

/* The value of token t of bq->cell. Missing members are null, missing arrays empty. */
static void
write_nested(struct bigquery *bq, struct jsonw *w, const struct bq_field *f, uint32_t t, bool as_int64)
{
	const struct json *j = &bq->cell;

	jsonw_object(w);
	jsonw_key(w, "v");
	if (f->mode == MODE_REPEATED) {
		struct bq_field element = *f;

		element.mode = MODE_NULLABLE;
		jsonw_array(w);
		if (json_is(j, t, JSON_ARRAY))
			for (uint32_t v = json_first(t); v < json_end(j, t); v = j->tok[v].next)
				write_nested(bq, w, &element, v, as_int64);
		jsonw_end(w);
	} else if (t == JSON_NONE || json_is(j, t, JSON_NULL)) {
		jsonw_null(w);
	} else if (f->type == FIELD_RECORD) {
		jsonw_object(w);
		jsonw_key(w, "f");
		jsonw_array(w);
		for (uint32_t i = 0; i < f->nfields; i++) {
			char *name = str_dup(f->fields[i].name);

			write_nested(bq, w, &f->fields[i], json_get(j, t, name), as_int64);
			free(name);
		}
		jsonw_end(w);
		jsonw_end(w);
	} else {
		scalar_json(bq, w, f, t, as_int64);
	}
	jsonw_end(w);
}

void
bq_write_cell(struct bigquery *bq, struct jsonw *w, const struct bq_field *f, sqlite3_stmt *st, int col,
    bool as_int64)
{
	int type = sqlite3_column_type(st, col);
	const char *p = (const char *)sqlite3_column_text(st, col);
	struct str text = {p != NULL ? p : "", (size_t)sqlite3_column_bytes(st, col)};

	if (f->mode == MODE_REPEATED || (f->type == FIELD_RECORD && type != SQLITE_NULL)) {
		if (type == SQLITE_NULL || json_parse(&bq->cell, text) != JSON_OK)
			json_parse(&bq->cell, STR("null"));
		write_nested(bq, w, f, 0, as_int64);
		return;
	}
	jsonw_object(w);
	jsonw_key(w, "v");
	if (type == SQLITE_NULL)
		jsonw_null(w);
	else if (f->type == FIELD_TIMESTAMP)
		write_timestamp(w, text, as_int64);
	else if (f->type == FIELD_BOOL)
		jsonw_str(w, sqlite3_column_int64(st, col) != 0 ? STR("true") : STR("false"));
	else if (type == SQLITE_FLOAT || (f->type == FIELD_FLOAT64 && type == SQLITE_INTEGER))
		write_real(w, sqlite3_column_double(st, col));
	else
		jsonw_str(w, text);
	jsonw_end(w);
}

/* which of a table's columns selectedFields names; all where it is absent */
static bool
selected(struct str list, struct str name)
{
	if (list.n == 0)
		return true;
	while (list.n > 0) {
		size_t n = str_find(list, ',');
		struct str part = {list.p, n};

		part.n = str_find(part, '.'); /* a part of a RECORD brings the whole of it */
		if (str_ieq(part, name))
			return true;
		list = str_skip(list, n + 1);
	}
	return false;
}

static sqlite3_stmt *
select_page(struct bq_table *t, int64_t start, int64_t count)
{
	struct buf sql = BUF_INIT(4 * 1024 * 1024);
	sqlite3_stmt *st = NULL;

	buf_addz(&sql, "SELECT ");
	for (uint32_t i = 0; i < t->fields.n; i++) {
		bq_quote(&sql, t->fields.v[i].name);
		buf_addz(&sql, ", ");
	}
	buf_addz(&sql, "1 FROM ");
	bq_quote(&sql, t->name);
	buf_addf(&sql, " ORDER BY %s LIMIT %lld OFFSET %lld", t->rowid, (long long)count, (long long)start);
	if (sqlite3_prepare_v2(t->dataset->db, buf_cstr(&sql), -1, &st, NULL) != SQLITE_OK)
		st = NULL;
	buf_release(&sql);
	return st;
}

/* Writes rows until count, the page's size or the end; returns how many. */
static int64_t
write_page(struct bigquery *bq, struct jsonw *w, struct bq_table *t, sqlite3_stmt *st, struct str fields,
    bool as_int64)
{
	int64_t n = 0;

	while (w->out->n < BQ_PAGE_BYTES && sqlite3_step(st) == SQLITE_ROW) {
		jsonw_object(w);
		jsonw_key(w, "f");
		jsonw_array(w);
		for (uint32_t i = 0; i < t->fields.n; i++)
			if (selected(fields, t->fields.v[i].name))
				bq_write_cell(bq, w, &t->fields.v[i], st, (int)i, as_int64);
		jsonw_end(w);
		jsonw_end(w);
		n++;
	}
	return n;
}

void
bq_list_rows(struct bigquery *bq, struct bq_table *t, struct request *req, struct reply *rep)
{
	int64_t max = bq_param(req, "maxResults", BQ_PAGE_ROWS, UINT32_MAX);
	int64_t start = bq_param(req, "startIndex", 0, INT64_MAX);
	int64_t token = bq_param(req, "pageToken", -2, INT64_MAX);
	int64_t total = bq_table_rows(t), n;
	bool as_int64 = str_is(request_query(req, "formatOptions.useInt64Timestamp"), "true");
	struct jsonw w = jsonw_to(&rep->body);
	sqlite3_stmt *st;

	if (max < 0 || start < 0 || token == -1) {
		reply_error(rep, 400, "invalid", "Invalid value for %s", max < 0 ? "maxResults" :
		    start < 0 ? "startIndex" : "pageToken");
		return;
	}
	if (token >= 0)
		start = token;
	st = select_page(t, start, max < BQ_PAGE_ROWS ? max : BQ_PAGE_ROWS);
	if (st == NULL) {
		reply_error(rep, 500, "internalError", "%s", sqlite3_errmsg(t->dataset->db));
		return;
	}
	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("bigquery#tableDataList"));
	jsonw_key(&w, "rows");
	jsonw_array(&w);
	n = write_page(bq, &w, t, st, request_query(req, "selectedFields"), as_int64);
	jsonw_end(&w);
	sqlite3_finalize(st);
	bq_member_i64(&w, "totalRows", total);
	if (start + n < total && n > 0)
		bq_member_i64(&w, "pageToken", start + n);
	jsonw_end(&w);
}
