/*
 * ps_load: the journal read back. A line is one of
 *
 *	N NEXT-ID NEXT-UID            counters that must not run back
 *	T UID {TOPIC}                 a topic is made or changed; t UID: deleted
 *	S UID {SUBSCRIPTION}          a subscription is made or changed; s UID: deleted
 *	P TOPIC ID TIME {MESSAGE}     published: every subscription of the topic has it
 *	M 0 ID TIME {MESSAGE}         exists; U lines tell who has it
 *	U SUBSCRIPTION ID...          has these
 *	A SUBSCRIPTION ID...          has acknowledged these
 */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "num.h"
#include "ps.h"
#include "xalloc.h"

/* What a subscription has, by ascending id, until the end is reached and it is known what is left. */
struct holding {
	struct sub *s;
	struct held {
		uint64_t id;
		struct message *m; /* a reference; NULL: acknowledged */
	} *v;
	size_t n, cap;
};

struct loader {
	struct pubsub *p;
	struct ps_call call;   /* for the readers of settings, which speak to a client */
	struct request req;
	struct reply rep;
	struct message **made; /* by M lines, by id; a reference each */
	size_t nmade, capmade;
	struct holding *holdings; /* one a subscription, in the order of pubsub.list */
};

static bool
word(struct str *rest, uint64_t *out)
{
	int64_t v;
	size_t n = str_find(*rest, ' ');
	bool ok = num_i64((struct str){rest->p, n}, &v) && v >= 0;
	*rest = str_skip(*rest, n + 1);
	*out = ok ? (uint64_t)v : 0;
	return ok;
}

static void
hold(struct holding *h, struct message *m)
{
	if (h->n == h->cap) {
		h->cap = h->cap > 0 ? h->cap * 2 : 256;
		h->v = xreallocarray(h->v, h->cap, sizeof(*h->v));
	}
	h->v[h->n++] = (struct held){m->id, m};
	m->refs++;
}

static void
let_go(struct loader *l, struct holding *h)
{
	for (size_t i = 0; i < h->n; i++)
		message_unref(l->p, h->v[i].m);
	free(h->v);
}

static struct holding *
holding_by_uid(struct loader *l, uint64_t uid)
{
	for (size_t i = 0; i < l->p->nlist; i++) {
		if (l->p->list[i]->uid == uid)
			return &l->holdings[i];
	}
	return NULL;
}

static struct topic *
topic_by_uid(struct pubsub *p, uint64_t uid)
{
	size_t at = 0;
	for (struct map_slot *m; (m = map_each(&p->topics, &at)) != NULL;) {
		struct topic *t = m->value;
		if (t->uid == uid)
			return t;
	}
	return NULL;
}

static bool
load_topic(struct loader *l, uint64_t uid, struct str json)
{
	struct pubsub *p = l->p;
	if (json_parse(&p->json, json) != JSON_OK)
		return false;
	struct str name = json_text(&p->json, json_get(&p->json, 0, "name"));
	if (ps_check_name(name, "topics") != NULL)
		return false;
	struct topic *t = topic_by_uid(p, uid);
	if (t == NULL)
		t = topic_add(p, name, uid);
	if (uid >= p->next_uid)
		p->next_uid = uid + 1;
	return topic_read(&l->call, t, 0);
}

static bool
load_sub(struct loader *l, uint64_t uid, struct str json)
{
	struct pubsub *p = l->p;
	struct sub_config config;
	if (json_parse(&p->json, json) != JSON_OK)
		return false;
	struct str name = json_text(&p->json, json_get(&p->json, 0, "name"));
	struct str topic = json_text(&p->json, json_get(&p->json, 0, "topic"));
	if (ps_check_name(name, "subscriptions") != NULL)
		return false;
	sub_config_default(&config);
	if (!sub_config_read(&l->call, &config, 0, NULL, true)) {
		sub_config_release(&config);
		return false;
	}
	struct sub *s = sub_by_uid(p, uid);
	if (s != NULL) {
		sub_config_release(&s->c);
		s->c = config;
	} else {
		s = sub_add(p, name, uid, topic_get(p, topic), &config);
		l->holdings = xreallocarray(l->holdings, p->nlist, sizeof(*l->holdings));
		l->holdings[p->nlist - 1] = (struct holding){.s = s};
	}
	if (uid >= p->next_uid)
		p->next_uid = uid + 1;
	return true;
}

/* The part of a P or M line behind its kind. NULL where it is none. */
static struct message *
load_message(struct loader *l, struct str rest, struct topic **topic)
{
	struct pubsub *p = l->p;
	uint64_t uid, id, time;
	if (!word(&rest, &uid) || !word(&rest, &id) || !word(&rest, &time) || json_parse(&p->json, rest) != JSON_OK)
		return NULL;
	if (id >= p->next_id)
		p->next_id = id + 1;
	*topic = topic_by_uid(p, uid);
	return message_new(p, rest, json_text(&p->json, json_get(&p->json, 0, "orderingKey")), id, (int64_t)time);
}

static bool
load_published(struct loader *l, struct str rest)
{
	struct topic *t;
	struct message *m = load_message(l, rest, &t);
	if (m == NULL)
		return false;
	for (size_t i = 0; i < l->p->nlist; i++) {
		if (t != NULL && l->p->list[i]->topic == t)
			hold(&l->holdings[i], m);
	}
	message_unref(l->p, m);
	return t != NULL;
}

