#include "schemafield.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "decimal.h"
#include "map.h"
#include "num.h"
#include "utf8.h"
#include "xalloc.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* BigQuery: quotas#table_limits and tables#column_names */
#define FIELDS_MAX 10000
#define NAME_MAX_CHARS 300
#define DESCRIPTION_MAX_CHARS 1024

enum keyword {
	K_NAME,
	K_TYPE,
	K_MODE,
	K_DESCRIPTION,
	K_FIELDS,
	K_ENUM,
	K_MINIMUM,
	K_MAXIMUM,
	K_MIN_ITEMS,
	K_MIN_LENGTH,
	K_MAX_LENGTH,
	K_FORMAT,
	K_COUNT,
};

static const char *const keywords[K_COUNT] = {"name", "type", "mode", "description", "fields", "enum",
    "minimum", "maximum", "min_items", "min_length", "max_length", "format"};

#define BIT(type) (1u << (type))
#define NUMBERS (BIT(FIELD_INT64) | BIT(FIELD_FLOAT64) | BIT(FIELD_NUMERIC))
#define LENGTHS (BIT(FIELD_STRING) | BIT(FIELD_BYTES))
#define STRINGS BIT(FIELD_STRING)
#define RECORDS BIT(FIELD_RECORD)

/* The types that a keyword means something for; 0: all. */
static const struct {
	unsigned types;
	const char *names;
} meant_for[K_COUNT] = {
    [K_FIELDS] = {RECORDS, "RECORD"},
    [K_ENUM] = {STRINGS, "STRING"},
    [K_MINIMUM] = {NUMBERS, "INT64, FLOAT64 and NUMERIC"},
    [K_MAXIMUM] = {NUMBERS, "INT64, FLOAT64 and NUMERIC"},
    [K_MIN_LENGTH] = {LENGTHS, "STRING and BYTES"},
    [K_MAX_LENGTH] = {LENGTHS, "STRING and BYTES"},
    [K_FORMAT] = {STRINGS, "STRING"},
};

int
loader_field_name(struct loader *l, struct str name)
{
	static const char *const reserved[] = {"_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__",
	    "_COLIDENTIFIER", "_CHANGE_SEQUENCE_NUMBER", "_CHANGE_TYPE", "_CHANGE_TIMESTAMP"};
	bool digit = name.n > 0 && name.p[0] >= '0' && name.p[0] <= '9';
	bool good = name.n > 0 && name.n <= NAME_MAX_CHARS && !digit;
	for (size_t i = 0; good && i < name.n; i++) {
		char c = name.p[i];
		good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
	}
	if (!good)
		return loader_fail(l, "a name is 1 to %d letters, digits and underscores and begins with no digit",
		    NAME_MAX_CHARS);
	for (size_t i = 0; i < COUNT(reserved); i++) {
		size_t n = strlen(reserved[i]);
		if (name.n >= n && str_ieq((struct str){name.p, n}, str_of(reserved[i])))
			return loader_fail(l, "BigQuery reserves names that begin with %s", reserved[i]);
	}
	return 0;
}

static int
load_type(struct loader *l, const uint32_t *found, struct schema_field *f)
{
	struct str text;
	if (loader_string(l, found[K_TYPE], "type", &text) < 0)
		return -1;
	if (!schema_type_parse(text, &f->type)) {
		loader_enter(l, ".type");
		return loader_fail(l, "'%.*s' is none of STRING, INT64, FLOAT64, NUMERIC, BOOL, BYTES, TIMESTAMP, DATE, "
				      "DATETIME, TIME, RECORD", STR_ARG(text));
	}
	if (found[K_MODE] == JSON_NONE)
		return 0; /* BigQuery's default: NULLABLE */
	if (loader_string(l, found[K_MODE], "mode", &text) < 0)
		return -1;
	if (!schema_mode_parse(text, &f->mode)) {
		loader_enter(l, ".mode");
		return loader_fail(l, "'%.*s' is none of REQUIRED, NULLABLE, REPEATED", STR_ARG(text));
	}
	return 0;
}

/* Every keyword given has a meaning for the field's type and mode. */
static int
check_keywords(struct loader *l, const uint32_t *found, const struct schema_field *f)
{
	for (int k = 0; k < K_COUNT; k++) {
		if (found[k] == JSON_NONE || meant_for[k].types == 0 || meant_for[k].types & BIT(f->type))
			continue;
		loader_enter(l, ".%s", keywords[k]);
		return loader_fail(l, "it has no meaning for type %s, only for %s", schema_type_name(f->type),
		    meant_for[k].names);
	}
	if (found[K_MIN_ITEMS] != JSON_NONE && f->mode != MODE_REPEATED) {
		loader_enter(l, ".min_items");
		return loader_fail(l, "it has a meaning for mode REPEATED only");
	}
	if (found[K_FIELDS] == JSON_NONE && f->type == FIELD_RECORD)
		return loader_fail(l, "a RECORD wants fields");
	return 0;
}

