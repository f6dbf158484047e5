/*
 * Running a load job: the files that its URIs name, read row by row, plain or gzip. All rows and the job's
 * end are stored in one transaction, or its failure alone. The words of errors are the service's, as far as
 * they are known.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bigquery.h"
#include "bounds.h"
#include "gcs.h"
#include "log.h"
#include "utf8.h"
#include "xalloc.h"

#define ROW_MAX (100 * MIB) /* [BigQuery quotas: JSON row size] */
#define STEP (256 * KIB)
#define ERRORS_MAX 100      /* listed */
#define READING "Error while reading data, error message: "

struct file {
	char *uri, *path;
	int64_t size;
};

struct run {
	struct bigquery *bq;
	struct bq_dataset *dataset;
	struct str key;
	struct json config, row_json;
	uint32_t load;         /* in config */
	struct file *files;
	size_t nfiles, cap;
	struct bq_table *table;
	sqlite3_stmt *insert;
	struct bq_row row;
	bool packed, plain;    /* a file of that kind was read */
	int64_t max_bad, nrows, nbad, bytes;
	struct buf errors;     /* JSON objects, a comma between them */
	unsigned nerrors;
	struct buf error;      /* errorResult; empty: none */
};

static void
write_error(struct buf *out, const char *reason, const char *uri, const char *fmt, va_list ap)
{
	struct buf text = BUF_INIT(16 * KIB);
	struct jsonw w = jsonw_to(out);

	buf_vaddf(&text, fmt, ap);
	jsonw_object(&w);
	jsonw_member(&w, "reason", str_of(reason));
	if (uri != NULL)
		jsonw_member(&w, "location", str_of(uri));
	jsonw_member(&w, "message", buf_str(&text));
	jsonw_end(&w);
	buf_release(&text);
}

/* The job fails: the first reason counts. */
static void __attribute__((format(printf, 4, 5)))
fail(struct run *r, const char *reason, const char *uri, const char *fmt, ...)
{
	va_list ap;

	if (r->error.n > 0)
		return;
	va_start(ap, fmt);
	write_error(&r->error, reason, uri, fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 3, 4)))
note(struct run *r, const char *uri, const char *fmt, ...)
{
	va_list ap;

	if (r->nerrors++ >= ERRORS_MAX)
		return;
	if (r->errors.n > 0)
		buf_addc(&r->errors, ',');
	va_start(ap, fmt);
	write_error(&r->errors, "invalid", uri, fmt, ap);
	va_end(ap);
}

/* ---- which files ---- */

static void
add_file(struct run *r, const struct gcs_object *o)
{
	if (r->nfiles == r->cap) {
		r->cap = r->cap * 2 + 16;
		r->files = xreallocarray(r->files, r->cap, sizeof(*r->files));
	}
	r->files[r->nfiles++] =
	    (struct file){xasprintf("gs://%.*s/%.*s", STR_ARG(o->bucket), STR_ARG(o->name)),
		gcs_file(r->bq->emu->gcs, o), o->size};
}

/* A wildcard stands for any characters, slashes too. */
static void
add_matches(struct run *r, struct str bucket, struct str pattern)
{
	size_t star = str_find(pattern, '*');
	struct str prefix = {pattern.p, star}, suffix = str_skip(pattern, star + 1);
	sqlite3_stmt *st = gcs_sql(r->bq->emu->gcs, "SELECT " GCS_OBJECT_COLUMNS
	    " FROM objects WHERE bucket = ? AND name >= ? ORDER BY name", "ss", bucket, prefix);

	while (st != NULL && sqlite3_step(st) == SQLITE_ROW) {
		struct gcs_object o;
		bool under;

		gcs_object_read(&o, st);
		under = str_starts(o.name, prefix);
		if (under && o.name.n >= prefix.n + suffix.n && str_ends(o.name, suffix))
			add_file(r, &o);
		gcs_object_release(&o);
		if (!under)
			break;
	}
	sqlite3_finalize(st);
}

