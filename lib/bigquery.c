#include "bigquery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"

#define CALL_TIMEOUT SECONDS(60)

int
bigquery_init(struct gapi *g, struct http *http, const struct login *login, int64_t patience, struct err *e)
{
	return gapi_init(g, http, "BIGQUERY_EMULATOR_HOST", "https://bigquery.googleapis.com", login,
	    patience, e);
}

void
bigquery_begin(struct buf *body)
{
	buf_addz(body, "{\"kind\":\"bigquery#tableDataInsertAllRequest\",\"skipInvalidRows\":true,"
		       "\"ignoreUnknownValues\":false,\"rows\":[");
}

void
bigquery_row(struct buf *body, bool first, struct str insert_id, const struct str *pieces, size_t n)
{
	if (!first)
		buf_addc(body, ',');
	buf_addc(body, '{');
	if (insert_id.n > 0) {
		buf_addz(body, "\"insertId\":\"");
		buf_adds(body, insert_id);
		buf_addz(body, "\",");
	}
	buf_addz(body, "\"json\":");
	for (size_t i = 0; i < n; i++)
		buf_adds(body, pieces[i]);
	buf_addc(body, '}');
}

void
bigquery_end(struct buf *body)
{
	buf_addz(body, "]}");
}

/* BASE/bigquery/v2/projects/P/datasets/D/tables/T and what follows. */
static void
write_url(struct buf *url, const struct gapi *g, const char *project, const char *dataset, const char *table,
    const char *rest)
{
	buf_addf(url, "%s/bigquery/v2/projects/", g->endpoint.base);
	url_encode(url, str_of(project));
	buf_addz(url, "/datasets/");
	url_encode(url, str_of(dataset));
	buf_addz(url, "/tables/");
	url_encode(url, str_of(table));
	buf_addz(url, rest);
}

struct table_call {
	struct buf url, object;
	struct gapi_spec spec;
};

static void
table_call_init(struct table_call *c, const struct gapi *g, const char *project, const char *dataset,
    const char *table, const char *rest)
{
	*c = (struct table_call){.url = BUF_INIT(16 * KIB), .object = BUF_INIT(4 * KIB)};
	write_url(&c->url, g, project, dataset, table, rest);
	buf_addf(&c->object, "%s:%s.%s", project, dataset, table);
	c->spec = (struct gapi_spec){.method = "GET", .url = buf_cstr(&c->url), .what = "read table",
	    .object = buf_cstr(&c->object), .timeout = CALL_TIMEOUT, .json = true};
}

static void
table_call_release(struct table_call *c)
{
	buf_release(&c->url);
	buf_release(&c->object);
}

struct gapi_call *
bigquery_insert(struct gapi *g, const char *project, const char *dataset, const char *table, struct buf *body,
    bool gzip, gapi_done *done, void *arg)
{
	struct table_call c;
	table_call_init(&c, g, project, dataset, table, "/insertAll");
	c.spec.method = "POST";
	c.spec.what = "insert rows into";
	c.spec.body = body;
	c.spec.gzip = gzip;
	struct gapi_call *call = gapi_start(g, &c.spec, done, arg);
	table_call_release(&c);
	return call;
}

struct gapi_call *
bigquery_get_table(struct gapi *g, const char *project, const char *dataset, const char *table,
    gapi_done *done, void *arg)
{
	struct table_call c;
	table_call_init(&c, g, project, dataset, table, "");
	struct gapi_call *call = gapi_start(g, &c.spec, done, arg);
	table_call_release(&c);
	return call;
}

static int
no_reply(struct err *e, const char *why)
{
	return err_set(e, ERR_TRANSIENT, "the reply to insertAll cannot be understood: %s", why);
}

/* The whole reply, before any of it is believed. *list is JSON_NONE where no row has an error. */
static int
check_reply(const struct json *j, uint32_t rows, uint32_t *list, struct err *e)
{
	uint32_t kind = json_get(j, 0, "kind");
	*list = json_get(j, 0, "insertErrors");
	if (!json_is(j, 0, JSON_OBJECT) || json_get(j, 0, "error") != JSON_NONE)
		return no_reply(e, "it is no object, or an error");
	if (kind != JSON_NONE && !str_is(json_text(j, kind), "bigquery#tableDataInsertAllResponse"))
		return no_reply(e, "it is of another kind");
	if (json_is(j, *list, JSON_NULL))
		*list = JSON_NONE;
	if (*list == JSON_NONE)
		return 0;
	if (!json_is(j, *list, JSON_ARRAY))
		return no_reply(e, "insertErrors is no array");
	for (uint32_t t = json_first(*list); t < json_end(j, *list); t = j->tok[t].next) {
		uint32_t at = json_get(j, t, "index"), errors = json_get(j, t, "errors");
		int64_t index = 0; /* proto3 JSON may leave a zero out */
		if (!json_is(j, t, JSON_OBJECT) || (at != JSON_NONE && !json_i64(j, at, &index)))
			return no_reply(e, "an entry of insertErrors has no index");
		if (index < 0 || index >= (int64_t)rows)
			return no_reply(e, "insertErrors names a row that was not sent");
		if (errors != JSON_NONE && !json_is(j, errors, JSON_ARRAY))
			return no_reply(e, "an entry's errors are no array");
	}
	return 0;
}

