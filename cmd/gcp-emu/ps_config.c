/* ps_config: a subscription's settings, from JSON and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "num.h"
#include "ps.h"
#include "xalloc.h"

#define DAY SECONDS(86400)

struct reader {
	struct ps_call *call;
	const struct json *j;
	struct sub_config *c;
	bool trusted;
};

void
sub_config_default(struct sub_config *c)
{
	*c = (struct sub_config){.deadline = 10, .retention = 7 * DAY, .ttl = 31 * DAY, .dead_attempts = 5,
	    .retry_min = SECONDS(10), .retry_max = SECONDS(600)};
}

void
sub_config_copy(struct sub_config *to, const struct sub_config *from)
{
	*to = *from;
	to->labels = from->labels != NULL ? xstrdup(from->labels) : NULL;
	to->dead_topic = from->dead_topic != NULL ? xstrdup(from->dead_topic) : NULL;
}

void
sub_config_release(struct sub_config *c)
{
	free(c->labels);
	free(c->dead_topic);
	c->labels = c->dead_topic = NULL;
}

bool
ps_duration(struct str s, int64_t *micros)
{
	double v;
	if (s.n < 2 || s.n > 24 || s.p[s.n - 1] != 's')
		return false;
	struct str number = {s.p, s.n - 1};
	if (!num_double(number, &v) || v < 0 || v > 315576000000.0)
		return false;
	*micros = (int64_t)(v * 1e6 + 0.5);
	return true;
}

void
ps_write_duration(struct jsonw *w, const char *key, int64_t micros)
{
	char text[40];
	int n = snprintf(text, sizeof(text), "%lld", (long long)(micros / 1000000));
	if (micros % 1000000 != 0)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ".%06lld", (long long)(micros % 1000000));
	text[n] = 's';
	text[n + 1] = '\0';
	jsonw_member(w, key, str_of(text));
}

bool
ps_labels(const struct json *j, uint32_t t, char **out)
{
	*out = NULL;
	if (t == JSON_NONE || json_is(j, t, JSON_NULL))
		return true;
	if (!json_is(j, t, JSON_OBJECT) || j->tok[t].count > 64)
		return false;
	struct buf b = BUF_INIT(64 * 1024);
	struct jsonw w = jsonw_to(&b);
	bool ok = true;
	jsonw_object(&w);
	for (uint32_t k = json_first(t); ok && k < json_end(j, t); k = j->tok[k + 1].next) {
		ok = json_is(j, k + 1, JSON_STRING);
		jsonw_raw(&w, json_raw(j, k));
		buf_addc(&b, ':');
		w.comma = false;
		jsonw_raw(&w, json_raw(j, k + 1));
	}
	jsonw_end(&w);
	ok = ok && !b.over;
	if (ok && b.n > 2)
		*out = str_dup(buf_str(&b));
	buf_release(&b);
	return ok;
}

static bool
absent(const struct json *j, uint32_t t)
{
	return t == JSON_NONE || json_is(j, t, JSON_NULL);
}

static bool
read_deadline(struct reader *r, uint32_t t)
{
	int64_t v = 0, min = r->call->emu->min_deadline;
	if (!absent(r->j, t) && !json_i64(r->j, t, &v)) {
		ps_bad(r->call, "Invalid value at 'subscription.ack_deadline_seconds' (TYPE_INT32)");
		return false;
	}
	if (v == 0)
		v = 10;
	else if (!r->trusted && (v < min || v > PS_DEADLINE_MAX)) {
		ps_bad(r->call, "Invalid ack deadline (ack_deadline_secs=%lld): it must be between %lld and %d seconds.",
		    (long long)v, (long long)min, PS_DEADLINE_MAX);
		return false;
	}
	r->c->deadline = v;
	return true;
}

/* A duration member of object t: left alone where absent. */
static bool
read_duration(struct reader *r, uint32_t t, const char *what, int64_t min, int64_t max, int64_t *to)
{
	int64_t v;
	if (absent(r->j, t))
		return true;
	if (!json_is(r->j, t, JSON_STRING) || !ps_duration(json_text(r->j, t), &v)) {
		ps_bad(r->call, "Invalid value at 'subscription.%s', not a duration such as \"600s\"", what);
		return false;
	}
	if (!r->trusted && (v < min || v > max)) {
		ps_bad(r->call,
		    "The value for %s is out of bounds. You passed %llds in the request, but it must be between %llds and "
		    "%llds.",
		    what, (long long)(v / 1000000), (long long)(min / 1000000), (long long)(max / 1000000));
		return false;
	}
	*to = v;
	return true;
}

static bool
read_retention(struct reader *r, uint32_t t)
{
	r->c->retention = 7 * DAY;
	return read_duration(r, t, "message_retention_duration", SECONDS(600), 31 * DAY, &r->c->retention);
}

