/*
 * opt: a command's options as a table of typed fields. The table parses, checks ranges, prints --help and
 * names the environment variable that gives a default; a test compares it with the man page's SYNOPSIS.
 *
 *	static const struct opt opts[] = {
 *		{"linger", 0, OPT_MILLIS, &o.linger, "MS", "close a batch after this long", .min = 0, .max = 60000},
 *		{"gzip", 0, OPT_FLAG, &o.gzip, NULL, "compress requests"},
 *		OPT_END};
 *
 * Long options only take "--name value" or "--name=value"; single letters may be joined ("-vq"). "--" ends
 * options; options and operands may be mixed. An unknown, repeated (unless it counts or lists) or malformed option is
 * a usage error that names it, what was wrong, and --help.
 */
#ifndef EVPIPE_OPT_H
#define EVPIPE_OPT_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

enum opt_type {
	OPT_FLAG,    /* bool */
	OPT_COUNT,   /* int, counts its uses */
	OPT_STR,     /* const char *, borrowed from argv or the environment */
	OPT_INT,     /* int64_t */
	OPT_SIZE,    /* int64_t bytes: 64M, 256MiB, 1000 */
	OPT_SECONDS, /* int64_t microseconds, given in seconds: 30, 0.5 */
	OPT_MILLIS,  /* int64_t microseconds, given in milliseconds */
	OPT_CHOICE,  /* int, the index of the word in `choices` ("a|b|c") */
	OPT_LIST,    /* struct opt_list, a string each use */
};

struct opt_list {
	const char **v;
	int n;
};

struct opt {
	const char *name;
	char letter; /* 0: none */
	enum opt_type type;
	void *to; /* holds the default beforehand */
	const char *arg; /* the argument's name in --help; NULL for flags */
	const char *help;
	int64_t min, max; /* of what is given: seconds for OPT_SECONDS; max 0: no bound */
	const char *choices;
	const char *env; /* the environment variable with the default; read before the command line */
};

#define OPT_END {.name = NULL}

struct opt_spec {
	const char *synopsis; /* operands as in the man page: "[--acks FILE] SUBSCRIPTION" */
	const char *summary;  /* one line */
	const struct opt *own, *shared; /* two tables, either may be NULL */
	int min_operands, max_operands; /* max -1: any */
	const char *see; /* the man page, "ps-pull(1)" */
};

enum opt_result { OPT_RUN, OPT_DONE /* --help or --version was printed: exit 0 */, OPT_BAD };

/* Parses argv in place: on OPT_RUN operands[0 .. *noperands) are the operands. */
enum opt_result opt_parse(const struct opt_spec *spec, int argc, char **argv, char ***operands,
    int *noperands, struct err *e);

#endif