static int
load_enum(struct loader *l, uint32_t t, struct schema_field *f)
{
	if (t == JSON_NONE)
		return 0;
	int rc = -1;
	struct map seen = {0};
	size_t mark = loader_enter(l, ".enum");
	if (!json_is(&l->j, t, JSON_ARRAY) || l->j.tok[t].count == 0) {
		loader_fail(l, "it is an array of one string or more");
		goto out;
	}
	f->enum_first = l->s->nwords;
	for (uint32_t v = json_first(t); v < json_end(&l->j, t); v = l->j.tok[v].next) {
		loader_leave(l, mark);
		loader_enter(l, ".enum[%u]", f->enum_count++);
		if (!json_is(&l->j, v, JSON_STRING)) {
			loader_fail(l, "it is not a string");
			goto out;
		}
		struct str word = loader_copy(l, v);
		if (map_put(&seen, word, l) != NULL) {
			loader_fail(l, "the value stands there twice");
			goto out;
		}
		loader_word(l, word);
	}
	loader_leave(l, mark);
	rc = 0;
out:
	map_release(&seen);
	return rc;
}

/* One bound of a number, as its type has it. */
static int
load_bound(struct loader *l, uint32_t t, const char *keyword, const struct schema_field *f, struct str *text,
    double *value, int64_t *i64)
{
	struct decimal d;
	if (t == JSON_NONE)
		return 0;
	size_t mark = loader_enter(l, ".%s", keyword);
	if (!json_is(&l->j, t, JSON_NUMBER))
		return loader_fail(l, "it is not a number");
	struct str number = json_text(&l->j, t);
	if (f->type == FIELD_INT64 && !num_i64(number, i64))
		return loader_fail(l, "a bound of an INT64 is a whole number of 64 bits");
	if (f->type == FIELD_NUMERIC && !decimal_parse(&d, number))
		return loader_fail(l, "a NUMERIC has at most 29 integer and 9 fraction digits");
	if (!num_double(number, value))
		return loader_fail(l, "it is too large for a FLOAT64");
	size_t at = l->text.n;
	buf_adds(&l->text, number);
	*text = str_skip(buf_str(&l->text), at);
	loader_leave(l, mark);
	return 0;
}

static int
load_bounds(struct loader *l, const uint32_t *found, struct schema_field *f)
{
	if (load_bound(l, found[K_MINIMUM], "minimum", f, &f->min_text, &f->min, &f->min_i64) < 0 ||
	    load_bound(l, found[K_MAXIMUM], "maximum", f, &f->max_text, &f->max, &f->max_i64) < 0)
		return -1;
	f->has_min = f->min_text.p != NULL;
	f->has_max = f->max_text.p != NULL;
	if (!f->has_min || !f->has_max)
		return 0;
	bool crossed = f->min > f->max;
	if (f->type == FIELD_INT64)
		crossed = f->min_i64 > f->max_i64;
	if (f->type == FIELD_NUMERIC) {
		struct decimal min, max;
		decimal_parse(&min, f->min_text);
		decimal_parse(&max, f->max_text);
		crossed = decimal_cmp(&min, &max) > 0;
	}
	if (crossed) {
		loader_enter(l, ".maximum");
		return loader_fail(l, "it is less than minimum");
	}
	return 0;
}

/* A count: a whole number from 0 to 2^32 - 1. */
static int
load_count(struct loader *l, uint32_t t, const char *keyword, uint64_t *out)
{
	int64_t v;
	if (t == JSON_NONE)
		return 0;
	size_t mark = loader_enter(l, ".%s", keyword);
	if (!json_is(&l->j, t, JSON_NUMBER) || !num_i64(json_text(&l->j, t), &v) || v < 0 || v > UINT32_MAX)
		return loader_fail(l, "it is a whole number from 0 to %u", UINT32_MAX);
	*out = (uint64_t)v;
	loader_leave(l, mark);
	return 0;
}

static int
load_lengths(struct loader *l, const uint32_t *found, struct schema_field *f)
{
	uint64_t min_items = 0;
	if (load_count(l, found[K_MIN_ITEMS], "min_items", &min_items) < 0 ||
	    load_count(l, found[K_MIN_LENGTH], "min_length", &f->min_length) < 0 ||
	    load_count(l, found[K_MAX_LENGTH], "max_length", &f->max_length) < 0)
		return -1;
	f->min_items = (uint32_t)min_items;
	f->has_max_length = found[K_MAX_LENGTH] != JSON_NONE;
	if (f->has_max_length && f->min_length > f->max_length) {
		loader_enter(l, ".max_length");
		return loader_fail(l, "it is less than min_length");
	}
	return 0;
}

