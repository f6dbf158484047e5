/* httpd: libmicrohttpd without threads; main's loop turns it. */
#include "httpd.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "counts.h"
#include "log.h"
#include "num.h"
#include "rng.h"
#include "xalloc.h"

#define REPLY_MAX (512ull * 1024 * 1024)
#define GARBAGE_LEN 600
#define SLOW_TURN 50000      /* microseconds between two pieces of a body that is read slowly */
/*
 * What the kernel may take of it meanwhile: a part of a second's bytes. With less than a segment of loopback's (64 KiB) TCP goes
 * by its timer of 200 ms.
 */
#define SLOW_BUFFER_MIN 16384
#define SLOW_BUFFER_PART 4
#define FAST_BUFFER 1048576 /* the next request on the connection is read as it comes */

struct httpd {
	struct emu *emu;
	struct MHD_Daemon *mhd;
	int mhd_fd;  /* its epoll descriptor */
	bool resumed; /* a connection moves again at the next run: no descriptor tells that */
	int gone_fd; /* an epoll of the sockets of those that wait: their hanging up */
	struct conn *first, *last; /* those that wait, in order of arrival */
};

static void
enlist(struct conn *c)
{
	struct httpd *h = c->httpd;
	struct epoll_event ev = {.events = EPOLLRDHUP, .data.ptr = c};
	c->listed = true;
	c->next = NULL;
	c->prev = h->last;
	if (h->last != NULL)
		h->last->next = c;
	else
		h->first = c;
	h->last = c;
	epoll_ctl(h->gone_fd, EPOLL_CTL_ADD, c->fd, &ev);
}

static void
delist(struct conn *c)
{
	struct httpd *h = c->httpd;
	if (!c->listed)
		return;
	c->listed = false;
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		h->first = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	else
		h->last = c->prev;
	epoll_ctl(h->gone_fd, EPOLL_CTL_DEL, c->fd, NULL);
}

/* Sends a RST: a plain close would look like an orderly end. Linux resets on connecting to nowhere. */
static void
reset(struct conn *c)
{
	struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	(void)connect(c->fd, &nowhere, sizeof(nowhere));
	c->phase = CONN_GONE;
}

static void
count(struct conn *c, int status)
{
	if (!str_starts(c->req.path, STR("/emu/")))
		counts_add(c->httpd->emu->counts, c->method, c->req.path, status);
	log_debug("%s %.*s: %d", c->method, STR_ARG(c->req.path), status);
}

static void
garbage(struct conn *c)
{
	struct rng rng;
	rng_seed(&rng, c->fault.noise);
	buf_reset(&c->rep.body, 0);
	for (int i = 0; i < GARBAGE_LEN; i++)
		buf_addc(&c->rep.body, (char)rng_next(&rng));
}

/* The reply is made: what a fault does to it. */
static void
answered(struct conn *c)
{
	struct fault *f = &c->fault;
	c->phase = CONN_READY;
	if (c->rep.body.over)
		reply_error(&c->rep, 500, "internalError", "The reply is larger than gcp-emu can send.");
	switch (f->kind) {
	case FAULT_LOSE:
		count(c, 0);
		reset(c);
		return;
	case FAULT_GARBAGE:
		garbage(c);
		break;
	case FAULT_STALL:
		c->phase = CONN_HELD;
		c->req.wake_at = c->httpd->emu->now + f->hold;
		break;
	default:
		break;
	}
	count(c, c->rep.status != 0 ? c->rep.status : 200);
}

static void
ask(struct conn *c)
{
	if (route(c->httpd->emu, &c->req, &c->rep) == EMU_WAIT)
		c->phase = CONN_ASKING;
	else
		answered(c);
}

/* The delay, if any, has passed: the work, or the fault in its stead. */
static void
work(struct conn *c)
{
	switch (c->fault.kind) {
	case FAULT_STATUS:
		answered(c);
		break;
	case FAULT_RESET:
		count(c, 0);
		reset(c);
		break;
	case FAULT_IGNORE:
		buf_addz(&c->rep.body, "{}\n");
		answered(c);
		break;
	default:
		ask(c);
		break;
	}
}

/* Undoes Content-Encoding; false where that failed and the reply says so. */
static bool
body_plain(struct conn *c)
{
	if (c->body.over) {
		reply_error(&c->rep, 413, "uploadTooLarge", "Request body exceeds %llu bytes.", HTTPD_BODY_MAX);
		return false;
	}
	if (str_ieq(request_header(&c->req, "Content-Encoding"), STR("gzip")) && c->body.n > 0 &&
	    httpd_gunzip(&c->body) != 0) {
		reply_rpc_error(&c->rep, 400, "INVALID_ARGUMENT", "Request body is not gzip, or too large.");
		return false;
	}
	c->req.body = buf_str(&c->body);
	return true;
}

