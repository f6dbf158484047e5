/*
 * log: messages for people on standard error, one write each: "prog: text", or a JSON object a line for
 * machines. Field values of events and secrets never go in here.
 */
#ifndef EVPIPE_LOG_H
#define EVPIPE_LOG_H

#include <stdbool.h>

#include "err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* prog is kept, not copied. Messages above level are dropped; the start is LOG_INFO and text. */
/* Where EVPIPE_PROGRESS is set, as scripts/backfill does, a message to a terminal first clears the line that it is on. */
void log_init(const char *prog);
void log_set(enum log_level level, bool json);
const char *log_prog(void);
enum log_level log_level(void);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Logs e as an error and returns its exit status. */
int log_fail(const struct err *e);

#endif
