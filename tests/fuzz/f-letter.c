/*
 * letter: a rejected record becomes a dead letter that Pub/Sub would take, and comes back with the data, attributes and
 * ordering key that it had. A line is also read as a dead letter that somebody else wrote.
 */
#include "bounds.h"
#include "deadletter.h"
#include "fuzz.h"
#include "parts.h"

#define WALL INT64_C(1739020140000000)

struct sent {
	struct buf text;
	int n;
};

static void
collect(void *arg, struct str key, struct buf *message)
{
	struct sent *s = arg;
	fuzz_touch(key);
	MUST(!message->over && fuzz_is_json(buf_str(message)));
	buf_reset(&s->text, 0);
	buf_adds(&s->text, buf_str(message));
	s->n++;
}

/* What may be left out on the way back. */
static bool
is_lost(struct str key)
{
	return str_is(key, "dlq_replays") || str_starts(key, STR("CloudPubSubDeadLetterSource"));
}

static void
same_letter(const struct letter *was, const struct letter *is)
{
	MUST(str_eq(was->data, is->data) && str_eq(was->ordering_key, is->ordering_key));
	size_t n = 0, left = 0;
	for (size_t i = 0; i < is->n; i++)
		left += !is_lost(is->attributes[i].key);
	for (size_t i = 0; i < was->n; i++) {
		const struct attribute *a = &was->attributes[i];
		if (is_lost(a->key))
			continue;
		bool found = false;
		for (size_t k = 0; k < is->n; k++)
			found = found || (str_eq(is->attributes[k].key, a->key) && str_eq(is->attributes[k].value, a->value));
		MUST(found);
		n++;
	}
	MUST(n == left);
}

/* The message as ps-pull would write it, read again. */
static void
comes_back(const struct letter *was, struct str message)
{
	struct json j = {0}, k = {0};
	struct buf line = BUF_INIT(LIMIT_LINE);
	struct deadletter d = {0};
	struct letter published = {0};
	struct record r;
	struct err e;
	MUST(json_parse(&j, message) == JSON_OK);
	struct str attributes = json_raw(&j, json_get(&j, 0, "attributes")), key = json_raw(&j, json_get(&j, 0, "orderingKey"));
	struct str data = json_raw(&j, json_get(&j, 0, "data"));
	buf_addf(&line, "{\"msg\":{\"id\":\"1\",\"attributes\":%.*s%s%.*s},\"data\":%.*s}", STR_ARG(attributes),
	    key.n > 0 ? ",\"ordering_key\":" : "", STR_ARG(key), data.n > 0 ? (int)data.n : 2, data.n > 0 ? data.p : "\"\"");
	MUST(record_parse(&r, &k, buf_str(&line), &e) == 0 && r.kind == RECORD_RAW);
	MUST(letter_read(&published, &r, &k, &e) == 0 && letter_fault(&published) == NULL);
	MUST(deadletter_read(&d, &r, &k, &e) == 0 && d.part == 1 && d.parts == 1);
	MUST(deadletter_open(&d, r.data, &e) == 0);
	same_letter(was, &d.letter);
	letter_release(&published);
	deadletter_release(&d);
	buf_release(&line);
	json_release(&j);
	json_release(&k);
}

static void
somebody_elses(const struct record *r, const struct json *j)
{
	struct deadletter d = {0};
	struct err e;
	if (deadletter_read(&d, r, j, &e) == 0) {
		MUST(d.part >= 1 && d.part <= d.parts && d.replays >= 0);
		enum parts_step step = PARTS_WAITING;
		struct ticket *ticket = NULL;
		struct buf whole = BUF_INIT(LIMIT_LINE);
		struct parts *p = parts_new(1 << 20);
		unsigned have, of;
		if (parts_add(p, buf_str(&d.key), d.part, d.parts, r->data, r->id, r->source, &step, &ticket, &whole, &e) == 0 &&
		    step == PARTS_WHOLE) {
			if (deadletter_open(&d, buf_str(&whole), &e) == 0)
				fuzz_touch(d.letter.data);
			parts_end(p, ticket, true);
			ticket_free(ticket);
		}
		for (struct ticket *t; (t = parts_drop(p, true, &have, &of)) != NULL;)
			ticket_free(t);
		parts_free(p);
		buf_release(&whole);
	}
	deadletter_release(&d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct json j;
	struct sent sent = {.text = BUF_INIT(2 * LIMIT_LINE)};
	struct letter was = {0};
	struct record r;
	struct err e;
	if (record_parse(&r, &j, (struct str){(const char *)p, n}, &e) < 0)
		return 0;
	if (r.kind == RECORD_RAW || r.kind == RECORD_REJECTED)
		somebody_elses(&r, &j);
	if (r.kind == RECORD_REJECTED && deadletter_make(&r, &j, WALL, collect, &sent, &e) > 0) {
		MUST(sent.n == 1 && letter_read(&was, &r, &j, &e) == 0);
		comes_back(&was, buf_str(&sent.text));
	}
	letter_release(&was);
	buf_release(&sent.text);
	return 0;
}
