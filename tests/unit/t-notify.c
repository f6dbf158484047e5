/* notify: the words that a service manager waits for, and when they come. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "notify.h"
#include "tap.h"

static int manager;

/* What the manager has heard since it was last asked. */
static const char *
heard(void)
{
	static char words[100];
	ssize_t n = recv(manager, words, sizeof(words) - 1, MSG_DONTWAIT);
	words[n > 0 ? n : 0] = '\0';
	return words;
}

static void
set(const char *socket_name, const char *usec, long pid)
{
	char text[24];
	snprintf(text, sizeof(text), "%ld", pid);
	setenv("NOTIFY_SOCKET", socket_name, 1);
	setenv("WATCHDOG_USEC", usec, 1);
	setenv("WATCHDOG_PID", text, 1);
}

static void
listen_at(const char *name)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", name);
	if (at.sun_path[0] == '@')
		at.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM, 0);
	ok(bind(manager, (struct sockaddr *)&at, (socklen_t)(sizeof(at.sun_family) + strlen(name))) == 0, "a manager at %s", name);
}

int
main(void)
{
	struct notify n;
	char path[64], name[64];
	snprintf(path, sizeof(path), "/tmp/t-notify.%ld", (long)getpid());
	snprintf(name, sizeof(name), "@t-notify.%ld", (long)getpid());

	notify_ready(&n, 0);
	ok(n.fd == -1 && n.next == CLOCK_NEVER, "nobody listens: nothing is due");
	notify_alive(&n, SECONDS(1000));
	notify_release(&n);

	listen_at(path);
	set(path, "2000000", (long)getpid());
	notify_ready(&n, 0);
	is_str(str_of(heard()), "READY=1", "ready");
	notify_alive(&n, 0);
	is_str(str_of(heard()), "WATCHDOG=1", "alive at once");
	notify_alive(&n, SECONDS(1) - 1);
	is_str(str_of(heard()), "", "not before half of the watchdog's time");
	notify_alive(&n, SECONDS(1));
	is_str(str_of(heard()), "WATCHDOG=1", "and then");
	ok(n.next == SECONDS(2), "the next is due as late again");
	notify_release(&n);

	set(path, "2000000", (long)getpid() + 1);
	notify_ready(&n, 0);
	is_str(str_of(heard()), "READY=1", "another process is watched: ready");
	ok(n.next == CLOCK_NEVER, "and no sign of life");
	notify_release(&n);
	close(manager);
	unlink(path);

	notify_ready(&n, 0);
	ok(n.fd == -1, "a manager that has gone is no failure");

	listen_at(name);
	set(name, "nonsense", (long)getpid());
	notify_ready(&n, 0);
	is_str(str_of(heard()), "READY=1", "an abstract name");
	ok(n.next == CLOCK_NEVER, "a watchdog that cannot be read is none");
	notify_release(&n);
	return done();
}
