/* json: tokens, what is JSON and what is not, decoded strings. */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "rng.h"
#include "tap.h"
#include "xalloc.h"

static const struct {
	const char *text;
	enum json_result want;
} samples[] = {
    {"{}", JSON_OK},
    {" [ ] ", JSON_OK},
    {"\r\n\t{}\r\n", JSON_OK},
    {"0", JSON_OK},
    {" -12.5e+3 ", JSON_OK},
    {"\"a\"", JSON_OK},
    {"true", JSON_OK},
    {"null", JSON_OK},
    {"{\"a\":{\"b\":[1,\"x\",{}]}}", JSON_OK},
    {"\"\\u0000\\ud83d\\ude00\"", JSON_OK},
    {"\"\\\\ud83d\"", JSON_OK},
    {"{\"a\":1,\"a\":2}", JSON_OK},
    {"", JSON_BAD},
    {" ", JSON_BAD},
    {"{", JSON_BAD},
    {"{}}", JSON_BAD},
    {"{} {}", JSON_BAD},
    {"{}\"", JSON_BAD},
    {"{}\"a", JSON_BAD},
    {"{}-", JSON_BAD},
    {"[] tr", JSON_BAD},
    {"1 \"", JSON_BAD},
    {"\"a\"\"", JSON_BAD},
    {"{}5", JSON_BAD},
    {"{}/", JSON_BAD},
    {"[1,]", JSON_BAD},
    {"[,1]", JSON_BAD},
    {"{\"a\":1,}", JSON_BAD},
    {"{\"a\"}", JSON_BAD},
    {"{a:1}", JSON_BAD},
    {"{\"a\":1 \"b\":2}", JSON_BAD},
    {"01", JSON_BAD},
    {"+1", JSON_BAD},
    {".5", JSON_BAD},
    {"1.", JSON_BAD},
    {"1e", JSON_BAD},
    {"-", JSON_BAD},
    {"1 2", JSON_BAD},
    {"NaN", JSON_BAD},
    {"Infinity", JSON_BAD},
    {"tru", JSON_BAD},
    {"True", JSON_BAD},
    {"'a'", JSON_BAD},
    {"\"a", JSON_BAD},
    {"\"\t\"", JSON_BAD},
    {"\"\n\"", JSON_BAD},
    {"\"\x01\"", JSON_BAD},
    {"\"\\x41\"", JSON_BAD},
    {"\"\\u12\"", JSON_BAD},
    {"\"\\u12g4\"", JSON_BAD},
    {"[1]//", JSON_BAD},
    {"/**/[1]", JSON_BAD},
    {"\xef\xbb\xbf{}", JSON_BAD},
    {"\f{}", JSON_BAD},
    {"{\v}", JSON_BAD},
    {"{}\f", JSON_BAD},
    {"\xc2\xa0{}", JSON_BAD},
    {"{\"b\":", JSON_BAD},
    {"{\"c\":1}", JSON_OK}, /* the text before must not have swallowed this one */
    {"\"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\"", JSON_OK},
    {"\"\xc3\"", JSON_BAD_ENCODING},
    {"\"\x80\"", JSON_BAD_ENCODING},
    {"\"\xc0\xaf\"", JSON_BAD_ENCODING},
    {"\"\xe0\x80\xaf\"", JSON_BAD_ENCODING},
    {"\"\xed\xa0\x80\"", JSON_BAD_ENCODING},
    {"\"\xf4\x90\x80\x80\"", JSON_BAD_ENCODING},
    {"\"\xf8\x88\x80\x80\x80\"", JSON_BAD_ENCODING},
    {"{\"\xff\":1}", JSON_BAD_ENCODING},
    {"\"\\ud83d\"", JSON_BAD_ENCODING},
    {"\"\\ud83dx\"", JSON_BAD_ENCODING},
    {"\"\\ud83d\\n\"", JSON_BAD_ENCODING},
    {"\"\\ud83d\\ud83d\"", JSON_BAD_ENCODING},
    {"\"\\ude00\"", JSON_BAD_ENCODING},
    {"\"\\\\\\ude00\"", JSON_BAD_ENCODING},
    {"{\"\\uDE00\":1}", JSON_BAD_ENCODING},
    {"[\"\xff\"", JSON_BAD},
};

