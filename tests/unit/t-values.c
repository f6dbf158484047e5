/* values: forms told apart, events split, in pieces of every size; what is broken takes nothing else along. */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "tap.h"
#include "values.h"
#include "xalloc.h"

static struct values v;

/* The events of text, fed in pieces: "NUMBER:TEXT" each, joined by |; a rest is "NUMBER@OFFSET!TEXT(WHY)". */
static void
split(struct str text, size_t piece, const char *cut, struct buf *out)
{
	struct value x;
	values_reset(&v);
	buf_reset(out, 0);
	for (bool ended = false; !ended;) {
		struct str s = {text.p, piece < text.n ? piece : text.n};
		buf_adds(values_buf(&v), s);
		text = str_skip(text, s.n);
		ended = text.n == 0;
		if (ended)
			values_end(&v, cut);
		while (values_next(&v, &x)) {
			buf_addf(out, "%s%llu", out->n > 0 ? "|" : "", (unsigned long long)x.number);
			if (x.broken != NULL)
				buf_addf(out, "@%llu!%.*s(%s)", (unsigned long long)x.offset, STR_ARG(x.text), x.broken);
			else
				buf_addf(out, ":%.*s", STR_ARG(x.text));
		}
	}
}

static void
is_split(const char *text, const char *want, const char *name)
{
	static const size_t pieces[] = {100000, 1, 3, 7};
	struct buf got = BUF_INIT(1 * MIB);
	for (size_t i = 0; i < 4; i++) {
		split(str_of(text), pieces[i], NULL, &got);
		if (i == 0 || !str_is(buf_str(&got), want))
			is_str(buf_str(&got), want, "%s, in pieces of %zu", name, pieces[i]);
	}
	buf_release(&got);
}

static void
test_lines(void)
{
	is_split("{\"a\":1}\n{\"a\":2}\n", "1:{\"a\":1}|2:{\"a\":2}", "lines");
	is_split("{\"a\":1}\n{\"a\":2}", "1:{\"a\":1}|2:{\"a\":2}", "the last without its end");
	is_split("\n \n{\"a\":1} \t\r\n\r\n{\"a\":2}\r\n", "3:{\"a\":1}|5:{\"a\":2}", "blank lines are counted and left out");
	is_split("{\"a\":1}\n{\"a\":\n{\"a\":3}\n", "1:{\"a\":1}|2:{\"a\":|3:{\"a\":3}", "a broken line is one");
	is_split("{\"a\":\n{\"a\":2}\n{\"a\":3}\n", "1:{\"a\":|2:{\"a\":2}|3:{\"a\":3}", "even the first");
	is_split("{\"a\":\"x\n{\"a\":\"y\"}\n", "1:{\"a\":\"x|2:{\"a\":\"y\"}", "a string that is not closed");
	is_split("nonsense\n{\"a\":1}\n", "1:nonsense|2:{\"a\":1}", "nonsense is a line among lines");
	is_split("[1,2]\n{\"a\":1}\n", "1:[1,2]|2:{\"a\":1}", "an array is one, too");
	is_split("{\"a\":1}\n{\"b\":1}{\"c\":1}\n", "1:{\"a\":1}|2:{\"b\":1}{\"c\":1}", "two values in a later line are that line");
	is_split("{\"a\":1", "1:{\"a\":1", "a single broken line");
	is_split("\xef\xbb\xbf{\"a\":1}\n{\"a\":2}\n", "1:\xef\xbb\xbf{\"a\":1}|2:{\"a\":2}",
	    "a byte order mark stays where it is");
	is_split("", "", "nothing");
	is_split("\n\n", "", "nothing but ends of lines");
}