static int
add_uri(struct run *r, struct str uri, struct err *e)
{
	struct str rest = str_skip(uri, 5), bucket = {rest.p, str_find(rest, '/')},
	    name = str_skip(rest, bucket.n + 1);
	size_t before = r->nfiles;
	struct gcs_object o;
	int there;

	if (!gcs_bucket_exists(r->bq->emu->gcs, bucket)) {
		fail(r, "notFound", NULL, "Not found: Bucket %.*s", STR_ARG(bucket));
		return 0;
	}
	if (str_find(name, '*') < name.n) {
		add_matches(r, bucket, name);
	} else {
		there = gcs_object_get(r->bq->emu->gcs, bucket, name, &o, e);
		if (there == 1)
			add_file(r, &o);
		gcs_object_release(&o);
		if (there < 0)
			return -1;
	}
	if (r->nfiles == before)
		fail(r, "notFound", NULL, "Not found: %s %.*s",
		    str_find(name, '*') < name.n ? "Files" : "URI", STR_ARG(uri));
	return 0;
}

static int
find_files(struct run *r, struct err *e)
{
	uint32_t list = json_get(&r->config, r->load, "sourceUris");
	struct buf text = BUF_INIT(64 * KIB);
	int rc = 0;

	for (uint32_t t = json_first(list); rc == 0 && t < json_end(&r->config, list);
	     t = r->config.tok[t].next) {
		buf_reset(&text, 64 * KIB);
		rc = add_uri(r, json_string(&r->config, t, &text), e);
	}
	buf_release(&text);
	return rc;
}

/* ---- rows ---- */

static void
bad_row(struct run *r, const struct file *f, int64_t position, const char *why)
{
	char first = *why >= 'a' && *why <= 'z' ? (char)(*why - 'a' + 'A') : *why;

	r->nbad++;
	note(r, f->uri, READING "JSON parsing error in row starting at position %lld: %c%s File: %s",
	    (long long)position, first, *why != '\0' ? why + 1 : "", f->uri);
	if (r->nbad > r->max_bad)
		fail(r, "invalid", f->uri,
		    READING
		    "JSON table encountered too many errors, giving up. Rows: %lld; "
		    "errors: %lld. Please look into the errors[] collection for more details. File: %s",
		    (long long)(r->nrows + r->nbad), (long long)r->nbad, f->uri);
}

/* One line. -1 where the store failed. */
static int
take_row(struct run *r, const struct file *f, int64_t position, struct str line, struct err *e)
{
	const char *why = NULL;
	int rc = 0;

	if (str_trim(line).n == 0)
		return 0;
	if (json_parse(&r->row_json, line) != JSON_OK)
		why = "Parser terminated before end of string.";
	else if (json_is(&r->row_json, 0, JSON_ARRAY))
		why = "Start of array encountered without start of object.";
	else if (!json_is(&r->row_json, 0, JSON_OBJECT) || r->row_json.depth > LIMIT_DEPTH)
		why = "Value encountered without start of object.";
	if (why == NULL)
		bq_row_read(&r->row, &r->table->fields, 0);
	if (why == NULL && r->row.nerrors > 0)
		why = r->row.errors[0].message;
	if (why != NULL) {
		bad_row(r, f, position, why);
	} else {
		rc = bq_row_store(&r->row, r->table, r->insert, e);
		r->nrows++;
	}
	bq_row_clear(&r->row);
	return rc;
}

/* The whole lines of text, and with last what follows them. Returns the bytes used, or -1. */
static long
take_rows(struct run *r, const struct file *f, int64_t position, struct str text, bool last, struct err *e)
{
	struct str rest = text;

	while (rest.n > 0 && r->error.n == 0) {
		size_t n = str_find(rest, '\n');

		if (n == rest.n && !last)
			break;
		if (take_row(r, f, position + (rest.p - text.p), (struct str){rest.p, n}, e) < 0)
			return -1;
		rest = str_skip(rest, n + 1);
	}
	return rest.p - text.p;
}