static void
test_samples(struct json *j)
{
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		/* Exactly as long as it is, so that reading past the end shows. */
		char *text = xmalloc(strlen(samples[i].text) + 1);
		memcpy(text, samples[i].text, strlen(samples[i].text));
		enum json_result got = json_parse(j, (struct str){text, strlen(samples[i].text)});
		bool said = got == JSON_OK || j->why[0] != '\0';
		ok(got == samples[i].want && said, "sample %zu%s%s", i, got != JSON_OK ? ": " : "", j->why);
		free(text);
	}
	ok(json_parse(j, (struct str){"{\"a\":1}\0", 8}) == JSON_BAD, "a NUL behind the text");
	ok(json_parse(j, (struct str){"[\"a\0\"]", 6}) == JSON_BAD, "a raw NUL in a string");
}

static void
test_tokens(struct json *j)
{
	struct str text = STR(" {\"a\":[1, -2.5e3 ,true],\"\":\"x\\n\",\"b\" : {\"c\":null}}\n");
	ok(json_parse(j, text) == JSON_OK, "a text with one of each");
	is_int(j->depth, 2, "its depth");
	is_int(j->tok[0].count, 3, "its members");
	is_str(json_raw(j, 0), "{\"a\":[1, -2.5e3 ,true],\"\":\"x\\n\",\"b\" : {\"c\":null}}", "the whole, without white space");
	uint32_t a = json_get(j, 0, "a");
	is_int(j->tok[a].count, 3, "items of an array");
	is_str(json_raw(j, a), "[1, -2.5e3 ,true]", "an array's text");
	is_str(json_text(j, json_first(a) + 1), "-2.5e3", "a number keeps its digits");
	ok(json_true(j, json_first(a) + 2) && json_end(j, a) == json_first(a) + 3, "true, and the array's end");
	uint32_t empty = json_get(j, 0, "");
	is_str(json_raw(j, empty), "\"x\\n\"", "a string's text with quotes");
	is_str(json_text(j, empty), "x\\n", "and without");
	ok(json_is(j, json_get(j, json_get(j, 0, "b"), "c"), JSON_NULL), "look-ups chain");
	ok(json_get(j, json_get(j, 0, "nope"), "c") == JSON_NONE, "also where there is nothing");
	ok(json_get(j, a, "c") == JSON_NONE && json_string(j, JSON_NONE, NULL).p == NULL, "or no object");
	int members = 0;
	for (uint32_t k = json_first(0); k < json_end(j, 0); k = j->tok[k + 1].next)
		members++;
	is_int(members, 3, "walking steps over what is nested");
}

static void
test_strings(struct json *j)
{
	static const struct {
		const char *text, *want;
	} strings[] = {
	    {"\"\"", ""},
	    {"\"plain\"", "plain"},
	    {"\"\\\"\"", "\""},
	    {"\"\\\\\"", "\\"},
	    {"\"\\\\\\\"x\"", "\\\"x"},
	    {"\"a\\/\\b\\f\\n\\r\\t\"", "a/\b\f\n\r\t"},
	    {"\"\\u00fC\\u20ac\"", "\xc3\xbc\xe2\x82\xac"},
	    {"\"\\uD83D\\uDE00!\"", "\xf0\x9f\x98\x80!"},
	};
	struct buf scratch = BUF_INIT(1000);
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		json_parse(j, str_of(strings[i].text));
		is_str(json_string(j, 0, &scratch), strings[i].want, "%s", strings[i].text);
	}
	json_parse(j, STR("[\"\\u0000a\",\"\\\"\",\"\",\"\\\\\"]"));
	struct str nul = json_string(j, 1, &scratch);
	ok(nul.n == 2 && nul.p[0] == '\0' && json_dup(j, 1) == NULL, "an escaped NUL is a NUL, and makes no C string");
	is_str(json_text(j, 2), "\\\"", "neighbours with escapes: a quote");
	is_str(json_text(j, 3), "", "nothing");
	is_str(json_text(j, 4), "\\\\", "a backslash");
	json_parse(j, STR("{\"\\u0061\":1,\"a\":2}"));
	int64_t v = 0;
	ok(json_i64(j, json_get(j, 0, "a"), &v) && v == 1, "names are compared decoded, and the first is taken");
	char *copy = json_dup(j, json_first(0));
	is_str(str_of(copy), "a", "a copy");
	free(copy);
	buf_release(&scratch);
}

static void
test_numbers(struct json *j)
{
	int64_t v;
	json_parse(j, STR("[9223372036854775807,\"-9223372036854775808\",9223372036854775808,1.0,true,\"\"]"));
	ok(json_i64(j, 1, &v) && v == INT64_MAX, "the largest int64");
	ok(json_i64(j, 2, &v) && v == INT64_MIN, "the smallest, in a string");
	ok(!json_i64(j, 3, &v) && !json_i64(j, 4, &v) && !json_i64(j, 5, &v) && !json_i64(j, 6, &v), "what is none");
}

