/*
 * A table's fields: read from the API's JSON, checked as BigQuery does, written with the REST API's type
 * names.
 */
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "bounds.h"
#include "xalloc.h"

static const char *const field_members[] = {"description", "policyTags", "maxLength", "precision", "scale",
    "collation", "defaultValueExpression", "roundingMode", "categories", NULL};

const char *
bq_type_name(enum field_type t)
{
	switch (t) {
	case FIELD_INT64:
		return "INTEGER";
	case FIELD_FLOAT64:
		return "FLOAT";
	case FIELD_BOOL:
		return "BOOLEAN";
	default:
		return schema_type_name(t);
	}
}

int
bq_field_find(const struct bq_field *fields, uint32_t n, struct str name, uint32_t hint)
{
	if (hint < n && str_eq(fields[hint].name, name))
		return (int)hint;
	for (uint32_t i = 0; i < n; i++)
		if (str_ieq(fields[i].name, name))
			return (int)i;
	return -1;
}

void
bq_members_copy(struct jsonw *w, const struct json *j, uint32_t object, const char *const *names)
{
	for (; *names != NULL; names++) {
		uint32_t t = json_get(j, object, *names);

		if (t == JSON_NONE || json_is(j, t, JSON_NULL))
			continue;
		jsonw_key(w, *names);
		jsonw_raw(w, json_raw(j, t));
	}
}

static bool
reserved(struct str name)
{
	static const char *const prefixes[] = {"_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP",
	    "__ROOT__", "_COLIDENTIFIER"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		struct str p = str_of(prefixes[i]);

		if (name.n >= p.n && str_ieq((struct str){name.p, p.n}, p))
			return true;
	}
	return false;
}

