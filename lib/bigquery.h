/*
 * bigquery: the BigQuery calls as functions with typed results. [cloud.google.com/bigquery/docs/reference/rest]
 */
#ifndef EVPIPE_BIGQUERY_H
#define EVPIPE_BIGQUERY_H

#include "gapi.h"
#include "json.h"
#include "schema.h"

int bigquery_init(struct gapi *g, struct http *http, const struct login *login, int64_t patience, struct err *e);

/* Appends the start of an insertAll body; then a bigquery_row each; then bigquery_end. */
void bigquery_begin(struct buf *body);
/*
 * One row. insert_id: raw text between quotes, STR_NONE for none. event: the row's JSON object in pieces (what was cut
 * out of it lies between them).
 */
void bigquery_row(struct buf *body, bool first, struct str insert_id, const struct str *pieces, size_t n);
void bigquery_end(struct buf *body);

struct gapi_call *bigquery_insert(struct gapi *g, const char *project, const char *dataset, const char *table,
    struct buf *body, bool gzip, gapi_done *done, void *arg);

/* One entry of insertErrors. Views are decoded and borrowed during the callback. */
struct bigquery_row_error {
	uint32_t index;
	struct str reason;   /* "invalid", "stopped", ... */
	struct str location; /* the column, "" where absent */
	struct str message;
};
/*
 * Reads a 200 reply to its end: each(arg, error) for every error of every row. -1 where it is no reply of insertAll (then
 * nothing may be taken as stored).
 */
int bigquery_read_insert(struct json *j, struct str body, uint32_t rows,
    void (*each)(void *arg, const struct bigquery_row_error *error), void *arg, struct err *e);

/*
 * Compares a table with its schema: columns, types, modes. 0: it fits; -1 with ERR_CONFIG naming the table, the column and
 * the difference, or the call's own error (404: ERR_PERMANENT).
 */
int bigquery_check_table(struct gapi *g, const char *project, const char *dataset, const struct schema *s,
    const struct schema_table *t, struct err *e);
/* The same on a reply of tables.get that is there already. */
int bigquery_compare(struct json *j, struct str body, const char *object, const struct schema *s,
    const struct schema_table *t, struct err *e);
struct gapi_call *bigquery_get_table(struct gapi *g, const char *project, const char *dataset, const char *table,
    gapi_done *done, void *arg);

#endif
