/*
 * ps_publish: messages come in, are checked as the service checks them, and become the text that pulls
 * send.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "ps.h"
#include "time.h"
#include "xalloc.h"

/* Where a message stands in the journal's buffer, until it is written and the message made. */
struct draft {
	uint64_t id;
	size_t at, len;
	size_t key_at, key_len;
};

struct publish {
	struct ps_call *c;
	struct topic *t;
	struct draft drafts[PS_PUBLISH_MAX];
	size_t n;
	struct str key; /* the first message's ordering key, decoded */
	bool wanted;    /* the topic has subscriptions */
};

struct message *
message_new(struct pubsub *p, struct str text, struct str key, uint64_t id, int64_t time)
{
	struct message *m = xmalloc(sizeof(*m) + text.n);
	*m = (struct message){.refs = 1, .len = (uint32_t)text.n, .id = id, .time = time};
	if (key.n > 0) {
		m->key_at = (uint32_t)(key.p - text.p);
		m->key_len = (uint32_t)key.n;
	}
	memcpy(m->text, text.p, text.n);
	p->live_bytes += text.n;
	return m;
}

void
message_unref(struct pubsub *p, struct message *m)
{
	if (m == NULL || --m->refs > 0)
		return;
	p->live_bytes -= m->len;
	free(m);
}

bool
topic_has_subs(const struct pubsub *p, const struct topic *t)
{
	for (size_t i = 0; i < p->nlist; i++) {
		if (p->list[i]->topic == t)
			return true;
	}
	return false;
}

void
topic_fan_out(struct pubsub *p, struct topic *t, struct message *m)
{
	for (size_t i = 0; i < p->nlist; i++) {
		if (p->list[i]->topic == t)
			queue_add(p->list[i], m);
	}
	message_unref(p, m);
}

uint64_t
ps_next_id(struct pubsub *p)
{
	uint64_t id = p->next_id;
	p->next_id += 1 + rng_below(&p->rng, 500);
	return id;
}

void
ps_publish_time(struct buf *out, uint64_t id, int64_t time)
{
	struct civil c;
	char fraction[16];
	uint64_t h = id * 0x9e3779b97f4a7c15u >> 32;
	unsigned digits = (unsigned)(h % 10), nanos;
	time_civil(time, &c);
	nanos = (unsigned)c.micros * 1000 + (unsigned)(h / 10 % 1000);
	snprintf(fraction, sizeof(fraction), "%09u", nanos);
	buf_addf(out, "%04d-%02d-%02dT%02d:%02d:%02d%s%.*sZ", c.year, c.month, c.day, c.hour, c.minute, c.second,
	    digits > 0 ? "." : "", (int)digits, fraction);
}

/* Base64 as we send it: it can be kept as it came. */
static bool
is_standard_base64(struct str s)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static unsigned char value[256]; /* 1 + the value; 0: none */
	if (value['A'] == 0) {
		for (unsigned char i = 0; i < 64; i++)
			value[(unsigned char)alphabet[i]] = i + 1;
	}
	size_t n = s.n;
	if (n % 4 != 0)
		return false;
	while (n > 0 && s.n - n < 2 && s.p[n - 1] == '=')
		n--;
	unsigned ok = 1;
	for (size_t i = 0; i < n; i++)
		ok &= value[(unsigned char)s.p[i]] != 0;
	if (!ok || n == s.n)
		return ok;
	return ((value[(unsigned char)s.p[n - 1]] - 1) & (s.n - n == 1 ? 3 : 15)) == 0;
}

/* Writes a message's data in standard base64; *empty where it has none. */
static bool
write_data(struct ps_call *c, struct jsonw *w, uint32_t t, size_t index, bool *empty)
{
	struct pubsub *p = c->p;
	*empty = true;
	if (t == JSON_NONE || json_is(c->j, t, JSON_NULL))
		return true;
	struct str s = json_string(c->j, t, &p->scratch);
	*empty = s.n == 0;
	if (s.n == 0 && json_is(c->j, t, JSON_STRING))
		return true;
	jsonw_key(w, "data");
	if (json_is(c->j, t, JSON_STRING) && is_standard_base64(s)) {
		buf_addc(w->out, '"');
		buf_adds(w->out, s);
		buf_addc(w->out, '"');
		w->comma = true;
		return true;
	}
	buf_reset(&p->line, PS_REQUEST_MAX);
	if (!json_is(c->j, t, JSON_STRING) || base64_decode_lenient(&p->line, s) != 0) {
		ps_bad(c, "Invalid value at 'messages[%zu].data' (TYPE_BYTES), Base64 decoding failed", index);
		return false;
	}
	jsonw_base64(w, buf_str(&p->line));
	*empty = p->line.n == 0;
	return true;
}

