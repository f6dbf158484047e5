/*
 * BigQuery's REST API: which call a path is, and what is there from the start.
 */
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "bounds.h"
#include "num.h"
#include "xalloc.h"

#define PARTS 10
#define TABLE_JOBS 1500 /* [BigQuery quotas: load jobs per table per day] */

struct bigquery *
bigquery_open(struct emu *emu, struct err *e)
{
	struct bigquery *bq = xcalloc(1, sizeof(*bq));
	const char *window = getenv("GCP_EMU_PARTITION_WINDOW"), *jobs = getenv("GCP_EMU_TABLE_JOBS");

	bq->emu = emu;
	bq->dir = xasprintf("%s/bigquery", emu->dir);
	bq->partition_window = window != NULL && strcmp(window, "1") == 0;
	if (jobs == NULL || !num_i64(str_of(jobs), &bq->table_jobs))
		bq->table_jobs = TABLE_JOBS;
	buf_init(&bq->scratch, 64 * MIB);
	if (bq_store_open(bq, e) == 0) {
		bq_loads_open(bq);
		return bq;
	}
	bigquery_close(bq);
	return NULL;
}

void
bigquery_close(struct bigquery *bq)
{
	struct map_slot *s;

	if (bq == NULL)
		return;
	bq_jobs_close(bq);
	bq_loads_close(bq);
	for (size_t i = 0; (s = map_each(&bq->datasets, &i)) != NULL;)
		bq_dataset_close(s->value);
	map_release(&bq->datasets);
	json_release(&bq->json);
	json_release(&bq->cell);
	buf_release(&bq->scratch);
	free(bq->dir);
	free(bq);
}

/* A project's id becomes a folder's name. */
static bool
project_fits(struct str p)
{
	for (size_t i = 0; i < p.n; i++)
		if (!(p.p[i] >= '0' && p.p[i] <= '9') && !((p.p[i] | 0x20) >= 'a' &&
		    (p.p[i] | 0x20) <= 'z') && strchr(i > 0 ? "-_.:" : "_", p.p[i]) == NULL)
			return false;
	return p.n > 0 && p.n <= 100 && memchr(p.p, '\0', p.n) == NULL;
}

static bool
is(const struct request *req, const char *method)
{
	return strcmp(req->method, method) == 0;
}

static void
unknown_path(struct request *req, struct reply *rep)
{
	reply_error(rep, 404, "notFound", "gcp-emu's BigQuery knows no %s %.*s", req->method,
	    (int)(req->path.n < 200 ? req->path.n : 200), req->path.p);
}

/* .../datasets/D/tables/T[/insertAll|/data], and verbs behind a colon */
static void
handle_table(struct bigquery *bq, struct bq_dataset *d, struct str *part, int n, struct request *req,
    struct reply *rep)
{
	size_t colon = str_find(part[0], ':');
	struct str verb = str_skip(part[0], colon + 1), name = {part[0].p, colon};
	struct bq_table *t = bq_table_find(d, name);

	if (n == 1 && verb.n == 0)
		bq_table(bq, d, name, req, rep);
	else if (t == NULL)
		reply_error(rep, 404, "notFound", "Not found: Table %.*s.%.*s", STR_ARG(d->key),
		    STR_ARG(name));
	else if (n == 1 && str_is(verb, "testIamPermissions") && is(req, "POST"))
		bq_test_permissions(bq, req, rep);
	else if (n == 2 && str_is(part[1], "insertAll") && is(req, "POST"))
		bq_insert_all(bq, t, req, rep);
	else if (n == 2 && str_is(part[1], "data") && is(req, "GET"))
		bq_list_rows(bq, t, req, rep);
	else
		unknown_path(req, rep);
}

/* .../datasets/D... */
static void
handle_dataset(struct bigquery *bq, struct str project, struct str *part, int n, struct request *req,
    struct reply *rep)
{
	struct bq_dataset *d = bq_dataset_find(bq, project, part[0]);

	if (n == 1)
		bq_dataset(bq, project, part[0], req, rep);
	else if (!str_is(part[1], "tables"))
		unknown_path(req, rep);
	else if (d == NULL)
		reply_error(rep, 404, "notFound", "Not found: Dataset %.*s:%.*s", STR_ARG(project),
		    STR_ARG(part[0]));
	else if (n == 2)
		bq_tables(bq, d, req, rep);
	else
		handle_table(bq, d, part + 2, n - 2, req, rep);
}

