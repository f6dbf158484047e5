#include "counts.h"

#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "xalloc.h"

#define PATTERN_MAX 512

struct line {
	uint64_t n;
	int status;
	size_t method; /* bytes of text before the space */
	size_t len;
	char text[];   /* "METHOD PATTERN STATUS" */
};

struct counts {
	struct map lines;
	uint64_t total, other;
};

struct counts *
counts_new(void)
{
	return xcalloc(1, sizeof(struct counts));
}

static bool
is_one_of(struct str s, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (str_is(s, *words))
			return true;
	}
	return false;
}

/*
 * The path with every name replaced by "*": "/v1/projects/p/topics/t:publish" becomes
 * "/v1/projects/ * /topics/ *:publish" (without the blanks).
 */
static void
add_pattern(struct buf *out, struct str path)
{
	static const char *const collections[] = {"projects", "topics", "subscriptions", "snapshots", "datasets",
	    "tables", "jobs", "queries", "models", "routines", "b", "o", NULL};
	static const char *const words[] = {"v1", "v2", "bigquery", "storage", "upload", "download", "resumable",
	    "batch", "insertAll", "data", "cancel", "iam", "testPermissions", "copyTo", "rewriteTo", "compose",
	    "acl", "emu", "faults", "requests", "pubsub", "token", "computeMetadata", NULL};
	bool name = false;
	while (path.n > 0) {
		path = str_skip(path, 1);
		struct str part = {path.p, str_find(path, '/')};
		buf_addc(out, '/');
		if (!name && is_one_of(part, collections)) {
			buf_adds(out, part);
			name = true;
		} else if (!name && (part.n == 0 || is_one_of(part, words))) {
			buf_adds(out, part);
		} else {
			buf_addc(out, '*');
			buf_adds(out, str_skip(part, str_find(part, ':')));
			name = false;
		}
		path = str_skip(path, part.n);
	}
}

void
counts_add(struct counts *c, const char *method, struct str path, int status)
{
	struct buf text = BUF_INIT(PATTERN_MAX);
	c->total++;
	buf_addf(&text, "%s ", method);
	size_t method_len = text.n - 1;
	add_pattern(&text, path);
	buf_addf(&text, " %d", status);
	struct line *l = text.over ? NULL : map_get(&c->lines, buf_str(&text));
	if (l != NULL) {
		l->n++;
	} else if (text.over || c->lines.n >= COUNTS_MAX) {
		c->other++;
	} else {
		l = xmalloc(sizeof(*l) + text.n);
		*l = (struct line){.n = 1, .status = status, .method = method_len, .len = text.n};
		memcpy(l->text, text.p, text.n);
		map_put(&c->lines, (struct str){l->text, l->len}, l);
	}
	buf_release(&text);
}

static int
by_text(const void *a, const void *b)
{
	const struct line *x = *(const struct line *const *)a, *y = *(const struct line *const *)b;
	return str_cmp((struct str){x->text, x->len}, (struct str){y->text, y->len});
}

static void
write_line(struct jsonw *w, const struct line *l)
{
	struct str text = {l->text, l->len};
	while (text.p[text.n - 1] != ' ')
		text.n--;
	text.n--;
	jsonw_object(w);
	jsonw_member(w, "method", (struct str){text.p, l->method});
	jsonw_member(w, "path", str_skip(text, l->method + 1));
	jsonw_key(w, "status");
	jsonw_i64(w, l->status);
	jsonw_key(w, "count");
	jsonw_i64(w, (int64_t)l->n);
	jsonw_end(w);
}

static void
write_all(struct counts *c, struct buf *out)
{
	struct line **sorted = xcalloc(c->lines.n + 1, sizeof(*sorted));
	size_t n = 0, i = 0;
	for (struct map_slot *s; (s = map_each(&c->lines, &i)) != NULL;)
		sorted[n++] = s->value;
	qsort(sorted, n, sizeof(*sorted), by_text);
	struct jsonw w = jsonw_to(out);
	jsonw_object(&w);
	jsonw_key(&w, "total");
	jsonw_i64(&w, (int64_t)c->total);
	jsonw_key(&w, "other");
	jsonw_i64(&w, (int64_t)c->other);
	jsonw_key(&w, "requests");
	jsonw_array(&w);
	for (i = 0; i < n; i++)
		write_line(&w, sorted[i]);
	jsonw_end(&w);
	jsonw_end(&w);
	buf_addc(out, '\n');
	free(sorted);
}

static void
clear(struct counts *c)
{
	size_t i = 0;
	for (struct map_slot *s; (s = map_each(&c->lines, &i)) != NULL;)
		free(s->value);
	map_release(&c->lines);
	c->total = c->other = 0;
}

void
counts_handle(struct counts *c, struct request *req, struct reply *rep)
{
	if (str_is(str_of(req->method), "GET")) {
		write_all(c, &rep->body);
	} else if (str_is(str_of(req->method), "DELETE")) {
		clear(c);
		buf_addz(&rep->body, "{}\n");
	} else {
		reply_error(rep, 405, "methodNotAllowed", "/emu/requests takes GET and DELETE.");
	}
}

void
counts_free(struct counts *c)
{
	if (c == NULL)
		return;
	clear(c);
	free(c);
}
