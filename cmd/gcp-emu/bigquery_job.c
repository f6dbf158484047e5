/*
 * Jobs: a query runs when it comes in, and its rows are kept, ready to be sent, until they are the oldest of
 * too many. Load jobs are in bigquery_load.c; there are no others.
 */
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "bounds.h"
#include "num.h"
#include "xalloc.h"

static void
job_free(struct bq_job *job)
{
	free((char *)job->key.p);
	free(job->sql);
	free(job->message);
	buf_release(&job->schema);
	for (int i = 0; i < 2; i++) {
		buf_release(&job->rows[i]);
		free(job->at[i]);
	}
	free(job);
}

static size_t
job_size(const struct bq_job *job)
{
	return job->rows[0].cap + job->rows[1].cap + job->nrows * sizeof(size_t) * 2 + job->schema.cap;
}

static void
drop_oldest(struct bigquery *bq)
{
	struct bq_job *job = bq->oldest;

	bq->oldest = job->next;
	if (bq->oldest == NULL)
		bq->newest = NULL;
	bq->job_bytes -= job_size(job);
	map_del(&bq->jobs, job->key);
	job_free(job);
}

static void
keep(struct bigquery *bq, struct bq_job *job)
{
	if (bq->newest != NULL)
		bq->newest->next = job;
	else
		bq->oldest = job;
	bq->newest = job;
	bq->job_bytes += job_size(job);
	map_put(&bq->jobs, job->key, job);
	while (bq->oldest != job && (bq->jobs.n > BQ_JOBS || bq->job_bytes > BQ_RESULTS_BYTES))
		drop_oldest(bq);
}

void
bq_jobs_close(struct bigquery *bq)
{
	while (bq->oldest != NULL)
		drop_oldest(bq);
	map_release(&bq->jobs);
}

static struct bq_job *
find_job(struct bigquery *bq, struct str project, struct str id)
{
	char *key = xasprintf("%.*s:%.*s", STR_ARG(project), STR_ARG(id));
	struct bq_job *job = map_get(&bq->jobs, str_of(key));

	free(key);
	return job;
}

static struct bq_job *
job_new(struct bigquery *bq, struct str project, struct str id)
{
	struct bq_job *job = xcalloc(1, sizeof(*job));

	job->key = id.n > 0 ? str_of(xasprintf("%.*s:%.*s", STR_ARG(project), STR_ARG(id))) :
	    str_of(xasprintf("%.*s:job_%lld_%llu", STR_ARG(project), (long long)bq->emu->wall,
	    (unsigned long long)++bq->job_serial));
	job->project = (struct str){job->key.p, project.n};
	job->id = str_skip(job->key, project.n + 1);
	job->created = job->ended = bq->emu->wall / 1000;
	buf_init(&job->schema, 16 * MIB);
	buf_init(&job->rows[0], BQ_RESULT_BYTES);
	buf_init(&job->rows[1], BQ_RESULT_BYTES);
	return job;
}

void
bq_job_fail(struct bq_job *job, int code, const char *reason, const char *message)
{
	job->code = code;
	job->reason = reason;
	free(job->message);
	job->message = xstrdup(message);
}

/* Translates and runs the query of an object (QueryRequest or configuration.query). */
static void
run_query(struct bigquery *bq, struct bq_job *job, uint32_t config)
{
	const struct json *j = &bq->json;
	uint32_t def = json_get(j, config, "defaultDataset");
	char *project = json_dup(j, json_get(j, def, "projectId")),
	    *id = json_dup(j, json_get(j, def, "datasetId"));
	struct bq_dataset *d = id == NULL ? NULL :
	    bq_dataset_find(bq, project != NULL ? str_of(project) : job->project, str_of(id));
	struct bq_sql q;
	struct err e;

	job->sql = json_dup(j, json_get(j, config, "query"));
	if (job->sql == NULL)
		bq_job_fail(job, 400, "required", "Required parameter is missing: query");
	else if (json_is(j, json_get(j, config, "queryParameters"), JSON_ARRAY) &&
	    j->tok[json_get(j, config, "queryParameters")].count > 0)
		bq_job_fail(job, 400, "invalidQuery", "gcp-emu has no query parameters");
	else {
		if (bq_sql_translate(bq, job->project, d, str_of(job->sql), &q, &e) < 0)
			bq_job_fail(job, q.code, q.reason, e.text);
		else
			bq_run(bq, job, &q);
		buf_release(&q.text);
	}
	free(project);
	free(id);
}

