/* record: what a line is, and what is read from it. */
#include <string.h>

#include "bounds.h"
#include "record.h"
#include "tap.h"

#define ID "1234567890123456789012345678901234567890"
#define MSG "{\"msg\":{\"id\":\"" ID "\",\"source\":\"s\"}"

/* data: the record's; or, with kind -1, a part of why it is none. */
static const struct {
	const char *line;
	int kind;
	const char *data;
} lines[] = {
    {MSG ",\"data\":\"e30=\"}", RECORD_RAW, "e30="},
    {MSG ", \"data\" : \"e30=\" } ", RECORD_RAW, "e30="},
    {MSG ",\"more\":[1],\"data\":\"\"}", RECORD_RAW, ""},
    {"{\"data\":\"e30=\",\"msg\":{\"source\":\"s\",\"id\":\"" ID "\"}}", RECORD_RAW, "e30="},
    {"{\"\\u006dsg\":{\"\\u0069d\":\"" ID "\",\"source\":\"s\"},\"data\":\"e30=\"}", RECORD_RAW, "e30="},
    {MSG ",\"data\":\"e30=\",\"data\":\"e31=\"}", RECORD_RAW, "e30="},
    {MSG ",\"x\":\",\\\"data\\\":\",\"data\":\"e30=\"}", RECORD_RAW, "e30="},
    {MSG ",\"event\":{},\"data\":\"e30=\"}", RECORD_VALID, "e30="},
    {MSG ",\"type\":\"t\",\"table\":\"t\",\"time\":\"t\",\"event\":{\"data\":1}}", RECORD_VALID, NULL},
    {MSG ",\"errors\":[],\"data\":\"e30=\"}", RECORD_REJECTED, "e30="},
    {MSG "}", RECORD_RECEIPT, NULL},
    {MSG ",\"end\":7}", RECORD_END, NULL},
    {MSG ",\"end\":-7}", RECORD_RECEIPT, NULL},
    {"{\"object\":\"gs://b/o\"}", RECORD_OBJECT, NULL},
    {"{\"msg\":[],\"data\":\"e30=\"}", RECORD_BARE, NULL},
    {"{\"x\":1,\"data\":\"e30=\"}", RECORD_BARE, NULL},
    {"{}", RECORD_BARE, NULL},
    {MSG ",\"data\":\"e3\\u0030=\"}", -1, "'data' holds an escape"},
    {MSG ",\"data\":\"e30=\\\"}", -1, "at byte"},
    {MSG ",\"data\":\"\x01\"}", -1, "at byte"},
    {MSG ",\"data\":\"\xff\"}", -1, "not UTF-8"},
    {MSG ",\"data\":1}", -1, "'data' is not a string"},
    {MSG ",\"event\":1}", -1, "'event' is not an object"},
    {MSG "},\"data\":\"e30=\"}", -1, "trailing garbage"},
    {"[" MSG ",\"data\":\"e30=\"}", -1, "at byte"},
    {"{\"msg\":{\"id\":1},\"data\":\"e30=\"}", -1, "'msg.id' is not a string"},
    {"{\"msg\":{\"source\":null}}", -1, "'msg.source' is not a string"},
    {"{\"msg\":{\"attributes\":[]}}", -1, "'msg.attributes' is not an object"},
    {"{\"msg\":{\"id\":\"" ID "\",\"data\":\"e30=\"}", -1, "at byte"},
    {"[]", -1, "no JSON object"},
    {",\"data\":\"\"}", -1, "at byte"},
    {"\"}", -1, "at byte"},
    {"", -1, "an empty text"},
};

static void
test_line(struct json *j, const char *line, int kind, const char *data)
{
	struct record r;
	struct err e = {0};
	if (record_parse(&r, j, str_of(line), &e) < 0) {
		ok(kind == -1 && e.class == ERR_INPUT && strstr(e.text, data) != NULL, "%s: %s", line, e.text);
		return;
	}
	bool good = (int)r.kind == kind && str_eq(r.data, str_of(data)) && (r.data.p == NULL) == (data == NULL);
	if (kind != RECORD_BARE && kind != RECORD_OBJECT)
		good = good && str_is(r.id, ID) && str_is(r.source, "s") && str_starts(r.msg, STR("{")) &&
		    str_ends(r.msg, STR("}"));
	if (kind == RECORD_VALID)
		good = good && json_is(j, r.t_event, JSON_OBJECT) && str_starts(r.event, STR("{"));
	ok(good && (kind == RECORD_END ? r.end == 7 : r.end == -1), "%s: %s", line, record_kind_name(r.kind));
}

int
main(void)
{
	struct json j = {0};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		test_line(&j, lines[i].line, lines[i].kind, lines[i].data);
	json_release(&j);
	return done();
}
