#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "dup.h"
#include "scalar.h"
#include "xalloc.h"

#define CUTS_KEPT 4096

struct check {
	const struct schema *s;
	bool drop_unknown;
	struct json j;
	struct scalar scalar;
	struct dup dup;
	struct faults faults;
	struct verdict verdict;
	struct buf path, detail, name;
	const char *code; /* of the fault being made */
	/* Fields met in the object being read carry its number, so that nothing need be cleared between objects. */
	uint32_t *met;
	uint32_t number;
	uint32_t discriminator; /* its value's token */
	struct check_cut *cuts;
	uint32_t ncuts, capcuts;
};

/*
 * Where a value stands, from the inside out. A path's text is made of these only when there is a fault, each
 * component once: check.path holds the innermost place written so far and thereby those around it.
 */
struct place {
	struct place *up; /* NULL: the event's own members */
	uint32_t key;     /* the key's token, or JSON_NONE in an array */
	uint32_t index;   /* in an array */
	struct str name;  /* of a member that is not there */
	uint32_t end;     /* where its text ends in check.path; 0: not written */
};

struct check *
check_new(const struct schema *s, bool drop_unknown)
{
	struct check *c = xcalloc(1, sizeof(*c));
	c->s = s;
	c->drop_unknown = drop_unknown;
	scalar_init(&c->scalar, s);
	faults_init(&c->faults);
	buf_init(&c->path, FAULT_PATH_MAX + 16);
	buf_init(&c->detail, SCALAR_DETAIL);
	buf_init(&c->name, LIMIT_LINE);
	c->met = xcalloc(s->nfields, sizeof(*c->met));
	return c;
}

void
check_free(struct check *c)
{
	if (c == NULL)
		return;
	json_release(&c->j);
	scalar_release(&c->scalar);
	dup_release(&c->dup);
	faults_release(&c->faults);
	buf_release(&c->path);
	buf_release(&c->detail);
	buf_release(&c->name);
	free(c->met);
	free(c->cuts);
	free(c);
}

const struct json *
check_json(const struct check *c)
{
	return &c->j;
}

/* A member's name as a JSON Pointer has it [RFC 6901 section 3]; past the longest path nothing is added. */
static void
add_escaped(struct buf *out, struct str name)
{
	for (size_t i = 0; i < name.n && out->n < FAULT_PATH_MAX + 8; i++) {
		if (name.p[i] == '~')
			buf_add(out, "~0", 2);
		else if (name.p[i] == '/')
			buf_add(out, "~1", 2);
		else
			buf_addc(out, name.p[i]);
	}
}

static void
add_index(struct buf *out, uint32_t v)
{
	char digits[10];
	size_t n = sizeof(digits);
	do
		digits[--n] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	buf_add(out, digits + n, sizeof(digits) - n);
}

/* Of a name with escapes no more is decoded than a path can hold: a long one may be asked for many times. */
static struct str
key_start(struct check *c, uint32_t key)
{
	struct str raw = json_text(&c->j, key);
	if (!c->j.tok[key].escaped)
		return raw;
	if (raw.n > (FAULT_PATH_MAX + 16) * 6)
		raw.n = (FAULT_PATH_MAX + 16) * 6;
	buf_reset(&c->name, 64 * KIB);
	json_unescape(&c->name, raw);
	return buf_str(&c->name);
}

static void
write_place(struct check *c, struct place *p)
{
	if (p->end > 0) {
		c->path.n = p->end;
		return;
	}
	c->path.n = 0;
	if (p->up != NULL)
		write_place(c, p->up);
	if (c->path.n < FAULT_PATH_MAX) {
		buf_addc(&c->path, '/');
		if (p->name.p != NULL)
			add_escaped(&c->path, p->name);
		else if (p->key != JSON_NONE)
			add_escaped(&c->path, key_start(c, p->key));
		else
			add_index(&c->path, p->index);
	}
	p->end = (uint32_t)c->path.n;
}

/* Starts a fault: its detail, to be added to and then listed; NULL where 32 others come before it. */
static struct buf *
fault(struct check *c, const char *code, struct place *p)
{
	write_place(c, p);
	if (!faults_wants(&c->faults, code, buf_str(&c->path)))
		return NULL;
	c->code = code;
	buf_reset(&c->detail, SCALAR_DETAIL);
	return &c->detail;
}

