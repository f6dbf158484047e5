/*
 * rng: small, seedable random numbers (xorshift64*) for jitter and fault injection, never for secrets.
 */
#ifndef EVPIPE_RNG_H
#define EVPIPE_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s;
};

void rng_seed(struct rng *r, uint64_t seed);
void rng_seed_os(struct rng *r); /* from the kernel */
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* 0 .. n-1; 0 for n = 0 */
double rng_unit(struct rng *r);                /* [0, 1) */

#endif
