/*
 * Load jobs: taken, kept, shown and listed. A job is written down in its dataset's file before it is
 * answered, and its end in the same transaction as its rows: whatever happens to the process, a job that was
 * accepted runs once. bigquery_files.c runs it.
 */
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "num.h"
#include "xalloc.h"

#define URIS_MAX 10000 /* of one job [BigQuery quotas] */

/* A job that was accepted and not run. */
struct bq_pending {
	struct bq_pending *next;
	char *dataset, *key; /* "P:D", "P:ID" */
	int64_t due;         /* monotonic */
};

static sqlite3_stmt *
prepare(struct bq_dataset *d, const char *sql, struct str key)
{
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(d->db, sql, -1, &st, NULL) != SQLITE_OK) {
		log_error("%s: %s", d->path, sqlite3_errmsg(d->db));
		return NULL;
	}
	if (key.p != NULL)
		sqlite3_bind_text(st, 1, key.p, (int)key.n, SQLITE_STATIC);
	return st;
}

/* The dataset that holds the job, or NULL. */
static struct bq_dataset *
holder(struct bigquery *bq, struct str key)
{
	struct map_slot *s;

	for (size_t i = 0; (s = map_each(&bq->datasets, &i)) != NULL;) {
		sqlite3_stmt *st = prepare(s->value, "SELECT 1 FROM _jobs WHERE key = ?", key);
		bool there = st != NULL && sqlite3_step(st) == SQLITE_ROW;

		sqlite3_finalize(st);
		if (there)
			return s->value;
	}
	return NULL;
}

bool
bq_load_exists(struct bigquery *bq, struct str key)
{
	return holder(bq, key) != NULL;
}

static void
enqueue(struct bigquery *bq, const struct bq_dataset *d, struct str key, int64_t due)
{
	struct bq_pending *p = xcalloc(1, sizeof(*p)), **at = &bq->pending;

	*p = (struct bq_pending){.dataset = str_dup(d->key), .key = str_dup(key), .due = due};
	while (*at != NULL)
		at = &(*at)->next;
	*at = p;
}

static void
dequeue(struct bigquery *bq)
{
	struct bq_pending *p = bq->pending;

	bq->pending = p->next;
	free(p->dataset);
	free(p->key);
	free(p);
}

void
bq_loads_open(struct bigquery *bq)
{
	struct map_slot *s;

	for (size_t i = 0; (s = map_each(&bq->datasets, &i)) != NULL;) {
		struct bq_dataset *d = s->value;
		sqlite3_stmt *st =
		    prepare(d, "SELECT key FROM _jobs WHERE ended = 0 ORDER BY rowid", STR_NONE);

		while (st != NULL && sqlite3_step(st) == SQLITE_ROW)
			enqueue(bq, d, str_of((const char *)sqlite3_column_text(st, 0)),
			    bq->emu->now + bq->emu->job_wait);
		sqlite3_finalize(st);
	}
}

void
bq_loads_close(struct bigquery *bq)
{
	while (bq->pending != NULL)
		dequeue(bq);
}

int64_t
bigquery_turn(struct emu *emu)
{
	struct bigquery *bq = emu->bigquery;

	while (bq->pending != NULL && bq->pending->due <= emu->now) {
		struct bq_dataset *d = map_get(&bq->datasets, str_of(bq->pending->dataset));

		if (d != NULL) /* else it went with its dataset */
			bq_load_run(bq, d, str_of(bq->pending->key));
		dequeue(bq);
	}
	return bq->pending != NULL ? bq->pending->due : CLOCK_NEVER;
}

/* ---- jobs.insert ---- */

/* gs://BUCKET/NAME with at most one wildcard, in the name */
static bool
uri_fits(struct str uri)
{
	struct str rest = str_skip(uri, 5);
	size_t slash = str_find(rest, '/'), star = str_find(rest, '*');

	if (!str_starts(uri, STR("gs://")) || slash == 0 || slash + 1 >= rest.n || star < slash)
		return false;
	return star == rest.n || str_find(str_skip(rest, star + 1), '*') == rest.n - star - 1;
}

