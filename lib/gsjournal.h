/*
 * gsjournal: a journal in Cloud Storage, for tasks that have no lasting disk.
 *
 * Each piece is an object, PREFIX/00000000, PREFIX/00000001, ..., made with ifGenerationMatch=0 and never changed. So two
 * runs cannot both go on with one journal: the second to write a piece is refused, and ends. Its account needs to create
 * and to read objects.
 *
 * Pieces are read several at once. Whoever has read the pieces from 256 * K on to 256 * K + 255 makes them one object
 * more, PREFIX/pack-K, which the next one reads in their place: what is never changed can be copied by anyone, any time.
 */
#ifndef EVPIPE_GSJOURNAL_H
#define EVPIPE_GSJOURNAL_H

#include "gapi.h"
#include "journal.h"

struct gsjournal {
	struct http *http;
	struct gapi storage;
	char *bucket, *prefix;
	const char *url;      /* borrowed; for messages */
	struct buf group;     /* private: the pieces read since the last that are a pack */
};

bool gsjournal_is(const char *path);
/* url: gs://BUCKET/PREFIX, borrowed until the release. Credentials and patience as for gcs_init. */
int gsjournal_init(struct gsjournal *g, const char *url, const struct login *login, int64_t patience, struct err *e);
/* As journal_open. Each journal_sync is a request, waited for. */
int gsjournal_open(struct gsjournal *g, struct journal *j, struct str settings, journal_entry *entry, void *arg, struct err *e);
/* After journal_close. */
void gsjournal_release(struct gsjournal *g);

#endif
