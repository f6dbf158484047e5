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
#define DAY_QUOTA_WAIT SECONDS(300) /* before a table is tried again that had all the jobs of a day */

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
static char *
make_id(const struct job *j)
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
	j->id = make_id(j);
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

/* ---- the end of a job ---- */

static void
take_out(struct job *j, const struct object *o)
{
	struct object **at = &j->first;
	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	if (j->last == &o->next)
		j->last = at;
	j->n--;
	j->bytes -= o->bytes;
	j->text -= strlen(o->url) + 3;
}

static void
done(struct job *j)
{
	struct load *ld = j->load;
	struct err e;
	if (book_end(ld, j->id, false, &e) < 0) {
		load_stop(ld, &e);
		return;
	}
	for (struct object *o; (o = j->first) != NULL;) {
		take_out(j, o);
		object_pay(ld, o);
		o->known->loaded = true;
		object_free(ld, o);
	}
}

static void
on_done(struct job *j, const struct bqjob *job)
{
	struct load *ld = j->load;
	struct err e;
	bool told = true; /* by lines */
	uint64_t rows = 0;
	for (const struct object *o = j->first; o != NULL; o = o->next) {
		told = told && o->rows > 0;
		rows += o->rows;
	}
	if (told && job->rows >= 0 && (uint64_t)job->rows != rows) {
		err_set(&e, ERR_BUG, "cannot account for load job '%s': its objects have %" PRIu64 " rows, and BigQuery stored "
		    "%" PRId64 " in '%s:%s.%s'; look at both, and when they are right append {\"done\":\"%s\"} to the journal",
		    j->id, rows, job->rows, ld->project, ld->dataset, j->table->name, j->id);
		load_stop(ld, &e);
		return;
	}
	rows = job->rows >= 0 ? (uint64_t)job->rows : rows;
	ld->njobs++;
	ld->nrows += rows;
	log_info("load job '%s' has ended: %zu objects, %" PRIu64 " rows in '%s:%s.%s'", j->id, j->n, rows, ld->project,
	    ld->dataset, j->table->name);
	done(j);
}

/* The object that an error names, by its location or in its message ("... File: gs://b/o"). The longest that fits. */
static struct object *
named_in(struct object *among, struct str text)
{
	struct object *best = NULL;
	size_t most = 0;
	for (size_t at = 0; at < text.n; at++) {
		struct str rest = str_skip(text, at);
		if (!str_starts(rest, STR("gs://")))
			continue;
		for (struct object *o = among; o != NULL; o = o->next) {
			struct str url = str_of(o->url);
			if (url.n > most && str_starts(rest, url)) {
				best = o;
				most = url.n;
			}
		}
	}
	return best;
}

static struct object *
named_by(struct object *among, const struct bqjob_error *error)
{
	struct object *o = named_in(among, error->location);
	return o != NULL ? o : named_in(among, error->message);
}

/* The message as far as it holds no value of a row. */
static struct str
without_value(struct str s)
{
	static const struct str marks[] = {STR("; Value:"), STR(" Value:"), STR("Could not parse"), STR("(bad value)")};
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		const char *p = memmem(s.p, s.n, marks[i].p, marks[i].n);
		if (p != NULL)
			s.n = (size_t)(p - s.p);
	}
	return s;
}

/* Nobody has asked for any of its objects yet, and it may be another run's. */
static bool
is_foreign(const struct job *j)
{
	const struct object *o = j->found ? j->first : NULL;
	while (o != NULL && o->payees == NULL)
		o = o->next;
	return j->found && o == NULL && j->blamed == NULL;
}

static void
on_error(void *arg, const struct bqjob_error *error)
{
	struct job *j = arg;
	struct str message = without_value(error->message);
	if (bqjob_class(error->reason) != ERR_INPUT || is_foreign(j))
		return;
	struct object *o = named_by(j->first, error);
	if (o != NULL) {
		take_out(j, o);
		o->next = j->blamed;
		j->blamed = o;
	} else {
		o = named_by(j->blamed, error); /* by an earlier entry too */
	}
	/* The first entries only say that others follow. */
	if (o == NULL && memmem(message.p, message.n, "giving up", 9) != NULL)
		return;
	uint64_t line = o != NULL ? place_line(j->load, o->url, error->message) : 0;
	if (line > 0)
		log_error("cannot load line %" PRIu64 " of '%s' into '%s': %.*s (%.*s)", line, o->url, j->table->name,
		    STR_ARG(message), STR_ARG(error->reason));
	else if (error->location.n > 0)
		log_error("cannot load '%.*s' into '%s': %.*s (%.*s)", STR_ARG(error->location), j->table->name,
		    STR_ARG(message), STR_ARG(error->reason));
	else
		log_error("cannot load into '%s': %.*s (%.*s)", j->table->name, STR_ARG(message), STR_ARG(error->reason));
}