/* The sourceUris of a load configuration: false after the error reply. */
static bool
uris_fit(struct bigquery *bq, uint32_t load, struct reply *rep)
{
	const struct json *j = &bq->json;
	uint32_t list = json_get(j, load, "sourceUris");

	if (!json_is(j, list, JSON_ARRAY) || j->tok[list].count == 0) {
		reply_error(rep, 400, "required", "Load configuration must specify at least one source URI");
		return false;
	}
	if (j->tok[list].count > URIS_MAX) {
		reply_error(rep, 400, "invalid", "Too many sourceUris: %u, the limit is %d",
		    (unsigned)j->tok[list].count, URIS_MAX);
		return false;
	}
	for (uint32_t t = json_first(list); t < json_end(j, list); t = j->tok[t].next) {
		bq->scratch.n = 0;
		struct str uri = json_string(j, t, &bq->scratch);

		if (!uri_fits(uri)) {
			reply_error(rep, 400, "invalid",
			    "Source URI must be a Google Cloud Storage location with "
			    "at most one wildcard: %.*s",
			    (int)(uri.n < 200 ? uri.n : 200), uri.p);
			return false;
		}
	}
	return true;
}

/* One of several words, or absent: false after the error reply. */
static bool
choice_fits(
    const struct json *j, uint32_t load, const char *name, const char *const *words, struct reply *rep)
{
	uint32_t t = json_get(j, load, name);

	if (t == JSON_NONE || json_is(j, t, JSON_NULL))
		return true;
	for (; *words != NULL; words++)
		if (str_is(json_text(j, t), *words))
			return true;
	reply_error(rep, 400, "invalid", "Invalid value for %s: %.*s", name, STR_ARG(json_text(j, t)));
	return false;
}

static bool
config_fits(struct bigquery *bq, uint32_t config, uint32_t load, struct reply *rep)
{
	static const char *const create[] = {"CREATE_IF_NEEDED", "CREATE_NEVER", NULL};
	static const char *const write[] = {"WRITE_APPEND", "WRITE_EMPTY", "WRITE_TRUNCATE", NULL};
	const struct json *j = &bq->json;
	struct str format = json_text(j, json_get(j, load, "sourceFormat"));
	int64_t bad = 0;
	uint32_t max_bad = json_get(j, load, "maxBadRecords");

	if (json_true(j, json_get(j, config, "dryRun")))
		reply_error(rep, 501, "notImplemented", "gcp-emu has no dry runs of load jobs");
	else if (!str_is(format, "NEWLINE_DELIMITED_JSON"))
		reply_error(rep, 501, "notImplemented", "gcp-emu loads NEWLINE_DELIMITED_JSON only");
	else if (max_bad != JSON_NONE && !json_is(j, max_bad, JSON_NULL) &&
	    (!json_i64(j, max_bad, &bad) || bad < 0 || bad > INT32_MAX))
		reply_error(rep, 400, "invalid", "Invalid value for maxBadRecords");
	else
		return choice_fits(j, load, "createDisposition", create, rep) &&
		    choice_fits(j, load, "writeDisposition", write, rep) && uris_fit(bq, load, rep);
	return false;
}

/* The dataset of destinationTable, or NULL after the error reply. */
static struct bq_dataset *
destination(struct bigquery *bq, struct str project, uint32_t load, struct reply *rep)
{
	const struct json *j = &bq->json;
	uint32_t t = json_get(j, load, "destinationTable");
	char *of = json_dup(j, json_get(j, t, "projectId")), *id = json_dup(j, json_get(j, t, "datasetId"));
	struct str owner = of != NULL ? str_of(of) : project;
	struct bq_dataset *d = id != NULL ? bq_dataset_find(bq, owner, str_of(id)) : NULL;

	if (id == NULL || !json_is(j, json_get(j, t, "tableId"), JSON_STRING))
		reply_error(rep, 400, "required", "Required parameter is missing: destinationTable");
	else if (d == NULL)
		reply_error(rep, 404, "notFound", "Not found: Dataset %.*s:%s", STR_ARG(owner), id);
	free(of);
	free(id);
	return rep->status == 0 ? d : NULL;
}

static int
write_down(struct bigquery *bq, struct bq_dataset *d, struct str key, struct str config, struct err *e)
{
	sqlite3_stmt *st = prepare(d,
	    "INSERT INTO _jobs(key, config, created, ended, files, file_bytes, rows, bad) "
	    "VALUES(?, ?, ?, 0, 0, 0, 0, 0)",
	    key);
	int code = SQLITE_ERROR;

	if (st != NULL) {
		sqlite3_bind_text(st, 2, config.p, (int)config.n, SQLITE_STATIC);
		sqlite3_bind_int64(st, 3, bq->emu->wall / 1000);
		code = sqlite3_step(st);
	}
	sqlite3_finalize(st);
	return code == SQLITE_DONE
	    ? 0
	    : err_set(e, ERR_IO, "cannot write '%s': %s", d->path, sqlite3_errstr(code));
}

