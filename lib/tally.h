/*
 * tally: every tool keeps in = done + rejected + in flight, and prints it when it ends.
 */
#ifndef EVPIPE_TALLY_H
#define EVPIPE_TALLY_H

#include <stdint.h>

struct tally {
	uint64_t in, done, rejected;
	int fd; /* private: 0: not open */
};

/* Opens the file of EVPIPE_TALLY, for a tool that will not be able to later (sandbox.h). */
void tally_open(struct tally *t);
/*
 * Logs "in 12, done 10, rejected 2, in flight 0" and what follows in extra (may be NULL); in flight is the
 * difference. Where EVPIPE_TALLY names a file, the same is appended there as a line of JSON, for the script
 * that started the tool and adds up. Returns 0, or -1 after an error message where done + rejected is more
 * than in: a bug (70).
 */
int tally_report(const struct tally *t, const char *extra);

#endif
