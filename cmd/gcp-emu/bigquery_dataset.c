/* Datasets as the REST API shows and takes them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "bounds.h"
#include "xalloc.h"

static const char *const dataset_members[] = {"friendlyName", "description", "labels", "location", "access",
    "defaultTableExpirationMs", "defaultPartitionExpirationMs", "maxTimeTravelHours", NULL};

static void
write_dataset_reference(struct jsonw *w, const struct bq_dataset *d)
{
	jsonw_key(w, "datasetReference");
	jsonw_object(w);
	jsonw_member(w, "datasetId", d->id);
	jsonw_member(w, "projectId", d->project);
	jsonw_end(w);
}

static void
write_dataset(const struct bq_dataset *d, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);
	struct json j = {0};
	char link[1024];

	snprintf(link, sizeof(link), "/bigquery/v2/projects/%.*s/datasets/%.*s", STR_ARG(d->project),
	    STR_ARG(d->id));
	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("bigquery#dataset"));
	bq_member_i64(&w, "etag", d->modified);
	jsonw_member(&w, "id", d->key);
	jsonw_member(&w, "selfLink", str_of(link));
	write_dataset_reference(&w, d);
	if (json_parse(&j, d->extra) == JSON_OK) {
		bq_members_copy(&w, &j, 0, dataset_members);
		if (json_get(&j, 0, "location") == JSON_NONE)
			jsonw_member(&w, "location", STR("US"));
	}
	bq_member_i64(&w, "creationTime", d->created);
	bq_member_i64(&w, "lastModifiedTime", d->modified);
	jsonw_member(&w, "type", STR("DEFAULT"));
	jsonw_end(&w);
	json_release(&j);
}

static bool
dataset_name_fits(struct str id)
{
	for (size_t i = 0; i < id.n; i++)
		if (id.p[i] != '_' && !(id.p[i] >= '0' && id.p[i] <= '9') &&
		    !((id.p[i] | 0x20) >= 'a' && (id.p[i] | 0x20) <= 'z'))
			return false;
	return id.n > 0 && id.n <= BQ_DATASET_NAME_MAX;
}

static void
insert_dataset(struct bigquery *bq, struct str project, struct request *req, struct reply *rep)
{
	struct bq_dataset *d;
	struct err e;
	char *id;

	if (!bq_body(bq, req, rep))
		return;
	id = json_dup(&bq->json, json_get(&bq->json, json_get(&bq->json, 0, "datasetReference"),
	    "datasetId"));
	if (id == NULL) {
		reply_error(rep, 400, "required", "Required parameter is missing: "
		    "datasetReference.datasetId");
	} else if (!dataset_name_fits(str_of(id))) {
		reply_error(rep, 400, "invalid", "Invalid dataset ID \"%.100s\". Dataset IDs must be "
		    "alphanumeric (plus underscores) and must be at most %d characters long.", id,
		    BQ_DATASET_NAME_MAX);
	} else if (bq_dataset_find(bq, project, str_of(id)) != NULL) {
		reply_error(rep, 409, "duplicate", "Already Exists: Dataset %.*s:%s", STR_ARG(project), id);
	} else {
		d = bq_dataset_create(bq, project, str_of(id), bq_keep_members(bq, 0, dataset_members), &e);
		if (d == NULL)
			bq_failed(rep, &e);
		else
			write_dataset(d, rep);
	}
	free(id);
}

static void
list_datasets(struct bigquery *bq, struct str project, struct request *req, struct reply *rep)
{
	char *prefix = xasprintf("%.*s:", STR_ARG(project));
	struct jsonw w = jsonw_to(&rep->body);
	size_t n, from, to;
	struct str *names = bq_names(&bq->datasets, str_of(prefix), &n);

	if (bq_page(req, rep, n, &from, &to)) {
		jsonw_object(&w);
		jsonw_member(&w, "kind", STR("bigquery#datasetList"));
		jsonw_key(&w, "datasets");
		jsonw_array(&w);
		for (size_t i = from; i < to; i++) {
			const struct bq_dataset *d = bq_dataset_find(bq, project, names[i]);

			jsonw_object(&w);
			jsonw_member(&w, "kind", STR("bigquery#dataset"));
			jsonw_member(&w, "id", d->key);
			write_dataset_reference(&w, d);
			jsonw_member(&w, "location", STR("US"));
			jsonw_end(&w);
		}
		jsonw_end(&w);
		if (to < n && to > from)
			bq_member_i64(&w, "nextPageToken", (int64_t)to);
		jsonw_end(&w);
	}
	free(names);
	free(prefix);
}

void
bq_datasets(struct bigquery *bq, struct str project, struct request *req, struct reply *rep)
{
	if (bq_is(req, "GET"))
		list_datasets(bq, project, req, rep);
	else if (bq_is(req, "POST"))
		insert_dataset(bq, project, req, rep);
	else
		bq_no_method(req, rep);
}

static void
patch_dataset(struct bigquery *bq, struct bq_dataset *d, struct request *req, struct reply *rep)
{
	struct buf out = BUF_INIT(1 * MIB);
	struct jsonw w = jsonw_to(&out);
	struct json old = {0};
	struct err e;

	if (!bq_body(bq, req, rep))
		return;
	if (json_parse(&old, d->extra) != JSON_OK)
		json_parse(&old, STR("{}"));
	jsonw_object(&w);
	for (size_t i = 0; dataset_members[i] != NULL; i++) {
		const char *const one[] = {dataset_members[i], NULL};

		if (json_get(&bq->json, 0, dataset_members[i]) != JSON_NONE)
			bq_members_copy(&w, &bq->json, 0, one);
		else if (bq_is(req, "PATCH"))
			bq_members_copy(&w, &old, 0, one);
	}
	jsonw_end(&w);
	free((char *)d->extra.p);
	d->extra = (struct str){str_dup(buf_str(&out)), out.n};
	d->modified = bq->emu->wall / 1000;
	if (bq_dataset_save(d, &e) < 0)
		bq_failed(rep, &e);
	else
		write_dataset(d, rep);
	json_release(&old);
	buf_release(&out);
}

void
bq_dataset(struct bigquery *bq, struct str project, struct str id, struct request *req, struct reply *rep)
{
	struct bq_dataset *d = bq_dataset_find(bq, project, id);
	struct err e;

	if (d == NULL)
		reply_error(rep, 404, "notFound", "Not found: Dataset %.*s:%.*s", STR_ARG(project),
		    STR_ARG(id));
	else if (bq_is(req, "GET"))
		write_dataset(d, rep);
	else if (bq_is(req, "PATCH") || bq_is(req, "PUT"))
		patch_dataset(bq, d, req, rep);
	else if (!bq_is(req, "DELETE"))
		bq_no_method(req, rep);
	else if (d->tables.n > 0 && !str_is(request_query(req, "deleteContents"), "true"))
		reply_error(rep, 400, "resourceInUse", "Dataset %.*s is still in use", STR_ARG(d->key));
	else if (bq_dataset_delete(d, &e) < 0)
		bq_failed(rep, &e);
	else
		bq_no_content(rep);
}
