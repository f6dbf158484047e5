#include "tally.h"

#include <inttypes.h>
#include <stddef.h>

#include "log.h"

int
tally_report(const struct tally *t, const char *extra)
{
	uint64_t ended = t->done + t->rejected;
	if (ended > t->in) {
		log_error("cannot account for all: in %" PRIu64 " is less than done %" PRIu64 " and rejected %" PRIu64
			  "; this is a bug, please report it",
		    t->in, t->done, t->rejected);
		return -1;
	}
	log_info("in %" PRIu64 ", done %" PRIu64 ", rejected %" PRIu64 ", in flight %" PRIu64 "%s%s", t->in, t->done,
	    t->rejected, t->in - ended, extra != NULL ? ", " : "", extra != NULL ? extra : "");
	return 0;
}