static void
list(struct check *c)
{
	faults_add(&c->faults, c->code, buf_str(&c->path), buf_str(&c->detail));
}

static void
plain_fault(struct check *c, const char *code, struct place *p, struct str why)
{
	struct buf *d = fault(c, code, p);
	if (d == NULL)
		return;
	buf_adds(d, why);
	list(c);
}

static void
wrong_container(struct check *c, struct place *p, const char *rule, uint32_t t)
{
	struct buf *d = fault(c, "wrong_type", p);
	if (d == NULL)
		return;
	buf_addz(d, rule);
	scalar_describe(d, &c->j, t);
	list(c);
}

static void
report_duplicates(struct check *c, struct place *up, uint32_t object)
{
	dup_find(&c->dup, &c->j, object);
	for (uint32_t i = 0; i < c->dup.nfound; i++) {
		struct place p = {.up = up, .key = c->dup.found[i]};
		plain_fault(c, "duplicate_field", &p, STR("a member's name stands once in an object"));
	}
}

/* In a value that the schema says nothing about only names that stand twice are faults. */
static void
search_duplicates(struct check *c, struct place *at, uint32_t t)
{
	const struct json *j = &c->j;
	if (json_is(j, t, JSON_ARRAY)) {
		struct place p = {.up = at, .key = JSON_NONE};
		for (uint32_t v = json_first(t); v < json_end(j, t); v = j->tok[v].next, p.index++) {
			p.end = 0;
			search_duplicates(c, &p, v);
		}
	} else if (json_is(j, t, JSON_OBJECT)) {
		struct place p = {.up = at};
		report_duplicates(c, at, t);
		for (uint32_t k = json_first(t); k < json_end(j, t); k = j->tok[k + 1].next) {
			p.key = k;
			p.end = 0;
			search_duplicates(c, &p, k + 1);
		}
	}
}

/* A run of neighbouring members to be dropped; first JSON_NONE: there is none. */
struct run {
	uint32_t first, last; /* key tokens */
	uint32_t kept;        /* the key of the last member that stays, JSON_NONE: none yet */
};

static uint32_t
value_end(const struct json *j, uint32_t t)
{
	return j->tok[t].at + j->tok[t].len + (j->tok[t].type == JSON_STRING);
}

static void
add_cut(struct check *c, uint32_t from, uint32_t to)
{
	if (c->ncuts == c->capcuts) {
		c->capcuts = c->capcuts > 0 ? c->capcuts * 2 : 16;
		c->cuts = xreallocarray(c->cuts, c->capcuts, sizeof(*c->cuts));
	}
	c->cuts[c->ncuts++] = (struct check_cut){from, to};
}

/*
 * Before a member that stays, a run goes with the comma behind it; at the object's end (next JSON_NONE), with
 * the comma before it.
 */
static void
end_run(struct check *c, struct run *r, uint32_t next)
{
	const struct json *j = &c->j;
	if (r->first != JSON_NONE) {
		uint32_t from = j->tok[r->first].at - 1;
		if (next != JSON_NONE)
			add_cut(c, from, j->tok[next].at - 1);
		else
			add_cut(c, r->kept != JSON_NONE ? value_end(j, r->kept + 1) : from, value_end(j, r->last + 1));
	}
	r->first = JSON_NONE;
	r->kept = next;
}

static void
unknown_member(struct check *c, struct place *p, struct run *r)
{
	search_duplicates(c, p, p->key + 1);
	if (!c->drop_unknown) {
		plain_fault(c, "unknown_field", p, STR("not in the schema"));
		return;
	}
	if (r->first == JSON_NONE)
		r->first = p->key;
	r->last = p->key;
}

static void
missing(struct check *c, struct place *p, const struct schema_field *f, const char *found)
{
	struct buf *d = fault(c, "missing_field", p);
	if (d == NULL)
		return;
	buf_addf(d, "a %s %s; found %s", schema_mode_name(f->mode), schema_type_name(f->type), found);
	list(c);
}

