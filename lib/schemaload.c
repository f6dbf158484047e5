#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "io.h"
#include "schema.h"
#include "schemafield.h"
#include "utf8.h"
#include "xalloc.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define TABLE_DESCRIPTION_MAX_CHARS 16384
#define TABLE_NAME_MAX 1024
#define EVENT_TYPE_MAX 128
#define CLUSTERING_MAX 4

int
loader_fail(struct loader *l, const char *fmt, ...)
{
	struct buf text = BUF_INIT(ERR_TEXT_MAX);
	struct buf cause = BUF_INIT(ERR_TEXT_MAX);
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&cause, fmt, ap);
	va_end(ap);
	struct str place = buf_str(&l->place);
	place.n = utf8_cut(place, 400);
	if (place.n > 0)
		buf_addf(&text, "%.*s: ", STR_ARG(place));
	buf_add(&text, cause.p, utf8_cut(buf_str(&cause), 400));
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			text.p[i] = '?';
	}
	err_set(l->e, ERR_CONFIG, "cannot load schemas '%s': %.*s", l->file, STR_ARG(buf_str(&text)));
	buf_release(&text);
	buf_release(&cause);
	return -1;
}

size_t
loader_enter(struct loader *l, const char *fmt, ...)
{
	size_t mark = l->place.n;
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&l->place, fmt, ap);
	va_end(ap);
	return mark;
}

void
loader_leave(struct loader *l, size_t mark)
{
	l->place.n = mark;
	l->place.over = false;
}

static const char *
dot(const struct loader *l)
{
	return l->place.n > 0 ? "." : "";
}

int
loader_unique(struct loader *l, uint32_t t)
{
	if (dup_find(&l->dup, &l->j, t) == 0)
		return 0;
	struct str name = json_text(&l->j, l->dup.found[0]);
	loader_enter(l, "%s%.*s", dot(l), STR_ARG(name));
	return loader_fail(l, "it stands there twice");
}

/* The places that an unknown keyword may have meant. */
static int
unknown_keyword(struct loader *l, uint32_t key, const char *const *keywords, size_t n)
{
	struct buf list = BUF_INIT(300);
	for (size_t i = 0; i < n; i++)
		buf_addf(&list, "%s%s", i > 0 ? ", " : "", keywords[i]);
	loader_enter(l, "%s%.*s", dot(l), STR_ARG(json_text(&l->j, key)));
	loader_fail(l, "unknown keyword; there are %.*s", STR_ARG(buf_str(&list)));
	buf_release(&list);
	return -1;
}

int
loader_object(struct loader *l, uint32_t t, const char *const *keywords, size_t n, uint32_t *found)
{
	const struct json *j = &l->j;
	for (size_t i = 0; i < n; i++)
		found[i] = JSON_NONE;
	if (!json_is(j, t, JSON_OBJECT))
		return loader_fail(l, "it is not an object");
	if (loader_unique(l, t) < 0)
		return -1;
	for (uint32_t k = json_first(t); k < json_end(j, t); k = j->tok[k + 1].next) {
		size_t mark = l->text.n, i = 0;
		struct str name = json_string(j, k, &l->text);
		while (i < n && !str_is(name, keywords[i]))
			i++;
		l->text.n = mark;
		if (i == n)
			return unknown_keyword(l, k, keywords, n);
		found[i] = k + 1;
	}
	return 0;
}

struct str
loader_copy(struct loader *l, uint32_t t)
{
	size_t at = l->text.n;
	json_unescape(&l->text, json_text(&l->j, t));
	return str_skip(buf_str(&l->text), at);
}

int
loader_string(struct loader *l, uint32_t t, const char *keyword, struct str *out)
{
	if (t == JSON_NONE)
		return loader_fail(l, "%s is missing", keyword);
	if (!json_is(&l->j, t, JSON_STRING)) {
		loader_enter(l, "%s%s", dot(l), keyword);
		return loader_fail(l, "it is not a string");
	}
	*out = loader_copy(l, t);
	return 0;
}

int
loader_description(struct loader *l, uint32_t t, size_t max, struct str *out)
{
	if (t == JSON_NONE)
		return 0;
	if (loader_string(l, t, "description", out) < 0)
		return -1;
	if (utf8_count(*out) > max) {
		loader_enter(l, ".description");
		return loader_fail(l, "BigQuery takes at most %zu characters", max);
	}
	return 0;
}

void
loader_word(struct loader *l, struct str word)
{
	struct schema *s = l->s;
	if (s->nwords == l->capwords) {
		l->capwords = l->capwords > 0 ? l->capwords * 2 : 32;
		s->words = xreallocarray(s->words, l->capwords, sizeof(*s->words));
	}
	s->words[s->nwords++] = word;
}