static void
test_values(void)
{
	is_split("{\n \"a\": 1\n}\n{\n \"a\": [{}, \"}\\\"\"]\n}\n", "1:{\n \"a\": 1\n}|2:{\n \"a\": [{}, \"}\\\"\"]\n}",
	    "pretty-printed");
	is_split("[{\"a\":1},{\"a\":2}]", "1:{\"a\":1}|2:{\"a\":2}", "an array on a line");
	is_split("[\n{\"a\":1},\n{\"a\":2}\n]\n", "1:{\"a\":1}|2:{\"a\":2}", "an array over lines");
	is_split("[]", "", "an empty array");
	is_split("[[1],{\"a\":[]},3,\"x\",null]", "1:[1]|2:{\"a\":[]}|3:3|4:\"x\"|5:null", "elements of all kinds are handed out");
	is_split("{\"a\":1}{\"a\":2} {\"a\":3}", "1:{\"a\":1}|2:{\"a\":2}|3:{\"a\":3}", "values on a line");
	is_split("{}\n{\n\"a\":1\n}\n", "1:{}|2:{\n\"a\":1\n}", "short ones among long ones");
	is_split("[{\"a\":1}]\n[{\"a\":2}]\n", "1:{\"a\":1}|2:{\"a\":2}", "arrays after one another");
	is_split("\xef\xbb\xbf[{\"a\":1}]", "1:{\"a\":1}", "a byte order mark before an array");
	is_split("[{\"a\":1,,}, {\"a\":2}]", "1:{\"a\":1,,}|2:{\"a\":2}", "what is in a value is not judged");
}

static void
test_broken(void)
{
	is_split("[{\"a\":1},{\"a\":", "1:{\"a\":1}|2@9!{\"a\":(it ends within a value)", "it ends within a value");
	is_split("[{\"a\":1}", "1:{\"a\":1}|2@8!(it ends within an array)", "it ends within an array");
	is_split("[{\"a\":1},{\"a\":[2}],{\"a\":3}]", "1:{\"a\":1}|2@9!{\"a\":[2}],{\"a\":3}](a closing bracket does not match)",
	    "brackets that do not match");
	is_split("[{\"a\":1},{\"a\":\"x\n\"}]", "1:{\"a\":1}|2@9!{\"a\":\"x\n\"}](a string goes over a line's end)",
	    "a string over lines");
	is_split("[{\"a\":1} what]", "1:{\"a\":1}|2@9!what](it is no JSON)", "no JSON");
	is_split("PK\003\004", "1@0!PK\003\004(it is no JSON)", "something else altogether");
}

static void
test_cut(void)
{
	struct buf got = BUF_INIT(1 * MIB);
	split(STR("{\"a\":1}\n{\"a\":2"), 4, "the packing broke", &got);
	is_str(buf_str(&got), "1:{\"a\":1}|2@8!{\"a\":2(the packing broke)", "what is cut off is the rest, of lines");
	split(STR("[{\"a\":1},{\"a\":2"), 4, "the packing broke", &got);
	is_str(buf_str(&got), "1:{\"a\":1}|2@9!{\"a\":2(the packing broke)", "and of values");
	split(STR("{\"a\":1}\n"), 4, "the packing broke", &got);
	is_str(buf_str(&got), "1:{\"a\":1}", "where nothing is left over there is none");
	buf_release(&got);
}

/* A long event, its neighbours, and where they stand. */
static void
test_long(const char *before, const char *between, const char *after)
{
	struct buf text = BUF_INIT(64 * MIB);
	struct value x;
	bool seen = false;
	int others = 0;
	buf_addf(&text, "%s{\"a\":1}%s{\"x\":\"", before, between);
	size_t from = text.n - 6, n = 12 * MIB;
	memset(buf_room(&text, n), 'x', n);
	buf_grew(&text, n);
	buf_addf(&text, "\"}%s{\"b\":1}%s", between, after);
	values_reset(&v);
	for (struct str s = buf_str(&text); s.n > 0 || !v.ended;) {
		struct str piece = {s.p, s.n < 100000 ? s.n : 100000};
		buf_adds(values_buf(&v), piece);
		s = str_skip(s, piece.n);
		if (s.n == 0)
			values_end(&v, NULL);
		while (values_next(&v, &x)) {
			if (x.length > LIMIT_DATA)
				seen = x.length == n + 8 && x.offset == from && x.text.n == LIMIT_LONG_LINE_KEPT &&
				    memcmp(x.text.p, "{\"x\":\"xxx", 9) == 0;
			else
				others += x.text.n == 7 && x.broken == NULL && memcmp(text.p + x.offset, x.text.p, 7) == 0;
		}
	}
	ok(seen, "a long event is handed out as its start, with its length and place");
	is_int(others, 2, "its neighbours are whole and know their places");
	ok(v.buf.cap <= LIMIT_DATA + 4 * MIB, "and memory is bounded");
	buf_release(&text);
}

