/*
 * ps_dead: the dead-letter policy. A message that has had its attempts is published to the dead-letter
 * topic as the service does it, with four attributes more and an id of its own, and leaves its
 * subscription.
 */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "ps.h"
#include "time.h"

/* the last part of projects/P/COLLECTION/ID, and P */
static struct str
id_of(const char *name)
{
	return str_of(strrchr(name, '/') + 1);
}

static struct str
project_of(const char *name)
{
	struct str s = str_skip(str_of(name), 9);
	return (struct str){s.p, str_find(s, '/')};
}

static void
write_attributes(struct jsonw *w, const struct json *j, const struct sub *s, const struct slot *x)
{
	char count[16];
	uint32_t t = json_get(j, 0, "attributes");
	struct str published = json_text(j, json_get(j, 0, "publishTime"));
	snprintf(count, sizeof(count), "%u", x->attempts);
	jsonw_key(w, "attributes");
	jsonw_object(w);
	for (uint32_t k = t != JSON_NONE ? json_first(t) : 0; k != 0 && k < json_end(j, t); k = j->tok[k + 1].next) {
		if (str_starts(json_text(j, k), STR("CloudPubSubDeadLetterSource")))
			continue; /* of an earlier death */
		jsonw_raw(w, json_raw(j, k));
		buf_addc(w->out, ':');
		w->comma = false;
		jsonw_raw(w, json_raw(j, k + 1));
	}
	jsonw_member(w, "CloudPubSubDeadLetterSourceDeliveryCount", str_of(count));
	jsonw_member(w, "CloudPubSubDeadLetterSourceSubscription", id_of(s->name));
	jsonw_member(w, "CloudPubSubDeadLetterSourceSubscriptionProject", project_of(s->name));
	jsonw_member(w, "CloudPubSubDeadLetterSourceTopicPublishTime", published);
	jsonw_end(w);
}

/* Appends the forwarded message's text to out; *key is its ordering key within out, by offset. */
static void
write_forwarded(struct pubsub *p, const struct sub *s, const struct slot *x, uint64_t id, struct buf *out,
    size_t *key_at, size_t *key_len)
{
	struct json j = {0};
	char number[24];
	struct jsonw w = jsonw_to(out);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)id);
	json_parse(&j, (struct str){x->m->text, x->m->len});
	jsonw_object(&w);
	uint32_t t = json_get(&j, 0, "data");
	if (t != JSON_NONE) {
		jsonw_key(&w, "data");
		jsonw_raw(&w, json_raw(&j, t));
	}
	write_attributes(&w, &j, s, x);
	jsonw_member(&w, "messageId", str_of(number));
	jsonw_key(&w, "publishTime");
	buf_addc(out, '"');
	ps_publish_time(out, id, p->emu->wall);
	buf_addc(out, '"');
	w.comma = true;
	*key_at = *key_len = 0;
	t = json_get(&j, 0, "orderingKey");
	if (t != JSON_NONE) {
		jsonw_key(&w, "orderingKey");
		*key_at = out->n + 1;
		*key_len = json_text(&j, t).n;
		jsonw_raw(&w, json_raw(&j, t));
	}
	jsonw_end(&w);
	json_release(&j);
}

/* Forwards one; false where the journal failed. */
static bool
bury(struct pubsub *p, struct sub *s, uint32_t i, struct topic *to)
{
	struct buf *out = &p->journal.out;
	struct message *m = NULL;
	uint64_t id = ps_next_id(p), old = s->slots[i].m->id;
	if (topic_has_subs(p, to)) {
		size_t key_at, key_len;
		journal_message(&p->journal, 'P', to->uid, id, p->emu->wall);
		size_t at = out->n;
		write_forwarded(p, s, &s->slots[i], id, out, &key_at, &key_len);
		m = message_new(p, (struct str){out->p + at, out->n - at}, (struct str){out->p + key_at, key_len}, id,
		    p->emu->wall);
		buf_addc(out, '\n');
	}
	journal_ids(&p->journal, 'A', s->uid);
	buf_addf(out, " %llu\n", (unsigned long long)old);
	struct err e;
	if (journal_commit(&p->journal, &e) != 0) {
		log_error("%s", e.text);
		message_unref(p, m);
		return false;
	}
	queue_done(p, s, i);
	s->counts.dead++;
	/* After queue_done: the topic may lead back to this very subscription. */
	if (m != NULL)
		topic_fan_out(p, to, m);
	return true;
}

void
ps_bury(struct pubsub *p)
{
	for (size_t n = 0; n < p->nlist; n++) {
		struct sub *s = p->list[n];
		while (s->dying.n > 0) {
			uint32_t i = s->dying.head;
			struct topic *to = s->c.dead_topic != NULL ? topic_get(p, str_of(s->c.dead_topic)) : NULL;
			if (to == NULL || !bury(p, s, i, to))
				queue_revive(s, i);
			emu_wake(p->emu);
		}
	}
}
