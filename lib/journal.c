#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "io.h"
#include "log.h"
#include "utf8.h"
#include "xalloc.h"

#define PIECE (64 * KIB)
#define WAITING_MAX (64 * MIB)
#define WORD_SHOWN 300

static int
failed(const struct journal *j, const char *verb, struct err *e)
{
	return err_set(e, errno == EACCES || errno == EPERM ? ERR_AUTH : ERR_IO, "cannot %s the journal '%s': %s", verb, j->path,
	    strerror(errno));
}

/* A new file's name is on disk only once its folder is. */
static int
sync_folder(const struct journal *j, struct err *e)
{
	char *copy = xstrdup(j->path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) < 0 ? failed(j, "keep", e) : 0;
	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

static int
open_file(struct journal *j, int flags, struct err *e)
{
	struct stat st;
	j->fd = open(j->path, flags | O_NONBLOCK | O_CLOEXEC, 0666);
	if (j->fd < 0)
		return failed(j, "open", e);
	if (fstat(j->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_USAGE, "cannot keep a journal in '%s': it is no plain file", j->path);
	return 0;
}

static int
lock_file(struct journal *j, struct err *e)
{
	if (flock(j->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return err_set(e, ERR_TRANSIENT, "cannot open the journal '%s': another run holds it; wait for its end, or give "
		    "this run a journal of its own", j->path);
	return 0;
}

static int
something_else(const char *path, struct err *e)
{
	return err_set(e, ERR_INPUT, "cannot use '%s' as a journal: something else is in it", path);
}

static bool
ends_word(struct str s, size_t at)
{
	return at >= s.n || s.p[at] == ' ' || s.p[at] == '"';
}

static struct str
word_at(struct str s, size_t at)
{
	struct str word = str_skip(s, at + (at < s.n && s.p[at] == ' '));
	size_t n = 0;
	while (!ends_word(word, n))
		n++;
	word.n = n;
	word.n = utf8_cut(word, WORD_SHOWN);
	return word.n > 0 ? word : STR("nothing");
}

int
journal_check_settings(const char *path, struct str theirs, struct str ours, struct err *e)
{
	size_t at = 0;
	if (str_eq(theirs, ours))
		return 0;
	if (!str_starts(theirs, STR("{\"journal\":")))
		return something_else(path, e);
	while (at < theirs.n && at < ours.n && theirs.p[at] == ours.p[at])
		at++;
	/* Where the word is the same, one of the two ends with it. */
	if (!ends_word(theirs, at) || !ends_word(ours, at)) {
		while (at > 0 && !ends_word(theirs, at - 1))
			at--;
	}
	struct str had = word_at(theirs, at), has = word_at(ours, at);
	return err_set(e, ERR_CONFIG,
	    "cannot go on with the journal '%s': it was begun with other settings: %.*s, and this run has %.*s; give the "
	    "same ones, or another --journal", path, STR_ARG(had), STR_ARG(has));
}

struct loading {
	struct journal *j;
	struct str settings;
	journal_entry *entry;
	void *arg;
	bool peek;       /* nothing is changed */
	bool first;      /* the next line is the first */
	uint64_t whole;  /* bytes of whole lines */
};

static int
take_lines(struct loading *l, struct buf *b, struct err *e)
{
	size_t at = 0, n;
	for (struct str s; (s = str_skip(buf_str(b), at), n = str_find(s, '\n')) < s.n; at += n + 1) {
		struct str line = {s.p, n};
		if (l->first && journal_check_settings(l->j->path, line, l->settings, e) < 0)
			return -1;
		if (!l->first && l->entry(l->arg, line, e) < 0)
			return err_wrap(e, "cannot read the journal '%s': the entry at byte %llu", l->j->path,
			    (unsigned long long)l->whole + at);
		l->j->entries += !l->first;
		l->first = false;
	}
	l->whole += at;
	buf_consume(b, at);
	if (b->n > JOURNAL_LINE_MAX)
		return err_set(e, ERR_INPUT, "cannot read the journal '%s': a line is longer than %d bytes; it is no journal",
		    l->j->path, JOURNAL_LINE_MAX);
	return 0;
}

static int
load_file(struct loading *l, struct err *e)
{
	struct journal *j = l->j;
	struct buf b = BUF_INIT(JOURNAL_LINE_MAX + 2 * PIECE);
	int rc = -1;
	for (;;) {
		ssize_t n = pread(j->fd, buf_room(&b, PIECE), PIECE, (off_t)(l->whole + b.n));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			failed(j, "read", e);
			goto out;
		}
		if (n == 0)
			break;
		buf_grew(&b, (size_t)n);
		if (take_lines(l, &b, e) < 0)
			goto out;
	}
	/* Even a first line: with no whole line nothing was begun. But a file of something else is not to be cut. */
	if (b.n > 0 && l->first && !str_starts(l->settings, buf_str(&b))) {
		something_else(j->path, e);
		goto out;
	}
	if (b.n > 0 && !l->peek) {
		log_warn("the journal '%s' ends in a torn line; it is cut off", j->path);
		if (ftruncate(j->fd, (off_t)l->whole) < 0) {
			failed(j, "mend", e);
			goto out;
		}
	}
	rc = 0;
out:
	buf_release(&b);
	return rc;
}

static int
load_pieces(struct loading *l, struct err *e)
{
	struct journal *j = l->j;
	struct buf b = BUF_INIT(WAITING_MAX);
	int rc;
	while ((rc = j->medium.read(j->medium.ctx, &j->pieces, &b, e)) == 0 && b.n > 0) {
		if ((rc = take_lines(l, &b, e)) < 0)
			break;
		if (b.n > 0) {
			rc = something_else(j->path, e);
			break;
		}
	}
	buf_release(&b);
	return rc;
}

static int
begin(struct journal *j, struct str settings, struct err *e)
{
	buf_adds(&j->waiting, settings);
	buf_addc(&j->waiting, '\n');
	if (journal_sync(j, e) < 0)
		return -1;
	return j->fd >= 0 ? sync_folder(j, e) : 0;
}

int
journal_open(struct journal *j, const char *path, struct str settings, journal_entry *entry, void *arg, struct err *e)
{
	*j = (struct journal){.fd = -1, .path = path, .waiting = BUF_INIT(WAITING_MAX)};
	struct loading l = {.j = j, .settings = settings, .entry = entry, .arg = arg, .first = true};
	if (open_file(j, O_RDWR | O_CREAT | O_APPEND, e) == 0 && lock_file(j, e) == 0 && load_file(&l, e) == 0 &&
	    (!l.first || begin(j, settings, e) == 0))
		return 0;
	journal_close(j);
	return -1;
}

int
journal_peek(struct journal *j, const char *path, struct str settings, journal_entry *entry, void *arg, struct err *e)
{
	*j = (struct journal){.fd = -1, .path = path};
	struct loading l = {.j = j, .settings = settings, .entry = entry, .arg = arg, .peek = true, .first = true};
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	int rc = open_file(j, O_RDONLY, e) < 0 ? -1 : load_file(&l, e);
	journal_close(j);
	return rc;
}

int
journal_open_at(struct journal *j, const struct journal_medium *m, const char *path, struct str settings,
    journal_entry *entry, void *arg, struct err *e)
{
	*j = (struct journal){.fd = -1, .path = path, .medium = *m, .waiting = BUF_INIT(WAITING_MAX)};
	struct loading l = {.j = j, .settings = settings, .entry = entry, .arg = arg, .first = true};
	if (load_pieces(&l, e) == 0 && (!l.first || begin(j, settings, e) == 0))
		return 0;
	journal_close(j);
	return -1;
}

void
journal_add(struct journal *j, struct str entry)
{
	buf_adds(&j->waiting, entry);
	buf_addc(&j->waiting, '\n');
	j->entries++;
}

int
journal_sync(struct journal *j, struct err *e)
{
	if (j->waiting.n == 0)
		return 0;
	if (j->waiting.over)
		return err_set(e, ERR_BUG, "cannot write the journal '%s': too much waits", j->path);
	if (j->fd < 0 && j->medium.write(j->medium.ctx, j->pieces, buf_str(&j->waiting), e) < 0)
		return -1;
	if (j->fd >= 0 && io_write_all(j->fd, buf_str(&j->waiting), j->path, e) < 0)
		return -1;
	j->pieces++;
	buf_reset(&j->waiting, 64 * KIB);
	return j->fd >= 0 && fdatasync(j->fd) < 0 ? failed(j, "keep", e) : 0;
}

void
journal_close(struct journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
	buf_release(&j->waiting);
}
