#include "s3xml.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "num.h"
#include "time.h"
#include "utf8.h"
#include "xalloc.h"
#include "xml.h"

#define FIELD_MAX (16 * KIB) /* a token, an encoded key */
#define ETAG_MAX 128

struct reader {
	struct xml x;
	struct s3_page *page;
	struct buf field;    /* the text of the element at hand */
	bool encoded;        /* EncodingType is url */
	bool truncated, token;
	const char *why;     /* what is wrong; NULL: ask x */
};

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* S3's own form of encoding: a blank may come as '+'. False on a bad escape. */
static bool
decode(struct buf *out, struct str in)
{
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c == '%') {
			int hi = i + 2 < in.n ? hex(in.p[i + 1]) : -1,
			    lo = i + 2 < in.n ? hex(in.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return false;
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c == '+') {
			c = ' ';
		}
		buf_addc(out, c);
	}
	return true;
}

static bool
wrong(struct reader *r, const char *why)
{
	r->why = why;
	return false;
}

static bool
read_field(struct reader *r)
{
	buf_reset(&r->field, r->field.max);
	return xml_text(&r->x, &r->field);
}

/* Moves the field into the page's text, which never moves: it was made as large as the body. */
static struct str
keep(struct reader *r, struct str s)
{
	size_t at = r->page->text.n;
	buf_adds(&r->page->text, s);
	return (struct str){r->page->text.p + at, s.n};
}

/* Decoded when the whole page was read: EncodingType may come last. */
static bool
read_key(struct reader *r, struct s3_object *o)
{
	if (!read_field(r))
		return false;
	o->key = keep(r, buf_str(&r->field));
	return true;
}

static bool
read_etag(struct reader *r, struct s3_object *o)
{
	if (!read_field(r))
		return false;
	struct str s = buf_str(&r->field);
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		s = (struct str){s.p + 1, s.n - 2};
	if (s.n == 0 || s.n > ETAG_MAX)
		return wrong(r, "an ETag is empty or too long");
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"')
			return wrong(r, "an ETag holds characters that none has");
	}
	o->etag = keep(r, s);
	return true;
}

static bool
read_member(struct reader *r, struct s3_object *o)
{
	if (str_is(r->x.name, "Key"))
		return read_key(r, o);
	if (str_is(r->x.name, "ETag"))
		return read_etag(r, o);
	if (str_is(r->x.name, "Size"))
		return read_field(r) && ((num_i64(buf_str(&r->field), &o->size) && o->size >= 0) ||
		    wrong(r, "a Size is no number"));
	if (str_is(r->x.name, "LastModified"))
		return read_field(r) && (time_parse_service(buf_str(&r->field), &o->modified) == NULL ||
		    wrong(r, "a LastModified is no time"));
	return xml_skip(&r->x);
}

static bool
read_contents(struct reader *r)
{
	struct s3_page *page = r->page;
	if (page->n == S3_PAGE_MAX)
		return wrong(r, "it holds more objects than a page may");
	struct s3_object *o = &page->v[page->n++];
	enum xml_event got;
	*o = (struct s3_object){.size = -1, .modified = INT64_MIN};
	while ((got = xml_next_element(&r->x)) == XML_OPEN) {
		if (!read_member(r, o))
			return false;
	}
	if (got != XML_CLOSE)
		return false;
	if (o->key.n == 0 || o->etag.n == 0 || o->size < 0 || o->modified == INT64_MIN)
		return wrong(r, "an object lacks its Key, ETag, Size or LastModified");
	return true;
}

static bool
read_top(struct reader *r)
{
	if (str_is(r->x.name, "Contents"))
		return read_contents(r);
	if (str_is(r->x.name, "IsTruncated")) {
		if (!read_field(r))
			return false;
		r->truncated = str_is(buf_str(&r->field), "true");
		return r->truncated || str_is(buf_str(&r->field), "false") ||
		    wrong(r, "IsTruncated is neither true nor false");
	}
	if (str_is(r->x.name, "NextContinuationToken")) {
		if (!read_field(r))
			return false;
		r->page->next = keep(r, buf_str(&r->field));
		return true;
	}
	if (str_is(r->x.name, "EncodingType")) {
		if (!read_field(r))
			return false;
		r->encoded = str_is(buf_str(&r->field), "url");
		return r->encoded || wrong(r, "its EncodingType is not url");
	}
	return xml_skip(&r->x);
}

