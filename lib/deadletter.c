#include "deadletter.h"

#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "bounds.h"
#include "num.h"
#include "time.h"
#include "utf8.h"

/* Parts begin at multiples of three bytes, so that a part's base64 is a piece of the whole. */
#define PART_TEXT (PUBSUB_PART_BYTES / 3 * 4)
#define PARTS_MAX 100
#define REPLAYS_MAX 999999
#define OURS_MAX 14
#define KEPT_MAX (OURS_MAX * PUBSUB_VALUE_MAX)

/* What goes beside the original: our attributes and the texts that they borrow. */
struct marks {
	struct attribute v[OURS_MAX];
	size_t n;
	struct buf text;
};

static void
mark(struct marks *m, const char *key, struct str value)
{
	size_t n = utf8_cut(value, PUBSUB_VALUE_MAX), at = m->text.n;
	buf_add(&m->text, value.p, n);
	m->v[m->n++] = (struct attribute){str_of(key), {m->text.p + at, n}};
}

/* As mark, for a member of an object; one that is no string is left out. */
static void
mark_member(struct marks *m, const char *key, const struct json *j, uint32_t object, const char *name)
{
	struct buf scratch = BUF_INIT(LIMIT_LINE);
	struct str s = json_string(j, json_get(j, object, name), &scratch);
	if (s.p != NULL)
		mark(m, key, s);
	buf_release(&scratch);
}

static struct str
cut(struct str s, size_t max)
{
	return (struct str){s.p, utf8_cut(s, max)};
}

/* Appends one fault of a rejected record, its texts cut to at most `most` bytes each. */
static void
write_fault(struct jsonw *w, const struct json *j, uint32_t fault, size_t most)
{
	static const char *const names[] = {"code", "path", "detail"};
	struct buf scratch = BUF_INIT(LIMIT_LINE);
	jsonw_object(w);
	for (int i = 0; i < 3; i++) {
		buf_reset(&scratch, 0);
		struct str s = json_string(j, json_get(j, fault, names[i]), &scratch);
		if (s.p != NULL)
			jsonw_member(w, names[i], cut(s, most));
	}
	jsonw_end(w);
	buf_release(&scratch);
}

/* All faults as a JSON array of at most 1,024 bytes: whole faults only, and the number of those left out. */
static void
mark_errors(struct marks *m, const struct json *j, uint32_t list)
{
	struct buf out = BUF_INIT(PUBSUB_VALUE_MAX - sizeof(",{\"more\":99999999}]") + 1);
	struct buf one = BUF_INIT(LIMIT_LINE);
	uint32_t left = j->tok[list].count;
	buf_addc(&out, '[');
	for (uint32_t t = json_first(list); t < json_end(j, list); t = j->tok[t].next) {
		for (size_t most = PUBSUB_VALUE_MAX; most > 0; most = out.n == 1 ? most / 2 : 0) {
			struct jsonw w = jsonw_to(&one);
			buf_reset(&one, 4 * KIB);
			write_fault(&w, j, t, most);
			if (out.n + one.n + 1 <= out.max)
				break;
		}
		if (out.n + one.n + 1 > out.max)
			break;
		if (out.n > 1)
			buf_addc(&out, ',');
		buf_adds(&out, buf_str(&one));
		left--;
	}
	out.max = PUBSUB_VALUE_MAX;
	if (left > 0)
		buf_addf(&out, "%s{\"more\":%u}", out.n > 1 ? "," : "", left);
	buf_addc(&out, ']');
	mark(m, "dlq_errors", buf_str(&out));
	buf_release(&out);
	buf_release(&one);
}

static void
mark_all(struct marks *m, const struct record *r, const struct json *j, int64_t wall, int64_t replays)
{
	char number[24];
	struct buf when = BUF_INIT(64);
	uint32_t first = j->tok[r->t_errors].count > 0 ? json_first(r->t_errors) : JSON_NONE;
	*m = (struct marks){.text = BUF_INIT(KEPT_MAX)};
	buf_room(&m->text, KEPT_MAX); /* it never moves */
	mark(m, "dlq_version", STR("1"));
	mark_member(m, "dlq_stage", j, 0, "stage");
	mark_member(m, "dlq_code", j, first, "code");
	mark_member(m, "dlq_path", j, first, "path");
	mark_member(m, "dlq_detail", j, first, "detail");
	mark_errors(m, j, r->t_errors);
	mark_member(m, "dlq_source", j, r->t_msg, "source");
	mark_member(m, "dlq_message_id", j, r->t_msg, "id");
	mark_member(m, "dlq_publish_time", j, r->t_msg, "time");
	time_format(&when, wall);
	mark(m, "dlq_time", buf_str(&when));
	snprintf(number, sizeof(number), "%lld", (long long)replays);
	mark(m, "dlq_replays", str_of(number));
	buf_release(&when);
}

