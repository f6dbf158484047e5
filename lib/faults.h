/*
 * faults: the first LIMIT_FAULTS faults of an event, sorted by path, then code, each once, however many come.
 */
#ifndef EVPIPE_FAULTS_H
#define EVPIPE_FAULTS_H

#include "bounds.h"
#include "scalar.h"
#include "str.h"

/* A JSON Pointer longer than this many bytes is cut on a character boundary. */
#define FAULT_PATH_MAX 1024

struct fault {
	const char *code;  /* a constant: "wrong_type" */
	struct str path;   /* a JSON Pointer (RFC 6901); borrowed */
	struct str detail; /* names the rule and, for enums and types, what was found; borrowed */
};

struct faults {
	struct fault list[LIMIT_FAULTS + 1];
	unsigned n;
	struct fault_text { /* private: where the texts of the list, and of the next one, are */
		char path[FAULT_PATH_MAX];
		char detail[SCALAR_DETAIL];
	} *texts;
	unsigned spare;
	unsigned text_of[LIMIT_FAULTS + 1];
};

void faults_init(struct faults *f);
void faults_clear(struct faults *f);
/* Would this fault be listed, as things stand? Spares the making of details that would be thrown away. */
bool faults_wants(const struct faults *f, const char *code, struct str path);
/* Both texts are copied. */
void faults_add(struct faults *f, const char *code, struct str path, struct str detail);
void faults_release(struct faults *f);

#endif
