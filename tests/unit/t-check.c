/* check, scalar, dup, faults and decimal: tables of events and the verdicts they must get. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "decimal.h"
#include "dup.h"
#include "tap.h"
#include "xalloc.h"

static const char schema_text[] =
    "{\"discriminator\":\"kind\",\"tables\":{"
    "\"everything\":{\"event_type\":\"all\",\"partition\":{\"field\":\"at\",\"type\":\"DAY\"},\"fields\":["
    "{\"name\":\"at\",\"type\":\"TIMESTAMP\",\"mode\":\"REQUIRED\"},"
    "{\"name\":\"s\",\"type\":\"STRING\",\"min_length\":2,\"max_length\":4},"
    "{\"name\":\"e\",\"type\":\"STRING\",\"enum\":[\"red\",\"gr\\u00fcn\"]},"
    "{\"name\":\"id\",\"type\":\"STRING\",\"format\":\"uuid\"},"
    "{\"name\":\"n\",\"type\":\"INT64\"},"
    "{\"name\":\"small\",\"type\":\"INTEGER\",\"minimum\":-2,\"maximum\":5},"
    "{\"name\":\"big\",\"type\":\"INT64\",\"minimum\":9007199254740993},"
    "{\"name\":\"f\",\"type\":\"FLOAT64\"},"
    "{\"name\":\"part\",\"type\":\"FLOAT\",\"minimum\":0,\"maximum\":1},"
    "{\"name\":\"d\",\"type\":\"NUMERIC\"},"
    "{\"name\":\"price\",\"type\":\"NUMERIC\",\"minimum\":0.01,\"maximum\":99.99},"
    "{\"name\":\"b\",\"type\":\"BOOL\"},"
    "{\"name\":\"raw\",\"type\":\"BYTES\",\"max_length\":3},"
    "{\"name\":\"day\",\"type\":\"DATE\"},"
    "{\"name\":\"when\",\"type\":\"DATETIME\"},"
    "{\"name\":\"clock\",\"type\":\"TIME\"},"
    "{\"name\":\"tags\",\"type\":\"STRING\",\"mode\":\"REPEATED\"},"
    "{\"name\":\"rows\",\"type\":\"RECORD\",\"mode\":\"REPEATED\",\"min_items\":2,\"fields\":["
    "{\"name\":\"k\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"},{\"name\":\"v\",\"type\":\"INT64\"}]},"
    "{\"name\":\"one\",\"type\":\"STRUCT\",\"fields\":["
    "{\"name\":\"k\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"},"
    "{\"name\":\"deep\",\"type\":\"RECORD\",\"mode\":\"REQUIRED\",\"fields\":[{\"name\":\"k\",\"type\":\"BOOLEAN\"}]}]},"
    "{\"name\":\"must\",\"type\":\"RECORD\",\"mode\":\"REQUIRED\",\"fields\":["
    "{\"name\":\"k\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"}]}]},"
    "\"own\":{\"event_type\":\"o\\u0077n\",\"partition\":{\"field\":\"at\",\"type\":\"DAY\"},\"fields\":["
    "{\"name\":\"at\",\"type\":\"DATE\",\"mode\":\"REQUIRED\"},"
    "{\"name\":\"kind\",\"type\":\"STRING\",\"mode\":\"REQUIRED\",\"max_length\":2}]}}}";

/* What every event of the first table begins with: all that is REQUIRED. */
#define BASE "{\"kind\":\"all\",\"at\":\"2025-02-08T13:09:00Z\",\"must\":{\"k\":\"x\"}," ROWS
#define ROWS "\"rows\":[{\"k\":\"a\"},{\"k\":\"b\"}]"

/* more: what BASE goes on with, or a whole text where it begins with anything but a comma and a brace. */
struct sample {
	const char *text, *want;
};

