#include "pubsub.h"

#include <stdio.h>

#include "bounds.h"
#include "clock.h"
#include "jsonw.h"

/* An idle pull is answered after about 90 s; ours must outwait that. */
#define PULL_TIMEOUT SECONDS(120)
#define CALL_TIMEOUT SECONDS(60)

int
pubsub_init(struct gapi *g, struct http *http, const struct login *login, int64_t patience, struct err *e)
{
	if (gapi_init(g, http, "PUBSUB_EMULATOR_HOST", "https://pubsub.googleapis.com", login, patience, e) < 0)
		return -1;
	g->aborted_is_transient = true;
	return 0;
}

/* BASE/v1/NAME:VERB, or without a verb. A name is checked (url.h); its one odd character is "%". */
static void
write_url(struct buf *url, const struct gapi *g, const char *name, const char *verb)
{
	buf_addf(url, "%s/v1/", g->endpoint.base);
	for (const char *c = name; *c != '\0'; c++) {
		if (*c == '%')
			buf_addz(url, "%25");
		else
			buf_addc(url, *c);
	}
	if (verb != NULL)
		buf_addf(url, ":%s", verb);
}

static struct gapi_call *
call(struct gapi *g, const char *name, const char *verb, struct gapi_spec spec, gapi_done *done, void *arg)
{
	struct buf url = BUF_INIT(4 * KIB);
	write_url(&url, g, name, verb);
	spec.method = "POST";
	spec.url = buf_cstr(&url);
	spec.object = name;
	struct gapi_call *c = gapi_start(g, &spec, done, arg);
	buf_release(&url);
	return c;
}

struct gapi_call *
pubsub_pull(struct gapi *g, const char *subscription, unsigned max, gapi_done *done, void *arg)
{
	struct buf body = BUF_INIT(256);
	buf_addf(&body, "{\"maxMessages\":%u}", max);
	struct gapi_spec spec = {.body = &body, .what = "pull from", .timeout = PULL_TIMEOUT};
	return call(g, subscription, "pull", spec, done, arg);
}

static int
read_message(struct json *j, uint32_t t, struct buf *scratch, struct pubsub_message *m, struct err *e)
{
	uint32_t message = json_get(j, t, "message");
	uint32_t data = json_get(j, message, "data"), attributes = json_get(j, message, "attributes");
	uint32_t key = json_get(j, message, "orderingKey");
	buf_reset(scratch, scratch->cap);
	*m = (struct pubsub_message){0};
	/* Room first: views into scratch must not move. */
	buf_room(scratch, j->tok[t].len);
	m->ack_id = json_string(j, json_get(j, t, "ackId"), scratch);
	m->id = json_string(j, json_get(j, message, "messageId"), scratch);
	m->data = json_string(j, data, scratch);
	m->time = json_string(j, json_get(j, message, "publishTime"), scratch);
	if (m->ack_id.n == 0 || m->id.n == 0)
		return err_set(e, ERR_TRANSIENT, "a message without ackId or messageId");
	if (m->ack_id.n > PUBSUB_ACK_ID_MAX)
		return err_set(e, ERR_TRANSIENT, "an ackId of %zu bytes", m->ack_id.n);
	if (data != JSON_NONE && m->data.p == NULL)
		return err_set(e, ERR_TRANSIENT, "a message whose data is no string");
	if (json_is(j, attributes, JSON_OBJECT) && j->tok[attributes].count > 0)
		m->attributes = json_raw(j, attributes);
	if (json_is(j, key, JSON_STRING) && j->tok[key].len > 0)
		m->ordering_key = json_raw(j, key);
	json_i64(j, json_get(j, t, "deliveryAttempt"), &m->attempt);
	return 0;
}

