/* spool: what goes in comes out, from memory, from files, as gzip for others; full disks are noticed. */
#include "spool.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include "rng.h"
#include "tap.h"
#include "xalloc.h"

static const char line[] =
    "{\"event_type\":\"order\",\"order_id\":\"o-%u\",\"status\":\"pending\",\"items\":[1,2,3]}\n";

/* the i-th piece of the test content; every seventh does not compress */
static struct str
piece(unsigned i, char *p, size_t size)
{
	if (i % 7 != 0)
		return (struct str){p, (size_t)snprintf(p, size, line, i)};
	struct rng r;
	rng_seed(&r, i + 1);
	for (size_t k = 0; k < size; k++)
		p[k] = (char)rng_next(&r);
	return (struct str){p, size - i % 50};
}

static uint64_t
fill(struct spool *s, unsigned n)
{
	struct err e;
	char p[900];
	for (unsigned i = 0; i < n; i++) {
		if (spool_add(s, piece(i, p, sizeof(p)), &e) < 0)
			return 0;
	}
	return spool_size(s);
}

/* Reads s to its end in steps and compares with the content that fill made. */
static bool
same(struct spool *s, unsigned n, size_t step)
{
	struct err e;
	char p[900], got[900], *part = xmalloc(step);
	unsigned i = 0;
	size_t have = 0, used = 0;
	bool ok = spool_rewind(s, false, &e) == 0;
	for (; ok && i < n; i++) {
		struct str want = piece(i, p, sizeof(p));
		for (size_t k = 0; k < want.n; k++) {
			if (used == have) {
				long r = spool_read(s, part, step, &e);
				have = r > 0 ? (size_t)r : 0;
				used = 0;
			}
			got[k] = used < have ? part[used++] : 0;
		}
		ok = memcmp(got, want.p, want.n) == 0;
	}
	ok = ok && used == have && spool_read(s, part, step, &e) == 0;
	free(part);
	return ok;
}

/* The gzip stream must be one that others read: zlib's own reader, at once and to the last byte. */
static bool
one_gzip_member(struct spool *s)
{
	struct err e;
	size_t n = spool_packed_size(s);
	char *packed = xmalloc(n + 1), *plain = xmalloc(spool_size(s) + 1);
	z_stream z = {0};
	inflateInit2(&z, 15 + 16);
	bool ok = spool_rewind(s, true, &e) == 0 && spool_read(s, packed, n + 1, &e) == (long)n;
	z.next_in = (Bytef *)packed;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)plain;
	z.avail_out = (uInt)spool_size(s) + 1;
	ok = ok && inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_in == 0 && z.total_out == spool_size(s);
	inflateEnd(&z);
	free(packed);
	free(plain);
	return ok;
}

static void
in_memory(void)
{
	struct spool_pool pool;
	struct err e = {0};
	char c;
	spool_pool_init(&pool, SPOOL_MEMORY_MAX);
	struct spool *s = spool_new(&pool), *empty = spool_new(&pool), *small = spool_new(&pool);
	ok(spool_rewind(s, true, &e) < 0 && e.class == ERR_BUG, "what is not finished cannot be read");
	uint64_t size = fill(s, 5000);
	ok(spool_finish(s, &e) == 0 && spool_finish(s, &e) == 0, "finishes, and once is enough");
	ok(spool_add(s, STR("x"), &e) < 0 && e.class == ERR_BUG, "no additions after that");
	ok(spool_size(s) == size && spool_packed_size(s) < size, "%llu bytes became %llu",
	    (unsigned long long)size, (unsigned long long)spool_packed_size(s));
	ok(same(s, 5000, 1) && same(s, 5000, 777) && same(s, 5000, 1 << 20),
	    "reads back, thrice, in any steps");
	ok(one_gzip_member(s), "is one gzip member");
	ok(spool_finish(empty, &e) == 0 && one_gzip_member(empty), "an empty spool is a gzip member too");
	ok(spool_rewind(empty, false, &e) == 0 && spool_read(empty, &c, 1, &e) == 0, "and reads as nothing");
	ok(spool_add(small, STR("a"), &e) == 0 && pool.held > 4096 && pool.held < 4 * 1024 * 1024,
	    "blocks are counted");
	spool_free(s);
	spool_free(empty);
	spool_free(small);
	spool_free(NULL);
	ok(pool.held == 0, "all memory is given back");
	spool_pool_release(&pool);
}

