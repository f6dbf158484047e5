#include "values.h"

#include <string.h>

#include "bounds.h"

#define WINDOW (64 * KIB)
#define KEEP (1 * MIB)

void
values_init(struct values *v)
{
	*v = (struct values){0};
	buf_init(&v->buf, LIMIT_DATA + 4 * MIB);
	buf_init(&v->kinds, LIMIT_DATA + 4 * MIB);
}

void
values_reset(struct values *v)
{
	struct values fresh = {.buf = v->buf, .kinds = v->kinds, .json = v->json};
	buf_reset(&fresh.buf, KEEP);
	buf_reset(&fresh.kinds, KEEP);
	*v = fresh;
}

void
values_release(struct values *v)
{
	buf_release(&v->buf);
	buf_release(&v->kinds);
	json_release(&v->json);
}

/* Takes n bytes out, behind start's first `from`. */
static void
drop(struct values *v, size_t from, size_t n)
{
	char *at = v->buf.p + v->start + from;
	memmove(at, at + n, v->buf.n - v->start - from - n);
	v->buf.n -= n;
	v->dropped += n;
}

struct buf *
values_buf(struct values *v)
{
	if (v->start > 0) {
		buf_consume(&v->buf, v->start);
		v->base += v->start;
		v->start = 0;
		/* A big event's memory is not kept for the small ones that follow. */
		if (v->buf.n == 0)
			buf_reset(&v->buf, KEEP);
	}
	return &v->buf;
}