static bool
read_expiration(struct reader *r, uint32_t t)
{
	r->c->ttl = 31 * DAY;
	if (absent(r->j, t))
		return true;
	r->c->ttl = 0; /* a policy without ttl: never */
	return read_duration(r, json_get(r->j, t, "ttl"), "expiration_policy.ttl", DAY, 3650 * DAY, &r->c->ttl);
}

static bool
read_retry(struct reader *r, uint32_t t)
{
	struct sub_config *c = r->c;
	c->retry = !absent(r->j, t);
	c->retry_min = SECONDS(10);
	c->retry_max = SECONDS(600);
	if (!c->retry)
		return true;
	uint32_t min = json_get(r->j, t, "minimumBackoff"), max = json_get(r->j, t, "maximumBackoff");
	if (!read_duration(r, min, "minimum_backoff", 0, SECONDS(600), &c->retry_min) ||
	    !read_duration(r, max, "maximum_backoff", 0, SECONDS(600), &c->retry_max))
		return false;
	if (c->retry_min <= c->retry_max)
		return true;
	ps_bad(r->call, "minimum_backoff must not be greater than maximum_backoff.");
	return false;
}

static bool
read_dead_topic(struct reader *r, uint32_t t)
{
	char *topic = json_dup(r->j, json_get(r->j, t, "deadLetterTopic"));
	free(r->c->dead_topic);
	r->c->dead_topic = topic;
	if (topic == NULL || ps_check_name(str_of(topic), "topics") != NULL) {
		ps_bad(r->call, "Invalid value at 'subscription.dead_letter_policy.dead_letter_topic': it must be "
				"projects/PROJECT/topics/TOPIC");
		return false;
	}
	if (!r->trusted && topic_get(r->call->p, str_of(topic)) == NULL) {
		ps_missing(r->call, "Dead letter topic", str_of(topic));
		return false;
	}
	return true;
}

static bool
read_dead(struct reader *r, uint32_t t)
{
	int64_t attempts = 0;
	free(r->c->dead_topic);
	r->c->dead_topic = NULL;
	r->c->dead_attempts = 5;
	if (absent(r->j, t) || (json_is(r->j, t, JSON_OBJECT) && r->j->tok[t].count == 0))
		return true;
	if (!read_dead_topic(r, t))
		return false;
	uint32_t n = json_get(r->j, t, "maxDeliveryAttempts");
	if (!absent(r->j, n) && !json_i64(r->j, n, &attempts)) {
		ps_bad(r->call, "Invalid value at 'subscription.dead_letter_policy.max_delivery_attempts' (TYPE_INT32)");
		return false;
	}
	if (attempts == 0)
		attempts = 5;
	if (attempts < 5 || attempts > 100) {
		reply_rpc_error(r->call->rep, 400, "OUT_OF_RANGE",
		    "The value for max_delivery_attempts is too %s. You passed %lld in the request, but the %s value is %d.",
		    attempts < 5 ? "small" : "large", (long long)attempts, attempts < 5 ? "minimum" : "maximum",
		    attempts < 5 ? 5 : 100);
		return false;
	}
	r->c->dead_attempts = attempts;
	return true;
}

static bool
read_labels(struct reader *r, uint32_t t)
{
	free(r->c->labels);
	if (ps_labels(r->j, t, &r->c->labels))
		return true;
	ps_bad(r->call, "Invalid value at 'subscription.labels', not an object of at most 64 strings");
	return false;
}

static bool
read_retain(struct reader *r, uint32_t t)
{
	r->c->retain_acked = json_true(r->j, t);
	return true;
}

static bool
read_ordering(struct reader *r, uint32_t t)
{
	r->c->ordered = json_true(r->j, t);
	return true;
}

/* What would change how messages are delivered, and is not done here, is refused where it is asked for. */
static bool
read_push(struct reader *r, uint32_t t)
{
	if (json_text(r->j, json_get(r->j, t, "pushEndpoint")).n == 0)
		return true;
	ps_not_emulated(r->call, "A push subscription");
	return false;
}

static bool
read_filter(struct reader *r, uint32_t t)
{
	if (json_text(r->j, t).n == 0 || json_is(r->j, t, JSON_NULL))
		return true;
	ps_not_emulated(r->call, "A subscription's filter");
	return false;
}

static bool
read_exactly_once(struct reader *r, uint32_t t)
{
	if (!json_true(r->j, t))
		return true;
	ps_not_emulated(r->call, "Exactly-once delivery");
	return false;
}

static bool
read_export(struct reader *r, uint32_t t)
{
	if (absent(r->j, t) || r->j->tok[t].count == 0)
		return true;
	ps_not_emulated(r->call, "A subscription that writes to BigQuery or Cloud Storage, or transforms messages,");
	return false;
}