static void
interleaved(void)
{
	struct spool_pool pool;
	struct err e;
	struct spool *s[20];
	char p[900];
	bool good = true;
	uint64_t most = 0;
	spool_pool_init(&pool, 2 * MIB);
	for (int k = 0; k < 20; k++)
		s[k] = spool_new(&pool);
	for (unsigned i = 0; i < 3000; i++) {
		for (int k = 0; k < 20; k++)
			good = good && spool_add(s[k], piece(i, p, sizeof(p)), &e) == 0;
		most = pool.held > most ? pool.held : most;
	}
	ok(good, "20 spools, filled in turn");
	ok(most <= 2 * MIB + 128 * KIB, "never more than the pool's memory (%llu)", (unsigned long long)most);
	for (int k = 0; k < 20; k++)
		good = good && spool_finish(s[k], &e) == 0;
	for (int k = 0; k < 20; k++)
		good = good && same(s[k], 3000, 8192) && one_gzip_member(s[k]);
	ok(good, "each reads back, from memory or file");
	for (int k = 0; k < 20; k++)
		spool_free(s[k]);
	ok(pool.held == 0, "all memory is given back");
	spool_pool_release(&pool);
}

/* A spool that is being read stays where it is, however short memory gets. */
static void
read_while_moving(void)
{
	struct spool_pool pool;
	struct err e;
	char half[64];
	spool_pool_init(&pool, 256 * KIB);
	struct spool *a = spool_new(&pool), *b = spool_new(&pool);
	spool_add(a, STR("0123456789"), &e);
	spool_finish(a, &e);
	spool_rewind(a, false, &e);
	ok(spool_read(a, half, 5, &e) == 5, "half of it read");
	ok(fill(b, 20000) > 0 && spool_finish(b, &e) == 0, "another one outgrows the memory");
	ok(spool_read(a, half + 5, 50, &e) == 5 && memcmp(half, "0123456789", 10) == 0, "the rest follows");
	ok(same(b, 20000, 4096), "and the other is whole");
	spool_free(a);
	spool_free(b);
	spool_pool_release(&pool);
}

static void
reserved(void)
{
	struct spool_pool pool;
	struct err e;
	spool_pool_init(&pool, 512 * KIB);
	struct spool *s = spool_new(&pool);
	ok(fill(s, 1000) > 0 && pool.held > 128 * KIB, "memory is used");
	ok(spool_reserve(&pool, 512 * KIB, &e) == 0 && pool.held < 600 * KIB,
	    "and given up for something else");
	ok(spool_finish(s, &e) == 0 && same(s, 1000, 1000), "nothing is lost by that");
	spool_unreserve(&pool, 512 * KIB);
	spool_free(s);
	ok(pool.held == 0, "all memory is given back");
	spool_pool_release(&pool);
}

/* The limit on file sizes stands in for a full disk: the error comes from the same write. */
static void
full_disk(void)
{
	struct spool_pool pool;
	struct err e = {0};
	struct rlimit before, small = {100000, 100000};
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	spool_pool_init(&pool, 64 * KIB);
	struct spool *s = spool_new(&pool);
	ok(fill(s, 20000) == 0, "a full disk is noticed");
	setrlimit(RLIMIT_FSIZE, &before);
	spool_free(s);
	setenv("TMPDIR", "/dev/null/none", 1);
	s = spool_new(&pool);
	char p[900];
	int rc = 0;
	for (unsigned i = 0; i < 20000 && rc == 0; i++)
		rc = spool_add(s, piece(i, p, sizeof(p)), &e);
	bool told = strstr(e.text, "/dev/null/none") != NULL && strstr(e.text, "TMPDIR") != NULL;
	ok(rc < 0 && e.class == ERR_IO && told, "a missing folder is named, with what to do: %s", e.text);
	unsetenv("TMPDIR");
	spool_free(s);
	ok(pool.held == 0, "all memory is given back");
	spool_pool_release(&pool);
}

int
main(void)
{
	in_memory();
	interleaved();
	read_while_moving();
	reserved();
	full_disk();
	return done();
}
