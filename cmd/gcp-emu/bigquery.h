/*
 * bigquery: what the parts of the BigQuery stand-in share.
 *
 *	bigquery.c         open, close, the routes, the defaults
 *	bigquery_rest.c    what all calls of the REST API share
 *	bigquery_dataset.c, bigquery_table.c  the resources as the API shows and takes them
 *	bigquery_store.c   datasets and tables in SQLite, one file a dataset
 *	bigquery_schema.c  a table's fields: read, checked, compared, written
 *	bigquery_value.c   one JSON value against one field: is it taken, and as what is it kept
 *	bigquery_civil.c   dates and times as BigQuery reads and writes them
 *	bigquery_insert.c  tabledata.insertAll
 *	bigquery_ids.c     the insertId memory
 *	bigquery_cell.c    stored values as {"v": ...}; tabledata.list
 *	bigquery_sql.c     a BigQuery SELECT as SQLite's
 *	bigquery_run.c     running it
 *	bigquery_job.c     jobs and query results
 *	bigquery_load.c    load jobs: taken, kept, shown, listed
 *	bigquery_files.c   running one: files to rows
 *
 * On disk (DIR/bigquery/PROJECT/DATASET.sqlite) a BigQuery table is a SQLite table of the same name and
 * columns: INT64 and BOOL (0, 1) are INTEGER, FLOAT64 is REAL (NaN is the text 'NaN'), everything else is
 * TEXT in its canonical form; RECORD and REPEATED are JSON. Our own tables begin with "_".
 */
#ifndef GCP_EMU_BIGQUERY_H
#define GCP_EMU_BIGQUERY_H

#include <sqlite3.h>

#include "emu.h"
#include "map.h"

#define BQ_REQUEST_MAX 10485760   /* bytes of an insertAll request [BigQuery quotas] */
#define BQ_ROWS_MAX 50000         /* rows of one [likewise] */
#define BQ_COLUMNS_MAX 1900       /* SQLite's limit is 2,000, BigQuery's 10,000 */
#define BQ_FIELD_NAME_MAX 300
#define BQ_DATASET_NAME_MAX 240   /* it is a file's name here; BigQuery takes 1,024 */
#define BQ_TABLE_NAME_MAX 1024
#define BQ_INSERT_ID_BYTES 1024   /* the service's limit is not published */
#define BQ_INSERT_ID_SECONDS 60   /* how long an insertId is remembered */
#define BQ_ROW_ERRORS 32          /* errors listed for one row */
#define BQ_PAGE_BYTES (10 * 1024 * 1024) /* about where a page of rows ends */
#define BQ_PAGE_ROWS 100000
#define BQ_RESULT_BYTES (64 * 1024 * 1024) /* of one query */
#define BQ_RESULTS_BYTES (128 * 1024 * 1024) /* of all queries whose results are still kept */
#define BQ_JOBS 1000

struct bq_field {
	struct str name;  /* owned */
	enum field_type type;
	enum field_mode mode;
	struct str extra; /* owned: a JSON object with the members we only keep (description, ...) */
	struct bq_field *fields; /* of a RECORD */
	uint32_t nfields;
};

struct bq_fields {
	struct bq_field *v;
	uint32_t n;
};

struct bq_table {
	struct bq_dataset *dataset;
	struct str name;  /* owned */
	struct bq_fields fields;
	struct str extra; /* owned: a JSON object: timePartitioning, clustering, ... as they came */
	const char *rowid; /* a name of SQLite's row number that no column hides */
	int partition;    /* the partition column's index, -1: none */
	int64_t created, modified; /* milliseconds */
	int64_t rows;     /* -1: not counted since the start */
	sqlite3_stmt *insert; /* NULL until needed */
	struct bq_ids *ids;
};

struct bq_dataset {
	struct bigquery *bq;
	struct str key;    /* owned: "P:D" */
	struct str project, id; /* parts of key */
	char *path;
	sqlite3 *db;
	sqlite3_stmt *ids_put, *ids_drop;
	struct map tables; /* struct bq_table by name */
	struct str extra;  /* owned: a JSON object */
	int64_t created, modified;
};