static bool
check_attribute(struct ps_call *c, struct str key, struct str value, size_t index)
{
	const char *why = NULL;
	if (key.n == 0)
		why = "an attribute key is empty";
	else if (key.n > PS_KEY_MAX)
		why = "an attribute key is longer than 256 bytes";
	else if (value.n > PS_VALUE_MAX)
		why = "an attribute value is longer than 1024 bytes";
	else if (str_starts(key, STR("goog")))
		why = "an attribute key begins with the reserved prefix \"goog\"";
	if (why != NULL)
		ps_bad(c, "One or more messages in the publish request have invalid attributes: messages[%zu]: %s", index,
		    why);
	return why == NULL;
}

/* A later member of the same name wins, as in any map: true where key k is superseded. */
static bool
is_repeated_later(const struct json *j, uint32_t object, uint32_t k)
{
	for (uint32_t o = j->tok[k + 1].next; o < json_end(j, object); o = j->tok[o + 1].next) {
		if (str_eq(json_text(j, o), json_text(j, k)))
			return true;
	}
	return false;
}

static bool
write_attributes(struct ps_call *c, struct jsonw *w, uint32_t t, size_t index, size_t *count)
{
	const struct json *j = c->j;
	struct pubsub *p = c->p;
	*count = 0;
	if (t == JSON_NONE || json_is(j, t, JSON_NULL))
		return true;
	if (!json_is(j, t, JSON_OBJECT)) {
		ps_bad(c, "Invalid value at 'messages[%zu].attributes', not an object of strings", index);
		return false;
	}
	*count = j->tok[t].count;
	if (*count > PS_ATTRIBUTES_MAX) {
		ps_bad(c,
		    "The value for attributes is too large. You passed %zu in the request, but the maximum value is %d.",
		    *count, PS_ATTRIBUTES_MAX);
		return false;
	}
	if (*count == 0)
		return true;
	jsonw_key(w, "attributes");
	jsonw_object(w);
	for (uint32_t k = json_first(t); k < json_end(j, t); k = j->tok[k + 1].next) {
		if (!json_is(j, k + 1, JSON_STRING)) {
			ps_bad(c, "Invalid value at 'messages[%zu].attributes', not an object of strings", index);
			return false;
		}
		size_t mark = p->scratch.n;
		size_t key_len = json_string(j, k, &p->scratch).n;
		struct str value = json_string(j, k + 1, &p->scratch);
		/* Taken again: the value may have moved the scratch. */
		struct str key = j->tok[k].escaped ? (struct str){p->scratch.p + mark, key_len} : json_text(j, k);
		if (!check_attribute(c, key, value, index))
			return false;
		if (is_repeated_later(j, t, k))
			continue;
		jsonw_keys(w, key);
		jsonw_str(w, value);
	}
	jsonw_end(w);
	return true;
}

/* The ordering key, which all messages of a request share. */
static bool
take_key(struct publish *pub, uint32_t t, size_t index, struct str *key)
{
	struct ps_call *c = pub->c;
	*key = STR_NONE;
	if (t != JSON_NONE && !json_is(c->j, t, JSON_NULL)) {
		if (!json_is(c->j, t, JSON_STRING)) {
			ps_bad(c, "Invalid value at 'messages[%zu].ordering_key' (TYPE_STRING)", index);
			return false;
		}
		*key = json_string(c->j, t, &c->p->scratch);
	}
	if (key->n > PS_ORDERING_KEY_MAX) {
		ps_bad(c, "The ordering key of messages[%zu] is longer than %d bytes.", index, PS_ORDERING_KEY_MAX);
		return false;
	}
	if (index == 0 && key->n > 0) {
		/* The scratch moves; this one is needed to the end. */
		pub->key = (struct str){str_dup(*key), key->n};
	} else if (!str_eq(*key, pub->key)) {
		ps_bad(c, "In a single publish request, all messages must have no ordering key or they must all have the "
			  "same ordering key.");
		return false;
	}
	return true;
}

/* Writes what the service adds: id, time, and the key where the client gave one. */
static void
write_rest(struct publish *pub, struct jsonw *w, struct draft *d, struct str key)
{
	char id[24];
	snprintf(id, sizeof(id), "%llu", (unsigned long long)d->id);
	jsonw_member(w, "messageId", str_of(id));
	jsonw_key(w, "publishTime");
	buf_addc(w->out, '"');
	ps_publish_time(w->out, d->id, pub->c->emu->wall);
	buf_addc(w->out, '"');
	w->comma = true;
	if (key.n > 0) {
		jsonw_key(w, "orderingKey");
		d->key_at = w->out->n + 1;
		jsonw_str(w, key);
		d->key_len = w->out->n - 1 - d->key_at;
	}
}

