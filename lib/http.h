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

/*
 * Takes a piece of a 2xx reply's body as it comes: true, or false where there is no room for it now. The request then
 * pauses, holding the sender back, and the same piece comes again after http_resume. headers: the reply's, raw.
 */
typedef bool http_data(void *arg, int status, struct str headers, struct str piece);

struct http_spec {
	const char *method;
	const char *url;
	const char *const *headers; /* "Name: value", ended by NULL; may be NULL */
	struct str body;       /* borrowed until done */
	int64_t timeout;       /* microseconds for the whole exchange; 0: 120 s */
	bool direct;           /* past any proxy: an emulator's and a metadata server's answers are for this machine alone */
	bool secret;           /* the reply holds one: it is wiped */
	/*
	 * NULL: the body is gathered. Otherwise a 2xx body goes there, with the reply's own encoding untouched, in an
	 * exchange that may last as long as it moves (timeout is then for a standstill), over HTTP/1.1, whose connection
	 * holds the sender back while it pauses.
	 */
	http_data *on_data;
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
/* Goes on with a request that on_data paused; on_data may be called from within. Nothing happens to one that goes. */
void http_resume(struct http_request *r);
/* Asks the loop to turn once more before it waits. */
void http_nudge(struct http *h);
/* Watches a descriptor of one's own (POLLIN) in the same poll set; -1 ends that. One at a time. */
typedef void http_readable(void *arg);
void http_watch(struct http *h, int fd, http_readable *readable, void *arg);
unsigned http_active(const struct http *h);
void http_free(struct http *h);

/* The same from raw header lines. */
struct str http_header_in(struct str headers, const char *name);
/* A reply header's value, or STR_NONE. Names are compared without case. */
struct str http_header(const struct http_reply *reply, const char *name);

/*
 * What Retry-After asks for, in microseconds, at most 600 s; 0 where it asks for nothing. The HTTP-date form is rare and
 * answered with the ordinary back-off. reply may be NULL.
 */
int64_t http_retry_after(const struct http_reply *reply);

#endif