static const struct sample whole[] = {
    {"", "bad_json"},
    {"   ", "bad_json"},
    {"[]", "bad_json"},
    {"null", "bad_json"},
    {"12", "bad_json"},
    {"{\"kind\":\"all\"", "bad_json"},
    {"{\"kind\":\"all\"} {}", "bad_json"},
    {"{\"kind\":\"all\",}", "bad_json"},
    {"\xef\xbb\xbf{\"kind\":\"all\"}", "bad_json"},
    {"{\"kind\":NaN}", "bad_json"},
    {"{\"kind\":\f\"all\"}", "bad_json"},
    {"{\"kind\":\v\"all\"}", "bad_json"},
    {"[\"\xff\"]", "bad_json"},
    {"{\"kind\":\"\xc0\xaf\"}", "bad_encoding"},
    {"{\"kind\":\"\xed\xa0\x80\"}", "bad_encoding"},
    {"{\"kind\":\"\xf4\x90\x80\x80\"}", "bad_encoding"},
    {"{\"kind\":\"\\ud83d\"}", "bad_encoding"},
    {"{\"\\udc00\":1}", "bad_encoding"},
    {"{\"kind\":\"\xff\",\"kind\":1}", "bad_encoding"},
    {"{}", "unknown_type@/kind"},
    {"{\"kind\":null}", "unknown_type@/kind"},
    {"{\"kind\":1,\"x\":{\"a\":1,\"a\":1}}", "unknown_type@/kind"},
    {"{\"kind\":\"none\"}", "unknown_type@/kind"},
    {"{\"kind\":\"ALL\"}", "unknown_type@/kind"},
    {"{\"kind\":\"all\",\"kind\":\"all\"}", "duplicate_field@/kind"},
    {"{\"kind\":\"none\",\"\\u006bind\":3,\"x\":1,\"x\":1}", "duplicate_field@/kind"},
    {"{\"kind\":\"own\",\"at\":\"2025-02-08\"}", "out_of_range@/kind"},
    {"{\"\\u006bind\":\"own\",\"at\":\"2025-13-08\"}", "bad_timestamp@/at,out_of_range@/kind"},
    {"{\"kind\":\"all\"}", "missing_field@/at,missing_field@/must,missing_field@/rows"},
    {"{\"kind\":\"all\",\"at\":null,\"must\":null,\"rows\":null,\"tags\":null,\"one\":null,\"n\":null}",
        "missing_field@/at,missing_field@/must,missing_field@/rows,missing_field@/tags"},
    {"{\"kind\":\"all\",\"at\":5,\"must\":[],\"rows\":{}}",
        "wrong_type@/at,wrong_type@/must,wrong_type@/rows"},
};