/* The request is whole. */
static void
begin_work(struct conn *c)
{
	struct emu *emu = c->httpd->emu;
	c->req.arrived = emu->now;
	if (!body_plain(c)) {
		answered(c);
		return;
	}
	if (!str_starts(c->req.path, STR("/emu/")))
		c->fault = faults_request(emu->faults, c->method, c->uri, &c->rep);
	if (c->fault.delay > 0) {
		c->phase = CONN_DELAYED;
		c->req.wake_at = emu->now + c->fault.delay;
	} else {
		work(c);
	}
}

/* libmicrohttpd wants the body of a reply that is cut or held in the middle. */
static ssize_t
read_body(void *cls, uint64_t pos, char *to, size_t max)
{
	struct conn *c = cls;
	struct fault *f = &c->fault;
	size_t end = c->rep.body.n;
	if (f->kind == FAULT_TRUNCATE && f->bytes < end)
		end = f->bytes;
	else if (f->kind == FAULT_STALL_BODY && f->hold > 0)
		end /= 2;
	if (pos >= end && (f->kind == FAULT_TRUNCATE || f->kind == FAULT_LENGTH))
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (pos >= end && f->hold > 0) {
		c->phase = CONN_STALLED;
		c->req.wake_at = c->httpd->emu->now + f->hold;
		f->hold = 0;
		MHD_suspend_connection(c->mhd);
		enlist(c);
		return 0;
	}
	size_t n = end - pos < max ? end - pos : max;
	memcpy(to, c->rep.body.p + pos, n);
	return (ssize_t)n;
}

/* With a Content-Length that is too small: what it says. The rest goes out behind it (on_completed). */
static size_t
announced(const struct conn *c)
{
	size_t n = c->rep.body.n, less = (size_t)-c->fault.off;
	return n > less ? n - less : 0;
}

static struct MHD_Response *
response(struct conn *c)
{
	struct buf *b = &c->rep.body;
	const struct fault *f = &c->fault;
	bool cut = f->kind == FAULT_TRUNCATE || f->kind == FAULT_STALL_BODY;
	bool more = f->kind == FAULT_LENGTH && f->off > 0;
	if ((cut && b->n > 0) || more)
		return MHD_create_response_from_callback(b->n + (more ? (size_t)f->off : 0), 32 * 1024, read_body, c, NULL);
	if (f->kind == FAULT_LENGTH)
		return MHD_create_response_from_buffer(announced(c), b->p, MHD_RESPMEM_PERSISTENT);
	struct MHD_Response *r = MHD_create_response_from_buffer(b->n, b->p, MHD_RESPMEM_MUST_FREE);
	if (r != NULL)
		*b = (struct buf)BUF_INIT(REPLY_MAX); /* r owns the memory now */
	return r;
}

static void
add_headers(struct MHD_Response *r, struct buf *lines)
{
	char *p = lines->n > 0 ? (char *)(uintptr_t)buf_cstr(lines) : NULL;
	for (char *end; p != NULL && (end = strstr(p, "\r\n")) != NULL; p = end + 2) {
		*end = '\0';
		char *colon = strstr(p, ": ");
		if (colon == NULL)
			continue;
		*colon = '\0';
		MHD_add_response_header(r, p, colon + 2);
	}
}

static enum MHD_Result
send_reply(struct conn *c)
{
	struct MHD_Response *r = response(c);
	if (r == NULL)
		return MHD_NO;
	const char *type = c->rep.content_type != NULL ? c->rep.content_type : "application/json; charset=UTF-8";
	int status = c->rep.status != 0 ? c->rep.status : 200;
	c->phase = CONN_SENDING;
	MHD_add_response_header(r, "Content-Type", type);
	add_headers(r, &c->rep.headers);
	enum MHD_Result ok = MHD_queue_response(c->mhd, (unsigned)status, r);
	MHD_destroy_response(r);
	return ok;
}

static void
set_receive_buffer(const struct conn *c, int64_t bytes)
{
	int room = bytes < SLOW_BUFFER_MIN ? SLOW_BUFFER_MIN : bytes > FAST_BUFFER ? FAST_BUFFER : (int)bytes;
	setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
}

/* Will the body be read slowly? Then the client must feel it: the kernel would take megabytes by itself. */
static void
begin_slowly(struct conn *c)
{
	if (str_starts(c->req.path, STR("/emu/")))
		return;
	c->slow = faults_slow(c->httpd->emu->faults, c->method, c->uri);
	c->slow_from = c->httpd->emu->now;
	if (c->slow > 0)
		set_receive_buffer(c, c->slow / SLOW_BUFFER_PART);
}

