/*
 * record: the lines that flow between tools (CONTRACT section 2, records(5)).
 *
 * record_parse turns one line into views of that line; a tool reads the members it needs and passes the rest
 * on as they are. Views are borrowed from the line. `raw` texts are JSON as it stands in the line, fit to be
 * written again as they are: a string's quotes are part of them.
 */
#ifndef EVPIPE_RECORD_H
#define EVPIPE_RECORD_H

#include "json.h"
#include "jsonw.h"
#include "line.h"

enum record_kind {
	RECORD_BARE,     /* an object without "msg" */
	RECORD_RAW,      /* msg, data */
	RECORD_VALID,    /* msg, type, table, time, event */
	RECORD_REJECTED, /* msg, data, stage, errors */
	RECORD_RECEIPT,  /* msg alone, or with count */
	RECORD_END,      /* msg.source, end: a file was read to its end (see record_write_end) */
	RECORD_OBJECT,   /* object, generation, ... (gcs-put --objects) */
};

struct record {
	enum record_kind kind;
	struct str line;
	struct str msg;    /* raw object; STR_NONE in a bare line or an object line */
	struct str id;     /* msg.id, between its quotes, escapes and all; STR_NONE where absent */
	struct str source; /* msg.source, likewise */
	struct str data;   /* base64 text between its quotes */
	struct str type, table, time; /* between quotes; only where free of escapes, else STR_NONE */
	struct str event;  /* raw object */
	uint32_t t_msg, t_attributes, t_event, t_errors; /* tokens in the struct json, or JSON_NONE */
	int64_t end;       /* of RECORD_END: how many records the file had */
};

/*
 * Parses a line. -1 with ERR_INPUT where it is no JSON object, or a record with members of wrong types
 * ("msg.id is not a string"). j holds the line's tokens afterwards.
 */
int record_parse(struct record *r, struct json *j, struct str line, struct err *e);
/*
 * Takes a line of a record stream (not a bare file): 1; 0 where it is torn, the last one without its newline: a message
 * says so, and the tool drops it and ends with 65 when all else is done; -1 with ERR_INPUT, the stream's name and the
 * line's number in it, where it is too long or no record.
 */
int record_take(struct record *r, struct json *j, const struct line *l, const char *name, struct err *e);
/* the name of a kind for messages: "a raw record" */
const char *record_kind_name(enum record_kind k);

/* One fault, as it stands in a rejected record's errors. */
struct record_fault {
	struct str code, path, detail; /* plain text, escaped when written */
};

/*
 * Appends a rejected record without newline: msg as it came, data as base64 text ready to be quoted, stage and
 * faults.
 */
void record_write_rejected(struct buf *out, struct str msg, struct str data_base64, const char *stage,
    const struct record_fault *faults, size_t n);
/* Appends {"msg":{"id":"ID"}}: id between its quotes as it came. */
void record_write_receipt(struct buf *out, struct str id);
/*
 * Appends {"msg":{"source":"SOURCE"},"end":N}, source between its quotes: what ev-read writes behind the last
 * record of each file, N being how many it wrote. Stages pass it on in its place. gcs-put stores what it has
 * of a file only then, for a stream that was cut off looks like one that ended, and half a file's objects are
 * not those that reading it again makes.
 */
void record_write_end(struct buf *out, struct str source, uint64_t n);

#endif
