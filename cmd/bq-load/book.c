/*
 * The journal of load jobs. An entry is one of
 *
 *	{"of":"ID","objects":["gs://...",...]}   objects of a job that is about to be written down
 *	{"job":"ID","time":"...","table":"T"}    that job: from here on it may be submitted
 *	{"done":"ID"}                            its rows are in the table
 *	{"failed":"ID"}                          none of them are
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "jsonw.h"
#include "load.h"
#include "log.h"
#include "time.h"
#include "xalloc.h"

#define DAY SECONDS(86400)
#define SLACK SECONDS(3600) /* between our clock and BigQuery's */
#define TABLE_JOBS_MAX 1500 /* a day, failed ones included [BigQuery quotas: load jobs] */
#define TABLE_JOBS_WARN 1200

struct id {
	struct id *next;
	char text[];
};

/* While it is opened. */
struct book {
	struct load *ld;
	struct json json;
	struct buf text;
	struct buf of;        /* the job whose objects were read last */
	struct object *objects, **last;
	struct map ids;       /* of all jobs of the journal */
	struct id *all;
	int64_t latest;       /* since 1970: when the last job was written down; 0: none was */
	unsigned found;       /* jobs that only BigQuery knew */
};

/* ---- writing ---- */

struct page {
	struct journal *journal;
	const char *id;
	struct buf text;
	struct jsonw w;
};

static void
page_end(struct page *p)
{
	if (p->text.n == 0)
		return;
	jsonw_end(&p->w);
	jsonw_end(&p->w);
	journal_add(p->journal, buf_str(&p->text));
	buf_reset(&p->text, JOURNAL_LINE_MAX);
}

static void
page_add(struct page *p, struct str url)
{
	if (p->text.n + 6 * url.n + 64 > JOURNAL_LINE_MAX)
		page_end(p);
	if (p->text.n == 0) {
		p->w = jsonw_to(&p->text);
		jsonw_object(&p->w);
		jsonw_member(&p->w, "of", str_of(p->id));
		jsonw_key(&p->w, "objects");
		jsonw_array(&p->w);
	}
	jsonw_str(&p->w, url);
}

static void
write_job(struct journal *to, const char *id, const char *table, int64_t wall)
{
	struct buf line = BUF_INIT(JOURNAL_LINE_MAX), time = BUF_INIT(64);
	struct jsonw w = jsonw_to(&line);
	time_format(&time, wall);
	jsonw_object(&w);
	jsonw_member(&w, "job", str_of(id));
	jsonw_member(&w, "time", buf_str(&time));
	jsonw_member(&w, "table", str_of(table));
	jsonw_end(&w);
	journal_add(to, buf_str(&line));
	buf_release(&line);
	buf_release(&time);
}

static void
write_end(struct journal *to, const char *how, const char *id)
{
	struct buf line = BUF_INIT(JOURNAL_LINE_MAX);
	struct jsonw w = jsonw_to(&line);
	jsonw_object(&w);
	jsonw_member(&w, how, str_of(id));
	jsonw_end(&w);
	journal_add(to, buf_str(&line));
	buf_release(&line);
}

static void
count(struct table *t, int64_t wall)
{
	if (t->nsubmitted % 64 == 0)
		t->submitted = xreallocarray(t->submitted, t->nsubmitted + 64, sizeof(*t->submitted));
	t->submitted[t->nsubmitted++] = wall;
}

size_t
book_count(struct table *t, int64_t wall)
{
	size_t keep = 0, all = t->nsubmitted;
	for (size_t i = 0; i < all; i++) {
		if (t->submitted[i] > wall - DAY)
			t->submitted[keep++] = t->submitted[i];
	}
	t->nsubmitted = 0;
	for (size_t i = 0; i < keep; i++)
		count(t, t->submitted[i]);
	return keep;
}

int
book_job(struct load *ld, const struct job *j, struct err *e)
{
	struct page p = {.journal = &ld->journal, .id = j->id, .text = BUF_INIT(JOURNAL_LINE_MAX)};
	struct table *t = j->table;
	int64_t wall = clock_wall();
	for (const struct object *o = j->first; o != NULL; o = o->next)
		page_add(&p, str_of(o->url));
	page_end(&p);
	buf_release(&p.text);
	write_job(&ld->journal, j->id, t->name, wall);
	count(t, wall);
	size_t n = book_count(t, wall);
	if (n >= TABLE_JOBS_WARN && !t->warned) {
		t->warned = true;
		log_warn("%zu load jobs into '%s:%s.%s' in 24 hours, and BigQuery takes %d; make them larger "
		         "with --linger",
		    n, ld->project, ld->dataset, t->name, TABLE_JOBS_MAX);
	}
	return journal_sync(&ld->journal, e);
}