static const struct field {
	const char *name;
	bool (*read)(struct reader *r, uint32_t t);
	bool fixed; /* not to be changed after creation */
} fields[] = {
    {"ackDeadlineSeconds", read_deadline, false},
    {"messageRetentionDuration", read_retention, false},
    {"retainAckedMessages", read_retain, false},
    {"expirationPolicy", read_expiration, false},
    {"retryPolicy", read_retry, false},
    {"deadLetterPolicy", read_dead, false},
    {"labels", read_labels, false},
    {"pushConfig", read_push, false},
    {"enableExactlyOnceDelivery", read_exactly_once, false},
    {"bigqueryConfig", read_export, false},
    {"cloudStorageConfig", read_export, false},
    {"messageTransforms", read_export, false},
    {"enableMessageOrdering", read_ordering, true},
    {"filter", read_filter, true},
    {NULL, NULL, false},
};

/* A mask's part, "ack_deadline_seconds" or "ackDeadlineSeconds" or "labels.x", names field f. */
static bool
names(struct str part, const char *f)
{
	part.n = str_find(part, '.');
	for (; part.n > 0; part = str_skip(part, 1), f++) {
		char c = part.p[0];
		if (c == '_' && part.n > 1) {
			part = str_skip(part, 1);
			c = part.p[0] >= 'a' && part.p[0] <= 'z' ? (char)(part.p[0] - 'a' + 'A') : part.p[0];
		}
		if (c != *f)
			return false;
	}
	return *f == '\0';
}

static bool
read_masked(struct reader *r, uint32_t object, struct str part)
{
	for (const struct field *f = fields; f->name != NULL; f++) {
		if (!names(part, f->name))
			continue;
		if (f->fixed) {
			ps_bad(r->call,
			    "Invalid update_mask provided in the UpdateSubscriptionRequest: the '%s' field cannot be changed.",
			    f->name);
			return false;
		}
		return f->read(r, json_get(r->j, object, f->name));
	}
	ps_bad(r->call,
	    "Invalid update_mask provided in the UpdateSubscriptionRequest: '%.*s' is not a known Subscription field.",
	    STR_ARG(part));
	return false;
}

bool
sub_config_read(struct ps_call *call, struct sub_config *c, uint32_t object, const char *mask, bool trusted)
{
	struct reader r = {.call = call, .j = call->j, .c = c, .trusted = trusted};
	if (mask == NULL) {
		for (const struct field *f = fields; f->name != NULL; f++) {
			if (!f->read(&r, json_get(r.j, object, f->name)))
				return false;
		}
		return true;
	}
	struct str rest = str_of(mask);
	if (rest.n == 0) {
		ps_bad(call,
		    "The update_mask in the UpdateSubscriptionRequest must be set, and must contain a non-empty paths list.");
		return false;
	}
	while (rest.n > 0) {
		struct str part = {rest.p, str_find(rest, ',')};
		rest = str_skip(rest, part.n + 1);
		if (!read_masked(&r, object, str_trim(part)))
			return false;
	}
	return true;
}

static void
write_policies(const struct sub_config *c, struct jsonw *w)
{
	jsonw_key(w, "expirationPolicy");
	jsonw_object(w);
	if (c->ttl > 0)
		ps_write_duration(w, "ttl", c->ttl);
	jsonw_end(w);
	if (c->dead_topic != NULL) {
		jsonw_key(w, "deadLetterPolicy");
		jsonw_object(w);
		jsonw_member(w, "deadLetterTopic", str_of(c->dead_topic));
		jsonw_key(w, "maxDeliveryAttempts");
		jsonw_i64(w, c->dead_attempts);
		jsonw_end(w);
	}
	if (c->retry) {
		jsonw_key(w, "retryPolicy");
		jsonw_object(w);
		ps_write_duration(w, "minimumBackoff", c->retry_min);
		ps_write_duration(w, "maximumBackoff", c->retry_max);
		jsonw_end(w);
	}
}

void
sub_write(const struct sub *s, struct jsonw *w)
{
	const struct sub_config *c = &s->c;
	jsonw_object(w);
	jsonw_member(w, "name", str_of(s->name));
	jsonw_member(w, "topic", s->topic != NULL ? str_of(s->topic->name) : STR("_deleted-topic_"));
	jsonw_key(w, "pushConfig");
	jsonw_raw(w, STR("{}"));
	jsonw_key(w, "ackDeadlineSeconds");
	jsonw_i64(w, c->deadline);
	if (c->retain_acked) {
		jsonw_key(w, "retainAckedMessages");
		jsonw_bool(w, true);
	}
	ps_write_duration(w, "messageRetentionDuration", c->retention);
	if (c->labels != NULL) {
		jsonw_key(w, "labels");
		jsonw_raw(w, str_of(c->labels));
	}
	if (c->ordered) {
		jsonw_key(w, "enableMessageOrdering");
		jsonw_bool(w, true);
	}
	write_policies(c, w);
	jsonw_member(w, "state", STR("ACTIVE"));
	jsonw_end(w);
}
