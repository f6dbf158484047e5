/*
 * The journal of load jobs. An entry is one of
 *
 *	{"of":"ID","objects":["gs://...",...],"rows":[N,...]}   objects of a job that is about to be written down
 *	{"job":"ID","time":"...","table":"T"}                   that job: from here on it may be submitted
 *	{"job":"ID","time":"...","table":"T","found":true}      one that only BigQuery knew; its objects have no rows
 *	{"done":"ID"}                                           its rows are in the table
 *	{"failed":"ID"}                                         none of them are
 *	{"asked":"..."}                                         what BigQuery knew until then is here: found.c
 */
#include "book.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "time.h"
#include "xalloc.h"

#define DAY SECONDS(86400 + 60) /* BigQuery's day begins when the job has reached it */

/* ---- writing ---- */

void
page_end(struct page *p)
{
	if (p->line.n == 0)
		return;
	jsonw_end(&p->w);
	if (p->rows.n > 0) {
		buf_addc(&p->rows, ']');
		jsonw_key(&p->w, "rows");
		jsonw_raw(&p->w, buf_str(&p->rows));
	}
	jsonw_end(&p->w);
	buf_adds(p->out, buf_str(&p->line));
	buf_addc(p->out, '\n');
	buf_release(&p->line);
	buf_release(&p->rows);
}

void
page_add(struct page *p, struct str url, uint64_t rows)
{
	if (p->line.n + p->rows.n + 6 * url.n + 128 > JOURNAL_LINE_MAX)
		page_end(p);
	if (p->line.n == 0) {
		buf_init(&p->line, JOURNAL_LINE_MAX);
		buf_init(&p->rows, JOURNAL_LINE_MAX);
		p->w = jsonw_to(&p->line);
		jsonw_object(&p->w);
		jsonw_member(&p->w, "of", p->id);
		jsonw_key(&p->w, "objects");
		jsonw_array(&p->w);
	}
	jsonw_str(&p->w, url);
	if (rows > 0)
		buf_addf(&p->rows, "%c%llu", p->rows.n > 0 ? ',' : '[', (unsigned long long)rows);
}

void
write_job(struct buf *out, struct str id, struct str table, int64_t wall, bool found)
{
	struct buf time = BUF_INIT(64);
	struct jsonw w = jsonw_to(out);
	time_format(&time, wall);
	jsonw_object(&w);
	jsonw_member(&w, "job", id);
	jsonw_member(&w, "time", buf_str(&time));
	jsonw_member(&w, "table", table);
	if (found) {
		jsonw_key(&w, "found");
		jsonw_bool(&w, true);
	}
	jsonw_end(&w);
	buf_addc(out, '\n');
	buf_release(&time);
}

void
write_word(struct buf *out, const char *name, struct str value)
{
	struct jsonw w = jsonw_to(out);
	jsonw_object(&w);
	jsonw_member(&w, name, value);
	jsonw_end(&w);
	buf_addc(out, '\n');
}

/* Whole lines, and what waited before them: on disk when it returns 0. */
static int
keep(struct load *ld, const struct buf *lines, struct err *e)
{
	struct str s = buf_str(lines);
	for (size_t n; s.n > 0; s = str_skip(s, n + 1)) {
		n = str_find(s, '\n');
		journal_add(&ld->journal, (struct str){s.p, n});
	}
	return journal_sync(&ld->journal, e);
}

static void
count(struct table *t, int64_t wall)
{
	if (t->nsubmitted % 64 == 0)
		t->submitted = xreallocarray(t->submitted, t->nsubmitted + 64, sizeof(*t->submitted));
	t->submitted[t->nsubmitted++] = wall;
}

size_t
book_count(struct table *t, int64_t wall, int64_t *leaves)
{
	size_t n = 0;
	*leaves = wall + DAY;
	for (size_t i = 0; i < t->nsubmitted; i++) {
		int64_t end = t->submitted[i] + DAY;
		if (end <= wall)
			continue;
		t->submitted[n++] = t->submitted[i];
		*leaves = end < *leaves ? end : *leaves;
	}
	return t->nsubmitted = n;
}

int
book_job(struct load *ld, const struct job *j, struct err *e)
{
	struct buf lines = BUF_INIT(LIMIT_LINE);
	struct page p = {.id = str_of(j->id), .out = &lines};
	int64_t wall = clock_wall();
	/* Of some alone, rows would be taken for those of others. */
	bool told = true;
	for (const struct object *o = j->first; o != NULL; o = o->next)
		told = told && o->rows > 0;
	for (const struct object *o = j->first; o != NULL; o = o->next)
		page_add(&p, str_of(o->url), told ? o->rows : 0);
	page_end(&p);
	write_job(&lines, p.id, str_of(j->table->name), wall, false);
	count(j->table, wall);
	int rc = lines.over ? err_set(e, ERR_BUG, "cannot write down load job '%s': it is too large", j->id) :
	    keep(ld, &lines, e);
	buf_release(&lines);
	return rc;
}

int
book_end(struct load *ld, const char *id, bool failed, struct err *e)
{
	struct buf line = BUF_INIT(4 * KIB);
	write_word(&line, failed ? "failed" : "done", str_of(id));
	int rc = keep(ld, &line, e);
	buf_release(&line);
	return rc;
}

/* ---- reading ---- */

