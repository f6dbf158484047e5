#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "jsonw.h"
#include "num.h"
#include "utf8.h"
#include "xalloc.h"

/* ---- tokens ---- */

static void
grow(struct json *j)
{
	j->cap = j->cap > 0 ? j->cap + j->cap / 2 : 64;
	j->tok = xreallocarray(j->tok, j->cap, sizeof(*j->tok));
}

static struct json_tok *
push(struct json *j, enum json_type type, size_t at, size_t len)
{
	if (j->n == j->cap)
		grow(j);
	struct json_tok *t = &j->tok[j->n++];
	*t = (struct json_tok){.at = (uint32_t)at, .len = (uint32_t)len, .next = j->n, .type = type};
	return t;
}

/* The container being read; there is one. */
static struct json_tok *
container(struct json *j)
{
	return &j->tok[j->open[j->nopen - 1]];
}

/* Counts one more value in the container being read. Keys are counted, their values not again. */
static void
count_value(struct json *j)
{
	if (j->nopen > 0 && container(j)->type == JSON_ARRAY)
		container(j)->count++;
}

/* Opens a container, not counting it in the one around it. */
static void
open_at(struct json *j, enum json_type type, size_t at)
{
	push(j, type, at, 0);
	if (j->nopen == j->capopen) {
		j->capopen = j->capopen > 0 ? j->capopen * 2 : 32;
		j->open = xreallocarray(j->open, j->capopen, sizeof(*j->open));
	}
	j->open[j->nopen++] = j->n - 1;
	if (j->nopen > j->depth)
		j->depth = j->nopen;
}

static void
close_at(struct json *j, size_t end)
{
	struct json_tok *t = container(j);
	t->len = (uint32_t)end - t->at;
	t->next = j->n;
	j->nopen--;
}

/* ---- the short way ---- */

/*
 * Nearly all that comes is sound and free of escapes. One pass without callbacks reads that in a fraction of yajl's time.
 * What is taken here yajl takes too, with the same tokens (t-json compares the two); at the first byte that is anything
 * else this gives up, and yajl reads the text from its start: it alone says what is wrong.
 */
