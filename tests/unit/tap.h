/*
 * tap: the Test Anything Protocol for unit programs. Each assertion prints a line; done() prints the plan and gives main's
 * result.
 *
 *	ok(a == b, "a is b for %d", n);
 *	is_str(got, "want", "the name");
 *	is_int(got, 3, "three of them");
 *	return done();
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "str.h"

static int tap_count, tap_failed;

static inline bool
tap_line(bool good, const char *fmt, va_list ap)
{
	tap_failed += !good;
	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
	return good;
}

static inline bool __attribute__((format(printf, 2, 3)))
ok(bool good, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	tap_line(good, fmt, ap);
	va_end(ap);
	return good;
}

static inline bool __attribute__((format(printf, 3, 4)))
is_str(struct str got, const char *want, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	bool good = tap_line(str_is(got, want), fmt, ap);
	va_end(ap);
	if (!good)
		printf("#  got: %.*s\n# want: %s\n", STR_ARG(got), want);
	return good;
}

static inline bool __attribute__((format(printf, 3, 4)))
is_int(long long got, long long want, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	bool good = tap_line(got == want, fmt, ap);
	va_end(ap);
	if (!good)
		printf("#  got: %lld\n# want: %lld\n", got, want);
	return good;
}

static inline int
done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed > 0;
}

#endif
