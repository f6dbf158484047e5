#include "record.h"

#include <string.h>

#include "bounds.h"
#include "log.h"

const char *
record_kind_name(enum record_kind k)
{
	static const char *const names[] = {
	    "a bare event", "a raw record", "a valid record", "a rejected record", "a receipt",
	    "a file's end", "an object line"};
	return names[k];
}

/* The raw text between a string member's quotes; -1 where it is there and no string. */
static int
member(const struct json *j, uint32_t object, const char *name, const char *place, struct str *out, struct err *e)
{
	uint32_t t = json_get(j, object, name);
	if (t == JSON_NONE)
		return 0;
	if (!json_is(j, t, JSON_STRING))
		return err_set(e, ERR_INPUT, "its member '%s%s' is not a string", place, name);
	*out = json_text(j, t);
	return 0;
}

/* As member, for texts that are used as they are and so must not hold escapes. */
static int
plain_member(const struct json *j, const char *name, struct str *out, struct err *e)
{
	if (member(j, 0, name, "", out, e) < 0)
		return -1;
	if (str_find(*out, '\\') < out->n)
		return err_set(e, ERR_INPUT, "its member '%s' holds an escape", name);
	return 0;
}

static enum record_kind
kind_of(const struct record *r)
{
	if (r->t_msg == JSON_NONE)
		return RECORD_BARE;
	if (r->event.p != NULL)
		return RECORD_VALID;
	if (r->t_errors != JSON_NONE)
		return RECORD_REJECTED;
	if (r->data.p != NULL)
		return RECORD_RAW;
	return r->end >= 0 ? RECORD_END : RECORD_RECEIPT;
}

static int
parse_msg(struct record *r, const struct json *j, struct err *e)
{
	r->msg = json_raw(j, r->t_msg);
	if (member(j, r->t_msg, "id", "msg.", &r->id, e) < 0 ||
	    member(j, r->t_msg, "source", "msg.", &r->source, e) < 0)
		return -1;
	r->t_attributes = json_get(j, r->t_msg, "attributes");
	if (r->t_attributes != JSON_NONE && !json_is(j, r->t_attributes, JSON_OBJECT))
		return err_set(e, ERR_INPUT, "its member 'msg.attributes' is not an object");
	return 0;
}

#define HEAD_MAX 4096 /* bytes of a raw record before its data that are worth a copy */

/* Could s, which holds no quote, stand in a JSON string without an escape? Eight bytes at a time. */
static bool
is_plain(struct str s)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones * 0x80;
	uint64_t bad = 0, w;
	for (size_t i = 0; i < s.n; i += sizeof(w)) {
		size_t n = s.n - i < sizeof(w) ? s.n - i : sizeof(w);
		w = ones * 'A';
		memcpy(&w, s.p + i, n);
		uint64_t slash = w ^ ones * '\\';
		/* not ASCII; below a blank; a backslash */
		bad |= (w | (w - ones * 0x20) | (slash - ones)) & tops;
	}
	return bad == 0;
}

/*
 * Our writers put the data last, and they are most of the line: {"msg":{...},"data":"BASE64"}. A plain text needs no
 * parser, so the line is parsed as if its data were empty, and their token is set afterwards. false where the line
 * is anything else, and j is to be filled anew.
 */
static bool
parse_raw(struct json *j, struct str line)
{
	char head[HEAD_MAX + 2];
	if (line.n < 64 || line.p[line.n - 1] != '}' || line.p[line.n - 2] != '"')
		return false;
	const char *quote = memrchr(line.p, '"', line.n - 2);
	size_t n = quote != NULL ? (size_t)(quote - line.p) + 1 : 0;
	struct str data = {line.p + n, line.n - 2 - n};
	if (n == 0 || n > HEAD_MAX || !str_ends((struct str){line.p, n - 1}, STR(",\"data\":")) || !is_plain(data))
		return false;
	memcpy(head, line.p, n);
	memcpy(head + n, "\"}", 2);
	if (json_parse(j, (struct str){head, n + 2}) != JSON_OK || j->tok[j->n - 1].at != n)
		return false;
	j->text = line;
	j->tok[0].len = (uint32_t)line.n;
	j->tok[j->n - 1].len = (uint32_t)data.n;
	return true;
}

