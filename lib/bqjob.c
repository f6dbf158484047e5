#include "bqjob.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "jsonw.h"

#define CALL_TIMEOUT SECONDS(60)
#define URL_MAX (16 * KIB)
/* Of a list, at first: a job with 10,000 URIs takes up to 10 MB, and a page has to fit LIMIT_REPLY. */
#define PAGE_JOBS 100

static void
jobs_url(struct buf *url, const struct gapi *g, const char *project)
{
	buf_addf(url, "%s/bigquery/v2/projects/", g->endpoint.base);
	url_encode(url, str_of(project));
	buf_addz(url, "/jobs");
}

static void
write_load(struct jsonw *w, const struct bqjob_place *at, const struct bqjob_load *load)
{
	jsonw_key(w, "load");
	jsonw_object(w);
	jsonw_key(w, "sourceUris");
	jsonw_array(w);
	for (size_t i = 0; i < load->n; i++)
		jsonw_str(w, load->uris[i]);
	jsonw_end(w);
	jsonw_key(w, "destinationTable");
	jsonw_object(w);
	jsonw_member(w, "projectId", str_of(at->dataset_project));
	jsonw_member(w, "datasetId", str_of(at->dataset));
	jsonw_member(w, "tableId", str_of(load->table));
	jsonw_end(w);
	jsonw_member(w, "sourceFormat", STR("NEWLINE_DELIMITED_JSON"));
	jsonw_member(w, "createDisposition", STR("CREATE_NEVER"));
	jsonw_member(w, "writeDisposition", STR("WRITE_APPEND"));
	jsonw_key(w, "ignoreUnknownValues");
	jsonw_bool(w, load->ignore_unknown);
	jsonw_key(w, "maxBadRecords");
	jsonw_i64(w, 0);
	jsonw_end(w);
}

static void
write_job(struct buf *body, const struct bqjob_place *at, const struct bqjob_load *load)
{
	struct jsonw w = jsonw_to(body);
	jsonw_object(&w);
	jsonw_key(&w, "jobReference");
	jsonw_object(&w);
	jsonw_member(&w, "projectId", str_of(at->project));
	jsonw_member(&w, "jobId", str_of(load->id));
	jsonw_member(&w, "location", str_of(at->location));
	jsonw_end(&w);
	jsonw_key(&w, "configuration");
	jsonw_object(&w);
	jsonw_key(&w, "labels");
	jsonw_object(&w);
	jsonw_member(&w, "tool", STR("evpipe-bq-load"));
	jsonw_end(&w);
	write_load(&w, at, load);
	jsonw_end(&w);
	jsonw_end(&w);
}

struct gapi_call *
bqjob_insert(struct gapi *g, const struct bqjob_place *at, const struct bqjob_load *load, gapi_done *done, void *arg)
{
	struct buf body = BUF_INIT(LIMIT_LINE), url = BUF_INIT(URL_MAX);
	jobs_url(&url, g, at->project);
	write_job(&body, at, load);
	struct gapi_spec spec = {.method = "POST", .url = buf_cstr(&url), .body = &body, .what = "submit load job",
	    .object = load->id, .timeout = CALL_TIMEOUT, .accept = 409};
	struct gapi_call *call = gapi_start(g, &spec, done, arg);
	buf_release(&url);
	buf_release(&body);
	return call;
}

struct gapi_call *
bqjob_get(struct gapi *g, const struct bqjob_place *at, const char *id, gapi_done *done, void *arg)
{
	struct buf url = BUF_INIT(URL_MAX);
	jobs_url(&url, g, at->project);
	buf_addc(&url, '/');
	url_encode(&url, str_of(id));
	buf_addz(&url, "?location=");
	url_encode(&url, str_of(at->location));
	struct gapi_spec spec = {.method = "GET", .url = buf_cstr(&url), .what = "ask for load job", .object = id,
	    .timeout = CALL_TIMEOUT, .accept = 404};
	struct gapi_call *call = gapi_start(g, &spec, done, arg);
	buf_release(&url);
	return call;
}

/* scratch has room for all of it, so that views do not move. */
static struct bqjob_error
read_error(const struct json *j, uint32_t t, struct buf *scratch)
{
	return (struct bqjob_error){.reason = json_string(j, json_get(j, t, "reason"), scratch),
	    .location = json_string(j, json_get(j, t, "location"), scratch),
	    .message = json_string(j, json_get(j, t, "message"), scratch)};
}