static const struct sample more[] = {
    {"}", ""},
    {"}  \r\n", ""},
    {",\"s\":\"a\"}", "out_of_range@/s"},
    {",\"s\":\"ab\"}", ""},
    {",\"s\":\"\\u00fc\\ud83d\\ude00\\u0000x\"}", ""},
    {",\"s\":\"\xc3\xbc\xf0\x9f\x98\x80xy\"}", ""},
    {",\"s\":\"abcde\"}", "out_of_range@/s"},
    {",\"s\":5}", "wrong_type@/s"},
    {",\"e\":\"red\"}", ""},
    {",\"e\":\"gr\xc3\xbcn\"}", ""},
    {",\"e\":\"r\\u0065d\"}", ""},
    {",\"e\":\"Red\"}", "not_in_enum@/e"},
    {",\"e\":\"\"}", "not_in_enum@/e"},
    {",\"e\":false}", "wrong_type@/e"},
    {",\"id\":\"123e4567-e89b-12d3-A456-426614174000\"}", ""},
    {",\"id\":\"123e4567e89b12d3a456426614174000\"}", "bad_format@/id"},
    {",\"id\":\"123e4567-e89b-12d3-a456-42661417400g\"}", "bad_format@/id"},
    {",\"n\":0}", ""},
    {",\"n\":-0}", ""},
    {",\"n\":5.0}", "wrong_type@/n"},
    {",\"n\":5e0}", "wrong_type@/n"},
    {",\"n\":true}", "wrong_type@/n"},
    {",\"n\":\"5\"}", "wrong_type@/n"},
    {",\"n\":\"\"}", "wrong_type@/n"},
    {",\"n\":\"-\"}", "wrong_type@/n"},
    {",\"n\":\"five\"}", "wrong_type@/n"},
    {",\"n\":9007199254740991}", ""},
    {",\"n\":-9007199254740991}", ""},
    {",\"n\":9007199254740992}", "out_of_range@/n"},
    {",\"n\":-9007199254740992}", "out_of_range@/n"},
    {",\"n\":123456789012345678901234567890}", "out_of_range@/n"},
    {",\"n\":\"9007199254740992\"}", ""},
    {",\"n\":\"-9223372036854775808\"}", ""},
    {",\"n\":\"9223372036854775807\"}", ""},
    {",\"n\":\"9223372036854775808\"}", "out_of_range@/n"},
    {",\"n\":\"-9223372036854775809\"}", "out_of_range@/n"},
    {",\"n\":\"9007199254740991\"}", "wrong_type@/n"},
    {",\"n\":\"-9007199254740991\"}", "wrong_type@/n"},
    {",\"n\":\"09007199254740993\"}", "wrong_type@/n"},
    {",\"n\":\"+9007199254740993\"}", "wrong_type@/n"},
    {",\"n\":\" 9007199254740993\"}", "wrong_type@/n"},
    {",\"n\":\"\\u0039007199254740993\"}", ""},
    {",\"n\":[1]}", "wrong_type@/n"},
    {",\"n\":{\"a\":1,\"a\":2}}", "wrong_type@/n,duplicate_field@/n/a"},
    {",\"small\":-2}", ""},
    {",\"small\":5}", ""},
    {",\"small\":-3}", "out_of_range@/small"},
    {",\"small\":6}", "out_of_range@/small"},
    {",\"big\":\"9007199254740993\"}", ""},
    {",\"big\":\"9007199254740992\"}", "out_of_range@/big"},
    {",\"f\":1}", ""},
    {",\"f\":-1.5E-300}", ""},
    {",\"f\":1e308}", ""},
    {",\"f\":1e309}", "out_of_range@/f"},
    {",\"f\":-1e999999999999}", "out_of_range@/f"},
    {",\"f\":1e-999}", ""},
    {",\"f\":\"1.5\"}", "wrong_type@/f"},
    {",\"part\":1.0}", ""},
    {",\"part\":1.0000001}", "out_of_range@/part"},
    {",\"part\":-0.0}", ""},
    {",\"d\":12345678901234567890123456789.123456789}", ""},
    {",\"d\":123456789012345678901234567890}", "out_of_range@/d"},
    {",\"d\":0.0000000001}", "out_of_range@/d"},
    {",\"d\":0.1234567890}", ""},
    {",\"d\":1e28}", ""},
    {",\"d\":1e29}", "out_of_range@/d"},
    {",\"d\":0e99999999999999999999}", ""},
    {",\"d\":1e99999999999999999999}", "out_of_range@/d"},
    {",\"d\":-1000000000E-18}", ""},
    {",\"d\":\"1\"}", "wrong_type@/d"},
    {",\"price\":0.01}", ""},
    {",\"price\":0.009999999}", "out_of_range@/price"},
    {",\"price\":99.990000001}", "out_of_range@/price"},
    {",\"price\":-1}", "out_of_range@/price"},
    {",\"b\":true}", ""},
    {",\"b\":\"true\"}", "wrong_type@/b"},
    {",\"b\":0}", "wrong_type@/b"},
    {",\"raw\":\"\"}", ""},
    {",\"raw\":\"AQID\"}", ""},
    {",\"raw\":\"AQIDBA==\"}", "out_of_range@/raw"},
    {",\"raw\":\"AQI\"}", "wrong_type@/raw"},
    {",\"raw\":\"no base64\"}", "wrong_type@/raw"},
    {",\"raw\":1}", "wrong_type@/raw"},
    {",\"day\":\"2024-02-29\"}", ""},
    {",\"day\":\"2025-02-29\"}", "bad_timestamp@/day"},
    {",\"day\":20250208}", "wrong_type@/day"},
    {",\"when\":\"2025-02-08T13:09:00.123456\"}", ""},
    {",\"when\":\"2025-02-08T13:09:00Z\"}", "bad_timestamp@/when"},
    {",\"clock\":\"23:59:59\"}", ""},
    {",\"clock\":\"24:00:00\"}", "bad_timestamp@/clock"},
    {",\"tags\":[]}", ""},
    {",\"tags\":[\"a\",\"b\"]}", ""},
    {",\"tags\":\"a\"}", "wrong_type@/tags"},
    {",\"tags\":[\"a\",null,5,[\"x\"],{\"a\":1,\"a\":1}]}",
        "missing_field@/tags/1,wrong_type@/tags/2,wrong_type@/tags/3,wrong_type@/tags/4,duplicate_field@/tags/4/a"},
    {",\"one\":{}}", "missing_field@/one/deep,missing_field@/one/k"},
    {",\"one\":{\"k\":\"x\",\"deep\":{}}}", ""},
    {",\"one\":{\"k\":\"x\",\"deep\":{\"k\":1}}}", "wrong_type@/one/deep/k"},
    {",\"one\":{\"k\":\"x\",\"deep\":null,\"at\":1}}", "unknown_field@/one/at,missing_field@/one/deep"},
    {",\"one\":{\"kind\":\"all\",\"k\":\"x\",\"deep\":{}}}", "unknown_field@/one/kind"},
    {",\"one\":[{}]}", "wrong_type@/one"},
    {",\"one\":[{\"a\":1,\"a\":1}]}", "wrong_type@/one,duplicate_field@/one/0/a"},
    {",\"x\":1}", "unknown_field@/x"},
    {",\"\":1}", "unknown_field@/"},
    {",\"S\":\"ab\"}", "unknown_field@/S"},
    {",\"a~/b\":1,\"c\\u002fd\":2}", "unknown_field@/a~0~1b,unknown_field@/c~1d"},
    {",\"\\u0073\":\"a\"}", "out_of_range@/s"},
    /* A name twice: one fault, and the first value is the one that is judged. */
    {",\"n\":1,\"n\":\"x\"}", "duplicate_field@/n"},
    {",\"n\":\"x\",\"n\":1,\"\\u006e\":2}", "duplicate_field@/n,wrong_type@/n"},
    {",\"x\":1,\"x\":2,\"x\":3}", "duplicate_field@/x,unknown_field@/x"},
    {",\"x\":1,\"y\":2,\"\\u0078\":3}", "duplicate_field@/x,unknown_field@/x,unknown_field@/y"},
    {",\"x\":[{\"a\":{\"b\":1,\"b\":2}}]}", "unknown_field@/x,duplicate_field@/x/0/a/b"},
    {",\"n\":1,\"n\":{\"a\":1,\"a\":1}}", "duplicate_field@/n,duplicate_field@/n/a"},
    {",\"must\":{\"k\":\"y\",\"k\":\"z\"}}", "duplicate_field@/must,duplicate_field@/must/k"},
};

