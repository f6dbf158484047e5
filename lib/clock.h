/*
 * clock: read once a turn. Deadlines are monotonic microseconds, absolute; wall time is for names and
 * records only.
 */
#ifndef EVPIPE_CLOCK_H
#define EVPIPE_CLOCK_H

#include <stdint.h>

#define SECONDS(n) ((int64_t)(n)*1000000)
#define MILLIS(n) ((int64_t)(n)*1000)
#define CLOCK_NEVER INT64_MAX

int64_t clock_now(void);  /* monotonic, microseconds */
int64_t clock_wall(void); /* since 1970, microseconds */

#endif