struct bq_job {
	struct bq_job *next;  /* newer */
	struct str key;       /* owned: "P:ID" */
	struct str project, id;
	char *sql;            /* as it came */
	int64_t created, ended; /* milliseconds */
	int code;             /* 0: done well, else the error's */
	const char *reason;
	char *message;
	struct buf schema;    /* {"fields":[...]} */
	struct buf rows[2];   /* TIMESTAMP as float, as int64; the second only where there is a TIMESTAMP */
	size_t *at[2];        /* where each row ends */
	size_t nrows;
	bool timestamps;
	bool dry_run;
};

struct bigquery {
	struct emu *emu;
	char *dir;
	struct map datasets; /* struct bq_dataset by key */
	struct bq_job *oldest, *newest;
	struct map jobs;     /* struct bq_job by "P:ID" */
	struct bq_pending *pending; /* load jobs that wait, in their order */
	size_t job_bytes;
	uint64_t job_serial;
	uint64_t stored, repeated; /* rows of insertAll since the start: kept, and known by their insertId */
	bool partition_window; /* GCP_EMU_PARTITION_WINDOW=1 */
	int64_t table_jobs;  /* load jobs into a table in 24 hours: GCP_EMU_TABLE_JOBS, or 1500 */
	struct json json;    /* the request's body */
	struct json cell;    /* a stored JSON column */
	struct buf scratch;
};

/* ---- bigquery_schema.c ---- */

/* Reads an array of field definitions: -1 with what is wrong in e. */
int bq_fields_read(struct bq_fields *out, const struct json *j, uint32_t array, unsigned depth,
    struct err *e);
void bq_fields_write(struct jsonw *w, const struct bq_field *fields, uint32_t n);
void bq_fields_release(struct bq_fields *f);
/* Whether a table with fields `from` may be patched to `to`: -1 with the reason in e. prefix: "" or "a.b." */
int bq_fields_compatible(const struct bq_field *from, uint32_t nfrom, const struct bq_field *to, uint32_t nto,
    const char *prefix, struct err *e);
/* The index of the field of that name (letter case does not count), or -1; hint is where it may well be. */
int bq_field_find(const struct bq_field *fields, uint32_t n, struct str name, uint32_t hint);
/* timePartitioning and clustering in a table's extra against its fields; sets t->partition. */
int bq_table_layout(struct bq_table *t, struct err *e);
/* the name the REST API gives a type: INTEGER, FLOAT, BOOLEAN, ... */
const char *bq_type_name(enum field_type t);
/* Copies those of names (ended by NULL) that object t has into an object being written. */
void bq_members_copy(struct jsonw *w, const struct json *j, uint32_t object, const char *const *names);

/* ---- bigquery_store.c ---- */

int bq_store_open(struct bigquery *bq, struct err *e);
struct bq_dataset *bq_dataset_find(struct bigquery *bq, struct str project, struct str id);
/* takes extra over */
struct bq_dataset *bq_dataset_create(struct bigquery *bq, struct str project, struct str id, struct str extra,
    struct err *e);
int bq_dataset_save(struct bq_dataset *d, struct err *e);
int bq_dataset_delete(struct bq_dataset *d, struct err *e);
void bq_dataset_close(struct bq_dataset *d);
struct bq_table *bq_table_find(const struct bq_dataset *d, struct str name);
/* Makes the table of t, which the dataset owns on success. */
int bq_table_create(struct bq_dataset *d, struct bq_table *t, struct err *e);
/* Gives t the fields and extra of `to`, which it takes over. */
int bq_table_alter(struct bq_table *t, struct bq_table *to, struct err *e);
int bq_table_delete(struct bq_table *t, struct err *e);
void bq_table_free(struct bq_table *t);
int64_t bq_table_rows(struct bq_table *t);
/* The statement that inserts a row, its parameters in the fields' order; NULL with e filled. */
sqlite3_stmt *bq_table_insert(struct bq_table *t, struct err *e);
int bq_exec(sqlite3 *db, const char *sql, struct err *e);
/* appends "name", quotes doubled */
void bq_quote(struct buf *out, struct str name);
/* the names of a dataset's tables, or a project's datasets, sorted; free the array. Borrowed views. */
struct str *bq_names(const struct map *m, struct str prefix, size_t *n);

