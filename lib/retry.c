#include "retry.h"

bool
retry_next(struct retry *r, struct rng *rng, int64_t now, int64_t after, bool quota, int64_t patience, int64_t *when)
{
	int64_t span = quota ? RETRY_QUOTA_BASE : RETRY_BASE;
	if (r->attempts == 0)
		r->first = now;
	for (unsigned i = 0; i < r->attempts && span < RETRY_CAP; i++)
		span *= 2;
	if (span > RETRY_CAP)
		span = RETRY_CAP;
	r->attempts++;
	int64_t wait = (int64_t)rng_below(rng, (uint64_t)span + 1);
	*when = now + (wait < after ? after : wait);
	return patience == 0 || *when - r->first <= patience;
}

void
retry_reset(struct retry *r)
{
	*r = (struct retry){0};
}
