#include "ranged.h"

#include "digest.h"
#include "num.h"

bool
ranged_parse(struct str s, int64_t *from, int64_t *total)
{
	if (!str_starts(s, STR("bytes ")))
		return false;
	s = str_skip(s, 6);
	size_t dash = str_find(s, '-'), slash = str_find(s, '/');
	return dash < s.n && slash < s.n && num_i64((struct str){s.p, dash}, from) && num_i64(str_skip(s, slash + 1), total) &&
	    *from >= 0 && *total > *from;
}

/* A service may answer a range with the whole: what was read already is then passed over. */
static void
look_at_headers(struct ranged *r, int status, struct str headers)
{
	struct str length = http_header_in(headers, "content-length");
	int64_t n, from, total;
	bool part = status == 206;
	r->begun = true;
	r->skip = part ? 0 : r->at;
	if (!num_i64(length, &n) || n < 0 || (uint64_t)n != (part ? r->size - r->at : r->size))
		r->other = true;
	else if (part)
		r->other = r->other || !ranged_parse(http_header_in(headers, "content-range"), &from, &total) ||
		    (uint64_t)from != r->at || (uint64_t)total != r->size;
}

void
ranged_begin(struct ranged *r)
{
	r->begun = r->other = false;
	r->skip = 0;
}

bool
ranged_piece(struct ranged *r, int status, struct str headers, struct str piece, bool *fresh)
{
	*fresh = false;
	if (!r->begun)
		look_at_headers(r, status, headers);
	if (r->other)
		return true;
	if (r->skip >= piece.n) {
		r->skip -= piece.n;
		return true;
	}
	struct str rest = str_skip(piece, (size_t)r->skip);
	if (rest.n > r->size - r->at)
		rest.n = (size_t)(r->size - r->at);
	if (rest.n > 0 && !r->data(r->arg, rest))
		return false;
	r->crc = crc32c(r->crc, rest);
	r->skip = 0;
	r->at += rest.n;
	*fresh = rest.n > 0;
	return true;
}