/* ---- bigquery_ids.c ---- */

struct bq_ids *bq_ids_new(void);
uint64_t bq_ids_hash(struct str id);
/* false: it was added in the last minute */
bool bq_ids_add(struct bq_ids *ids, uint64_t hash, int64_t now);
/* as if it had been added left microseconds before it expires */
void bq_ids_restore(struct bq_ids *ids, uint64_t hash, int64_t now, int64_t left);
/* forgets the n newest */
void bq_ids_undo(struct bq_ids *ids, size_t n);
void bq_ids_free(struct bq_ids *ids);

/* ---- bigquery_civil.c: each false where the text is none; micros since 1970 or since midnight ---- */

bool bq_parse_timestamp(struct str s, int64_t *micros);
bool bq_parse_epoch(struct str number, int64_t *micros); /* seconds with up to 6 decimals */
bool bq_parse_date(struct str s, int64_t *micros);
bool bq_parse_datetime(struct str s, int64_t *micros);
bool bq_parse_time(struct str s, int64_t *micros);
bool bq_timestamp_in_range(int64_t micros);
void bq_write_civil(struct buf *out, enum field_type type, int64_t micros);
/* "1.7672256E9", as Java prints a double; exact for every microsecond */
void bq_write_epoch(struct buf *out, int64_t micros);
/* a double as Java prints it: "49.99", "1.0E10", "NaN", "Infinity" */
void bq_write_double(struct buf *out, double d);
/* The canonical text of a NUMERIC: false where s is none or has more than 29 integer or 9 fraction digits. */
bool bq_write_numeric(struct buf *out, struct str s);

/* ---- bigquery_value.c ---- */

enum bq_cell_kind { BQ_NULL, BQ_INT, BQ_REAL, BQ_TEXT };

struct bq_cell {
	enum bq_cell_kind kind;
	int64_t i;        /* BQ_INT; of TIMESTAMP, DATE and DATETIME the microseconds */
	double d;
	struct str text;  /* BQ_TEXT where p is set */
	size_t at, n;     /* otherwise in the row's scratch */
};

struct bq_row_error {
	const char *reason;
	char *message, *location;
};

/* One row being read. Errors gather; the row is good where there are none. */
struct bq_row {
	const struct json *j;
	bool ignore_unknown;
	struct bq_cell *cells;  /* one a column */
	struct buf scratch;     /* texts that are not the request's own */
	struct buf path;        /* of the field being read: "items[0].price" */
	struct bq_row_error errors[BQ_ROW_ERRORS];
	unsigned nerrors;
};