/* The fields of a container that no member was for. */
static void
check_absent(struct check *c, struct place *up, uint32_t first, uint32_t count, uint32_t number)
{
	for (uint32_t i = first; i < first + count; i++) {
		const struct schema_field *f = &c->s->fields[i];
		bool wanted = f->mode == MODE_REQUIRED || (f->mode == MODE_REPEATED && f->min_items > 0);
		if (c->met[i] == number || !wanted)
			continue;
		struct place p = {.up = up, .name = f->name};
		missing(c, &p, f, "nothing");
	}
}

/* The field that a key names. Producers tend to keep the schema's order: the next one is tried first. */
static uint32_t
find_field(struct check *c, uint32_t first, uint32_t count, uint32_t key, uint32_t guess)
{
	const struct schema *s = c->s;
	struct str name;
	if (c->j.tok[key].escaped) {
		buf_reset(&c->name, 64 * KIB);
		name = json_string(&c->j, key, &c->name);
	} else {
		name = json_text(&c->j, key);
	}
	if (guess < first + count && str_eq(s->fields[guess].name, name))
		return guess;
	return schema_find(s, first, name);
}

static uint32_t
next_number(struct check *c)
{
	if (++c->number == 0) {
		memset(c->met, 0, c->s->nfields * sizeof(*c->met));
		c->number = 1;
	}
	return c->number;
}

static void check_value(struct check *c, struct place *p, uint32_t field, uint32_t t);

static void
check_object(struct check *c, struct place *up, uint32_t first, uint32_t count, uint32_t t)
{
	const struct json *j = &c->j;
	uint32_t number = next_number(c), guess = first, known = 0, unknown = 0;
	bool twice = false;
	struct run run = {JSON_NONE, JSON_NONE, JSON_NONE};
	struct place p = {.up = up};
	for (uint32_t k = json_first(t); k < json_end(j, t); k = j->tok[k + 1].next) {
		uint32_t field = find_field(c, first, count, k, guess);
		p.key = k;
		p.end = 0;
		if (field == SCHEMA_NONE && k + 1 != c->discriminator) {
			unknown_member(c, &p, &run);
			unknown++;
			continue;
		}
		end_run(c, &run, k);
		if (field == SCHEMA_NONE)
			continue;
		guess = field + 1;
		if (c->met[field] == number) {
			twice = true;
			search_duplicates(c, &p, k + 1);
			continue;
		}
		c->met[field] = number;
		known++;
		check_value(c, &p, field, k + 1);
	}
	end_run(c, &run, JSON_NONE);
	if (known < count)
		check_absent(c, up, first, count, number);
	if (twice || unknown > 1)
		report_duplicates(c, up, t);
}

static void
check_scalar(struct check *c, struct place *p, uint32_t field, uint32_t t)
{
	struct scalar *sc = &c->scalar;
	if (scalar_check(sc, &c->s->fields[field], &c->j, t)) {
		if (field == c->verdict.table->partition)
			c->verdict.time = sc->time;
		return;
	}
	for (unsigned i = 0; i < sc->nfaults; i++)
		plain_fault(c, sc->faults[i].code, p, buf_str(&sc->faults[i].detail));
	search_duplicates(c, p, t);
}

/* A value that is not null, of a field that is not REPEATED, or one item of one that is. */
static void
check_one(struct check *c, struct place *p, uint32_t field, uint32_t t)
{
	const struct schema_field *f = &c->s->fields[field];
	if (f->type != FIELD_RECORD) {
		check_scalar(c, p, field, t);
	} else if (json_is(&c->j, t, JSON_OBJECT)) {
		check_object(c, p, f->first, f->count, t);
	} else {
		wrong_container(c, p, "a RECORD is a JSON object; found ", t);
		search_duplicates(c, p, t);
	}
}

static void
check_array(struct check *c, struct place *up, uint32_t field, uint32_t t)
{
	const struct schema_field *f = &c->s->fields[field];
	const struct json *j = &c->j;
	struct place p = {.up = up, .key = JSON_NONE};
	for (uint32_t v = json_first(t); v < json_end(j, t); v = j->tok[v].next, p.index++) {
		p.end = 0;
		if (json_is(j, v, JSON_NULL))
			missing(c, &p, f, "null in an array");
		else
			check_one(c, &p, field, v);
	}
	if (j->tok[t].count < f->min_items) {
		struct buf *d = fault(c, "empty_array", up);
		if (d == NULL)
			return;
		buf_addf(d, "at least %u; found %u", f->min_items, (unsigned)j->tok[t].count);
		list(c);
	}
}

