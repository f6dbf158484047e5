#include "http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "clock.h"
#include "num.h"
#include "ossl.h"
#include "xalloc.h"

#define SOCKETS_MAX 512
/*
 * What is more waits inside libcurl. A connection has up to three sockets while it is made (a resolver's, two addresses
 * tried side by side), and libcurl 7.88 does not survive a socket that we have no room for.
 */
#define CONNECTIONS_MAX 128
#define EASY_POOL 16

struct socket {
	curl_socket_t fd;
	short events;
};

struct http {
	CURLM *multi;
	struct socket sockets[SOCKETS_MAX];
	unsigned nsockets;
	unsigned first;     /* where the sockets begin in this turn's poll set */
	int64_t timer;      /* when curl wants to be called, monotonic */
	CURL *pool[EASY_POOL];
	unsigned npool;
	struct http_request *requests;
	unsigned active;
	bool nudged;
	struct {
		int fd;         /* -1: none */
		unsigned place; /* in this turn's poll set */
		http_readable *readable;
		void *arg;
	} watch;
};

struct http_request {
	struct http *h;
	CURL *easy;
	struct curl_slist *list;
	http_done *done;
	void *arg;
	http_data *on_data; /* NULL: the body is gathered */
	bool paused;
	struct buf body, headers;
	bool too_large;
	bool answering;
	bool secret;
	char error[CURL_ERROR_SIZE];
	struct http_request *next, **link; /* in h->requests */
};

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct http *h = ctx;
	(void)easy;
	(void)socket_ctx;
	unsigned i = 0;
	while (i < h->nsockets && h->sockets[i].fd != fd)
		i++;
	if (what == CURL_POLL_REMOVE) {
		if (i < h->nsockets)
			h->sockets[i] = h->sockets[--h->nsockets];
		return 0;
	}
	if (i == SOCKETS_MAX)
		return -1;
	if (i == h->nsockets)
		h->nsockets++;
	short events = (short)((what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0));
	h->sockets[i] = (struct socket){fd, events};
	return 0;
}

static int
on_timer(CURLM *multi, long ms, void *ctx)
{
	struct http *h = ctx;
	(void)multi;
	h->timer = ms < 0 ? CLOCK_NEVER : clock_now() + MILLIS(ms);
	return 0;
}

struct http *
http_new(void)
{
	struct http *h = xcalloc(1, sizeof(*h));
	ossl_memory();
	/* A lack of memory is no failure of the network, to be tried again: it ends the process in there, too. */
	curl_global_init_mem(CURL_GLOBAL_DEFAULT, xmalloc, free, xrealloc, xstrdup, xcalloc);
	h->multi = curl_multi_init();
	h->timer = CLOCK_NEVER;
	h->watch.fd = -1;
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 32L);
	curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
	return h;
}

static void
fill(void *ctx, struct pollset *p)
{
	struct http *h = ctx;
	h->watch.place = h->watch.fd >= 0 ? pollset_add(p, h->watch.fd, POLLIN) : POLLSET_MAX;
	h->first = p->n;
	for (unsigned i = 0; i < h->nsockets; i++)
		pollset_add(p, h->sockets[i].fd, h->sockets[i].events);
	if (h->timer != CLOCK_NEVER)
		pollset_wake_at(p, h->timer);
	if (h->nudged)
		pollset_wake_at(p, clock_now());
	h->nudged = false;
}

static size_t
on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct http_request *r = ctx;
	long status = 0;
	r->answering = true;
	if (r->on_data != NULL)
		curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status / 100 == 2) {
		r->paused = !r->on_data(r->arg, (int)status, buf_str(&r->headers), (struct str){p, size * n});
		return r->paused ? CURL_WRITEFUNC_PAUSE : size * n;
	}
	buf_add(&r->body, p, size * n);
	r->too_large = r->body.over;
	return r->too_large ? 0 : size * n;
}

