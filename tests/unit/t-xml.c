/* xml: well-formed texts come out as they are, everything else is refused with its place. */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "tap.h"
#include "xml.h"

/* The events of a text in one line: <a "text" > ! */
static void
trace(struct str in, struct buf *out)
{
	struct xml x;
	enum xml_event got;
	xml_init(&x, in);
	while ((got = xml_next(&x)) != XML_END && got != XML_BAD) {
		buf_addz(out, out->n > 0 ? " " : "");
		if (got == XML_TEXT)
			buf_addf(out, "\"%.*s\"", STR_ARG(x.run));
		else
			buf_addf(out, "%s%.*s", got == XML_OPEN ? "<" : ">", STR_ARG(x.name));
	}
	if (got == XML_BAD)
		buf_addf(out, " !%s", x.why);
	xml_release(&x);
}

static void
reads(const char *in, const char *want, const char *name)
{
	struct buf out = BUF_INIT(64 * KIB);
	trace(str_of(in), &out);
	is_str(buf_str(&out), want, "%s", name);
	buf_release(&out);
}

static void
refuses(struct str in, const char *why, const char *name)
{
	struct buf out = BUF_INIT(64 * KIB);
	trace(in, &out);
	const char *mark = strchr(buf_cstr(&out), '!');
	if (!ok(mark != NULL && strstr(mark, why) != NULL, "refused: %s", name))
		printf("#  got: %s\n# want: %s\n", buf_cstr(&out), why);
	buf_release(&out);
}

static void
test_reading(void)
{
	reads("<a/>", "<a >a", "an empty element");
	reads("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a xmlns=\"http://x/\" b = 'c>d'><b>1</b><!-- <z> "
	      "--></a>\n",
	    "<a <b \"1\" >b >a", "declaration, attributes, comment");
	reads("\xef\xbb\xbf<a>\xc3\xa9</a>", "<a \"\xc3\xa9\" >a", "a byte order mark, and UTF-8");
	reads("<a>&lt;&amp;&gt;&quot;&apos;&#233;&#xe9;&#x1F600;</a>",
	    "<a \"<&>\"'\xc3\xa9\xc3\xa9\xf0\x9f\x98\x80\" >a", "all the entities, and numbers");
	reads("<a>x<![CDATA[<b>&amp;]]>y</a>", "<a \"x\" \"<b>&amp;\" \"y\" >a", "CDATA as it stands");
	reads("<a>1\r\n2\r3</a>", "<a \"1\n2\n3\" >a", "line ends are LF");
	reads("<s:a xmlns:s='u'><s:b/></s:a>", "<a <b >b >a", "prefixes are left out");
	reads("<a ><b/ ></a>", "<a !a tag without its end at byte 7", "a slash and its > stand together");
	reads("<a></a >", "<a >a", "blanks in an end tag");
	reads("<a><?pi x?><b1-2.c/></a>", "<a <b1-2.c >b1-2.c >a",
	    "instructions are passed, names hold digits");
}

static void
test_refusals(void)
{
	refuses(STR(""), "ends too early at byte 0", "nothing");
	refuses(STR("  \n"), "ends too early", "white space alone");
	refuses(STR("<a>"), "ends too early", "an element that stays open");
	refuses(STR("<a><b></a></b>"), "not open", "crossing elements");
	refuses(STR("</a>"), "not open", "an end first");
	refuses(STR("<a/><b/>"), "second root", "two roots");
	refuses(STR("<a/>x"), "outside of the root", "text behind the root");
	refuses(STR("x<a/>"), "outside of the root", "text before the root");
	refuses(STR("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"), "document type", "a document type");
	refuses(STR("<a>&b;</a>"), "no known entity", "an unknown entity");
	refuses(STR("<a>&amp</a>"), "no known entity", "a reference without its semicolon");
	refuses(STR("<a>&"), "no known entity", "a reference at the end");
	refuses(STR("<a>&#0;</a>"), "no known entity", "NUL by number");
	refuses(STR("<a>&#xD800;</a>"), "no known entity", "a surrogate by number");
	refuses(STR("<a>&#x110000;</a>"), "no known entity", "past Unicode by number");
	refuses(STR("<a>&#99999999999;</a>"), "no known entity", "a number that overflows");
	refuses(STR("<a>&#;</a>"), "no known entity", "a number without digits");
	refuses(STR("<a>\xff</a>"), "UTF-8 at byte 3", "broken UTF-8");
	refuses(STR("<a>\xed\xa0\x80</a>"), "UTF-8", "a raw surrogate");
	refuses(STR("<a>\0</a>"), "UTF-8", "NUL");
	refuses(STR("<a b></a>"), "attribute", "an attribute without a value");
	refuses(STR("<a b=c></a>"), "attribute", "an attribute without quotes");
	refuses(STR("<a b='<'></a>"), "attribute", "< in an attribute");
	refuses(STR("<a b='1'c='2'/>"), "attribute", "attributes without a blank between them");
	refuses(STR("<a b='1></a>"), "attribute", "a quote that stays open");
	refuses(STR("< a/>"), "begins nothing", "a blank before the name");
	refuses(STR("<1a/>"), "begins nothing", "a name that begins with a digit");
	refuses(STR("<a><"), "begins nothing", "cut behind <");
	refuses(STR("<a><![CDATA[x</a>"), "CDATA", "CDATA that stays open");
	refuses(STR("<a><!-- x -- y --></a>"), "comment", "-- in a comment");
	refuses(STR("<?xml <a/>"), "instruction", "an instruction that stays open");
	refuses(STR("<a>]]></a>"), "]]>", "]]> in a text");
	refuses(STR("<a"), "without its end", "a tag that stays open");
}

