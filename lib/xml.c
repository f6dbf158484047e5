#include "xml.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

static enum xml_event __attribute__((format(printf, 2, 3)))
bad(struct xml *x, const char *fmt, ...)
{
	char cause[96];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(cause, sizeof(cause), fmt, ap);
	va_end(ap);
	if (!x->bad)
		snprintf(x->why, sizeof(x->why), "%s at byte %zu", cause, x->at);
	x->bad = true;
	return XML_BAD;
}

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Section 2.2, of what is left of the C0 range. The rest is UTF-8 of any kind but U+FFFE and U+FFFF. */
static bool
char_ok(uint32_t c)
{
	return c == '\t' || c == '\n' || c == '\r' ||
	    (c >= 0x20 && c != 0xfffe && c != 0xffff && c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff));
}

/* Where a character that no document may hold stands, or in.n. */
static size_t
first_bad_char(struct str in)
{
	for (size_t i = 0; i < in.n;) {
		uint32_t c;
		size_t n = utf8_decode(str_skip(in, i), &c);
		if (n == 0 || !char_ok(c))
			return i;
		i += n;
	}
	return in.n;
}

void
xml_init(struct xml *x, struct str text)
{
	*x = (struct xml){.in = text, .decoded = BUF_INIT(text.n + 1)};
	if (str_starts(text, STR("\xef\xbb\xbf")))
		x->at = 3;
	size_t wrong = first_bad_char(text);
	if (wrong < text.n) {
		x->at = wrong;
		bad(x, "no character of XML in UTF-8");
	}
}

void
xml_release(struct xml *x)
{
	buf_release(&x->decoded);
}

static bool
starts(const struct xml *x, const char *what)
{
	return str_starts(str_skip(x->in, x->at), str_of(what));
}

static bool
take(struct xml *x, const char *what)
{
	if (!starts(x, what))
		return false;
	x->at += strlen(what);
	return true;
}

static bool
skip_blanks(struct xml *x)
{
	size_t from = x->at;
	while (x->at < x->in.n && blank(x->in.p[x->at]))
		x->at++;
	return x->at > from;
}

/* The text up to `end`, which is passed too: false where there is none. */
static bool
take_until(struct xml *x, const char *end, struct str *out)
{
	struct str rest = str_skip(x->in, x->at);
	const char *p = rest.n > 0 ? memmem(rest.p, rest.n, end, strlen(end)) : NULL;
	if (p == NULL)
		return false;
	*out = (struct str){rest.p, (size_t)(p - rest.p)};
	x->at += out->n + strlen(end);
	return true;
}

static bool
name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
	    (unsigned char)c >= 0x80;
}

static struct str
take_name(struct xml *x)
{
	size_t from = x->at;
	while (x->at < x->in.n) {
		char c = x->in.p[x->at];
		bool inner = (c >= '0' && c <= '9') || c == '-' || c == '.';
		if (!name_start(c) && !(inner && x->at > from))
			break;
		x->at++;
	}
	return (struct str){x->in.p + from, x->at - from};
}

static struct str
local(struct str name)
{
	size_t colon = str_find(name, ':');
	return colon < name.n ? str_skip(name, colon + 1) : name;
}