static int
read_lines(struct run *r, const struct file *f, gzFile in, struct err *e)
{
	struct buf text = BUF_INIT(ROW_MAX + STEP);
	int64_t position = 0;
	int n = 1, rc = -1;

	while (n > 0 && r->error.n == 0) {
		char *to = buf_room(&text, STEP);

		if (to == NULL) {
			fail(r, "invalid", f->uri,
			    READING "Row starting at position %lld is larger than %llu bytes. "
				    "File: %s",
			    (long long)position, (unsigned long long)ROW_MAX, f->uri);
			break;
		}
		n = gzread(in, to, STEP);
		int code = Z_OK;
		if (n <= 0 && (gzerror(in, &code), code != Z_OK)) {
			fail(r, "invalid", f->uri, READING "The GZIP file is truncated or corrupt. File: %s",
			    f->uri);
			break;
		}
		buf_grew(&text, (size_t)n);
		long used = take_rows(r, f, position, buf_str(&text), n == 0, e);
		if (used < 0)
			goto out;
		position += used;
		buf_consume(&text, (size_t)used);
	}
	rc = 0;
out:
	buf_release(&text);
	return rc;
}

static int
read_file(struct run *r, const struct file *f, struct err *e)
{
	gzFile in = gzopen(f->path, "rb");
	int rc;

	if (in == NULL)
		return err_set(e, ERR_IO, "cannot open '%s'", f->path);
	gzbuffer(in, STEP);
	if (f->size > 0) {
		if (gzdirect(in))
			r->plain = true;
		else
			r->packed = true;
	}
	if (r->plain && r->packed)
		fail(r, "invalid", f->uri,
		    READING "Compressed and uncompressed files cannot be loaded together. "
			    "File: %s",
		    f->uri);
	rc = read_lines(r, f, in, e);
	gzclose(in);
	r->bytes += f->size;
	return rc;
}

/* ---- the job ---- */

static bool
is_word(const struct run *r, const char *name, const char *word)
{
	return str_is(json_text(&r->config, json_get(&r->config, r->load, name)), word);
}

/* Makes a table that is not there, where the job may and says how. bq->json is free here: no request is being
 * served. */
static int
make_table(struct run *r, struct str name, struct err *e)
{
	struct err why;

	if (is_word(r, "createDisposition", "CREATE_NEVER") ||
	    json_get(&r->config, r->load, "schema") == JSON_NONE) {
		fail(r, "notFound", NULL, "Not found: Table %.*s.%.*s", STR_ARG(r->dataset->key),
		    STR_ARG(name));
		return 0;
	}
	if (json_read(&r->bq->json, r->config.text, e) < 0)
		return -1;
	if (bq_table_from_resource(r->bq, r->dataset, name, r->load, &why) < 0)
		fail(r, "invalid", NULL, "%s", why.text);
	r->table = bq_table_find(r->dataset, name);
	return 0;
}

static int
find_table(struct run *r, struct err *e)
{
	uint32_t t = json_get(&r->config, r->load, "destinationTable");
	char *name = json_dup(&r->config, json_get(&r->config, t, "tableId"));
	int rc = 0;

	r->table = bq_table_find(r->dataset, str_of(name));
	if (r->table == NULL)
		rc = make_table(r, str_of(name), e);
	else if (is_word(r, "writeDisposition", "WRITE_EMPTY") && bq_table_rows(r->table) > 0)
		fail(r, "duplicate", NULL, "Already Exists: Table %.*s.%s", STR_ARG(r->dataset->key), name);
	free(name);
	if (rc == 0 && r->table != NULL && (r->insert = bq_table_insert(r->table, e)) == NULL)
		rc = -1;
	return rc;
}

static int
clear_table(struct run *r, struct err *e)
{
	struct buf sql = BUF_INIT(4 * KIB);

	buf_addz(&sql, "DELETE FROM ");
	bq_quote(&sql, r->table->name);
	int rc = bq_exec(r->dataset->db, buf_cstr(&sql), e);
	buf_release(&sql);
	return rc;
}

