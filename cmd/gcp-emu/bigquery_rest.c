/*
 * What the calls of the REST API have in common: bodies, parameters, pages, errors; and its smallest calls.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bigquery.h"
#include "bounds.h"
#include "log.h"
#include "num.h"
#include "xalloc.h"

#define LIST_MAX 10000


void
bq_member_i64(struct jsonw *w, const char *name, int64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)v);
	jsonw_member(w, name, str_of(text));
}

int64_t
bq_param(const struct request *req, const char *name, int64_t def, int64_t max)
{
	struct str s = request_query(req, name);
	int64_t v;

	if (s.n == 0)
		return def;
	return num_i64(s, &v) && v >= 0 && v <= max ? v : -1;
}

bool
bq_body(struct bigquery *bq, struct request *req, struct reply *rep)
{
	struct str text = str_trim(req->body).n > 0 ? req->body : STR("{}");
	enum json_result r = json_parse(&bq->json, text);

	if (r == JSON_OK && bq->json.depth <= LIMIT_DEPTH && json_is(&bq->json, 0, JSON_OBJECT))
		return true;
	reply_error(rep, 400, "parseError", "Invalid JSON payload received. %s", r != JSON_OK ? bq->json.why :
	    bq->json.depth > LIMIT_DEPTH ? "It is nested too deeply." : "It is not an object.");
	return false;
}

bool
bq_is(const struct request *req, const char *method)
{
	return strcmp(req->method, method) == 0;
}

void
bq_no_method(struct request *req, struct reply *rep)
{
	reply_error(rep, 404, "notFound", "gcp-emu knows no %s here", req->method);
}

void
bq_failed(struct reply *rep, const struct err *e)
{
	if (e->class != ERR_INPUT)
		log_error("%s", e->text);
	if (e->class == ERR_INPUT)
		reply_error(rep, 400, "invalid", "%s", e->text);
	else
		reply_error(rep, 500, "internalError", "%s", e->text);
}

void
bq_no_content(struct reply *rep)
{
	rep->status = 204;
}

/* The members to keep of bq->json's object, as a text of its own. */
struct str
bq_keep_members(struct bigquery *bq, uint32_t object, const char *const *names)
{
	struct buf out = BUF_INIT(1 * MIB);
	struct jsonw w = jsonw_to(&out);
	struct str s;

	jsonw_object(&w);
	bq_members_copy(&w, &bq->json, object, names);
	jsonw_end(&w);
	s = (struct str){str_dup(buf_str(&out)), out.n};
	buf_release(&out);
	return s;
}

/* The page of a sorted list that maxResults and pageToken ask for: false after an error reply. */
bool
bq_page(const struct request *req, struct reply *rep, size_t n, size_t *from, size_t *to)
{
	int64_t max = bq_param(req, "maxResults", 1000, UINT32_MAX),
	    token = bq_param(req, "pageToken", 0, INT64_MAX);

	if (max < 0 || token < 0) {
		reply_error(rep, 400, "invalid", "Invalid value for %s", max < 0 ? "maxResults" :
		    "pageToken");
		return false;
	}
	if (max > LIST_MAX)
		max = LIST_MAX;
	*from = (size_t)token < n ? (size_t)token : n;
	*to = n - *from > (size_t)max ? *from + (size_t)max : n;
	return true;
}

void
bq_projects_list(struct bigquery *bq, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);
	struct str project = str_of(bq->emu->project);

	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("bigquery#projectList"));
	jsonw_key(&w, "projects");
	jsonw_array(&w);
	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("bigquery#project"));
	jsonw_member(&w, "id", project);
	jsonw_member(&w, "numericId", STR("1"));
	jsonw_member(&w, "friendlyName", project);
	jsonw_key(&w, "projectReference");
	jsonw_object(&w);
	jsonw_member(&w, "projectId", project);
	jsonw_end(&w);
	jsonw_end(&w);
	jsonw_end(&w);
	jsonw_key(&w, "totalItems");
	jsonw_i64(&w, 1);
	jsonw_end(&w);
}

/* Everyone may do everything here. */
void
bq_test_permissions(struct bigquery *bq, struct request *req, struct reply *rep)
{
	struct jsonw w = jsonw_to(&rep->body);
	uint32_t asked;

	if (!bq_body(bq, req, rep))
		return;
	asked = json_get(&bq->json, 0, "permissions");
	jsonw_object(&w);
	if (json_is(&bq->json, asked, JSON_ARRAY)) {
		jsonw_key(&w, "permissions");
		jsonw_raw(&w, json_raw(&bq->json, asked));
	}
	jsonw_end(&w);
}