static size_t
on_header(char *p, size_t size, size_t n, void *ctx)
{
	struct http_request *r = ctx;
	r->answering = true;
	/* "HTTP/1.1 100 Continue" and its like come before the real headers. */
	if (size * n > 5 && memcmp(p, "HTTP/", 5) == 0)
		buf_reset(&r->headers, LIMIT_HEADERS);
	buf_add(&r->headers, p, size * n);
	r->too_large = r->headers.over;
	return r->too_large ? 0 : size * n;
}

static CURL *
take_easy(struct http *h)
{
	if (h->npool == 0)
		return curl_easy_init();
	CURL *easy = h->pool[--h->npool];
	curl_easy_reset(easy);
	return easy;
}

static void
set_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* As curl(1) does; libcurl itself asks only for proxies. */
static void
set_authorities(CURL *easy)
{
	const char *file = getenv("CURL_CA_BUNDLE"), *dir = getenv("SSL_CERT_DIR");
	if (file == NULL || *file == '\0')
		file = getenv("SSL_CERT_FILE");
	if (file != NULL && *file != '\0')
		curl_easy_setopt(easy, CURLOPT_CAINFO, file);
	if (dir != NULL && *dir != '\0')
		curl_easy_setopt(easy, CURLOPT_CAPATH, dir);
}

static void
set_body(CURL *easy, const struct http_spec *spec)
{
	if (strcmp(spec->method, "GET") == 0)
		return;
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, spec->body.n > 0 ? spec->body.p : "");
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body.n);
	if (strcmp(spec->method, "POST") != 0)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, spec->method);
}

/* Of a streamed reply: see http.h. */
static void
set_streaming(CURL *easy, int64_t standstill)
{
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, NULL);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 0L);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)((standstill + 999999) / 1000000));
}

static void
set_up(struct http_request *r, const struct http_spec *spec)
{
	CURL *easy = r->easy;
	int64_t timeout = spec->timeout > 0 ? spec->timeout : SECONDS(120);
	set_protocols(easy);
	set_authorities(easy);
	curl_easy_setopt(easy, CURLOPT_URL, spec->url);
	/* An object may be called "a/../b". */
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	if (spec->direct)
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 20L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(timeout / 1000));
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L * 1024);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "evpipe/" EVPIPE_VERSION);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, r);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->error);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, r);
	if (spec->on_data != NULL)
		set_streaming(easy, timeout);
	set_body(easy, spec);
	/* Waiting for "100 Continue" costs a round trip, or a second where nobody answers. */
	r->list = curl_slist_append(NULL, "Expect:");
	for (const char *const *h = spec->headers; h != NULL && *h != NULL; h++)
		r->list = curl_slist_append(r->list, *h);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->list);
}

struct http_request *
http_start(struct http *h, const struct http_spec *spec, http_done *done, void *arg)
{
	struct http_request *r = xcalloc(1, sizeof(*r));
	r->h = h;
	r->easy = take_easy(h);
	r->done = done;
	r->arg = arg;
	r->on_data = spec->on_data;
	r->secret = spec->secret;
	buf_init(&r->body, LIMIT_REPLY);
	buf_init(&r->headers, LIMIT_HEADERS);
	set_up(r, spec);
	r->link = &h->requests;
	r->next = h->requests;
	if (r->next != NULL)
		r->next->link = &r->next;
	h->requests = r;
	h->active++;
	curl_multi_add_handle(h->multi, r->easy);
	return r;
}

/* Takes a request out of everything; its buffers stay for the callback. */
static void
detach(struct http_request *r)
{
	struct http *h = r->h;
	curl_multi_remove_handle(h->multi, r->easy);
	if (h->npool < EASY_POOL)
		h->pool[h->npool++] = r->easy;
	else
		curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->list);
	*r->link = r->next;
	if (r->next != NULL)
		r->next->link = r->link;
	h->active--;
}

static void
release(struct http_request *r)
{
	if (r->secret)
		buf_wipe(&r->body);
	buf_release(&r->body);
	buf_release(&r->headers);
	free(r);
}

void
http_cancel(struct http_request *r)
{
	detach(r);
	release(r);
}