/* What errors[] shows: for a job that failed its end first, then the summary, then the rows. */
static void
write_errors(const struct run *r, struct buf *out)
{
	buf_addc(out, '[');
	if (r->error.n > 0) {
		buf_adds(out, buf_str(&r->error));
		if (r->nbad > 0)
			buf_addf(out,
			    ",{\"reason\":\"invalid\",\"message\":\"" READING
			    "JSON processing encountered too "
			    "many errors, giving up. Rows: %lld; errors: %lld; max bad: %lld; error percent: "
			    "0\"}",
			    (long long)(r->nrows + r->nbad), (long long)r->nbad, (long long)r->max_bad);
		if (r->errors.n > 0)
			buf_addc(out, ',');
	}
	buf_adds(out, buf_str(&r->errors));
	buf_addc(out, ']');
}

static int
write_end(const struct run *r, struct err *e)
{
	struct buf errors = BUF_INIT(8 * MIB);
	sqlite3 *db = r->dataset->db;
	sqlite3_stmt *st = NULL;
	bool failed = r->error.n > 0;
	int code = sqlite3_prepare_v2(db, "UPDATE _jobs SET ended = ?, error = ?, errors = ?, files = ?, "
	    "file_bytes = ?, rows = ?, bad = ? WHERE key = ?", -1, &st, NULL);

	if (code == SQLITE_OK) {
		write_errors(r, &errors);
		sqlite3_bind_int64(st, 1, r->bq->emu->wall / 1000);
		if (failed)
			sqlite3_bind_text(st, 2, r->error.p, (int)r->error.n, SQLITE_STATIC);
		if (errors.n > 2)
			sqlite3_bind_text(st, 3, errors.p, (int)errors.n, SQLITE_STATIC);
		sqlite3_bind_int64(st, 4, (int64_t)r->nfiles);
		sqlite3_bind_int64(st, 5, r->bytes);
		sqlite3_bind_int64(st, 6, failed ? 0 : r->nrows);
		sqlite3_bind_int64(st, 7, r->nbad);
		sqlite3_bind_text(st, 8, r->key.p, (int)r->key.n, SQLITE_STATIC);
		code = sqlite3_step(st);
	}
	sqlite3_finalize(st);
	buf_release(&errors);
	return code == SQLITE_DONE || code == SQLITE_OK ? 0 :
	    err_set(e, ERR_IO, "cannot write '%s': %s", r->dataset->path, sqlite3_errstr(code));
}

static int
store(struct run *r, struct err *e)
{
	sqlite3 *db = r->dataset->db;
	int64_t before = r->table->rows;

	if (bq_exec(db, "BEGIN IMMEDIATE", e) < 0)
		return -1;
	if (is_word(r, "writeDisposition", "WRITE_TRUNCATE")) {
		before = 0;
		if (clear_table(r, e) < 0)
			goto undo;
	}
	for (size_t i = 0; i < r->nfiles && r->error.n == 0; i++)
		if (read_file(r, &r->files[i], e) < 0)
			goto undo;
	if (r->error.n > 0)
		return bq_exec(db, "ROLLBACK", e) < 0 ? -1 : write_end(r, e);
	if (write_end(r, e) < 0 || bq_exec(db, "COMMIT", e) < 0)
		goto undo;
	if (before >= 0)
		r->table->rows = before + r->nrows;
	return 0;
undo:
	bq_exec(db, "ROLLBACK", NULL);
	return -1;
}

/*
 * Jobs of the 24 hours before this one, failed ones too. All of the dataset are counted first, for their tables stand in
 * their configurations, which take time to read.
 */
