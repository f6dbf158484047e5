/*
 * gcs-put: what its three parts share. input.c sorts records into objects; object.c is an object's life after
 * it is closed; main.c is the options and the stage's callbacks.
 *
 * The life of an object:  open (in the lake's book) --closed--> waiting (for its turn) --> uploading
 * --final--> stored (its receipts are being written) --> freed.
 */
#ifndef GCS_PUT_H
#define GCS_PUT_H

#include "common.h"
#include "digest.h"
#include "gcs.h"
#include "lake.h"
#include "record.h"
#include "spool.h"
#include "tally.h"

#define UPLOADS_MAX 8
/* of content, in all uploads together; it counts against the spools' memory */
#define UPLOAD_MEMORY (16 * MIB)
/* closed objects that wait, before no more input is taken */
#define WAITING_MAX 8

enum { BY_PUBLISH, BY_EVENT };
enum { COMPRESS_NONE, COMPRESS_GZIP };

struct options {
	struct common common;
	int64_t rotate_bytes, max_held, max_held_bytes;
	int64_t rotate_after, idle_after; /* microseconds */
	int compress, by;
	bool pass, objects;
};

struct object {
	struct lake_part part; /* first, so that a part is its object */
	struct put *put;
	char *type;            /* escaped for names */
	char *source;          /* a file's msg.source as it came; NULL for a subscription's messages */
	char *table;           /* with --objects */
	struct spool *content;
	struct spool *owed;    /* lines: whole records with --pass, otherwise ids; NULL: nothing a record */
	struct digest hash, md5;
	char *name;            /* from here on when closed */
	uint64_t size;         /* of what is uploaded */
	uint8_t md5sum[16];
	struct gcs_upload *upload;
	struct gcs_stored stored;
	struct object *next;   /* in a queue */
};

struct queue {
	struct object *first, *last;
	unsigned n;
};

struct put {
	struct options o;
	char *bucket, *prefix;
	struct stage stage;
	struct sink out;
	struct http *http;
	struct gapi gapi;
	struct lake lake;
	struct spool_pool pool;
	struct json json;
	struct buf source;     /* msg.source of the last record */
	struct buf key, text;  /* of the record at hand */
	struct queue waiting, stored;
	struct object *uploading[UPLOADS_MAX];
	unsigned nuploading;
	uint64_t upload_memory;
	struct buf partial;    /* owed lines that are being written */
	struct err failed;     /* an upload's; class ERR_NONE: none */
	uint64_t torn;         /* the number of the last line where it was torn */
	bool cut;              /* a file's end did not come */
	struct tally tally;
	uint64_t nobjects, nexisted, nbytes;
};

/* input.c */
int input_line(struct put *p, const struct line *l, struct err *e);
/* No more of the file at hand will come, and its end did not: what is open of it is dropped. */
void input_cut(struct put *p);

/* object.c */
struct object *object_new(struct put *p, const char *type, struct str table);
/* Takes it out of the book; from now on it waits to be uploaded. */
int object_close(struct object *o, struct err *e);
/* Forgets an open one. */
void object_drop(struct object *o);
/* Starts uploads as far as they may. */
int objects_upload(struct put *p, struct err *e);
/* Writes what is owed for stored objects, as far as the output takes it. */
int objects_receipt(struct put *p, struct err *e);
/* Nothing is open, waiting, uploading or owed. */
bool objects_settled(const struct put *p);
/* Everything, at the end; what is not stored is not receipted and comes again. */
void objects_free(struct put *p);

#endif
