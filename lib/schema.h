/*
 * schema: schemas.json, checked strictly and compiled once to flat arrays (schemas(5)).
 *
 * Fields of all tables lie in one array. A table's or RECORD's own fields are fields[first .. first + count);
 * `check` runs over these, bq-insert and gcp-emu read columns from them. All text is owned by the schema.
 */
#ifndef EVPIPE_SCHEMA_H
#define EVPIPE_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

enum field_type {
	FIELD_STRING,
	FIELD_INT64,
	FIELD_FLOAT64,
	FIELD_NUMERIC,
	FIELD_BOOL,
	FIELD_BYTES,
	FIELD_TIMESTAMP,
	FIELD_DATE,
	FIELD_DATETIME,
	FIELD_TIME,
	FIELD_RECORD,
};

enum field_mode { MODE_NULLABLE, MODE_REQUIRED, MODE_REPEATED };

struct schema_field {
	struct str name;
	struct str description;
	enum field_type type;
	enum field_mode mode;
	uint32_t owner;                /* `first` of the table or RECORD it belongs to */
	uint32_t first, count;         /* a RECORD's own fields */
	uint32_t enum_first, enum_count; /* into schema.words */
	bool has_min, has_max;
	double min, max;               /* minimum, maximum: of FLOAT64 */
	int64_t min_i64, max_i64;      /* of INT64; those of NUMERIC are exact as text only */
	struct str min_text, max_text; /* as written */
	uint32_t min_items;            /* REPEATED only */
	uint64_t min_length, max_length; /* code points (BYTES: bytes); max 0 with !has_max_length: none */
	bool has_max_length;
	bool uuid;                     /* format */
};

struct schema_table {
	struct str name;       /* the BigQuery table */
	struct str event_type; /* the discriminator's value */
	struct str description;
	uint32_t first, count;    /* its columns in schema.fields */
	uint32_t partition;       /* index of the partition field in schema.fields */
	struct str partition_type; /* DAY, HOUR, MONTH, YEAR */
	uint32_t cluster_first, cluster_count; /* into schema.words */
};

struct schema {
	struct str discriminator;
	struct schema_table *tables;
	uint32_t ntables;
	struct schema_field *fields;
	uint32_t nfields;
	struct str *words; /* enum values and clustering columns */
	uint32_t nwords;
	uint32_t max_count; /* the most fields that any table or RECORD has */
	char *text;         /* private: the strings live here */
	struct schema_index {
		uint32_t *slots; /* SCHEMA_NONE: free */
		uint32_t mask;
	} names, events;    /* private: fields by container and name, tables by event type */
};

#define SCHEMA_NONE UINT32_MAX

/* Loads and checks a file: -1 with ERR_CONFIG and "cannot load schemas 'FILE': PLACE: CAUSE" otherwise. */
int schema_load(struct schema *s, const char *path, struct err *e);
/* The same for text in memory; name is for messages. */
int schema_parse(struct schema *s, struct str text, const char *name, struct err *e);
/* The file to use: given, else EVPIPE_SCHEMAS, else ./schemas.json, else the installed one. Borrowed. */
const char *schema_path(const char *given);
/* by the discriminator's value, by table name; NULL where there is none */
const struct schema_table *schema_by_event(const struct schema *s, struct str event_type);
const struct schema_table *schema_by_table(const struct schema *s, struct str table);
/* the index of that field of the table or RECORD whose fields begin at first, or SCHEMA_NONE */
uint32_t schema_find(const struct schema *s, uint32_t first, struct str name);
/* the column of that name, or NULL */
const struct schema_field *schema_column(const struct schema *s, const struct schema_table *t,
    struct str name);
/* "STRING", "INT64", ... and "REQUIRED", ... as the contract names them */
const char *schema_type_name(enum field_type type);
const char *schema_mode_name(enum field_mode mode);
/* A BigQuery type name, legacy ones included, in capitals; false where it is none that we know. */
bool schema_type_parse(struct str name, enum field_type *out);
bool schema_mode_parse(struct str name, enum field_mode *out);
void schema_release(struct schema *s);

/* Private, between schemaload and schema: builds the indexes once all fields and tables stand. */
void schema_make_index(struct schema *s);

#endif
