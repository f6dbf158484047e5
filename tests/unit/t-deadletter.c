/* deadletter, letter, parts: a rejected record goes out and comes back as it was, whatever its form. */
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "bounds.h"
#include "deadletter.h"
#include "parts.h"
#include "utf8.h"
#include "xalloc.h"

#define WALL 1739020140123456 /* 2025-02-08T13:09:00.123456Z */

struct sent {
	struct buf v[8];
	struct str keys[8];
	int n;
};

static void
collect(void *arg, struct str ordering_key, struct buf *message)
{
	struct sent *s = arg;
	s->keys[s->n] = (struct str){str_dup(ordering_key), ordering_key.n};
	s->v[s->n++] = *message;
	*message = (struct buf)BUF_INIT(message->max);
}

static void
forget(struct sent *s)
{
	for (int i = 0; i < s->n; i++) {
		buf_release(&s->v[i]);
		free((char *)(uintptr_t)s->keys[i].p);
	}
	s->n = 0;
}

static int
make(struct sent *s, struct str line, struct err *e)
{
	struct json j = {0};
	struct record r;
	s->n = 0;
	int rc = record_parse(&r, &j, line, e) < 0 ? -1 : deadletter_make(&r, &j, WALL, collect, s, e);
	json_release(&j);
	return rc;
}

/* An attribute of a message as published, decoded; for the caller to free. */
static char *
attribute(const struct sent *s, int i, const char *key)
{
	struct json j = {0};
	char *value = NULL;
	if (json_parse(&j, buf_str(&s->v[i])) == JSON_OK)
		value = json_dup(&j, json_get(&j, json_get(&j, 0, "attributes"), key));
	json_release(&j);
	return value;
}

static void
has(const struct sent *s, int i, const char *key, const char *want)
{
	char *got = attribute(s, i, key);
	ok(got == NULL ? want == NULL : want != NULL && strcmp(got, want) == 0, "%s is %s", key,
	    want != NULL ? want : "absent");
	if (got != NULL && (want == NULL || strcmp(got, want) != 0))
		printf("#  got: %s\n", got);
	free(got);
}

static void
plain(void)
{
	struct sent s = {0};
	struct err e = {0};
	const char *line = "{\"msg\":{\"id\":\"7\",\"source\":\"projects/p/subscriptions/"
			   "s\",\"time\":\"2025-02-08T13:00:00Z\","
			   "\"attributes\":{\"origin\":\"web "
			   "\\u00e9\"},\"ordering_key\":\"c-1\"},\"data\":\"eyJhIjo=\","
			   "\"stage\":\"ev-validate\",\"errors\":[{\"code\":\"not_in_enum\",\"path\":\"/"
			   "status\",\"detail\":\"x \\\"y\\\"\"},"
			   "{\"code\":\"unknown_field\",\"path\":\"/z\",\"detail\":\"\"}]}";
	is_int(make(&s, str_of(line), &e), 1, "a rejected record is one message");
	has(&s, 0, "origin", "web \xc3\xa9");
	has(&s, 0, "dlq_version", "1");
	has(&s, 0, "dlq_stage", "ev-validate");
	has(&s, 0, "dlq_code", "not_in_enum");
	has(&s, 0, "dlq_path", "/status");
	has(&s, 0, "dlq_detail", "x \"y\"");
	has(&s, 0, "dlq_errors",
	    "[{\"code\":\"not_in_enum\",\"path\":\"/status\",\"detail\":\"x \\\"y\\\"\"},"
	    "{\"code\":\"unknown_field\",\"path\":\"/z\",\"detail\":\"\"}]");
	has(&s, 0, "dlq_source", "projects/p/subscriptions/s");
	has(&s, 0, "dlq_message_id", "7");
	has(&s, 0, "dlq_publish_time", "2025-02-08T13:00:00Z");
	has(&s, 0, "dlq_time", "2025-02-08T13:09:00.123456Z");
	has(&s, 0, "dlq_replays", "0");
	has(&s, 0, "dlq_format", "raw");
	has(&s, 0, "dlq_part", NULL);
	is_str(s.keys[0], "c-1", "the ordering key stays");
	ok(strstr(buf_cstr(&s.v[0]), "\"data\":\"eyJhIjo=\"") != NULL, "the data are the original ones");
	forget(&s);

	is_int(make(&s, STR("{\"msg\":{},\"data\":\"!\",\"stage\":\"x\",\"errors\":[]}"), &e), -1,
	    "data that are not base64");
	is_int(make(&s, STR("{\"msg\":{},\"data\":\"\"}"), &e), -1, "a raw record is no rejected one");
	is_int(make(&s, STR("{\"msg\":{},\"data\":\"\",\"stage\":\"x\",\"errors\":[]}"), &e), 1,
	    "no id, no data, no faults");
	has(&s, 0, "dlq_code", NULL);
	has(&s, 0, "dlq_errors", "[]");
	forget(&s);
}

