/*
 * xalloc: memory or the end of the process. Running out of memory ends the process where it happens
 * with status 75 (try again later) and one line on standard error, so no caller checks for NULL.
 * Release with free(3).
 */
#ifndef EVPIPE_XALLOC_H
#define EVPIPE_XALLOC_H

#include <stddef.h>

/* That end, for a library that says it ran out. */
void xalloc_failed(void) __attribute__((noreturn));

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
/* room for n members of size bytes each; n * size is checked for overflow */
void *xreallocarray(void *p, size_t n, size_t size);
void *xmemdup(const void *p, size_t n);
char *xstrdup(const char *s);
/* For z_stream: zlib asks here, and never takes a lack of memory for broken data. */
void *xalloc_zlib(void *unused, unsigned n, unsigned size);
void xalloc_zlib_free(void *unused, void *p);
/* for secrets: zeroes a text and frees it; NULL is fine */
void xwipe(char *s);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
