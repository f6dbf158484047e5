/*
 * bqjob: BigQuery's load jobs as functions with typed results.
 * [cloud.google.com/bigquery/docs/reference/rest/v2/Job]
 *
 * A job's id is the caller's. BigQuery takes an id once: a job that is submitted twice runs once, and the
 * second submission is answered with 409, which says that it is there.
 */
#ifndef EVPIPE_BQJOB_H
#define EVPIPE_BQJOB_H

#include "gapi.h"
#include "json.h"

/* Where jobs run, and what they load into. All borrowed. */
struct bqjob_place {
	const char *project;  /* that the jobs run in */
	const char *location; /* the dataset's: jobs.get needs it for a region */
	const char *dataset_project, *dataset;
};

struct bqjob_load {
	const char *id, *table;
	const struct str *uris;
	size_t n;
	bool ignore_unknown; /* members that are no column of the table */
};

/* Appends rows of newline-delimited JSON to a table that is there. A result's status is 200, or 409: the id is taken. */
struct gapi_call *bqjob_insert(struct gapi *g, const struct bqjob_place *at, const struct bqjob_load *load,
    gapi_done *done, void *arg);
/* A result's status is 200, or 404 where there is no such job. */
struct gapi_call *bqjob_get(struct gapi *g, const struct bqjob_place *at, const char *id, gapi_done *done, void *arg);

struct bqjob_error {
	struct str reason, location, message; /* "invalid", "gs://...", what is wrong; "" where absent */
};

/* What is known of a job. Views are decoded and borrowed during the callback. */
struct bqjob {
	struct str id;
	bool ended;
	bool failed;          /* and with what: */
	struct bqjob_error error;
	int64_t rows;         /* that were stored; -1: not told */
	int64_t created;      /* microseconds since 1970; 0: not told */
	struct str table;     /* tableId of its destination */
	uint32_t uris;        /* the token of its sourceUris, or JSON_NONE */
};

typedef void bqjob_each_error(void *arg, const struct bqjob_error *error);
/*
 * Reads the reply to jobs.get: calls told(arg, job) once, for a failed job after each(arg, error) for every
 * one of status.errors. -1 where it is no job; nothing was called then.
 */
int bqjob_read(struct json *j, struct str body, void (*told)(void *arg, const struct bqjob *job),
    bqjob_each_error *each, void *arg, struct err *e);

/* What a failed job means for its data: ERR_TRANSIENT, ERR_QUOTA, ERR_AUTH; ERR_INPUT: the data; else ERR_PERMANENT. */
enum err_class bqjob_class(struct str reason);

/* The location of the dataset, to be freed by the caller; NULL with e filled. */
char *bqjob_location(struct gapi *g, const char *project, const char *dataset, struct err *e);

/* One job of a list; j holds its URIs. -1 with e filled ends the listing. */
typedef int bqjob_each(void *arg, const struct json *j, const struct bqjob *job, struct err *e);
/*
 * Calls each(arg, j, job) for the jobs that this account has created since `since` (microseconds since 1970), newest
 * first. -1 with e filled; *refused is then HTTP's status where the first page was refused, and 0 otherwise.
 */
int bqjob_list(struct gapi *g, const char *project, int64_t since, bqjob_each *each, void *arg, int *refused, struct err *e);

#endif
