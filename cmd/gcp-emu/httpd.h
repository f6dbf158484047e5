/*
 * httpd: the HTTP side of gcp-emu, over libmicrohttpd. A request is handed on when it is whole; one that
 * waits costs nothing but its memory, and is dropped when its client goes away, before it is asked again.
 */
#ifndef GCP_EMU_HTTPD_H
#define GCP_EMU_HTTPD_H

#include <poll.h>

#include "emu.h"
#include "faults.h"

#define HTTPD_BODY_MAX (256ull * 1024 * 1024) /* one request's body, after decompression too */
#define HTTPD_HEAD_MAX (256 * 1024)           /* a request's line and headers */
#define HTTPD_CONNECTIONS_MAX 4096
#define HTTPD_POLL_FDS 2

struct MHD_Connection;

struct param {
	struct str name, value;
};

enum conn_phase {
	CONN_READING,
	CONN_SLOW,    /* a fault makes the body's next bytes wait */
	CONN_DELAYED, /* a fault's delay passes; the work is not begun */
	CONN_ASKING,  /* the service said EMU_WAIT */
	CONN_HELD,    /* the reply is made, a fault holds it back */
	CONN_READY,   /* the reply may go */
	CONN_SENDING,
	CONN_STALLED, /* headers and half of the body went, a fault holds the rest */
	CONN_GONE,    /* close it */
};

/* One request on a connection: what struct request's conn points to. */
struct conn {
	struct httpd *httpd;
	struct MHD_Connection *mhd;
	int fd;
	enum conn_phase phase;
	char *uri;            /* the path as sent, ended by NUL */
	char *query;          /* what followed its '?', or NULL */
	struct param *params; /* the query, decoded on first use into param_text */
	int nparams;          /* -1: not yet */
	char *param_text;
	char *method;
	struct buf body;
	struct request req;
	struct reply rep;
	struct fault fault;
	int64_t slow;         /* bytes of the body to read in a second; 0: as they come */
	int64_t slow_from;    /* monotonic */
	bool listed;          /* in httpd's list of those that wait */
	struct conn *prev, *next;
};

/* Takes connections from the listening socket. NULL with e filled on failure. */
struct httpd *httpd_open(struct emu *emu, int listener, struct err *e);
/*
 * Moves everything that can move; returns when it must run again even if no descriptor is ready
 * (monotonic).
 */
int64_t httpd_turn(struct httpd *h);
/* the descriptors to wait for */
void httpd_poll(const struct httpd *h, struct pollfd fds[HTTPD_POLL_FDS]);
/* Closes every connection, also those that wait. */
void httpd_close(struct httpd *h);

/* Replaces body by its gzip-decompressed content: -1 where it is no gzip stream or passes HTTPD_BODY_MAX. */
int httpd_gunzip(struct buf *body);

#endif