/* One row's entry. A row whose errors are not given has failed all the same, for a reason not known. */
static void
read_entry(const struct json *j, uint32_t t, struct buf *scratch,
    void (*each)(void *arg, const struct bigquery_row_error *error), void *arg)
{
	uint32_t list = json_get(j, t, "errors");
	int64_t index = 0;
	json_i64(j, json_get(j, t, "index"), &index);
	struct bigquery_row_error error = {.index = (uint32_t)index};
	if (list == JSON_NONE || j->tok[list].count == 0) {
		each(arg, &error);
		return;
	}
	for (uint32_t o = json_first(list); o < json_end(j, list); o = j->tok[o].next) {
		buf_reset(scratch, scratch->cap);
		buf_room(scratch, j->tok[o].len); /* so that views do not move */
		error.reason = json_string(j, json_get(j, o, "reason"), scratch);
		error.location = json_string(j, json_get(j, o, "location"), scratch);
		error.message = json_string(j, json_get(j, o, "message"), scratch);
		each(arg, &error);
	}
}

int
bigquery_read_insert(struct json *j, struct str body, uint32_t rows,
    void (*each)(void *arg, const struct bigquery_row_error *error), void *arg, struct err *e)
{
	struct buf scratch = BUF_INIT(LIMIT_REPLY);
	uint32_t list;
	if (json_parse(j, body) != JSON_OK)
		return no_reply(e, j->why);
	if (check_reply(j, rows, &list, e) < 0)
		return -1;
	for (uint32_t t = list == JSON_NONE ? 0 : json_first(list);
	     list != JSON_NONE && t < json_end(j, list); t = j->tok[t].next)
		read_entry(j, t, &scratch, each, arg);
	buf_release(&scratch);
	return 0;
}

/* What compare carries down into RECORD fields. */
struct comparison {
	const struct json *j;
	const struct schema *s;
	const char *object;
	struct buf place; /* the column, dotted */
	struct err *e;
};

static int
differs(struct comparison *c, const char *fmt, const char *a, const char *b)
{
	char why[200];
	snprintf(why, sizeof(why), fmt, a, b);
	return err_set(c->e, ERR_CONFIG,
	    "cannot use table '%s': column %s %s; apply the schema to the table (terraform apply), or give "
	    "the tool the schemas.json that belongs to it",
	    c->object, buf_cstr(&c->place), why);
}

/* BigQuery compares column names without case. */
static uint32_t
column_of(const struct json *j, uint32_t list, struct str name)
{
	for (uint32_t t = json_first(list); t < json_end(j, list); t = j->tok[t].next) {
		uint32_t n = json_get(j, t, "name");
		if (json_is(j, n, JSON_STRING) && str_ieq(json_text(j, n), name))
			return t;
	}
	return JSON_NONE;
}

static int compare_fields(struct comparison *c, uint32_t list, uint32_t first, uint32_t count);

static int
compare_column(struct comparison *c, uint32_t list, const struct schema_field *f)
{
	enum field_type type;
	enum field_mode mode = MODE_NULLABLE;
	uint32_t t = column_of(c->j, list, f->name), m = json_get(c->j, t, "mode");
	if (t == JSON_NONE)
		return differs(c, "is not there%s%s", "", "");
	char *type_name = json_dup(c->j, json_get(c->j, t, "type"));
	bool known = type_name != NULL && schema_type_parse(str_of(type_name), &type);
	int rc = 0;
	if (!known || type != f->type)
		rc = differs(c, "is of type %s there and %s in schemas.json",
		    type_name != NULL ? type_name : "?", schema_type_name(f->type));
	free(type_name);
	if (rc < 0)
		return -1;
	if (m != JSON_NONE && json_text(c->j, m).n > 0 && !schema_mode_parse(json_text(c->j, m), &mode))
		return differs(c, "has a mode that is not known%s%s", "", "");
	if (mode != f->mode)
		return differs(c, "is %s there and %s in schemas.json", schema_mode_name(mode),
		    schema_mode_name(f->mode));
	if (f->type != FIELD_RECORD)
		return 0;
	size_t before = c->place.n;
	buf_addc(&c->place, '.');
	rc = compare_fields(c, json_get(c->j, t, "fields"), f->first, f->count);
	c->place.n = before;
	return rc;
}

