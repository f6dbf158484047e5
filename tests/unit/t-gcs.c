/* gcs: uploads against a scripted service; what is sent is compared with a transcript. */
#include "gcs.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base64.h"
#include "clock.h"
#include "digest.h"
#include "log.h"
#include "num.h"
#include "tap.h"
#include "xalloc.h"

#define BIG 20000000 /* two chunks of 8 MiB, and 3,222,784 bytes more */

struct step {
	int status; /* 0: the connection is closed without a reply */
	const char *headers, *body; /* @PORT and @MD5 are filled in */
};

#define OBJECT "{\"kind\":\"storage#object\",\"generation\":\"1739020000000001\",\"md5Hash\":\"@MD5\"}"
#define ERROR "{\"error\":{\"code\":1,\"message\":\"as told\",\"errors\":[{\"reason\":\"because\"}]}}"

/* what the service answers */
#define OPENED {200, "Location: http://127.0.0.1:@PORT/session/1\r\n", NULL}
#define OPENED2 {200, "Location: http://127.0.0.1:@PORT/session/2\r\n", NULL}
#define KEPT(range) {308, "Range: " range "\r\n", NULL}
#define KEPT0 {308, NULL, NULL}
#define KEPT1 KEPT("bytes=0-8388607")
#define KEPT2 KEPT("bytes=0-16777215")
#define STORED {200, NULL, OBJECT}
#define GARBLED {200, NULL, "<html>"}
#define OTHER {200, NULL, "{\"generation\":\"1\",\"md5Hash\":\"AAAA\"}"}
#define FAIL(status) {status, NULL, ERROR}
/* On a connection that was used before, libcurl itself tries once more: a repeated chunk does no harm. */
#define CUT {0, NULL, NULL}, {0, NULL, NULL}

/* what it is sent */
#define SINGLE "POST /upload/storage/v1/b/bucket/o?uploadType=multipart&ifGenerationMatch=0 - 1315\n"
#define OPEN "POST /upload/storage/v1/b/bucket/o?uploadType=resumable&ifGenerationMatch=0 - 93\n"
#define PUT(session, range, size) "PUT /session/" session " bytes " range "/20000000 " size "\n"
#define CHUNK1 PUT("1", "0-8388607", "8388608")
#define CHUNK2 PUT("1", "8388608-16777215", "8388608")
#define CHUNK3 PUT("1", "16777216-19999999", "3222784")
#define ASK PUT("1", "*", "0")

#define NO "cannot store 'gs://bucket/a/b.json': "

/* ---- the service ---- */

struct peer {
	int fd, log;
	char md5[32];
	int port;
};

static void
fill_in(struct buf *out, const char *text, const struct peer *p)
{
	for (; *text != '\0'; text++) {
		if (strncmp(text, "@PORT", 5) == 0) {
			buf_addf(out, "%d", p->port);
			text += 4;
		} else if (strncmp(text, "@MD5", 4) == 0) {
			buf_addz(out, p->md5);
			text += 3;
		} else {
			buf_addc(out, *text);
		}
	}
}

static struct str
header(struct str head, const char *name)
{
	while (head.n > 0) {
		struct str l = {head.p, str_find(head, '\n')};
		head = str_skip(head, l.n + 1);
		size_t colon = str_find(l, ':');
		if (colon < l.n && str_ieq((struct str){l.p, colon}, str_of(name)))
			return str_trim(str_skip(l, colon + 1));
	}
	return STR_NONE;
}

