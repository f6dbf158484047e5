/*
 * glob: names matched against patterns. Pure.
 *
 *	*    any characters but /
 *	?    one character but /
 *	**   any characters; as a whole part of a path it also stands for no part: a, slash, **, slash, b matches a/b
 *
 * All other characters stand for themselves, a dot at a name's start too. A character is a code point; bytes that
 * are not UTF-8 count each by itself. Time is at most the product of both lengths.
 */
#ifndef EVPIPE_GLOB_H
#define EVPIPE_GLOB_H

#include "str.h"

#define GLOB_MAX 2048 /* bytes of a pattern */

/* How many bytes stand before the first wildcard: what a listing can be cut down to. s.n: there is none. */
size_t glob_fixed(struct str pattern);
/* false also for a pattern past GLOB_MAX */
bool glob_match(struct str pattern, struct str name);
/* Could a name that begins with folder (ended by a slash) match? Tells which folders are worth reading. */
bool glob_enters(struct str pattern, struct str folder);

#endif
