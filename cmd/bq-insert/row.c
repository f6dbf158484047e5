#include "insert.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "bounds.h"
#include "digest.h"
#include "utf8.h"
#include "xalloc.h"

static struct str
view(const struct row *r, struct slice s)
{
	return s.n > 0 ? (struct str){r->line + s.at, s.n} : STR_NONE;
}

void
row_free(struct row *r)
{
	free(r->code);
	free(r->path);
	free(r->detail);
	free(r);
}

static struct slice
slice(const struct record *r, struct str s)
{
	return s.n > 0 ? (struct slice){(uint32_t)(s.p - r->line.p), (uint32_t)s.n} : (struct slice){0, 0};
}

struct row *
row_new(const struct record *r, struct table *t)
{
	struct row *row = xmalloc(sizeof(*row) + r->line.n);
	*row = (struct row){.table = t,
	    .event = slice(r, r->event),
	    .id = slice(r, r->id),
	    .source = slice(r, r->source),
	    .n = (uint32_t)r->line.n};
	memcpy(row->line, r->line.p, r->line.n);
	return row;
}

struct str
row_id(const struct row *r)
{
	return view(r, r->id);
}

struct str
row_source(const struct row *r)
{
	return view(r, r->source);
}

static void
add_piece(struct row_writer *w, size_t *n, struct str s)
{
	if (*n == w->cap) {
		w->cap = w->cap > 0 ? w->cap * 2 : 16;
		w->pieces = xreallocarray(w->pieces, w->cap, sizeof(*w->pieces));
	}
	w->pieces[(*n)++] = s;
}

/*
 * An event without its top-level members that are no column: the discriminator. Members that stay are kept as
 * they stand.
 */
static size_t
cut_event(struct row_writer *w, const struct row *r)
{
	struct json *j = &w->event;
	struct str event = view(r, r->event), run = STR_NONE;
	struct buf name = BUF_INIT(LIMIT_LINE);
	size_t n = 0;
	json_parse(j, event); /* it is part of a line that was parsed */
	add_piece(w, &n, STR("{"));
	for (uint32_t k = json_first(0); k < json_end(j, 0); k = j->tok[k + 1].next) {
		buf_reset(&name, 256);
		struct str column = json_string(j, k, &name);
		if (schema_column(&r->table->in->schema, r->table->schema, column) != NULL) {
			struct str key = json_raw(j, k), value = json_raw(j, k + 1);
			run.p = run.p != NULL ? run.p : key.p;
			run.n = (size_t)(value.p + value.n - run.p);
			continue;
		}
		if (run.p != NULL) {
			add_piece(w, &n, run);
			add_piece(w, &n, STR(","));
		}
		run = STR_NONE;
	}
	if (run.p != NULL)
		add_piece(w, &n, run);
	else if (n > 1)
		n--; /* the last comma */
	add_piece(w, &n, STR("}"));
	buf_release(&name);
	return n;
}

/* BigQuery takes 128 bytes: a longer id is replaced by its SHA-256. hex has room for it. */
static struct str
insert_id(const struct row *r, char hex[80])
{
	static const char prefix[] = "sha256:";
	struct str raw = view(r, r->id);
	uint8_t sum[DIGEST_MAX];
	if (raw.n <= BIGQUERY_INSERT_ID_MAX)
		return raw;
	struct buf id = BUF_INIT(raw.n);
	json_unescape(&id, raw);
	bool fits = id.n <= BIGQUERY_INSERT_ID_MAX;
	digest_of(DIGEST_SHA256, buf_str(&id), sum);
	buf_release(&id);
	if (fits)
		return raw;
	memcpy(hex, prefix, sizeof(prefix));
	digest_hex(hex + sizeof(prefix) - 1, sum, 32);
	return str_of(hex);
}

void
row_write(struct row_writer *w, struct buf *body, bool first, bool with_id, const struct row *r)
{
	char hex[80];
	size_t n = cut_event(w, r);
	bigquery_row(body, first, with_id ? insert_id(r, hex) : STR_NONE, w->pieces, n);
}

/* "items[2].price" as a JSON Pointer: "/items/2/price" */
static void
write_pointer(struct buf *out, struct str location)
{
	if (location.n > 0)
		buf_addc(out, '/');
	for (size_t i = 0; i < location.n; i++) {
		char c = location.p[i];
		if (c == '.' || c == '[')
			buf_addc(out, '/');
		else if (c == '~' || c == '/')
			buf_addz(out, c == '~' ? "~0" : "~1");
		else if (c != ']')
			buf_addc(out, c);
	}
}

/* Texts are cut. They go into dead letters, never into logs. */
void
row_refuse(struct row *r, const char *code, struct str location, struct str detail)
{
	struct buf path = BUF_INIT(2 * LIMIT_DETAIL + 1);
	if (r->code != NULL)
		return;
	write_pointer(&path, (struct str){location.p, utf8_cut(location, LIMIT_DETAIL)});
	r->code = xstrdup(code);
	r->path = str_dup(buf_str(&path));
	r->detail = str_dup((struct str){detail.p, utf8_cut(detail, LIMIT_DETAIL)});
	buf_release(&path);
}

void
row_write_rejected(struct row_writer *w, struct buf *out, const struct row *r, struct json *j)
{
	struct record rec;
	struct record_fault fault = {str_of(r->code), str_of(r->path), str_of(r->detail)};
	record_parse(&rec, j, (struct str){r->line, r->n}, NULL);
	w->encoded.max = 2 * LIMIT_LINE;
	buf_reset(&w->encoded, 64 * KIB);
	base64_encode(&w->encoded, rec.event);
	record_write_rejected(out, rec.msg, buf_str(&w->encoded), "bq-insert", &fault, 1);
}

void
row_writer_release(struct row_writer *w)
{
	json_release(&w->event);
	buf_release(&w->encoded);
	free(w->pieces);
}
