/*
 * common: what every tool's main shares: the options all have, the start and the end.
 */
#ifndef EVPIPE_COMMON_H
#define EVPIPE_COMMON_H

#include "opt.h"
#include "stage.h"

/* What was said about credentials: see auth.h. */
struct login {
	const char *credentials;
	const char *access_token_file;
};

struct common {
	const char *project;
	struct login login;
	int64_t retry_for; /* microseconds; 0: no end; -1: not given (the tool decides) */
	int log_format;    /* 0 text, 1 json */
	bool check;
	int verbose, quiet;
};

/* The shared options over *c, for opt_spec.shared. network: with --project, --credentials, --access-token-file, --retry-for. */
const struct opt *common_options(struct common *c, bool network);

/*
 * Parses the command line and sets up logging and descriptors 0-2. Returns true to run; otherwise the tool ends
 * with *status. operands as opt_parse gives them.
 */
bool common_start(const char *prog, const struct opt_spec *spec, const struct common *c, int argc, char **argv,
    char ***operands, int *noperands, int *status);

/*
 * Opens the rejects output and sets up both sinks: out on standard output, rejects where `where` says (NULL: none).
 * Both files are opened before any network call.
 */
int common_outputs(struct sink *out, bool out_shared, struct sink *rejects, const char *where, struct err *e);

/*
 * Opens the FIFO that receipts come from, without waiting for a writer: the descriptor, or -1 with e filled, and -1 without
 * where path is NULL.
 */
int common_open_acks(const char *path, struct err *e);

#endif
