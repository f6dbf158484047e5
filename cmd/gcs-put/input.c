#include "put.h"

#include "clock.h"
#include "log.h"
#include "receipt.h"
#include "time.h"

#define ADVICE "pipe events through ev-validate first"

/* What gcs-put needs of a record. Views live as long as the line. */
struct entry {
	struct str id;     /* as it came, between its quotes */
	struct str type;   /* decoded */
	struct str table;
	struct str event;
	struct str line;
	int64_t time;      /* what the object's minute comes from */
};

static int
unfit(struct err *e, const char *name)
{
	return err_set(e, ERR_INPUT, "it is no valid record: it has no '%s'; " ADVICE, name);
}

static int
publish_time(const struct put *p, const struct record *r, int64_t *time, struct err *e)
{
	const char *broken = "it is no string";
	uint32_t t = json_get(&p->json, r->t_msg, "time");
	if (t == JSON_NONE) {
		*time = clock_wall();
		return 0;
	}
	if (json_is(&p->json, t, JSON_STRING))
		broken = time_parse_service(json_text(&p->json, t), time);
	if (broken != NULL)
		return err_set(e, ERR_INPUT, "its member 'msg.time' is no RFC 3339 time: %s", broken);
	return 0;
}

/* A table's partition field may be a TIMESTAMP, a DATE or a DATETIME. */
static int
event_time(const struct record *r, int64_t *time, struct err *e)
{
	if (r->time.p == NULL)
		return unfit(e, "time");
	const char *broken = time_parse_service(r->time, time);
	if (broken == NULL)
		return 0;
	if (time_parse_date(r->time, time) == NULL || time_parse_datetime(r->time, time) == NULL)
		return 0;
	return err_set(e, ERR_INPUT, "its member 'time' is no time: %s", broken);
}

static int
read_entry(struct put *p, const struct record *r, struct entry *x, struct err *e)
{
	if (r->kind != RECORD_VALID)
		return err_set(e, ERR_INPUT, "it is %s, not a valid record; " ADVICE,
		    record_kind_name(r->kind));
	if (r->type.p == NULL)
		return unfit(e, "type");
	*x = (struct entry){.id = r->id, .type = r->type, .table = r->table, .event = r->event,
	    .line = r->line};
	buf_reset(&p->text, 1 * MIB);
	if (str_find(x->type, '\\') < x->type.n) {
		json_unescape(&p->text, x->type);
		x->type = buf_str(&p->text);
	}
	if (p->o.objects && x->table.p == NULL)
		return unfit(e, "table");
	if (receipt_fits(r->id, r->source, e) < 0)
		return -1;
	return p->o.by == BY_EVENT ? event_time(r, &x->time, e) : publish_time(p, r, &x->time, e);
}

static int
close_all(struct put *p, struct err *e)
{
	while (p->lake.oldest != NULL) {
		if (object_close((struct object *)p->lake.oldest, e) < 0)
			return -1;
	}
	return 0;
}

void
input_cut(struct put *p)
{
	if (p->lake.oldest == NULL)
		return;
	log_error("cannot store the rest of '%.*s': the stream was cut off before its end, which ev-read "
	          "--mark-ends "
		  "tells; read it again",
	    STR_ARG(buf_str(&p->source)));
	p->cut = true;
	while (p->lake.oldest != NULL)
		object_drop((struct object *)p->lake.oldest);
}

/*
 * Objects never cross a file's end, so that reading it again makes the same ones. Several subscriptions may
 * share objects; what matters there is the id.
 */
static int
change_source(struct put *p, struct str source, struct err *e)
{
	bool file = receipt_source_is_file(source);
	if (p->lake.by_source)
		input_cut(p);
	else if (file && close_all(p, e) < 0)
		return -1;
	p->lake.by_source = file;
	buf_reset(&p->source, 4 * KIB);
	buf_adds(&p->source, source);
	return 0;
}

/* A file's end, at which its objects are whole. */
static int
end_source(struct put *p, struct str source, struct err *e)
{
	if (!str_eq(source, buf_str(&p->source)) && change_source(p, source, e) < 0)
		return -1;
	if (p->lake.by_source && close_all(p, e) < 0)
		return -1;
	buf_reset(&p->source, 4 * KIB);
	p->lake.by_source = false;
	return 0;
}

