#include "ranged.h"

#include "clock.h"
#include "digest.h"
#include "log.h"
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
ranged_piece(struct ranged *r, int status, struct str headers, struct str piece)
{
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
	if (rest.n > 0)
		retry_reset(&r->retry);
	return true;
}

void
ranged_short(const struct ranged *r, const char *label, struct err *e)
{
	err_set(e, ERR_TRANSIENT, r->other ? "cannot read '%s': the reply is not the object from byte %llu of %llu" :
	    "cannot read '%s': the reply ends at byte %llu of %llu", label, (unsigned long long)r->at, (unsigned long long)r->size);
}

void
ranged_lost(const struct ranged *r, const char *label, bool gone, struct err *e)
{
	err_set(e, ERR_TRANSIENT, gone ?
	    "cannot read '%s': it is gone, at byte %llu of %llu: deleted, or replaced by one that the next run reads" :
	    "cannot read '%s': it changed while it was being read, at byte %llu of %llu; it is read as it is now by the next run",
	    label, (unsigned long long)r->at, (unsigned long long)r->size);
}

bool
ranged_again(struct ranged *r, struct rng *rng, int64_t after, int64_t patience, int64_t *when, struct err *e)
{
	int64_t now = clock_now();
	if (!retry_next(&r->retry, rng, now, after, e->class == ERR_QUOTA, patience, when)) {
		e->class = ERR_TRANSIENT;
		err_wrap(e, "gave up after %u tries", r->retry.attempts);
		return false;
	}
	double wait = (double)(*when - now) / 1e6;
	if (r->retry.attempts > 1)
		log_warn("%s; going on at byte %llu in %.1f s", e->text, (unsigned long long)r->at, wait);
	else
		log_debug("%s; going on at byte %llu in %.1f s", e->text, (unsigned long long)r->at, wait);
	return true;
}
