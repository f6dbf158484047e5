/* ps_topics: topics, and lists of names in pages. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "num.h"
#include "ps.h"
#include "xalloc.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

struct topic *
topic_get(struct pubsub *p, struct str name)
{
	return map_get(&p->topics, name);
}

struct topic *
topic_add(struct pubsub *p, struct str name, uint64_t uid)
{
	struct topic *t = xcalloc(1, sizeof(*t));
	t->uid = uid;
	t->name = str_dup(name);
	map_put(&p->topics, str_of(t->name), t);
	return t;
}

void
topic_free(struct topic *t)
{
	free(t->name);
	free(t->labels);
	free(t);
}

void
topic_remove(struct pubsub *p, struct topic *t)
{
	for (size_t i = 0; i < p->nlist; i++) {
		if (p->list[i]->topic == t)
			p->list[i]->topic = NULL;
	}
	map_del(&p->topics, str_of(t->name));
	topic_free(t);
}

void
topic_write(const struct topic *t, struct jsonw *w)
{
	jsonw_object(w);
	jsonw_member(w, "name", str_of(t->name));
	if (t->labels != NULL) {
		jsonw_key(w, "labels");
		jsonw_raw(w, str_of(t->labels));
	}
	if (t->retention > 0)
		ps_write_duration(w, "messageRetentionDuration", t->retention);
	jsonw_member(w, "state", STR("ACTIVE"));
	jsonw_end(w);
}

static bool
given(const struct ps_call *c, uint32_t object, const char *name)
{
	uint32_t t = json_get(c->j, object, name);
	return (json_is(c->j, t, JSON_OBJECT) || json_is(c->j, t, JSON_ARRAY)) && c->j->tok[t].count > 0;
}

bool
topic_read(struct ps_call *c, struct topic *t, uint32_t object)
{
	if (given(c, object, "schemaSettings") || given(c, object, "messageTransforms") ||
	    given(c, object, "ingestionDataSourceSettings")) {
		ps_not_emulated(c, "A topic with schemaSettings, messageTransforms or ingestionDataSourceSettings");
		return false;
	}
	char *labels;
	if (!ps_labels(c->j, json_get(c->j, object, "labels"), &labels)) {
		ps_bad(c, "Invalid value at 'topic.labels', not an object of at most 64 strings");
		return false;
	}
	free(t->labels);
	t->labels = labels;
	uint32_t r = json_get(c->j, object, "messageRetentionDuration");
	t->retention = 0;
	if (r == JSON_NONE || json_is(c->j, r, JSON_NULL))
		return true;
	if (ps_duration(json_text(c->j, r), &t->retention) && t->retention >= SECONDS(600) &&
	    t->retention <= SECONDS(31 * 86400))
		return true;
	ps_bad(c, "Invalid value at 'topic.message_retention_duration': it must be between 600s and 2678400s");
	return false;
}

static enum emu_answer
reply_topic(struct ps_call *c, const struct topic *t)
{
	struct jsonw w = jsonw_to(&c->rep->body);
	topic_write(t, &w);
	buf_addc(&c->rep->body, '\n');
	return EMU_DONE;
}

static enum emu_answer
create(struct ps_call *c)
{
	struct pubsub *p = c->p;
	const char *why = ps_check_project(c->project);
	if (why == NULL)
		why = ps_check_id(c->id);
	if (why != NULL)
		return ps_bad(c, "Invalid [topics] name: (name=%.*s): %s.", STR_ARG(c->name), why);
	if (topic_get(p, c->name) != NULL) {
		reply_rpc_error(c->rep, 409, "ALREADY_EXISTS", "Topic already exists (resource=%.*s).", STR_ARG(c->id));
		return EMU_DONE;
	}
	if (!ps_body(c))
		return EMU_DONE;
	if (p->topics.n >= PS_NAMES_MAX)
		return ps_bad(c, "gcp-emu holds at most %d topics.", PS_NAMES_MAX);
	struct topic *t = topic_add(p, c->name, p->next_uid++);
	if (topic_read(c, t, 0)) {
		journal_topic(&p->journal, t);
		if (ps_commit(c))
			return reply_topic(c, t);
	}
	topic_remove(p, t);
	return EMU_DONE;
}

static enum emu_answer
update(struct ps_call *c, struct topic *t)
{
	struct topic changed = {.uid = t->uid, .name = t->name, .retention = t->retention};
	changed.labels = t->labels != NULL ? xstrdup(t->labels) : NULL;
	if (!ps_body(c))
		goto out;
	uint32_t object = json_get(c->j, 0, "topic");
	struct str mask = json_text(c->j, json_get(c->j, 0, "updateMask"));
	if (mask.n == 0) {
		ps_bad(c,
		    "The update_mask in the UpdateTopicRequest must be set, and must contain a non-empty paths list.");
		goto out;
	}
	/* What can be changed is read as a whole; what the mask leaves out stays as it was. */
	if (!topic_read(c, &changed, object))
		goto out;
	struct str m = mask;
	bool labels = false, retention = false;
	while (m.n > 0) {
		struct str part = {m.p, str_find(m, ',')};
		m = str_skip(m, part.n + 1);
		labels |= str_starts(part, STR("labels"));
		retention |= str_is(part, "messageRetentionDuration") || str_is(part, "message_retention_duration");
	}
	struct topic before = *t;
	if (labels)
		t->labels = changed.labels;
	if (retention)
		t->retention = changed.retention;
	journal_topic(&c->p->journal, t);
	if (!ps_commit(c)) {
		*t = before;
		goto out;
	}
	if (labels)
		changed.labels = before.labels;
	reply_topic(c, t);