/* A column that schemas.json does not have is harmless unless every row needs it. */
static int
compare_extra(struct comparison *c, uint32_t t, uint32_t first, uint32_t count)
{
	struct str name = json_text(c->j, json_get(c->j, t, "name"));
	for (uint32_t i = first; i < first + count; i++) {
		if (str_ieq(c->s->fields[i].name, name))
			return 0;
	}
	if (!str_ieq(json_text(c->j, json_get(c->j, t, "mode")), STR("REQUIRED")))
		return 0;
	size_t before = c->place.n;
	buf_adds(&c->place, name);
	int rc = differs(c, "is REQUIRED there and not in schemas.json%s%s", "", "");
	c->place.n = before;
	return rc;
}

static int
compare_fields(struct comparison *c, uint32_t list, uint32_t first, uint32_t count)
{
	if (!json_is(c->j, list, JSON_ARRAY))
		return err_set(c->e, ERR_CONFIG, "cannot use table '%s': it has no columns%s%s", c->object,
		    c->place.n > 0 ? " in " : "", buf_cstr(&c->place));
	for (uint32_t i = first; i < first + count; i++) {
		const struct schema_field *f = &c->s->fields[i];
		size_t before = c->place.n;
		buf_adds(&c->place, f->name);
		if (compare_column(c, list, f) < 0)
			return -1;
		c->place.n = before;
	}
	for (uint32_t t = json_first(list); t < json_end(c->j, list); t = c->j->tok[t].next) {
		if (compare_extra(c, t, first, count) < 0)
			return -1;
	}
	return 0;
}

int
bigquery_compare(struct json *j, struct str body, const char *object, const struct schema *s,
    const struct schema_table *t, struct err *e)
{
	if (json_parse(j, body) != JSON_OK)
		return err_set(e, ERR_TRANSIENT, "cannot read table '%s': the reply is no JSON: %s", object,
		    j->why);
	uint32_t type = json_get(j, 0, "type");
	if (json_is(j, type, JSON_STRING) && !str_is(json_text(j, type), "TABLE"))
		return err_set(e, ERR_CONFIG, "cannot use table '%s': it is a %.*s, which takes no rows",
		    object, STR_ARG(json_text(j, type)));
	struct comparison c = {.j = j, .s = s, .object = object, .place = BUF_INIT(16 * KIB), .e = e};
	int rc = compare_fields(&c, json_get(j, json_get(j, 0, "schema"), "fields"), t->first, t->count);
	buf_release(&c.place);
	return rc;
}

/*
 * May rows be written, too? The table is there, so an emulator's 404 means that it does not know the
 * question.
 */
static int
check_permission(struct gapi *g, const char *project, const char *dataset, const char *table,
    const char *object, struct err *e)
{
	static const char *const wanted[] = {"bigquery.tables.updateData", NULL};
	struct buf url = BUF_INIT(16 * KIB);
	write_url(&url, g, project, dataset, table, ":testIamPermissions");
	int rc = gapi_test_permissions(g, buf_cstr(&url), false, object, wanted, e);
	buf_release(&url);
	return rc < 0 && g->endpoint.emulator && e->class == ERR_PERMANENT ? 0 : rc;
}

int
bigquery_check_table(struct gapi *g, const char *project, const char *dataset, const struct schema *s,
    const struct schema_table *t, struct err *e)
{
	struct table_call c;
	struct json j = {0};
	struct buf reply = BUF_INIT(LIMIT_REPLY);
	char *table = str_dup(t->name);
	int status = 0, rc = -1;
	table_call_init(&c, g, project, dataset, table, "");
	if (gapi_sync(g, &c.spec, &reply, &status, e) < 0)
		goto out;
	if (bigquery_compare(&j, buf_str(&reply), c.spec.object, s, t, e) < 0)
		goto out;
	if (check_permission(g, project, dataset, table, c.spec.object, e) < 0)
		goto out;
	rc = 0;
out:
	table_call_release(&c);
	buf_release(&reply);
	json_release(&j);
	free(table);
	return rc;
}
