/* journal: what was synced is there again; a torn end, other settings, another run. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "log.h"
#include "journal.h"
#include "tap.h"
#include "xalloc.h"

static char path[64];
static struct buf entries = BUF_INIT(1 << 20);
static struct err e;

static int
on_entry(void *arg, struct str entry, struct err *why)
{
	(void)arg;
	if (str_is(entry, "bad"))
		return err_set(why, ERR_INPUT, "it is bad");
	buf_adds(&entries, entry);
	buf_addc(&entries, '|');
	return 0;
}

static int
load(struct journal *j, const char *settings)
{
	buf_reset(&entries, 0);
	return journal_open(j, path, str_of(settings), on_entry, NULL, &e);
}

static void
content_is(const char *want, const char *name)
{
	struct buf b = BUF_INIT(1 << 20);
	io_read_file(path, 1 << 20, &b, &e);
	is_str(buf_str(&b), want, "%s", name);
	buf_release(&b);
}

static void
write_file(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || io_write_all(fd, str_of(text), path, &e) < 0)
		exit(74);
	close(fd);
}

static void
test_life(void)
{
	struct journal j, k;
	unlink(path);
	ok(load(&j, "S") == 0 && j.entries == 0, "a new journal has no entries");
	journal_add(&j, STR("one"));
	content_is("S\n", "an entry is not there before it is synced");
	journal_add(&j, STR("two"));
	ok(journal_sync(&j, &e) == 0, "two are synced at once");
	content_is("S\none\ntwo\n", "then they are");
	ok(load(&k, "S") < 0 && e.class == ERR_TRANSIENT, "another run cannot have it: %s", e.text);
	journal_close(&j);
	ok(load(&j, "S") == 0 && j.entries == 2, "opened again it has two entries");
	is_str(buf_str(&entries), "one|two|", "as they were written");
	journal_add(&j, STR("three"));
	journal_sync(&j, &e);
	journal_close(&j);
	content_is("S\none\ntwo\nthree\n", "and goes on behind them");
	ok(load(&j, "T") < 0 && e.class == ERR_INPUT, "of something else: %s", e.text);
	content_is("S\none\ntwo\nthree\n", "it is left as it is");
}

static void
test_torn(void)
{
	struct journal j;
	write_file("S\none\ntw");
	ok(load(&j, "S") == 0 && j.entries == 1, "a torn last line is no entry");
	journal_add(&j, STR("three"));
	journal_sync(&j, &e);
	journal_close(&j);
	content_is("S\none\nthree\n", "and nothing is joined to it");
	write_file("");
	ok(load(&j, "S") == 0, "an empty file is a new journal");
	journal_close(&j);
	write_file("Setti");
	ok(load(&j, "Settings") == 0, "and so is one whose first line is torn");
	journal_close(&j);
	content_is("Settings\n", "which is written anew");
}

#define SETTINGS(words) "{\"journal\":\"t\",\"settings\":\"" words "\"}"

/* The words that differ, and nothing of what is no journal. */
static void
test_settings(void)
{
	static const struct {
		const char *theirs, *ours, *want;
	} cases[] = {
	    {SETTINGS("dataset=d lake=gs://a/x via=load"), SETTINGS("dataset=d lake=gs://b/x via=load"),
	        "other settings: lake=gs://a/x, and this run has lake=gs://b/x;"},
	    {SETTINGS("a=1 b=2"), SETTINGS("a=1 b=22"), "other settings: b=2, and this run has b=22;"},
	    {SETTINGS("a=1"), SETTINGS("a=1 b=2"), "other settings: nothing, and this run has b=2;"},
	    {SETTINGS("a=1 b=2"), SETTINGS("a=1"), "other settings: b=2, and this run has nothing;"},
	    {SETTINGS(""), SETTINGS("a=1"), "other settings: nothing, and this run has a=1;"},
	    {SETTINGS("x=1"), SETTINGS("a=1"), "other settings: x=1, and this run has a=1;"},
	    {"{\"journal\":\"bq-load\"}", SETTINGS("a=1"), "other settings: bq-load, and this run has t;"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = journal_check_settings("j", str_of(cases[i].theirs), str_of(cases[i].ours), &e);
		ok(rc < 0 && e.class == ERR_CONFIG && strstr(e.text, cases[i].want) != NULL, "%s", e.text);
	}
	ok(journal_check_settings("j", STR(SETTINGS("a")), STR(SETTINGS("a")), &e) == 0, "the same ones are");
	struct journal j;
	write_file("{\"type\":\"order\",\"card\":\"secret\"}\n");
	ok(load(&j, SETTINGS("a=1")) < 0 && e.class == ERR_INPUT && strstr(e.text, "secret") == NULL,
	    "bug: the message about an event file that was given as a journal showed its events: %s", e.text);
}

static int
peek(struct journal *j)
{
	buf_reset(&entries, 0);
	return journal_peek(j, path, STR("S"), on_entry, NULL, &e);
}

static void
test_peek(void)
{
	struct journal j, k;
	unlink(path);
	ok(peek(&k) == 0 && k.entries == 0 && access(path, F_OK) < 0, "looking at a journal that is not there does not begin it");
	write_file("S\none\ntw");
	ok(peek(&k) == 0 && k.entries == 1, "one with a torn line has its whole ones");
	content_is("S\none\ntw", "bug: a look mended it");
	write_file("S\none\n");
	ok(load(&j, "S") == 0 && peek(&k) == 0 && k.entries == 1, "bug: a look was refused while a run has it");
	journal_add(&j, STR("two"));
	ok(journal_sync(&j, &e) == 0, "which goes on");
	journal_close(&j);
	ok(peek(&k) == 0 && k.entries == 2, "and is seen to");
	write_file("my notes");
	ok(peek(&k) < 0 && e.class == ERR_INPUT, "something else: %s", e.text);
}

static void
test_faults(void)
{
	struct journal j;
	write_file("my notes");
	ok(load(&j, "S") < 0 && e.class == ERR_INPUT, "something else: %s", e.text);
	content_is("my notes", "is not touched");
	write_file("S\none\nbad\n");
	ok(load(&j, "S") < 0 && e.class == ERR_INPUT && strstr(e.text, "the entry at byte 6") != NULL, "a bad entry: %s", e.text);
	int fd = open(path, O_WRONLY | O_TRUNC);
	char *long_line = xmalloc(200000);
	memset(long_line, 'x', 200000);
	if (io_write_all(fd, (struct str){long_line, 200000}, path, &e) < 0)
		exit(74);
	close(fd);
	free(long_line);
	ok(load(&j, "S") < 0 && e.class == ERR_INPUT, "a line without end: %s", e.text);
	chmod(path, 0);
	bool root = geteuid() == 0 && seteuid(65534) == 0;
	ok(load(&j, "S") < 0 && e.class == ERR_AUTH, "bug: without permission it was a failure of the disk: %s", e.text);
	if (root && seteuid(0) < 0)
		exit(77);
	unlink(path);
	mkfifo(path, 0600);
	ok(load(&j, "S") < 0 && e.class == ERR_USAGE, "a FIFO: %s", e.text);
}

/* A medium in memory. */
static char *pieces[8];

static int
read_piece(void *ctx, uint64_t *n, struct buf *out, struct err *why)
{
	unsigned most = ctx != NULL ? 2 : 1;
	(void)why;
	for (unsigned i = 0; i < most && pieces[*n] != NULL; i++)
		buf_addz(out, pieces[(*n)++]);
	return 0;
}

static int
write_piece(void *ctx, uint64_t n, struct str lines, struct err *why)
{
	(void)ctx;
	if (pieces[n] != NULL)
		return err_set(why, ERR_TRANSIENT, "another run writes it");
	pieces[n] = str_dup(lines);
	return 0;
}

static int
load_pieces_by(struct journal *j, const char *settings, void *two_at_once)
{
	struct journal_medium m = {.read = read_piece, .write = write_piece, .ctx = two_at_once};
	buf_reset(&entries, 0);
	return journal_open_at(j, &m, "pieces", str_of(settings), on_entry, NULL, &e);
}

static int
load_pieces(struct journal *j, const char *settings)
{
	return load_pieces_by(j, settings, NULL);
}

static void
test_pieces(void)
{
	struct journal j, k;
	ok(load_pieces(&j, "S") == 0 && j.pieces == 1, "a new journal elsewhere has its settings as the first piece");
	journal_add(&j, STR("one"));
	journal_add(&j, STR("two"));
	ok(journal_sync(&j, &e) == 0 && journal_sync(&j, &e) == 0, "what is synced is a piece, and nothing is none");
	is_str(str_of(pieces[1]), "one\ntwo\n", "of whole lines");
	ok(load_pieces(&k, "S") == 0 && k.entries == 2 && k.pieces == 2, "another run finds them");
	is_str(buf_str(&entries), "one|two|", "in order");
	journal_add(&k, STR("three"));
	ok(journal_sync(&k, &e) == 0, "and goes on");
	journal_add(&j, STR("four"));
	ok(journal_sync(&j, &e) < 0 && e.class == ERR_TRANSIENT, "the first one then cannot");
	journal_close(&j);
	journal_close(&k);
	ok(load_pieces_by(&j, "S", &e) == 0 && j.pieces == 3, "a medium may hand out several at once");
	is_str(buf_str(&entries), "one|two|three|", "all of which are read");
	journal_close(&j);
	ok(load_pieces(&j, "T") < 0 && e.class == ERR_INPUT, "of something else: %s", e.text);
	static char torn[] = "torn";
	pieces[3] = torn;
	ok(load_pieces(&j, "S") < 0 && e.class == ERR_INPUT, "a piece that is no whole lines: %s", e.text);
	for (int i = 0; i < 3; i++)
		free(pieces[i]);
}

int
main(void)
{
	snprintf(path, sizeof(path), "/tmp/t-journal.%d", (int)getpid());
	log_init("t-journal");
	log_set(LOG_ERROR, false);
	test_life();
	test_torn();
	test_settings();
	test_peek();
	test_faults();
	test_pieces();
	unlink(path);
	buf_release(&entries);
	return done();
}
