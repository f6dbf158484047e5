/*
 * err: what went wrong, in words a person can act on, and which kind of wrong it is.
 *
 * A library function that fails returns -1 and fills a struct err its caller owns. The text reads
 * "cannot VERB 'OBJECT': CAUSE", lower case, no newline; the program name comes from log. Only cmd/
 * turns an error into an exit status.
 */
#ifndef EVPIPE_ERR_H
#define EVPIPE_ERR_H

enum err_class {
	ERR_NONE,
	ERR_USAGE,     /* the command line makes no sense: exit 64 */
	ERR_INPUT,     /* the data that came in is not what was promised: 65 */
	ERR_NOINPUT,   /* what should be read is not there: 66 */
	ERR_PERMANENT, /* the service refused for good: 69 */
	ERR_BUG,       /* an invariant of ours broke: 70 */
	ERR_IO,        /* a descriptor or file failed: 74 */
	ERR_TRANSIENT, /* try again later: 75 */
	ERR_QUOTA,     /* as transient, but slowly and with a warning: 75 */
	ERR_AUTH,      /* not authorised: 77 */
	ERR_CONFIG,    /* a file of settings or the set-up is wrong: 78 */
};

#define ERR_TEXT_MAX 1024

struct err {
	enum err_class class;
	char text[ERR_TEXT_MAX]; /* cut at a character boundary when longer */
};

/* Fills e (which may be NULL) and returns -1, so that "return err_set(...)" reads well. */
int err_set(struct err *e, enum err_class class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts words in front of e's text: "CONTEXT: TEXT". Returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The exit status of sysexits.h for a class; 0 for ERR_NONE. */
int err_status(enum err_class class);

#endif
