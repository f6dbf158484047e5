/*
 * ev-read: what its parts share.
 *
 *	list.c      URLs to objects: listings, globs, shards, what is done already
 *	walk.c      local folders, in the order of names
 *	feed.c      an object's bytes as they come, with read-ahead and back-pressure
 *	emit.c      bytes to events to records
 *	done.c      receipts, and the journal of what is done
 *	progress.c  what a person wants to know meanwhile, and at the end
 *	main.c      options, the stage's callbacks, the phases
 *
 * The life of a run: LOADING (a journal in Cloud Storage is listed) --> READING --> DRAINING (nothing more is read; what
 * is in the outputs is written, then they are closed) --> WAITING (for receipts) --> end.
 */
#ifndef EV_READ_H
#define EV_READ_H

#include "common.h"
#include "gapi.h"
#include "gcs.h"
#include "gcsread.h"
#include "journal.h"
#include "json.h"
#include "rng.h"
#include "s3read.h"
#include "seen.h"
#include "sources.h"
#include "unpack.h"
#include "values.h"

#define READ_AHEAD 8          /* objects whose bytes are fetched at once */
#define FEED_MAX (1 * MIB)    /* bytes of each that wait */
#define QUEUE_MAX 20000       /* objects listed and not begun, about */
#define UNFINISHED_MAX 20000  /* sources that wait for receipts */
#define JOURNAL_CALLS 8       /* entries on their way to a journal in Cloud Storage */
#define SAMPLES 32            /* objects that a dry run looks into, */
#define SAMPLE_BYTES (1 * MIB) /* and how far */

enum phase { LOADING, READING, DRAINING, WAITING };

enum place { PLACE_FILE, PLACE_STDIN, PLACE_GCS, PLACE_S3 };

struct options {
	struct common common;
	const char *acks, *journal, *settings, *rejects, *shard;
	bool dry_run, mark_ends;
	int64_t max_outstanding; /* events */
	int64_t drain;           /* microseconds that a stopped run goes on with the object it is at */
};

/* One file, wherever it is. */
struct object {
	struct object *next;
	enum place place;
	char *url;           /* as given or listed */
	char *generation;
	char *updated;       /* RFC 3339 */
	char *crc32c;        /* as listed; NULL: not known */
	uint64_t size;       /* stored; 0 for a pipe */
	struct source *source; /* once its reading has begun */
	struct feed *feed;     /* once its bytes are asked for */
};

/* Its bytes come over the network. */
static inline bool
object_remote(const struct object *o)
{
	return o->place == PLACE_GCS || o->place == PLACE_S3;
}

struct queue {
	struct object *first, **last;
	size_t n;
};

/* A URL of the command line. */
struct target {
	char *url;
	enum place place;
	char *bucket;        /* NULL: a local path */
	struct str pattern;  /* of names in the bucket, or of paths; borrowed from url */
};

struct read {
	struct options o;
	enum phase phase;
	struct stage stage;
	struct stage_net net;   /* ours: http's and a pipe that is read */
	struct stage_net http_net;
	struct http *http;
	struct gapi gcs;
	bool uses_gcs;
	struct s3 s3;
	bool uses_s3;
	bool uses_files;        /* local ones */
	struct sink out, rejects;
	int64_t now;

	/* list.c */
	struct target *targets;
	int ntargets, target;      /* the one being listed */
	struct gcs_listing *listing;
	struct s3_listing *s3_listing;
	char *token;               /* of its next page */
	struct walk *walk;
	uint64_t matched;          /* of this target */
	uint64_t shard, shards;
	bool listed;               /* all of them */
	struct queue queue;
	struct seen seen;          /* sources that are done, or were begun by this run */