static int
load_format(struct loader *l, uint32_t t, struct schema_field *f)
{
	struct str text;
	if (t == JSON_NONE)
		return 0;
	if (loader_string(l, t, "format", &text) < 0)
		return -1;
	if (!str_is(text, "uuid")) {
		loader_enter(l, ".format");
		return loader_fail(l, "'%.*s' is no format; there is only uuid", STR_ARG(text));
	}
	f->uuid = true;
	return 0;
}

static int
load_field(struct loader *l, uint32_t t, unsigned level, struct schema_field *f)
{
	uint32_t found[K_COUNT];
	if (loader_object(l, t, keywords, K_COUNT, found) < 0 ||
	    loader_string(l, found[K_NAME], "name", &f->name) < 0)
		return -1;
	size_t mark = loader_enter(l, ".name");
	if (loader_field_name(l, f->name) < 0)
		return -1;
	if (level == 1 && str_ieq(f->name, STR("msg")))
		return loader_fail(l, "'msg' is reserved: it marks a record");
	loader_leave(l, mark);
	if (load_type(l, found, f) < 0 || check_keywords(l, found, f) < 0 ||
	    loader_description(l, found[K_DESCRIPTION], DESCRIPTION_MAX_CHARS, &f->description) < 0 ||
	    load_enum(l, found[K_ENUM], f) < 0 || load_bounds(l, found, f) < 0 || load_lengths(l, found, f) < 0 ||
	    load_format(l, found[K_FORMAT], f) < 0)
		return -1;
	if (f->type != FIELD_RECORD)
		return 0;
	if (level > LIMIT_SCHEMA_DEPTH)
		return loader_fail(l, "more than %d levels of RECORD", LIMIT_SCHEMA_DEPTH);
	mark = loader_enter(l, ".fields");
	if (schemafield_load(l, found[K_FIELDS], level + 1, &f->first, &f->count) < 0)
		return -1;
	loader_leave(l, mark);
	return 0;
}

/* Room for count more fields, so that a container's own stand together and nested ones behind them. */
static int
reserve_fields(struct loader *l, uint32_t count)
{
	struct schema *s = l->s;
	if (count > FIELDS_MAX)
		return loader_fail(l, "BigQuery takes at most %d columns", FIELDS_MAX);
	if (s->nfields + count > l->capfields) {
		l->capfields = (s->nfields + count) * 2;
		s->fields = xreallocarray(s->fields, l->capfields, sizeof(*s->fields));
	}
	memset(s->fields + s->nfields, 0, count * sizeof(*s->fields));
	s->nfields += count;
	return 0;
}

static struct str
lower_case(struct str name, char copy[NAME_MAX_CHARS])
{
	for (size_t i = 0; i < name.n; i++)
		copy[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i]);
	return (struct str){copy, name.n};
}

/* BigQuery's names are the same when they differ only by case. */
static int
check_names(struct loader *l, uint32_t first, uint32_t count)
{
	int rc = -1;
	struct map seen = {0};
	char(*lower)[NAME_MAX_CHARS] = xreallocarray(NULL, count, sizeof(*lower));
	for (uint32_t i = 0; i < count; i++) {
		const struct schema_field *f = &l->s->fields[first + i];
		if (map_put(&seen, lower_case(f->name, lower[i]), l) == NULL)
			continue;
		loader_enter(l, "[%u].name", i);
		loader_fail(l, "'%.*s' stands there already (case does not tell names apart)", STR_ARG(f->name));
		goto out;
	}
	rc = 0;
out:
	free(lower);
	map_release(&seen);
	return rc;
}

int
schemafield_load(struct loader *l, uint32_t t, unsigned level, uint32_t *first, uint32_t *count)
{
	if (!json_is(&l->j, t, JSON_ARRAY) || l->j.tok[t].count == 0)
		return loader_fail(l, "it is an array of one field or more");
	*first = l->s->nfields;
	*count = l->j.tok[t].count;
	if (reserve_fields(l, *count) < 0)
		return -1;
	uint32_t i = 0;
	for (uint32_t v = json_first(t); v < json_end(&l->j, t); v = l->j.tok[v].next, i++) {
		struct schema_field f = {.owner = *first};
		size_t mark = loader_enter(l, "[%u]", i);
		if (load_field(l, v, level, &f) < 0)
			return -1;
		l->s->fields[*first + i] = f; /* the array may have moved meanwhile */
		loader_leave(l, mark);
	}
	return check_names(l, *first, *count);
}
