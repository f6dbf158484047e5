/*
 * jsonw: a writer that cannot write bad JSON: commas, quotes and escapes are its business. Strings that are
 * not UTF-8 get U+FFFD for each bad byte. Slices that came in through json may be passed on as they are
 * with jsonw_raw.
 *
 *	struct jsonw w = jsonw_to(&buf);
 *	jsonw_object(&w);
 *	jsonw_key(&w, "id"); jsonw_str(&w, id);
 *	jsonw_end(&w);
 */
#ifndef EVPIPE_JSONW_H
#define EVPIPE_JSONW_H

#include <stdbool.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "buf.h"

struct jsonw {
	struct buf *out;
	uint64_t array;  /* a bit a level: set where it is an array */
	unsigned depth;  /* at most 64 */
	bool comma;      /* the next value or key needs one */
};

struct jsonw jsonw_to(struct buf *out);
void jsonw_object(struct jsonw *w);
void jsonw_array(struct jsonw *w);
void jsonw_end(struct jsonw *w); /* closes the innermost object or array */
void jsonw_key(struct jsonw *w, const char *name);
void jsonw_keys(struct jsonw *w, struct str name);
void jsonw_str(struct jsonw *w, struct str s);
void jsonw_quoted(struct jsonw *w, struct str plain); /* a string that needs no escaping, such as base64 */
void jsonw_cstr(struct jsonw *w, const char *s); /* NULL writes null */
void jsonw_i64(struct jsonw *w, int64_t v);
void jsonw_bool(struct jsonw *w, bool v);
void jsonw_null(struct jsonw *w);
void jsonw_raw(struct jsonw *w, struct str checked);
void jsonw_base64(struct jsonw *w, struct str bytes);
/* key and string value in one */
void jsonw_member(struct jsonw *w, const char *name, struct str value);

/* Appends s as the inside of a JSON string, escaped, without quotes. */
void jsonw_escape(struct buf *out, struct str s);
/*
 * The length of the start of s that is ASCII and needs no escaping: the inside of a JSON string as it is. Strings are most
 * of JSON, so this takes 16 bytes at a time where every processor of the kind can. Below a blank is, with a sign, also
 * what is not ASCII.
 */
static inline size_t
jsonw_plain(struct str s)
{
	size_t i = 0;
#ifdef __SSE2__
	for (; s.n - i >= 16; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s.p + i));
		__m128i odd = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(' ')),
		    _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
		int mask = _mm_movemask_epi8(odd);
		if (mask != 0)
			return i + (size_t)__builtin_ctz((unsigned)mask);
	}
#endif
	while (i < s.n && (signed char)s.p[i] >= ' ' && s.p[i] != '"' && s.p[i] != '\\')
		i++;
	return i;
}

#endif