static bool
draft_message(struct publish *pub, uint32_t t)
{
	struct ps_call *c = pub->c;
	struct journal *log = &c->p->journal;
	struct draft *d = &pub->drafts[pub->n];
	struct str key;
	bool empty;
	size_t nattributes;
	*d = (struct draft){.id = ps_next_id(c->p)};
	buf_reset(&c->p->scratch, PS_REQUEST_MAX);
	if (!json_is(c->j, t, JSON_OBJECT)) {
		ps_bad(c, "Invalid value at 'messages[%zu]', not an object", pub->n);
		return false;
	}
	journal_message(log, 'P', pub->t->uid, d->id, c->emu->wall);
	d->at = log->out.n;
	struct jsonw w = jsonw_to(&log->out);
	jsonw_object(&w);
	if (!write_data(c, &w, json_get(c->j, t, "data"), pub->n, &empty) ||
	    !write_attributes(c, &w, json_get(c->j, t, "attributes"), pub->n, &nattributes) ||
	    !take_key(pub, json_get(c->j, t, "orderingKey"), pub->n, &key))
		return false;
	if (empty && nattributes == 0) {
		ps_bad(c, "One or more messages in the publish request is empty. "
			  "Each message must contain either non-empty data, or at least one attribute.");
		return false;
	}
	write_rest(pub, &w, d, key);
	jsonw_end(&w);
	d->len = log->out.n - d->at;
	buf_addc(&log->out, '\n');
	pub->n++;
	return true;
}

static bool
draft_all(struct publish *pub)
{
	struct ps_call *c = pub->c;
	uint32_t list = json_get(c->j, 0, "messages");
	if (list != JSON_NONE && !json_is(c->j, list, JSON_ARRAY) && !json_is(c->j, list, JSON_NULL)) {
		ps_bad(c, "Invalid value at 'messages', not an array");
		return false;
	}
	uint32_t n = json_is(c->j, list, JSON_ARRAY) ? c->j->tok[list].count : 0;
	if (n == 0) {
		ps_bad(c,
		    "The value for message_count is too small. You passed 0 in the request, but the minimum value is 1.");
		return false;
	}
	if (n > PS_PUBLISH_MAX) {
		ps_bad(c,
		    "The value for message_count is too large. You passed %u in the request, but the maximum value is %d.",
		    n, PS_PUBLISH_MAX);
		return false;
	}
	for (uint32_t t = json_first(list); t < json_end(c->j, list); t = c->j->tok[t].next) {
		if (!draft_message(pub, t))
			return false;
	}
	return true;
}

static void
write_ids(const struct publish *pub, struct buf *out)
{
	buf_addz(out, "{\"messageIds\":[");
	for (size_t i = 0; i < pub->n; i++)
		buf_addf(out, "%s\"%llu\"", i > 0 ? "," : "", (unsigned long long)pub->drafts[i].id);
	buf_addz(out, "]}\n");
}

/* The drafts become messages: made before the journal's buffer is emptied, given out once it is written. */
static void
deliver(struct publish *pub, struct message **made)
{
	for (size_t i = 0; i < pub->n; i++)
		topic_fan_out(pub->c->p, pub->t, made[i]);
	emu_wake(pub->c->emu);
}

static bool
store(struct publish *pub)
{
	struct pubsub *p = pub->c->p;
	const char *text = p->journal.out.p;
	if (!pub->wanted) {
		/* Nobody will ever see them. */
		buf_reset(&p->journal.out, PS_REQUEST_MAX);
		return true;
	}
	struct message **made = xcalloc(pub->n, sizeof(*made));
	for (size_t i = 0; i < pub->n; i++) {
		struct draft *d = &pub->drafts[i];
		made[i] = message_new(p, (struct str){text + d->at, d->len}, (struct str){text + d->key_at, d->key_len},
		    d->id, pub->c->emu->wall);
	}
	bool ok = ps_commit(pub->c);
	if (ok)
		deliver(pub, made);
	for (size_t i = 0; !ok && i < pub->n; i++)
		message_unref(p, made[i]);
	free(made);
	return ok;
}

enum emu_answer
ps_publish(struct ps_call *c, struct topic *t)
{
	if (!ps_body(c))
		return EMU_DONE;
	struct publish *pub = xmalloc(sizeof(*pub));
	pub->c = c;
	pub->t = t;
	pub->n = 0;
	pub->key = STR_NONE;
	pub->wanted = topic_has_subs(c->p, t);
	if (!draft_all(pub))
		buf_reset(&c->p->journal.out, PS_REQUEST_MAX);
	else if (store(pub))
		write_ids(pub, &c->rep->body);
	free((char *)(uintptr_t)pub->key.p);
	free(pub);
	return EMU_DONE;
}