/* A job's resource, or an entry of jobs.list. */
static int
read_job(const struct json *j, uint32_t t, struct bqjob *job, struct buf *scratch, struct err *e)
{
	uint32_t status = json_get(j, t, "status"), error = json_get(j, status, "errorResult"),
	    load = json_get(j, json_get(j, t, "configuration"), "load"), statistics = json_get(j, t, "statistics");
	struct str state = json_text(j, json_get(j, status, "state"));
	buf_reset(scratch, scratch->cap);
	buf_room(scratch, j->tok[t].len);
	*job = (struct bqjob){.id = json_string(j, json_get(j, json_get(j, t, "jobReference"), "jobId"), scratch),
	    .ended = str_is(state, "DONE"), .failed = json_is(j, error, JSON_OBJECT),
	    .table = json_string(j, json_get(j, json_get(j, load, "destinationTable"), "tableId"), scratch),
	    .uris = json_get(j, load, "sourceUris")};
	if (job->id.n == 0 || state.n == 0)
		return err_set(e, ERR_TRANSIENT, "cannot understand a job: it has no id or no state");
	if (job->failed)
		job->error = read_error(j, error, scratch);
	if (!json_i64(j, json_get(j, json_get(j, statistics, "load"), "outputRows"), &job->rows))
		job->rows = -1;
	if (!json_i64(j, json_get(j, statistics, "creationTime"), &job->created) || job->created < 0 ||
	    job->created > INT64_MAX / 1000)
		job->created = 0;
	job->created *= 1000;
	return 0;
}

int
bqjob_read(struct json *j, struct str body, void (*told)(void *arg, const struct bqjob *job),
    bqjob_each_error *each, void *arg, struct err *e)
{
	struct buf scratch = BUF_INIT(LIMIT_REPLY), texts = BUF_INIT(LIMIT_REPLY);
	struct bqjob job;
	int rc = -1;
	if (json_parse(j, body) != JSON_OK) {
		err_set(e, ERR_TRANSIENT, "cannot understand a job: %s", j->why);
		goto out;
	}
	if (read_job(j, 0, &job, &scratch, e) < 0)
		goto out;
	uint32_t errors = json_get(j, json_get(j, 0, "status"), "errors");
	bool listed = job.failed && json_is(j, errors, JSON_ARRAY);
	for (uint32_t t = json_first(errors); listed && t < json_end(j, errors); t = j->tok[t].next) {
		buf_reset(&texts, texts.cap);
		buf_room(&texts, j->tok[t].len);
		struct bqjob_error error = read_error(j, t, &texts);
		each(arg, &error);
	}
	told(arg, &job);
	rc = 0;
out:
	buf_release(&scratch);
	buf_release(&texts);
	return rc;
}

enum err_class
bqjob_class(struct str reason)
{
	static const struct {
		const char *reason;
		enum err_class class;
	} table[] = {{"backendError", ERR_TRANSIENT}, {"internalError", ERR_TRANSIENT},
	    {"jobBackendError", ERR_TRANSIENT}, {"jobInternalError", ERR_TRANSIENT},
	    {"rateLimitExceeded", ERR_TRANSIENT}, {"jobRateLimitExceeded", ERR_TRANSIENT},
	    {"tableUnavailable", ERR_TRANSIENT}, {"timeout", ERR_TRANSIENT}, {"stopped", ERR_TRANSIENT},
	    {"quotaExceeded", ERR_QUOTA}, {"accessDenied", ERR_AUTH}, {"billingNotEnabled", ERR_AUTH},
	    {"invalid", ERR_INPUT}, {"notFound", ERR_INPUT}, {NULL, ERR_PERMANENT}};
	size_t i = 0;
	while (table[i].reason != NULL && !str_is(reason, table[i].reason))
		i++;
	return table[i].class;
}

