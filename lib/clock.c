#include "clock.h"

#include <time.h>

static int64_t
micros(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
clock_now(void)
{
	return micros(CLOCK_MONOTONIC);
}

int64_t
clock_wall(void)
{
	return micros(CLOCK_REALTIME);
}