/* A rejected record with n attributes k0=v0 ... and more of them as given. */
static void
record_with(struct buf *out, int n, const char *more, size_t bytes, char fill)
{
	struct buf data = BUF_INIT(LIMIT_LINE);
	buf_addz(out, "{\"msg\":{\"id\":\"9\",\"attributes\":{\"z\":\"1\"");
	for (int i = 1; i < n; i++)
		buf_addf(out, ",\"k%d\":\"v%d\"", i, i);
	buf_addf(out, "%s},\"ordering_key\":\"key\"},\"data\":\"", more);
	memset(buf_room(&data, bytes + 1), fill, bytes);
	buf_grew(&data, bytes);
	base64_encode(out, buf_str(&data));
	buf_addz(out, "\",\"stage\":\"bq-insert\",\"errors\":[{\"code\":\"invalid\",\"path\":\"/"
		      "a\",\"detail\":\"d\"}]}");
	buf_release(&data);
}

/* Takes a message as ps-pull would give it: with the id `id`. */
static int
take_back(struct deadletter *d, struct buf *line, const struct buf *message, const char *id, struct json *j,
    struct record *r, struct err *e)
{
	struct json m = {0};
	json_parse(&m, buf_str(message));
	buf_reset(line, 0);
	buf_addf(line, "{\"msg\":{\"id\":\"%s\"", id);
	if (json_get(&m, 0, "attributes") != JSON_NONE) {
		buf_addz(line, ",\"attributes\":");
		buf_adds(line, json_raw(&m, json_get(&m, 0, "attributes")));
	}
	if (json_get(&m, 0, "orderingKey") != JSON_NONE) {
		buf_addz(line, ",\"ordering_key\":");
		buf_adds(line, json_raw(&m, json_get(&m, 0, "orderingKey")));
	}
	buf_addz(line, "},\"data\":\"");
	buf_adds(line, json_text(&m, json_get(&m, 0, "data")));
	buf_addz(line, "\"}");
	json_release(&m);
	if (record_parse(r, j, buf_str(line), e) < 0)
		return -1;
	return deadletter_read(d, r, j, e);
}

/* Out and back: the letter that comes back has n attributes and the data. */
static void
round_trip(const char *name, int n, const char *more, size_t bytes, int parts, const char *format)
{
	struct sent s = {0};
	struct err e = {0};
	struct json j = {0};
	struct record r;
	struct deadletter d = {0};
	struct parts *p = parts_new(64 * MIB);
	struct buf in = BUF_INIT(LIMIT_LINE), line = BUF_INIT(2 * LIMIT_LINE),
		   whole = BUF_INIT(3 * LIMIT_LINE);
	struct buf back = BUF_INIT(LIMIT_LINE);
	struct ticket *t = NULL;
	enum parts_step step = PARTS_WAITING;
	record_with(&in, n, more, bytes, 'x');
	is_int(make(&s, buf_str(&in), &e), parts, "%s: %d messages", name, parts);
	has(&s, 0, "dlq_format", format);
	for (int i = s.n - 1; i >= 0; i--) { /* the last first */
		ok(s.v[i].n < PUBSUB_REQUEST_MAX - 100, "%s: message %d fits a request", name, i);
		is_int(
		    take_back(&d, &line, &s.v[i], i == 0 ? "a" : "b", &j, &r, &e), 0, "%s: it is read", name);
		if (d.parts == 1) {
			step = PARTS_WHOLE;
			buf_adds(&whole, d.letter.data);
		} else {
			ok(parts_add(p, buf_str(&d.key), d.part, d.parts, d.letter.data, r.id, r.source,
			       &step, &t, &whole, &e) == 0,
			    "%s: part %u of %u", name, d.part, d.parts);
		}
		ok((step == PARTS_WHOLE) == (i == 0), "%s: whole with the last", name);
	}
	is_int(deadletter_open(&d, buf_str(&whole), &e), 0, "%s: it is opened", name);
	base64_decode(&back, d.letter.data);
	ok(back.n == bytes && (bytes == 0 || (back.p[0] == 'x' && back.p[bytes - 1] == 'x')),
	    "%s: its data are back", name);
	is_int((long long)d.letter.n, n + (*more != '\0'), "%s: and its attributes", name);
	is_str(d.letter.ordering_key, "key", "%s: and its ordering key", name);
	if (t != NULL) {
		is_int((long long)t->n, parts, "%s: all parts are receipted together", name);
		parts_end(p, t, true);
		ticket_free(t);
		parts_add(p, buf_str(&d.key), 1, (unsigned)parts, STR(""), STR("c"), STR_NONE, &step, &t,
		    &whole, &e);
		is_int(step, PARTS_PAID, "%s: a part that comes again is receipted, too", name);
	}
	parts_free(p);
	deadletter_release(&d);
	json_release(&j);
	buf_release(&in);
	buf_release(&line);
	buf_release(&whole);
	buf_release(&back);
	forget(&s);
}

