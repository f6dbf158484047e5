#include "schema.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "map.h"
#include "xalloc.h"

#ifndef EVPIPE_DATADIR
#define EVPIPE_DATADIR "/usr/local/share/evpipe"
#endif

static const char *const type_names[] = {
    [FIELD_STRING] = "STRING",
    [FIELD_INT64] = "INT64",
    [FIELD_FLOAT64] = "FLOAT64",
    [FIELD_NUMERIC] = "NUMERIC",
    [FIELD_BOOL] = "BOOL",
    [FIELD_BYTES] = "BYTES",
    [FIELD_TIMESTAMP] = "TIMESTAMP",
    [FIELD_DATE] = "DATE",
    [FIELD_DATETIME] = "DATETIME",
    [FIELD_TIME] = "TIME",
    [FIELD_RECORD] = "RECORD",
};

static const char *const mode_names[] = {
    [MODE_NULLABLE] = "NULLABLE",
    [MODE_REQUIRED] = "REQUIRED",
    [MODE_REPEATED] = "REPEATED",
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *
schema_type_name(enum field_type type)
{
	return type_names[type];
}

const char *
schema_mode_name(enum field_mode mode)
{
	return mode_names[mode];
}

bool
schema_type_parse(struct str name, enum field_type *out)
{
	static const struct {
		const char *name;
		enum field_type type;
	} legacy[] = {
	    {"INTEGER", FIELD_INT64},
	    {"FLOAT", FIELD_FLOAT64},
	    {"BOOLEAN", FIELD_BOOL},
	    {"STRUCT", FIELD_RECORD},
	};
	for (size_t i = 0; i < COUNT(type_names); i++) {
		if (str_is(name, type_names[i])) {
			*out = (enum field_type)i;
			return true;
		}
	}
	for (size_t i = 0; i < COUNT(legacy); i++) {
		if (str_is(name, legacy[i].name)) {
			*out = legacy[i].type;
			return true;
		}
	}
	return false;
}

bool
schema_mode_parse(struct str name, enum field_mode *out)
{
	for (size_t i = 0; i < COUNT(mode_names); i++) {
		if (str_is(name, mode_names[i])) {
			*out = (enum field_mode)i;
			return true;
		}
	}
	return false;
}

const char *
schema_path(const char *given)
{
	const char *env = getenv("EVPIPE_SCHEMAS");
	if (given != NULL)
		return given;
	if (env != NULL && *env != '\0')
		return env;
	return access("schemas.json", F_OK) == 0 ? "schemas.json" : EVPIPE_DATADIR "/schemas.json";
}

/*
 * Both indexes hash with a fixed seed: the keys stored are the schema's own and at most half the slots are
 * taken, so a name from an event meets a short run whatever it is.
 */
static struct schema_index
index_of_size(uint32_t n)
{
	struct schema_index x = {.mask = 7};
	while (x.mask < n * 2)
		x.mask = x.mask * 2 + 1;
	x.slots = xreallocarray(NULL, (size_t)x.mask + 1, sizeof(*x.slots));
	memset(x.slots, 0xff, ((size_t)x.mask + 1) * sizeof(*x.slots));
	return x;
}

static void
index_add(struct schema_index *x, uint64_t hash, uint32_t value)
{
	uint32_t at = (uint32_t)hash & x->mask;
	while (x->slots[at] != SCHEMA_NONE)
		at = (at + 1) & x->mask;
	x->slots[at] = value;
}

static void
add_fields(struct schema *s, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		index_add(&s->names, map_hash(first, s->fields[i].name), i);
		if (s->fields[i].type == FIELD_RECORD)
			add_fields(s, s->fields[i].first, s->fields[i].count);
	}
	if (count > s->max_count)
		s->max_count = count;
}

void
schema_make_index(struct schema *s)
{
	s->names = index_of_size(s->nfields);
	s->events = index_of_size(s->ntables);
	for (uint32_t i = 0; i < s->ntables; i++) {
		index_add(&s->events, map_hash(0, s->tables[i].event_type), i);
		add_fields(s, s->tables[i].first, s->tables[i].count);
	}
}

uint32_t
schema_find(const struct schema *s, uint32_t first, struct str name)
{
	const struct schema_index *x = &s->names;
	for (uint32_t at = (uint32_t)map_hash(first, name);; at++) {
		uint32_t i = x->slots[at & x->mask];
		if (i == SCHEMA_NONE)
			return SCHEMA_NONE;
		if (s->fields[i].owner == first && str_eq(s->fields[i].name, name))
			return i;
	}
}

const struct schema_table *
schema_by_event(const struct schema *s, struct str event_type)
{
	const struct schema_index *x = &s->events;
	for (uint32_t at = (uint32_t)map_hash(0, event_type);; at++) {
		uint32_t i = x->slots[at & x->mask];
		if (i == SCHEMA_NONE)
			return NULL;
		if (str_eq(s->tables[i].event_type, event_type))
			return &s->tables[i];
	}
}

const struct schema_table *
schema_by_table(const struct schema *s, struct str table)
{
	for (uint32_t i = 0; i < s->ntables; i++) {
		if (str_eq(s->tables[i].name, table))
			return &s->tables[i];
	}
	return NULL;
}

const struct schema_field *
schema_column(const struct schema *s, const struct schema_table *t, struct str name)
{
	uint32_t i = schema_find(s, t->first, name);
	return i != SCHEMA_NONE ? &s->fields[i] : NULL;
}

void
schema_release(struct schema *s)
{
	free(s->tables);
	free(s->fields);
	free(s->words);
	free(s->text);
	free(s->names.slots);
	free(s->events.slots);
	*s = (struct schema){0};
}
