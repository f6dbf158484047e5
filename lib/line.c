#include "line.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"

#define FILL (256 * KIB)

void
line_init(struct line_reader *r, int fd, const char *name, size_t max)
{
	*r = (struct line_reader){.fd = fd, .name = name, .max = max};
	buf_init(&r->buf, max + LIMIT_LONG_LINE_KEPT + 2 * FILL);
	/* A pipe that holds as much as one read takes: its ends wake each other a quarter as often. It may be refused. */
	if (fcntl(fd, F_GETPIPE_SZ) < (int)FILL)
		fcntl(fd, F_SETPIPE_SZ, (int)FILL);
}

int
line_fill(struct line_reader *r, struct err *e)
{
	if (r->start > 0) {
		buf_consume(&r->buf, r->start);
		r->start = 0;
		/* A big line's memory is not kept for the small ones that follow. */
		if (r->buf.n == 0)
			buf_reset(&r->buf, 2 * FILL);
	}
	char *to = buf_room(&r->buf, FILL);
	if (to == NULL)
		return err_set(e, ERR_BUG, "cannot read '%s': %zu bytes of it wait to be taken", r->name, r->buf.n);
	ssize_t n = read(r->fd, to, FILL);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (n < 0)
		return err_set(e, ERR_IO, "cannot read '%s': %s", r->name, strerror(errno));
	buf_grew(&r->buf, (size_t)n);
	r->eof = n == 0;
	return n > 0;
}

/* Of a line past max only the start is kept; the rest is counted and dropped as it comes. */
static void
drop_excess(struct line_reader *r)
{
	size_t have = r->buf.n - r->start;
	if (have > LIMIT_LONG_LINE_KEPT) {
		r->skipped += have - LIMIT_LONG_LINE_KEPT;
		r->buf.n = r->start + LIMIT_LONG_LINE_KEPT;
	}
	r->scanned = r->buf.n - r->start;
}

static bool
hand_out(struct line_reader *r, struct line *out, size_t n, bool torn)
{
	struct str text = {r->buf.p + r->start, n};
	r->start += torn ? n : n + 1;
	r->lines++;
	*out = (struct line){.text = text, .number = r->lines, .length = n + r->skipped, .torn = torn};
	if (out->length > r->max && text.n > LIMIT_LONG_LINE_KEPT)
		out->text.n = LIMIT_LONG_LINE_KEPT;
	r->scanned = r->skipped = 0;
	return true;
}

bool
line_next(struct line_reader *r, struct line *out)
{
	size_t have = r->buf.n - r->start;
	if (have > r->scanned) {
		const char *from = r->buf.p + r->start + r->scanned;
		const char *newline = memchr(from, '\n', have - r->scanned);
		if (newline != NULL)
			return hand_out(r, out, (size_t)(newline - (r->buf.p + r->start)), false);
		r->scanned = have;
	}
	if (have > r->max || r->skipped > 0)
		drop_excess(r);
	if (r->eof && (have > 0 || r->skipped > 0))
		return hand_out(r, out, r->buf.n - r->start, true);
	return false;
}

void
line_release(struct line_reader *r)
{
	buf_release(&r->buf);
}
