/*
 * Runs a translated query: on a connection of its own that reads the datasets it names, and nothing else.
 */
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "xalloc.h"

#define QUERY_OPS 1000000        /* SQLite operations between two looks at the clock ... */
#define QUERY_TURNS 500          /* ... and how many such: some ten seconds */

struct column {
	struct bq_field field; /* a view: of the table's, or made up */
	char *name;
};

/* Reading is all a query may do, and of our own tables nothing. */
static int
authorize(void *arg, int action, const char *table, const char *column, const char *database,
    const char *trigger)
{
	(void)arg, (void)column, (void)database, (void)trigger;
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE:
		return SQLITE_OK;
	case SQLITE_FUNCTION:
		return column != NULL && strcmp(column, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
	case SQLITE_READ:
		if (table != NULL && (strncmp(table, "sqlite_", 7) == 0 || strcmp(table, "_tables") == 0 ||
		    strcmp(table, "_dataset") == 0 || strcmp(table, "_insert_ids") == 0 ||
		    strcmp(table, "_jobs") == 0))
			return SQLITE_DENY;
		return SQLITE_OK;
	default:
		return SQLITE_DENY;
	}
}

static int
too_long(void *arg)
{
	return ++*(int *)arg > QUERY_TURNS;
}

static void
fn_timestamp(sqlite3_context *ctx, int n, sqlite3_value **v)
{
	const char *p = (const char *)sqlite3_value_text(v[0]);
	struct buf out = BUF_INIT(64);
	int64_t micros;

	(void)n;
	if (p == NULL)
		return;
	if (!bq_parse_timestamp(str_of(p), &micros)) {
		sqlite3_result_error(ctx, "Invalid timestamp", -1);
		return;
	}
	bq_write_civil(&out, FIELD_TIMESTAMP, micros);
	sqlite3_result_text(ctx, out.p, (int)out.n, SQLITE_TRANSIENT);
	buf_release(&out);
}

static void
countif_step(sqlite3_context *ctx, int n, sqlite3_value **v)
{
	sqlite3_int64 *count = sqlite3_aggregate_context(ctx, sizeof(*count));

	(void)n;
	if (count != NULL && sqlite3_value_int64(v[0]) != 0)
		++*count;
}

static void
countif_final(sqlite3_context *ctx)
{
	sqlite3_int64 *count = sqlite3_aggregate_context(ctx, 0);

	sqlite3_result_int64(ctx, count != NULL ? *count : 0);
}

static int
attach_dataset(sqlite3 *db, const struct bq_dataset *d)
{
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v2(db, "ATTACH ? AS ?", -1, &st, NULL);

	if (code == SQLITE_OK) {
		sqlite3_bind_text(st, 1, d->path, -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 2, d->key.p, (int)d->key.n, SQLITE_STATIC);
		code = sqlite3_step(st);
	}
	sqlite3_finalize(st);
	return code == SQLITE_DONE ? 0 : -1;
}

static sqlite3 *
open_query(const struct bq_sql *q, int *turns)
{
	sqlite3 *db = NULL;
	bool ok = sqlite3_open(":memory:", &db) == SQLITE_OK;

	for (unsigned i = 0; ok && i < q->ndatasets; i++)
		ok = attach_dataset(db, q->datasets[i]) == 0;
	if (!ok) {
		sqlite3_close(db);
		return NULL;
	}
	sqlite3_busy_timeout(db, 10000);
	sqlite3_exec(db, "PRAGMA query_only=ON", NULL, NULL, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_create_function(db, "timestamp", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, fn_timestamp,
	    NULL, NULL);
	sqlite3_create_function(db, "countif", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, NULL,
	    countif_step, countif_final);
	sqlite3_set_authorizer(db, authorize, NULL);
	sqlite3_progress_handler(db, QUERY_OPS, too_long, turns);
	return db;
}

static bool
plain_name(const char *s)
{
	if (*s >= '0' && *s <= '9')
		return false;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x80 && *s != '_' && !(*s >= '0' && *s <= '9') &&
		    !((*s | 0x20) >= 'a' && (*s | 0x20) <= 'z'))
			return false;
	return true;
}