/* How much more of the body may have been read by now. */
static size_t
slow_room(const struct conn *c)
{
	double most = (double)c->slow * (double)(c->httpd->emu->now - c->slow_from + SLOW_TURN) / 1e6 + 1;
	return most >= (double)HTTPD_BODY_MAX ? HTTPD_BODY_MAX : most > (double)c->body.n ? (size_t)most - c->body.n : 0;
}

/* A piece of the body: what is left of n is offered again later. */
static size_t
take_piece(struct conn *c, const char *p, size_t n)
{
	size_t most = slow_room(c);
	if (c->slow > 0 && n > most) {
		buf_add(&c->body, p, most);
		c->phase = CONN_SLOW;
		c->req.wake_at = c->httpd->emu->now + SLOW_TURN;
		MHD_suspend_connection(c->mhd);
		enlist(c);
		return n - most;
	}
	buf_add(&c->body, p, n);
	return 0;
}

/* The head has arrived. */
static enum MHD_Result
begin(struct conn *c, struct MHD_Connection *mhd, const char *method)
{
	int64_t length;
	c->mhd = mhd;
	c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	c->method = xstrdup(method);
	c->req.method = c->method;
	begin_slowly(c);
	if (!num_i64(request_header(&c->req, "Content-Length"), &length))
		return MHD_YES;
	if (length > (int64_t)HTTPD_BODY_MAX) {
		c->body.over = true;
		begin_work(c);
		return send_reply(c);
	}
	if (length > 0)
		buf_room(&c->body, (size_t)length);
	return MHD_YES;
}

static enum MHD_Result
on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
    const char *upload, size_t *nupload, void **state)
{
	struct conn *c = *state;
	(void)cls, (void)url, (void)version;
	if (c == NULL)
		return MHD_NO;
	if (c->mhd == NULL)
		return begin(c, mhd, method);
	if (*nupload > 0 && c->phase != CONN_GONE) {
		*nupload = take_piece(c, upload, *nupload);
		return MHD_YES;
	}
	if (c->phase == CONN_READING)
		begin_work(c);
	switch (c->phase) {
	case CONN_READY:
		return send_reply(c);
	case CONN_GONE:
		return MHD_NO;
	default:
		MHD_suspend_connection(mhd);
		enlist(c);
		return MHD_YES;
	}
}

static void *
on_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	(void)mhd;
	const char *scheme = uri[0] != '/' ? strstr(uri, "://") : NULL;
	if (scheme != NULL) { /* absolute form, as sent to a proxy */
		uri = strchr(scheme + 3, '/');
		uri = uri != NULL ? uri : "/";
	}
	c->httpd = cls;
	c->uri = xstrdup(uri);
	c->query = strchr(c->uri, '?');
	if (c->query != NULL)
		*c->query++ = '\0';
	c->nparams = -1;
	c->req.path = str_of(c->uri);
	c->req.conn = c;
	c->fd = -1;
	buf_init(&c->body, HTTPD_BODY_MAX);
	buf_init(&c->rep.body, REPLY_MAX);
	buf_init(&c->rep.headers, HTTPD_HEAD_MAX);
	return c;
}

static void
on_completed(void *cls, struct MHD_Connection *mhd, void **state, enum MHD_RequestTerminationCode code)
{
	struct conn *c = *state;
	(void)cls, (void)mhd, (void)code;
	*state = NULL;
	if (c == NULL)
		return;
	if (c->slow > 0)
		set_receive_buffer(c, FAST_BUFFER);
	if (c->fault.kind == FAULT_LENGTH && c->fault.off < 0 && c->phase == CONN_SENDING)
		send(c->fd, c->rep.body.p + announced(c), c->rep.body.n - announced(c), MSG_DONTWAIT | MSG_NOSIGNAL);
	delist(c);
	free(c->uri);
	free(c->method);
	free(c->params);
	free(c->param_text);
	free(c->req.state);
	buf_release(&c->body);
	buf_release(&c->rep.body);
	buf_release(&c->rep.headers);
	free(c);
}

/* libmicrohttpd decodes in place by default; paths and queries are ours to decode. */
static size_t
keep_escapes(void *cls, struct MHD_Connection *mhd, char *s)
{
	(void)cls, (void)mhd;
	return strlen(s);
}

static void
on_connection(void *cls, struct MHD_Connection *mhd, void **state, enum MHD_ConnectionNotificationCode code)
{
	int on = 1;
	(void)cls, (void)state;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		int fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
}

