/*
 * objects.list: names in byte order, those behind a delimiter folded into prefixes. A page token is, in hex,
 * the name at which the next page begins.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "gcs.h"
#include "num.h"
#include "xalloc.h"

struct list {
	struct gcs *g;
	struct str bucket, prefix, delimiter, end;
	bool trailing;        /* includeTrailingDelimiter */
	int64_t max, n;
	struct buf at;        /* where to go on: everything before it is done */
	struct buf items, prefixes; /* JSON arrays without brackets */
	bool more;
	const struct request *req;
};

static void
to_hex(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_addf(out, "%02x", (unsigned char)s.p[i]);
}

static bool
from_hex(struct buf *out, struct str s)
{
	if (s.n % 2 != 0 || s.n > 4 * GCS_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i += 2) {
		char two[3] = {s.p[i], s.p[i + 1], '\0'}, *end;

		buf_addc(out, (char)strtoul(two, &end, 16));
		if (end != two + 2 || two[0] == '-' || two[0] == '+' || two[0] == ' ')
			return false;
	}
	return true;
}

/* the first text after all that begin with `at` */
static void
step_over(struct buf *at)
{
	while (at->n > 0 && (unsigned char)at->p[at->n - 1] == 0xff)
		at->n--;
	if (at->n > 0)
		at->p[at->n - 1]++;
}

static void
set(struct buf *b, struct str s)
{
	buf_reset(b, 64 * KIB);
	buf_adds(b, s);
}

/* The folded prefix of name, or one of no bytes. */
static struct str
fold(const struct list *l, struct str name)
{
	struct str rest = str_skip(name, l->prefix.n);
	const char *p;
	size_t n;

	if (l->delimiter.n == 0)
		return STR("");
	p = rest.n > 0 ? memmem(rest.p, rest.n, l->delimiter.p, l->delimiter.n) : NULL;
	n = p == NULL ? 0 : (size_t)(p - name.p) + l->delimiter.n;
	return (struct str){name.p, n};
}

static void
add_item(struct list *l, sqlite3_stmt *st)
{
	struct gcs_object o;
	struct jsonw w = jsonw_to(&l->items);

	gcs_object_read(&o, st);
	if (l->items.n > 0)
		buf_addc(&l->items, ',');
	gcs_object_write(&w, &o, l->req);
	gcs_object_release(&o);
}

static void
add_prefix(struct list *l, struct str prefix)
{
	struct jsonw w = jsonw_to(&l->prefixes);

	if (l->prefixes.n > 0)
		buf_addc(&l->prefixes, ',');
	jsonw_str(&w, prefix);
}

/* One object: false where the page ends before it. A folded prefix is stepped over: `jumped`. */
static bool
take(struct list *l, sqlite3_stmt *st, bool *jumped)
{
	struct str name = gcs_column(st, 1), folded = fold(l, name);

	*jumped = false;
	if (l->n == l->max) {
		l->more = true;
		set(&l->at, name);
		return false;
	}
	l->n++;
	if (folded.n == 0) {
		add_item(l, st);
		set(&l->at, name);
		buf_addc(&l->at, '\0');
		return true;
	}
	if (l->trailing && folded.n == name.n)
		add_item(l, st);
	add_prefix(l, folded);
	set(&l->at, folded);
	step_over(&l->at);
	*jumped = true;
	return true;
}

static int
scan(struct list *l)
{
	bool more = true, jumped = true;

	while (more && jumped) {
		sqlite3_stmt *st = gcs_sql(l->g, "SELECT " GCS_OBJECT_COLUMNS " FROM objects WHERE bucket = "
		    "? AND name >= ? ORDER BY name", "ss", l->bucket,
		    (struct str){l->at.n > 0 ? l->at.p : "", l->at.n});

		if (st == NULL)
			return -1;
		jumped = false;
		while (more && !jumped) {
			if (sqlite3_step(st) != SQLITE_ROW || !str_starts(gcs_column(st, 1), l->prefix) ||
			    (l->end.n > 0 && str_cmp(gcs_column(st, 1), l->end) >= 0))
				more = false;
			else
				more = take(l, st, &jumped);
		}
		sqlite3_finalize(st);
	}
	return 0;
}

static void
write_list(struct list *l, struct reply *rep)
{
	struct buf token = BUF_INIT(64 * KIB);
	struct jsonw w = jsonw_to(&rep->body);

	jsonw_object(&w);
	jsonw_member(&w, "kind", STR("storage#objects"));
	if (l->items.n > 0) {
		jsonw_key(&w, "items");
		buf_addc(&l->items, ']');
		buf_addc(&rep->body, '[');
		jsonw_raw(&w, buf_str(&l->items));
	}
	if (l->prefixes.n > 0) {
		jsonw_key(&w, "prefixes");
		buf_addc(&l->prefixes, ']');
		buf_addc(&rep->body, '[');
		jsonw_raw(&w, buf_str(&l->prefixes));
	}
	if (l->more) {
		to_hex(&token, buf_str(&l->at));
		jsonw_member(&w, "nextPageToken", buf_str(&token));
	}
	jsonw_end(&w);
	buf_release(&token);
}

/* true where the request makes sense; the error reply is made otherwise */
static bool
start(struct list *l, struct request *req, struct reply *rep)
{
	struct str max = request_query(req, "maxResults"), from = request_query(req, "startOffset");

	l->max = GCS_LIST_MAX;
	if (max.n > 0 && (!num_i64(max, &l->max) || l->max < 1)) {
		reply_error(rep, 400, "invalid", "Invalid argument: maxResults");
		return false;
	}
	if (l->max > GCS_LIST_MAX)
		l->max = GCS_LIST_MAX;
	if (request_query(req, "matchGlob").n > 0) {
		reply_error(rep, 400, "invalid", "gcp-emu has no matchGlob");
		return false;
	}
	set(&l->at, l->prefix);
	if (str_cmp(from, l->prefix) > 0)
		set(&l->at, from);
	if (request_query(req, "pageToken").n > 0) {
		buf_reset(&l->at, 0);
		if (!from_hex(&l->at, request_query(req, "pageToken"))) {
			reply_error(rep, 400, "invalid", "Invalid argument: pageToken");
			return false;
		}
	}
	return true;
}

void
gcs_list(struct gcs *g, struct str bucket, struct request *req, struct reply *rep)
{
	struct list l = {.g = g, .bucket = bucket, .req = req};

	l.prefix = request_query(req, "prefix");
	l.delimiter = request_query(req, "delimiter");
	l.end = request_query(req, "endOffset");
	l.trailing = str_is(request_query(req, "includeTrailingDelimiter"), "true");
	buf_init(&l.at, 64 * KIB);
	buf_init(&l.items, 64 * MIB);
	buf_init(&l.prefixes, 64 * MIB);
	if (!gcs_bucket_exists(g, bucket))
		gcs_no_bucket(rep);
	else if (start(&l, req, rep)) {
		if (scan(&l) < 0)
			reply_error(rep, 500, "internalError", "%s", sqlite3_errmsg(g->db));
		else
			write_list(&l, rep);
	}
	buf_release(&l.at);
	buf_release(&l.items);
	buf_release(&l.prefixes);
}