/* "#233" or "#xE9", without & and ; */
static bool
number_reference(struct str s, uint32_t *out)
{
	bool hex = s.n > 1 && s.p[1] == 'x';
	uint32_t v = 0;
	s = str_skip(s, hex ? 2 : 1);
	if (s.n == 0 || s.n > 8)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		unsigned digit;
		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (hex && (c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (unsigned)((c | 0x20) - 'a') + 10;
		else
			return false;
		v = v * (hex ? 16 : 10) + digit;
	}
	*out = v;
	return char_ok(v);
}

/* At '&': the character meant. */
static bool
take_reference(struct xml *x, uint32_t *out)
{
	static const struct {
		const char *name;
		char is;
	} five[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
	struct str rest = str_skip(x->in, x->at + 1);
	struct str name = {rest.p, str_find((struct str){rest.p, rest.n < 12 ? rest.n : 12}, ';')};
	if (name.n == rest.n || name.n == 12)
		return false;
	x->at += name.n + 2;
	if (name.n > 0 && name.p[0] == '#')
		return number_reference(name, out);
	for (size_t i = 0; i < sizeof(five) / sizeof(five[0]); i++) {
		if (str_is(name, five[i].name)) {
			*out = (uint32_t)five[i].is;
			return true;
		}
	}
	return false;
}

/* Section 2.11: CR LF and a CR alone are one LF. */
static void
add_plain(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\r')
			buf_addc(out, s.p[i]);
		else if (i + 1 == s.n || s.p[i + 1] != '\n')
			buf_addc(out, '\n');
	}
}

/* Characters up to the next '<'. */
static enum xml_event
text_run(struct xml *x)
{
	buf_reset(&x->decoded, x->decoded.max);
	while (x->at < x->in.n && x->in.p[x->at] != '<') {
		struct str rest = str_skip(x->in, x->at);
		size_t n = str_find((struct str){rest.p, str_find(rest, '<')}, '&');
		uint32_t c;
		char utf8[4];
		if (n >= 3 && memmem(rest.p, n, "]]>", 3) != NULL)
			return bad(x, "']]>' in a text");
		add_plain(&x->decoded, (struct str){rest.p, n});
		x->at += n;
		if (x->at == x->in.n || x->in.p[x->at] != '&')
			break;
		if (!take_reference(x, &c))
			return bad(x, "a reference to no known entity");
		buf_add(&x->decoded, utf8, utf8_encode(c, utf8));
	}
	x->run = buf_str(&x->decoded);
	if (x->depth == 0 && str_trim(x->run).n > 0)
		return bad(x, "text outside of the root element");
	return XML_TEXT;
}

static enum xml_event
cdata(struct xml *x)
{
	struct str inside;
	if (x->depth == 0 || !take_until(x, "]]>", &inside))
		return bad(x, "a CDATA section out of place or without its end");
	buf_reset(&x->decoded, x->decoded.max);
	add_plain(&x->decoded, inside);
	x->run = buf_str(&x->decoded);
	return XML_TEXT;
}

/* name="value" pairs up to ">" or "/>". */
static bool
pass_attributes(struct xml *x)
{
	for (;;) {
		bool apart = skip_blanks(x);
		struct str value;
		if (x->at == x->in.n || x->in.p[x->at] == '>' || x->in.p[x->at] == '/')
			return true;
		if (!apart || take_name(x).n == 0)
			return false;
		skip_blanks(x);
		if (!take(x, "="))
			return false;
		skip_blanks(x);
		const char *quote = starts(x, "\"") ? "\"" : "'";
		if (!take(x, quote) || !take_until(x, quote, &value) || str_find(value, '<') < value.n)
			return false;
	}
}

static enum xml_event
open_tag(struct xml *x)
{
	struct str name = take_name(x);
	if (name.n == 0)
		return bad(x, "a '<' that begins nothing");
	if (x->depth == 0 && x->rooted)
		return bad(x, "a second root element");
	if (x->depth == XML_DEPTH)
		return bad(x, "elements nested deeper than %d", XML_DEPTH);
	if (!pass_attributes(x))
		return bad(x, "a malformed attribute");
	x->empty = take(x, "/");
	if (!take(x, ">"))
		return bad(x, "a tag without its end");
	x->rooted = true;
	x->open[x->depth++] = name;
	x->name = local(name);
	return XML_OPEN;
}

static enum xml_event
close_tag(struct xml *x)
{
	struct str name = take_name(x);
	skip_blanks(x);
	if (!take(x, ">"))
		return bad(x, "a tag without its end");
	if (x->depth == 0 || !str_eq(name, x->open[x->depth - 1]))
		return bad(x, "the end of an element that is not open");
	x->depth--;
	x->name = local(name);
	return XML_CLOSE;
}

/* Behind a '<' that is no tag: passes comments and processing instructions (true), or reports (false). */
static bool
pass_misc(struct xml *x)
{
	struct str inside;
	if (take(x, "?"))
		return take_until(x, "?>", &inside) || bad(x, "a processing instruction without its end");
	if (take(x, "!--")) {
		if (take_until(x, "--", &inside) && take(x, ">"))
			return true;
		return bad(x, "a malformed comment");
	}
	return bad(x, "a document type or other declaration, which is refused,");
}

enum xml_event
xml_next(struct xml *x)
{
	if (x->bad)
		return XML_BAD;
	if (x->empty) {
		x->empty = false;
		x->depth--;
		return XML_CLOSE;
	}
	for (;;) {
		if (x->at == x->in.n) {
			if (x->depth > 0 || !x->rooted)
				return bad(x, "the text ends too early");
			return XML_END;
		}
		if (!take(x, "<")) {
			enum xml_event got = text_run(x);
			if (got == XML_BAD || x->depth > 0)
				return got;
			continue;
		}
		if (take(x, "/"))
			return close_tag(x);
		if (take(x, "![CDATA["))
			return cdata(x);
		if (!starts(x, "?") && !starts(x, "!"))
			return open_tag(x);
		if (!pass_misc(x))
			return XML_BAD;
	}
}

enum xml_event
xml_next_element(struct xml *x)
{
	enum xml_event got;
	do {
		got = xml_next(x);
		if (got == XML_TEXT && str_trim(x->run).n > 0)
			return bad(x, "text where elements belong");
	} while (got == XML_TEXT);
	return got;
}

bool
xml_text(struct xml *x, struct buf *out)
{
	for (;;) {
		switch (xml_next(x)) {
		case XML_TEXT:
			buf_adds(out, x->run);
			break;
		case XML_CLOSE:
			return !out->over || bad(x, "a text that is too long");
		case XML_OPEN:
			return bad(x, "an element where text belongs");
		default:
			return false;
		}
	}
}

bool
xml_skip(struct xml *x)
{
	for (unsigned outside = x->depth - 1; x->depth > outside;) {
		if (xml_next(x) == XML_BAD)
			return false;
	}
	return true;
}