int
book_done(struct load *ld, const char *id, struct err *e)
{
	write_end(&ld->journal, "done", id);
	return journal_sync(&ld->journal, e);
}

int
book_failed(struct load *ld, const char *id, struct err *e)
{
	write_end(&ld->journal, "failed", id);
	return journal_sync(&ld->journal, e);
}

/* ---- reading ---- */

/* How a job of the past ended. */
enum past { PAST_OPEN, PAST_DONE, PAST_FAILED };

static void
forget_objects(struct book *b)
{
	for (struct object *o = b->objects, *next; o != NULL; o = next) {
		next = o->next;
		o->known->state = KNOWN_FREE;
		o->known->object = NULL;
		object_free(o);
		b->ld->held--;
	}
	b->objects = NULL;
	b->last = &b->objects;
}

static void
gather(struct book *b, struct str url)
{
	if (known_get(b->ld, url)->state != KNOWN_FREE)
		return;
	struct object *o = object_new(b->ld, url);
	*b->last = o;
	b->last = &o->next;
}

static void
remember_id(struct book *b, struct str id)
{
	struct id *i = xcalloc(1, sizeof(*i) + id.n + 1);
	memcpy(i->text, id.p, id.n);
	i->next = b->all;
	b->all = i;
	map_put(&b->ids, str_of(i->text), i);
}

/* The job of the objects that were gathered. */
static int
add_job(struct book *b, struct str id, struct str name, int64_t wall, struct err *e)
{
	struct load *ld = b->ld;
	const struct schema_table *t = schema_by_table(&ld->schema, name);
	if (t == NULL)
		return err_set(e, ERR_CONFIG, "job '%.*s' loads into '%.*s', which is not in schemas.json",
		    STR_ARG(id), STR_ARG(name));
	struct job *j = job_new(ld, &ld->tables[t - ld->schema.tables]);
	for (struct object *o = b->objects, *next; o != NULL; o = next) {
		next = o->next;
		job_add(j, o);
	}
	b->objects = NULL;
	b->last = &b->objects;
	job_resume(j, id);
	count(j->table, wall);
	return 0;
}

static void
settle(struct load *ld, struct str id, enum past past)
{
	struct job **at = &ld->jobs;
	while (*at != NULL && !str_is(id, (*at)->id))
		at = &(*at)->next;
	struct job *j = *at;
	if (j == NULL)
		return;
	for (struct object *o = j->first; o != NULL; o = o->next) {
		o->known->state = past == PAST_DONE ? KNOWN_LOADED : KNOWN_FREE;
		o->known->attempts += past == PAST_FAILED;
		o->known->object = NULL;
		ld->held--;
	}
	*at = j->next;
	if (j->next == NULL)
		ld->last_job = at;
	job_free(j);
}

static int
read_objects(struct book *b, uint32_t list, struct str id, struct err *e)
{
	const struct json *j = &b->json;
	if (!json_is(j, list, JSON_ARRAY))
		return err_set(e, ERR_INPUT, "it has no objects");
	if (!str_eq(id, buf_str(&b->of))) {
		forget_objects(b);
		buf_reset(&b->of, 4 * KIB);
		buf_adds(&b->of, id);
	}
	for (uint32_t t = json_first(list); t < json_end(j, list); t = j->tok[t].next) {
		buf_reset(&b->text, JOURNAL_LINE_MAX);
		struct str url = json_string(j, t, &b->text);
		if (url.n == 0)
			return err_set(e, ERR_INPUT, "an object of it is no string");
		gather(b, url);
	}
	return 0;
}

static int
read_job(struct book *b, struct str id, struct err *e)
{
	const struct json *j = &b->json;
	int64_t wall;
	struct str table = json_text(j, json_get(j, 0, "table"));
	if (time_parse_service(json_text(j, json_get(j, 0, "time")), &wall) != NULL)
		return err_set(e, ERR_INPUT, "it has no time");
	if (!str_eq(id, buf_str(&b->of)))
		forget_objects(b);
	remember_id(b, id);
	b->latest = wall > b->latest ? wall : b->latest;
	return add_job(b, id, table, wall, e);
}

static int
on_entry(void *arg, struct str entry, struct err *e)
{
	struct book *b = arg;
	const struct json *j = &b->json;
	if (json_read(&b->json, entry, e) < 0)
		return -1;
	struct str of = json_text(j, json_get(j, 0, "of")), job = json_text(j, json_get(j, 0, "job")),
	    done = json_text(j, json_get(j, 0, "done")), failed = json_text(j, json_get(j, 0, "failed"));
	if (of.n > 0)
		return read_objects(b, json_get(j, 0, "objects"), of, e);
	if (job.n > 0)
		return read_job(b, job, e);
	if (done.n > 0)
		settle(b->ld, done, PAST_DONE);
	else if (failed.n > 0)
		settle(b->ld, failed, PAST_FAILED);
	else
		return err_set(e, ERR_INPUT, "it is no entry of bq-load's");
	return 0;
}

