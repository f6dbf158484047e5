#include "sink.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "bounds.h"

/* What can wait at most: the stages stop near LIMIT_OUTPUT, but one reply or one line may be large. */
#define SINK_MAX (512 * MIB)

void
sink_init(struct sink *s, int fd, const char *name, bool shared)
{
	struct stat st;
	*s = (struct sink){.fd = fd, .name = name, .shared = shared};
	s->regular = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	buf_init(&s->buf, SINK_MAX);
}

struct buf *
sink_buf(struct sink *s)
{
	if (s->sent > 0 && s->sent >= s->buf.n / 2) {
		buf_consume(&s->buf, s->sent);
		s->sent = 0;
	}
	return &s->buf;
}

void
sink_commit(struct sink *s)
{
	buf_addc(&s->buf, '\n');
	s->lines++;
	if (s->fd < 0)
		buf_reset(&s->buf, LIMIT_OUTPUT);
}

void
sink_line(struct sink *s, struct str line)
{
	buf_adds(sink_buf(s), line);
	sink_commit(s);
}

size_t
sink_pending(const struct sink *s)
{
	return s->buf.n - s->sent;
}

/* As many whole lines as one atomic write takes; a single longer line goes by itself. */
static size_t
whole_lines(struct str s)
{
	if (s.n <= PIPE_BUF)
		return s.n;
	const char *end = memrchr(s.p, '\n', PIPE_BUF);
	return end != NULL ? (size_t)(end - s.p) + 1 : str_find(s, '\n') + 1;
}

int
sink_flush(struct sink *s, struct err *e)
{
	if (s->buf.over)
		return err_set(e, ERR_BUG, "cannot hold output for '%s': more than %llu bytes wait", s->name,
		    (unsigned long long)SINK_MAX);
	struct str rest = str_skip(buf_str(&s->buf), s->sent);
	if (rest.n == 0)
		return 0;
	/* A file takes all at once; anything else PIPE_BUF bytes, or what it has room for. */
	size_t whole = s->shared ? whole_lines(rest) : s->regular ? rest.n : 0;
	ssize_t n = io_write_some(s->fd, rest.p, s->shared ? whole : rest.n, whole, s->name, e);
	if (n < 0)
		return -1;
	s->sent += (size_t)n;
	s->bytes += (uint64_t)n;
	if (s->sent == s->buf.n) {
		s->sent = 0;
		/* It holds as much again as is sent, and grows by half: what it comes to on its own is kept. */
		buf_reset(&s->buf, 3 * LIMIT_OUTPUT);
	}
	return 0;
}

void
sink_release(struct sink *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->sent = 0;
	buf_release(&s->buf);
}