out:
	free(changed.labels);
	return EMU_DONE;
}

static enum emu_answer
delete(struct ps_call *c, struct topic *t)
{
	journal_topic_gone(&c->p->journal, t);
	if (ps_commit(c)) {
		topic_remove(c->p, t);
		buf_addz(&c->rep->body, "{}\n");
	}
	return EMU_DONE;
}

static int
by_name(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void
ps_write_page(struct ps_call *c, struct ps_names *names, const char *member,
    void (*write)(struct pubsub *p, struct str name, struct jsonw *w))
{
	int64_t size = PAGE_DEFAULT;
	struct str token = request_query(c->req, "pageToken");
	if (!num_i64(request_query(c->req, "pageSize"), &size) || size <= 0)
		size = PAGE_DEFAULT;
	if (size > PAGE_MAX)
		size = PAGE_MAX;
	qsort(names->v, names->n, sizeof(*names->v), by_name);
	size_t i = 0;
	while (i < names->n && token.n > 0 && str_cmp(names->v[i], token) <= 0)
		i++;
	struct jsonw w = jsonw_to(&c->rep->body);
	jsonw_object(&w);
	if (i < names->n) {
		jsonw_key(&w, member);
		jsonw_array(&w);
		for (; i < names->n && size > 0; i++, size--)
			write(c->p, names->v[i], &w);
		jsonw_end(&w);
		if (i < names->n)
			jsonw_member(&w, "nextPageToken", names->v[i - 1]);
	}
	jsonw_end(&w);
	buf_addc(&c->rep->body, '\n');
}

static void
write_one(struct pubsub *p, struct str name, struct jsonw *w)
{
	topic_write(topic_get(p, name), w);
}

static void
write_name(struct pubsub *p, struct str name, struct jsonw *w)
{
	(void)p;
	jsonw_str(w, name);
}

static enum emu_answer
list(struct ps_call *c)
{
	struct ps_names names = {.v = xcalloc(c->p->topics.n + 1, sizeof(struct str))};
	struct buf prefix = BUF_INIT(4096);
	size_t at = 0;
	buf_addf(&prefix, "projects/%.*s/", STR_ARG(c->project));
	for (struct map_slot *m; (m = map_each(&c->p->topics, &at)) != NULL;) {
		if (str_starts(m->key, buf_str(&prefix)))
			names.v[names.n++] = m->key;
	}
	ps_write_page(c, &names, "topics", write_one);
	buf_release(&prefix);
	free(names.v);
	return EMU_DONE;
}

static enum emu_answer
list_subscriptions(struct ps_call *c, const struct topic *t)
{
	struct ps_names names = {.v = xcalloc(c->p->nlist + 1, sizeof(struct str))};
	for (size_t i = 0; i < c->p->nlist; i++) {
		if (c->p->list[i]->topic == t)
			names.v[names.n++] = str_of(c->p->list[i]->name);
	}
	ps_write_page(c, &names, "subscriptions", write_name);
	free(names.v);
	return EMU_DONE;
}

enum emu_answer
ps_topics_handle(struct ps_call *c)
{
	if (c->id.p == NULL)
		return ps_wants(c, "GET", NULL) ? list(c) : ps_no_method(c);
	if (c->rest.p == NULL && ps_wants(c, "PUT", NULL))
		return create(c);
	struct topic *t = topic_get(c->p, c->name);
	if (c->rest.p == NULL && ps_wants(c, "POST", "testIamPermissions"))
		return ps_permissions(c, t != NULL);
	if (t == NULL)
		return ps_missing(c, "Topic", c->id);
	if (c->rest.p != NULL) {
		if (!ps_wants(c, "GET", NULL))
			return ps_no_method(c);
		if (str_is(c->rest, "subscriptions"))
			return list_subscriptions(c, t);
		return str_is(c->rest, "snapshots") ? ps_not_emulated(c, "A snapshot") : ps_no_method(c);
	}
	if (ps_wants(c, "POST", "publish"))
		return ps_publish(c, t);
	if (ps_wants(c, "GET", NULL))
		return reply_topic(c, t);
	if (ps_wants(c, "PATCH", NULL))
		return update(c, t);
	if (ps_wants(c, "DELETE", NULL))
		return delete(c, t);
	if (ps_wants(c, "GET", "getIamPolicy") || ps_wants(c, "POST", "setIamPolicy"))
		return ps_not_emulated(c, "An IAM policy");
	return ps_no_method(c);
}