static void
forms(void)
{
	char value[1200];
	round_trip("raw", 3, "", 10, 1, "raw");
	round_trip("empty data", 3, "", 0, 1, "raw");
	round_trip("86 attributes", 86, "", 10, 1, "raw");
	round_trip("87 attributes", 87, "", 10, 1, "envelope");
	round_trip("an attribute of ours", 2, ",\"dlq_code\":\"theirs\"", 10, 1, "envelope");
	round_trip("goog", 2, ",\"googclient\":\"theirs\"", 10, 1, "envelope");
	round_trip("an empty key", 2, ",\"\":\"theirs\"", 10, 1, "envelope");
	snprintf(value, sizeof(value), ",\"long\":\"%01025d\"", 0);
	round_trip("a long value", 2, value, 10, 1, "envelope");
	round_trip("7,000,000 bytes", 1, "", 7000000, 1, "raw");
	round_trip("7,000,001 bytes", 1, "", 7000001, 2, "raw");
	round_trip("10 MiB", 1, "", LIMIT_DATA, 2, "raw");
	round_trip("10 MiB in an envelope", 1, ",\"dlq_x\":\"\"", LIMIT_DATA, 2, "envelope");
}

static void
replays(void)
{
	struct sent s = {0};
	struct err e = {0};
	struct json j = {0};
	struct record r;
	struct deadletter d = {0};
	struct buf in = BUF_INIT(LIMIT_LINE), line = BUF_INIT(LIMIT_LINE);
	record_with(&in, 1, ",\"dlq_replays\":\"3\"", 4, 'x');
	make(&s, buf_str(&in), &e);
	has(&s, 0, "dlq_replays", "3");
	has(&s, 0, "dlq_format", "raw");
	is_int(take_back(&d, &line, &s.v[0], "1", &j, &r, &e), 0, "it is read");
	is_int(d.replays, 3, "the count of replays survives");
	is_int((long long)d.letter.n, 1, "and is no attribute of the original's");
	forget(&s);
	buf_reset(&in, 0);
	record_with(&in, 1, ",\"dlq_replays\":\"-3\"", 4, 'x');
	make(&s, buf_str(&in), &e);
	has(&s, 0, "dlq_replays", "0");
	has(&s, 0, "dlq_format", "envelope");
	forget(&s);

	static const char native[] = "{\"msg\":{\"id\":\"5\",\"attributes\":{\"a\":\"b\","
				     "\"CloudPubSubDeadLetterSourceDeliveryCount\":\"5\","
				     "\"CloudPubSubDeadLetterSourceSubscription\":\"s\","
				     "\"CloudPubSubDeadLetterSourceSubscriptionProject\":\"p\",\"dlq_note\":"
				     "\"theirs\","
				     "\"CloudPubSubDeadLetterSourceTopicPublishTime\":\"t\"}},\"data\":\"eHg="
				     "\"}";
	record_parse(&r, &j, str_of(native), &e);
	is_int(deadletter_read(&d, &r, &j, &e), 0, "Pub/Sub's own dead letter is read");
	is_int((long long)d.letter.n, 2, "its four marks are gone, and no others");
	is_int(deadletter_open(&d, d.letter.data, &e), 0, "it is opened");
	is_str(d.letter.data, "eHg=", "its data are as they were");

	record_parse(&r, &j, STR("{\"msg\":{\"attributes\":{\"dlq_version\":\"2\"}},\"data\":\"\"}"), &e);
	is_int(deadletter_read(&d, &r, &j, &e), -1, "a version that is not known: %s", e.text);
	record_parse(&r, &j, STR("{\"msg\":{\"attributes\":{\"dlq_version\":\"1\",\"dlq_format\":\"raw\","
		"\"dlq_part\":\"3\",\"dlq_parts\":\"2\"}},\"data\":\"\"}"), &e);
	is_int(deadletter_read(&d, &r, &j, &e), -1, "part 3 of 2: %s", e.text);
	record_parse(&r, &j,
	    STR("{\"msg\":{\"attributes\":{\"dlq_version\":\"1\",\"dlq_format\":\"envelope\"}},"
		"\"data\":\"e30=\"}"),
	    &e);
	ok(deadletter_read(&d, &r, &j, &e) == 0 && deadletter_open(&d, d.letter.data, &e) < 0,
	    "no envelope: %s", e.text);
	deadletter_release(&d);
	json_release(&j);
	buf_release(&in);
	buf_release(&line);
}

