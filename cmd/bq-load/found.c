/*
 * What BigQuery knows and the journal lacks, which was lost or is an old copy. BigQuery tells the newest jobs first, and
 * who asks can die in between. So nothing is written before all is told; then the oldest come first, with their own
 * times, as if they had been written down when they were made; and the mark {"asked":...} is last. Without it the next
 * start looks back as far as the first did.
 *
 * Other runs' jobs into the dataset are among them. They are kept as well, for nobody can tell them from lost ones
 * before lines come that name their objects.
 */
#include <stdlib.h>
#include <string.h>

#include "book.h"
#include "clock.h"
#include "log.h"
#include "time.h"
#include "xalloc.h"

#define SLACK SECONDS(3600)    /* between our clock and BigQuery's */
#define FOUND_MAX (1024 * MIB) /* bytes of entries */
#define SYNC_AT (8 * MIB)      /* of them at once */

/* The entries of a job. */
struct found {
	struct found *next;
	size_t n;
	char text[];
};

struct asking {
	struct book *b;
	struct found *oldest;
	size_t bytes;
	unsigned n;
};

static int
write_found(struct asking *a, const struct json *json, const struct bqjob *job, struct buf *out)
{
	struct buf *text = &a->b->text;
	struct page p = {.id = job->id, .out = out};
	int rc = 0;
	for (uint32_t t = json_first(job->uris); t < json_end(json, job->uris) && rc == 0; t = json->tok[t].next) {
		buf_reset(text, JOURNAL_LINE_MAX);
		struct str url = json_string(json, t, text);
		if (url.n == 0 || url.n > URL_LENGTH_MAX)
			rc = -1;
		else
			page_add(&p, url, 0);
	}
	page_end(&p);
	write_job(out, job->id, job->table, job->created, true);
	if (job->ended)
		write_word(out, job->failed ? "failed" : "done", job->id);
	return out->over ? -1 : rc;
}

static int
on_listed(void *arg, const struct json *json, const struct bqjob *job, struct err *e)
{
	struct asking *a = arg;
	struct book *b = a->b;
	struct buf text = BUF_INIT(LIMIT_REPLY);
	if (!str_starts(job->id, str_of(b->ld->prefix)) || map_get(&b->ids, job->id) != NULL ||
	    !json_is(json, job->uris, JSON_ARRAY) || schema_by_table(&b->ld->schema, job->table) == NULL)
		return 0;
	book_remember(b, job->id);
	if (write_found(a, json, job, &text) == 0) {
		struct found *f = xcalloc(1, sizeof(*f) + text.n);
		memcpy(f->text, text.p, text.n);
		f->n = text.n;
		f->next = a->oldest;
		a->oldest = f;
		a->bytes += text.n;
		a->n++;
	}
	buf_release(&text);
	return a->bytes <= FOUND_MAX ? 0 : err_set(e, ERR_CONFIG,
	    "cannot take in what BigQuery knows of earlier load jobs: it is more than %llu bytes; give a shorter --look-back",
	    FOUND_MAX);
}

static int
add(struct book *b, const struct found *f, struct err *e)
{
	struct journal *journal = &b->ld->journal;
	struct str s = {f->text, f->n};
	for (size_t n; s.n > 0; s = str_skip(s, n + 1)) {
		n = str_find(s, '\n');
		struct str entry = {s.p, n};
		if (book_entry(b, entry, e) < 0)
			return err_wrap(e, "cannot take in a load job that BigQuery knows of");
		journal_add(journal, entry);
	}
	return journal->waiting.n > SYNC_AT ? journal_sync(journal, e) : 0;
}

static int
add_all(struct asking *a, int64_t now, struct err *e)
{
	struct book *b = a->b;
	struct buf time = BUF_INIT(64), mark = BUF_INIT(4 * KIB);
	int rc = 0;
	b->asking = true;
	for (struct found *f; rc == 0 && (f = a->oldest) != NULL; free(f)) {
		a->oldest = f->next;
		rc = add(b, f, e);
	}
	if (rc == 0) {
		time_format(&time, now);
		write_word(&mark, "asked", buf_str(&time));
		journal_add(&b->ld->journal, str_trim(buf_str(&mark)));
		rc = journal_sync(&b->ld->journal, e);
	}
	buf_release(&time);
	buf_release(&mark);
	return rc;
}

int
found_ask(struct book *b, struct err *e)
{
	struct load *ld = b->ld;
	struct asking a = {.b = b};
	int64_t now = clock_wall(), since = b->asked ? b->latest - SLACK : now - ld->o.look_back;
	int refused = 0, rc = bqjob_list(&ld->gapi, ld->place.project, since, on_listed, &a, &refused, e);
	if (rc < 0 && refused != 0 && (e->class == ERR_AUTH || refused == 404 || refused == 501)) {
		log_warn("cannot ask BigQuery for earlier load jobs, so the journal alone keeps objects from being loaded "
		    "twice: %s", e->text);
		return 0;
	}
	if (rc == 0 && (a.n > 0 || !b->asked))
		rc = add_all(&a, now, e);
	for (struct found *f; (f = a.oldest) != NULL; free(f))
		a.oldest = f->next;
	if (a.n > 0)
		log_info("'%s' has %u more load jobs now, which BigQuery knew of", ld->o.journal, a.n);
	ld->nfound = a.n;
	return rc;
}