/* Reads the object t as a row of these fields into r->cells. */
void bq_row_read(struct bq_row *r, const struct bq_fields *fields, uint32_t t);
void bq_row_fail(struct bq_row *r, const char *reason, struct str location, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* ready for the next row */
void bq_row_clear(struct bq_row *r);
struct str bq_cell_text(const struct bq_row *r, const struct bq_cell *c);

/* "name":"123": Google's way with 64-bit numbers */
void bq_member_i64(struct jsonw *w, const char *name, int64_t v);

/* ---- bigquery_insert.c, bigquery_cell.c, bigquery_sql.c, bigquery_job.c, bigquery_rest.c ---- */

void bq_insert_all(struct bigquery *bq, struct bq_table *t, struct request *req, struct reply *rep);
/* Stores a row that was read, by bq_table_insert's statement. */
int bq_row_store(const struct bq_row *r, const struct bq_table *t, sqlite3_stmt *st, struct err *e);
void bq_list_rows(struct bigquery *bq, struct bq_table *t, struct request *req, struct reply *rep);
/* Writes {"v":...} for column col of a statement. */
void bq_write_cell(struct bigquery *bq, struct jsonw *w, const struct bq_field *f, sqlite3_stmt *st, int col,
    bool int64_timestamp);

#define BQ_SQL_DATASETS 8
struct bq_sql {
	struct bq_dataset *datasets[BQ_SQL_DATASETS]; /* to be attached by their keys */
	unsigned ndatasets;
	struct buf text; /* for SQLite */
	const char *reason; /* of an error: "invalidQuery", "notFound" */
	int code;           /* ... 400, 404 */
};
/* default_dataset may be NULL. The caller releases q->text. */
int bq_sql_translate(struct bigquery *bq, struct str project, struct bq_dataset *default_dataset,
    struct str sql, struct bq_sql *q, struct err *e);

/* Runs q; the job holds its schema and rows, or its error. */
void bq_run(struct bigquery *bq, struct bq_job *job, const struct bq_sql *q);
void bq_job_fail(struct bq_job *job, int code, const char *reason, const char *message);
void bq_query(struct bigquery *bq, struct str project, struct request *req, struct reply *rep);
void bq_query_results(struct bigquery *bq, struct str project, struct str id, struct request *req,
    struct reply *rep);
void bq_jobs_insert(struct bigquery *bq, struct str project, struct request *req, struct reply *rep);
void bq_jobs_get(struct bigquery *bq, struct str project, struct str id, struct reply *rep);
void bq_jobs_close(struct bigquery *bq);

/* ---- bigquery_load.c, bigquery_files.c ---- */

/* finds the jobs that were accepted and not run */
void bq_loads_open(struct bigquery *bq);
void bq_loads_close(struct bigquery *bq);
/* key: "P:ID" */
bool bq_load_exists(struct bigquery *bq, struct str key);
/* Takes the job of the configuration in bq->json. id may be NULL. */
void bq_load_insert(struct bigquery *bq, struct str project, const char *id, uint32_t config, struct reply *rep);
/* The job's resource as the reply: false where there is none. */
bool bq_load_get(struct bigquery *bq, struct str key, struct reply *rep);
void bq_loads_list(struct bigquery *bq, struct str project, struct request *req, struct reply *rep);
/* Runs a pending job to its end, good or bad. */
void bq_load_run(struct bigquery *bq, struct bq_dataset *d, struct str key);

/* ---- bigquery_rest.c ---- */

bool bq_is(const struct request *req, const char *method);
void bq_no_method(struct request *req, struct reply *rep);
void bq_no_content(struct reply *rep);
/* 400 where the input was wrong, else 500 */
void bq_failed(struct reply *rep, const struct err *e);
/* The members to keep of an object in bq->json, as a JSON text of its own. */
struct str bq_keep_members(struct bigquery *bq, uint32_t object, const char *const *names);
/* The part of a sorted list of n that maxResults and pageToken ask for: false after an error reply. */
bool bq_page(const struct request *req, struct reply *rep, size_t n, size_t *from, size_t *to);
void bq_projects_list(struct bigquery *bq, struct reply *rep);
void bq_test_permissions(struct bigquery *bq, struct request *req, struct reply *rep);
void bq_datasets(struct bigquery *bq, struct str project, struct request *req, struct reply *rep);
void bq_dataset(struct bigquery *bq, struct str project, struct str id, struct request *req,
    struct reply *rep);
void bq_tables(struct bigquery *bq, struct bq_dataset *d, struct request *req, struct reply *rep);
void bq_table(struct bigquery *bq, struct bq_dataset *d, struct str name, struct request *req,
    struct reply *rep);
/* Parses the request's body, an object, into bq->json: false after an error reply. Empty stands for {}. */
bool bq_body(struct bigquery *bq, struct request *req, struct reply *rep);
/* Makes a table of the resource object t in bq->json. */
int bq_table_from_resource(struct bigquery *bq, struct bq_dataset *d, struct str name, uint32_t t,
    struct err *e);
/* A query parameter as a number: def where it is absent, -1 where it is none or beyond max. */
int64_t bq_param(const struct request *req, const char *name, int64_t def, int64_t max);

#endif