/* A count of replays as we write it; -1 where it is something else that bears the name. */
static int64_t
replays_of(const struct letter *l)
{
	const struct attribute *a = letter_get(l, "dlq_replays");
	int64_t n;
	if (a == NULL)
		return 0;
	if (!num_i64(a->value, &n) || n < 0 || n > REPLAYS_MAX || a->value.p[0] == '-' ||
	    (a->value.n > 1 && a->value.p[0] == '0'))
		return -1;
	return n;
}

static void
drop_attribute(struct letter *l, size_t i)
{
	memmove(&l->attributes[i], &l->attributes[i + 1], (l->n - i - 1) * sizeof(*l->attributes));
	l->n--;
}

/* May the original attributes stand beside ours? */
static bool
fits_raw(const struct letter *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (str_starts(l->attributes[i].key, STR("dlq_")))
			return false;
	}
	return l->n + OURS_MAX <= PUBSUB_ATTRIBUTES_MAX && letter_fault(l) == NULL;
}

/* The envelope around a message, as base64 text. */
static void
write_envelope(struct buf *text, const struct letter *l)
{
	struct buf body = BUF_INIT(2 * LIMIT_LINE);
	struct jsonw w = jsonw_to(&body);
	jsonw_object(&w);
	jsonw_key(&w, "dlq_envelope");
	jsonw_i64(&w, 1);
	jsonw_member(&w, "data", l->data);
	jsonw_key(&w, "attributes");
	jsonw_object(&w);
	for (size_t i = 0; i < l->n; i++) {
		jsonw_keys(&w, l->attributes[i].key);
		jsonw_str(&w, l->attributes[i].value);
	}
	jsonw_end(&w);
	if (l->ordering_key.n > 0)
		jsonw_member(&w, "ordering_key", l->ordering_key);
	jsonw_end(&w);
	base64_encode(text, buf_str(&body));
	buf_release(&body);
}

/* Emits data with the marks, and in as many parts as it takes. Returns how many. */
static int
emit_parts(struct letter *l, const struct marks *m, struct str data, deadletter_emit *emit, void *arg)
{
	char number[2][12];
	bool single = base64_decoded_len(data) <= PUBSUB_PART_BYTES;
	int parts = single ? 1 : (int)((data.n + PART_TEXT - 1) / PART_TEXT);
	for (size_t i = 0; i < m->n; i++)
		letter_set(l, m->v[i].key, m->v[i].value);
	for (int part = 1; part <= parts; part++) {
		struct buf message = BUF_INIT(2 * LIMIT_LINE);
		l->data = data;
		if (!single) {
			l->data.n = data.n < PART_TEXT ? data.n : PART_TEXT;
			data = str_skip(data, PART_TEXT);
			snprintf(number[0], sizeof(number[0]), "%d", part);
			snprintf(number[1], sizeof(number[1]), "%d", parts);
			letter_set(l, STR("dlq_part"), str_of(number[0]));
			letter_set(l, STR("dlq_parts"), str_of(number[1]));
		}
		letter_write(&message, l);
		emit(arg, l->ordering_key, &message);
		buf_release(&message);
	}
	return parts;
}

static int
check_rejected(const struct record *r, const struct json *j, struct err *e)
{
	struct buf bytes = BUF_INIT(LIMIT_LINE);
	int rc = 0;
	if (r->kind != RECORD_REJECTED)
		rc = err_set(e, ERR_INPUT, "it is %s and no rejected record", record_kind_name(r->kind));
	else if (!json_is(j, r->t_errors, JSON_ARRAY))
		rc = err_set(e, ERR_INPUT, "its member 'errors' is not an array");
	else if (r->data.p == NULL || base64_decode(&bytes, r->data) < 0)
		rc = err_set(e, ERR_INPUT, "its member 'data' is not base64");
	buf_release(&bytes);
	return rc;
}

int
deadletter_make(const struct record *r, const struct json *j, int64_t wall, deadletter_emit *emit, void *arg,
    struct err *e)
{
	struct letter original = {0}, empty = {0};
	struct marks m;
	struct buf envelope = BUF_INIT(3 * LIMIT_LINE);
	if (check_rejected(r, j, e) < 0 || letter_read(&original, r, j, e) < 0) {
		letter_release(&original);
		return -1;
	}
	int64_t replays = replays_of(&original);
	const struct attribute *a = letter_get(&original, "dlq_replays");
	if (a != NULL && replays >= 0)
		drop_attribute(&original, (size_t)(a - original.attributes));
	mark_all(&m, r, j, wall, replays < 0 ? 0 : replays);
	int n;
	if (fits_raw(&original)) {
		m.v[m.n++] = (struct attribute){STR("dlq_format"), STR("raw")};
		n = emit_parts(&original, &m, original.data, emit, arg);
	} else {
		m.v[m.n++] = (struct attribute){STR("dlq_format"), STR("envelope")};
		write_envelope(&envelope, &original);
		n = emit_parts(&empty, &m, buf_str(&envelope), emit, arg);
	}
	letter_release(&original);
	letter_release(&empty);
	buf_release(&envelope);
	buf_release(&m.text);
	return n;
}