void
bq_load_insert(struct bigquery *bq, struct str project, const char *id, uint32_t config, struct reply *rep)
{
	uint32_t load = json_get(&bq->json, config, "load");
	struct bq_dataset *d;
	struct err e;
	char *key;

	if (!config_fits(bq, config, load, rep) || (d = destination(bq, project, load, rep)) == NULL)
		return;
	key = id != NULL ? xasprintf("%.*s:%s", STR_ARG(project), id) :
	    xasprintf("%.*s:job_%lld_%llu", STR_ARG(project), (long long)bq->emu->wall,
	    (unsigned long long)++bq->job_serial);
	if (write_down(bq, d, str_of(key), json_raw(&bq->json, config), &e) < 0) {
		bq_failed(rep, &e);
	} else {
		enqueue(bq, d, str_of(key), bq->emu->now + bq->emu->job_wait);
		bq_load_get(bq, str_of(key), rep);
	}
	free(key);
}

/* ---- what a job looks like ---- */

static struct str
column(sqlite3_stmt *st, int i)
{
	const char *p = (const char *)sqlite3_column_text(st, i);

	return (struct str){p, p != NULL ? (size_t)sqlite3_column_bytes(st, i) : 0};
}

static void
write_reference(struct jsonw *w, const struct bq_dataset *d, struct str key)
{
	size_t colon = key.n - 1;
	struct json extra = {0};
	struct str location = STR("US"), given;

	while (key.p[colon] != ':') /* a project's own name may hold one */
		colon--;
	if (json_parse(&extra, d->extra) == JSON_OK) {
		given = json_text(&extra, json_get(&extra, 0, "location"));
		location = given.n > 0 ? given : location;
	}
	jsonw_key(w, "jobReference");
	jsonw_object(w);
	jsonw_member(w, "projectId", (struct str){key.p, colon});
	jsonw_member(w, "jobId", str_skip(key, colon + 1));
	jsonw_member(w, "location", location);
	jsonw_end(w);
	json_release(&extra);
}

static void
write_configuration(struct jsonw *w, struct str config)
{
	static const char *const names[] = {"load", "labels", "jobTimeoutMs", NULL};
	struct json j = {0};

	jsonw_key(w, "configuration");
	jsonw_object(w);
	jsonw_member(w, "jobType", STR("LOAD"));
	if (json_parse(&j, config) == JSON_OK)
		bq_members_copy(w, &j, 0, names);
	jsonw_end(w);
	json_release(&j);
}

static void
write_status(struct jsonw *w, bool done, struct str error, struct str errors)
{
	jsonw_key(w, "status");
	jsonw_object(w);
	jsonw_member(w, "state", done ? STR("DONE") : STR("PENDING"));
	if (error.n > 0) {
		jsonw_key(w, "errorResult");
		jsonw_raw(w, error);
	}
	if (errors.n > 0) {
		jsonw_key(w, "errors");
		jsonw_raw(w, errors);
	}
	jsonw_end(w);
}