/* What the reply named goes no further in this run. Returns how many. */
static unsigned
refuse_blamed(struct job *j)
{
	struct load *ld = j->load;
	unsigned n = 0;
	for (struct object *o; (o = j->blamed) != NULL; n++) {
		j->blamed = o->next;
		for (const struct payee *p = o->payees; p != NULL; p = p->next)
			ld->tally.rejected++;
		log_error("left out '%s': it is not in '%s'", o->url, j->table->name);
		object_free(ld, o);
	}
	ld->nfailed += n;
	j->refused += n;
	return n;
}

static void
fail_for_good(struct job *j, const struct bqjob *job)
{
	struct err e;
	enum err_class class = bqjob_class(job->error.reason);
	struct str message = without_value(job->error.message);
	err_set(&e, class == ERR_INPUT ? ERR_PERMANENT : class, "cannot load into '%s:%s.%s': job '%s' failed: %.*s (%.*s)%s",
	    j->load->project, j->load->dataset, j->table->name, j->id, STR_ARG(message), STR_ARG(job->error.reason),
	    class == ERR_AUTH ? "; this account needs to read the objects and to write the table" : "");
	load_stop(j->load, &e);
}

/* When the next attempt may begin, or false with the tool stopped. */
static bool
back_off(struct job *j, const struct bqjob *job, enum err_class class)
{
	struct load *ld = j->load;
	struct err e;
	int64_t now = clock_now();
	/* Each try counts as a job of the day, too. */
	int64_t after = str_starts(job->error.location, STR("load_job_per_table")) ? DAY_QUOTA_WAIT : 0;
	if (retry_next(&j->retry, &ld->rng, now, after, class == ERR_QUOTA, ld->gapi.patience, &j->when)) {
		log_warn("load job '%s' failed: %.*s (%.*s); trying again in %.1f s", j->id, STR_ARG(job->error.message),
		    STR_ARG(job->error.reason), (double)(j->when - now) / 1e6);
		return true;
	}
	err_set(&e, ERR_TRANSIENT, "cannot load into '%s:%s.%s': job '%s' failed: %.*s (%.*s); gave up after %u jobs",
	    ld->project, ld->dataset, j->table->name, j->id, STR_ARG(job->error.message), STR_ARG(job->error.reason),
	    j->retry.attempts);
	load_stop(ld, &e);
	return false;
}

/*
 * Those that need not be tried again: another job has loaded them, or has them; or it was another run's job, and no line
 * has asked for them.
 */
static void
thin_out(struct job *j)
{
	struct load *ld = j->load;
	for (struct object *o = j->first, *next; o != NULL; o = next) {
		next = o->next;
		if (!o->known->loaded && o->known->object == o && (!j->found || o->payees != NULL))
			continue;
		take_out(j, o);
		if (o->known->loaded)
			object_pay(ld, o);
		object_free(ld, o);
	}
}

/* The same objects once more, or those that are left of them, as another job. */
static void
next_attempt(struct job *j)
{
	j->step = JOB_READY;
	j->written = j->submitted = j->found = false;
	j->attempt = 0;
	for (const struct object *o = j->first; o != NULL; o = o->next)
		j->attempt = o->known->attempts > j->attempt ? o->known->attempts : j->attempt;
	free(j->id);
	j->id = make_id(j);
}

static void
on_failed(struct job *j, const struct bqjob *job)
{
	struct load *ld = j->load;
	enum err_class class = bqjob_class(job->error.reason);
	struct err e;
	if (j->blamed == NULL)
		on_error(j, &job->error); /* errors[] may be short of it */
	for (struct object *o = j->first; o != NULL; o = o->next)
		o->known->attempts++;
	for (struct object *o = j->blamed; o != NULL; o = o->next)
		o->known->attempts++;
	if (book_end(ld, j->id, true, &e) < 0) {
		load_stop(ld, &e);
		return;
	}
	unsigned refused = refuse_blamed(j);
	thin_out(j);
	if (j->refused > REFUSED_MAX) {
		err_set(&e, ERR_PERMANENT, "cannot load into '%s:%s.%s': BigQuery refused %u objects of one job, and there may be "
		    "more; the table and the events do not fit, look at the messages above", ld->project, ld->dataset,
		    j->table->name, j->refused);
		load_stop(ld, &e);
	} else if (refused > 0) {
		j->when = 0;
		next_attempt(j);
	} else if (j->n > 0 && class != ERR_TRANSIENT && class != ERR_QUOTA) {
		fail_for_good(j, job);
	} else if (j->n > 0 && back_off(j, job, class)) {
		next_attempt(j);
	}
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
		on_failed(j, job);
	else
		on_done(j, job);
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
		rc = bqjob_read(&j->load->json, r->reply->body, told, on_error, j, &e);
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
