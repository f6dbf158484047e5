/*
 * The journal while it is opened: what book.c, its reader, and found.c, which adds what BigQuery knows, share.
 */
#ifndef BQ_LOAD_BOOK_H
#define BQ_LOAD_BOOK_H

#include "jsonw.h"
#include "load.h"

struct id {
	struct id *next;
	char text[];
};

struct book {
	struct load *ld;
	struct json json;
	struct buf text;
	struct buf of;        /* the job whose objects were read last */
	struct object *objects, **last;
	struct map ids;       /* of all jobs of the journal */
	struct id *all;
	bool asked;           /* BigQuery was, to the end: the journal lacks no job of before `latest` */
	int64_t latest;       /* since 1970: of the last such asking, and of the last job of our own */
	bool asking;          /* entries come from BigQuery */
};

/* Objects of a job as entries, as many as fit a line. Lines are appended to out. */
struct page {
	struct str id;
	struct buf *out;
	struct buf line, rows; /* private, as is the rest; freed by page_end */
	struct jsonw w;
};

/* rows 0: nobody told; then they are 0 for all objects of the job */
void page_add(struct page *p, struct str url, uint64_t rows);
void page_end(struct page *p);
/* The other entries, likewise. */
void write_job(struct buf *out, struct str id, struct str table, int64_t wall, bool found);
void write_word(struct buf *out, const char *name, struct str value);

/* Takes an entry in: a journal_entry, arg is the book. */
int book_entry(void *arg, struct str entry, struct err *e);
void book_remember(struct book *b, struct str id);

/* found.c: asks BigQuery for the jobs that the journal lacks, and adds them. */
int found_ask(struct book *b, struct err *e);

#endif
