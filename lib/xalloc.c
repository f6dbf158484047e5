#include "xalloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
xalloc_failed(void)
{
	static const char text[] = "evpipe: cannot go on: out of memory; give the process more\n";
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(75);
}

static void *
check(void *p, size_t n)
{
	if (p == NULL && n > 0)
		xalloc_failed();
	return p;
}

void *
xmalloc(size_t n)
{
	return check(malloc(n), n);
}

void *
xcalloc(size_t n, size_t size)
{
	return check(calloc(n, size), n > 0 && size > 0);
}

void *
xrealloc(void *p, size_t n)
{
	return check(realloc(p, n > 0 ? n : 1), n); /* realloc(p, 0) is whatever a libc makes of it */
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	if (size > 0 && n > SIZE_MAX / size)
		return check(NULL, SIZE_MAX);
	return xrealloc(p, n * size);
}

void *
xmemdup(const void *p, size_t n)
{
	void *copy = xmalloc(n > 0 ? n : 1);
	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

char *
xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

char *
xasprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = check(NULL, 1);
	va_end(ap);
	return text;
}

void *
xalloc_zlib(void *unused, unsigned n, unsigned size)
{
	(void)unused;
	return xcalloc(n, size);
}

void
xalloc_zlib_free(void *unused, void *p)
{
	(void)unused;
	free(p);
}

void
xwipe(char *s)
{
	if (s != NULL)
		explicit_bzero(s, strlen(s));
	free(s);
}