/* One request: its first line, Content-Range and length of body into the log. false: the client has gone. */
static bool
read_request(const struct peer *p, int fd)
{
	static char head[65536], skip[65536];
	size_t n = 0;
	char *end;
	while ((head[n] = '\0', end = strstr(head, "\r\n\r\n")) == NULL) {
		ssize_t r = n < sizeof(head) - 1 ? read(fd, head + n, 1) : 0;
		if (r <= 0)
			return false;
		n++;
	}
	int64_t length = 0, got = 0;
	struct str all = {head, n}, range = header(all, "content-range");
	num_i64(header(all, "content-length"), &length);
	while (got < length) {
		int64_t left = length - got;
		ssize_t r = read(fd, skip, left < (int64_t)sizeof(skip) ? (size_t)left : sizeof(skip));
		if (r <= 0)
			return false;
		got += r;
	}
	size_t line = str_find(all, '\r') - strlen(" HTTP/1.1");
	if (range.n == 0)
		range = STR("-");
	dprintf(p->log, "%.*s %.*s %lld\n", (int)line, head, STR_ARG(range), (long long)length);
	return true;
}

static void
serve(const struct peer *p, const struct step *steps)
{
	int fd = -1;
	while (steps->status >= 0) {
		if (fd < 0)
			fd = accept(p->fd, NULL, NULL);
		if (!read_request(p, fd)) {
			close(fd);
			fd = -1;
			continue;
		}
		if (steps->status == 0) {
			close(fd);
			fd = -1;
			steps++;
			continue;
		}
		struct buf body = BUF_INIT(65536), out = BUF_INIT(65536);
		fill_in(&body, steps->body != NULL ? steps->body : "", p);
		buf_addf(&out, "HTTP/1.1 %d Scripted\r\nContent-Length: %zu\r\n", steps->status, body.n);
		fill_in(&out, steps->headers != NULL ? steps->headers : "", p);
		buf_addz(&out, "\r\n");
		buf_adds(&out, buf_str(&body));
		if (write(fd, out.p, out.n) < 0)
			_exit(1);
		buf_release(&body);
		buf_release(&out);
		steps++;
	}
	_exit(0);
}

/* ---- the client ---- */

struct content {
	size_t size, at;
};

static char
byte_at(size_t i)
{
	return (char)(i * 2654435761u >> 13);
}

static int
rewind_content(void *arg, struct err *e)
{
	struct content *c = arg;
	(void)e;
	c->at = 0;
	return 0;
}

static long
read_content(void *arg, char *p, size_t n, struct err *e)
{
	struct content *c = arg;
	(void)e;
	size_t left = c->size - c->at;
	n = n < left ? n : left;
	for (size_t i = 0; i < n; i++)
		p[i] = byte_at(c->at + i);
	c->at += n;
	return (long)n;
}

struct outcome {
	bool ended;
	struct buf text;
};

static void
on_done(void *arg, const struct gcs_stored *stored, const struct err *e)
{
	struct outcome *o = arg;
	o->ended = true;
	if (e != NULL)
		buf_addf(&o->text, "%d %s", err_status(e->class), e->text);
	else
		buf_addf(&o->text, "%s %s", stored->existed ? "existed" : "stored", stored->generation);
}

static void
run(struct gapi *g, struct http *http, const struct outcome *o)
{
	static struct pollset set;
	struct stage_net net = http_net(http);
	int64_t end = clock_now() + SECONDS(60);
	while (!o->ended && clock_now() < end) {
		set.n = 0;
		set.wake = gapi_turn(g, clock_now());
		net.fill(net.ctx, &set);
		int64_t left = set.wake == CLOCK_NEVER ? SECONDS(1) : set.wake - clock_now();
		poll(set.fds, set.n, left <= 0 ? 0 : (int)((left + 999) / 1000));
		net.ready(net.ctx, &set);
	}
}

static int
listen_on(struct peer *p)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(p->fd, (struct sockaddr *)&a, n) < 0 || listen(p->fd, 8) < 0 ||
	    getsockname(p->fd, (struct sockaddr *)&a, &n) < 0)
		return -1;
	p->port = ntohs(a.sin_port);
	return 0;
}

