/*
 * spool: bytes kept for later, compressed as they come (zlib level 1, gzip framing).
 *
 * Appended in pieces, finished once, then read any number of times from the start: as the gzip stream it is,
 * or decompressed. The spools of a pool stay in memory until they hold more than its `max` together; then the
 * largest that is not being read moves to an unlinked temporary file (in TMPDIR, else /tmp), which needs no
 * clean-up on any kind of death.
 *
 * A spool compresses 64 KiB at a time with its pool's one compressor, so that an open spool costs its block
 * and not the quarter of a megabyte that a deflate stream keeps. The blocks make one ordinary gzip member
 * [RFC 1952].
 */
#ifndef EVPIPE_SPOOL_H
#define EVPIPE_SPOOL_H

#include <stdint.h>

#include "bounds.h"
#include "err.h"
#include "str.h"

#define SPOOL_MEMORY_MAX (32 * MIB)

struct spool;

struct spool_pool {
	uint64_t max;       /* bytes in memory before spools move to files */
	uint64_t held;      /* bytes in memory now: blocks, what is packed, what is reserved */
	struct spool *all;  /* private, as is the rest */
	void *packer;
	unsigned char *scratch;
};

/* The folder of temporary files: TMPDIR, else /tmp. */
const char *spool_folder(void);
void spool_pool_init(struct spool_pool *p, uint64_t max);
/* Every spool of the pool must have been freed. */
void spool_pool_release(struct spool_pool *p);
/*
 * n bytes of the pool's memory are wanted for something else (a request's body): spools move to files until
 * they fit or nothing more can move. spool_unreserve gives them back.
 */
int spool_reserve(struct spool_pool *p, uint64_t n, struct err *e);
void spool_unreserve(struct spool_pool *p, uint64_t n);

struct spool *spool_new(struct spool_pool *p);
int spool_add(struct spool *s, struct str bytes, struct err *e);
/* No more additions. Sizes are final afterwards. */
int spool_finish(struct spool *s, struct err *e);
uint64_t spool_size(const struct spool *s);        /* of what was added */
uint64_t spool_packed_size(const struct spool *s); /* of the gzip stream; final after spool_finish */
/* Where reading starts, after spool_finish: packed reads give the gzip stream, otherwise what was added. */
int spool_rewind(struct spool *s, bool packed, struct err *e);
/* n bytes at p, or as many as are left: the count, 0 at the end, -1 failed. */
long spool_read(struct spool *s, char *p, size_t n, struct err *e);
void spool_free(struct spool *s); /* NULL is fine */

#endif