long
pubsub_read_pull(struct json *j, struct str body, int (*each)(void *arg, const struct pubsub_message *m), void *arg,
    struct err *e)
{
	struct buf scratch = BUF_INIT(LIMIT_REPLY);
	struct pubsub_message m;
	long n = 0;
	if (json_read(j, body, e) < 0 || !json_is(j, 0, JSON_OBJECT))
		return err_set(e, ERR_TRANSIENT, "a pull's reply is no JSON object");
	uint32_t list = json_get(j, 0, "receivedMessages");
	if (list != JSON_NONE && !json_is(j, list, JSON_ARRAY))
		return err_set(e, ERR_TRANSIENT, "a pull's receivedMessages is no array");
	for (uint32_t t = list == JSON_NONE ? 0 : json_first(list); list != JSON_NONE && t < json_end(j, list);
	     t = j->tok[t].next, n++) {
		if (read_message(j, t, &scratch, &m, e) < 0 || each(arg, &m) < 0) {
			n = -1;
			break;
		}
	}
	buf_release(&scratch);
	return n;
}

static void
write_ack_ids(struct jsonw *w, const struct str *ids, size_t n)
{
	jsonw_key(w, "ackIds");
	jsonw_array(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, ids[i]);
	jsonw_end(w);
}

struct gapi_call *
pubsub_acknowledge(struct gapi *g, const char *subscription, const struct str *ids, size_t n, gapi_done *done, void *arg)
{
	struct buf body = BUF_INIT(4 * MIB);
	struct jsonw w = jsonw_to(&body);
	jsonw_object(&w);
	write_ack_ids(&w, ids, n);
	jsonw_end(&w);
	struct gapi_spec spec = {.body = &body, .what = "acknowledge on", .timeout = CALL_TIMEOUT};
	return call(g, subscription, "acknowledge", spec, done, arg);
}

struct gapi_call *
pubsub_modify_deadline(struct gapi *g, const char *subscription, const struct str *ids, size_t n, int seconds,
    gapi_done *done, void *arg)
{
	struct buf body = BUF_INIT(4 * MIB);
	struct jsonw w = jsonw_to(&body);
	jsonw_object(&w);
	jsonw_key(&w, "ackDeadlineSeconds");
	jsonw_i64(&w, seconds);
	write_ack_ids(&w, ids, n);
	jsonw_end(&w);
	struct gapi_spec spec = {.body = &body, .what = "extend leases on", .timeout = CALL_TIMEOUT};
	return call(g, subscription, "modifyAckDeadline", spec, done, arg);
}

struct gapi_call *
pubsub_publish(struct gapi *g, const char *topic, struct buf *body, gapi_done *done, void *arg)
{
	struct gapi_spec spec = {.body = body, .what = "publish to", .timeout = CALL_TIMEOUT};
	return call(g, topic, "publish", spec, done, arg);
}

long
pubsub_read_publish(struct json *j, struct str body, struct err *e)
{
	if (json_read(j, body, e) < 0 || !json_is(j, json_get(j, 0, "messageIds"), JSON_ARRAY))
		return err_set(e, ERR_TRANSIENT, "a publish's reply has no messageIds");
	return j->tok[json_get(j, 0, "messageIds")].count;
}

/*
 * For what does not exist testIamPermissions answers as for what one may not use: with no permissions and no 404. The
 * difference is asked for, and where that may not be seen either, the first answer stands.
 */
static void
tell_missing(struct gapi *g, const char *name, struct err *e)
{
	struct buf url = BUF_INIT(4 * KIB);
	struct err why = {0};
	int status = 0;
	write_url(&url, g, name, NULL);
	struct gapi_spec spec = {.method = "GET", .url = buf_cstr(&url), .what = "find", .object = name,
	    .timeout = CALL_TIMEOUT};
	if (gapi_sync(g, &spec, NULL, &status, &why) < 0 && status == 404)
		*e = why;
	buf_release(&url);
}

int
pubsub_check(struct gapi *g, const char *name, const char *permission, struct err *e)
{
	struct buf url = BUF_INIT(4 * KIB);
	const char *const wanted[] = {permission, NULL};
	write_url(&url, g, name, "testIamPermissions");
	int rc = gapi_test_permissions(g, buf_cstr(&url), false, name, wanted, e);
	if (rc < 0 && e->class == ERR_AUTH)
		tell_missing(g, name, e);
	buf_release(&url);
	return rc;
}