/* A rest without end is not kept. */
static void
test_long_rest(void)
{
	struct value x;
	char *piece = xmalloc(100000);
	memset(piece, 'y', 100000);
	values_reset(&v);
	buf_addz(values_buf(&v), "[{\"a\":1}, oh ");
	for (int i = 0; i < 300; i++) {
		buf_add(values_buf(&v), piece, 100000);
		while (values_next(&v, &x))
			continue;
	}
	ok(v.buf.cap < 2 * MIB, "an endless rest takes no memory");
	values_end(&v, NULL);
	ok(values_next(&v, &x) && x.broken != NULL && x.text.n == LIMIT_LONG_LINE_KEPT && x.length == 30000003 && x.offset == 10,
	    "it is handed out at the end, with its length");
	ok(!values_next(&v, &x), "once");
	free(piece);
}

static void
test_deep(void)
{
	struct value x;
	values_reset(&v);
	buf_addz(values_buf(&v), "[\n");
	for (int i = 0; i < 100000; i++)
		buf_addc(&v.buf, '[');
	for (int i = 0; i < 100000; i++)
		buf_addc(&v.buf, ']');
	buf_addz(&v.buf, ",{}]");
	values_end(&v, NULL);
	ok(values_next(&v, &x) && x.length == 200000, "nesting of 100,000 is followed");
	ok(values_next(&v, &x) && x.length == 2, "to its end");
}

/* The form is told by the same bytes, however many have come: the first object line stands just behind them. */
static void
test_window(void)
{
	static const size_t pieces[] = {64 * 1024, 1000, 16384};
	struct buf text = BUF_INIT(1 * MIB), whole = BUF_INIT(1 * MIB), got = BUF_INIT(1 * MIB);
	while (text.n < 64 * 1024)
		buf_addz(&text, "\"xyz\"\n");
	buf_addz(&text, "{\"a\":1}\n{\"a\":2}\n");
	split(buf_str(&text), text.n, NULL, &whole);
	ok(v.form == VALUES_VALUES, "what comes behind the window does not tell the form");
	for (size_t i = 0; i < 3; i++) {
		split(buf_str(&text), pieces[i], NULL, &got);
		ok(str_eq(buf_str(&got), buf_str(&whole)), "in pieces of %zu bytes neither", pieces[i]);
	}
	buf_release(&text);
	buf_release(&whole);
	buf_release(&got);
}

/* ---- a file of lines without its beginning, as tail -c or a rotation by bytes leaves it ---- */

static const char *const events[] = {
    "{\"type\":\"order\",\"country\":\"Norway\",\"n\":1,\"items\":[{\"sku\":\"a\",\"price\":1.5},{\"sku\":\"b\"}],\"x\":{}}",
    "{\"s\":\"\\\"[1] {2} \\\\\",\"t\":\"}{\",\"u\":\"[\",\"v\":\"\",\"w\":\",\",\"list\":[1,[2,\"]\"],-3e5],\"y\":null}",
    "{\"\xc3\xa9\xe2\x82\xac\":\"\\u20ac \\n 2025-02-08T13:09:00Z\",\"a\":{\"b\":{\"c\":[[],{}]}},\"ok\":true}",
    "{\"q\":\"{\\\"nested\\\":[\\\"json\\\",{}]}\",\"k\":\"\\\"\",\"z\":\"1 2 {} []\"}",
};
#define EVENTS 4

