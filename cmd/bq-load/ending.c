/* What becomes of a job's objects when it ends: paid, refused one by one, or tried again. */
#include "load.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

#define DAY_QUOTA_WAIT SECONDS(300) /* before a table is tried again that had all the jobs of a day */

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

void
job_done(struct job *j, const struct bqjob *job)
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

void
job_error(void *arg, const struct bqjob_error *error)
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
	j->id = job_id(j);
}

void
job_failed(struct job *j, const struct bqjob *job)
{
	struct load *ld = j->load;
	enum err_class class = bqjob_class(job->error.reason);
	struct err e;
	if (j->blamed == NULL)
		job_error(j, &job->error); /* errors[] may be short of it */
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