static const char *
skip_blanks(const char *p, const char *end)
{
	while (p < end && *p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

/* Each of these takes what stands at p and gives the place behind it; NULL: it is for yajl. */
static const char *
quick_string(struct json *j, const char *p, const char *end)
{
	const char *from = ++p;
	uint32_t cp;
	for (;;) {
		struct str rest = {p, (size_t)(end - p)};
		size_t n = jsonw_plain(rest);
		if (n == rest.n)
			return NULL;
		p += n;
		if (*p == '"')
			break;
		n = (unsigned char)*p < 0x80 ? 0 : utf8_decode(str_skip(rest, n), &cp);
		if (n == 0)
			return NULL;
		p += n;
	}
	push(j, JSON_STRING, (size_t)(from - j->text.p), (size_t)(p - from));
	return p + 1;
}

static const char *
quick_digits(const char *p, const char *end)
{
	const char *from = p;
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p > from ? p : NULL;
}

static const char *
quick_number(struct json *j, const char *p, const char *end)
{
	const char *from = p;
	p += *p == '-';
	const char *first = p;
	p = quick_digits(p, end);
	if (p == NULL || (*first == '0' && p - first > 1))
		return NULL;
	if (p < end && *p == '.' && (p = quick_digits(p + 1, end)) == NULL)
		return NULL;
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < end && (*p == '+' || *p == '-');
		p = quick_digits(p, end);
		if (p == NULL)
			return NULL;
	}
	push(j, JSON_NUMBER, (size_t)(from - j->text.p), (size_t)(p - from));
	return p;
}

static const char *
quick_word(struct json *j, const char *p, const char *end, enum json_type type, struct str word)
{
	if (!str_starts((struct str){p, (size_t)(end - p)}, word))
		return NULL;
	push(j, type, (size_t)(p - j->text.p), word.n);
	return p + word.n;
}

static const char *
quick_scalar(struct json *j, const char *p, const char *end)
{
	switch (*p) {
	case '"':
		return quick_string(j, p, end);
	case 't':
		return quick_word(j, p, end, JSON_TRUE, STR("true"));
	case 'f':
		return quick_word(j, p, end, JSON_FALSE, STR("false"));
	case 'n':
		return quick_word(j, p, end, JSON_NULL, STR("null"));
	default:
		return quick_number(j, p, end);
	}
}

/* A key and its colon. */
static const char *
quick_key(struct json *j, const char *p, const char *end)
{
	p = skip_blanks(p, end);
	if (p == end || *p != '"' || (p = quick_string(j, p, end)) == NULL)
		return NULL;
	p = skip_blanks(p, end);
	return p < end && *p == ':' ? p + 1 : NULL;
}

static bool
in_object(struct json *j)
{
	return j->nopen > 0 && container(j)->type == JSON_OBJECT;
}

/* Behind a value: takes what closes, and the comma before the next; p == end: there is none, all is read. */
static const char *
quick_close(struct json *j, const char *p, const char *end)
{
	for (;;) {
		p = skip_blanks(p, end);
		if (j->nopen == 0)
			return p == end ? p : NULL;
		if (p == end)
			return NULL;
		if (*p == ',')
			return p + 1;
		if (*p != (in_object(j) ? '}' : ']'))
			return NULL;
		p++;
		close_at(j, (size_t)(p - j->text.p));
	}
}

static bool
parse_quickly(struct json *j)
{
	const char *p = j->text.n > 0 ? j->text.p : "", *end = p + j->text.n; /* NULL + 0 is not for C */
	for (;;) {
		p = skip_blanks(p, end);
		if (p == end)
			return false;
		bool opens = *p == '{' || *p == '[';
		if (opens) {
			open_at(j, *p == '{' ? JSON_OBJECT : JSON_ARRAY, (size_t)(p - j->text.p));
			p = skip_blanks(p + 1, end);
		} else if ((p = quick_scalar(j, p, end)) == NULL) {
			return false;
		}
		/* An empty container closes at once; else its first member follows. */
		if (!opens || (p < end && *p == (in_object(j) ? '}' : ']'))) {
			p = quick_close(j, p, end);
			if (p == NULL || j->nopen == 0)
				return p != NULL;
		}
		container(j)->count++;
		if (in_object(j) && (p = quick_key(j, p, end)) == NULL)
			return false;
	}
}

/* ---- yajl ---- */

/* What yajl's callbacks share. yajl_get_bytes_consumed tells where the token that just came ends. */
struct reader {
	struct json *j;
	yajl_handle yajl;
};

static int
scalar(struct reader *r, enum json_type type, size_t len)
{
	size_t end = yajl_get_bytes_consumed(r->yajl);
	count_value(r->j);
	push(r->j, type, end - len, len);
	return 1;
}

static int
on_null(void *ctx)
{
	return scalar(ctx, JSON_NULL, 4);
}

static int
on_boolean(void *ctx, int value)
{
	return scalar(ctx, value ? JSON_TRUE : JSON_FALSE, value ? 4 : 5);
}

static int
on_number(void *ctx, const char *p, size_t n)
{
	(void)p;
	return scalar(ctx, JSON_NUMBER, n);
}

/*
 * yajl hands out a decoded string; we keep the place of the raw one. Its end is known (the quote that was just
 * consumed), its start follows from the length where nothing was escaped, and otherwise is looked for backwards.
 */
static void
string(struct reader *r, const unsigned char *p, size_t n)
{
	struct json *j = r->j;
	size_t end = yajl_get_bytes_consumed(r->yajl) - 1;
	const char *text = j->text.p;
	if ((const char *)p >= text && (const char *)p < text + j->text.n) {
		push(j, JSON_STRING, end - n, n);
		return;
	}
	if (n == 0 && end > 0 && text[end - 1] == '"') {
		push(j, JSON_STRING, end, 0);
		return;
	}
	/* The raw text holds a backslash: its opening quote is the last one not itself escaped. */
	size_t at = end;
	for (;;) {
		at--;
		if (text[at] != '"')
			continue;
		size_t slashes = 0;
		while (slashes < at && text[at - 1 - slashes] == '\\')
			slashes++;
		if (slashes % 2 == 0)
			break;
	}
	push(j, JSON_STRING, at + 1, end - at - 1)->escaped = 1;
}

static int
on_string(void *ctx, const unsigned char *p, size_t n)
{
	struct reader *r = ctx;
	count_value(r->j);
	string(r, p, n);
	return 1;
}

static int
on_key(void *ctx, const unsigned char *p, size_t n)
{
	struct reader *r = ctx;
	container(r->j)->count++;
	string(r, p, n);
	return 1;
}

static int
start(struct reader *r, enum json_type type)
{
	count_value(r->j);
	open_at(r->j, type, yajl_get_bytes_consumed(r->yajl) - 1);
	return 1;
}

static int
end(void *ctx)
{
	struct reader *r = ctx;
	close_at(r->j, yajl_get_bytes_consumed(r->yajl));
	return 1;
}

static int
on_object(void *ctx)
{
	return start(ctx, JSON_OBJECT);
}

static int
on_array(void *ctx)
{
	return start(ctx, JSON_ARRAY);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_object,
    .yajl_map_key = on_key,
    .yajl_end_map = end,
    .yajl_start_array = on_array,
    .yajl_end_array = end,
};

static void *
alloc(void *ctx, size_t n)
{
	(void)ctx;
	return xmalloc(n);
}

static void *
resize(void *ctx, void *p, size_t n)
{
	(void)ctx;
	return xrealloc(p, n);
}

static void
release(void *ctx, void *p)
{
	(void)ctx;
	free(p);
}

static enum json_result
bad(struct json *j, enum json_result result, size_t at, const char *why)
{
	snprintf(j->why, sizeof(j->why), "%.100s at byte %zu", why, at);
	return result;
}

/* yajl's own words are a line of cause and two of picture: keep the cause. */
static enum json_result
explain(struct json *j, yajl_handle yajl, bool ended)
{
	unsigned char *text = yajl_get_error(yajl, 0, NULL, 0);
	const char *why = (const char *)text;
	for (const char *colon = why; (colon = strstr(colon, "error: ")) != NULL;)
		why = colon += strlen("error: ");
	char cause[100];
	snprintf(cause, sizeof(cause), "%.*s", (int)strcspn(why, "\n"), why);
	size_t n = strlen(cause);
	while (n > 0 && (cause[n - 1] == ' ' || cause[n - 1] == '.'))
		cause[--n] = '\0';
	size_t at = ended ? j->text.n : yajl_get_bytes_consumed(yajl);
	yajl_free_error(yajl, text);
	return bad(j, JSON_BAD, at < j->text.n ? at : j->text.n, cause);
}

/* yajl does not mind a token behind the value that the text's end cuts off, such as a lone quote. */
static enum json_result
check_rest(struct json *j)
{
	struct str value = json_raw(j, 0);
	size_t end = (size_t)(value.p - j->text.p) + value.n;
	struct str rest = str_trim(str_skip(j->text, end));
	if (rest.n > 0)
		return bad(j, JSON_BAD, (size_t)(rest.p - j->text.p), "trailing garbage");
	return JSON_OK;
}

static enum json_result
parse(struct json *j)
{
	static yajl_alloc_funcs funcs = {alloc, resize, release, NULL};
	struct reader r = {.j = j};
	/* A fresh handle for each text: a used one lets a broken text swallow the next. */
	r.yajl = yajl_alloc(&callbacks, &funcs, &r);
	yajl_config(r.yajl, yajl_dont_validate_strings, 1);
	enum json_result result = JSON_OK;
	yajl_status st = yajl_parse(r.yajl, (const unsigned char *)j->text.p, j->text.n);
	bool ended = st == yajl_status_ok; /* what is wrong afterwards is that the text ends */
	if (st == yajl_status_ok && j->n == 0) {
		/* A number alone, or nothing at all: both end only with the text. */
		st = yajl_complete_parse(r.yajl);
		if (st == yajl_status_ok && j->n == 1 && j->tok[0].type == JSON_NUMBER) {
			struct str number = str_trim(j->text);
			j->tok[0].at = (uint32_t)(number.p - j->text.p);
			j->tok[0].len = (uint32_t)number.n;
		}
	} else if (st == yajl_status_ok) {
		st = yajl_complete_parse(r.yajl);
	}
	if (st != yajl_status_ok)
		result = explain(j, r.yajl, ended);
	else if (j->n == 0 || j->nopen > 0)
		result = bad(j, JSON_BAD, j->text.n, "premature end of text");
	else
		result = check_rest(j);
	yajl_free(r.yajl);
	return result;
}

static int
hex4(const char *p)
{
	int v = 0;
	for (int i = 0; i < 4; i++) {
		int c = p[i] | 0x20;
		v = v << 4 | (c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return v;
}

/*
 * The offset of an escaped surrogate without its other half, or text.n. Backslashes stand only in strings, and
 * yajl has seen to it that four hex digits follow "\u".
 */
static size_t
lone_surrogate(struct str text)
{
	size_t i = 0;
	while ((i += str_find(str_skip(text, i), '\\')) < text.n) {
		if (text.p[i + 1] != 'u') {
			i += 2;
			continue;
		}
		int unit = hex4(text.p + i + 2);
		bool high = unit >= 0xd800 && unit <= 0xdbff;
		if (unit >= 0xdc00 && unit <= 0xdfff)
			return i;
		if (high) {
			const char *low = text.p + i + 6;
			if (text.n - i < 12 || low[0] != '\\' || low[1] != 'u' || (hex4(low + 2) & 0xfc00) != 0xdc00)
				return i;
		}
		i += high ? 12 : 6;
	}
	return text.n;
}

static size_t
first_not_utf8(struct str s)
{
	size_t i = 0;
	uint32_t cp;
	for (size_t n; i < s.n && (n = utf8_decode(str_skip(s, i), &cp)) > 0;)
		i += n;
	return i;
}

static void
start_over(struct json *j, struct str text)
{
	j->text = text;
	j->n = j->nopen = j->depth = 0;
	j->why[0] = '\0';
}

enum json_result
json_parse(struct json *j, struct str text)
{
	start_over(j, text);
	if (text.n < UINT32_MAX && parse_quickly(j))
		return JSON_OK;
	return json_parse_fully(j, text);
}

enum json_result
json_parse_fully(struct json *j, struct str text)
{
	start_over(j, text);
	if (text.n >= UINT32_MAX)
		return bad(j, JSON_BAD, 0, "text of 4 GiB or more");
	if (text.n == 0)
		return bad(j, JSON_BAD, 0, "an empty text");
	if (str_starts(text, STR("\xef\xbb\xbf")))
		return bad(j, JSON_BAD, 0, "a byte order mark");
	/* yajl takes these two for white space. */
	size_t odd = str_find(text, '\f');
	if (odd == text.n)
		odd = str_find(text, '\v');
	enum json_result result = parse(j);
	if (result != JSON_OK)
		return result;
	if (odd < text.n)
		return bad(j, JSON_BAD, odd, "form feed or vertical tab is no white space");
	if (!utf8_valid(text))
		return bad(j, JSON_BAD_ENCODING, first_not_utf8(text), "not UTF-8");
	size_t lone = lone_surrogate(text);
	if (lone < text.n)
		return bad(j, JSON_BAD_ENCODING, lone, "an escaped surrogate without its other half");
	return JSON_OK;
}

int
json_read(struct json *j, struct str text, struct err *e)
{
	if (json_parse(j, text) != JSON_OK)
		return err_set(e, ERR_INPUT, "%s", j->why);
	return 0;
}

void
json_release(struct json *j)
{
	free(j->tok);
	free(j->open);
	*j = (struct json){0};
}

static bool
key_is(const struct json *j, uint32_t key, struct str name)
{
	if (!j->tok[key].escaped)
		return str_eq(json_text(j, key), name);
	struct buf b = BUF_INIT(j->tok[key].len);
	json_unescape(&b, json_text(j, key));
	bool same = str_eq(buf_str(&b), name);
	buf_release(&b);
	return same;
}

uint32_t
json_get(const struct json *j, uint32_t object, const char *name)
{
	if (!json_is(j, object, JSON_OBJECT))
		return JSON_NONE;
	struct str want = str_of(name);
	for (uint32_t k = json_first(object); k < json_end(j, object); k = j->tok[k + 1].next) {
		if (key_is(j, k, want))
			return k + 1;
	}
	return JSON_NONE;
}

void
json_get_each(const struct json *j, uint32_t object, const struct str *names, size_t n, uint32_t *found)
{
	for (size_t i = 0; i < n; i++)
		found[i] = JSON_NONE;
	if (!json_is(j, object, JSON_OBJECT))
		return;
	for (uint32_t k = json_first(object); k < json_end(j, object); k = j->tok[k + 1].next) {
		size_t i = 0;
		while (i < n && !key_is(j, k, names[i]))
			i++;
		if (i < n && found[i] == JSON_NONE)
			found[i] = k + 1;
	}
}

struct str
json_raw(const struct json *j, uint32_t t)
{
	struct str s = json_text(j, t);
	return json_is(j, t, JSON_STRING) ? (struct str){s.p - 1, s.n + 2} : s;
}

struct str
json_string(const struct json *j, uint32_t t, struct buf *scratch)
{
	if (!json_is(j, t, JSON_STRING))
		return STR_NONE;
	if (!j->tok[t].escaped)
		return json_text(j, t);
	size_t from = scratch->n;
	json_unescape(scratch, json_text(j, t));
	return str_skip(buf_str(scratch), from);
}

bool
json_i64(const struct json *j, uint32_t t, int64_t *out)
{
	if (!json_is(j, t, JSON_NUMBER) && !json_is(j, t, JSON_STRING))
		return false;
	return num_i64(json_text(j, t), out);
}

bool
json_true(const struct json *j, uint32_t t)
{
	return json_is(j, t, JSON_TRUE);
}

char *
json_dup(const struct json *j, uint32_t t)
{
	struct buf b = BUF_INIT(SIZE_MAX / 2);
	struct str s = json_string(j, t, &b);
	char *copy = s.p == NULL || str_find(s, '\0') < s.n ? NULL : str_dup(s);
	buf_release(&b);
	return copy;
}

void
json_unescape(struct buf *out, struct str raw)
{
	while (raw.n > 0) {
		size_t plain = str_find(raw, '\\');
		buf_add(out, raw.p, plain);
		raw = str_skip(raw, plain);
		if (raw.n < 2)
			return;
		char c = raw.p[1];
		if (c != 'u') {
			static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
			const char *at = strchr(from, c);
			buf_addc(out, at != NULL ? to[at - from] : c);
			raw = str_skip(raw, 2);
			continue;
		}
		uint32_t cp = (uint32_t)hex4(raw.p + 2);
		size_t used = 6;
		if (cp >= 0xd800 && cp <= 0xdbff && raw.n >= 12 && raw.p[6] == '\\' && raw.p[7] == 'u') {
			cp = 0x10000 + ((cp & 0x3ff) << 10) + (uint32_t)(hex4(raw.p + 8) & 0x3ff);
			used = 12;
		}
		char utf8[4];
		buf_add(out, utf8, utf8_encode(cp, utf8));
		raw = str_skip(raw, used);
	}
}