/* ---- replies ---- */

static void
write_reference(struct jsonw *w, const struct bq_job *job)
{
	jsonw_key(w, "jobReference");
	jsonw_object(w);
	jsonw_member(w, "projectId", job->project);
	jsonw_member(w, "jobId", job->id);
	jsonw_member(w, "location", STR("US"));
	jsonw_end(w);
}

static void
write_error(struct jsonw *w, const struct bq_job *job)
{
	jsonw_object(w);
	jsonw_member(w, "reason", str_of(job->reason));
	if (strcmp(job->reason, "invalidQuery") == 0)
		jsonw_member(w, "location", STR("query"));
	jsonw_member(w, "message", str_of(job->message));
	jsonw_end(w);
}

static void
write_status(struct jsonw *w, const struct bq_job *job)
{
	jsonw_key(w, "status");
	jsonw_object(w);
	jsonw_member(w, "state", STR("DONE"));
	if (job->code != 0) {
		jsonw_key(w, "errorResult");
		write_error(w, job);
		jsonw_key(w, "errors");
		jsonw_array(w);
		write_error(w, job);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void
write_statistics(struct jsonw *w, const struct bq_job *job)
{
	jsonw_key(w, "statistics");
	jsonw_object(w);
	bq_member_i64(w, "creationTime", job->created);
	bq_member_i64(w, "startTime", job->created);
	bq_member_i64(w, "endTime", job->ended);
	bq_member_i64(w, "totalBytesProcessed", 0);
	jsonw_key(w, "query");
	jsonw_object(w);
	jsonw_member(w, "statementType", STR("SELECT"));
	bq_member_i64(w, "totalBytesProcessed", 0);
	if (job->schema.n > 0) {
		jsonw_key(w, "schema");
		jsonw_raw(w, buf_str(&job->schema));
	}
	jsonw_end(w);
	jsonw_end(w);
}

static void
write_job(const struct bq_job *job, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);

	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("bigquery#job"));
	jsonw_member(&w, "id", job->key);
	write_reference(&w, job);
	jsonw_key(&w, "configuration");
	jsonw_object(&w);
	jsonw_member(&w, "jobType", STR("QUERY"));
	jsonw_key(&w, "dryRun");
	jsonw_bool(&w, job->dry_run);
	jsonw_key(&w, "query");
	jsonw_object(&w);
	jsonw_member(&w, "query", str_of(job->sql != NULL ? job->sql : ""));
	jsonw_key(&w, "useLegacySql");
	jsonw_bool(&w, false);
	jsonw_end(&w);
	jsonw_end(&w);
	write_status(&w, job);
	write_statistics(&w, job);
	jsonw_end(&w);
}

/* Rows start .. end of the page, which ends by count and by size. */
static size_t
write_rows(struct jsonw *w, const struct bq_job *job, size_t start, size_t max, int form)
{
	size_t first = w->out->n, i = start;

	jsonw_key(w, "rows");
	jsonw_array(w);
	for (; i < job->nrows && i - start < max && w->out->n - first < BQ_PAGE_BYTES; i++) {
		size_t from = i > 0 ? job->at[form][i - 1] : 0;

		jsonw_raw(w, (struct str){job->rows[form].p + from, job->at[form][i] - from});
	}
	jsonw_end(w);
	return i;
}

static void
write_results(const struct bq_job *job, const char *kind, size_t start, size_t max, bool as_int64,
    struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);
	size_t end;

	if (job->code != 0) {
		reply_error(rep, job->code, job->reason, "%s", job->message);
		return;
	}
	jsonw_object(&w);
	jsonw_member(&w, "kind", str_of(kind));
	write_reference(&w, job);
	jsonw_key(&w, "jobComplete");
	jsonw_bool(&w, true);
	jsonw_key(&w, "cacheHit");
	jsonw_bool(&w, false);
	bq_member_i64(&w, "totalBytesProcessed", 0);
	jsonw_key(&w, "schema");
	jsonw_raw(&w, buf_str(&job->schema));
	if (!job->dry_run) {
		bq_member_i64(&w, "totalRows", (int64_t)job->nrows);
		end = write_rows(&w, job, start, max, as_int64 && job->timestamps ? 1 : 0);
		if (end < job->nrows && end > start)
			bq_member_i64(&w, "pageToken", (int64_t)end);
	}
	jsonw_end(&w);
}

