#include "tally.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "bounds.h"
#include "io.h"
#include "jsonw.h"
#include "log.h"

void
tally_open(struct tally *t)
{
	const char *path = getenv("EVPIPE_TALLY");
	if (path != NULL)
		t->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
}

/* One write, so that several tools may share the file. */
static void
append(struct tally t, const char *extra)
{
	struct buf line = BUF_INIT(4 * KIB);
	struct jsonw w = jsonw_to(&line);
	struct err e;
	if (t.fd == 0)
		tally_open(&t);
	if (t.fd <= 0)
		return;
	jsonw_object(&w);
	jsonw_member(&w, "prog", str_of(log_prog()));
	jsonw_key(&w, "in");
	jsonw_i64(&w, (int64_t)t.in);
	jsonw_key(&w, "done");
	jsonw_i64(&w, (int64_t)t.done);
	jsonw_key(&w, "rejected");
	jsonw_i64(&w, (int64_t)t.rejected);
	jsonw_member(&w, "extra", extra != NULL ? str_of(extra) : STR(""));
	jsonw_end(&w);
	buf_addc(&line, '\n');
	if (io_write_all(t.fd, buf_str(&line), "EVPIPE_TALLY", &e) < 0)
		log_warn("%s", e.text);
	close(t.fd);
	buf_release(&line);
}

int
tally_report(const struct tally *t, const char *extra)
{
	uint64_t ended = t->done + t->rejected;
	if (ended > t->in) {
		log_error("cannot account for all: in %" PRIu64 " is less than done %" PRIu64 " and rejected %" PRIu64
			  "; this is a bug, please report it",
		    t->in, t->done, t->rejected);
		return -1;
	}
	append(*t, extra);
	log_info("in %" PRIu64 ", done %" PRIu64 ", rejected %" PRIu64 ", in flight %" PRIu64 "%s%s", t->in, t->done,
	    t->rejected, t->in - ended, extra != NULL ? ", " : "", extra != NULL ? extra : "");
	return 0;
}
