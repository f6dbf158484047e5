/*
 * bq-insert: what its three parts share. main.c is the options and the stage's callbacks; request.c is a
 * request's life, from the rows that are due to the verdict on each; row.c is one row: out of a record, into
 * a request or a reject.
 */
#ifndef BQ_INSERT_H
#define BQ_INSERT_H

#include "batch.h"
#include "bigquery.h"
#include "common.h"
#include "receipt.h"
#include "record.h"
#include "tally.h"

enum { INSERT_ID_MESSAGE, INSERT_ID_NONE };

struct options {
	struct common common;
	struct batch_limits limits;
	const char *schemas, *rejects;
	int insert_id;
	bool gzip, receipts;
};

/* One schema table and its place in BigQuery. */
struct table {
	struct insert *in;
	const struct schema_table *schema;
	char *name;
	int64_t looked;          /* when it was last found to fit after a row was refused; 0: never */
	struct gapi_call *look;  /* under way */
	struct request *waiting; /* requests whose rows' fate hangs on it */
};

/* A record in flight. Places are offsets into line. */
struct row {
	struct table *table;
	struct slice {
		uint32_t at, n;
	} event, id, source;
	char *code, *path, *detail; /* why it is refused */
	uint32_t n;
	char line[];
};

/* A file's end among the records: it goes on when all that came before it has. */
struct end {
	struct end *next;
	uint64_t after; /* records that came in before */
	char *line;
	size_t n;
};

/* Scratch memory for writing rows. */
struct row_writer {
	struct json event;
	struct str *pieces;
	size_t cap;
	struct buf encoded;
};

/* An insertAll under way, or one whose refused rows wait for a look at their table. */
struct request {
	struct insert *in;
	struct table *table;
	struct flight *flight;
	struct gapi_call *call;
	bool quota;
	char again[64]; /* a reason to send rows again */
	struct request *waiting; /* the next in table->waiting */
	struct request *next, **link; /* in insert.requests */
};

struct insert {
	struct options o;
	struct stage stage;
	struct sink out, rejects;
	struct receipts receipts;
	struct http *http;
	struct gapi gapi;
	struct schema schema;
	struct table *tables;
	char *project, *dataset;
	struct batch *batch;
	struct end *ends, **last_end;
	struct request *requests;
	struct json json;
	struct row_writer writer;
	struct tally tally;
	uint64_t sent, sent_again; /* requests, rows */
	int64_t warned;
	struct err failed;
	bool torn;
};

/* row.c */
struct row *row_new(const struct record *r, struct table *t);
void row_free(struct row *r);
/* what stands between the quotes of msg.id and msg.source; STR_NONE where absent. Borrowed from the row. */
struct str row_id(const struct row *r);
struct str row_source(const struct row *r);
/* Appends the row as it stands in a request. */
void row_write(struct row_writer *w, struct buf *body, bool first, bool with_id, const struct row *r);
/* Notes why a row is refused; the first reason counts. location as BigQuery gives it: "items[2].price". */
void row_refuse(struct row *r, const char *code, struct str location, struct str detail);
/* Appends the rejected record of a refused row. */
void row_write_rejected(struct row_writer *w, struct buf *out, const struct row *r, struct json *j);
void row_writer_release(struct row_writer *w);

/* request.c */
/* Sends f's rows. Its end is written down in the batch, or in insert.failed. */
void request_send(struct insert *in, struct flight *f);
/* Ends what is under way. */
void requests_cancel(struct insert *in);
/* The tool ends with this error as soon as what is stored was passed on. The first one counts. */
void insert_stop(struct insert *in, const struct err *why);

#endif
