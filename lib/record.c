#include "record.h"

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

/* What is looked up in a line, and in its msg. */
enum { MSG, DATA, TYPE, TABLE, TIME, EVENT, ERRORS, END, OBJECT, MEMBERS };
enum { ID, SOURCE, ATTRIBUTES, MSG_MEMBERS };

static const struct str members[MEMBERS] = {
    [MSG] = {"msg", 3}, [DATA] = {"data", 4}, [TYPE] = {"type", 4}, [TABLE] = {"table", 5}, [TIME] = {"time", 4},
    [EVENT] = {"event", 5}, [ERRORS] = {"errors", 6}, [END] = {"end", 3}, [OBJECT] = {"object", 6}};
static const struct str msg_members[MSG_MEMBERS] = {
    [ID] = {"id", 2}, [SOURCE] = {"source", 6}, [ATTRIBUTES] = {"attributes", 10}};

/* The raw text between a string member's quotes; -1 where it is there and no string. */
static int
member(const struct json *j, uint32_t t, const char *name, struct str *out, struct err *e)
{
	if (t == JSON_NONE)
		return 0;
	if (!json_is(j, t, JSON_STRING))
		return err_set(e, ERR_INPUT, "its member '%s' is not a string", name);
	*out = json_text(j, t);
	return 0;
}

/* As member, for texts that are used as they are and so must not hold escapes. */
static int
plain_member(const struct json *j, uint32_t t, const char *name, struct str *out, struct err *e)
{
	if (member(j, t, name, out, e) < 0)
		return -1;
	if (t != JSON_NONE && j->tok[t].escaped)
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
	uint32_t t[MSG_MEMBERS];
	json_get_each(j, r->t_msg, msg_members, MSG_MEMBERS, t);
	r->msg = json_raw(j, r->t_msg);
	if (member(j, t[ID], "msg.id", &r->id, e) < 0 || member(j, t[SOURCE], "msg.source", &r->source, e) < 0)
		return -1;
	r->t_attributes = t[ATTRIBUTES];
	if (r->t_attributes != JSON_NONE && !json_is(j, r->t_attributes, JSON_OBJECT))
		return err_set(e, ERR_INPUT, "its member 'msg.attributes' is not an object");
	return 0;
}

int
record_parse(struct record *r, struct json *j, struct str line, struct err *e)
{
	uint32_t t[MEMBERS];
	*r = (struct record){.end = -1, .line = line, .t_msg = JSON_NONE, .t_attributes = JSON_NONE, .t_event = JSON_NONE,
	    .t_errors = JSON_NONE};
	if (json_read(j, line, e) < 0)
		return -1;
	if (!json_is(j, 0, JSON_OBJECT))
		return err_set(e, ERR_INPUT, "it is no JSON object");
	json_get_each(j, 0, members, MEMBERS, t);
	r->t_msg = t[MSG];
	if (!json_is(j, r->t_msg, JSON_OBJECT)) {
		r->t_msg = JSON_NONE;
		r->kind = t[OBJECT] != JSON_NONE ? RECORD_OBJECT : RECORD_BARE;
		return 0;
	}
	if (parse_msg(r, j, e) < 0 || plain_member(j, t[DATA], "data", &r->data, e) < 0 ||
	    plain_member(j, t[TABLE], "table", &r->table, e) < 0 || plain_member(j, t[TIME], "time", &r->time, e) < 0 ||
	    member(j, t[TYPE], "type", &r->type, e) < 0)
		return -1;
	r->t_event = t[EVENT];
	if (r->t_event != JSON_NONE && !json_is(j, r->t_event, JSON_OBJECT))
		return err_set(e, ERR_INPUT, "its member 'event' is not an object");
	r->event = json_raw(j, r->t_event);
	r->t_errors = t[ERRORS];
	if (t[END] != JSON_NONE && r->source.p != NULL && (!json_i64(j, t[END], &r->end) || r->end < 0))
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
	jsonw_quoted(&w, data_base64);
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