static void
check_value(struct check *c, struct place *p, uint32_t field, uint32_t t)
{
	const struct schema_field *f = &c->s->fields[field];
	if (json_is(&c->j, t, JSON_NULL)) {
		if (f->mode != MODE_NULLABLE)
			missing(c, p, f, "null");
	} else if (f->mode != MODE_REPEATED) {
		check_one(c, p, field, t);
	} else if (json_is(&c->j, t, JSON_ARRAY)) {
		check_array(c, p, field, t);
	} else {
		wrong_container(c, p, "a REPEATED field is a JSON array; found ", t);
		search_duplicates(c, p, t);
	}
}

/* Reported alone, about the event as a whole: what makes the rest unreadable. */
static struct buf *
alone(struct check *c, const char *code, const char *why)
{
	c->code = code;
	c->path.n = 0;
	buf_reset(&c->detail, SCALAR_DETAIL);
	buf_addz(&c->detail, why);
	return &c->detail;
}

static bool
check_text(struct check *c, struct str text)
{
	enum json_result result = json_parse(&c->j, text);
	c->verdict.parsed = result == JSON_OK;
	if (result == JSON_BAD)
		alone(c, "bad_json", c->j.why);
	else if (!json_is(&c->j, 0, JSON_OBJECT))
		scalar_describe(alone(c, "bad_json", "an event is a JSON object; found "), &c->j, 0);
	else if (result == JSON_BAD_ENCODING)
		alone(c, "bad_encoding", c->j.why);
	else if (c->j.depth > LIMIT_DEPTH)
		buf_addf(alone(c, "too_deep", "at most "), "%d levels; found %u", LIMIT_DEPTH, c->j.depth);
	else
		return true;
	list(c);
	return false;
}

/* Looks the discriminator up: its value's token, and how often it is there. */
static unsigned
find_discriminator(struct check *c)
{
	const struct json *j = &c->j;
	unsigned times = 0;
	c->discriminator = JSON_NONE;
	for (uint32_t k = json_first(0); k < json_end(j, 0); k = j->tok[k + 1].next) {
		struct str name = json_text(j, k);
		if (j->tok[k].escaped) {
			buf_reset(&c->name, 64 * KIB);
			name = json_string(j, k, &c->name);
		}
		if (str_eq(name, c->s->discriminator) && times++ == 0)
			c->discriminator = k + 1;
	}
	return times;
}

static void
unknown_type(struct check *c, struct place *p)
{
	struct buf *d = fault(c, "unknown_type", p);
	struct str types[16];
	uint32_t n = c->s->ntables < 16 ? c->s->ntables : 16;
	for (uint32_t i = 0; i < n; i++)
		types[i] = c->s->tables[i].event_type;
	buf_addz(d, "one of ");
	scalar_list(d, types, n);
	buf_addz(d, n < c->s->ntables ? ", ...; found " : "; found ");
	if (c->discriminator == JSON_NONE)
		buf_addz(d, "nothing");
	else
		scalar_describe(d, &c->j, c->discriminator);
	list(c);
}

static bool
check_type(struct check *c)
{
	struct place p = {.key = JSON_NONE, .name = c->s->discriminator};
	if (find_discriminator(c) > 1) {
		plain_fault(c, "duplicate_field", &p, STR("the discriminator stands once in an event"));
		return false;
	}
	buf_reset(&c->name, 64 * KIB);
	struct str type = json_string(&c->j, c->discriminator, &c->name);
	c->verdict.table = type.p != NULL ? schema_by_event(c->s, type) : NULL;
	if (c->verdict.table == NULL)
		unknown_type(c, &p);
	return c->verdict.table != NULL;
}

const struct verdict *
check_event(struct check *c, struct str text)
{
	struct verdict *v = &c->verdict;
	*v = (struct verdict){.faults = c->faults.list};
	faults_clear(&c->faults);
	c->ncuts = 0;
	if (c->capcuts > CUTS_KEPT) {
		free(c->cuts);
		c->cuts = NULL;
		c->capcuts = 0;
	}
	if (check_text(c, text) && check_type(c))
		check_object(c, NULL, v->table->first, v->table->count, 0);
	v->nfaults = c->faults.n;
	v->cuts = c->cuts;
	v->ncuts = c->ncuts;
	return v;
}