	/* feed.c, emit.c */
	struct object *reading;    /* the one whose events go out */
	struct unpack *unpack;
	struct values values;
	bool text_ended;           /* of `reading` */
	bool told_broken;          /* its unreadable rest was handed out */
	struct err broken;         /* class ERR_NONE, or why its content is */
	struct buf head, tail, name; /* of its records; its source's name */
	uint64_t taken;            /* stored bytes of it that were used */
	int pipe_fd;               /* a pipe that is waited for, or -1 */
	unsigned pipe_place;
	bool pipe_ready;
	int64_t cut_at;            /* when a stopped run gives up the object it is at; 0: it is not stopped */

	/* done.c */
	struct sources sources;
	struct json json;
	struct journal journal;
	char *journal_bucket, *journal_prefix; /* of one in Cloud Storage */
	struct gcs_listing *journal_listing;
	unsigned journal_calls;

	/* what came of it all */
	uint64_t objects, objects_done, objects_skipped, objects_failed, objects_listed, urls_failed;
	uint64_t objects_broken;   /* of `objects`: read to their end, but for what could not be read or passed on */
	uint64_t journal_broken;   /* of the journal's */
	uint64_t bytes, bytes_listed, events, rejected, receipted_rejects;
	struct {
		struct rng rng;            /* picks them: the same ones each time */
		unsigned n;                /* objects looked into, */
		uint64_t events, billed;   /* what is in the one at hand, */
		uint64_t seen;             /* and in all of them; */
		double all_events, all_billed; /* what all that is listed has, judged by them */
	} sample;                          /* of a dry run */
	int64_t started, active_at, progress_at;
	uint64_t progress_events;
	bool progress_shown;
	struct err failure;        /* ends the loop */
	struct err death;          /* the chain died */
	enum err_class worst;      /* of the faults that were named and passed over */
};

/* ---- list.c ---- */
int list_parse(struct read *r, char **urls, int n, struct err *e);
int list_shard(struct read *r, struct err *e);
/* Lists on, as far as the queue has room. */
void list_turn(struct read *r);
void list_release(struct read *r);
struct object *queue_take(struct queue *q);
void object_free(struct object *o);
/* Appends the source's name, "URL@generation", as it stands in records. */
void source_name(struct buf *out, const struct object *o);

/* ---- walk.c ---- */
struct walk;
struct walk *walk_new(struct str pattern);
/* The next path that matches, borrowed until the next call; NULL at the end. What cannot be read is reported. */
const char *walk_next(struct read *r, struct walk *w);
void walk_free(struct walk *w);

/* ---- feed.c ---- */
struct feed {
	struct read *r;
	struct object *o;
	struct gcs_read *gcs;
	struct s3_read *s3;
	int fd;
	bool regular;
	long long inode, mtime, size; /* of a local file, when it was opened */
	struct buf raw;
	size_t used;   /* of raw */
	bool paused, ended;
	struct err err; /* why it ended, class ERR_NONE: whole */
};
void feed_start(struct read *r, struct object *o);
/* Bytes that wait; reads a local file. Empty: none now, or the end. */
struct str feed_bytes(struct feed *f);
void feed_use(struct feed *f, size_t n);
void feed_free(struct feed *f);
/* What a local file's generation is made of. */
struct stat;
char *file_generation(const struct stat *st);

/* ---- emit.c ---- */
/* Emits until the output is full or nothing more is there. */
void emit_turn(struct read *r);
/* Gives up the object that is read: its events so far are no whole. */
void emit_cut(struct read *r);

/* ---- done.c ---- */
int done_open(struct read *r, struct err *e);
int done_receipt(struct read *r, const struct line *l, struct err *e);
/* Journals what is done. */
int done_turn(struct read *r, struct err *e);
bool done_settled(const struct read *r);
void done_release(struct read *r);

/* ---- progress.c ---- */
void progress_turn(struct read *r);
/* Ends the redrawn line, so that a message may follow. */
void progress_clear(struct read *r);
void progress_sample(struct read *r);
void progress_report(struct read *r);

/* An object or URL that cannot be read is named and counted, and the rest goes on. */
void fault(struct read *r, const struct err *e);

#endif