char *
bqjob_location(struct gapi *g, const char *project, const char *dataset, struct err *e)
{
	struct buf url = BUF_INIT(URL_MAX), object = BUF_INIT(4 * KIB), reply = BUF_INIT(LIMIT_REPLY);
	struct json j = {0};
	char *location = NULL;
	int status;
	buf_addf(&url, "%s/bigquery/v2/projects/", g->endpoint.base);
	url_encode(&url, str_of(project));
	buf_addz(&url, "/datasets/");
	url_encode(&url, str_of(dataset));
	buf_addf(&object, "%s:%s", project, dataset);
	struct gapi_spec spec = {.method = "GET", .url = buf_cstr(&url), .what = "read dataset",
	    .object = buf_cstr(&object), .timeout = CALL_TIMEOUT, .json = true};
	if (gapi_sync(g, &spec, &reply, &status, e) < 0)
		goto out;
	if (json_parse(&j, buf_str(&reply)) == JSON_OK)
		location = json_dup(&j, json_get(&j, 0, "location"));
	if (location == NULL)
		err_set(e, ERR_TRANSIENT, "cannot read dataset '%s': the reply tells no location", buf_cstr(&object));
out:
	json_release(&j);
	buf_release(&url);
	buf_release(&object);
	buf_release(&reply);
	return location;
}

/* One page: 1 where another follows, whose token is then in *token. */
static int
read_page(struct json *j, struct str body, struct buf *token, bqjob_each *each, void *arg, struct err *e)
{
	struct buf scratch = BUF_INIT(LIMIT_REPLY);
	struct bqjob job;
	int rc = -1;
	if (json_parse(j, body) != JSON_OK) {
		err_set(e, ERR_TRANSIENT, "cannot understand the list of jobs: %s", j->why);
		goto out;
	}
	uint32_t list = json_get(j, 0, "jobs"), next = json_get(j, 0, "nextPageToken");
	bool some = json_is(j, list, JSON_ARRAY);
	for (uint32_t t = json_first(list); some && t < json_end(j, list); t = j->tok[t].next) {
		if (read_job(j, t, &job, &scratch, e) < 0 || each(arg, j, &job, e) < 0)
			goto out;
	}
	buf_reset(token, 4 * KIB);
	buf_reset(&scratch, 4 * KIB);
	buf_adds(token, json_string(j, next, &scratch));
	rc = token->n > 0;
out:
	buf_release(&scratch);
	return rc;
}

/* A reply of 2xx that is an error is one that was too large: with fewer jobs it may not be, again it would. */
static int
ask_page(struct gapi *g, const char *project, int64_t since, struct str token, unsigned *jobs, struct buf *reply, int *status,
    struct err *e)
{
	struct buf url = BUF_INIT(URL_MAX);
	bool once = true;
	int rc;
	for (;;) {
		buf_reset(&url, URL_MAX);
		buf_reset(reply, 1 * MIB);
		jobs_url(&url, g, project);
		buf_addf(&url, "?projection=full&maxResults=%u&minCreationTime=%lld", *jobs, (long long)(since / 1000));
		if (token.n > 0) {
			buf_addz(&url, "&pageToken=");
			url_encode(&url, token);
		}
		struct gapi_spec spec = {.method = "GET", .url = buf_cstr(&url), .what = "list the load jobs of",
		    .object = project, .timeout = CALL_TIMEOUT, .once = once, .json = true};
		rc = gapi_sync(g, &spec, reply, status, e);
		bool large = rc < 0 && *status / 100 == 2 && *jobs > 1;
		if (rc == 0 || (!large && !once))
			break;
		once = large;
		*jobs = large ? *jobs / 2 : *jobs;
	}
	buf_release(&url);
	return rc;
}

int
bqjob_list(struct gapi *g, const char *project, int64_t since, bqjob_each *each, void *arg, int *refused, struct err *e)
{
	struct buf token = BUF_INIT(4 * KIB), reply = BUF_INIT(LIMIT_REPLY);
	struct json j = {0};
	unsigned jobs = PAGE_JOBS;
	int rc = 1, status;
	*refused = 0;
	while (rc == 1) {
		bool first = token.n == 0;
		rc = ask_page(g, project, since, buf_str(&token), &jobs, &reply, &status, e);
		if (rc == 0)
			rc = read_page(&j, buf_str(&reply), &token, each, arg, e);
		else if (first)
			*refused = status;
	}
	json_release(&j);
	buf_release(&token);
	buf_release(&reply);
	return rc;
}
