/*
 * url: percent-encoding, service endpoints and resource names.
 */
#ifndef EVPIPE_URL_H
#define EVPIPE_URL_H

#include "buf.h"
#include "err.h"

/* Appends s with every byte but A-Z a-z 0-9 - . _ ~ as %XX (RFC 3986), so that a slash in a name is no path. */
void url_encode(struct buf *out, struct str s);

/*
 * A service's base URL without a slash at its end. emulator_env, where it is set ("host:port" or "http://host:port"),
 * switches to plain HTTP without credentials.
 */
struct endpoint {
	char base[512];
	bool emulator;
};
int endpoint_init(struct endpoint *ep, const char *emulator_env, const char *real, struct err *e);

/*
 * Names may be short ("sub") or full ("projects/P/subscriptions/sub"): writes the full one. project may be NULL.
 * kind is "subscriptions" or "topics". Checks the service's naming rules.
 */
int name_pubsub(struct buf *out, const char *kind, const char *name, const char *project, struct err *e);
/* "D", "P:D" or "P.D": the two parts, to be freed by the caller. */
int name_dataset(const char *name, const char *project, char **out_project, char **out_dataset, struct err *e);
/* "gs://BUCKET[/PREFIX]": the two parts, to be freed; the prefix has no slash at its ends and may be "". */
int name_bucket(const char *url, char **out_bucket, char **out_prefix, struct err *e);

/*
 * May secrets be sent to, and tokens taken from, this URL? https to anywhere; http to this machine, to link-local addresses
 * and to the metadata services of AWS and Google by their IPv6 addresses. Names other than localhost are not resolved.
 */
bool url_keeps_secrets(const char *url);

#endif
