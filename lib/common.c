#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "log.h"

/* The table is made once a process; its fields point into *c. */
const struct opt *
common_options(struct common *c, bool network)
{
	static struct opt table[12];
	struct opt *o = table;
	if (network) {
		*o++ = (struct opt){"project", 0, OPT_STR, &c->project, "P", "the project of short names",
		    .env = "GOOGLE_CLOUD_PROJECT"};
		*o++ = (struct opt){"credentials", 0, OPT_STR, &c->login.credentials, "FILE",
		    "a key or other credentials; without it those of gcloud or this machine"};
		*o++ = (struct opt){"access-token-file", 0, OPT_STR, &c->login.access_token_file, "FILE",
		    "read the OAuth2 access token from FILE"};
		*o++ = (struct opt){"retry-for", 0, OPT_SECONDS, &c->retry_for, "SECONDS",
		    "give up (75) when a request failed this long; 0: never"};
	}
	*o++ = (struct opt){"check", 0, OPT_FLAG, &c->check, NULL, "check the set-up, do nothing, and exit"};
	*o++ = (struct opt){"log-format", 0, OPT_CHOICE, &c->log_format, NULL, "how messages look", .choices = "text|json"};
	*o++ = (struct opt){"verbose", 'v', OPT_COUNT, &c->verbose, NULL, "say more"};
	*o++ = (struct opt){"quiet", 'q', OPT_COUNT, &c->quiet, NULL, "errors and warnings only; twice: errors only"};
	*o = (struct opt)OPT_END;
	return table;
}

bool
common_start(const char *prog, const struct opt_spec *spec, const struct common *c, int argc, char **argv,
    char ***operands, int *noperands, int *status)
{
	struct err e = {0};
	log_init(prog);
	/* Large buffers come and go with requests: they go back to the system, not into a heap full of holes. */
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	unsigned closed = io_guard_std();
	switch (opt_parse(spec, argc, argv, operands, noperands, &e)) {
	case OPT_DONE:
		*status = 0;
		return false;
	case OPT_BAD:
		*status = log_fail(&e);
		return false;
	case OPT_RUN:
		break;
	}
	/* A reader of our messages that leaves must not end us either. */
	signal(SIGPIPE, SIG_IGN);
	int level = LOG_INFO + c->verbose - c->quiet;
	log_set(level < LOG_ERROR ? LOG_ERROR : level > LOG_DEBUG ? LOG_DEBUG : (enum log_level)level, c->log_format == 1);
	if (closed & 2) {
		err_set(&e, ERR_IO, "cannot start: standard output is closed; give it a reader or a file");
		*status = log_fail(&e);
		return false;
	}
	if (closed & 1) {
		err_set(&e, ERR_NOINPUT, "cannot start: standard input is closed; give it a file or /dev/null");
		*status = log_fail(&e);
		return false;
	}
	return true;
}

int
common_outputs(struct sink *out, bool out_shared, struct sink *rejects, const char *where, struct err *e)
{
	sink_init(out, STDOUT_FILENO, "standard output", out_shared);
	if (rejects == NULL)
		return 0;
	int fd = where != NULL ? io_open_output(where, e) : -1;
	if (where != NULL && fd < 0)
		return -1;
	if (fd == STDOUT_FILENO)
		return err_set(e, ERR_USAGE, "cannot write rejects to '%s': standard output has a stream already", where);
	sink_init(rejects, fd, where != NULL ? where : "rejects", false);
	return 0;
}

/* Opened without waiting for a writer; the flag is on a descriptor of our own. */
int
common_open_acks(const char *path, struct err *e)
{
	struct stat st;
	if (path == NULL)
		return -1;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOINPUT : ERR_IO, "cannot open '%s' for receipts: %s; make it with mkfifo",
		    path, strerror(errno));
	if (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
		close(fd);
		return err_set(e, ERR_USAGE, "cannot read receipts from '%s': it is a %s; give a FIFO (mkfifo)", path,
		    S_ISDIR(st.st_mode) ? "folder" : "plain file");
	}
	return fd;
}