static const struct sample rows[] = {
    {"[]", "empty_array@/rows"},
    {"[{\"k\":\"a\"}]", "empty_array@/rows"},
    {"[null]", "empty_array@/rows,missing_field@/rows/0"},
    {"[{\"k\":\"a\"},null,{\"v\":1},7,{\"k\":1,\"z\":{}},[]]",
        "missing_field@/rows/1,missing_field@/rows/2/k,wrong_type@/rows/3,wrong_type@/rows/4/k,"
        "unknown_field@/rows/4/z,wrong_type@/rows/5"},
    /* An item's members do not count for the next. */
    {"[{\"k\":\"a\",\"v\":1},{\"v\":1}]", "missing_field@/rows/1/k"},
};

static void
list_faults(struct buf *out, const struct verdict *v)
{
	for (unsigned i = 0; i < v->nfaults; i++) {
		buf_addf(out, "%s%s", i > 0 ? "," : "", v->faults[i].code);
		if (v->faults[i].path.n > 0)
			buf_addf(out, "@%.*s", STR_ARG(v->faults[i].path));
	}
}

static void
judge(struct check *c, const char *text, const char *want)
{
	struct buf got = BUF_INIT(64 * KIB);
	list_faults(&got, check_event(c, str_of(text)));
	is_str(buf_str(&got), want, "%.*s", (int)strcspn(text, "\r\n\f\v"), text);
	buf_release(&got);
}

static void
test_tables(struct check *c)
{
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		judge(c, whole[i].text, whole[i].want);
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		char *text = xasprintf("%s%s", BASE, more[i].text);
		judge(c, text, more[i].want);
		free(text);
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = xasprintf("{\"kind\":\"all\",\"at\":\"2025-02-08T13:09:00Z\",\"must\":{\"k\":\"x\"},\"rows\":%s}",
		    rows[i].text);
		judge(c, text, rows[i].want);
		free(text);
	}
}

static void
nest(struct buf *b, int n)
{
	buf_addz(b, "{\"kind\":\"none\",\"x\":");
	for (int i = 0; i < n; i++)
		buf_addc(b, '[');
	for (int i = 0; i < n; i++)
		buf_addc(b, ']');
	buf_addc(b, '}');
}

