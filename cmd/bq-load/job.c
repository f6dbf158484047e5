#include "load.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "digest.h"
#include "log.h"
#include "xalloc.h"

#define ASK_FIRST MILLIS(200) /* after the submission; then half as much more each time ... */
#define ASK_MOST SECONDS(10)  /* ... up to this */
#define LOST_MAX 3
/* Of the jobs a table may have, the last few are for the ends of input and for further attempts. */
#define HOLD_AT(max) ((max) - (max) / 30)

struct job *
job_new(struct load *ld, struct table *t)
{
	struct job *j = xcalloc(1, sizeof(*j));
	*j = (struct job){.load = ld, .table = t, .opened = ld->stage.now};
	j->last = &j->first;
	return j;
}

void
job_add(struct job *j, struct object *o)
{
	unsigned attempts = o->known->attempts;
	o->next = NULL;
	*j->last = o;
	j->last = &o->next;
	j->n++;
	j->text += strlen(o->url) + 3;
	j->bytes += o->bytes;
	j->attempt = attempts > j->attempt ? attempts : j->attempt;
}

void
job_free(struct job *j)
{
	if (j == NULL)
		return;
	if (j->call != NULL)
		gapi_cancel(j->call);
	objects_free(j->load, j->first);
	objects_free(j->load, j->blamed);
	free(j->id);
	free(j);
}

void
jobs_free(struct load *ld)
{
	for (struct job *j = ld->jobs, *next; j != NULL; j = next) {
		next = j->next;
		job_free(j);
	}
	for (uint32_t i = 0; ld->tables != NULL && i < ld->schema.ntables; i++) {
		job_free(ld->tables[i].open[0]);
		job_free(ld->tables[i].open[1]);
	}
}

void
load_stop(struct load *ld, const struct err *why)
{
	if (ld->failed.class == ERR_NONE)
		ld->failed = *why;
}

/*
 * The id tells what the job loads: who makes the same job of the same objects again, having forgotten, gets
 * the same id, and BigQuery refuses it.
 */
char *
job_id(const struct job *j)
{
	uint8_t sum[DIGEST_MAX];
	char hex[2 * 16 + 1];
	struct digest d;
	digest_begin(&d, DIGEST_SHA256);
	digest_add(&d, str_of(j->table->name));
	for (const struct object *o = j->first; o != NULL; o = o->next) {
		digest_add(&d, STR("\n"));
		digest_add(&d, str_of(o->url));
	}
	digest_end(&d, sum);
	digest_hex(hex, sum, 16);
	return xasprintf("%s%s-%u", j->load->prefix, hex, j->attempt);
}

static void
enlist(struct job *j)
{
	struct load *ld = j->load;
	if (ld->jobs == NULL)
		ld->last_job = &ld->jobs;
	j->next = NULL;
	*ld->last_job = j;
	ld->last_job = &j->next;
}

void
job_close(struct job *j)
{
	j->step = JOB_READY;
	j->id = job_id(j);
	enlist(j);
}

void
job_resume(struct job *j, struct str id, bool found)
{
	j->step = JOB_ASK;
	j->id = str_dup(id);
	j->written = true;
	j->found = found;
	j->wait = ASK_FIRST;
	enlist(j);
}

void
job_drop(struct job *j)
{
	struct load *ld = j->load;
	struct job **at = &ld->jobs;
	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	if (j->next == NULL)
		ld->last_job = at;
	job_free(j);
}

/* ---- asking ---- */

static void
ask_later(struct job *j)
{
	j->step = JOB_ASK;
	j->when = j->load->stage.now + j->wait;
	j->wait = j->wait * 3 / 2 < ASK_MOST ? j->wait * 3 / 2 : ASK_MOST;
}

static void
told(void *arg, const struct bqjob *job)
{
	struct job *j = arg;
	j->submitted = true;
	if (!job->ended)
		ask_later(j);
	else if (job->failed)
		job_failed(j, job);
	else
		job_done(j, job);
}

/* BigQuery does not know the job: it was written down and never submitted, or where it went nobody looks. */
static void
on_unknown(struct job *j)
{
	struct err e;
	if (j->submitted && ++j->lost > LOST_MAX) {
		err_set(&e, ERR_PERMANENT, "cannot ask for load job '%s': it was submitted, and BigQuery does not know it in "
		    "location '%s'; give the dataset's project and location a look", j->id, j->load->location);
		load_stop(j->load, &e);
		return;
	}
	j->step = JOB_READY;
	j->when = 0;
}

static void
on_asked(void *arg, const struct gapi_result *r)
{
	struct job *j = arg;
	struct err e;
	int rc = 0;
	if (r->err.class == ERR_NONE && r->status != 404)
		rc = bqjob_read(&j->load->json, r->reply->body, told, job_error, j, &e);
	if (rc < 0 && gapi_again(r, &e))
		return;
	j->call = NULL;
	j->load->under_way--;
	if (r->err.class != ERR_NONE)
		load_stop(j->load, &r->err);
	else if (r->status == 404)
		on_unknown(j);
	else if (rc < 0)
		load_stop(j->load, &e);
}

static void
ask(struct job *j)
{
	j->load->under_way++;
	j->call = bqjob_get(&j->load->gapi, &j->load->place, j->id, on_asked, j);
}

/* ---- submitting ---- */

static void
on_submitted(void *arg, const struct gapi_result *r)
{
	struct job *j = arg;
	j->call = NULL;
	j->load->under_way--;
	if (r->err.class != ERR_NONE) {
		load_stop(j->load, &r->err);
		return;
	}
	if (r->status == 409)
		log_info("load job '%s' was submitted before", j->id);
	j->submitted = true;
	j->wait = ASK_FIRST;
	ask_later(j);
}