/* Found by fuzzing: past 200 attributes equal keys were kept, and fewer came back than had gone. */
static void
bug_equal_keys_past_200(void)
{
	struct sent s = {0};
	struct err e = {0};
	struct json j = {0};
	struct record r;
	struct deadletter d = {0};
	struct buf in = BUF_INIT(LIMIT_LINE), line = BUF_INIT(LIMIT_LINE);
	buf_addz(&in, "{\"msg\":{\"id\":\"1\",\"attributes\":{\"dlq_replays\":\"2\"");
	for (int i = 0; i < 200; i++)
		buf_addf(&in, ",\"%s%d\":\"%d\"", i < 150 ? "a" : "b", i % 150, i);
	buf_addz(&in, ",\"b0\":\"last\"}},\"data\":\"\",\"stage\":\"x\",\"errors\":[]}");
	make(&s, buf_str(&in), &e);
	is_int(take_back(&d, &line, &s.v[0], "1", &j, &r, &e), 0, "a letter of 202 attributes is read");
	is_int(deadletter_open(&d, d.letter.data, &e), 0, "and opened");
	is_int((long long)d.letter.n, 200, "each key is there once");
	is_str(letter_get(&d.letter, "b0")->value, "last", "with its last value");
	deadletter_release(&d);
	json_release(&j);
	buf_release(&in);
	buf_release(&line);
	forget(&s);
}

/* Texts that are too long, with characters of three bytes and of six when escaped. */
static void
cuts(void)
{
	struct sent s = {0};
	struct err e = {0};
	struct json j = {0};
	struct buf in = BUF_INIT(LIMIT_LINE);
	buf_addz(&in, "{\"msg\":{\"id\":\"1\"},\"data\":\"\",\"stage\":\"x\",\"errors\":[");
	for (int f = 0; f < 30; f++) {
		buf_addf(&in, "%s{\"code\":\"c\",\"path\":\"", f > 0 ? "," : "");
		for (int i = 0; i < 600; i++)
			buf_addz(&in, f % 2 ? "\\u0001" : "\xe2\x82\xac");
		buf_addz(&in, "\",\"detail\":\"d\"}");
	}
	buf_addz(&in, "]}");
	is_int(make(&s, buf_str(&in), &e), 1, "thirty long faults are one message");
	char *path = attribute(&s, 0, "dlq_path"), *errors = attribute(&s, 0, "dlq_errors");
	is_int((long long)strlen(path), 1023, "a path is cut on a character boundary");
	ok(strlen(errors) <= 1024 && utf8_valid(str_of(errors)), "the list of faults fits: %zu bytes",
	    strlen(errors));
	ok(json_parse(&j, str_of(errors)) == JSON_OK, "and is JSON");
	ok(strstr(errors, "{\"more\":29}") != NULL, "and says how many more there are");
	free(path);
	free(errors);
	json_release(&j);
	buf_release(&in);
	forget(&s);
}

static void
waiting(void)
{
	struct parts *p = parts_new(100);
	struct ticket *t = NULL;
	struct err e;
	enum parts_step step;
	unsigned have, of;
	struct buf whole = BUF_INIT(1000), big = BUF_INIT(1000);
	for (int i = 0; i < 75; i++)
		buf_addz(&big, "AAAA");
	is_int(parts_add(p, STR("m"), 1, 2, STR("eHg="), STR("1"), STR_NONE, &step, &t, &whole, &e), 0,
	    "a part");
	is_int(parts_add(p, STR("m"), 1, 2, STR("eHg="), STR("2"), STR_NONE, &step, &t, &whole, &e), 0,
	    "the same part");
	is_int(step, PARTS_WAITING, "is no second one");
	is_int(parts_add(p, STR("n"), 2, 2, STR("!"), STR("3"), STR_NONE, &step, &t, &whole, &e), -1,
	    "no base64");
	is_int(parts_add(p, STR("o"), 2, 2, buf_str(&big), STR("4"), STR_NONE, &step, &t, &whole, &e), 0,
	    "a large part");
	t = parts_drop(p, false, &have, &of);
	ok(t != NULL && t->n == 2 && have == 1 && of == 2, "over the bound the oldest message is given up");
	ticket_free(t);
	while ((t = parts_drop(p, true, &have, &of)) != NULL)
		ticket_free(t);
	parts_free(p);
	buf_release(&whole);
	buf_release(&big);
}

int
main(void)
{
	plain();
	forms();
	replays();
	bug_equal_keys_past_200();
	cuts();
	waiting();
	return done();
}
