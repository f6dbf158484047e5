/* An object's bytes as they come. Of what is fetched over the network a little waits in memory, the rest at its sender. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "read.h"
#include "xalloc.h"

#define PIECE (256 * KIB)

static void
failed(struct feed *f, int cause)
{
	f->ended = true;
	err_set(&f->err, cause == ENOENT ? ERR_NOINPUT : cause == EACCES || cause == EPERM ? ERR_AUTH : ERR_IO,
	    "cannot read '%s': %s", f->o->url, strerror(cause));
}

static void
changed(struct feed *f)
{
	f->ended = true;
	err_set(&f->err, ERR_TRANSIENT, "cannot read '%s': it changed while it was being read; it is read as it is now by the "
	    "next run", f->o->url);
}

/* Opened without waiting for a FIFO's writer; the flag is on a descriptor of our own. */
static void
open_file(struct feed *f)
{
	struct stat st;
	bool std = f->o->place == PLACE_STDIN;
	f->fd = std ? STDIN_FILENO : open(f->o->url, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (f->fd < 0 || fstat(f->fd, &st) < 0) {
		failed(f, errno);
		return;
	}
	f->regular = S_ISREG(st.st_mode);
	f->inode = (long long)st.st_ino;
	f->mtime = (long long)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	f->size = (long long)st.st_size;
	if (std || !f->regular)
		return;
	posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	char *generation = file_generation(&st);
	if (strcmp(generation, f->o->generation) != 0)
		changed(f);
	free(generation);
}

static bool
same_file(const struct feed *f)
{
	struct stat st;
	return fstat(f->fd, &st) == 0 && f->inode == (long long)st.st_ino && f->size == (long long)st.st_size &&
	    f->mtime == (long long)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

static bool
on_data(void *arg, struct str piece)
{
	struct feed *f = arg;
	size_t waits = f->raw.n - f->used;
	if (waits > 0 && waits + piece.n > FEED_MAX) {
		f->paused = true;
		return false;
	}
	if (waits == 0 || f->used > FEED_MAX / 2) {
		buf_consume(&f->raw, f->used);
		f->used = 0;
	}
	buf_adds(&f->raw, piece);
	return true;
}

static void
on_end(void *arg, const struct err *e)
{
	struct feed *f = arg;
	f->gcs = NULL;
	f->s3 = NULL;
	f->ended = true;
	if (e != NULL)
		f->err = *e;
}

static void
open_remote(struct feed *f)
{
	struct str s = str_skip(str_of(f->o->url), 5);
	size_t n = str_find(s, '/');
	char *bucket = str_dup((struct str){s.p, n});
	struct gcs_item item = {.name = str_skip(s, n + 1), .generation = str_of(f->o->generation),
	    .crc32c = str_of(f->o->crc32c), .size = (int64_t)f->o->size};
	if (f->o->place == PLACE_S3)
		f->s3 = s3_read_start(&f->r->s3, bucket, &item, on_data, on_end, f);
	else
		f->gcs = gcs_read_start(&f->r->gcs, bucket, &item, on_data, on_end, f);
	free(bucket);
}

void
feed_start(struct read *r, struct object *o)
{
	struct feed *f = xcalloc(1, sizeof(*f));
	*f = (struct feed){.r = r, .o = o, .fd = -1};
	buf_init(&f->raw, 4 * FEED_MAX);
	o->feed = f;
	if (!object_remote(o))
		open_file(f);
	else if (o->size == 0)
		f->ended = true;
	else
		open_remote(f);
}

/* A pipe is read only when poll said that something is there: reading it must not wait. */
static void
fill(struct feed *f)
{
	if (!f->regular) {
		f->r->pipe_fd = f->fd;
		if (!f->r->pipe_ready)
			return;
		f->r->pipe_ready = false;
	}
	buf_reset(&f->raw, FEED_MAX);
	f->used = 0;
	ssize_t n = read(f->fd, buf_room(&f->raw, PIECE), PIECE);
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		failed(f, errno);
	if (n > 0)
		buf_grew(&f->raw, (size_t)n);
	if (n != 0)
		return;
	f->ended = true;
	if (f->regular && f->o->place == PLACE_FILE && !same_file(f))
		changed(f);
}

struct str
feed_bytes(struct feed *f)
{
	if (f->used == f->raw.n && !f->ended && !object_remote(f->o))
		fill(f);
	if (f->paused && f->raw.n - f->used <= FEED_MAX / 2) {
		f->paused = false;
		if (f->s3 != NULL)
			s3_read_resume(f->s3);
		else if (f->gcs != NULL)
			gcs_read_resume(f->gcs);
	}
	return str_skip(buf_str(&f->raw), f->used);
}

void
feed_use(struct feed *f, size_t n)
{
	f->used += n;
	f->r->taken += n;
	f->r->bytes += n;
}

void
feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	gcs_read_cancel(f->gcs);
	s3_read_cancel(f->s3);
	if (f->fd >= 0 && f->fd == f->r->pipe_fd)
		f->r->pipe_fd = -1;
	if (f->fd >= 0 && f->fd != STDIN_FILENO)
		close(f->fd);
	buf_release(&f->raw);
	free(f);
}