static int
check_quota(struct run *r, struct err *e)
{
	static const char *const counts[] = {"", " AND json_extract(config, '$.load.destinationTable.tableId') = ?2"};
	struct str name = r->table->name;
	int64_t n = INT64_MAX;
	int code = SQLITE_ROW;

	for (int i = 0; i < 2 && code == SQLITE_ROW && n > r->bq->table_jobs; i++) {
		char *sql = xasprintf("SELECT count(*) FROM _jobs WHERE created > ?1 AND rowid <= "
		    "(SELECT rowid FROM _jobs WHERE key = ?3)%s", counts[i]);
		sqlite3_stmt *st = NULL;

		code = sqlite3_prepare_v2(r->dataset->db, sql, -1, &st, NULL);
		if (code == SQLITE_OK) {
			sqlite3_bind_int64(st, 1, r->bq->emu->wall / 1000 - 86400000);
			sqlite3_bind_text(st, 3, r->key.p, (int)r->key.n, SQLITE_STATIC);
			if (i == 1)
				sqlite3_bind_text(st, 2, name.p, (int)name.n, SQLITE_STATIC);
			code = sqlite3_step(st);
			n = sqlite3_column_int64(st, 0);
		}
		sqlite3_finalize(st);
		free(sql);
	}
	if (code != SQLITE_ROW)
		return err_set(e, ERR_IO, "cannot read '%s': %s", r->dataset->path, sqlite3_errstr(code));
	if (n > r->bq->table_jobs)
		fail(r, "quotaExceeded", "load_job_per_table.long",
		    "Quota exceeded: Your table exceeded quota for imports or query appends per table. For more information, "
		    "see https://cloud.google.com/bigquery/docs/troubleshoot-quotas");
	return 0;
}

static int
execute(struct run *r, struct err *e)
{
	const char *fault;

	r->load = json_get(&r->config, 0, "load");
	json_i64(&r->config, json_get(&r->config, r->load, "maxBadRecords"), &r->max_bad);
	r->row.ignore_unknown = json_true(&r->config, json_get(&r->config, r->load, "ignoreUnknownValues"));
	if (find_table(r, e) < 0 || (r->table != NULL && check_quota(r, e) < 0) ||
	    (r->error.n == 0 && find_files(r, e) < 0))
		return -1;
	fault = r->table != NULL ? faults_job(r->bq->emu, r->table->name) : NULL;
	if (fault != NULL)
		fail(r, fault, NULL, "A fault that gcp-emu was asked for.");
	if (r->error.n > 0)
		return write_end(r, e);
	r->row.j = &r->row_json;
	r->row.cells = xcalloc(r->table->fields.n + 1, sizeof(*r->row.cells));
	return store(r, e);
}

static void
release(struct run *r)
{
	for (size_t i = 0; i < r->nfiles; i++) {
		free(r->files[i].uri);
		free(r->files[i].path);
	}
	free(r->files);
	free(r->row.cells);
	buf_release(&r->row.scratch);
	buf_release(&r->row.path);
	buf_release(&r->errors);
	buf_release(&r->error);
	json_release(&r->config);
	json_release(&r->row_json);
}

void
bq_load_run(struct bigquery *bq, struct bq_dataset *d, struct str key)
{
	struct run r = {.bq = bq, .dataset = d, .key = key, .errors = BUF_INIT(4 * MIB),
	    .error = BUF_INIT(64 * KIB), .row.scratch = BUF_INIT(ROW_MAX), .row.path = BUF_INIT(64 * KIB)};
	sqlite3_stmt *st = NULL;
	struct err e = {0};
	char *config = NULL;

	if (sqlite3_prepare_v2(d->db, "SELECT config FROM _jobs WHERE key = ?", -1, &st, NULL) == SQLITE_OK) {
		sqlite3_bind_text(st, 1, key.p, (int)key.n, SQLITE_STATIC);
		if (sqlite3_step(st) == SQLITE_ROW)
			config = xstrdup((const char *)sqlite3_column_text(st, 0));
	}
	sqlite3_finalize(st);
	if (config == NULL)
		err_set(&e, ERR_IO, "cannot read job '%.*s' in '%s'", STR_ARG(key), d->path);
	if (config == NULL || json_read(&r.config, str_of(config), &e) < 0 || execute(&r, &e) < 0) {
		log_error("%s", e.text);
		r.error.n = r.errors.n = 0;
		fail(&r, "internalError", NULL, "%s", e.text);
		if (write_end(&r, &e) < 0)
			log_error("%s", e.text);
	}
	release(&r);
	free(config);
}
