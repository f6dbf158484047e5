/* journal: a file as a dead run, a full disk or somebody's editor left it. What is added to one that opens is found again. */
#include <fcntl.h>

#include "bounds.h"
#include "fuzz.h"
#include "io.h"
#include "journal.h"
#include "log.h"

#define SETTINGS "{\"journal\":1}"

struct entries {
	unsigned n;
	struct buf last;
};

static int
entry(void *arg, struct str text, struct err *e)
{
	struct entries *x = arg;
	(void)e;
	MUST(text.n <= JOURNAL_LINE_MAX && str_find(text, '\n') == text.n);
	buf_reset(&x->last, 0);
	buf_adds(&x->last, text);
	x->n++;
	return 0;
}

static char path[] = "/tmp/evpipe-fuzz-XXXXXX";

static void
clean_up(void)
{
	unlink(path);
}

/* A real file, for its folder is synced too. */
static void
lay_out(struct str content)
{
	struct err e;
	if (strstr(path, "XXXXXX") != NULL) {
		close(mkstemp(path));
		atexit(clean_up);
	}
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	MUST(fd >= 0 && io_write_all(fd, content, path, &e) == 0);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct journal j;
	struct entries x = {.last = BUF_INIT(JOURNAL_LINE_MAX)};
	struct err e;
	log_set(LOG_ERROR, false);
	lay_out((struct str){(const char *)p, n});
	if (journal_open(&j, path, STR(SETTINGS), entry, &x, &e) == 0) {
		unsigned before = x.n;
		MUST(j.entries == before);
		journal_add(&j, STR("a new one"));
		MUST(journal_sync(&j, &e) == 0);
		journal_close(&j);
		x.n = 0;
		MUST(journal_open(&j, path, STR(SETTINGS), entry, &x, &e) == 0);
		MUST(x.n == before + 1 && str_is(buf_str(&x.last), "a new one"));
	} else {
		MUST(e.class == ERR_CONFIG || e.class == ERR_INPUT);
	}
	journal_close(&j);
	buf_release(&x.last);
	return 0;
}