static void
forget_objects(struct book *b)
{
	objects_free(b->ld, b->objects);
	b->objects = NULL;
	b->last = &b->objects;
}

void
book_remember(struct book *b, struct str id)
{
	if (map_get(&b->ids, id) != NULL)
		return;
	struct id *i = xcalloc(1, sizeof(*i) + id.n + 1);
	memcpy(i->text, id.p, id.n);
	i->next = b->all;
	b->all = i;
	map_put(&b->ids, str_of(i->text), i);
}

static struct job *
job_in(const struct load *ld, struct str id)
{
	struct job *j = ld->jobs;
	while (j != NULL && !str_is(id, j->id))
		j = j->next;
	return j;
}

static void
settle(struct load *ld, struct str id, bool failed)
{
	struct job *j = job_in(ld, id);
	if (j == NULL)
		return;
	for (struct object *o = j->first; o != NULL; o = o->next) {
		o->known->loaded = o->known->loaded || !failed;
		o->known->attempts += failed;
	}
	job_drop(j);
}

static int
read_objects(struct book *b, struct str id, struct err *e)
{
	const struct json *j = &b->json;
	uint32_t list = json_get(j, 0, "objects"), rows = json_get(j, 0, "rows");
	if (!json_is(j, list, JSON_ARRAY))
		return err_set(e, ERR_INPUT, "it has no objects");
	if (!str_eq(id, buf_str(&b->of))) {
		forget_objects(b);
		buf_reset(&b->of, 4 * KIB);
		buf_adds(&b->of, id);
	}
	bool told = json_is(j, rows, JSON_ARRAY) && j->tok[rows].count == j->tok[list].count;
	uint32_t row = json_first(rows);
	for (uint32_t t = json_first(list); t < json_end(j, list); t = j->tok[t].next) {
		int64_t n = 0;
		buf_reset(&b->text, JOURNAL_LINE_MAX);
		struct str url = json_string(j, t, &b->text);
		if (url.n == 0 || (told && (!json_i64(j, row, &n) || n <= 0)))
			return err_set(e, ERR_INPUT, "an object of it is no string, or has no rows");
		struct object *o = object_new(b->ld, url);
		o->rows = (uint64_t)n;
		o->known->lacked = o->known->lacked || b->asking;
		*b->last = o;
		b->last = &o->next;
		row = told ? j->tok[row].next : row;
	}
	return 0;
}

/* The job of the objects that were gathered. */
static int
read_job(struct book *b, struct str id, struct err *e)
{
	const struct json *j = &b->json;
	struct load *ld = b->ld;
	struct str name = json_text(j, json_get(j, 0, "table"));
	const struct schema_table *t = schema_by_table(&ld->schema, name);
	bool found = json_true(j, json_get(j, 0, "found"));
	int64_t wall;
	if (time_parse_service(json_text(j, json_get(j, 0, "time")), &wall) != NULL)
		return err_set(e, ERR_INPUT, "it has no time");
	if (t == NULL)
		return err_set(e, ERR_CONFIG, "job '%.*s' loads into '%.*s', which is not in schemas.json",
		    STR_ARG(id), STR_ARG(name));
	if (!str_eq(id, buf_str(&b->of)))
		forget_objects(b);
	book_remember(b, id);
	if (!found && wall > b->latest)
		b->latest = wall;
	struct job *job = job_new(ld, &ld->tables[t - ld->schema.tables]);
	for (struct object *o = b->objects, *next; o != NULL; o = next) {
		next = o->next;
		job_add(job, o);
	}
	b->objects = NULL;
	b->last = &b->objects;
	job_resume(job, id, found);
	count(job->table, wall);
	return 0;
}

static int
read_asked(struct book *b, struct str time, struct err *e)
{
	int64_t wall;
	if (time_parse_service(time, &wall) != NULL)
		return err_set(e, ERR_INPUT, "it has no time");
	b->asked = true;
	b->latest = wall > b->latest ? wall : b->latest;
	return 0;
}

int
book_entry(void *arg, struct str entry, struct err *e)
{
	struct book *b = arg;
	const struct json *j = &b->json;
	if (json_read(&b->json, entry, e) < 0)
		return -1;
	struct str of = json_text(j, json_get(j, 0, "of")), job = json_text(j, json_get(j, 0, "job")),
	    done = json_text(j, json_get(j, 0, "done")), failed = json_text(j, json_get(j, 0, "failed")),
	    asked = json_text(j, json_get(j, 0, "asked"));
	if (of.n > 0)
		return read_objects(b, of, e);
	if (job.n > 0)
		return read_job(b, job, e);
	if (asked.n > 0)
		return read_asked(b, asked, e);
	if (done.n > 0)
		settle(b->ld, done, false);
	else if (failed.n > 0)
		settle(b->ld, failed, true);
	else
		return err_set(e, ERR_INPUT, "it is no entry of bq-load's");
	return 0;
}

/* ---- opening ---- */

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
		return journal_open(&ld->journal, path, settings, book_entry, b, e);
	if (gsjournal_init(&ld->gsjournal, path, &ld->o.common.login, ld->o.common.retry_for, e) < 0)
		return -1;
	return gsjournal_open(&ld->gsjournal, &ld->journal, settings, book_entry, b, e);
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
	if (rc == 0 && ld->o.look_back > 0)
		rc = found_ask(&b, e);
	buf_release(&settings);
	buf_release(&dataset);
	release(&b);
	return rc;
}