/* ---- what the journal lacks ---- */

/*
 * A job that BigQuery has and the journal has not: the journal was lost, or is an old copy. It is written
 * down as if it had been.
 */
static int
on_listed(void *arg, const struct json *json, const struct bqjob *job, struct err *e)
{
	struct book *b = arg;
	struct load *ld = b->ld;
	struct page p = {.journal = &ld->journal, .text = BUF_INIT(JOURNAL_LINE_MAX)};
	if (!str_starts(job->id, str_of(ld->prefix)) || map_get(&b->ids, job->id) != NULL ||
	    !json_is(json, job->uris, JSON_ARRAY) || schema_by_table(&ld->schema, job->table) == NULL)
		return 0;
	char *id = str_dup(job->id), *table = str_dup(job->table);
	p.id = id;
	remember_id(b, job->id);
	b->found++;
	for (uint32_t t = json_first(job->uris); t < json_end(json, job->uris); t = json->tok[t].next) {
		buf_reset(&b->text, JOURNAL_LINE_MAX);
		struct str url = json_string(json, t, &b->text);
		page_add(&p, url);
		gather(b, url);
	}
	page_end(&p);
	int64_t wall = clock_wall();
	write_job(&ld->journal, id, table, wall);
	int rc = add_job(b, job->id, job->table, wall, e);
	if (rc == 0 && job->ended) {
		write_end(&ld->journal, job->failed ? "failed" : "done", id);
		settle(ld, job->id, job->failed ? PAST_FAILED : PAST_DONE);
	}
	if (rc == 0)
		rc = journal_sync(&ld->journal, e);
	buf_release(&p.text);
	free(id);
	free(table);
	return rc;
}

static int
ask_bigquery(struct book *b, struct err *e)
{
	struct load *ld = b->ld;
	int64_t since = b->latest > 0 ? b->latest - SLACK : clock_wall() - ld->o.look_back;
	int status = 0;
	if (ld->o.look_back == 0)
		return 0;
	if (bqjob_list(&ld->gapi, ld->place.project, since, on_listed, b, &status, e) < 0) {
		if (e->class != ERR_AUTH && status != 404 && status != 501)
			return -1;
		log_warn("cannot ask BigQuery for earlier load jobs, so the journal alone keeps objects from "
		         "being loaded twice: "
			 "%s",
		    e->text);
		return 0;
	}
	if (b->found > 0)
		log_warn("'%s' lacked %u load jobs that BigQuery knows of; they were added", ld->o.journal,
		    b->found);
	return 0;
}

static void
release(struct book *b)
{
	forget_objects(b);
	for (struct id *i = b->all, *next; i != NULL; i = next) {
		next = i->next;
		free(i);
	}
	map_release(&b->ids);
	json_release(&b->json);
	buf_release(&b->text);
	buf_release(&b->of);
}

static int
open_journal(struct book *b, struct str settings, struct err *e)
{
	struct load *ld = b->ld;
	const char *path = ld->o.journal;
	if (!gsjournal_is(path))
		return journal_open(&ld->journal, path, settings, on_entry, b, e);
	if (gsjournal_init(&ld->gsjournal, path, ld->o.common.access_token_file, ld->o.common.retry_for, e) < 0)
		return -1;
	return gsjournal_open(&ld->gsjournal, &ld->journal, settings, on_entry, b, e);
}

int
book_open(struct load *ld, struct err *e)
{
	struct book b = {.ld = ld, .text = BUF_INIT(JOURNAL_LINE_MAX), .of = BUF_INIT(4 * KIB)};
	struct buf settings = BUF_INIT(4 * KIB), dataset = BUF_INIT(2 * KIB);
	struct jsonw w = jsonw_to(&settings);
	b.last = &b.objects;
	buf_addf(&dataset, "%s:%s", ld->project, ld->dataset);
	jsonw_object(&w);
	jsonw_member(&w, "journal", STR("bq-load"));
	jsonw_member(&w, "project", str_of(ld->place.project));
	jsonw_member(&w, "dataset", buf_str(&dataset));
	jsonw_end(&w);
	int rc = open_journal(&b, buf_str(&settings), e);
	if (rc == 0)
		rc = ask_bigquery(&b, e);
	buf_release(&settings);
	buf_release(&dataset);
	release(&b);
	return rc;
}