/* The type of partition goes with the field's. */
static int
load_partition_type(struct loader *l, struct schema_table *table, const struct schema_field *f)
{
	struct str type = table->partition_type;
	bool hour = str_is(type, "HOUR");
	if (!hour && !str_is(type, "DAY") && !str_is(type, "MONTH") && !str_is(type, "YEAR")) {
		loader_enter(l, ".type");
		return loader_fail(l, "'%.*s' is none of DAY, HOUR, MONTH, YEAR", STR_ARG(type));
	}
	if (hour && f->type == FIELD_DATE) {
		loader_enter(l, ".type");
		return loader_fail(l, "a DATE has no hours to partition by");
	}
	return 0;
}

static int
load_partition(struct loader *l, uint32_t t, struct schema_table *table)
{
	static const char *const keywords[] = {"field", "type"};
	uint32_t found[2];
	struct str name;
	if (t == JSON_NONE)
		return loader_fail(l, "partition is missing");
	size_t mark = loader_enter(l, ".partition");
	if (loader_object(l, t, keywords, 2, found) < 0 || loader_string(l, found[0], "field", &name) < 0 ||
	    loader_string(l, found[1], "type", &table->partition_type) < 0)
		return -1;
	uint32_t i = table->first, end = table->first + table->count;
	while (i < end && !str_eq(l->s->fields[i].name, name))
		i++;
	const struct schema_field *f = &l->s->fields[i];
	if (i == end || f->mode != MODE_REQUIRED ||
	    (f->type != FIELD_TIMESTAMP && f->type != FIELD_DATE && f->type != FIELD_DATETIME)) {
		loader_enter(l, ".field");
		return loader_fail(l, "'%.*s' is no column that is a REQUIRED TIMESTAMP, DATE or DATETIME", STR_ARG(name));
	}
	table->partition = i;
	if (load_partition_type(l, table, f) < 0)
		return -1;
	loader_leave(l, mark);
	return 0;
}

static int
load_cluster_column(struct loader *l, uint32_t t, const struct schema_table *table)
{
	if (!json_is(&l->j, t, JSON_STRING))
		return loader_fail(l, "it is not a string");
	struct str name = loader_copy(l, t);
	uint32_t i = table->first, end = table->first + table->count;
	while (i < end && !str_eq(l->s->fields[i].name, name))
		i++;
	if (i == end)
		return loader_fail(l, "'%.*s' is no column of the table", STR_ARG(name));
	const struct schema_field *f = &l->s->fields[i];
	if (f->mode == MODE_REPEATED)
		return loader_fail(l, "BigQuery does not cluster by a REPEATED column");
	if (f->type == FIELD_RECORD || f->type == FIELD_FLOAT64 || f->type == FIELD_BYTES || f->type == FIELD_TIME)
		return loader_fail(l, "BigQuery does not cluster by type %s", schema_type_name(f->type));
	for (uint32_t w = table->cluster_first; w < l->s->nwords; w++) {
		if (str_eq(l->s->words[w], name))
			return loader_fail(l, "'%.*s' stands there twice", STR_ARG(name));
	}
	loader_word(l, name);
	return 0;
}

static int
load_clustering(struct loader *l, uint32_t t, struct schema_table *table)
{
	if (t == JSON_NONE)
		return 0;
	size_t mark = loader_enter(l, ".clustering");
	table->cluster_first = l->s->nwords;
	table->cluster_count = json_is(&l->j, t, JSON_ARRAY) ? l->j.tok[t].count : 0;
	if (table->cluster_count < 1 || table->cluster_count > CLUSTERING_MAX)
		return loader_fail(l, "it is an array of 1 to %d names of columns", CLUSTERING_MAX);
	uint32_t i = 0;
	for (uint32_t v = json_first(t); v < json_end(&l->j, t); v = l->j.tok[v].next, i++) {
		size_t inner = loader_enter(l, "[%u]", i);
		if (load_cluster_column(l, v, table) < 0)
			return -1;
		loader_leave(l, inner);
	}
	loader_leave(l, mark);
	return 0;
}

