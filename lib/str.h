/*
 * str: a borrowed view of bytes. It owns nothing, may hold NUL bytes, and is valid for as long as the
 * text it points into; every function that returns one says how long that is.
 */
#ifndef EVPIPE_STR_H
#define EVPIPE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* for printf's "%.*s" */
#define STR_ARG(s) (int)(s).n, (s).p

/* NULL gives STR_NONE */
static inline struct str
str_of(const char *cstr)
{
	return cstr == NULL ? STR_NONE : (struct str){cstr, strlen(cstr)};
}

static inline bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
str_is(struct str a, const char *cstr)
{
	return str_eq(a, str_of(cstr));
}

static inline bool
str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq((struct str){s.p, prefix.n}, prefix);
}

/* s without its first n bytes (at most all) */
static inline struct str
str_skip(struct str s, size_t n)
{
	if (n > s.n)
		n = s.n;
	return n == 0 ? s : (struct str){s.p + n, s.n - n};
}

bool str_ieq(struct str a, struct str b); /* ASCII case ignored */
int str_cmp(struct str a, struct str b);  /* by bytes, as memcmp; the shorter first */
bool str_ends(struct str s, struct str suffix);
/* the offset of the first c, or s.n where there is none */
size_t str_find(struct str s, char c);
/* s without spaces, tabs, CR and LF at both ends */
struct str str_trim(struct str s);
/* a copy ended by NUL, to be freed by the caller */
char *str_dup(struct str s);

#endif