static void
test_deep(struct json *j)
{
	struct buf b = BUF_INIT(1 * MIB);
	for (int i = 0; i < 200000; i++)
		buf_addc(&b, '[');
	ok(json_parse(j, buf_str(&b)) == JSON_BAD, "200,000 brackets, none closed");
	for (int i = 0; i < 200000; i++)
		buf_addc(&b, ']');
	ok(json_parse(j, buf_str(&b)) == JSON_OK && j->depth == 200000, "200,000 levels");
	buf_release(&b);
}

/* Both ways of reading a text: the same verdict, and the same tokens or words. */
static bool
same(struct json *a, struct json *b, struct str text)
{
	/* Exactly as long as it is, so that reading past the end shows. */
	char *p = malloc(text.n > 0 ? text.n : 1);
	memcpy(p, text.p, text.n);
	enum json_result fully = json_parse_fully(b, (struct str){p, text.n});
	bool good = json_parse(a, (struct str){p, text.n}) == fully && strcmp(a->why, b->why) == 0;
	if (fully == JSON_OK)
		good = good && a->n == b->n && a->depth == b->depth && memcmp(a->tok, b->tok, a->n * sizeof(*a->tok)) == 0;
	free(p);
	return good;
}

/* One to three bytes of it changed, doubled or taken out. */
static void
mutate(struct buf *b, struct rng *r)
{
	static const char pieces[] = "{}[]\",:\\ \t\n\r\f\v\b0123456789-+.eEtrufalsn/x\x01\x1f\x7f\x80\xc2\xe2\xed\xf0\xff\0";
	for (uint64_t left = 1 + rng_next(r) % 3; left > 0 && b->n > 0; left--) {
		size_t at = rng_next(r) % b->n;
		char c = pieces[rng_next(r) % sizeof(pieces)];
		switch (rng_next(r) % 3) {
		case 0:
			b->p[at] = c;
			break;
		case 1:
			buf_addc(b, '.');
			memmove(b->p + at + 1, b->p + at, b->n - at - 1);
			b->p[at] = c;
			break;
		default:
			memmove(b->p + at, b->p + at + 1, b->n - at - 1);
			b->n--;
		}
	}
}

static void
test_both_ways(struct json *j)
{
	static const char *const seeds[] = {
	    "{\"msg\":{\"id\":\"f@1:7\",\"source\":\"f@1\",\"attributes\":{\"a\":\"b\"},\"attempt\":12},\"data\":\"e30=\"}",
	    "{\"msg\":{\"source\":\"gs://b/o@17\"},\"end\":0}",
	    " { \"a\" : [ 1 , -0.5e+7, true,false ,null, [], {}, [[{}]] ] , \"\" : \"\" }\r\n",
	    "{\"long\":\"0123456789abcdef0123456789abcdef\",\"\xc3\xbc\":\"x\xe2\x82\xac\xf0\x9f\x98\x80 and more behind it\"}",
	    "[\"\\u00fc\\ud83d\\ude00\",\"a\\\\\",\"\\\"\",10,0,-1,1e5,1.25E-3]",
	    "-12.5e3", "\"abc\"", "true", "[]", "{\"a\":1}",
	};
	struct json fully = {0};
	struct rng r;
	rng_seed(&r, 3);
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		ok(same(j, &fully, str_of(samples[i].text)), "both ways agree on sample %zu", i);
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		struct buf b = BUF_INIT(4096);
		bool good = json_parse(j, str_of(seeds[i])) == JSON_OK;
		for (int round = 0; good && round < 20000; round++) {
			buf_reset(&b, 4096);
			buf_addz(&b, seeds[i]);
			mutate(&b, &r);
			good = same(j, &fully, buf_str(&b));
		}
		if (!ok(good, "and on what mutations make of %s", seeds[i]))
			printf("# %.*s\n", STR_ARG(buf_str(&b)));
		buf_release(&b);
	}
	json_release(&fully);
}

int
main(void)
{
	struct json j = {0};
	struct err e;
	test_samples(&j);
	test_tokens(&j);
	test_strings(&j);
	test_numbers(&j);
	test_deep(&j);
	test_both_ways(&j);
	ok(json_read(&j, STR("{\"a\":1, "), &e) < 0 && e.class == ERR_INPUT && strstr(e.text, " at byte 8") != NULL,
	    "a cause has its place: %s", e.text);
	ok(json_read(&j, STR("{\"a\":tru}"), &e) < 0 && strstr(e.text, " at byte 8") != NULL, "and the right one: %s", e.text);
	json_release(&j);
	return done();
}