void
bq_query(struct bigquery *bq, struct str project, struct request *req, struct reply *rep)
{
	const struct json *j = &bq->json;
	int64_t max = BQ_PAGE_ROWS;
	struct bq_job *job;
	bool as_int64;

	if (!bq_body(bq, req, rep))
		return;
	if (json_get(j, 0, "maxResults") != JSON_NONE && !json_is(j, json_get(j, 0, "maxResults"),
	    JSON_NULL) && (!json_i64(j, json_get(j, 0, "maxResults"), &max) || max < 0)) {
		reply_error(rep, 400, "invalid", "Invalid value for maxResults");
		return;
	}
	as_int64 = json_true(j, json_get(j, json_get(j, 0, "formatOptions"), "useInt64Timestamp"));
	job = job_new(bq, project, STR_NONE);
	job->dry_run = json_true(j, json_get(j, 0, "dryRun"));
	run_query(bq, job, 0);
	keep(bq, job);
	write_results(job, "bigquery#queryResponse", 0, (size_t)max, as_int64, rep);
}

void
bq_query_results(struct bigquery *bq, struct str project, struct str id, struct request *req,
    struct reply *rep)
{
	struct bq_job *job = find_job(bq, project, id);
	int64_t max = bq_param(req, "maxResults", BQ_PAGE_ROWS, UINT32_MAX);
	int64_t start = bq_param(req, "startIndex", 0, INT64_MAX),
	    token = bq_param(req, "pageToken", -2, INT64_MAX);

	if (job == NULL)
		reply_error(rep, 404, "notFound", "Not found: Job %.*s:%.*s", STR_ARG(project), STR_ARG(id));
	else if (max < 0 || start < 0 || token == -1)
		reply_error(rep, 400, "invalid", "Invalid value for maxResults, startIndex or pageToken");
	else
		write_results(job, "bigquery#getQueryResultsResponse", (size_t)(token >= 0 ? token : start),
		    (size_t)max, str_is(request_query(req, "formatOptions.useInt64Timestamp"), "true"), rep);
}

static bool
job_exists(struct bigquery *bq, struct str project, const char *id)
{
	char *key = xasprintf("%.*s:%s", STR_ARG(project), id);
	bool there = map_get(&bq->jobs, str_of(key)) != NULL || bq_load_exists(bq, str_of(key));

	free(key);
	return there;
}

void
bq_jobs_insert(struct bigquery *bq, struct str project, struct request *req, struct reply *rep)
{
	const struct json *j = &bq->json;
	uint32_t config, query;
	struct bq_job *job;
	bool loads;
	char *id;

	if (!bq_body(bq, req, rep))
		return;
	config = json_get(j, 0, "configuration");
	query = json_get(j, config, "query");
	loads = json_is(j, json_get(j, config, "load"), JSON_OBJECT);
	id = json_dup(j, json_get(j, json_get(j, 0, "jobReference"), "jobId"));
	if (!json_is(j, query, JSON_OBJECT) && !loads) {
		reply_error(rep, 501, "notImplemented", "gcp-emu runs query and load jobs only");
	} else if (id != NULL && (strlen(id) > 1024 || id[strspn(id, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] != '\0')) {
		reply_error(rep, 400, "invalid", "Invalid job ID \"%.100s\"", id);
	} else if (id != NULL && job_exists(bq, project, id)) {
		reply_error(rep, 409, "duplicate", "Already Exists: Job %.*s:%s", STR_ARG(project), id);
	} else if (loads) {
		bq_load_insert(bq, project, id, config, rep);
	} else {
		job = job_new(bq, project, str_of(id));
		job->dry_run = json_true(j, json_get(j, config, "dryRun"));
		run_query(bq, job, query);
		keep(bq, job);
		if (job->dry_run && job->code != 0)
			reply_error(rep, job->code, job->reason, "%s", job->message);
		else
			write_job(job, rep);
	}
	free(id);
}

void
bq_jobs_get(struct bigquery *bq, struct str project, struct str id, struct reply *rep)
{
	struct bq_job *job = find_job(bq, project, id);
	char *key = xasprintf("%.*s:%.*s", STR_ARG(project), STR_ARG(id));

	if (job != NULL)
		write_job(job, rep);
	else if (!bq_load_get(bq, str_of(key), rep))
		reply_error(rep, 404, "notFound", "Not found: Job %.*s:%.*s", STR_ARG(project), STR_ARG(id));
	free(key);
}
