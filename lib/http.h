/*
 * http: many requests at once over libcurl's multi interface. The only module that knows libcurl.
 *
 * Requests are driven by the stage's loop: http_net(h) goes into stage.net. Connections are kept and reused;
 * HTTP/2 where the service speaks it (TLS only). Bodies are borrowed until the request's end.
 */
#ifndef EVPIPE_HTTP_H
#define EVPIPE_HTTP_H

#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "stage.h"

struct http;
struct http_request; /* one under way */

struct http_reply {
	int status;            /* 0: no reply came; `failure` says why */
	const char *failure;   /* "cannot connect: ..." or NULL; borrowed until the callback returns */
	bool hopeless;         /* status 0, and another try would fail the same: a certificate, a malformed URL */
	bool too_large;        /* the reply passed LIMIT_REPLY; status is set, body is cut */
	struct str body;       /* borrowed until the callback returns */
	struct str headers;    /* raw lines, likewise */
};

struct http_spec {
	const char *method;
	const char *url;
	const char *const *headers; /* "Name: value", ended by NULL; may be NULL */
	struct str body;       /* borrowed until done */
	int64_t timeout;       /* microseconds for the whole exchange; 0: 120 s */
	bool direct;           /* no proxy, whatever the environment says: an emulator on this machine or beside it */
};

typedef void http_done(void *arg, const struct http_reply *reply);

struct http *http_new(void);
struct stage_net http_net(struct http *h);
/* Starts a request: done(arg, reply) is called later, from the loop, exactly once unless it is cancelled. */
struct http_request *http_start(struct http *h, const struct http_spec *spec, http_done *done, void *arg);
/* Ends it without calling done. */
void http_cancel(struct http_request *r);
/* true once the first byte of the reply came */
bool http_answering(const struct http_request *r);
unsigned http_active(const struct http *h);
void http_free(struct http *h);

/* A reply header's value, or STR_NONE. Names are compared without case. */
struct str http_header(const struct http_reply *reply, const char *name);

#endif
