/* ps_subs: subscriptions. */
#include <stdlib.h>
#include <string.h>

#include "ps.h"
#include "xalloc.h"

struct sub *
sub_get(struct pubsub *p, struct str name)
{
	return map_get(&p->subs, name);
}

struct sub *
sub_by_uid(struct pubsub *p, uint64_t uid)
{
	for (size_t i = 0; i < p->nlist; i++) {
		if (p->list[i]->uid == uid)
			return p->list[i];
	}
	return NULL;
}

struct sub *
sub_add(struct pubsub *p, struct str name, uint64_t uid, struct topic *t, struct sub_config *config)
{
	struct sub *s = xcalloc(1, sizeof(*s));
	s->uid = uid;
	s->name = str_dup(name);
	s->topic = t;
	s->c = *config;
	s->free = NIL;
	s->ready = s->dying = (struct slot_list){NIL, NIL, 0};
	map_put(&p->subs, str_of(s->name), s);
	if (p->nlist == p->caplist) {
		p->caplist = p->caplist > 0 ? p->caplist * 2 : 16;
		p->list = xreallocarray(p->list, p->caplist, sizeof(*p->list));
	}
	p->list[p->nlist++] = s;
	return s;
}

void
sub_free(struct pubsub *p, struct sub *s)
{
	queue_release(p, s);
	sub_config_release(&s->c);
	free(s->name);
	free(s);
}

void
sub_remove(struct pubsub *p, struct sub *s)
{
	size_t i = 0;
	while (p->list[i] != s)
		i++;
	memmove(&p->list[i], &p->list[i + 1], (p->nlist - i - 1) * sizeof(*p->list));
	p->nlist--;
	map_del(&p->subs, str_of(s->name));
	sub_free(p, s);
	/* Those who wait for its messages are to hear that it is gone. */
	emu_wake(p->emu);
}

static enum emu_answer
reply_sub(struct ps_call *c, const struct sub *s)
{
	struct jsonw w = jsonw_to(&c->rep->body);
	sub_write(s, &w);
	buf_addc(&c->rep->body, '\n');
	return EMU_DONE;
}

/* The topic that the body names, or NULL with the reply filled. */
static struct topic *
topic_of_body(struct ps_call *c)
{
	struct str name = json_string(c->j, json_get(c->j, 0, "topic"), &c->p->scratch);
	const char *why = name.p == NULL ? "it is missing" : ps_check_name(name, "topics");
	if (why != NULL) {
		ps_bad(c, "Invalid [topics] name: (name=%.*s): %s.", (int)name.n, name.p != NULL ? name.p : "", why);
		return NULL;
	}
	struct topic *t = topic_get(c->p, name);
	if (t == NULL)
		ps_missing(c, "Subscription topic", name);
	return t;
}

static enum emu_answer
create(struct ps_call *c)
{
	struct pubsub *p = c->p;
	struct sub_config config;
	const char *why = ps_check_project(c->project);
	if (why == NULL)
		why = ps_check_id(c->id);
	if (why != NULL)
		return ps_bad(c, "Invalid [subscriptions] name: (name=%.*s): %s.", STR_ARG(c->name), why);
	if (sub_get(p, c->name) != NULL) {
		reply_rpc_error(c->rep, 409, "ALREADY_EXISTS", "Subscription already exists (resource=%.*s).",
		    STR_ARG(c->id));
		return EMU_DONE;
	}
	if (!ps_body(c))
		return EMU_DONE;
	struct topic *t = topic_of_body(c);
	if (t == NULL)
		return EMU_DONE;
	if (p->nlist >= PS_NAMES_MAX)
		return ps_bad(c, "gcp-emu holds at most %d subscriptions.", PS_NAMES_MAX);
	sub_config_default(&config);
	if (!sub_config_read(c, &config, 0, NULL, false)) {
		sub_config_release(&config);
		return EMU_DONE;
	}
	struct sub *s = sub_add(p, c->name, p->next_uid++, t, &config);
	journal_sub(&p->journal, s);
	if (ps_commit(c))
		return reply_sub(c, s);
	sub_remove(p, s);
	return EMU_DONE;
}

static enum emu_answer
update(struct ps_call *c, struct sub *s)
{
	struct sub_config changed, before = s->c;
	if (!ps_body(c))
		return EMU_DONE;
	uint32_t object = json_get(c->j, 0, "subscription");
	char *mask = json_dup(c->j, json_get(c->j, 0, "updateMask"));
	sub_config_copy(&changed, &s->c);
	if (!sub_config_read(c, &changed, object, mask != NULL ? mask : "", false)) {
		sub_config_release(&changed);
		goto out;
	}
	s->c = changed;
	journal_sub(&c->p->journal, s);
	if (!ps_commit(c)) {
		s->c = before;
		sub_config_release(&changed);
		goto out;
	}
	sub_config_release(&before);
	reply_sub(c, s);
out:
	free(mask);
	return EMU_DONE;
}