static bool
is_mark(struct str key)
{
	return str_starts(key, STR("dlq_"));
}

/* [cloud.google.com/pubsub/docs/handling-failures#how_dead_letter_topics_work] */
static bool
is_native_mark(struct str key)
{
	return str_starts(key, STR("CloudPubSubDeadLetterSource"));
}

/* An attribute's whole number from 1 to PARTS_MAX; 0 where it is none. */
static unsigned
small_number(const struct letter *l, const char *key)
{
	const struct attribute *a = letter_get(l, key);
	int64_t n;
	return a != NULL && num_i64(a->value, &n) && n >= 1 && n <= PARTS_MAX ? (unsigned)n : 0;
}

/* The attributes that tell one dead letter from another. Its time counts only where it has no id. */
static void
make_key(struct deadletter *d)
{
	static const char *const names[] = {
	    "dlq_message_id", "dlq_source", "dlq_stage", "dlq_format", "dlq_parts", "dlq_replays"};
	const struct letter *l = &d->letter;
	buf_reset(&d->key, 64 * KIB);
	d->key.max = 64 * KIB;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const struct attribute *a = letter_get(l, names[i]);
		buf_addf(&d->key, "%zu:", a != NULL ? a->value.n : 0);
		if (a != NULL)
			buf_adds(&d->key, a->value);
	}
	if (letter_get(l, "dlq_message_id") == NULL && letter_get(l, "dlq_time") != NULL)
		buf_adds(&d->key, letter_get(l, "dlq_time")->value);
}

/* Reads what our own attributes say. */
static int
read_marks(struct deadletter *d, struct err *e)
{
	const struct letter *l = &d->letter;
	const struct attribute *version = letter_get(l, "dlq_version"), *format = letter_get(l, "dlq_format");
	if (!str_is(version->value, "1"))
		return err_set(e, ERR_INPUT, "its dlq_version is '%.*s', and this tool knows '1'",
		    (int)utf8_cut(version->value, 32), version->value.p);
	if (format == NULL || (!str_is(format->value, "raw") && !str_is(format->value, "envelope")))
		return err_set(e, ERR_INPUT, "its dlq_format is neither 'raw' nor 'envelope'");
	d->envelope = str_is(format->value, "envelope");
	if (letter_get(l, "dlq_part") == NULL && letter_get(l, "dlq_parts") == NULL)
		return 0;
	d->part = small_number(l, "dlq_part");
	d->parts = small_number(l, "dlq_parts");
	if (d->part == 0 || d->parts == 0 || d->part > d->parts)
		return err_set(e, ERR_INPUT, "its dlq_part and dlq_parts are no part of a whole");
	return 0;
}

static void
strip_marks(struct letter *l, bool ours)
{
	size_t kept = 0;
	for (size_t i = 0; i < l->n; i++) {
		struct str key = l->attributes[i].key;
		if (!is_native_mark(key) && !str_is(key, "dlq_replays") && !(ours && is_mark(key)))
			l->attributes[kept++] = l->attributes[i];
	}
	l->n = kept;
}

int
deadletter_read(struct deadletter *d, const struct record *r, const struct json *j, struct err *e)
{
	d->envelope = false;
	d->part = d->parts = 1;
	if (letter_read(&d->letter, r, j, e) < 0)
		return -1;
	bool ours = letter_get(&d->letter, "dlq_version") != NULL;
	d->replays = replays_of(&d->letter);
	if (d->replays < 0)
		return err_set(e, ERR_INPUT, "its dlq_replays is no count");
	if (ours && read_marks(d, e) < 0)
		return -1;
	make_key(d);
	strip_marks(&d->letter, ours);
	return 0;
}

int
deadletter_open(struct deadletter *d, struct str data, struct err *e)
{
	struct err why;
	int64_t version;
	d->letter.data = data;
	if (!d->envelope)
		return 0;
	buf_reset(&d->body, 64 * KIB);
	d->body.max = 3 * LIMIT_LINE;
	if (base64_decode(&d->body, data) < 0 || json_read(&d->json, buf_str(&d->body), &why) < 0 ||
	    !json_i64(&d->json, json_get(&d->json, 0, "dlq_envelope"), &version) || version != 1)
		return err_set(e, ERR_INPUT, "its data are no dead-letter envelope");
	uint32_t inner = json_get(&d->json, 0, "data");
	if (!json_is(&d->json, inner, JSON_STRING))
		return err_set(e, ERR_INPUT, "its envelope has no data");
	d->letter.data = json_text(&d->json, inner);
	return letter_take(&d->letter, &d->json, json_get(&d->json, 0, "attributes"),
	    json_get(&d->json, 0, "ordering_key"), e);
}

void
deadletter_release(struct deadletter *d)
{
	letter_release(&d->letter);
	buf_release(&d->key);
	buf_release(&d->body);
	json_release(&d->json);
}
