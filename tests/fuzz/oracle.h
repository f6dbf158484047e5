/*
 * oracle: a JSON parser that nobody here wrote (jansson 2.11 or newer), asked whether it takes a text. It is looked for when
 * the program runs, for its functions have the names of ours. Where it is not there, or has limits of its own (numbers that a
 * double cannot hold, NUL in a name, nesting past 2,048), it cannot tell.
 */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

enum oracle { ORACLE_REFUSES, ORACLE_TAKES, ORACLE_CANNOT_TELL };

/* jansson's API, as jansson.h has it [jansson.readthedocs.io/en/latest/apiref.html] */
struct jansson_value {
	int type;
	size_t references; /* SIZE_MAX: a constant */
};
struct jansson_error {
	int line, column, position;
	char source[80], text[160]; /* the last byte of text is a code */
};
#define JANSSON_ANY 0x4         /* JSON_DECODE_ANY: not only arrays and objects */
#define JANSSON_INT_AS_REAL 0x8 /* JSON_DECODE_INT_AS_REAL */
#define JANSSON_NUL 0x10        /* JSON_ALLOW_NUL */
#define JANSSON_STACK 2         /* json_error_stack_overflow */
#define JANSSON_NUL_IN_KEY 13   /* json_error_null_byte_in_key */
#define JANSSON_OVERFLOW 15     /* json_error_numeric_overflow */

static inline enum oracle
oracle_asks(struct str text)
{
	static struct jansson_value *(*load)(const char *p, size_t n, size_t flags, struct jansson_error *error);
	static void (*release)(struct jansson_value *value);
	static bool looked;
	struct jansson_error why;
	if (!looked) {
		void *lib = dlopen("libjansson.so.4", RTLD_NOW | RTLD_LOCAL);
		*(void **)&load = lib != NULL ? dlsym(lib, "json_loadb") : NULL;
		*(void **)&release = lib != NULL ? dlsym(lib, "json_delete") : NULL;
		looked = true;
		if (load == NULL || release == NULL)
			fprintf(stderr, "SKIPPED: the comparison with another JSON parser: there is no libjansson here\n");
	}
	if (load == NULL || release == NULL)
		return ORACLE_CANNOT_TELL;
	if (memchr(text.p != NULL ? text.p : "", '\0', text.n) != NULL)
		return ORACLE_REFUSES; /* so says RFC 8259; jansson 2.14 takes "1\0" */
	struct jansson_value *v = load(text.n > 0 ? text.p : "", text.n, JANSSON_ANY | JANSSON_INT_AS_REAL | JANSSON_NUL, &why);
	if (v != NULL) {
		if (v->references != SIZE_MAX && --v->references == 0)
			release(v);
		return ORACLE_TAKES;
	}
	char code = why.text[sizeof(why.text) - 1];
	bool its_limit = code == JANSSON_STACK || code == JANSSON_NUL_IN_KEY || code == JANSSON_OVERFLOW;
	return its_limit ? ORACLE_CANNOT_TELL : ORACLE_REFUSES;
}

#endif