static enum emu_answer
delete(struct ps_call *c, struct sub *s)
{
	journal_sub_gone(&c->p->journal, s);
	if (ps_commit(c)) {
		sub_remove(c->p, s);
		buf_addz(&c->rep->body, "{}\n");
	}
	return EMU_DONE;
}

static void
write_one(struct pubsub *p, struct str name, struct jsonw *w)
{
	sub_write(sub_get(p, name), w);
}

static enum emu_answer
list(struct ps_call *c)
{
	struct ps_names names = {.v = xcalloc(c->p->nlist + 1, sizeof(struct str))};
	struct buf prefix = BUF_INIT(4096);
	buf_addf(&prefix, "projects/%.*s/", STR_ARG(c->project));
	for (size_t i = 0; i < c->p->nlist; i++) {
		struct str name = str_of(c->p->list[i]->name);
		if (str_starts(name, buf_str(&prefix)))
			names.v[names.n++] = name;
	}
	ps_write_page(c, &names, "subscriptions", write_one);
	buf_release(&prefix);
	free(names.v);
	return EMU_DONE;
}

static void
write_count(struct jsonw *w, const char *key, uint64_t n)
{
	jsonw_key(w, key);
	jsonw_i64(w, (int64_t)n);
}

enum emu_answer
ps_emu_stats(struct ps_call *c)
{
	const struct sub *s = c->id.p != NULL ? sub_get(c->p, c->name) : NULL;
	if (s == NULL)
		return ps_missing(c, "Subscription", c->id);
	if (!str_is(str_of(c->req->method), "GET"))
		return ps_no_method(c);
	struct jsonw w = jsonw_to(&c->rep->body);
	jsonw_object(&w);
	write_count(&w, "backlog", s->n);
	write_count(&w, "outstanding", s->leased);
	write_count(&w, "delivered", s->counts.delivered);
	write_count(&w, "acked", s->counts.acked);
	write_count(&w, "redelivered", s->counts.redelivered);
	write_count(&w, "expired", s->counts.expired);
	write_count(&w, "dead_lettered", s->counts.dead);
	jsonw_end(&w);
	buf_addc(&c->rep->body, '\n');
	return EMU_DONE;
}

/* The verbs of a subscription that exists. */
static enum emu_answer
verb(struct ps_call *c, struct sub *s)
{
	if (!str_is(str_of(c->req->method), "POST"))
		return str_is(c->verb, "getIamPolicy") ? ps_not_emulated(c, "An IAM policy") : ps_no_method(c);
	if (str_is(c->verb, "pull"))
		return ps_pull(c, s);
	if (str_is(c->verb, "acknowledge"))
		return ps_acknowledge(c, s);
	if (str_is(c->verb, "modifyAckDeadline"))
		return ps_modify_deadline(c, s);
	if (str_is(c->verb, "seek"))
		return ps_seek(c, s);
	if (str_is(c->verb, "modifyPushConfig"))
		return ps_not_emulated(c, "A push subscription");
	if (str_is(c->verb, "detach"))
		return ps_not_emulated(c, "Detaching a subscription");
	if (str_is(c->verb, "setIamPolicy"))
		return ps_not_emulated(c, "An IAM policy");
	return ps_no_method(c);
}

enum emu_answer
ps_subs_handle(struct ps_call *c)
{
	if (c->id.p == NULL)
		return ps_wants(c, "GET", NULL) ? list(c) : ps_no_method(c);
	if (c->rest.p != NULL)
		return ps_no_method(c);
	if (ps_wants(c, "PUT", NULL))
		return create(c);
	struct sub *s = sub_get(c->p, c->name);
	if (ps_wants(c, "POST", "testIamPermissions"))
		return ps_permissions(c, s != NULL);
	if (s == NULL)
		return ps_missing(c, "Subscription", c->id);
	if (c->verb.p != NULL)
		return verb(c, s);
	if (ps_wants(c, "GET", NULL))
		return reply_sub(c, s);
	if (ps_wants(c, "PATCH", NULL))
		return update(c, s);
	if (ps_wants(c, "DELETE", NULL))
		return delete(c, s);
	return ps_no_method(c);
}
