/* line, sink: whole lines in, whole lines out, nothing beyond the caps. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "line.h"
#include "sink.h"
#include "tap.h"
#include "xalloc.h"

/* A descriptor that reads this text. */
static int
file_of(struct str text)
{
	char path[] = "/tmp/t-line.XXXXXX";
	int fd = mkstemp(path);
	unlink(path);
	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n || lseek(fd, 0, SEEK_SET) != 0)
		exit(74);
	return fd;
}

static bool
next(struct line_reader *r, struct line *l)
{
	struct err e;
	while (!line_next(r, l)) {
		if (r->eof || line_fill(r, &e) < 0)
			return r->eof && line_next(r, l);
	}
	return true;
}

static void
test_lines(void)
{
	struct line_reader r;
	struct line l;
	line_init(&r, file_of(STR("one\n\ntwo\0half\nlast")), "t", 100);
	ok(next(&r, &l) && str_is(l.text, "one") && l.number == 1 && !l.torn, "the first line");
	ok(next(&r, &l) && l.text.n == 0 && l.number == 2, "an empty line is a line");
	ok(next(&r, &l) && l.text.n == 8, "a NUL is a byte like others");
	ok(next(&r, &l) && str_is(l.text, "last") && l.torn, "the last one is torn");
	ok(!next(&r, &l), "then there are no more");
	close(r.fd);
	line_release(&r);
}

static void
test_line_over_cap(void)
{
	size_t n = 300 * KIB;
	char *text = xmalloc(n + 10);
	struct line_reader r;
	struct line l;
	memset(text, 'x', n);
	memcpy(text + n, "\nafter\n", 7);
	line_init(&r, file_of((struct str){text, n + 7}), "t", 200 * KIB);
	ok(next(&r, &l) && l.length == n && l.text.n == LIMIT_LONG_LINE_KEPT,
	    "of a line over the cap the start is kept, and its length told");
	ok(next(&r, &l) && str_is(l.text, "after") && l.length == 5 && l.number == 2, "the next line is whole");
	close(r.fd);
	line_release(&r);
	text[n] = 'x';
	line_init(&r, file_of((struct str){text, n + 1}), "t", 200 * KIB);
	ok(next(&r, &l) && l.length == n + 1 && l.torn && l.text.n == LIMIT_LONG_LINE_KEPT, "one over the cap may be torn too");
	close(r.fd);
	line_release(&r);
	line_init(&r, file_of((struct str){text, 200 * KIB}), "t", 200 * KIB);
	ok(next(&r, &l) && l.length == 200 * KIB && l.text.n == l.length, "a line of just the cap is whole");
	close(r.fd);
	line_release(&r);
	free(text);
}

static void
test_receipts_stay_whole(void)
{
	int fds[2];
	struct sink s;
	struct err e;
	char line[101], got[65536];
	bool good = true;
	size_t writes = 0;
	if (pipe2(fds, O_DIRECT) < 0) /* packets: each write(2) comes out by itself */
		exit(74);
	sink_init(&s, fds[1], "t", true);
	memset(line, 'r', 100);
	for (int i = 0; i < 200; i++)
		sink_line(&s, (struct str){line, 100});
	while (sink_pending(&s) > 0 && writes++ < 1000) {
		good = good && sink_flush(&s, &e) == 0;
		ssize_t n = read(fds[0], got, sizeof(got));
		good = good && n > 0 && n <= PIPE_BUF && got[n - 1] == '\n';
	}
	ok(good, "receipts go out in whole lines of at most PIPE_BUF bytes a write");
	ok(writes < 10, "and many at a time (%zu writes)", writes);
	sink_release(&s);
	close(fds[0]);
}

static void
test_no_blocking(void)
{
	int fds[2];
	struct sink s;
	struct err e;
	if (pipe(fds) < 0)
		exit(74);
	sink_init(&s, fds[1], "t", false);
	char *big = xmalloc(1 * MIB);
	memset(big, 'b', 1 * MIB);
	sink_line(&s, (struct str){big, 1 * MIB});
	struct pollfd p = {.fd = fds[1], .events = POLLOUT};
	while (poll(&p, 1, 0) == 1 && p.revents & POLLOUT && sink_flush(&s, &e) == 0)
		continue;
	ok(sink_pending(&s) > 0, "a full pipe is not waited for");
	ok(!(fcntl(fds[1], F_GETFL) & O_NONBLOCK), "and O_NONBLOCK is not set on it");
	close(fds[0]);
	ok(sink_flush(&s, &e) < 0 && e.class == ERR_IO, "a reader that left is an error");
	sink_release(&s);
	is_int((long long)sink_pending(&s), 0, "nothing waits in a sink that was released half written");
	free(big);
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_lines();
	test_line_over_cap();
	test_receipts_stay_whole();
	test_no_blocking();
	return done();
}
