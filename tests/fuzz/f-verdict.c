/*
 * verdict: an event's verdict is the same whichever way it was parsed; a text that another parser refuses is not accepted,
 * nor the other way round; faults are in order; what is cut out leaves a valid event, and so does what ev-validate prints.
 */
#include "check.h"
#include "fuzz.h"
#include "oracle.h"

/* Every type, mode and check. */
static const char everything[] =
    "{\"discriminator\":\"t\",\"tables\":{\"all\":{\"event_type\":\"a\",\"partition\":{\"field\":\"ts\",\"type\":\"DAY\"},"
    "\"fields\":[{\"name\":\"ts\",\"type\":\"TIMESTAMP\",\"mode\":\"REQUIRED\"},"
    "{\"name\":\"i\",\"type\":\"INT64\",\"minimum\":-5,\"maximum\":9007199254740993},"
    "{\"name\":\"f\",\"type\":\"FLOAT64\",\"minimum\":-1.5,\"maximum\":1e300},"
    "{\"name\":\"n\",\"type\":\"NUMERIC\",\"minimum\":-1.000000001,\"maximum\":99999999999999999999999999999.999999999},"
    "{\"name\":\"b\",\"type\":\"BOOL\"},{\"name\":\"y\",\"type\":\"BYTES\",\"max_length\":9},"
    "{\"name\":\"d\",\"type\":\"DATE\"},{\"name\":\"dt\",\"type\":\"DATETIME\"},{\"name\":\"h\",\"type\":\"TIME\"},"
    "{\"name\":\"e\",\"type\":\"STRING\",\"enum\":[\"x\",\"\\u00e9\"]},{\"name\":\"u\",\"type\":\"STRING\",\"format\":\"uuid\"},"
    "{\"name\":\"s\",\"type\":\"STRING\",\"min_length\":2,\"max_length\":4},"
    "{\"name\":\"l\",\"type\":\"INT64\",\"mode\":\"REPEATED\",\"min_items\":1},"
    "{\"name\":\"r\",\"type\":\"RECORD\",\"mode\":\"REPEATED\",\"fields\":[{\"name\":\"k\",\"type\":\"STRING\","
    "\"mode\":\"REQUIRED\"},{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":[{\"name\":\"z\",\"type\":\"BOOL\"}]}]}]}}}";

static bool slowly;

enum json_result __real_json_parse(struct json *j, struct str text);
enum json_result __wrap_json_parse(struct json *j, struct str text);

enum json_result
__wrap_json_parse(struct json *j, struct str text)
{
	return slowly ? json_parse_fully(j, text) : __real_json_parse(j, text);
}

struct judges {
	struct schema schema;
	struct check *fast, *slow, *drop;
};

static void
same(const struct verdict *a, const struct verdict *b)
{
	MUST(a->table == b->table && a->nfaults == b->nfaults && a->parsed == b->parsed);
	MUST(a->nfaults > 0 || a->time == b->time);
	for (unsigned i = 0; i < a->nfaults; i++) {
		const struct fault *x = &a->faults[i], *y = &b->faults[i];
		MUST(strcmp(x->code, y->code) == 0 && str_eq(x->path, y->path) && str_eq(x->detail, y->detail));
	}
}

static void
in_order(const struct verdict *v)
{
	MUST(v->nfaults <= LIMIT_FAULTS);
	for (unsigned i = 1; i < v->nfaults; i++) {
		int c = str_cmp(v->faults[i - 1].path, v->faults[i].path);
		MUST(c < 0 || (c == 0 && strcmp(v->faults[i - 1].code, v->faults[i].code) < 0));
	}
}

/* With the cuts taken out, or with line ends made spaces, it is as valid as before, and of the same time. */
static void
still_valid(struct judges *x, struct str text, const struct verdict *v)
{
	struct buf out = BUF_INIT(text.n);
	uint32_t at = 0;
	int64_t time = v->time;
	for (uint32_t i = 0; i <= v->ncuts; i++) {
		uint32_t to = i < v->ncuts ? v->cuts[i].from : (uint32_t)text.n;
		MUST(to >= at && to <= text.n);
		buf_add(&out, text.p + at, to - at);
		at = i < v->ncuts ? v->cuts[i].to : to;
	}
	for (size_t i = 0; i < out.n; i++) {
		if (out.p[i] == '\r' || out.p[i] == '\n')
			out.p[i] = ' ';
	}
	const struct verdict *again = check_event(x->fast, buf_str(&out));
	MUST(again->nfaults == 0 && again->time == time);
	buf_release(&out);
}

static void
judge(struct judges *x, struct str text)
{
	const struct verdict *fast = check_event(x->fast, text);
	slowly = true;
	const struct verdict *slow = check_event(x->slow, text);
	slowly = false;
	same(fast, slow);
	in_order(fast);
	enum oracle says = oracle_asks(text);
	bool bad = fast->nfaults == 1 && (strcmp(fast->faults[0].code, "bad_json") == 0 ||
	    strcmp(fast->faults[0].code, "bad_encoding") == 0);
	bool object = says == ORACLE_TAKES && text.p[strspn(text.p, " \t\r\n")] == '{';
	MUST(says == ORACLE_CANNOT_TELL || bad == !object);
	if (fast->nfaults == 0)
		still_valid(x, text, slow);
	const struct verdict *dropped = check_event(x->drop, text);
	in_order(dropped);
	if (dropped->nfaults == 0)
		still_valid(x, text, dropped);
}

static void
assemble(struct judges *x, const char *schema)
{
	struct err e;
	if (schema_parse(&x->schema, str_of(schema), "a schema", &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	x->fast = check_new(&x->schema, false);
	x->slow = check_new(&x->schema, false);
	x->drop = check_new(&x->schema, true);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct judges of_events, of_everything;
	if (of_events.fast == NULL) {
		struct err e;
		MUST(schema_load(&of_events.schema, "schemas.json", &e) == 0);
		of_events.fast = check_new(&of_events.schema, false);
		of_events.slow = check_new(&of_events.schema, false);
		of_events.drop = check_new(&of_events.schema, true);
		assemble(&of_everything, everything);
	}
	judge(&of_events, (struct str){(const char *)p, n});
	judge(&of_everything, (struct str){(const char *)p, n});
	return 0;
}
