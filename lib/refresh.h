/*
 * refresh: when a token that lives for a while is fetched again. Pure: `now` is an argument.
 *
 * Ahead of its end by a quarter of its life, at most 225 s: Google's metadata service hands out the same token until
 * about 300 s before its end, so that asking earlier would bring nothing new [google-auth-library's own 3 min 45 s].
 */
#ifndef EVPIPE_REFRESH_H
#define EVPIPE_REFRESH_H

#include <stdint.h>

#define REFRESH_AHEAD_MAX INT64_C(225000000) /* microseconds */
#define REFRESH_AGAIN_MAX INT64_C(60000000)
#define REFRESH_AGAIN_MIN INT64_C(250000)

/* A token that was asked for at `asked` lives for `life`: when to fetch the next one. */
int64_t refresh_at(int64_t asked, int64_t life);
/* A fetch was refused for good while the old token lives until `end`: when to try once more. */
int64_t refresh_again(int64_t now, int64_t end);

#endif
