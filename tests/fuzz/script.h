/*
 * script: a network for fuzz targets, out of an input. It stands in for http_start and its like and the monotonic clock (by
 * the linker's --wrap), so that everything above libcurl is the real thing, and a day of back-off takes no time. Replies come
 * in the input's order, divided by lines of "%%":
 *
 *	308
 *	Range: bytes=0-99
 *
 *	the body
 *	%%
 *	0
 *
 * A status of 0 is a broken connection, 1 a reply that is too large. Behind the last reply connections break.
 */
#ifndef TESTS_SCRIPT_H
#define TESTS_SCRIPT_H

#include "http.h"

#define SCRIPT_REQUESTS 20 /* one input has no more of them; then script_spent */

void script_begin(struct str replies);
/* Answers the oldest request under way. false: there is none. */
bool script_answer(void);
/* The clock goes on to `when`, a turn's answer; not beyond a year. */
void script_wait(int64_t when);
bool script_spent(void);
/* Every request was ended. */
void script_end(void);

#endif