/* The discriminator's value names folders in the lake, so it must be fit for that. */
static int
load_event_type(struct loader *l, uint32_t t, struct schema_table *table)
{
	if (loader_string(l, t, "event_type", &table->event_type) < 0)
		return -1;
	struct str s = table->event_type;
	bool good = s.n > 0 && s.n <= EVENT_TYPE_MAX && !str_is(s, ".") && !str_is(s, "..");
	for (size_t i = 0; good && i < s.n; i++)
		good = (unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f && s.p[i] != '/';
	loader_enter(l, ".event_type");
	if (!good)
		return loader_fail(l, "it is 1 to %d bytes without slashes and control characters: it names the "
				      "lake's folders", EVENT_TYPE_MAX);
	for (uint32_t i = 0; i < l->s->ntables; i++) {
		const struct schema_table *other = &l->s->tables[i];
		if (str_eq(other->event_type, s))
			return loader_fail(l, "'%.*s' is the type of table %.*s already", STR_ARG(s), STR_ARG(other->name));
	}
	return 0;
}

/* A column of the discriminator's name holds the discriminator. */
static int
check_discriminator_column(struct loader *l, const struct schema_table *table)
{
	for (uint32_t i = 0; i < table->count; i++) {
		const struct schema_field *f = &l->s->fields[table->first + i];
		if (!str_ieq(f->name, l->s->discriminator))
			continue;
		loader_enter(l, ".fields[%u]", i);
		if (!str_eq(f->name, l->s->discriminator))
			return loader_fail(l, "its name is the discriminator's but for case");
		if (f->type != FIELD_STRING || f->mode == MODE_REPEATED)
			return loader_fail(l, "it is the discriminator, so its type is STRING and its mode not REPEATED");
	}
	return 0;
}

static int
check_table_name(struct loader *l, struct str name)
{
	bool good = name.n > 0 && name.n <= TABLE_NAME_MAX;
	for (size_t i = 0; good && i < name.n; i++) {
		char c = name.p[i];
		good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
	}
	if (!good)
		return loader_fail(l, "a table's name is 1 to %d letters, digits, underscores and hyphens", TABLE_NAME_MAX);
	return 0;
}

static int
load_table(struct loader *l, uint32_t key, struct schema_table *table)
{
	static const char *const keywords[] = {"event_type", "description", "partition", "clustering", "fields"};
	uint32_t found[COUNT(keywords)];
	table->name = loader_copy(l, key);
	size_t mark = loader_enter(l, ".%.*s", STR_ARG(table->name));
	if (check_table_name(l, table->name) < 0 ||
	    loader_object(l, key + 1, keywords, COUNT(keywords), found) < 0 ||
	    loader_description(l, found[1], TABLE_DESCRIPTION_MAX_CHARS, &table->description) < 0)
		return -1;
	size_t inner = l->place.n;
	if (load_event_type(l, found[0], table) < 0)
		return -1;
	loader_leave(l, inner);
	if (found[4] == JSON_NONE)
		return loader_fail(l, "fields is missing");
	loader_enter(l, ".fields");
	if (schemafield_load(l, found[4], 1, &table->first, &table->count) < 0)
		return -1;
	loader_leave(l, inner);
	if (check_discriminator_column(l, table) < 0 || load_partition(l, found[2], table) < 0 ||
	    load_clustering(l, found[3], table) < 0)
		return -1;
	loader_leave(l, mark);
	return 0;
}

static int
load_tables(struct loader *l, uint32_t t)
{
	struct schema *s = l->s;
	loader_enter(l, "tables");
	if (!json_is(&l->j, t, JSON_OBJECT) || l->j.tok[t].count == 0)
		return loader_fail(l, "it is an object of one table or more");
	if (loader_unique(l, t) < 0)
		return -1;
	s->tables = xcalloc(l->j.tok[t].count, sizeof(*s->tables));
	for (uint32_t k = json_first(t); k < json_end(&l->j, t); k = l->j.tok[k + 1].next) {
		if (load_table(l, k, &s->tables[s->ntables]) < 0)
			return -1;
		s->ntables++;
	}
	return 0;
}

static int
load(struct loader *l, struct str text)
{
	static const char *const keywords[] = {"discriminator", "tables"};
	uint32_t found[2];
	if (json_parse(&l->j, text) != JSON_OK)
		return loader_fail(l, "it is not JSON: %s", l->j.why);
	if (loader_object(l, 0, keywords, 2, found) < 0 ||
	    loader_string(l, found[0], "discriminator", &l->s->discriminator) < 0)
		return -1;
	size_t mark = loader_enter(l, "discriminator");
	if (l->s->discriminator.n == 0 || l->s->discriminator.n > EVENT_TYPE_MAX)
		return loader_fail(l, "it is 1 to %d bytes", EVENT_TYPE_MAX);
	if (str_ieq(l->s->discriminator, STR("msg")))
		return loader_fail(l, "'msg' is reserved: it marks a record");
	loader_leave(l, mark);
	if (found[1] == JSON_NONE)
		return loader_fail(l, "tables is missing");
	return load_tables(l, found[1]);
}

int
schema_parse(struct schema *s, struct str text, const char *name, struct err *e)
{
	struct loader l = {.s = s, .file = name, .e = e, .place = BUF_INIT(8 * KIB)};
	*s = (struct schema){0};
	/* No string is stored twice and none is longer decoded, so this is room for all. */
	buf_init(&l.text, text.n + 1);
	buf_room(&l.text, text.n + 1);
	int rc = load(&l, text);
	s->text = l.text.p;
	if (rc == 0)
		schema_make_index(s);
	else
		schema_release(s);
	json_release(&l.j);
	dup_release(&l.dup);
	buf_release(&l.place);
	return rc;
}

int
schema_load(struct schema *s, const char *path, struct err *e)
{
	struct buf text = BUF_INIT(LIMIT_SCHEMA_FILE);
	struct err cause = {0};
	*s = (struct schema){0};
	int rc = io_read_file(path, LIMIT_SCHEMA_FILE, &text, &cause);
	if (rc < 0)
		err_set(e, ERR_CONFIG, "cannot load schemas '%s': %s; name the file with --schemas", path, cause.text);
	else
		rc = schema_parse(s, buf_str(&text), path, e);
	buf_release(&text);
	return rc;
}
