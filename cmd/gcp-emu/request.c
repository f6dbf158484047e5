/* request: what a service asks about a request, and the %-decoding under it. */
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "httpd.h"
#include "xalloc.h"

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes into to, which has room for in.n bytes; the length, or -1 on a bad escape. */
static ssize_t
decode(char *to, struct str in, bool plus)
{
	ssize_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c == '%') {
			int hi = i + 2 < in.n ? hex(in.p[i + 1]) : -1;
			int lo = i + 2 < in.n ? hex(in.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return -1;
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (plus && c == '+') {
			c = ' ';
		}
		to[n++] = c;
	}
	return n;
}

bool
url_decode(struct buf *out, struct str in)
{
	char *to = in.n > 0 ? buf_room(out, in.n) : NULL;
	if (to == NULL)
		return in.n == 0;
	ssize_t n = decode(to, in, false);
	if (n >= 0)
		buf_grew(out, (size_t)n);
	return n >= 0;
}

int
path_split(struct str path, struct buf *scratch, struct str *parts, int max)
{
	int n = 0;
	if (path.n > 0 && path.p[0] == '/')
		path = str_skip(path, 1);
	/* Decoding never grows, so room for the whole keeps every part where it is. */
	if (path.n == 0)
		return 0;
	if (buf_room(scratch, path.n) == NULL)
		return -1;
	for (bool more = true; more;) {
		size_t end = str_find(path, '/');
		size_t from = scratch->n;
		more = end < path.n;
		if (n == max || !url_decode(scratch, (struct str){path.p, end}))
			return -1;
		parts[n++] = (struct str){scratch->p + from, scratch->n - from};
		path = str_skip(path, end + more);
	}
	return n;
}

struct str
request_header(const struct request *r, const char *name)
{
	struct conn *c = r->conn;
	if (c == NULL || c->mhd == NULL)
		return STR_NONE;
	return str_of(MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, name));
}

/* One side of "name=value", decoded; text with a bad escape stays as it came. */
static struct str
take_param(char **to, struct str raw)
{
	ssize_t n = decode(*to, raw, true);
	if (n < 0) {
		memcpy(*to, raw.p, raw.n);
		n = (ssize_t)raw.n;
	}
	struct str out = {*to, (size_t)n};
	*to += n;
	return out;
}

static void
parse_query(struct conn *c)
{
	struct str q = str_of(c->query);
	size_t pairs = q.n > 0;
	for (size_t i = 0; i < q.n; i++)
		pairs += q.p[i] == '&';
	c->nparams = 0;
	if (pairs == 0)
		return;
	c->params = xcalloc(pairs, sizeof(*c->params));
	c->param_text = xmalloc(q.n);
	char *to = c->param_text;
	while (q.n > 0) {
		size_t end = str_find(q, '&');
		struct str pair = {q.p, end};
		size_t eq = str_find(pair, '=');
		if (end > 0) {
			struct param *p = &c->params[c->nparams++];
			p->name = take_param(&to, (struct str){pair.p, eq});
			p->value = take_param(&to, str_skip(pair, eq + 1));
		}
		q = str_skip(q, end + 1);
	}
}

struct str
request_query(const struct request *r, const char *name)
{
	struct conn *c = r->conn;
	if (c == NULL)
		return STR_NONE;
	if (c->nparams < 0)
		parse_query(c);
	for (int i = 0; i < c->nparams; i++) {
		if (str_is(c->params[i].name, name))
			return c->params[i].value;
	}
	return STR_NONE;
}