static const char *const junk[] = {"[{{  [1[xx\"\"x1},{,]]", "[", "[[", "[1,", "[{\"a\":1},", "{", "{\"a\":", "{\"a\":\"",
    "\"", "\"x", "\"a\" b", "1 b", "1 2 ]", "\":\"Norway\"}", "}", "]", "},{", ",", ":", "null,", "2025-11-22 INFO [main] started",
    "PK\003\004", "\xff\xfe", "<html>", "{\"a\":1} trailing", "{\"a\":1}}", "\"a\",\"b\":1}", "[1,2", "[\"x", "1 [", "{} {"};

/* Is what was split exactly first, where it is not blank, and then the whole lines? */
static bool
keeps_lines(struct str first, const char *const *lines, int n, const char *indent)
{
	struct buf text = BUF_INIT(1 * MIB), want = BUF_INIT(1 * MIB), got = BUF_INIT(1 * MIB);
	size_t end = first.n;
	while (end > 0 && strchr(" \t\r", first.p[end - 1]) != NULL)
		end--;
	buf_adds(&text, first);
	if (end > 0)
		buf_addf(&want, "1:%.*s|", (int)end, first.p);
	for (int i = 0; i < n; i++) {
		buf_addf(&text, "\n%s%s", indent, lines[i]);
		buf_addf(&want, "%s%d:%s%s", i > 0 ? "|" : "", i + 2, indent, lines[i]);
	}
	split(buf_str(&text), 100000, NULL, &got);
	bool same = str_eq(buf_str(&got), buf_str(&want));
	if (!same)
		printf("# '%.*s' and %d lines: %.*s\n", STR_ARG(first), n, STR_ARG(buf_str(&got)));
	buf_release(&text);
	buf_release(&want);
	buf_release(&got);
	return same;
}

static void
test_lost_beginning(void)
{
	int bad = 0;
	for (int i = 0; i < EVENTS; i++) {
		const char *others[EVENTS + 1] = {0};
		for (int k = 0; k < EVENTS; k++)
			others[k] = events[(i + 1 + k) % EVENTS];
		for (struct str s = str_of(events[i]); s.n > 0; s = str_skip(s, 1)) {
			for (int n = 1; n <= EVENTS; n++)
				bad += !keeps_lines(s, others, n, "") + (n > 1 && !keeps_lines(s, others, n, "  "));
		}
	}
	is_int(bad, 0, "bug: a first line without its beginning took all others along, wherever it was cut");
	bad = 0;
	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
		for (int n = 2; n <= EVENTS; n++)
			bad += !keeps_lines(str_of(junk[i]), events, n, "");
	}
	is_int(bad, 0, "bug: and so did nonsense");
}

/* Lines longer than the window, the first without its beginning. */
static void
test_lost_long(void)
{
	struct buf text = BUF_INIT(4 * MIB);
	struct value x;
	int n = 0;
	for (int i = 0; i < 4; i++) {
		buf_addz(&text, i == 0 ? "Norway\",\"x\":\"" : "{\"a\":1,\"x\":\"");
		memset(buf_room(&text, 100000), 'x', 100000);
		buf_grew(&text, 100000);
		buf_addz(&text, "\"}\n");
	}
	values_reset(&v);
	for (struct str s = buf_str(&text); s.n > 0; s = str_skip(s, 1000)) {
		buf_adds(values_buf(&v), (struct str){s.p, s.n < 1000 ? s.n : 1000});
		if (s.n <= 1000)
			values_end(&v, NULL);
		while (values_next(&v, &x))
			n += x.broken == NULL;
	}
	is_int(n, 4, "bug: and a first line longer than the window");
	buf_release(&text);
}

/* Values on a line that is longer than what is looked at. */
static void
test_endless_line(void)
{
	struct value x;
	int n = 0;
	values_reset(&v);
	buf_addz(values_buf(&v), "{\"a\":1");
	for (int i = 1; i < 2000000; i++) {
		buf_addz(values_buf(&v), "}{\"a\":1");
		while (i % 1000 == 0 && values_next(&v, &x))
			n += x.text.n == 7;
	}
	buf_addz(values_buf(&v), "}");
	values_end(&v, NULL);
	while (values_next(&v, &x))
		n += x.text.n == 7;
	is_int(n, 2000000, "values on a line of 14 MB");
}