static void
test_depth(struct check *c)
{
	struct buf b = BUF_INIT(1 * MIB);
	nest(&b, 63);
	is_str(check_event(c, buf_str(&b))->faults[0].code[0] == 'u' ? STR("unknown") : STR("else"), "unknown",
	    "64 levels are read");
	b.n = 0;
	nest(&b, 64);
	is_str(str_of(check_event(c, buf_str(&b))->faults[0].code), "too_deep", "65 are not");
	b.n = 0;
	nest(&b, 200000);
	const struct verdict *v = check_event(c, buf_str(&b));
	ok(v->nfaults == 1 && strcmp(v->faults[0].code, "too_deep") == 0, "200,000 levels: too_deep alone");
	buf_release(&b);
}

static void
test_cuts(const struct schema *s)
{
	static const struct sample samples[] = {
	    {"{\"kind\":\"own\",\"at\":\"2025-02-08\"}", "out_of_range@/kind"},
	    {BASE ",\"x\":1}", BASE "}"},
	    {"{\"x\":1," "\"y\" : [2] , \"kind\":\"all\",\"at\":\"2025-02-08T13:09:00Z\",\"must\":{\"k\":\"x\"}," ROWS "}",
	        BASE "}"},
	    {BASE " , \"x\" : \"\\\"\" }", BASE " }"},
	    {BASE ",\"x\":1,\"n\":1,\"y\":2,\"z\":3,\"b\":true,\"q\":{}}", BASE ",\"n\":1,\"b\":true}"},
	    {BASE ",\"one\":{\"a\":1,\"k\":\"x\",\"deep\":{\"a\":1,\"b\":[]},\"z\":0},\"x\":1}",
	        BASE ",\"one\":{\"k\":\"x\",\"deep\":{}}}"},
	    {BASE ",\"x\":{\"a\":1,\"a\":1}}", "duplicate_field@/x/a"},
	    {BASE ",\"x\":1,\"x\":1}", "duplicate_field@/x"},
	    {BASE ",\"n\":\"x\",\"x\":1}", "wrong_type@/n"},
	};
	struct check *c = check_new(s, true);
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct buf got = BUF_INIT(64 * KIB);
		const struct verdict *v = check_event(c, str_of(samples[i].text));
		size_t from = 0;
		list_faults(&got, v);
		for (uint32_t k = 0; k < v->ncuts && v->nfaults == 0; k++) {
			buf_add(&got, samples[i].text + from, v->cuts[k].from - from);
			from = v->cuts[k].to;
		}
		if (v->nfaults == 0)
			buf_addz(&got, samples[i].text + from);
		is_str(buf_str(&got), samples[i].want, "without unknown members: %.80s", samples[i].text);
		buf_release(&got);
	}
	check_free(c);
}

static void
test_many(struct check *c)
{
	struct buf b = BUF_INIT(16 * MIB);
	buf_addz(&b, BASE);
	for (int i = 199999; i >= 0; i--)
		buf_addf(&b, ",\"x%06d\":0", i);
	buf_addz(&b, ",\"x000003\":0}");
	const struct verdict *v = check_event(c, buf_str(&b));
	is_int(v->nfaults, 32, "200,000 faults: 32 are listed");
	is_str(v->faults[0].path, "/x000000", "the first in order, though it came last");
	is_str(str_of(v->faults[3].code), "duplicate_field", "a repetition among them");
	is_str(v->faults[31].path, "/x000030", "and the last that fits");
	buf_release(&b);
}

static void
test_long_path(struct check *c)
{
	struct buf b = BUF_INIT(16 * MIB);
	buf_addz(&b, BASE ",\"");
	for (int i = 0; i < 300000; i++)
		buf_addz(&b, "\\u00fc");
	buf_addz(&b, "\":{\"a\":1,\"a\":1}}");
	const struct verdict *v = check_event(c, buf_str(&b));
	is_int(v->nfaults, 2, "a name of 600,000 bytes");
	ok(v->faults[0].path.n == FAULT_PATH_MAX - 1, "its path is cut on a character boundary (%zu)", v->faults[0].path.n);
	buf_release(&b);
}

