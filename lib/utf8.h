/*
 * utf8: strict UTF-8 (RFC 3629): no overlongs, no surrogates, nothing past U+10FFFF.
 */
#ifndef EVPIPE_UTF8_H
#define EVPIPE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

bool utf8_valid(struct str s);
/* the length of s cut to at most max bytes on a character boundary; s need not be valid */
size_t utf8_cut(struct str s, size_t max);
/* the code points in valid s */
size_t utf8_count(struct str s);
/* decodes one character of s, which is not empty: its length, or 0 where the bytes are not UTF-8 */
size_t utf8_decode(struct str s, uint32_t *cp);
/* encodes cp (at most U+10FFFF) into out: its length */
size_t utf8_encode(uint32_t cp, char out[4]);

#endif