/* The table's own field where the column is one, else what the first row shows it to be. */
static void
describe(struct bigquery *bq, sqlite3_stmt *st, int i, bool row, struct column *c, unsigned *unnamed)
{
	const char *db = sqlite3_column_database_name(st, i), *table = sqlite3_column_table_name(st, i);
	const char *origin = sqlite3_column_origin_name(st, i), *name = sqlite3_column_name(st, i);
	struct bq_dataset *d = db != NULL ? map_get(&bq->datasets, str_of(db)) : NULL;
	struct bq_table *t = d != NULL && table != NULL ? bq_table_find(d, str_of(table)) : NULL;
	int k = t != NULL && origin != NULL ? bq_field_find(t->fields.v, t->fields.n, str_of(origin),
	    (uint32_t)i) : -1;
	int type = row ? sqlite3_column_type(st, i) : SQLITE_NULL;

	memset(c, 0, sizeof(*c));
	if (k >= 0)
		c->field = t->fields.v[k];
	else
		c->field.type = type == SQLITE_TEXT ? FIELD_STRING : type == SQLITE_FLOAT ? FIELD_FLOAT64 :
		    FIELD_INT64;
	if (k >= 0 && c->field.mode == MODE_REQUIRED)
		c->field.mode = MODE_NULLABLE; /* results promise nothing */
	c->name = plain_name(name) ? xstrdup(name) : xasprintf("f%u_", *unnamed);
	*unnamed += !plain_name(name);
	c->field.name = str_of(c->name);
	if (k < 0)
		c->field.extra = STR("{}");
}

static bool
has_timestamp(const struct bq_field *f, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (f[i].type == FIELD_TIMESTAMP || has_timestamp(f[i].fields, f[i].nfields))
			return true;
	return false;
}

static void
write_schema(struct bq_job *job, const struct column *columns, int n)
{
	struct bq_field *fields = xcalloc((size_t)n + 1, sizeof(*fields));
	struct jsonw w = jsonw_to(&job->schema);

	for (int i = 0; i < n; i++)
		fields[i] = columns[i].field;
	jsonw_object(&w);
	jsonw_key(&w, "fields");
	bq_fields_write(&w, fields, (uint32_t)n);
	jsonw_end(&w);
	job->timestamps = has_timestamp(fields, (uint32_t)n);
	free(fields);
}

static void
add_row(struct bigquery *bq, struct bq_job *job, sqlite3_stmt *st, const struct column *columns, int n)
{
	for (int form = 0; form < (job->timestamps ? 2 : 1); form++) {
		struct jsonw w = jsonw_to(&job->rows[form]);

		if (job->nrows % 1024 == 0)
			job->at[form] = xreallocarray(job->at[form], job->nrows + 1024, sizeof(size_t));
		jsonw_object(&w);
		jsonw_key(&w, "f");
		jsonw_array(&w);
		for (int i = 0; i < n; i++)
			bq_write_cell(bq, &w, &columns[i].field, st, i, form == 1);
		jsonw_end(&w);
		jsonw_end(&w);
		job->at[form][job->nrows] = job->rows[form].n;
	}
	job->nrows++;
}

static int
read_rows(struct bigquery *bq, struct bq_job *job, sqlite3_stmt *st)
{
	int code = sqlite3_step(st), n = sqlite3_column_count(st);
	struct column *columns = xcalloc((size_t)n + 1, sizeof(*columns));
	unsigned unnamed = 0;

	for (int i = 0; i < n; i++)
		describe(bq, st, i, code == SQLITE_ROW, &columns[i], &unnamed);
	write_schema(job, columns, n);
	for (; code == SQLITE_ROW && !job->rows[0].over && !job->rows[1].over; code = sqlite3_step(st))
		add_row(bq, job, st, columns, n);
	for (int i = 0; i < n; i++)
		free(columns[i].name);
	free(columns);
	return code;
}

/* SQLite's words, but for the one complaint that people look for */
static void
refuse(struct bq_job *job, const char *why)
{
	static const struct str column = STR("no such column: ");
	char *text = str_starts(str_of(why), column) ? xasprintf("Unrecognized name: %s", why + column.n) :
	    xasprintf("Syntax error: %s", why);

	bq_job_fail(job, 400, "invalidQuery", text);
	free(text);
}

void
bq_run(struct bigquery *bq, struct bq_job *job, const struct bq_sql *q)
{
	int turns = 0, code;
	sqlite3 *db = open_query(q, &turns);
	sqlite3_stmt *st = NULL;

	if (db == NULL) {
		bq_job_fail(job, 500, "internalError", "cannot open the datasets");
		return;
	}
	code = sqlite3_prepare_v2(db, q->text.p, (int)q->text.n, &st, NULL);
	if (code == SQLITE_OK)
		code = read_rows(bq, job, st);
	if (code == SQLITE_INTERRUPT)
		bq_job_fail(job, 400, "resourcesExceeded", "Query exceeded the time that gcp-emu gives one");
	else if (code == SQLITE_ROW)
		bq_job_fail(job, 403, "responseTooLarge", "Response too large to return.");
	else if (code != SQLITE_DONE)
		refuse(job, sqlite3_errmsg(db));
	sqlite3_finalize(st);
	sqlite3_close(db);
}