/* An object a type, and where asked for a day of events; object lines name one table each. */
static void
make_key(struct put *p, const struct entry *x)
{
	buf_reset(&p->key, 4 * KIB);
	buf_adds(&p->key, x->type);
	if (p->o.by == BY_EVENT) {
		int64_t day = lake_day(x->time);
		buf_addc(&p->key, '\n');
		buf_add(&p->key, &day, sizeof(day));
	}
	if (p->o.objects) {
		buf_addc(&p->key, '\n');
		buf_adds(&p->key, x->table);
	}
}

static struct object *
open_object(struct put *p, const struct entry *x, struct err *e)
{
	struct object *o = NULL;
	struct buf type = BUF_INIT(4 * LAKE_TYPE_MAX);
	if (lake_escape_type(&type, x->type, e) == 0) {
		o = object_new(p, buf_cstr(&type), x->table);
		lake_open(&p->lake, &o->part, buf_str(&p->key), p->stage.now);
	}
	buf_release(&type);
	return o;
}

/* The open object that the record goes to; NULL with e filled where there can be none. */
static struct object *
find_object(struct put *p, const struct entry *x, struct err *e)
{
	struct lake_part *part, *first;
	make_key(p, x);
	if (p->key.over) {
		err_set(e, ERR_INPUT, "its type and table are longer than %zu bytes", p->key.max);
		return NULL;
	}
	part = lake_find(&p->lake, buf_str(&p->key));
	while ((first = lake_before(&p->lake, part, x->event.n + 1)) != NULL) {
		if (object_close((struct object *)first, e) < 0)
			return NULL;
		part = lake_find(&p->lake, buf_str(&p->key));
	}
	return part != NULL ? (struct object *)part : open_object(p, x, e);
}

/*
 * The id and the event are laid side by side, so that the sums and the spool each take them at once. For a
 * record without an id its number stands in: equal events in two objects are two events, and the same input
 * again makes the same objects.
 */
static int
add(struct put *p, struct object *o, const struct entry *x, struct err *e)
{
	buf_reset(&p->text, 1 * MIB);
	if (x->id.n == 0)
		buf_addf(&p->text, "\n%llu", (unsigned long long)p->tally.in);
	else if (str_find(x->id, '\\') < x->id.n)
		json_unescape(&p->text, x->id);
	else
		buf_adds(&p->text, x->id);
	buf_addc(&p->text, '\n');
	size_t at = p->text.n;
	buf_adds(&p->text, x->event);
	buf_addc(&p->text, '\n');
	struct str both = buf_str(&p->text), event = str_skip(both, at);
	if (p->text.over)
		return err_set(e, ERR_BUG, "cannot hold an event of %zu bytes", x->event.n);
	digest_add(&o->hash, both);
	if (p->o.compress == COMPRESS_NONE)
		digest_add(&o->md5, event);
	if (spool_add(o->content, event, e) < 0)
		return -1;
	struct str owed = p->o.pass ? x->line : x->id;
	bool owes = o->owed != NULL && owed.n > 0;
	if (owes && (spool_add(o->owed, owed, e) < 0 || spool_add(o->owed, STR("\n"), e) < 0))
		return -1;
	lake_count(&p->lake, &o->part, event.n, x->time, p->stage.now);
	p->tally.in++;
	return 0;
}

static int
take(struct put *p, const struct line *l, struct err *e)
{
	struct record r;
	struct entry x;
	struct lake_part *full;
	if (l->length > l->text.n)
		return err_set(e, ERR_INPUT, "it is longer than %llu bytes", (unsigned long long)LIMIT_LINE);
	if (record_parse(&r, &p->json, l->text, e) < 0)
		return -1;
	if (r.kind == RECORD_END)
		return end_source(p, r.source, e);
	if (read_entry(p, &r, &x, e) < 0)
		return -1;
	struct str source = r.source.p != NULL ? r.source : STR("");
	if (!str_eq(source, buf_str(&p->source)) && change_source(p, source, e) < 0)
		return -1;
	struct object *o = find_object(p, &x, e);
	if (o == NULL || add(p, o, &x, e) < 0)
		return -1;
	while ((full = lake_after(&p->lake, &o->part)) != NULL) {
		if (object_close((struct object *)full, e) < 0)
			return -1;
	}
	return 0;
}

int
input_line(struct put *p, const struct line *l, struct err *e)
{
	if (l->torn) {
		p->torn = l->number;
		return 0;
	}
	if (take(p, l, e) == 0)
		return 0;
	if (e->class == ERR_INPUT)
		err_wrap(e, "cannot read '%s': line %llu", p->stage.in.name, (unsigned long long)l->number);
	return -1;
}
