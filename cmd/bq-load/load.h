/*
 * bq-load: what its parts share. main.c is the options and the stage's callbacks; input.c takes object lines
 * and knows every object that was ever seen; job.c is a job's life; book.c is the journal, found.c what BigQuery
 * knows where that was lost; place.c finds the line of a row that BigQuery refuses.
 *
 * The life of a job:  open (collecting objects) --closed--> ready --its table fits--> written down -->
 * submitted --> asked until it has ended --> its objects' receipts are paid, or the next attempt is made of
 * those that are not to blame.
 */
#ifndef BQ_LOAD_H
#define BQ_LOAD_H

#include "bigquery.h"
#include "bounds.h"
#include "bqjob.h"
#include "common.h"
#include "gsjournal.h"
#include "map.h"
#include "tally.h"

#define CALLS_MAX 16         /* requests under way at once */
#define HELD_MAX 200000      /* objects in jobs that have not ended, before no more input is taken */
#define REFUSED_MAX 50       /* objects that one job may lose before its table is to blame */
#define JOB_TEXT_MAX 8000000 /* bytes of URIs in a job: a request has to hold them */
#define URL_LENGTH_MAX 2048  /* gs://, a bucket of at most 222 and a name of at most 1,024 bytes */
#define TABLE_JOBS_MAX 1500  /* into a table a day, failed ones included [BigQuery quotas: load jobs] */

struct options {
	struct common common;
	const char *schemas, *journal;
	int64_t linger, look_back; /* microseconds */
	int64_t max_objects, max_bytes, max_jobs;
};

/* What one object line is owed. */
struct payee {
	struct payee *next;
	char *source; /* as it came; NULL: no receipt */
	uint64_t rows;
};

/* An object that waits in a job. */
struct object {
	struct object *next;
	struct known *known;
	char *url;
	uint64_t rows, bytes; /* as a line told, rows also of an earlier run; 0: none did */
	struct payee *payees;
};

/* An object that was ever seen, by the hash of its name. */
struct known {
	uint8_t key[16];
	bool loaded;
	bool lacked;           /* the journal did not know it; BigQuery told when this run began */
	uint16_t attempts;     /* jobs with it that failed */
	struct object *object; /* while it waits in a job: the newest, should there be several */
};

struct table {
	const struct schema_table *schema;
	char *name;
	bool ignore_unknown;  /* the discriminator is no column */
	struct job *open[2];  /* collecting plain and gzip objects */
	int64_t *submitted;   /* when, since 1970: of the last 24 h */
	size_t nsubmitted;
	bool held;            /* told that it has as many jobs as it may */
};

enum job_step {
	JOB_OPEN,
	JOB_READY,   /* closed */
	JOB_CHECK,   /* its table is looked at */
	JOB_SUBMIT,  /* it is written down, and being submitted */
	JOB_ASK,     /* it is asked for: now, or at `when` */
};

struct job {
	struct load *load;
	struct job *next;
	struct table *table;
	enum job_step step;
	struct object *first, **last;
	size_t n, text;       /* objects; bytes of their names */
	uint64_t bytes;       /* of what this run was told of */
	unsigned attempt;
	char *id;             /* from JOB_READY on */
	bool written;         /* in the journal */
	bool found;           /* it was not, and may be another run's: only what lines ask for is tried again */
	bool submitted;       /* by this process, or BigQuery had it */
	int64_t opened, when, wait;
	struct retry retry;   /* of jobs that failed for no fault of the data */
	unsigned lost;        /* times that BigQuery did not know it after all */
	unsigned refused;     /* objects left out so far */
	struct gapi_call *call;
	struct object *blamed; /* objects that the reply names: taken out of the list */
};

struct load {
	struct options o;
	struct stage stage;
	struct sink out;
	struct http *http;
	struct gapi gapi;
	struct schema schema;
	struct table *tables;
	char *project, *dataset; /* the dataset's */
	char *location;
	struct bqjob_place place;
	char prefix[40];         /* of the ids of jobs into this dataset */
	struct journal journal;
	struct gsjournal gsjournal; /* where it is in Cloud Storage */
	struct map known;        /* struct known by its key */
	struct job *jobs, **last_job; /* closed, not ended */
	unsigned under_way;
	size_t held;
	unsigned nfound;         /* jobs that the journal lacked */
	struct json json;        /* of lines and replies */
	struct rng rng;
	struct tally tally;
	uint64_t njobs, nrows, nreceipted, nexisted, nfailed;
	struct err failed;       /* class ERR_NONE: none */
	bool torn;
};

/* input.c */
int input_line(struct load *ld, const struct line *l, struct err *e);
/* The entry of an object, made where there is none. */
struct known *known_get(struct load *ld, struct str url);
struct object *object_new(struct load *ld, struct str url);
/* Writes the receipts of an object, and counts its lines. */
void object_pay(struct load *ld, struct object *o);
/* It waits no longer. */
void object_free(struct load *ld, struct object *o);
void objects_free(struct load *ld, struct object *first);

/* job.c */
struct job *job_new(struct load *ld, struct table *t);
void job_add(struct job *j, struct object *o);
/* No more objects: it gets its id and its place among the jobs. */
void job_close(struct job *j);
/* A job of the journal that has not ended. Its objects are added already. */
void job_resume(struct job *j, struct str id, bool found);
/* The id that it gets for its objects and attempt, to be freed. */
char *job_id(const struct job *j);
/* Takes it out of the jobs, and frees it. */
void job_drop(struct job *j);
/* Does what is due, for all of them. */
void jobs_turn(struct load *ld);
/* Everything, at the end. */
void jobs_free(struct load *ld);
void job_free(struct job *j);
/* The tool ends with this error. The first one counts. */
void load_stop(struct load *ld, const struct err *why);

/* ending.c */
/* BigQuery has loaded all of it. */
void job_done(struct job *j, const struct bqjob *job);
/* One of the errors of a reply about it, as bqjob_read tells them: arg is the job. */
void job_error(void *arg, const struct bqjob_error *error);
/* It has failed: whose fault was it, and what is tried again? */
void job_failed(struct job *j, const struct bqjob *job);

/* place.c */
/* The line of the object at which the row begins that the message is about; 0: it does not tell, or cannot be read. */
uint64_t place_line(const struct load *ld, const char *url, struct str message);

/* book.c */
/* Reads the journal, or begins it, and asks BigQuery for the jobs that it lacks. */
int book_open(struct load *ld, struct err *e);
/* Writes a job down: on disk when it returns 0. */
int book_job(struct load *ld, const struct job *j, struct err *e);
/* Writes down how it ended, likewise. */
int book_end(struct load *ld, const char *id, bool failed, struct err *e);
/* Jobs into t in the 24 hours before wall. *leaves: when the first of them will be older. */
size_t book_count(struct table *t, int64_t wall, int64_t *leaves);

#endif
