#include "notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "num.h"

/* "/path", or "@name" in the abstract space. */
static int
open_socket(const char *where)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t n = strlen(where);
	if ((where[0] != '/' && where[0] != '@') || n >= sizeof(to.sun_path)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(to.sun_path, where, n);
	if (where[0] == '@')
		to.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
		int cause = errno;
		close(fd);
		errno = cause;
		return -1;
	}
	return fd;
}

static void
tell(struct notify *n, const char *what, int flags)
{
	if (send(n->fd, what, strlen(what), MSG_NOSIGNAL | flags) < 0 && errno != EAGAIN)
		log_warn("cannot tell the service manager '%s': %s", what, strerror(errno));
}

/* $WATCHDOG_PID: the process that is watched, where it is not whoever hears of it. */
static bool
is_watched(int64_t *usec)
{
	int64_t pid;
	return num_i64(str_of(getenv("WATCHDOG_USEC")), usec) && *usec > 0 &&
	    (!num_i64(str_of(getenv("WATCHDOG_PID")), &pid) || pid == getpid());
}

void
notify_ready(struct notify *n, int64_t now)
{
	const char *where = getenv("NOTIFY_SOCKET");
	int64_t usec;
	*n = (struct notify){.fd = -1, .every = CLOCK_NEVER, .next = CLOCK_NEVER};
	if (where == NULL || *where == '\0')
		return;
	n->fd = open_socket(where);
	if (n->fd < 0) {
		log_warn("cannot reach the service manager at '%s': %s", where, strerror(errno));
		return;
	}
	tell(n, "READY=1", 0);
	if (is_watched(&usec)) {
		n->every = usec / 2;
		n->next = now;
	}
}

void
notify_alive(struct notify *n, int64_t now)
{
	if (now < n->next)
		return;
	/* A manager that is busy hears of us next time; we do not wait for it. */
	tell(n, "WATCHDOG=1", MSG_DONTWAIT);
	n->next = now + n->every;
}

void
notify_release(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}
