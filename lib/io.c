#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"
#include "num.h"

static int
write_failed(const char *name, int cause, struct err *e)
{
	if (cause == EPIPE)
		return err_set(e, ERR_IO, "cannot write '%s': its reader has gone (broken pipe)", name);
	return err_set(e, ERR_IO, "cannot write '%s': %s", name, strerror(cause));
}

/*
 * A pipe that polls writable has PIPE_BUF free, so that much never blocks. More goes with RWF_NOWAIT, where the
 * kernel has it for pipes (Linux 6.4); elsewhere it says EOPNOTSUPP.
 */
ssize_t
io_write_some(int fd, const char *p, size_t n, size_t whole, const char *name, struct err *e)
{
	size_t most = whole > 0 ? whole : PIPE_BUF;
	if (n > most && whole == 0) {
		struct iovec v = {(void *)(uintptr_t)p, n};
		ssize_t sent = pwritev2(fd, &v, 1, -1, RWF_NOWAIT);
		if (sent >= 0)
			return sent;
		if (errno == EINTR)
			return 0;
		/* Some file systems never write without waiting (EAGAIN); PIPE_BUF bytes fit wherever poll said so. */
		if (errno != EAGAIN && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
			return write_failed(name, errno, e);
	}
	ssize_t sent = write(fd, p, n < most ? n : most);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return write_failed(name, errno, e);
}

int
io_write_all(int fd, struct str s, const char *name, struct err *e)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		else if (n < 0 && errno != EINTR)
			return write_failed(name, errno, e);
		if (n > 0)
			s = str_skip(s, (size_t)n);
	}
	return 0;
}

int
io_read_file(const char *path, size_t max, struct buf *out, struct err *e)
{
	int rc = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOINPUT : ERR_IO, "cannot read '%s': %s", path, strerror(errno));
	for (;;) {
		char part[16384];
		ssize_t n = read(fd, part, sizeof(part));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_set(e, ERR_IO, "cannot read '%s': %s", path, strerror(errno));
			goto out;
		}
		if (n == 0)
			break;
		if (out->n + (size_t)n > max) {
			err_set(e, ERR_INPUT, "cannot read '%s': it is larger than %zu bytes", path, max);
			goto out;
		}
		buf_add(out, part, (size_t)n);
	}
	rc = 0;
out:
	close(fd);
	return rc;
}

int
io_open_output(const char *where, struct err *e)
{
	struct str s = str_of(where);
	int64_t n;
	if (str_is(s, "-"))
		return STDOUT_FILENO;
	if (str_starts(s, STR("fd:"))) {
		if (!num_i64(str_skip(s, 3), &n) || n < 0 || n > INT_MAX)
			return err_set(e, ERR_USAGE, "cannot write '%s': fd: wants a descriptor's number", where);
		if (!io_is_open((int)n))
			return err_set(e, ERR_USAGE, "cannot write '%s': that descriptor is not open", where);
		return (int)n;
	}
	struct stat st;
	bool fifo = stat(where, &st) == 0 && S_ISFIFO(st.st_mode);
	int flags = fifo ? O_WRONLY : O_WRONLY | O_CREAT | O_APPEND;
	int fd = open(where, flags | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_set(e, ERR_IO, "cannot open '%s' for writing: %s", where, strerror(errno));
	return fd;
}

void
io_warn_of_readers(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return;
	/* A file that is another's is shared with us by its group: that is how a secret gets into a container. */
	mode_t wrong = S_IROTH | S_IWOTH | S_IWGRP | (st.st_uid == geteuid() ? S_IRGRP : 0);
	if (st.st_mode & wrong)
		log_warn("the credentials in '%s' can be read or changed by others (mode %03o); do: chmod 600 '%s'",
		    path, (unsigned)(st.st_mode & 0777), path);
}

bool
io_is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

unsigned
io_guard_std(void)
{
	unsigned closed = 0;
	for (int fd = 0; fd <= 2; fd++) {
		if (io_is_open(fd))
			continue;
		closed |= 1u << fd;
		/* The lowest free number is this one, since those below are open by now. */
		if (open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
			_exit(74);
	}
	return closed;
}
