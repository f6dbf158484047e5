/*
 * notify: tells the service manager that a tool is ready, and then that it is alive: sd_notify(3)'s protocol (READY=1,
 * WATCHDOG=1 to $NOTIFY_SOCKET, every half $WATCHDOG_USEC) without its library. Without a manager nothing happens; one that
 * cannot be told is warned of.
 */
#ifndef EVPIPE_NOTIFY_H
#define EVPIPE_NOTIFY_H

#include <stdint.h>

struct notify {
	int fd;        /* -1: nobody listens */
	int64_t every; /* microseconds between two signs of life; CLOCK_NEVER: none are wanted */
	int64_t next;  /* monotonic: when the next is due */
};

/* Says READY=1. */
void notify_ready(struct notify *n, int64_t now);
/* To be called once a turn, at n->next at the latest. */
void notify_alive(struct notify *n, int64_t now);
void notify_release(struct notify *n);

#endif
