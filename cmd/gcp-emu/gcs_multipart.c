/*
 * multipart/related, as clients really send it: the boundary bare, in double or in single quotes; lines ended
 * by CRLF or by LF alone; parts with headers or with none.
 */
#include <string.h>

#include "gcs.h"

struct reader {
	struct str body;     /* what is left */
	struct str boundary;
	bool crlf;           /* how the first boundary's line ended */
};

/* The value of a header's parameter: name=value, name="value", name='value'. */
static struct str
parameter(struct str header, struct str name)
{
	struct str rest = header, v;

	for (;;) {
		size_t semi = str_find(rest, ';');

		if (semi == rest.n)
			return STR_NONE;
		rest = str_trim(str_skip(rest, semi + 1));
		if (rest.n > name.n && rest.p[name.n] == '=' && str_ieq((struct str){rest.p, name.n}, name))
			break;
	}
	v = str_skip(rest, name.n + 1);
	if (v.n > 0 && (v.p[0] == '"' || v.p[0] == '\'')) {
		char quote = v.p[0];

		v = str_skip(v, 1);
		v.n = str_find(v, quote);
		return v;
	}
	v.n = str_find(v, ';');
	return str_trim(v);
}

/* Where the next boundary's line begins ("--B" at the start of a line), or NULL. */
static const char *
find_boundary(const struct reader *r, struct str in, bool at_start)
{
	const char *p = in.p, *end = in.p + in.n;

	while (in.n > 0 && p != NULL && p < end) {
		bool line = p == in.p ? at_start : p[-1] == '\n';

		if (line && (size_t)(end - p) >= r->boundary.n + 2 && p[0] == '-' && p[1] == '-' &&
		    memcmp(p + 2, r->boundary.p, r->boundary.n) == 0) {
			const char *q = p + 2 + r->boundary.n;

			while (q < end && (*q == ' ' || *q == '\t'))
				q++;
			/* a longer line that only begins like it is content */
			if (q == end || *q == '\r' || *q == '\n' || (*q == '-' && q + 1 < end && q[1] == '-'))
				return p;
		}
		p = memchr(p, '\n', (size_t)(end - p));
		p = p != NULL ? p + 1 : NULL;
	}
	return NULL;
}

/* Passes a boundary's line: 1 a part follows, 0 it was the last one, -1 neither. */
static int
pass_boundary(struct reader *r, const char *at)
{
	struct str rest = str_skip(r->body, (size_t)(at - r->body.p) + 2 + r->boundary.n);
	size_t eol;

	if (str_starts(rest, STR("--"))) {
		r->body = STR_NONE;
		return 0;
	}
	eol = str_find(rest, '\n');
	if (eol == rest.n)
		return -1;
	r->crlf = eol > 0 && rest.p[eol - 1] == '\r';
	r->body = str_skip(rest, eol + 1);
	return 1;
}

/* The part's Content-Type; r->body is moved past the headers and the empty line. false: no empty line. */
static bool
part_headers(struct reader *r, struct str *type)
{
	*type = STR_NONE;
	for (;;) {
		size_t eol = str_find(r->body, '\n');
		struct str line = str_trim((struct str){r->body.p, eol});
		size_t colon = str_find(line, ':');

		if (eol == r->body.n)
			return false;
		r->body = str_skip(r->body, eol + 1);
		if (line.n == 0)
			return true;
		if (str_ieq((struct str){line.p, colon}, STR("Content-Type")))
			*type = str_trim(str_skip(line, colon + 1));
	}
}

/* The content up to the next boundary, whose line end before it is not part of it. */
static int
part_content(struct reader *r, struct str *out)
{
	const char *at = find_boundary(r, r->body, true);
	size_t n;

	if (at == NULL)
		return -1;
	n = (size_t)(at - r->body.p);
	if (n > 0)
		n--; /* its LF */
	if (n > 0 && r->crlf && r->body.p[n - 1] == '\r')
		n--;
	*out = (struct str){r->body.p, n};
	return pass_boundary(r, at);
}

const char *
gcs_multipart(struct str content_type, struct str body, struct gcs_parts *out)
{
	struct reader r = {.body = body, .boundary = parameter(content_type, STR("boundary"))};
	struct str json_type;
	const char *at;

	if (content_type.n < 17 || !str_ieq((struct str){content_type.p, 17}, STR("multipart/related")))
		return "Invalid multipart request: the Content-Type is not multipart/related.";
	if (r.boundary.n == 0 || r.boundary.n > 256)
		return "Invalid multipart request: the Content-Type has no boundary.";
	at = find_boundary(&r, body, true);
	if (at == NULL || pass_boundary(&r, at) != 1)
		return "Invalid multipart request: its boundary is not in the body.";
	if (!part_headers(&r, &json_type) || part_content(&r, &out->json) != 1)
		return "Invalid multipart request: two parts are wanted.";
	if (!part_headers(&r, &out->type))
		return "Invalid multipart request: the second part has no content.";
	switch (part_content(&r, &out->data)) {
	case 0:
		return NULL;
	case 1:
		return "Invalid multipart request: there are more than two parts.";
	default:
		return "Invalid multipart request: the closing boundary is missing.";
	}
}