static void
submit(struct job *j)
{
	struct str *uris = xreallocarray(NULL, j->n, sizeof(*uris));
	size_t n = 0;
	for (const struct object *o = j->first; o != NULL; o = o->next)
		uris[n++] = str_of(o->url);
	struct bqjob_load what = {.id = j->id, .table = j->table->name, .uris = uris, .n = n,
	    .ignore_unknown = j->table->ignore_unknown};
	j->step = JOB_SUBMIT;
	j->load->under_way++;
	j->call = bqjob_insert(&j->load->gapi, &j->load->place, &what, on_submitted, j);
	log_debug("submitting load job '%s': %zu objects, %" PRIu64 " bytes", j->id, n, j->bytes);
	free(uris);
}

/* ---- the jobs of a day ---- */

/* It has so many jobs within 24 hours. *wait: until the first of them is older. */
static bool
has_jobs(struct load *ld, struct table *t, int64_t most, int64_t *wait)
{
	int64_t wall = clock_wall(), leaves;
	size_t n = book_count(t, wall, &leaves);
	*wait = leaves - wall;
	if ((int64_t)n < most) {
		t->held = t->held && (int64_t)n >= HOLD_AT(ld->o.max_jobs);
		return false;
	}
	if (!t->held)
		log_warn("%zu load jobs into '%s:%s.%s' in 24 hours, of %lld that it may have: the next one waits and gathers "
		    "objects, until one of these is a day old, in %.0f s; a larger --linger makes fewer jobs", n, ld->project,
		    ld->dataset, t->name, (long long)ld->o.max_jobs, (double)*wait / 1e6);
	t->held = true;
	stage_wake_at(&ld->stage, ld->stage.now + *wait);
	return true;
}

/* It may not be submitted yet; or never, in this run, which has ended then. */
static bool
must_wait(struct job *j)
{
	struct load *ld = j->load;
	struct err e;
	int64_t wait;
	if (j->written || !has_jobs(ld, j->table, ld->o.max_jobs, &wait))
		return false;
	if (ld->gapi.patience > 0 && wait > ld->gapi.patience) {
		err_set(&e, ERR_TRANSIENT, "cannot load into '%s:%s.%s': it had %lld load jobs in 24 hours, which is all it may; "
		    "the next can be in %.0f s, longer than --retry-for", ld->project, ld->dataset, j->table->name,
		    (long long)ld->o.max_jobs, (double)wait / 1e6);
		load_stop(ld, &e);
	}
	return true;
}

/*
 * The lake's lines hold the discriminator, which is no column, so unknown members are ignored; they were
 * validated, so there are no others, as long as the table has every column that schemas.json has. That is
 * looked at before each job: a column that vanished would be a loss without a word.
 */
static void
on_checked(void *arg, const struct gapi_result *r)
{
	struct job *j = arg;
	struct load *ld = j->load;
	struct err e = {0};
	char *object = xasprintf("%s:%s.%s", ld->project, ld->dataset, j->table->name);
	int rc = 0;
	if (r->err.class != ERR_NONE)
		e = r->err;
	else
		rc = bigquery_compare(&ld->json, r->reply->body, object, &ld->schema, j->table->schema, &e);
	free(object);
	if (rc < 0 && e.class == ERR_TRANSIENT && gapi_again(r, &e))
		return;
	j->call = NULL;
	ld->under_way--;
	if (r->err.class == ERR_NONE && rc == 0 && must_wait(j)) { /* for those that were written down meanwhile */
		j->step = JOB_READY;
		return;
	}
	if (r->err.class != ERR_NONE || rc < 0 || (!j->written && book_job(ld, j, &e) < 0)) {
		load_stop(ld, &e);
		return;
	}
	j->written = true;
	submit(j);
}

static void
begin(struct job *j)
{
	struct load *ld = j->load;
	j->step = JOB_CHECK;
	ld->under_way++;
	j->call = bigquery_get_table(&ld->gapi, ld->project, ld->dataset, j->table->name, on_checked, j);
}

/* ---- all of them ---- */

static void
close_due(struct load *ld)
{
	struct stage *s = &ld->stage;
	int64_t wait;
	for (uint32_t i = 0; i < ld->schema.ntables; i++) {
		struct table *t = &ld->tables[i];
		for (int gzip = 0; gzip < 2; gzip++) {
			struct job **j = &t->open[gzip];
			if (*j == NULL)
				continue;
			if (!s->drained && s->now - (*j)->opened < ld->o.linger) {
				stage_wake_at(s, (*j)->opened + ld->o.linger);
				continue;
			}
			if (!s->drained && has_jobs(ld, t, HOLD_AT(ld->o.max_jobs), &wait))
				continue;
			job_close(*j);
			*j = NULL;
		}
	}
}

static bool
ended(const struct job *j)
{
	return j->n == 0 && j->call == NULL && j->step != JOB_OPEN;
}

static void
drop_ended(struct load *ld)
{
	struct job **at = &ld->jobs;
	while (*at != NULL) {
		struct job *j = *at;
		if (ended(j)) {
			*at = j->next;
			job_free(j);
		} else {
			at = &j->next;
		}
	}
	ld->last_job = at;
}

void
jobs_turn(struct load *ld)
{
	struct stage *s = &ld->stage;
	close_due(ld);
	for (struct job *j = ld->jobs; j != NULL && ld->failed.class == ERR_NONE; j = j->next) {
		if (j->call != NULL || j->n == 0)
			continue;
		if (j->when > s->now) {
			stage_wake_at(s, j->when);
			continue;
		}
		if (ld->under_way >= CALLS_MAX)
			break;
		if (j->step == JOB_READY && !must_wait(j))
			begin(j);
		else if (j->step == JOB_ASK)
			ask(j);
	}
	drop_ended(ld);
}
