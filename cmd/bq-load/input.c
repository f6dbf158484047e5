#include "load.h"

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "log.h"
#include "receipt.h"
#include "record.h"
#include "utf8.h"
#include "xalloc.h"

#define INPUT_NAME "standard input"
#define ADVICE "pipe gcs-put --objects into bq-load"

/* An object line (records(5)). Views live until the next line. */
struct entry {
	struct str url, table;
	struct str source; /* between its quotes; STR_NONE: absent */
	int64_t rows, bytes;
};

struct known *
known_get(struct load *ld, struct str url)
{
	uint8_t sum[DIGEST_MAX];
	digest_of(DIGEST_SHA256, url, sum);
	struct known *k = map_get(&ld->known, (struct str){(const char *)sum, sizeof(k->key)});
	if (k != NULL)
		return k;
	k = xcalloc(1, sizeof(*k));
	memcpy(k->key, sum, sizeof(k->key));
	map_put(&ld->known, (struct str){(const char *)k->key, sizeof(k->key)}, k);
	return k;
}

struct object *
object_new(struct load *ld, struct str url)
{
	struct object *o = xcalloc(1, sizeof(*o));
	o->url = str_dup(url);
	o->known = known_get(ld, url);
	o->known->object = o;
	ld->held++;
	return o;
}

void
object_free(struct load *ld, struct object *o)
{
	for (struct payee *p = o->payees, *next; p != NULL; p = next) {
		next = p->next;
		free(p->source);
		free(p);
	}
	if (o->known->object == o)
		o->known->object = NULL;
	ld->held--;
	free(o->url);
	free(o);
}

void
objects_free(struct load *ld, struct object *first)
{
	for (struct object *o = first, *next; o != NULL; o = next) {
		next = o->next;
		object_free(ld, o);
	}
}

static void
pay(struct load *ld, struct str source, uint64_t rows)
{
	ld->tally.done++;
	ld->nreceipted += rows;
	if (source.p == NULL)
		return;
	buf_addf(sink_buf(&ld->out), "{\"msg\":{\"source\":\"%.*s\"},\"count\":%llu}", STR_ARG(source),
	    (unsigned long long)rows);
	sink_commit(&ld->out);
}

void
object_pay(struct load *ld, struct object *o)
{
	for (const struct payee *p = o->payees; p != NULL; p = p->next)
		pay(ld, str_of(p->source), p->rows);
}

static void
owe(struct object *o, const struct entry *x)
{
	struct payee *p = xcalloc(1, sizeof(*p));
	*p = (struct payee){.next = o->payees, .rows = (uint64_t)x->rows,
	    .source = x->source.p != NULL ? str_dup(x->source) : NULL};
	o->payees = p;
	o->rows = (uint64_t)x->rows;
	o->bytes = (uint64_t)x->bytes;
}

static int
number(const struct json *j, const char *name, int64_t least, int64_t *out, struct err *e)
{
	if (!json_i64(j, json_get(j, 0, name), out) || *out < least)
		return err_set(e, ERR_INPUT, "its member '%s' is no number from %lld up", name, (long long)least);
	return 0;
}

/* It goes into a load job's configuration, where an asterisk would be a wildcard, and into messages. */
static int
check_url(struct str url, struct err *e)
{
	struct str rest = str_skip(url, 5);
	size_t slash = str_find(rest, '/');
	if (!str_starts(url, STR("gs://")) || slash == 0 || slash + 1 >= rest.n || url.n > URL_LENGTH_MAX)
		return err_set(e, ERR_INPUT, "its member 'object' is no gs://BUCKET/NAME");
	for (size_t i = 0; i < url.n; i++) {
		if (url.p[i] == '*' || (unsigned char)url.p[i] < 0x20 || url.p[i] == 0x7f)
			return err_set(e, ERR_INPUT, "its member 'object' holds an asterisk or a control character");
	}
	return 0;
}

