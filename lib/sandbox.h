/*
 * sandbox: what a process gives up for good, so that a fault in it, or in a library it uses, is worth little to whoever
 * sends the input. Both ways are the kernel's own, need no privileges, and are inherited by children. Where the kernel has
 * them not (or under valgrind and in builds with sanitizers, which need more than the program does), nothing happens but a
 * debug message, and false is returned; it is never an error.
 *
 * Builds that write files of their own at the end (coverage) define EVPIPE_UNCONFINED.
 */
#ifndef EVPIPE_SANDBOX_H
#define EVPIPE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

/* No program that is run from here on has more rights than we (set-user-id, file capabilities). */
void sandbox_privileges(void);

/* This process holds secrets: it writes no core file, and no other one of its user may trace it. */
void sandbox_secrets(void);

/*
 * From here on only what a filter between open descriptors needs: read, write, wait, the clock, memory that holds no code,
 * signal handling, the end. Any other system call ends the process with SIGSYS, so that it is seen. x86-64 and aarch64.
 */
bool sandbox_filter(void);

struct sandbox_path {
	const char *path; /* what is not there is passed over; NULL too */
	bool around;      /* the folder that it is in, for a file that others replace: that of a symbolic link and of its target */
	bool writes;      /* files there may also be made, written and removed */
};

/*
 * From here on only these files and folders can be opened (descriptors that are open stay so), nothing can be run, no TCP
 * port bound, and no process outside signalled or traced [landlock(7)]. Threads that run already are not confined.
 */
bool sandbox_files(const struct sandbox_path *paths, size_t n);

#endif
