/*
 * schemafield: reading the fields of schemas.json, and what the readers of its parts share. Private to
 * schemaload; schema.h is what others use.
 *
 * A reader enters a place ("tables.orders", ".fields[3]", ".mode") before it looks at it and leaves it
 * afterwards, so that loader_fail can say where the fault is.
 */
#ifndef EVPIPE_SCHEMAFIELD_H
#define EVPIPE_SCHEMAFIELD_H

#include "dup.h"
#include "json.h"
#include "schema.h"

struct loader {
	struct schema *s;
	struct json j;
	struct dup dup;
	struct buf place;
	struct buf text; /* becomes schema.text: has room for every string of the file, so it never moves */
	uint32_t capfields, capwords;
	const char *file;
	struct err *e;
};

/* "cannot load schemas 'FILE': PLACE: CAUSE", ERR_CONFIG. Returns -1. */
int loader_fail(struct loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Returns what loader_leave takes to go back. */
size_t loader_enter(struct loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void loader_leave(struct loader *l, size_t mark);
/*
 * t must be an object whose members are all among the n keywords, none twice: found[i] is the value of
 * keywords[i], or JSON_NONE.
 */
int loader_object(struct loader *l, uint32_t t, const char *const *keywords, size_t n, uint32_t *found);
/* No name twice in object t. */
int loader_unique(struct loader *l, uint32_t t);
/* A string's decoded text, owned by the schema. */
struct str loader_copy(struct loader *l, uint32_t t);
/* The same of the member `keyword`: it must be there and a string. */
int loader_string(struct loader *l, uint32_t t, const char *keyword, struct str *out);
/* The same, where it may be absent, at most max code points. */
int loader_description(struct loader *l, uint32_t t, size_t max, struct str *out);
/* Adds one to schema.words. */
void loader_word(struct loader *l, struct str word);
/* The rule for BigQuery's names of fields; says where it is broken. */
int loader_field_name(struct loader *l, struct str name);

/*
 * Reads the array of fields in token t, and what is nested in them, to the end of schema.fields. level 1: a
 * table's own.
 */
int schemafield_load(struct loader *l, uint32_t t, unsigned level, uint32_t *first, uint32_t *count);

#endif
