/*
 * journal: an append-only file that says what is done, so that a killed run is taken up where it was.
 *
 * The first line holds the run's settings, each further line is an entry; what an entry says is the caller's business.
 * The file is locked, so that two runs never share one. A last line without its newline is the trace of a death: it is
 * cut off. What journal_sync has written is on disk.
 *
 * It can also be kept elsewhere, piece by piece: see journal_medium, and gsjournal.h.
 */
#ifndef EVPIPE_JOURNAL_H
#define EVPIPE_JOURNAL_H

#include <stdint.h>

#include "buf.h"
#include "err.h"

#define JOURNAL_LINE_MAX (64 * 1024)

/* Another place than a file. A piece is what one journal_sync writes: whole lines. -1 with e filled ends the matter. */
struct journal_medium {
	/*
	 * Appends piece *n (0, 1, ...) to out, or several from there on, and moves *n behind them; nothing where there is none,
	 * which ends the reading.
	 */
	int (*read)(void *ctx, uint64_t *n, struct buf *out, struct err *e);
	/* Keeps piece n; ERR_TRANSIENT where another run has written it. */
	int (*write)(void *ctx, uint64_t n, struct str lines, struct err *e);
	void *ctx;
};

struct journal {
	int fd;            /* -1: not open, or kept by the medium */
	const char *path;  /* borrowed */
	struct journal_medium medium; /* with fd -1 */
	uint64_t pieces;   /* that it has */
	struct buf waiting; /* entries not on disk yet */
	uint64_t entries;  /* in the file, and waiting */
};

/* One entry of an earlier run, without its newline. -1 with e filled ends the opening. */
typedef int journal_entry(void *arg, struct str entry, struct err *e);

/*
 * Opens or makes the file and hands out its entries. settings: one line without newline. ERR_CONFIG where the file was
 * begun with other settings, ERR_TRANSIENT where another run holds it, ERR_INPUT where it is no journal, ERR_AUTH where
 * it may not be opened.
 */
int journal_open(struct journal *j, const char *path, struct str settings, journal_entry *entry, void *arg, struct err *e);
/* Hands out the entries of a file that another run may hold: no lock, nothing is made or mended. None where it is not there. */
int journal_peek(struct journal *j, const char *path, struct str settings, journal_entry *entry, void *arg, struct err *e);
/*
 * Are a journal's settings, its first line, ours? 0, or ERR_CONFIG, and ERR_INPUT where the line is none of a journal's;
 * such a line is not shown. The settings of all begin with {"journal": and are words.
 */
int journal_check_settings(const char *path, struct str theirs, struct str ours, struct err *e);
/* The same in another place, which stands as path in messages. */
int journal_open_at(struct journal *j, const struct journal_medium *m, const char *path, struct str settings,
    journal_entry *entry, void *arg, struct err *e);
/* Adds an entry; it is on disk after journal_sync. */
void journal_add(struct journal *j, struct str entry);
int journal_sync(struct journal *j, struct err *e);
/* Entries not synced are lost. */
void journal_close(struct journal *j);

#endif