/* Uploads size bytes to a service that answers by the script. */
static void
scene(const char *name, size_t size, int64_t patience, const struct step *steps, const char *want,
    const char *transcript)
{
	struct content content = {.size = size};
	struct outcome o = {.text = BUF_INIT(4096)};
	struct buf sum = BUF_INIT(64), log = BUF_INIT(65536);
	struct gcs_object object = {.bucket = "bucket", .name = "a/b.json",
	    .content_type = "application/x-ndjson", .size = size, .rewind = rewind_content,
	    .read = read_content, .arg = &content};
	struct peer p;
	struct err e = {0};
	struct gapi g;
	char host[64], *all = xmalloc(size);
	int pipes[2];
	read_content(&content, all, size, &e);
	digest_of(DIGEST_MD5, (struct str){all, size}, object.md5);
	free(all);
	base64_encode(&sum, (struct str){(const char *)object.md5, 16});
	snprintf(p.md5, sizeof(p.md5), "%s", buf_cstr(&sum));
	if (pipe(pipes) < 0 || listen_on(&p) < 0)
		exit(1);
	p.log = pipes[1];
	pid_t parent = getpid(), child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			serve(&p, steps);
		_exit(1);
	}
	close(pipes[1]);
	close(p.fd);
	snprintf(host, sizeof(host), "127.0.0.1:%d", p.port);
	setenv("STORAGE_EMULATOR_HOST", host, 1);
	struct http *http = http_new();
	if (gcs_init(&g, http, NULL, patience, &e) < 0 || gcs_store(&g, &object, on_done, &o, &e) == NULL)
		exit(1);
	run(&g, http, &o);
	gapi_release(&g);
	http_free(http);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	for (ssize_t n = 1; n > 0;) {
		char *room = buf_room(&log, 4096);
		n = room != NULL ? read(pipes[0], room, 4096) : 0;
		buf_grew(&log, n > 0 ? (size_t)n : 0);
	}
	close(pipes[0]);
	if (!ok(str_starts(buf_str(&o.text), str_of(want)), "%s: %s", name, want))
		printf("# got: %s\n", buf_cstr(&o.text));
	if (transcript != NULL)
		is_str(buf_str(&log), transcript, "%s: what was sent", name);
	buf_release(&o.text);
	buf_release(&sum);
	buf_release(&log);
}

#define SCENE(name, size, patience, want, transcript, ...) \
	scene(name, size, patience, (const struct step[]){__VA_ARGS__, {-1, NULL, NULL}}, want, transcript)

static void
single(void)
{
	SCENE("one request", 1000, 0, "stored 1739020000000001", SINGLE, STORED);
	SCENE("it is there already", 1000, 0, "existed ", SINGLE, FAIL(412));
	SCENE("it comes again after a failure", 1000, 0, "stored", SINGLE SINGLE, FAIL(503), STORED);
	SCENE("a lost reply", 1000, 0, "existed", SINGLE SINGLE, {0, NULL, NULL}, FAIL(412));
	SCENE("a garbled reply", 1000, 0, "existed", SINGLE SINGLE, GARBLED, FAIL(412));
	SCENE("other bytes", 1000, 0, "69 " NO "the service holds other bytes than were sent (md5 AAAA", NULL,
	    OTHER);
	SCENE("a refusal", 1000, 0, "77 " NO "HTTP 403: as told (because)", NULL, FAIL(403));
	SCENE("no bucket", 1000, 0, "69 " NO "HTTP 404: as told", NULL, FAIL(404));
	SCENE("the end of patience", 1000, 1, "75 " NO "HTTP 503", NULL, FAIL(503), FAIL(503), FAIL(503), FAIL(503));
}

