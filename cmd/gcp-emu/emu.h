/*
 * emu: what the parts of gcp-emu share. One process, one thread, one loop: the HTTP server (httpd.c) reads a
 * whole request, main.c's router finds the service, the service fills the reply. Nothing here locks.
 *
 * A service that cannot answer yet (Pub/Sub's pull) returns EMU_WAIT with req->wake_at set; the request is
 * handed to it again when that time comes or after emu_wake(), until it answers or the client has gone.
 */
#ifndef GCP_EMU_EMU_H
#define GCP_EMU_EMU_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "json.h"
#include "jsonw.h"
#include "schema.h"

struct pubsub;
struct bigquery;
struct gcs;
struct httpd;
struct faults;
struct counts;

struct emu {
	const char *dir;       /* DIR */
	const char *project;   /* P, the default project */
	const struct schema *schema; /* --schemas, or NULL */
	int64_t min_deadline;  /* seconds: the least ack deadline (10, or --min-deadline) */
	int64_t now;           /* monotonic microseconds, read once a turn */
	int64_t wall;          /* microseconds since 1970, likewise */
	struct pubsub *pubsub;
	struct bigquery *bigquery;
	struct gcs *gcs;
	struct httpd *httpd;
	struct faults *faults;
	struct counts *counts;
	bool auth;             /* --auth: every request of a service needs a bearer token (auth.h) */
	int64_t token_lifetime; /* microseconds that a token lives which oauth.c gives */
	const char *s3_key;    /* --s3-key: ID:SECRET[:TOKEN] that S3's requests must be signed with; NULL: none */
	bool woken;            /* emu_wake was called since waiting requests were last asked */
	uint64_t seed;         /* --seed: of what is left to chance; 0: pulls return all they can */
	int64_t pull_wait;     /* microseconds that a pull waits for its first message */
	int64_t job_wait;      /* microseconds that a load job is pending before it runs */
};

struct request {
	const char *method;     /* "GET" */
	struct str path;        /* as sent, still %-encoded, without the query */
	struct str body;        /* whole; chunked and Content-Encoding: gzip are undone */
	int64_t wake_at;        /* with EMU_WAIT: when to ask again, monotonic */
	int64_t arrived;        /* monotonic */
	void *state;            /* the service's own between waits, NULL at first; freed with free() */
	void *conn;             /* httpd's own */
	bool admitted;          /* its token was found good: not asked again while it waits */
};

struct reply {
	int status;             /* 0: 200 */
	const char *content_type; /* NULL: application/json; charset=UTF-8 */
	struct buf body;        /* owned by httpd */
	struct buf headers;     /* "Name: value\r\n" lines */
};

enum emu_answer { EMU_DONE, EMU_WAIT };

/* a request header, or a decoded query parameter: borrowed for the request's life; STR_NONE where absent */
struct str request_header(const struct request *r, const char *name);
struct str request_query(const struct request *r, const char *name);
/* Asks every waiting request again in this turn. */
void emu_wake(struct emu *emu);

void reply_header(struct reply *r, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Google's error body. status_word ("NOT_FOUND") for Pub/Sub: {"error":{code,message,status}}. */
void reply_rpc_error(struct reply *r, int code, const char *status_word, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* ... and for BigQuery and Cloud Storage: with errors:[{message,domain:"global",reason}]. */
void reply_error(struct reply *r, int code, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* %XX decoded, appended to out; returns false on a bad escape */
bool url_decode(struct buf *out, struct str in);
/*
 * Splits a path at its slashes, decoding each part into scratch: at most max parts, the count returned, -1
 * where there are more or one is malformed. "/v1/projects/p" gives "v1", "projects", "p".
 */
int path_split(struct str path, struct buf *scratch, struct str *parts, int max);

/* Each service: opened over emu->dir (what it finds there is its state), answers, ends. */
struct pubsub *pubsub_open(struct emu *emu, struct err *e);
enum emu_answer pubsub_handle(struct emu *emu, struct request *req, struct reply *rep); /* /v1/... */
/* leases that lapse, messages past retention, ...: returns when it next wants to run (monotonic) */
int64_t pubsub_turn(struct emu *emu);
void pubsub_close(struct pubsub *p);
/* with --schemas: the default topics and subscriptions of emu->project, unless they exist */
int pubsub_defaults(struct emu *emu, struct err *e);

struct bigquery *bigquery_open(struct emu *emu, struct err *e);
/* /bigquery/v2/... or /projects/... */
enum emu_answer bigquery_handle(struct emu *emu, struct request *req, struct reply *rep);
/* runs the load jobs that are due: returns when the next one is (monotonic) */
int64_t bigquery_turn(struct emu *emu);
void bigquery_close(struct bigquery *b);
/* GET /emu/bigquery: how many rows of insertAll were stored, and how many known by their insertId */
void bigquery_counts(struct emu *emu, struct reply *rep);
int bigquery_defaults(struct emu *emu, struct err *e); /* dataset ecommerce_events and the schema's tables */

struct gcs *gcs_open(struct emu *emu, struct err *e);
/* /storage/v1, /upload, /download, /b, /BUCKET/OBJECT */
enum emu_answer gcs_handle(struct emu *emu, struct request *req, struct reply *rep);
void gcs_close(struct gcs *g);
int gcs_defaults(struct emu *emu, struct err *e); /* bucket P-events-output */

/* The router (router.c): authorises, finds the service, asks it. */
enum emu_answer route(struct emu *emu, struct request *req, struct reply *rep);

/*
 * Injected faults (faults.c): a rule may answer in the service's stead, after a delay, cut the reply,
 * stall, or let the work be done and lose the reply. Per-row errors are asked for by bigquery for each row.
 */
/*
 * a reason ("invalid", "backendError", "timeout", "stopped", ...) that --faults wants for a row of this
 * table, or NULL
 */
const char *faults_row(struct emu *emu, struct str table);
/* likewise for a load job into this table */
const char *faults_job(struct emu *emu, struct str table);

#endif
