/* Tables as the REST API shows and takes them. */
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "bounds.h"
#include "xalloc.h"

static const char *const table_members[] = {"friendlyName", "description", "labels", "expirationTime",
    "timePartitioning", "clustering", "requirePartitionFilter", NULL};

static void
write_table_reference(struct jsonw *w, const struct bq_table *t)
{
	jsonw_key(w, "tableReference");
	jsonw_object(w);
	jsonw_member(w, "projectId", t->dataset->project);
	jsonw_member(w, "datasetId", t->dataset->id);
	jsonw_member(w, "tableId", t->name);
	jsonw_end(w);
}

static void
write_id(struct jsonw *w, const struct bq_table *t)
{
	char *id = xasprintf("%.*s.%.*s", STR_ARG(t->dataset->key), STR_ARG(t->name));

	jsonw_member(w, "id", str_of(id));
	free(id);
}

static void
write_extra(struct jsonw *w, struct str extra, const char *const *names)
{
	struct json j = {0};

	if (json_parse(&j, extra) == JSON_OK)
		bq_members_copy(w, &j, 0, names);
	json_release(&j);
}

static void
write_table(struct bq_table *t, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);
	char *link = xasprintf("/bigquery/v2/projects/%.*s/datasets/%.*s/tables/%.*s",
	    STR_ARG(t->dataset->project), STR_ARG(t->dataset->id), STR_ARG(t->name));

	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("bigquery#table"));
	bq_member_i64(&w, "etag", t->modified);
	write_id(&w, t);
	jsonw_member(&w, "selfLink", str_of(link));
	write_table_reference(&w, t);
	jsonw_key(&w, "schema");
	jsonw_object(&w);
	jsonw_key(&w, "fields");
	bq_fields_write(&w, t->fields.v, t->fields.n);
	jsonw_end(&w);
	write_extra(&w, t->extra, table_members);
	bq_member_i64(&w, "numBytes", 0);
	bq_member_i64(&w, "numLongTermBytes", 0);
	bq_member_i64(&w, "numRows", bq_table_rows(t));
	bq_member_i64(&w, "creationTime", t->created);
	bq_member_i64(&w, "lastModifiedTime", t->modified);
	jsonw_member(&w, "type", STR("TABLE"));
	jsonw_member(&w, "location", STR("US"));
	jsonw_end(&w);
	free(link);
}

static bool
ours(struct str name)
{
	return str_ieq(name, STR("_tables")) || str_ieq(name, STR("_dataset")) ||
	    str_ieq(name, STR("_insert_ids")) ||
	    (name.n >= 7 && str_ieq((struct str){name.p, 7}, STR("sqlite_")));
}