static void
resumable(void)
{
	SCENE("three chunks", BIG, 0, "stored", OPEN CHUNK1 CHUNK2 CHUNK3,
	    OPENED, KEPT1, KEPT2, STORED);
	SCENE("it is there already", BIG, 0, "existed", OPEN,
	    FAIL(412));
	SCENE("it is there at the end", BIG, 0, "existed", OPEN CHUNK1 CHUNK2 CHUNK3,
	    OPENED, KEPT1, KEPT2, FAIL(412));
	SCENE("less was kept", BIG, 0, "stored",
	    OPEN CHUNK1 PUT("1", "262144-8650751", "8388608") PUT("1", "8650752-17039359", "8388608")
	    PUT("1", "17039360-19999999", "2960640"),
	    OPENED, KEPT("bytes=0-262143"), KEPT("bytes=0-8650751"), KEPT("bytes=0-17039359"), STORED);
	SCENE("nothing was kept", BIG, 0, "stored", OPEN CHUNK1 ASK CHUNK1 CHUNK2 CHUNK3,
	    OPENED, KEPT0, KEPT0, KEPT1, KEPT2, STORED);
	SCENE("a failed chunk, kept by half", BIG, 0, "stored",
	    OPEN CHUNK1 CHUNK2 ASK PUT("1", "12582912-19999999", "7417088"),
	    OPENED, KEPT1, FAIL(503), KEPT("bytes=0-12582911"), STORED);
	SCENE("a cut connection, and a question that fails too", BIG, 0, "stored",
	    OPEN CHUNK1 CHUNK2 CHUNK2 ASK ASK CHUNK2 CHUNK3,
	    OPENED, KEPT1, CUT, FAIL(500), KEPT1, KEPT2, STORED);
	SCENE("the last reply is lost", BIG, 0, "stored", OPEN CHUNK1 CHUNK2 CHUNK3 CHUNK3 ASK,
	    OPENED, KEPT1, KEPT2, CUT, STORED);
	SCENE("the last reply is garbled", BIG, 0, "stored", OPEN CHUNK1 CHUNK2 CHUNK3 ASK,
	    OPENED, KEPT1, KEPT2, GARBLED, STORED);
	SCENE("all kept, and not finished", BIG, 0, "stored", OPEN CHUNK1 CHUNK2 CHUNK3 ASK,
	    OPENED, KEPT1, KEPT2, KEPT("bytes=0-19999999"), STORED);
}

static void
sessions(void)
{
	SCENE("the session is gone", BIG, 0, "stored",
	    OPEN CHUNK1 CHUNK2 OPEN PUT("2", "0-8388607", "8388608") PUT("2", "8388608-16777215", "8388608")
	    PUT("2", "16777216-19999999", "3222784"),
	    OPENED, KEPT1, FAIL(410), OPENED2, KEPT1, KEPT2, STORED);
	SCENE("it is gone when asked", BIG, 0, "existed", OPEN CHUNK1 ASK OPEN,
	    OPENED, FAIL(503), FAIL(404), FAIL(412));
	SCENE("no session", BIG, 0, "69 " NO "the service opened no upload session", OPEN,
	    {200, NULL, NULL});
	SCENE("a session elsewhere", BIG, 0, "69 " NO "the service wants the upload at an address", OPEN,
	    {200, "Location: http://127.0.0.1:@PORT.example.com/session\r\n", NULL});
	SCENE("more kept than sent", BIG, 0, "69 " NO "the service says it kept", OPEN CHUNK1,
	    OPENED, KEPT("bytes=0-99999999"));
	SCENE("a range that is none", BIG, 0, "69 " NO "the service says it kept", OPEN CHUNK1,
	    OPENED, KEPT("all of it"));
	SCENE("other bytes", BIG, 0, "69 " NO "the service holds other bytes", NULL,
	    OPENED, KEPT1, KEPT2, OTHER);
	SCENE("a refused chunk", BIG, 0, "77 " NO "HTTP 403", OPEN CHUNK1,
	    OPENED, FAIL(403));
	SCENE("a token that ends for good", BIG, 0, "77 " NO "HTTP 401", OPEN CHUNK1 ASK CHUNK1,
	    OPENED, FAIL(401), KEPT0, FAIL(401));
	SCENE("the end of patience", BIG, 1, "75 " NO "HTTP 503: as told (because); gave up after 1 tries", OPEN CHUNK1,
	    OPENED, {503, "Retry-After: 1\r\n", ERROR});
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_init("t-gcs");
	log_set(LOG_ERROR, false);
	single();
	resumable();
	sessions();
	return done();
}
