/*
 * faults: what --faults FILE and PUT /emu/faults ask to go wrong (gcp-emu(1), FAULTS).
 */
#ifndef GCP_EMU_FAULTS_H
#define GCP_EMU_FAULTS_H

#include "emu.h"

#define FAULTS_FILE_MAX (1024 * 1024)
#define FAULTS_RULES_MAX 256

enum fault_kind {
	FAULT_NONE,
	FAULT_STATUS,   /* an error in the service's stead */
	FAULT_RESET,    /* the connection is reset, nothing was done */
	FAULT_LOSE,     /* the work is done, then the connection is reset */
	FAULT_TRUNCATE, /* the work is done, only `bytes` of the reply's body are sent */
	FAULT_GARBAGE,  /* the work is done, the reply's body is noise */
	FAULT_LENGTH,   /* the work is done, Content-Length is `off` bytes more or less than the body */
	FAULT_IGNORE,   /* the work is not done, the reply says it was */
	FAULT_STALL,    /* the work is done, nothing is sent for `hold` */
	FAULT_STALL_BODY, /* likewise after the headers and half of the body */
	FAULT_ROW,      /* a row of insertAll is refused */
	FAULT_JOB,      /* a load job fails */
	FAULT_SLOW,     /* the request's body is read slowly */
};

/* What happens to one request. The rule is valid for this turn only. */
struct fault {
	enum fault_kind kind;
	int64_t delay; /* microseconds before anything else */
	int64_t hold;
	size_t bytes;
	int64_t off;
	uint64_t noise; /* the seed of garbage */
};

struct faults *faults_new(uint64_t seed);
/* Replaces all rules; on -1 (ERR_CONFIG) the old ones stay. */
int faults_set(struct faults *f, struct str json, struct err *e);
int faults_load(struct faults *f, const char *path, struct err *e);
/*
 * Decides over one request. With FAULT_STATUS the error is in rep already (path decides the shape of its
 * body).
 */
struct fault faults_request(struct faults *f, const char *method, const char *path, struct reply *rep);
/* How many bytes of the request's body are to be read in a second; 0: as they come. Asked when its head is there. */
int64_t faults_slow(struct faults *f, const char *method, const char *path);
/* GET, PUT and DELETE /emu/faults */
void faults_handle(struct faults *f, struct request *req, struct reply *rep);
void faults_free(struct faults *f);

#endif