static void
test_depth(void)
{
	struct buf deep = BUF_INIT(1 * MIB);
	for (int i = 0; i < XML_DEPTH; i++)
		buf_addz(&deep, "<a>");
	for (int i = 0; i < XML_DEPTH; i++)
		buf_addz(&deep, "</a>");
	struct buf out = BUF_INIT(64 * KIB);
	trace(buf_str(&deep), &out);
	ok(memchr(out.p, '!', out.n) == NULL, "%d levels are read", XML_DEPTH);
	buf_reset(&deep, MIB);
	for (int i = 0; i < 100000; i++)
		buf_addz(&deep, "<a>");
	refuses(buf_str(&deep), "nested deeper", "100,000 levels");
	buf_release(&deep);
	buf_release(&out);
}

static void
test_helpers(void)
{
	struct buf got = BUF_INIT(8);
	struct xml x;
	xml_init(&x, (struct str)STR("<r>\n <k>a&amp;<![CDATA[b]]></k>\n <z><y>1</y>2<x/></z><k>c</k></r>"));
	ok(xml_next_element(&x) == XML_OPEN && str_is(x.name, "r"), "the root");
	ok(xml_next_element(&x) == XML_OPEN && xml_text(&x, &got), "a text");
	is_str(buf_str(&got), "a&b", "in one piece");
	ok(xml_next_element(&x) == XML_OPEN && str_is(x.name, "z") && xml_skip(&x), "an element skipped");
	ok(xml_next_element(&x) == XML_OPEN && str_is(x.name, "k") && xml_skip(&x),
	    "the next is its sibling");
	ok(xml_next_element(&x) == XML_CLOSE && xml_next(&x) == XML_END && xml_next(&x) == XML_END,
	    "the end, and again");
	xml_release(&x);

	xml_init(&x, (struct str)STR("<r>text<k/></r>"));
	xml_next(&x);
	ok(xml_next_element(&x) == XML_BAD && strstr(x.why, "where elements belong") != NULL,
	    "text among elements");
	xml_release(&x);
	xml_init(&x, (struct str)STR("<r><k/></r>"));
	xml_next(&x);
	ok(!xml_text(&x, &got) && strstr(x.why, "where text belongs") != NULL, "an element in a text");
	xml_release(&x);
	xml_init(&x, (struct str)STR("<r>0123456789</r>"));
	xml_next(&x);
	ok(!xml_text(&x, &got) && strstr(x.why, "too long") != NULL, "a text past its maximum");
	xml_release(&x);
	xml_init(&x, (struct str)STR("<r/>"));
	xml_next(&x);
	ok(xml_skip(&x) && xml_next(&x) == XML_END, "an empty element skipped");
	xml_release(&x);
	buf_release(&got);
}

/* No cut of a good text is good, and none makes trouble. */
static void
test_cuts(void)
{
	static const char text[] = "<?xml version='1.0'?><a b='c'><d>&lt;&#233;<![CDATA[x]]></d><!-- y "
	                           "--><e/></a>";
	int wrong = 0;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		struct buf out = BUF_INIT(4 * KIB);
		char *cut = str_dup((struct str){text, n});
		trace((struct str){cut, n}, &out);
		wrong += out.n == 0 || memchr(out.p, '!', out.n) == NULL;
		free(cut);
		buf_release(&out);
	}
	is_int(wrong, 0, "every cut is refused");
}

int
main(void)
{
	test_reading();
	test_refusals();
	test_depth();
	test_helpers();
	test_cuts();
	return done();
}