int
record_parse(struct record *r, struct json *j, struct str line, struct err *e)
{
	*r = (struct record){.end = -1, .line = line, .t_msg = JSON_NONE, .t_attributes = JSON_NONE, .t_event = JSON_NONE,
	    .t_errors = JSON_NONE};
	if (!parse_raw(j, line) && json_read(j, line, e) < 0)
		return -1;
	if (!json_is(j, 0, JSON_OBJECT))
		return err_set(e, ERR_INPUT, "it is no JSON object");
	r->t_msg = json_get(j, 0, "msg");
	if (!json_is(j, r->t_msg, JSON_OBJECT)) {
		r->t_msg = JSON_NONE;
		r->kind = json_get(j, 0, "object") != JSON_NONE ? RECORD_OBJECT : RECORD_BARE;
		return 0;
	}
	if (parse_msg(r, j, e) < 0 || plain_member(j, "data", &r->data, e) < 0 ||
	    plain_member(j, "table", &r->table, e) < 0 || plain_member(j, "time", &r->time, e) < 0 ||
	    member(j, 0, "type", "", &r->type, e) < 0)
		return -1;
	r->t_event = json_get(j, 0, "event");
	if (r->t_event != JSON_NONE && !json_is(j, r->t_event, JSON_OBJECT))
		return err_set(e, ERR_INPUT, "its member 'event' is not an object");
	r->event = json_raw(j, r->t_event);
	r->t_errors = json_get(j, 0, "errors");
	uint32_t end = json_get(j, 0, "end");
	if (end != JSON_NONE && r->source.p != NULL && (!json_i64(j, end, &r->end) || r->end < 0))
		r->end = -1;
	r->kind = kind_of(r);
	return 0;
}

int
record_take(struct record *r, struct json *j, const struct line *l, const char *name, struct err *e)
{
	unsigned long long number = l->number;
	if (l->torn) {
		log_error("cannot use line %llu of '%s': it is torn (%llu bytes without a newline); its writer was cut off",
		    number, name, (unsigned long long)l->length);
		return 0;
	}
	if (l->length > LIMIT_LINE)
		return err_set(e, ERR_INPUT, "cannot use line %llu of '%s': it is %llu bytes, and the most is %llu", number, name,
		    (unsigned long long)l->length, LIMIT_LINE);
	if (record_parse(r, j, l->text, e) < 0)
		return err_wrap(e, "cannot use line %llu of '%s'", number, name);
	return 1;
}

void
record_write_rejected(struct buf *out, struct str msg, struct str data_base64, const char *stage,
    const struct record_fault *faults, size_t n)
{
	struct jsonw w = jsonw_to(out);
	jsonw_object(&w);
	jsonw_key(&w, "msg");
	jsonw_raw(&w, msg);
	jsonw_key(&w, "data");
	jsonw_str(&w, data_base64);
	jsonw_key(&w, "stage");
	jsonw_cstr(&w, stage);
	jsonw_key(&w, "errors");
	jsonw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jsonw_object(&w);
		jsonw_member(&w, "code", faults[i].code);
		jsonw_member(&w, "path", faults[i].path);
		jsonw_member(&w, "detail", faults[i].detail);
		jsonw_end(&w);
	}
	jsonw_end(&w);
	jsonw_end(&w);
}

void
record_write_receipt(struct buf *out, struct str id)
{
	buf_addz(out, "{\"msg\":{\"id\":\"");
	buf_adds(out, id);
	buf_addz(out, "\"}}");
}

void
record_write_end(struct buf *out, struct str source, uint64_t n)
{
	buf_addz(out, "{\"msg\":{\"source\":\"");
	buf_adds(out, source);
	buf_addf(out, "\"},\"end\":%llu}", (unsigned long long)n);
}
