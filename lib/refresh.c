#include "refresh.h"

int64_t
refresh_at(int64_t asked, int64_t life)
{
	int64_t ahead = life / 4;
	if (ahead > REFRESH_AHEAD_MAX)
		ahead = REFRESH_AHEAD_MAX;
	return asked + life - ahead;
}

int64_t
refresh_again(int64_t now, int64_t end)
{
	int64_t wait = (end - now) / 2;
	if (wait > REFRESH_AGAIN_MAX)
		wait = REFRESH_AGAIN_MAX;
	return now + (wait < REFRESH_AGAIN_MIN ? REFRESH_AGAIN_MIN : wait);
}