static void
test_details(struct check *c)
{
	static const struct {
		const char *more, *want;
	} samples[] = {
	    {",\"e\":\"blue\"}", "one of \"red\", \"gr\xc3\xbcn\"; found the string \"blue\""},
	    {",\"n\":5.0}", "an INT64 is a JSON number without fraction and exponent; found the number 5.0"},
	    {",\"tags\":{}}", "a REPEATED field is a JSON array; found an object"},
	    {",\"at\":1}", "a member's name stands once in an object"},
	    {",\"s\":\"abcde\"}", "at most 4 characters; found 5"},
	    {",\"small\":6}", "maximum is 5"},
	    {",\"tags\":[null]}", "a REPEATED STRING; found null in an array"},
	};
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		char *text = xasprintf("%s%s", BASE, samples[i].more);
		is_str(check_event(c, str_of(text))->faults[0].detail, samples[i].want, "%s", samples[i].more);
		free(text);
	}
	struct buf b = BUF_INIT(4 * KIB);
	buf_addz(&b, BASE ",\"n\":\"");
	for (int i = 0; i < 200; i++)
		buf_addz(&b, "\xc3\xbc");
	buf_addz(&b, "\"}");
	struct str detail = check_event(c, buf_str(&b))->faults[0].detail;
	ok(str_ends(detail, STR("\xc3\xbc...")), "what was found is cut on a character boundary");
	buf_release(&b);
}

static void
test_time(struct check *c)
{
	const struct verdict *v = check_event(c, STR(BASE "}"));
	ok(v->nfaults == 0 && v->time == INT64_C(1739020140000000), "the partition field as an instant");
	is_str(v->table->name, "everything", "its table");
	v = check_event(c, STR("{\"kind\":\"own\",\"at\":\"1970-01-02\",\"\\u006bind\":1}"));
	ok(v->table == NULL && v->nfaults == 1, "no table where the discriminator is not clear");
}

static void
test_decimal(void)
{
	static const struct {
		const char *a, *b;
		int want;
	} samples[] = {
	    {"1", "1.0", 0}, {"-0", "0.000", 0}, {"10", "9", 1}, {"-10", "-9", -1}, {"1e2", "100", 0},
	    {"0.1e-3", "0.0001", 0}, {"-1", "1", -1}, {"0.000000001", "0", 1}, {"123.456", "123.4560000001e0", 9},
	};
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct decimal a, b;
		bool fit = decimal_parse(&a, str_of(samples[i].a)) && decimal_parse(&b, str_of(samples[i].b));
		int got = fit ? decimal_cmp(&a, &b) : 9;
		got = fit ? (got > 0) - (got < 0) : 9;
		is_int(got, samples[i].want, "%s against %s", samples[i].a, samples[i].b);
	}
}

static void
test_dup(void)
{
	struct dup d = {0};
	struct json j = {0};
	struct buf b = BUF_INIT(1 * MIB);
	json_parse(&j, STR("{\"a\":{\"b\":1,\"b\":2},\"b\":1,\"\\u0061\":2,\"c\":3,\"a\":4}"));
	is_int(dup_find(&d, &j, 0), 1, "a few members: one name repeats");
	is_str(json_text(&j, d.found[0]), "\\u0061", "and its first repetition is told");
	buf_addz(&b, "{\"k7\":0");
	for (int i = 0; i < 1000; i++)
		buf_addf(&b, ",\"\\u006b%d\":0", i);
	buf_addz(&b, ",\"k999\":0,\"k7\":0}");
	json_parse(&j, buf_str(&b));
	is_int(dup_find(&d, &j, 0), 2, "a thousand members: two names repeat");
	json_parse(&j, STR("{}"));
	is_int(dup_find(&d, &j, 0), 0, "none");
	dup_release(&d);
	json_release(&j);
	buf_release(&b);
}

int
main(void)
{
	struct schema s;
	struct err e;
	if (!ok(schema_parse(&s, str_of(schema_text), "test", &e) == 0, "the schema loads"))
		return printf("# %s\n", e.text), 1;
	struct check *c = check_new(&s, false);
	test_tables(c);
	test_depth(c);
	test_cuts(&s);
	test_many(c);
	test_long_path(c);
	test_details(c);
	test_time(c);
	check_free(c);
	schema_release(&s);
	test_decimal();
	test_dup();
	return done();
}
