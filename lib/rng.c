#include "rng.h"

#include <sys/random.h>

#include "clock.h"

void
rng_seed(struct rng *r, uint64_t seed)
{
	/* splitmix64, so that seeds 1, 2, 3 start far apart and none gives the stuck state 0 */
	uint64_t z = seed + 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	r->s = (z ^ z >> 31) | 1;
}

void
rng_seed_os(struct rng *r)
{
	uint64_t seed;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (uint64_t)clock_wall();
	rng_seed(r, seed);
}

uint64_t
rng_next(struct rng *r)
{
	r->s ^= r->s >> 12;
	r->s ^= r->s << 25;
	r->s ^= r->s >> 27;
	return r->s * 0x2545f4914f6cdd1du;
}

uint64_t
rng_below(struct rng *r, uint64_t n)
{
	return n > 0 ? rng_next(r) % n : 0;
}

double
rng_unit(struct rng *r)
{
	return (double)(rng_next(r) >> 11) / (double)(1ull << 53);
}