/* Values whose lines look like objects of their own, and arrays that are cut. */
static void
test_inner_lines(void)
{
	struct buf text = BUF_INIT(1 * MIB), got = BUF_INIT(4 * MIB);
	is_split("[\n  {\"a\":1},\n  {\"a\":2}\n]\n", "1:{\"a\":1}|2:{\"a\":2}", "an array, indented");
	is_split("[\n{\"a\":1}\n,{\"a\":2}\n,\n{\"a\":3}\n]\n", "1:{\"a\":1}|2:{\"a\":2}|3:{\"a\":3}", "commas in front");
	is_split("[\n{\"a\":1},\n{\"a\":2}\n", "1:{\"a\":1}|2:{\"a\":2}|3@19!(it ends within an array)",
	    "an array without its end");
	is_split("[\n{\"a\":1}\n", "1:{\"a\":1}|2@10!(it ends within an array)", "of one");
	is_split("[\n{\"a\":1},\n{\"a\":2}\n{\"a\":3},\n{\"a\":4}\n]\n", "1:{\"a\":1}|2:{\"a\":2}|3:{\"a\":3}|4:{\"a\":4}",
	    "an array that lacks a comma");
	is_split("{\"items\":[\n{\"a\":1},\n{\"a\":2}\n],\n\"b\":\n{\"c\":3}\n}\n",
	    "1:{\"items\":[\n{\"a\":1},\n{\"a\":2}\n],\n\"b\":\n{\"c\":3}\n}", "an object around objects");
	is_split("{\"items\":[\n  {\"a\":1}", "1@0!{\"items\":[\n  {\"a\":1}(it ends within a value)", "one without its end");
	is_split("{\"a\":1},\n{\"a\":2},\n{\"a\":3}\n", "1:{\"a\":1}|2:{\"a\":2}|3:{\"a\":3}", "a list without brackets");
	is_split("  {\"a\":1}\n  {\"a\":2}\n", "1:  {\"a\":1}|2:  {\"a\":2}", "indented lines");
	is_split("{\"a\":1} {\"b\":1}\n{\"a\":2} {\"b\":2}\n", "1:{\"a\":1}|2:{\"b\":1}|3:{\"a\":2}|4:{\"b\":2}",
	    "two on each line");
	is_split("{\"a\":1} {\"b\":01}\n{\"a\":2} {\"b\":2}\n", "1:{\"a\":1}|2:{\"b\":01}|3:{\"a\":2}|4:{\"b\":2}",
	    "a bad one among them");
	is_split("1 \"a\" null [] \n{\"a\":1}\n", "1:1|2:\"a\"|3:null|4:{\"a\":1}", "scalars");
	is_split("{\"a\":1}, {\"b\":01}", "1:{\"a\":1}|2:{\"b\":01}", "two on the only line");
	/* Longer than the window, which ends anywhere, also behind what looks like a whole line. */
	int bad = 0;
	for (int pad = 0; pad < 12; pad++) {
		buf_reset(&text, 0);
		buf_addf(&text, "{\"items\":[%*s\n", pad, "");
		while (text.n < 65 * KIB)
			buf_addz(&text, "{\"a\":1}\n,\n");
		buf_addz(&text, "{}]}");
		split(buf_str(&text), 1, NULL, &got);
		bad += got.n != text.n + 2;
	}
	is_int(bad, 0, "a long object around objects");
	buf_release(&text);
	buf_release(&got);
}

int
main(void)
{
	values_init(&v);
	test_lost_beginning();
	test_lost_long();
	test_endless_line();
	test_inner_lines();
	test_lines();
	test_values();
	test_broken();
	test_cut();
	test_long("", "\n", "\n");
	test_long("[", ",\n", "]");
	test_long_rest();
	test_deep();
	test_window();
	values_release(&v);
	return done();
}
