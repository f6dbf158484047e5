/*
 * fuzz: what the fuzz targets share. A target is f-NAME.c with one function, LLVMFuzzerTestOneInput, which must hold for
 * any bytes at all: it feeds them to a module and states, with MUST, what has to be true of whatever comes out.
 *
 * Linked with libFuzzer (scripts/fuzz) a target looks for inputs of its own; linked with replay.c, by any compiler, it
 * runs the files it is given: corpus/NAME, and regress/NAME, the findings so far.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "json.h"
#include "str.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: this must hold: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* Reads every byte of a view: one that leads past its memory is found by the sanitizer. */
static inline void
fuzz_touch(struct str s)
{
	const volatile char *p = s.p;
	for (size_t i = 0; i < s.n; i++)
		(void)p[i];
}

/* Is s one JSON text in good UTF-8, on one line? What we write must be. */
static inline bool
fuzz_is_json(struct str s)
{
	struct json j = {0};
	bool fine = json_parse_fully(&j, s) == JSON_OK && str_find(s, '\n') == s.n;
	json_release(&j);
	return fine;
}

/* Cuts off and returns what stands before the first mark, or all of it. */
static inline struct str
fuzz_section(struct str *rest, const char *mark)
{
	size_t m = strlen(mark);
	const char *at = rest->n > 0 ? memmem(rest->p, rest->n, mark, m) : NULL;
	struct str s = {rest->p, at != NULL ? (size_t)(at - rest->p) : rest->n};
	*rest = str_skip(*rest, at != NULL ? s.n + m : s.n);
	return s;
}

/* A file without a place: its path, good until the next call. For what reads files alone. */
static inline const char *
fuzz_file(struct str content)
{
	static char path[40];
	static int fd = -1;
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(fd >= 0 && ftruncate(fd, 0) == 0);
	for (size_t at = 0; at < content.n;) {
		ssize_t n = pwrite(fd, content.p + at, content.n - at, (off_t)at);
		MUST(n > 0);
		at += (size_t)n;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

#endif