/* /projects/P/... */
static void
handle_project(struct bigquery *bq, struct str project, struct str *part, int n, struct request *req,
    struct reply *rep)
{
	if (!project_fits(project))
		reply_error(rep, 400, "invalid", "Invalid project ID '%.*s'.", STR_ARG(project));
	else if (n == 1 && str_is(part[0], "datasets"))
		bq_datasets(bq, project, req, rep);
	else if (n >= 2 && str_is(part[0], "datasets"))
		handle_dataset(bq, project, part + 1, n - 1, req, rep);
	else if (n == 1 && str_is(part[0], "queries") && is(req, "POST"))
		bq_query(bq, project, req, rep);
	else if (n == 2 && str_is(part[0], "queries") && is(req, "GET"))
		bq_query_results(bq, project, part[1], req, rep);
	else if (n == 1 && str_is(part[0], "jobs") && is(req, "POST"))
		bq_jobs_insert(bq, project, req, rep);
	else if (n == 1 && str_is(part[0], "jobs") && is(req, "GET"))
		bq_loads_list(bq, project, req, rep);
	else if (n == 2 && str_is(part[0], "jobs") && is(req, "GET"))
		bq_jobs_get(bq, project, part[1], rep);
	else
		unknown_path(req, rep);
}

enum emu_answer
bigquery_handle(struct emu *emu, struct request *req, struct reply *rep)
{
	struct buf scratch = BUF_INIT(64 * KIB);
	struct str path = req->path, part[PARTS];
	int n;

	if (str_starts(path, STR("/bigquery/v2/")))
		path = str_skip(path, sizeof("/bigquery/v2") - 1);
	n = path_split(path, &scratch, part, PARTS);
	if (n == 1 && str_is(part[0], "projects") && is(req, "GET"))
		bq_projects_list(emu->bigquery, rep);
	else if (n >= 3 && str_is(part[0], "projects"))
		handle_project(emu->bigquery, part[1], part + 2, n - 2, req, rep);
	else
		unknown_path(req, rep);
	buf_release(&scratch);
	return EMU_DONE;
}

/* ---- what --schemas makes ---- */

static void
write_fields(struct jsonw *w, const struct schema *s, uint32_t first, uint32_t count)
{
	jsonw_array(w);
	for (uint32_t i = first; i < first + count; i++) {
		const struct schema_field *f = &s->fields[i];

		jsonw_object(w);
		jsonw_member(w, "name", f->name);
		jsonw_member(w, "type", str_of(schema_type_name(f->type)));
		jsonw_member(w, "mode", str_of(schema_mode_name(f->mode)));
		if (f->description.n > 0)
			jsonw_member(w, "description", f->description);
		if (f->type == FIELD_RECORD) {
			jsonw_key(w, "fields");
			write_fields(w, s, f->first, f->count);
		}
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void
write_resource(struct jsonw *w, const struct schema *s, const struct schema_table *t)
{
	jsonw_object(w);
	if (t->description.n > 0)
		jsonw_member(w, "description", t->description);
	jsonw_key(w, "schema");
	jsonw_object(w);
	jsonw_key(w, "fields");
	write_fields(w, s, t->first, t->count);
	jsonw_end(w);
	jsonw_key(w, "timePartitioning");
	jsonw_object(w);
	jsonw_member(w, "type", t->partition_type);
	jsonw_member(w, "field", s->fields[t->partition].name);
	jsonw_end(w);
	if (t->cluster_count > 0) {
		jsonw_key(w, "clustering");
		jsonw_object(w);
		jsonw_key(w, "fields");
		jsonw_array(w);
		for (uint32_t i = 0; i < t->cluster_count; i++)
			jsonw_str(w, s->words[t->cluster_first + i]);
		jsonw_end(w);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static int
default_table(struct bigquery *bq, struct bq_dataset *d, const struct schema_table *t, struct err *e)
{
	struct buf text = BUF_INIT(LIMIT_SCHEMA_FILE * 2);
	struct jsonw w = jsonw_to(&text);
	int rc;

	write_resource(&w, bq->emu->schema, t);
	rc = json_read(&bq->json, buf_str(&text), e);
	if (rc == 0)
		rc = bq_table_from_resource(bq, d, t->name, 0, e);
	buf_release(&text);
	if (rc < 0)
		err_wrap(e, "cannot make table '%.*s' of --schemas", STR_ARG(t->name));
	return rc;
}

int
bigquery_defaults(struct emu *emu, struct err *e)
{
	struct bigquery *bq = emu->bigquery;
	struct str project = str_of(emu->project), id = STR("ecommerce_events");
	struct bq_dataset *d;

	if (!project_fits(project))
		return err_set(e, ERR_USAGE, "cannot make dataset 'ecommerce_events': '%s' is no project id",
		    emu->project);
	d = bq_dataset_find(bq, project, id);
	if (d == NULL)
		d = bq_dataset_create(bq, project, id, (struct str){xstrdup("{}"), 2}, e);
	if (d == NULL)
		return -1;
	for (uint32_t i = 0; emu->schema != NULL && i < emu->schema->ntables; i++)
		if (bq_table_find(d, emu->schema->tables[i].name) == NULL &&
		    default_table(bq, d, &emu->schema->tables[i], e) < 0)
			return -1;
	return 0;
}
