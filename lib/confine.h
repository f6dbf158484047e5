/*
 * confine: what a network tool gives up once it is set up, before it calls anybody: new privileges, and every file but
 * those that its libraries and its credentials are read from while it runs, and the folder it writes to (sandbox.h;
 * the table in SECURITY.md). Where its credentials come from a program, that needs files of its own: only new privileges
 * are given up then.
 */
#ifndef EVPIPE_CONFINE_H
#define EVPIPE_CONFINE_H

#include "token.h"

struct confine {
	const struct token *token; /* whose files are read again; NULL: none */
	const char *reads;         /* a file or folder more to read; "/": everything */
	const char *writes;        /* a folder for files of one's own */
	const char *journal;       /* a file that is made, or written again, in its folder */
};

void confine(const struct confine *c);

#endif