/* Decodes the keys where they are: decoding never grows. */
static bool
finish(struct reader *r)
{
	for (size_t i = 0; i < r->page->n; i++) {
		struct s3_object *o = &r->page->v[i];
		if (r->encoded) {
			buf_reset(&r->field, r->field.max);
			if (!decode(&r->field, o->key))
				return wrong(r, "a Key holds a '%' that encodes nothing");
			memcpy((char *)(uintptr_t)o->key.p, r->field.p, r->field.n);
			o->key.n = r->field.n;
		}
		if (o->key.n == 0 || o->key.n > S3_KEY_MAX || !utf8_valid(o->key))
			return wrong(r, "a Key is too long, or no UTF-8");
	}
	if (!r->truncated)
		r->page->next = STR_NONE;
	else if (r->page->next.n == 0)
		return wrong(r, "it is truncated, and has no NextContinuationToken");
	return true;
}

static bool
read_page(struct reader *r)
{
	enum xml_event got;
	if (xml_next_element(&r->x) != XML_OPEN)
		return false;
	if (!str_is(r->x.name, "ListBucketResult"))
		return wrong(r, "it is no ListBucketResult");
	while ((got = xml_next_element(&r->x)) == XML_OPEN) {
		if (!read_top(r))
			return false;
	}
	return got == XML_CLOSE && xml_next(&r->x) == XML_END && finish(r);
}

int
s3xml_page(struct s3_page *page, struct str body, struct err *e)
{
	struct reader r = {.page = page, .field = BUF_INIT(FIELD_MAX)};
	*page = (struct s3_page){.v = xcalloc(S3_PAGE_MAX, sizeof(*page->v)), .text = BUF_INIT(body.n + 1)};
	buf_room(&page->text, body.n + 1);
	xml_init(&r.x, body);
	bool fine = read_page(&r);
	if (!fine) {
		const char *why = r.why != NULL ? r.why : r.x.bad ? r.x.why : "it ends too early";
		err_set(e, ERR_TRANSIENT, "the service's list cannot be read: %s", why);
		s3xml_page_release(page);
	}
	xml_release(&r.x);
	buf_release(&r.field);
	return fine ? 0 : -1;
}

void
s3xml_page_release(struct s3_page *page)
{
	free(page->v);
	buf_release(&page->text);
	*page = (struct s3_page){0};
}

/* ---- errors ---- */

/* The printable text of the element just opened, cut to what fits. */
static bool
short_text(struct xml *x, char *to, size_t size)
{
	struct buf text = BUF_INIT(64 * KIB);
	bool fine = xml_text(x, &text);
	if (fine) {
		struct str s = str_trim(buf_str(&text));
		size_t n = utf8_cut(s, size - 1);
		for (size_t i = 0; i < n; i++)
			to[i] = (char)((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? ' ' : s.p[i]);
		to[n] = '\0';
	}
	buf_release(&text);
	return fine;
}

void
s3xml_error(struct s3_error *out, struct str body)
{
	struct xml x;
	bool fine = true;
	*out = (struct s3_error){0};
	xml_init(&x, body);
	if (xml_next_element(&x) != XML_OPEN || !str_is(x.name, "Error"))
		fine = false;
	while (fine && xml_next_element(&x) == XML_OPEN) {
		if (str_is(x.name, "Code"))
			fine = short_text(&x, out->code, sizeof(out->code));
		else if (str_is(x.name, "Message"))
			fine = short_text(&x, out->message, sizeof(out->message));
		else if (str_is(x.name, "Region"))
			fine = short_text(&x, out->region, sizeof(out->region));
		else
			fine = xml_skip(&x);
	}
	xml_release(&x);
}