static bool
load_made(struct loader *l, struct str rest)
{
	struct topic *t;
	struct message *m = load_message(l, rest, &t);
	if (m == NULL)
		return false;
	if (l->nmade == l->capmade) {
		l->capmade = l->capmade > 0 ? l->capmade * 2 : 1024;
		l->made = xreallocarray(l->made, l->capmade, sizeof(struct message *));
	}
	l->made[l->nmade++] = m;
	return true;
}

static struct message *
find_made(const struct loader *l, uint64_t id)
{
	size_t lo = 0, hi = l->nmade;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (l->made[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < l->nmade && l->made[lo]->id == id ? l->made[lo] : NULL;
}

static bool
load_backlog(struct loader *l, struct holding *h, struct str rest)
{
	uint64_t id;
	while (rest.n > 0) {
		if (!word(&rest, &id))
			return false;
		struct message *m = find_made(l, id);
		if (m == NULL)
			return false;
		hold(h, m);
	}
	return true;
}

/* An id that is not held was acknowledged twice in one request: no fault. */
static bool
load_acks(struct loader *l, struct holding *h, struct str rest)
{
	uint64_t id;
	while (rest.n > 0) {
		if (!word(&rest, &id))
			return false;
		size_t lo = 0, hi = h->n;
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;
			if (h->v[mid].id < id)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo < h->n && h->v[lo].id == id) {
			message_unref(l->p, h->v[lo].m);
			h->v[lo].m = NULL;
		}
	}
	return true;
}

static bool
load_sub_gone(struct loader *l, struct holding *h)
{
	size_t at = (size_t)(h - l->holdings);
	struct sub *s = h->s;
	let_go(l, h);
	memmove(h, h + 1, (l->p->nlist - at - 1) * sizeof(*h));
	sub_remove(l->p, s);
	return true;
}

static bool
load_counters(struct pubsub *p, uint64_t id, struct str rest)
{
	uint64_t uid;
	if (!word(&rest, &uid))
		return false;
	p->next_id = id > p->next_id ? id : p->next_id;
	p->next_uid = uid > p->next_uid ? uid : p->next_uid;
	return true;
}

/* A line about a topic or subscription, named by its uid. */
static bool
load_line(struct loader *l, struct str line)
{
	uint64_t uid;
	if (line.n < 3 || line.p[1] != ' ')
		return false;
	char kind = line.p[0];
	struct str rest = str_skip(line, 2);
	if (kind == 'P' || kind == 'M')
		return kind == 'P' ? load_published(l, rest) : load_made(l, rest);
	if (!word(&rest, &uid))
		return false;
	if (kind == 'N')
		return load_counters(l->p, uid, rest);
	if (kind == 'T')
		return load_topic(l, uid, rest);
	if (kind == 'S')
		return load_sub(l, uid, rest);
	if (kind == 't') {
		struct topic *t = topic_by_uid(l->p, uid);
		if (t != NULL)
			topic_remove(l->p, t);
		return t != NULL;
	}
	struct holding *h = holding_by_uid(l, uid);
	if (h == NULL)
		return false;
	switch (kind) {
	case 's':
		return load_sub_gone(l, h);
	case 'U':
		return load_backlog(l, h, rest);
	case 'A':
		return load_acks(l, h, rest);
	default:
		return false;
	}
}

/* What is left becomes the subscriptions' backlogs. */
static void
settle(struct loader *l)
{
	for (size_t i = 0; i < l->p->nlist; i++) {
		struct holding *h = &l->holdings[i];
		for (size_t k = 0; k < h->n; k++) {
			if (h->v[k].m != NULL)
				queue_add(h->s, h->v[k].m);
		}
	}
}

static void
loader_release(struct loader *l)
{
	for (size_t i = 0; i < l->p->nlist; i++)
		let_go(l, &l->holdings[i]);
	for (size_t i = 0; i < l->nmade; i++)
		message_unref(l->p, l->made[i]);
	free(l->holdings);
	free(l->made);
	buf_release(&l->rep.body);
	buf_release(&l->rep.headers);
}

int
journal_load(struct pubsub *p, struct str text, struct err *e)
{
	struct loader l = {.p = p};
	size_t number = 0;
	int rc = 0;
	buf_init(&l.rep.body, 64 * 1024);
	buf_init(&l.rep.headers, 64 * 1024);
	l.call = (struct ps_call){.p = p, .emu = p->emu, .req = &l.req, .rep = &l.rep, .j = &p->json};
	while (text.n > 0 && rc == 0) {
		size_t n = str_find(text, '\n');
		if (n == text.n) {
			log_info("the journal's last line is torn: what it told was never answered for");
			break;
		}
		number++;
		if (!load_line(&l, (struct str){text.p, n}))
			rc = err_set(e, ERR_CONFIG, "cannot read '%s': line %zu makes no sense; move the file away to start empty",
			    p->journal.path, number);
		text = str_skip(text, n + 1);
	}
	if (rc == 0)
		settle(&l);
	loader_release(&l);
	return rc;
}