static void
on_log(void *cls, const char *fmt, va_list ap)
{
	struct buf text = BUF_INIT(4096);
	(void)cls;
	buf_vaddf(&text, fmt, ap);
	struct str s = str_trim(buf_str(&text));
	log_debug("libmicrohttpd: %.*s", STR_ARG(s));
	buf_release(&text);
}

struct httpd *
httpd_open(struct emu *emu, int listener, struct err *e)
{
	struct httpd *h = xcalloc(1, sizeof(*h));
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	h->emu = emu;
	h->gone_fd = epoll_create1(EPOLL_CLOEXEC);
	if (h->gone_fd >= 0)
		h->mhd = MHD_start_daemon(flags, 0, NULL, NULL, on_request, h,
		    MHD_OPTION_EXTERNAL_LOGGER, on_log, h,
		    MHD_OPTION_LISTEN_SOCKET, (MHD_socket)listener,
		    MHD_OPTION_URI_LOG_CALLBACK, on_uri, h,
		    MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
		    MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
		    MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, h,
		    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTPD_HEAD_MAX,
		    MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTPD_CONNECTIONS_MAX,
		    MHD_OPTION_END);
	if (h->mhd == NULL) {
		err_set(e, ERR_IO, "cannot start the HTTP server: %s", strerror(errno));
		if (h->gone_fd >= 0)
			close(h->gone_fd);
		free(h);
		return NULL;
	}
	h->mhd_fd = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	return h;
}

static void
resume(struct conn *c)
{
	delist(c);
	c->httpd->resumed = true;
	MHD_resume_connection(c->mhd);
}

static void
drop(struct conn *c)
{
	c->phase = CONN_GONE;
	/* A stalled body's reader is asked again before the handler could refuse: a dead socket ends that too. */
	shutdown(c->fd, SHUT_RDWR);
	resume(c);
}

static void
drop_gone(struct httpd *h)
{
	struct epoll_event ev[64];
	int n;
	do {
		n = epoll_wait(h->gone_fd, ev, 64, 0);
		for (int i = 0; i < n; i++)
			drop(ev[i].data.ptr);
	} while (n == 64);
}

/* A hang-up that came since drop_gone: a message must not go to someone who left. */
static bool
hung_up(struct conn *c)
{
	char byte;
	ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static void
wake(struct conn *c)
{
	switch (c->phase) {
	case CONN_SLOW:
		c->phase = CONN_READING;
		resume(c);
		return;
	case CONN_DELAYED:
		work(c);
		break;
	case CONN_ASKING:
		if (hung_up(c)) {
			drop(c);
			return;
		}
		ask(c);
		break;
	case CONN_HELD:
		c->phase = CONN_READY;
		break;
	case CONN_STALLED:
		c->phase = CONN_SENDING;
		break;
	default:
		break;
	}
	if (c->phase == CONN_READY || c->phase == CONN_GONE || c->phase == CONN_SENDING)
		resume(c);
}

/* Asks those whose time has come, and after emu_wake all that wait for their service. */
static void
wake_due(struct httpd *h)
{
	struct conn *next;
	do {
		bool all = h->emu->woken;
		h->emu->woken = false;
		for (struct conn *c = h->first; c != NULL; c = next) {
			next = c->next;
			if (c->req.wake_at <= h->emu->now || (all && c->phase == CONN_ASKING))
				wake(c);
		}
	} while (h->emu->woken);
}

int64_t
httpd_turn(struct httpd *h)
{
	MHD_UNSIGNED_LONG_LONG ms;
	int64_t next = CLOCK_NEVER;
	drop_gone(h);
	h->resumed = false;
	MHD_run(h->mhd);
	wake_due(h);
	if (h->resumed)
		return h->emu->now;
	if (MHD_get_timeout(h->mhd, &ms) == MHD_YES)
		next = h->emu->now + MILLIS((int64_t)ms);
	for (struct conn *c = h->first; c != NULL; c = c->next) {
		if (c->req.wake_at < next)
			next = c->req.wake_at;
	}
	return next;
}

void
httpd_poll(const struct httpd *h, struct pollfd fds[HTTPD_POLL_FDS])
{
	fds[0] = (struct pollfd){.fd = h->mhd_fd, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = h->gone_fd, .events = POLLIN};
}

void
httpd_close(struct httpd *h)
{
	if (h == NULL)
		return;
	while (h->first != NULL)
		drop(h->first);
	MHD_run(h->mhd);
	/* A connection can have begun to wait in that run. */
	while (h->first != NULL)
		drop(h->first);
	MHD_run(h->mhd);
	MHD_stop_daemon(h->mhd);
	close(h->gone_fd);
	free(h);
}

void
emu_wake(struct emu *emu)
{
	emu->woken = true;
}
