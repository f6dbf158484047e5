/*
 * io: descriptors without surprises. No function sets O_NONBLOCK on a descriptor it did not open: that flag
 * is shared with other processes.
 */
#ifndef EVPIPE_IO_H
#define EVPIPE_IO_H

#include <sys/types.h>

#include "buf.h"
#include "err.h"

/*
 * Writes what fits into fd now: for a descriptor that poll(2) reported writable. Never blocks on a pipe.
 * Returns bytes written (0: none fits), or -1 with e filled; name is what messages call it.
 * whole > 0: writes are of at most `whole` bytes (PIPE_BUF keeps lines of several writers apart).
 */
ssize_t io_write_some(int fd, const char *p, size_t n, size_t whole, const char *name, struct err *e);
/* Writes all, waiting as it must. */
int io_write_all(int fd, struct str s, const char *name, struct err *e);
/* Reads a whole file of at most max bytes into out. A missing file is ERR_NOINPUT. */
int io_read_file(const char *path, size_t max, struct buf *out, struct err *e);
/* Warns where a file that holds secrets can be read or changed by others. */
void io_warn_of_readers(const char *path);
/*
 * Opens where a tool writes: "fd:N" (already open), "-" (standard output), or a path: opening a FIFO waits for its
 * reader as usual, a file is created (0666) and appended to. Close-on-exec. -1 with e filled.
 */
int io_open_output(const char *where, struct err *e);
/* true where fd is open */
bool io_is_open(int fd);
/* Fills closed descriptors 0-2 with /dev/null so that nothing opened later lands on them; tells which were closed. */
unsigned io_guard_std(void);

#endif