static int
read_entry(const struct json *j, struct entry *x, struct buf *text, struct err *e)
{
	uint32_t source = json_get(j, 0, "source");
	buf_room(text, j->text.n);
	*x = (struct entry){.url = json_string(j, json_get(j, 0, "object"), text),
	    .table = json_string(j, json_get(j, 0, "table"), text)};
	if (x->url.p == NULL || check_url(x->url, e) < 0)
		return x->url.p == NULL ? err_set(e, ERR_INPUT, "its member 'object' is no string") : -1;
	if (x->table.n == 0)
		return err_set(e, ERR_INPUT, "its member 'table' is no string");
	if (number(j, "rows", 1, &x->rows, e) < 0 || number(j, "bytes", 0, &x->bytes, e) < 0)
		return -1;
	if (source == JSON_NONE)
		return 0;
	if (!json_is(j, source, JSON_STRING))
		return err_set(e, ERR_INPUT, "its member 'source' is no string");
	x->source = json_text(j, source);
	return receipt_fits(STR_NONE, x->source, e);
}

static struct table *
table_of(struct load *ld, struct str name, struct err *e)
{
	const struct schema_table *t = schema_by_table(&ld->schema, name);
	if (t != NULL)
		return &ld->tables[t - ld->schema.tables];
	err_set(e, ERR_CONFIG, "its table '%.*s' is not in schemas.json: the stages have different schemas; give all the "
	    "same --schemas", (int)utf8_cut(name, 128), name.p);
	return NULL;
}

static bool
is_full(const struct load *ld, const struct job *j, const struct entry *x)
{
	return (int64_t)j->n >= ld->o.max_objects || (int64_t)j->bytes > ld->o.max_bytes - x->bytes ||
	    j->text + x->url.n > JOB_TEXT_MAX;
}

/* Plain and gzip objects do not go into one job. [BigQuery: loading compressed data] */
static void
collect(struct load *ld, struct table *t, const struct entry *x)
{
	struct job **open = &t->open[str_ends(x->url, STR(".gz"))];
	if (*open != NULL && is_full(ld, *open, x)) {
		job_close(*open);
		*open = NULL;
	}
	if (*open == NULL)
		*open = job_new(ld, t);
	struct object *o = object_new(ld, x->url);
	owe(o, x);
	job_add(*open, o);
	if ((int64_t)(*open)->n >= ld->o.max_objects) {
		job_close(*open);
		*open = NULL;
	}
}

static int
take(struct load *ld, struct buf *text, struct err *e)
{
	struct entry x;
	if (read_entry(&ld->json, &x, text, e) < 0)
		return -1;
	struct table *t = table_of(ld, x.table, e);
	if (t == NULL)
		return -1;
	struct known *k = known_get(ld, x.url);
	ld->tally.in++;
	if (k->lacked && ld->nfound > 0) {
		log_warn("'%s' lacked %u load jobs that BigQuery knows of; they were added", ld->o.journal, ld->nfound);
		ld->nfound = 0;
	}
	if (k->loaded) {
		ld->nexisted++;
		pay(ld, x.source, (uint64_t)x.rows);
	} else if (k->object != NULL) {
		owe(k->object, &x);
	} else {
		collect(ld, t, &x);
	}
	return 0;
}

int
input_line(struct load *ld, const struct line *l, struct err *e)
{
	struct buf text = BUF_INIT(2 * LIMIT_LINE);
	struct record r;
	int rc = record_take(&r, &ld->json, l, INPUT_NAME, e);
	if (rc == 0)
		ld->torn = true;
	if (rc > 0 && r.kind != RECORD_OBJECT)
		rc = err_set(e, ERR_INPUT, "cannot use line %llu of '" INPUT_NAME "': it is %s, not an object line; " ADVICE,
		    (unsigned long long)l->number, record_kind_name(r.kind));
	else if (rc > 0 && (rc = take(ld, &text, e)) < 0)
		err_wrap(e, "cannot use line %llu of '" INPUT_NAME "'", (unsigned long long)l->number);
	buf_release(&text);
	return rc < 0 ? -1 : 0;
}
