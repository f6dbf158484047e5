/*
 * retry: how long to wait before trying again. Pure: `now` is an argument.
 *
 * Exponential back-off with full jitter: the n-th wait is uniform in [0, min(60 s, 0.1 s * 2^n)]; a Retry-After is
 * obeyed as the least wait. Quota refusals start at 5 s. [AWS "Exponential Backoff And Jitter"; GCP.md 1.7]
 */
#ifndef EVPIPE_RETRY_H
#define EVPIPE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "rng.h"

#define RETRY_BASE 100000    /* microseconds */
#define RETRY_CAP 60000000
#define RETRY_QUOTA_BASE 5000000

struct retry {
	unsigned attempts;   /* failed so far */
	int64_t first;       /* when the first failure was; valid if attempts > 0 */
};

/*
 * A try failed at `now`. Sets *when (absolute) for the next one: true, or false when it would lie more than
 * `patience` after the first failure (patience 0: there is always a next one).
 * after: what Retry-After asked for, in microseconds, 0 where it did not.
 */
bool retry_next(struct retry *r, struct rng *rng, int64_t now, int64_t after, bool quota, int64_t patience,
    int64_t *when);
/* It worked: the next failure is a first one again. */
void retry_reset(struct retry *r);

#endif