/* What is no HTTP, over a connection that has served before, is what was left of the reply before: the next one is a new one. */
static bool
is_leftover(CURL *easy, CURLcode code)
{
	long connects = 1, sent = 0;
	curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
	curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
	return code == CURLE_UNSUPPORTED_PROTOCOL && connects == 0 && sent > 0;
}

static bool
is_hopeless(CURLcode code)
{
	switch (code) {
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
		return true;
	default:
		return false;
	}
}

static void
finish(struct http_request *r, CURLcode code)
{
	struct http_reply reply = {0};
	long status = 0;
	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	reply.body = buf_str(&r->body);
	reply.headers = buf_str(&r->headers);
	reply.too_large = r->too_large;
	if (code == CURLE_OK || r->too_large) {
		reply.status = (int)status;
	} else {
		/* A reply cut short is no reply, whatever its status line said. */
		reply.failure = r->error[0] != '\0' ? r->error : curl_easy_strerror(code);
		reply.hopeless = is_hopeless(code) && !is_leftover(r->easy, code);
	}
	detach(r);
	r->done(r->arg, &reply);
	release(r);
}

static void
ready(void *ctx, const struct pollset *p)
{
	struct http *h = ctx;
	int running, left;
	if (h->watch.place < p->n && p->fds[h->watch.place].revents != 0)
		h->watch.readable(h->watch.arg);
	for (unsigned i = h->first; i < p->n; i++) {
		short r = p->fds[i].revents;
		int mask = (r & POLLIN ? CURL_CSELECT_IN : 0) | (r & POLLOUT ? CURL_CSELECT_OUT : 0) |
		    (r & (POLLERR | POLLHUP) ? CURL_CSELECT_ERR : 0);
		if (mask != 0)
			curl_multi_socket_action(h->multi, p->fds[i].fd, mask, &running);
	}
	if (h->timer <= clock_now()) {
		h->timer = CLOCK_NEVER;
		curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left)) != NULL;) {
		struct http_request *r;
		CURLcode code = m->data.result;
		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
		finish(r, code);
	}
}

struct stage_net
http_net(struct http *h)
{
	return (struct stage_net){.ctx = h, .fill = fill, .ready = ready};
}

bool
http_answering(const struct http_request *r)
{
	return r->answering;
}

void
http_resume(struct http_request *r)
{
	if (!r->paused)
		return;
	r->paused = false;
	curl_easy_pause(r->easy, CURLPAUSE_CONT);
}

void
http_nudge(struct http *h)
{
	h->nudged = true;
}

void
http_watch(struct http *h, int fd, http_readable *readable, void *arg)
{
	h->watch.fd = fd;
	h->watch.place = POLLSET_MAX;
	h->watch.readable = readable;
	h->watch.arg = arg;
}

unsigned
http_active(const struct http *h)
{
	return h->active;
}

void
http_free(struct http *h)
{
	if (h == NULL)
		return;
	while (h->requests != NULL)
		http_cancel(h->requests);
	while (h->npool > 0)
		curl_easy_cleanup(h->pool[--h->npool]);
	curl_multi_cleanup(h->multi);
	free(h);
	curl_global_cleanup();
}

struct str
http_header(const struct http_reply *reply, const char *name)
{
	return http_header_in(reply->headers, name);
}

struct str
http_header_in(struct str headers, const char *name)
{
	struct str rest = headers, want = str_of(name);
	while (rest.n > 0) {
		struct str line = {rest.p, str_find(rest, '\n')};
		rest = str_skip(rest, line.n + 1);
		size_t colon = str_find(line, ':');
		if (colon < line.n && str_ieq((struct str){line.p, colon}, want))
			return str_trim(str_skip(line, colon + 1));
	}
	return STR_NONE;
}

int64_t
http_retry_after(const struct http_reply *reply)
{
	int64_t s;
	if (reply == NULL || !num_i64(http_header(reply, "retry-after"), &s) || s < 0)
		return 0;
	return SECONDS(s < 600 ? s : 600);
}