static void
write_statistics(struct jsonw *w, sqlite3_stmt *st)
{
	int64_t created = sqlite3_column_int64(st, 2), ended = sqlite3_column_int64(st, 3);

	jsonw_key(w, "statistics");
	jsonw_object(w);
	bq_member_i64(w, "creationTime", created);
	if (ended != 0) {
		bq_member_i64(w, "startTime", ended);
		bq_member_i64(w, "endTime", ended);
		jsonw_key(w, "load");
		jsonw_object(w);
		bq_member_i64(w, "inputFiles", sqlite3_column_int64(st, 6));
		bq_member_i64(w, "inputFileBytes", sqlite3_column_int64(st, 7));
		bq_member_i64(w, "outputRows", sqlite3_column_int64(st, 8));
		bq_member_i64(w, "badRecords", sqlite3_column_int64(st, 9));
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void
write_job(struct jsonw *w, const struct bq_dataset *d, sqlite3_stmt *st, bool full, bool listed)
{
	bool done = sqlite3_column_int64(st, 3) != 0;

	jsonw_object(w);
	if (!listed)
		jsonw_member(w, "kind", STR("bigquery#job"));
	jsonw_member(w, "id", column(st, 0));
	write_reference(w, d, column(st, 0));
	if (listed)
		jsonw_member(w, "state", done ? STR("DONE") : STR("PENDING"));
	if (listed && column(st, 4).n > 0) {
		jsonw_key(w, "errorResult");
		jsonw_raw(w, column(st, 4));
	}
	if (full)
		write_configuration(w, column(st, 1));
	write_status(w, done, column(st, 4), column(st, 5));
	write_statistics(w, st);
	jsonw_end(w);
}

#define JOB_SQL "SELECT key, config, created, ended, error, errors, files, file_bytes, rows, bad FROM _jobs "

static bool
show(const struct bq_dataset *d, struct str key, struct jsonw *w, bool full, bool listed)
{
	sqlite3_stmt *st = prepare((struct bq_dataset *)(uintptr_t)d, JOB_SQL "WHERE key = ?", key);
	bool there = st != NULL && sqlite3_step(st) == SQLITE_ROW;

	if (there)
		write_job(w, d, st, full, listed);
	sqlite3_finalize(st);
	return there;
}

bool
bq_load_get(struct bigquery *bq, struct str key, struct reply *rep)
{
	struct bq_dataset *d = holder(bq, key);
	struct jsonw w = jsonw_to(&rep->body);

	return d != NULL && show(d, key, &w, true, false);
}

/* ---- jobs.list ---- */

struct listed {
	struct bq_dataset *dataset;
	char *key;
	int64_t created, row;
};

struct listing {
	struct listed *v;
	size_t n, cap;
};

/* The newest first. */
static int
by_age(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	if (x->created != y->created)
		return x->created > y->created ? -1 : 1;
	return x->row > y->row ? -1 : x->row < y->row;
}

static bool
state_wanted(const struct request *req, bool done)
{
	struct str filter = request_query(req, "stateFilter");

	return filter.n == 0 || str_ieq(filter, done ? STR("done") : STR("pending"));
}

static void
collect(struct listing *l, struct bq_dataset *d, struct str project, const struct request *req, int64_t min,
    int64_t max)
{
	sqlite3_stmt *st = prepare(d, "SELECT key, created, ended, rowid FROM _jobs", STR_NONE);

	while (st != NULL && sqlite3_step(st) == SQLITE_ROW) {
		struct str key = column(st, 0);
		int64_t created = sqlite3_column_int64(st, 1);

		if (!str_starts(key, project) || key.p[project.n] != ':' ||
		    str_find(str_skip(key, project.n + 1), ':') < key.n - project.n - 1 || created < min ||
		    created > max || !state_wanted(req, sqlite3_column_int64(st, 2) != 0))
			continue;
		if (l->n == l->cap) {
			l->cap = l->cap * 2 + 64;
			l->v = xreallocarray(l->v, l->cap, sizeof(*l->v));
		}
		l->v[l->n++] = (struct listed){d, str_dup(key), created, sqlite3_column_int64(st, 3)};
	}
	sqlite3_finalize(st);
}

static void
write_list(const struct listing *l, size_t from, size_t to, bool full, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);

	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("bigquery#jobList"));
	if (to > from) {
		jsonw_key(&w, "jobs");
		jsonw_array(&w);
		for (size_t i = from; i < to; i++)
			show(l->v[i].dataset, str_of(l->v[i].key), &w, full, true);
		jsonw_end(&w);
	}
	if (to < l->n)
		bq_member_i64(&w, "nextPageToken", (int64_t)to);
	jsonw_end(&w);
}

void
bq_loads_list(struct bigquery *bq, struct str project, struct request *req, struct reply *rep)
{
	int64_t min = bq_param(req, "minCreationTime", 0, INT64_MAX),
	    max = bq_param(req, "maxCreationTime", INT64_MAX, INT64_MAX);
	struct listing l = {0};
	struct map_slot *s;
	size_t from, to;

	if (min < 0 || max < 0) {
		reply_error(rep, 400, "invalid", "Invalid value for minCreationTime or maxCreationTime");
		return;
	}
	for (size_t i = 0; (s = map_each(&bq->datasets, &i)) != NULL;)
		collect(&l, s->value, project, req, min, max);
	if (l.n > 0)
		qsort(l.v, l.n, sizeof(*l.v), by_age);
	if (bq_page(req, rep, l.n, &from, &to))
		write_list(&l, from, to, str_ieq(request_query(req, "projection"), STR("full")), rep);
	for (size_t i = 0; i < l.n; i++)
		free(l.v[i].key);
	free(l.v);
}
