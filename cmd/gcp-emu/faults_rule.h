/* faults_rule: what faults.c and faults_parse.c share. */
#ifndef GCP_EMU_FAULTS_RULE_H
#define GCP_EMU_FAULTS_RULE_H

#include "faults.h"
#include "rng.h"

struct fault_rule {
	char *name;   /* for people; NULL: none. Likewise below: NULL matches everything */
	char *method;
	char *path;   /* a glob (fnmatch(3), "*" takes slashes too) over the path as sent, without the query */
	char *table;  /* a glob over a table's name, for FAULT_ROW and FAULT_JOB */
	double chance;
	int64_t times; /* -1: no end */
	int64_t after; /* matches that pass first */
	int64_t seed;
	enum fault_kind kind;
	enum fault_kind stall_at; /* as given, FAULT_NONE where not */
	int status;
	char *reason, *message, *body, *retry_after;
	int64_t delay, hold, bytes;
	struct rng rng;
	int64_t matched, applied;
};

struct faults {
	struct fault_rule *rules;
	size_t n;
	bool has_rows;
	uint64_t seed;
};

void faults_clear(struct faults *f);
void faults_rules_free(struct fault_rule *rules, size_t n);
/* Appends the rules as JSON, with their counts. */
void faults_write(const struct faults *f, struct buf *out);

#endif
