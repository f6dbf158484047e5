/*
 * awsprofile: one profile out of the files that the AWS command line writes: ~/.aws/credentials,
 * ~/.aws/config.
 * [docs.aws.amazon.com/sdkref/latest/guide/file-format.html]
 *
 * Where both files have a setting the credentials file wins. A file that is not there is an empty one.
 * Indented lines (nested settings) and unknown settings are passed over.
 */
#ifndef EVPIPE_AWSPROFILE_H
#define EVPIPE_AWSPROFILE_H

#include <stdbool.h>

#include "err.h"

struct awsprofile {
	bool found;                /* a section of that name */
	char *id, *secret, *token; /* each NULL where not set */
	char *file;                /* where the secret is from */
	char *region, *endpoint;
	char *other;               /* a setting for a way to credentials not known here: "sso_session" */
};

/* Either path may be NULL. -1 where a file cannot be read (ERR_IO) or a line makes no sense (ERR_CONFIG). */
int awsprofile_load(struct awsprofile *p, const char *name, const char *credentials, const char *config,
    struct err *e);
/* Wipes and frees. */
void awsprofile_release(struct awsprofile *p);

#endif