void
values_end(struct values *v, const char *cut)
{
	v->ended = true;
	v->cut = cut;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What was not handed out yet. */
static struct str
rest(const struct values *v)
{
	return str_skip(buf_str(&v->buf), v->start);
}

/* An event past the limit: only its start is kept. */
static void
drop_excess(struct values *v, size_t length)
{
	if (length + v->dropped <= LIMIT_DATA || length <= LIMIT_LONG_LINE_KEPT)
		return;
	drop(v, LIMIT_LONG_LINE_KEPT, length - LIMIT_LONG_LINE_KEPT);
	v->scanned -= length - LIMIT_LONG_LINE_KEPT;
}

/* Hands out the first n bytes of the rest and moves past them and `skip` more. */
static bool
hand_out(struct values *v, struct value *out, size_t n, size_t skip, const char *broken)
{
	uint64_t length = n + v->dropped;
	*out = (struct value){.text = {rest(v).p, n}, .number = v->number, .offset = v->base + v->start, .length = length,
	    .broken = broken};
	if (length > LIMIT_DATA && n > LIMIT_LONG_LINE_KEPT)
		out->text.n = LIMIT_LONG_LINE_KEPT;
	v->base += v->dropped;
	v->start += n + skip;
	v->scanned = v->dropped = 0;
	return true;
}

/* ---- lines ---- */

static bool
next_line(struct values *v, struct value *out)
{
	for (;;) {
		struct str s = rest(v);
		const char *newline = s.n > v->scanned ? memchr(s.p + v->scanned, '\n', s.n - v->scanned) : NULL;
		if (newline == NULL && !v->ended) {
			v->scanned = s.n;
			drop_excess(v, s.n);
			return false;
		}
		size_t n = newline != NULL ? (size_t)(newline - s.p) : s.n, skip = newline != NULL, end = n;
		if (n == 0 && skip == 0)
			return false;
		v->number++;
		while (n > 0 && is_blank(s.p[n - 1]) && v->dropped == 0)
			n--;
		const char *broken = newline == NULL ? v->cut : NULL;
		if (n > 0)
			return hand_out(v, out, n, end - n + skip, broken);
		v->start += end + skip;
		v->scanned = 0;
	}
}

/* ---- values ---- */

/* A value's scan. One that is not begun is at its first byte. */
struct scan {
	struct str s;
	size_t at;
	struct buf *kinds;
	bool in_string, in_scalar;
	const char *broken;
};

/* To behind the closing quote, or as far as there is text. */
static void
scan_string(struct scan *c)
{
	while (c->at < c->s.n) {
		char b = c->s.p[c->at];
		if (b == '\\') {
			/* Its other half may not be there yet. */
			if (c->at + 1 >= c->s.n)
				return;
			c->at++;
		} else if (b == '"') {
			c->in_string = false;
			c->at++;
			return;
		} else if (b == '\n') {
			c->broken = "a string goes over a line's end";
			return;
		}
		c->at++;
	}
}

static bool
ends_scalar(char b)
{
	return is_blank(b) || b == ',' || b == ']' || b == '}' || b == '[' || b == '{' || b == '"';
}

static void
scan_bracket(struct scan *c, char b)
{
	if (b == '{' || b == '[') {
		buf_addc(c->kinds, b == '{' ? '}' : ']');
		if (c->kinds->over)
			c->broken = "its nesting is deeper than can be followed";
	} else if (c->kinds->n > 0 && c->kinds->p[c->kinds->n - 1] == b) {
		c->kinds->n--;
	} else {
		c->broken = "a closing bracket does not match";
	}
}

/* Scans on to the value's end: true once it is there, c->at behind its last byte. Else broken, or out of text. */
static bool
scan_value(struct scan *c)
{
	while (c->at < c->s.n) {
		if (c->in_string) {
			scan_string(c);
			if (c->in_string)
				return false;
			if (c->kinds->n == 0)
				return true;
			continue;
		}
		char b = c->s.p[c->at];
		if (c->in_scalar) {
			if (ends_scalar(b))
				return true;
			c->at++;
			continue;
		}
		if (b == '"')
			c->in_string = true;
		else if (b == '{' || b == '[' || b == '}' || b == ']')
			scan_bracket(c, b);
		else if (c->kinds->n == 0)
			c->in_scalar = true;
		if (c->broken != NULL)
			return false;
		c->at++;
		if (c->kinds->n == 0 && !c->in_string && !c->in_scalar)
			return true;
	}
	return false;
}

static bool
is_among(char b, const char *set)
{
	return b != '\0' && strchr(set, b) != NULL;
}

static bool
begins_value(char b)
{
	return is_among(b, "{[\"-0123456789tfn");
}

/* Between values. */
static bool
is_filler(char b)
{
	return is_blank(b) || b == ',';
}

/* Past what stands between values, into and out of arrays at top level: true at a value's first byte. */
static bool
find_value(struct values *v)
{
	struct str s = rest(v);
	size_t i = 0;
	if (v->base + v->start == 0 && str_starts(s, STR("\xef\xbb\xbf")))
		i = 3;
	for (; i < s.n; i++) {
		char b = s.p[i];
		if (is_filler(b))
			continue;
		if (b == '[' && !v->in_array) {
			v->in_array = true;
		} else if (b == ']' && v->in_array) {
			v->in_array = false;
		} else {
			if (!begins_value(b))
				v->broken = "it is no JSON";
			break;
		}
	}
	v->start += i;
	return i < s.n;
}

/* The rest of a broken file: only its start is kept. It is handed out when all of it was seen. */
static bool
hand_out_rest(struct values *v, struct value *out)
{
	size_t n = rest(v).n;
	if (n > LIMIT_LONG_LINE_KEPT)
		drop(v, LIMIT_LONG_LINE_KEPT, n - LIMIT_LONG_LINE_KEPT);
	if (!v->ended || v->over)
		return false;
	v->over = true;
	v->number++;
	n = rest(v).n;
	return hand_out(v, out, n, 0, v->broken);
}

static bool
ends_within(struct values *v, struct value *out)
{
	v->broken = v->cut != NULL ? v->cut : v->inside ? "it ends within a value" : "it ends within an array";
	return hand_out_rest(v, out);
}

static bool
next_value(struct values *v, struct value *out)
{
	if (v->over)
		return false;
	if (v->broken == NULL && !v->inside)
		v->inside = find_value(v) && v->broken == NULL;
	if (v->broken != NULL)
		return hand_out_rest(v, out);
	if (!v->inside)
		return v->ended && v->in_array ? ends_within(v, out) : false;
	struct scan c = {rest(v), v->scanned, &v->kinds, v->in_string, v->in_scalar, NULL};
	bool whole = scan_value(&c) || (v->ended && v->cut == NULL && c.in_scalar && c.broken == NULL);
	v->scanned = c.at;
	v->in_string = c.in_string;
	v->in_scalar = c.in_scalar;
	if (c.broken != NULL) {
		v->broken = c.broken;
		return hand_out_rest(v, out);
	}
	if (!whole && v->ended)
		return ends_within(v, out);
	if (!whole) {
		drop_excess(v, c.at);
		return false;
	}
	v->inside = v->in_scalar = false;
	v->number++;
	return hand_out(v, out, c.at, 0, NULL);
}

/* ---- which of the two ---- */

static struct str
first_line(struct str s)
{
	return (struct str){s.p, str_find(s, '\n')};
}

static bool
blank(struct str s)
{
	return str_trim(s).n == 0;
}

/* The first value of s: its length, or 0 where it is not whole. */
static size_t
measure(struct values *v, struct str s)
{
	struct scan c = {s, 0, &v->kinds, false, false, NULL};
	buf_reset(&v->kinds, KEEP);
	size_t n = scan_value(&c) ? c.at : 0;
	buf_reset(&v->kinds, KEEP);
	return n;
}

/* Is there, among the values that s begins with, a sound one that goes over a line's end? */
static bool
has_long_value(struct values *v, struct str s)
{
	for (s = str_trim(s); s.n > 0;) {
		size_t n = measure(v, s);
		struct str value = {s.p, n};
		if (n == 0)
			return false;
		if (str_find(value, '\n') < n && json_parse(&v->json, value) != JSON_BAD)
			return true;
		s = str_trim(str_skip(s, n));
	}
	return false;
}

/*
 * Is s nothing but values, and more than one? sound: each of them is. Where the text may go on behind s, what it ends in
 * need not be whole.
 */
static bool
several(struct values *v, struct str s, bool sound, bool goes_on)
{
	int values = 0;
	for (size_t i = 0, n; ; i += n, values++) {
		while (i < s.n && is_filler(s.p[i]))
			i++;
		if (i == s.n)
			return values > 1;
		struct str value = {s.p + i, n = begins_value(s.p[i]) ? measure(v, str_skip(s, i)) : 0};
		if (n == 0)
			return values > 1 && goes_on;
		if (sound && json_parse(&v->json, value) == JSON_BAD)
			return false;
	}
}

/*
 * Are there more lines that are an object each and stand alone than elements of a list that are? Within an array or
 * object something divides an element from what comes next. Behind the text's last line there is nothing to tell by,
 * and what stands before it decides where it may be an element.
 */
static bool
has_own_lines(struct values *v, struct str s, bool whole)
{
	bool array = s.p[0] == '[', object = false, inner = false;
	long alone = 0, listed = 0;
	char last = '\n';
	for (size_t n; s.n > 0; s = str_skip(s, n + 1)) {
		n = first_line(s).n;
		struct str line = str_trim(first_line(s));
		if (line.n == 0)
			continue;
		alone += object && !is_among(line.p[0], ",:]}");
		bool begins = line.p[0] == '{';
		inner = (array || line.p > s.p) && is_among(last, ",:[");
		last = line.p[line.n - 1];
		object = begins && last == '}' && !several(v, line, false, false);
		listed += begins && last == ',' && line.n > 2 && line.p[line.n - 2] == '}';
	}
	alone += object && whole && !inner;
	return alone > listed;
}

static enum values_form
tell(struct values *v, struct str s, bool whole)
{
	if (str_starts(s, STR("\xef\xbb\xbf")))
		s = str_skip(s, 3);
	while (s.n > 0 && is_blank(s.p[0]))
		s = str_skip(s, 1);
	if (s.n == 0)
		return VALUES_LINES;
	struct str line = first_line(s);
	bool only = blank(str_skip(s, line.n));
	if ((!only && several(v, (struct str){s.p, line.n + 1}, true, false)) || has_long_value(v, s))
		return VALUES_VALUES;
	if (has_own_lines(v, s, whole))
		return VALUES_LINES;
	/* A single line, too, that does not end as it should. */
	return only && s.p[0] == '{' && !several(v, line, false, !whole) ? VALUES_LINES : VALUES_VALUES;
}

/*
 * What the form is told by: a window, or more, to where a third line begins, for the first may have lost its beginning; an
 * array may be a single line. No more than that, even where it is there already, for the pieces in which a text comes must
 * not count. whole: it is all there is. false: not all of it is there yet.
 */
static bool
sample(const struct values *v, struct str *out, bool *whole)
{
	struct str s = rest(v);
	size_t i = 0, n = WINDOW;
	bool array = false;
	int lines = 0;
	for (;; lines++) {
		while (i < s.n && is_blank(s.p[i]))
			i++;
		array = lines == 0 && i < WINDOW && s.n >= WINDOW && s.p[i] == '[' && memchr(s.p + i, '\n', WINDOW - i) == NULL;
		if (i == s.n || lines == 2 || array)
			break;
		i += str_find(str_skip(s, i), '\n');
	}
	bool third = i < s.n && lines == 2;
	if (third && i + 1 > n)
		n = i + 1;
	if (!v->ended && s.n < LIMIT_DATA && (!(third || array) || s.n <= n))
		return false;
	if (!(third || array) || n > LIMIT_DATA)
		n = LIMIT_DATA;
	*out = (struct str){s.p, n < s.n ? n : s.n};
	*whole = v->ended && out->n == s.n;
	return true;
}

bool
values_next(struct values *v, struct value *out)
{
	if (v->form == VALUES_UNKNOWN) {
		struct str s;
		bool whole;
		if (!sample(v, &s, &whole))
			return false;
		v->form = tell(v, s, whole);
	}
	return v->form == VALUES_LINES ? next_line(v, out) : next_value(v, out);
}