static bool
name_fits(struct str name)
{
	if (name.n == 0 || name.n > BQ_FIELD_NAME_MAX || (name.p[0] >= '0' && name.p[0] <= '9'))
		return false;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c < 0x80 && c != '_' && !(c >= '0' && c <= '9') &&
		    !((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
			return false;
	}
	return !reserved(name);
}

static int
read_type(struct bq_field *f, const struct json *j, uint32_t t, struct err *e)
{
	struct buf scratch = BUF_INIT(1024);
	uint32_t type = json_get(j, t, "type"), mode = json_get(j, t, "mode");
	struct str s = json_string(j, type, &scratch);
	int rc = -1;

	f->mode = MODE_NULLABLE;
	if (s.p == NULL)
		err_set(e, ERR_INPUT, "Field %.*s is missing its type", STR_ARG(f->name));
	else if (!schema_type_parse(s, &f->type))
		err_set(e, ERR_INPUT, "Invalid value for type: %.*s is not a type that gcp-emu knows (field "
		    "%.*s)", STR_ARG(s), STR_ARG(f->name));
	else if (mode != JSON_NONE && !json_is(j, mode, JSON_NULL) &&
	    !schema_mode_parse(json_string(j, mode, &scratch), &f->mode))
		err_set(e, ERR_INPUT, "Invalid value for mode of field %.*s", STR_ARG(f->name));
	else
		rc = 0;
	buf_release(&scratch);
	return rc;
}

static int
read_record(struct bq_field *f, const struct json *j, uint32_t t, unsigned depth, struct err *e)
{
	struct bq_fields own = {0};
	uint32_t fields = json_get(j, t, "fields");
	bool empty = !json_is(j, fields, JSON_ARRAY) || j->tok[fields].count == 0;

	if (f->type != FIELD_RECORD)
		return empty ? 0 : err_set(e, ERR_INPUT, "Field %.*s is type %s but has a schema",
		    STR_ARG(f->name), bq_type_name(f->type));
	if (empty)
		return err_set(e, ERR_INPUT, "Field %.*s is type RECORD but has no schema", STR_ARG(f->name));
	if (bq_fields_read(&own, j, fields, depth + 1, e) < 0)
		return -1;
	f->fields = own.v;
	f->nfields = own.n;
	return 0;
}

static int
read_field(struct bq_field *f, const struct json *j, uint32_t t, unsigned depth, struct err *e)
{
	struct buf extra = BUF_INIT(64 * KIB);
	char *name = json_is(j, t, JSON_OBJECT) ? json_dup(j, json_get(j, t, "name")) : NULL;
	struct jsonw w = jsonw_to(&extra);

	f->name = str_of(name);
	jsonw_object(&w);
	bq_members_copy(&w, j, t, field_members);
	jsonw_end(&w);
	f->extra = str_of(str_dup(buf_str(&extra)));
	buf_release(&extra);
	if (!name_fits(f->name))
		return err_set(e, ERR_INPUT, "Invalid field name \"%.*s\". Fields must contain only letters, "
		    "numbers, and underscores, start with a letter or underscore, and be at most 300 "
		    "characters long.",
		    STR_ARG(f->name));
	if (read_type(f, j, t, e) < 0)
		return -1;
	return read_record(f, j, t, depth, e);
}

int
bq_fields_read(struct bq_fields *out, const struct json *j, uint32_t array, unsigned depth, struct err *e)
{
	uint32_t count = json_is(j, array, JSON_ARRAY) ? j->tok[array].count : 0;

	*out = (struct bq_fields){NULL, 0};
	if (depth > LIMIT_SCHEMA_DEPTH)
		return err_set(e, ERR_INPUT, "Schema field nesting is deeper than %d levels",
		    LIMIT_SCHEMA_DEPTH);
	if (count > BQ_COLUMNS_MAX)
		return err_set(e, ERR_INPUT, "Too many fields: gcp-emu takes %d in a table or record",
		    BQ_COLUMNS_MAX);
	if (count == 0)
		return 0;
	out->v = xcalloc(count, sizeof(*out->v));
	for (uint32_t t = json_first(array); t < json_end(j, array); t = j->tok[t].next) {
		struct bq_field *f = &out->v[out->n++];

		if (read_field(f, j, t, depth, e) < 0)
			goto fail;
		if (bq_field_find(out->v, out->n - 1, f->name, out->n) >= 0) {
			err_set(e, ERR_INPUT, "Field %.*s already exists in schema", STR_ARG(f->name));
			goto fail;
		}
	}
	return 0;
fail:
	bq_fields_release(out);
	return -1;
}

static void
write_extra(struct jsonw *w, struct str extra)
{
	struct json j = {0};

	if (json_parse(&j, extra) == JSON_OK)
		bq_members_copy(w, &j, 0, field_members);
	json_release(&j);
}

void
bq_fields_write(struct jsonw *w, const struct bq_field *fields, uint32_t n)
{
	jsonw_array(w);
	for (uint32_t i = 0; i < n; i++) {
		jsonw_object(w);
		jsonw_member(w, "name", fields[i].name);
		jsonw_member(w, "type", str_of(bq_type_name(fields[i].type)));
		jsonw_member(w, "mode", str_of(schema_mode_name(fields[i].mode)));
		if (fields[i].extra.n > 2)
			write_extra(w, fields[i].extra);
		if (fields[i].type == FIELD_RECORD) {
			jsonw_key(w, "fields");
			bq_fields_write(w, fields[i].fields, fields[i].nfields);
		}
		jsonw_end(w);
	}
	jsonw_end(w);
}

void
bq_fields_release(struct bq_fields *f)
{
	for (uint32_t i = 0; i < f->n; i++) {
		struct bq_fields own = {f->v[i].fields, f->v[i].nfields};

		free((char *)f->v[i].name.p);
		free((char *)f->v[i].extra.p);
		bq_fields_release(&own);
	}
	free(f->v);
	*f = (struct bq_fields){NULL, 0};
}

/* what a patch may do to one field: nothing, or relax it */
static int
field_compatible(const struct bq_field *from, const struct bq_field *to, const char *path, struct err *e)
{
	if (from->type != to->type)
		return err_set(e, ERR_INPUT, "Field %s has changed type from %s to %s", path,
		    bq_type_name(from->type), bq_type_name(to->type));
	if (from->mode != to->mode && !(from->mode == MODE_REQUIRED && to->mode == MODE_NULLABLE))
		return err_set(e, ERR_INPUT, "Field %s has changed mode from %s to %s", path,
		    schema_mode_name(from->mode), schema_mode_name(to->mode));
	return 0;
}

int
bq_fields_compatible(const struct bq_field *from, uint32_t nfrom, const struct bq_field *to, uint32_t nto,
    const char *prefix, struct err *e)
{
	int rc = 0;

	for (uint32_t i = 0; i < nfrom && rc == 0; i++) {
		int k = bq_field_find(to, nto, from[i].name, i);
		char *path = xasprintf("%s%.*s", prefix, STR_ARG(from[i].name));
		char *below = xasprintf("%s.", path);

		if (k < 0)
			rc = err_set(e, ERR_INPUT, "Field %s is missing in new schema", path);
		else if ((rc = field_compatible(&from[i], &to[k], path, e)) == 0)
			rc = bq_fields_compatible(from[i].fields, from[i].nfields, to[k].fields,
			    to[k].nfields, below, e);
		free(path);
		free(below);
	}
	for (uint32_t i = 0; i < nto && rc == 0; i++)
		if (to[i].mode == MODE_REQUIRED && bq_field_find(from, nfrom, to[i].name, i) < 0)
			rc = err_set(e, ERR_INPUT, "Cannot add required fields to an existing schema. "
			    "(field: %s%.*s)", prefix, STR_ARG(to[i].name));
	return rc;
}

static int
read_partitioning(struct bq_table *t, const struct json *j, uint32_t part, struct err *e)
{
	struct buf scratch = BUF_INIT(1024);
	struct str type = json_string(j, json_get(j, part, "type"), &scratch), name;
	uint32_t field = json_get(j, part, "field");
	const struct bq_field *f;
	int rc = -1;

	if (!str_is(type, "DAY") && !str_is(type, "HOUR") && !str_is(type, "MONTH") &&
	    !str_is(type, "YEAR")) {
		err_set(e, ERR_INPUT, "Invalid value for timePartitioning.type: it is DAY, HOUR, MONTH or "
		    "YEAR");
		goto out;
	}
	if (field == JSON_NONE || json_is(j, field, JSON_NULL)) {
		rc = 0; /* by ingestion time */
		goto out;
	}
	name = json_string(j, field, &scratch);
	t->partition = bq_field_find(t->fields.v, t->fields.n, name, 0);
	f = t->partition < 0 ? NULL : &t->fields.v[t->partition];
	if (f == NULL)
		err_set(e, ERR_INPUT, "The field specified for partitioning cannot be found in the schema");
	else if (f->mode == MODE_REPEATED || (f->type != FIELD_TIMESTAMP && f->type != FIELD_DATE &&
	    f->type != FIELD_DATETIME))
		err_set(e, ERR_INPUT, "The field specified for partitioning must be a top-level, not "
		    "repeated TIMESTAMP, DATE or DATETIME");
	else
		rc = 0;
out:
	buf_release(&scratch);
	return rc;
}

static int
read_clustering(const struct bq_table *t, const struct json *j, uint32_t clustering, struct err *e)
{
	struct buf scratch = BUF_INIT(64 * KIB);
	uint32_t fields = json_get(j, clustering, "fields");
	int rc = -1;

	if (!json_is(j, fields, JSON_ARRAY) || j->tok[fields].count < 1 || j->tok[fields].count > 4)
		return err_set(e, ERR_INPUT, "Invalid value for clustering.fields: 1 to 4 columns");
	for (uint32_t v = json_first(fields); v < json_end(j, fields); v = j->tok[v].next) {
		struct str name = json_string(j, v, &scratch);
		int i = bq_field_find(t->fields.v, t->fields.n, name, 0);

		if (i < 0) {
			err_set(e, ERR_INPUT, "The field specified for clustering cannot be found in the "
			    "schema. Invalid field: %.*s.", STR_ARG(name));
			goto out;
		}
		if (t->fields.v[i].mode == MODE_REPEATED || t->fields.v[i].type == FIELD_RECORD ||
		    t->fields.v[i].type == FIELD_FLOAT64) {
			err_set(e, ERR_INPUT, "Entity was of unsupported type for clustering: %.*s",
			    STR_ARG(name));
			goto out;
		}
	}
	rc = 0;
out:
	buf_release(&scratch);
	return rc;
}

int
bq_table_layout(struct bq_table *t, struct err *e)
{
	struct json j = {0};
	uint32_t part, clustering;
	int rc = -1;

	t->partition = -1;
	if (json_read(&j, t->extra, e) < 0)
		goto out;
	part = json_get(&j, 0, "timePartitioning");
	clustering = json_get(&j, 0, "clustering");
	if (part != JSON_NONE && read_partitioning(t, &j, part, e) < 0)
		goto out;
	if (clustering != JSON_NONE && read_clustering(t, &j, clustering, e) < 0)
		goto out;
	rc = 0;
out:
	json_release(&j);
	return rc;
}