static bool
table_name_fits(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c < 0x80 && c != '_' && c != '-' && c != ' ' && !(c >= '0' && c <= '9') &&
		    !((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
			return false;
	}
	return name.n > 0 && name.n <= BQ_TABLE_NAME_MAX;
}

/* a table of the same name but for letter case, which SQLite cannot hold beside it */
static bool
same_but_case(const struct bq_dataset *d, struct str name)
{
	struct map_slot *s;

	for (size_t i = 0; (s = map_each(&d->tables, &i)) != NULL;)
		if (str_ieq(s->key, name))
			return true;
	return false;
}

/* Fields and kept members of a table resource; the name is not set. */
static struct bq_table *
read_table(struct bigquery *bq, uint32_t t, struct err *e)
{
	static const char *const others[] = {"view", "materializedView", "externalDataConfiguration",
	    "rangePartitioning", "cloneDefinition", "snapshotDefinition"};
	struct bq_table *table = xcalloc(1, sizeof(*table));
	const struct json *j = &bq->json;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (json_is(j, json_get(j, t, others[i]), JSON_OBJECT)) {
			err_set(e, ERR_INPUT, "gcp-emu has no tables with %s", others[i]);
			goto fail;
		}
	table->extra = bq_keep_members(bq, t, table_members);
	if (bq_fields_read(&table->fields, j, json_get(j, json_get(j, t, "schema"), "fields"), 1, e) < 0 ||
	    bq_table_layout(table, e) < 0)
		goto fail;
	return table;
fail:
	bq_table_free(table);
	return NULL;
}

int
bq_table_from_resource(struct bigquery *bq, struct bq_dataset *d, struct str name, uint32_t t, struct err *e)
{
	struct bq_table *table;

	if (!table_name_fits(name))
		return err_set(e, ERR_INPUT, "Invalid table ID \"%.*s\".", STR_ARG(name));
	if (ours(name) || same_but_case(d, name))
		return err_set(e, ERR_INPUT, "gcp-emu cannot make a table \"%.*s\": the name is its own, or "
		    "differs from another's only in case", STR_ARG(name));
	table = read_table(bq, t, e);
	if (table == NULL)
		return -1;
	table->name = (struct str){str_dup(name), name.n};
	if (bq_table_create(d, table, e) == 0)
		return 0;
	bq_table_free(table);
	return -1;
}

static void
insert_table(struct bigquery *bq, struct bq_dataset *d, struct request *req, struct reply *rep)
{
	struct err e;
	char *name;

	if (!bq_body(bq, req, rep))
		return;
	name = json_dup(&bq->json, json_get(&bq->json, json_get(&bq->json, 0, "tableReference"), "tableId"));
	if (name == NULL)
		reply_error(rep, 400, "required", "Required parameter is missing: tableReference.tableId");
	else if (bq_table_find(d, str_of(name)) != NULL)
		reply_error(rep, 409, "duplicate", "Already Exists: Table %.*s.%s", STR_ARG(d->key), name);
	else if (bq_table_from_resource(bq, d, str_of(name), 0, &e) < 0)
		bq_failed(rep, &e);
	else
		write_table(bq_table_find(d, str_of(name)), rep);
	free(name);
}

static void
list_tables(struct bq_dataset *d, struct request *req, struct reply *rep)
{
	static const char *const listed[] = {"timePartitioning", "clustering", "labels", NULL};
	struct jsonw w = jsonw_to(&rep->body);
	size_t n, from, to;
	struct str *names = bq_names(&d->tables, STR(""), &n);

	if (bq_page(req, rep, n, &from, &to)) {
		jsonw_object(&w);
		jsonw_member(&w, "kind", STR("bigquery#tableList"));
		jsonw_key(&w, "tables");
		jsonw_array(&w);
		for (size_t i = from; i < to; i++) {
			const struct bq_table *t = bq_table_find(d, names[i]);

			jsonw_object(&w);
			jsonw_member(&w, "kind", STR("bigquery#table"));
			write_id(&w, t);
			write_table_reference(&w, t);
			jsonw_member(&w, "type", STR("TABLE"));
			write_extra(&w, t->extra, listed);
			bq_member_i64(&w, "creationTime", t->created);
			jsonw_end(&w);
		}
		jsonw_end(&w);
		if (to < n && to > from)
			bq_member_i64(&w, "nextPageToken", (int64_t)to);
		jsonw_key(&w, "totalItems");
		jsonw_i64(&w, (int64_t)n);
		jsonw_end(&w);
	}
	free(names);
}

void
bq_tables(struct bigquery *bq, struct bq_dataset *d, struct request *req, struct reply *rep)
{
	if (bq_is(req, "GET"))
		list_tables(d, req, rep);
	else if (bq_is(req, "POST"))
		insert_table(bq, d, req, rep);
	else
		bq_no_method(req, rep);
}

/* What a patch leaves out stays as it is. partial: PATCH, otherwise PUT, where only the fields may stay. */
static struct bq_table *
patched(struct bigquery *bq, struct bq_table *t, bool partial, struct err *e)
{
	struct buf text = BUF_INIT(16 * MIB);
	struct jsonw w = jsonw_to(&text);
	struct json old = {0};
	struct bq_table *to = NULL;

	if (json_read(&old, t->extra, e) < 0)
		goto out;
	jsonw_object(&w);
	for (size_t i = 0; table_members[i] != NULL; i++) {
		const char *const one[] = {table_members[i], NULL};

		if (json_get(&bq->json, 0, table_members[i]) != JSON_NONE)
			bq_members_copy(&w, &bq->json, 0, one);
		else if (partial)
			bq_members_copy(&w, &old, 0, one);
	}
	jsonw_key(&w, "schema");
	if (json_is(&bq->json, json_get(&bq->json, 0, "schema"), JSON_OBJECT)) {
		jsonw_raw(&w, json_raw(&bq->json, json_get(&bq->json, 0, "schema")));
	} else {
		jsonw_object(&w);
		jsonw_key(&w, "fields");
		bq_fields_write(&w, t->fields.v, t->fields.n);
		jsonw_end(&w);
	}
	jsonw_end(&w);
	if (json_read(&bq->json, buf_str(&text), e) == 0)
		to = read_table(bq, 0, e);
out:
	json_release(&old);
	buf_release(&text);
	return to;
}

/* how a table is partitioned stays for its life */
static bool
same_partition(const struct bq_table *a, const struct bq_table *b)
{
	struct json ja = {0}, jb = {0};
	bool same = false;

	if (json_parse(&ja, a->extra) == JSON_OK && json_parse(&jb, b->extra) == JSON_OK) {
		uint32_t pa = json_get(&ja, 0, "timePartitioning"), pb = json_get(&jb, 0, "timePartitioning");

		same = (pa == JSON_NONE) == (pb == JSON_NONE) &&
		    str_eq(json_raw(&ja, json_get(&ja, pa, "field")),
		    json_raw(&jb, json_get(&jb, pb, "field"))) &&
		    str_eq(json_raw(&ja, json_get(&ja, pa, "type")),
		    json_raw(&jb, json_get(&jb, pb, "type")));
	}
	json_release(&ja);
	json_release(&jb);
	return same;
}

static void
patch_table(struct bigquery *bq, struct bq_table *t, struct request *req, struct reply *rep)
{
	struct bq_table *to;
	struct err e, why;

	if (!bq_body(bq, req, rep))
		return;
	to = patched(bq, t, bq_is(req, "PATCH"), &e);
	if (to == NULL)
		bq_failed(rep, &e);
	else if (bq_fields_compatible(t->fields.v, t->fields.n, to->fields.v, to->fields.n, "", &why) < 0)
		reply_error(rep, 400, "invalid", "Provided Schema does not match Table %.*s.%.*s. %s",
		    STR_ARG(t->dataset->key), STR_ARG(t->name), why.text);
	else if (!same_partition(t, to))
		reply_error(rep, 400, "invalid", "Cannot change partitioning of an existing table.");
	else if (bq_table_alter(t, to, &e) < 0)
		bq_failed(rep, &e);
	else
		write_table(t, rep);
	bq_table_free(to);
}

void
bq_table(struct bigquery *bq, struct bq_dataset *d, struct str name, struct request *req, struct reply *rep)
{
	struct bq_table *t = bq_table_find(d, name);
	struct err e;

	if (t == NULL)
		reply_error(rep, 404, "notFound", "Not found: Table %.*s.%.*s", STR_ARG(d->key),
		    STR_ARG(name));
	else if (bq_is(req, "GET"))
		write_table(t, rep);
	else if (bq_is(req, "PATCH") || bq_is(req, "PUT"))
		patch_table(bq, t, req, rep);
	else if (!bq_is(req, "DELETE"))
		bq_no_method(req, rep);
	else if (bq_table_delete(t, &e) < 0)
		bq_failed(rep, &e);
	else
		bq_no_content(rep);
}
