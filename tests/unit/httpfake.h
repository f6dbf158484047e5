/*
 * httpfake: a child process that answers HTTP requests on 127.0.0.1 out of a table, one at a time, and lists
 * what it was asked: a line "METHOD PATH?QUERY" each, and below it the headers, in a file.
 */
#ifndef TESTS_HTTPFAKE_H
#define TESTS_HTTPFAKE_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "http.h"
#include "xalloc.h"

struct fake_answer {
	const char *request; /* "GET /path": a prefix of the request's first line */
	int times;           /* so often, then the next that fits; 0: always */
	int status;
	const char *headers; /* "Name: value\r\n" lines; may be NULL */
	const char *body;
	long cut;            /* > 0: the connection ends after so many bytes of the body */
};

struct fake {
	pid_t pid;
	int port;
	char seen[64]; /* the file's path */
};

static inline void
fake_answer(int fd, const struct fake_answer *a)
{
	char head[2048];
	size_t n = strlen(a->body), send_n = a->cut > 0 && (size_t)a->cut < n ? (size_t)a->cut : n;
	int h = snprintf(head, sizeof(head),
	    "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n", a->status, n,
	    a->headers != NULL ? a->headers : "");
	(void)!send(fd, head, (size_t)h, MSG_NOSIGNAL);
	(void)!send(fd, a->body, send_n, MSG_NOSIGNAL);
}

static inline void
fake_serve(int listener, const struct fake_answer *table, int seen)
{
	static const struct fake_answer none = {.status = 404, .body = "nothing here"};
	int used[64] = {0};
	for (;;) {
		char in[16384];
		size_t n = 0;
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			_exit(1);
		while (n < sizeof(in) - 1) {
			ssize_t got = read(fd, in + n, sizeof(in) - 1 - n);
			n += got > 0 ? (size_t)got : 0;
			in[n] = '\0';
			if (got <= 0 || strstr(in, "\r\n\r\n") != NULL)
				break;
		}
		(void)!write(seen, in, n);
		const struct fake_answer *with = &none;
		for (int i = 0; table[i].request != NULL; i++) {
			if (strncmp(in, table[i].request, strlen(table[i].request)) == 0 &&
			    (table[i].times == 0 || used[i] < table[i].times)) {
				used[i]++;
				with = &table[i];
				break;
			}
		}
		fake_answer(fd, with);
		shutdown(fd, SHUT_WR);
		while (read(fd, in, sizeof(in)) > 0)
			;
		close(fd);
	}
}

static inline void
fake_start(struct fake *f, const struct fake_answer *table)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(f->seen, sizeof(f->seen), "/tmp/evpipe-fake-XXXXXX");
	int seen = mkstemp(f->seen);
	if (seen < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 16) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		abort();
	f->port = ntohs(at.sin_port);
	fflush(stdout);
	pid_t parent = getpid();
	f->pid = fork();
	if (f->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		fake_serve(fd, table, seen);
	}
	close(fd);
	close(seen);
}

/* What it was asked so far, to be freed. */
static inline char *
fake_seen(const struct fake *f)
{
	char *text = xcalloc(1, 1 << 20);
	int fd = open(f->seen, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!read(fd, text, (1 << 20) - 1);
		close(fd);
	}
	return text;
}

static inline void
fake_stop(struct fake *f)
{
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	unlink(f->seen);
}

/* One turn of the network, waiting at most until `until` (monotonic). */
static inline void
net_turn(struct http *h, int64_t until)
{
	static struct pollset set;
	struct stage_net net = http_net(h);
	set.n = 0;
	set.wake = until;
	net.fill(net.ctx, &set);
	int64_t left = set.wake == CLOCK_NEVER ? SECONDS(1) : set.wake - clock_now();
	poll(set.fds, set.n, left <= 0 ? 0 : left > SECONDS(1) ? 1000 : (int)((left + 999) / 1000));
	net.ready(net.ctx, &set);
}

#endif
