#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "xalloc.h"

#define BLOCK (64 * KIB)
#define BLOCK_FIRST (4 * KIB) /* most spools of a quiet stream never need more */
#define HEADER 10
#define TRAILER 8
/* What a block may become: deflate's worst case, its flush, and the framing around it. */
#define SCRATCH (BLOCK + BLOCK / 8 + 256)

/* One packed block in memory. */
struct chunk {
	struct chunk *next;
	size_t n;
	char p[];
};

struct spool {
	struct spool_pool *pool;
	struct spool *next, **link; /* in pool->all */
	char *block;                /* what is not packed yet */
	size_t n, cap;
	struct chunk *first, **last;
	uint64_t in_memory; /* bytes in chunks */
	int fd;             /* -1: in memory */
	uint64_t size, packed;
	uint32_t crc;
	bool finished, reading;
	/* reading */
	bool as_packed;
	struct chunk *at;
	uint64_t offset; /* in the chunk, or in the file */
	z_stream unpacker;
	bool unpacking, ended;
	char *page; /* what was read of the file */
};

void
spool_pool_init(struct spool_pool *p, uint64_t max)
{
	z_stream *z = xmalloc(sizeof(*z));
	*z = (z_stream){.zalloc = xalloc_zlib, .zfree = xalloc_zlib_free};
	/* Negative window bits: a raw stream. The framing is ours: the blocks of many spools alternate. */
	if (deflateInit2(z, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		xalloc_failed();
	*p = (struct spool_pool){.max = max, .packer = z, .scratch = xmalloc(SCRATCH)};
}

void
spool_pool_release(struct spool_pool *p)
{
	if (p->packer != NULL)
		deflateEnd(p->packer);
	free(p->packer);
	free(p->scratch);
	*p = (struct spool_pool){0};
}

struct spool *
spool_new(struct spool_pool *p)
{
	struct spool *s = xcalloc(1, sizeof(*s));
	s->pool = p;
	s->fd = -1;
	s->last = &s->first;
	s->next = p->all;
	s->link = &p->all;
	if (s->next != NULL)
		s->next->link = &s->next;
	p->all = s;
	return s;
}

const char *
spool_folder(void)
{
	const char *dir = getenv("TMPDIR");
	return dir != NULL && *dir != '\0' ? dir : "/tmp";
}

static int
file_failed(const char *verb, int cause, struct err *e)
{
	return err_set(e, ERR_IO, "cannot %s a temporary file in '%s': %s; make room there, or set TMPDIR",
	    verb, spool_folder(), strerror(cause));
}

static int
open_file(struct err *e)
{
	int fd = open(spool_folder(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	/* Some file systems and old kernels have no O_TMPFILE, each with its own way to say so. */
	char *path = xasprintf("%s/evpipe.XXXXXX", spool_folder());
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	else
		file_failed("make", errno, e);
	free(path);
	return fd;
}

static int
write_at(int fd, const char *p, size_t n, uint64_t at, struct err *e)
{
	while (n > 0) {
		ssize_t w = pwrite(fd, p, n, (off_t)at);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return file_failed("write", w < 0 ? errno : ENOSPC, e);
		p += w;
		n -= (size_t)w;
		at += (uint64_t)w;
	}
	return 0;
}

static void
free_chunks(struct spool *s)
{
	for (struct chunk *c = s->first, *next; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	s->first = NULL;
	s->last = &s->first;
	s->pool->held -= s->in_memory;
	s->in_memory = 0;
}

static int
move_to_file(struct spool *s, struct err *e)
{
	uint64_t at = 0;
	s->fd = open_file(e);
	if (s->fd < 0)
		return -1;
	for (struct chunk *c = s->first; c != NULL; c = c->next) {
		if (write_at(s->fd, c->p, c->n, at, e) < 0)
			return -1;
		at += c->n;
	}
	free_chunks(s);
	return 0;
}

/* The largest frees most with one file; one that is being read keeps its place. */
static int
make_room(struct spool_pool *p, struct err *e)
{
	while (p->held > p->max) {
		struct spool *largest = NULL;
		for (struct spool *s = p->all; s != NULL; s = s->next) {
			if (!s->reading && s->in_memory > (largest != NULL ? largest->in_memory : 0))
				largest = s;
		}
		if (largest == NULL)
			return 0;
		if (move_to_file(largest, e) < 0)
			return -1;
	}
	return 0;
}

int
spool_reserve(struct spool_pool *p, uint64_t n, struct err *e)
{
	p->held += n;
	if (make_room(p, e) == 0)
		return 0;
	p->held -= n;
	return -1;
}

void
spool_unreserve(struct spool_pool *p, uint64_t n)
{
	p->held -= n;
}

static int
keep(struct spool *s, const unsigned char *p, size_t n, struct err *e)
{
	if (s->fd >= 0) {
		if (write_at(s->fd, (const char *)p, n, s->packed, e) < 0)
			return -1;
		s->packed += n;
		return 0;
	}
	struct chunk *c = xmalloc(sizeof(*c) + n);
	c->next = NULL;
	c->n = n;
	memcpy(c->p, p, n);
	*s->last = c;
	s->last = &c->next;
	s->packed += n;
	s->in_memory += n;
	s->pool->held += n;
	return make_room(s->pool, e);
}

static size_t
put_le32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> 8 * i);
	return 4;
}

/*
 * Packs the block. A sync flush ends it on a byte boundary without ending the stream, and nothing refers back
 * past a reset, so blocks packed at different times join up.
 */
static int
pack(struct spool *s, bool last, struct err *e)
{
	/* no name, no time: the same content gives the same bytes; XFL 4 is "fastest", OS 255 "unknown" */
	static const unsigned char header[HEADER] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255};
	z_stream *z = s->pool->packer;
	unsigned char *out = s->pool->scratch;
	size_t n = 0;
	if (s->packed == 0) {
		memcpy(out, header, HEADER);
		n = HEADER;
	}
	s->crc = (uint32_t)crc32(s->crc, (const Bytef *)s->block, (uInt)s->n);
	deflateReset(z);
	z->next_in = (Bytef *)s->block;
	z->avail_in = (uInt)s->n;
	z->next_out = out + n;
	z->avail_out = (uInt)(SCRATCH - TRAILER - n);
	int rc = deflate(z, last ? Z_FINISH : Z_SYNC_FLUSH);
	if (rc != (last ? Z_STREAM_END : Z_OK) || z->avail_in != 0 || z->avail_out == 0)
		return err_set(e, ERR_BUG, "cannot compress %zu bytes: zlib says %d", s->n, rc);
	n = (size_t)(z->next_out - out);
	if (last) {
		n += put_le32(out + n, s->crc);
		n += put_le32(out + n, (uint32_t)s->size);
	}
	s->n = 0;
	return keep(s, out, n, e);
}

static void
grow_block(struct spool *s)
{
	size_t cap = s->cap > 0 ? s->cap * 4 : BLOCK_FIRST;
	s->block = xrealloc(s->block, cap);
	s->pool->held += cap - s->cap;
	s->cap = cap;
}

int
spool_add(struct spool *s, struct str bytes, struct err *e)
{
	if (s->finished)
		return err_set(e, ERR_BUG, "cannot add to a spool: it is finished");
	s->size += bytes.n;
	while (bytes.n > 0) {
		if (s->n == s->cap)
			grow_block(s);
		size_t n = s->cap - s->n < bytes.n ? s->cap - s->n : bytes.n;
		memcpy(s->block + s->n, bytes.p, n);
		s->n += n;
		bytes = str_skip(bytes, n);
		if (s->n == BLOCK && pack(s, false, e) < 0)
			return -1;
	}
	return 0;
}

static void
free_block(struct spool *s)
{
	free(s->block);
	s->block = NULL;
	s->pool->held -= s->cap;
	s->n = s->cap = 0;
}

int
spool_finish(struct spool *s, struct err *e)
{
	if (s->finished)
		return 0;
	if (s->block == NULL)
		grow_block(s);
	if (pack(s, true, e) < 0)
		return -1;
	free_block(s);
	s->finished = true;
	return 0;
}

uint64_t
spool_size(const struct spool *s)
{
	return s->size;
}

uint64_t
spool_packed_size(const struct spool *s)
{
	return s->packed;
}

static void
end_reading(struct spool *s)
{
	if (s->unpacking)
		inflateEnd(&s->unpacker);
	s->unpacking = false;
	free(s->page);
	s->page = NULL;
}

int
spool_rewind(struct spool *s, bool packed, struct err *e)
{
	if (!s->finished)
		return err_set(e, ERR_BUG, "cannot read a spool: it is not finished");
	end_reading(s);
	s->reading = true;
	s->as_packed = packed;
	s->at = s->first;
	s->offset = 0;
	s->ended = false;
	if (packed)
		return 0;
	s->unpacker = (z_stream){.zalloc = xalloc_zlib, .zfree = xalloc_zlib_free};
	/* 15 + 16: gzip framing, whose checksum is then checked too */
	if (inflateInit2(&s->unpacker, 15 + 16) != Z_OK)
		xalloc_failed();
	s->unpacking = true;
	return 0;
}

/* Some packed bytes: how many, 0 at the end. */
static long
read_packed(struct spool *s, char *p, size_t n, struct err *e)
{
	if (s->fd >= 0) {
		ssize_t r;
		do
			r = pread(s->fd, p, n, (off_t)s->offset);
		while (r < 0 && errno == EINTR);
		if (r < 0)
			return file_failed("read", errno, e);
		s->offset += (uint64_t)r;
		return r;
	}
	if (s->at == NULL)
		return 0;
	size_t left = s->at->n - s->offset;
	n = n < left ? n : left;
	memcpy(p, s->at->p + s->offset, n);
	s->offset += n;
	if (s->offset == s->at->n) {
		s->at = s->at->next;
		s->offset = 0;
	}
	return (long)n;
}

static int
unpack_some(struct spool *s, struct err *e)
{
	z_stream *z = &s->unpacker;
	if (z->avail_in == 0) {
		if (s->page == NULL)
			s->page = xmalloc(BLOCK);
		long got = read_packed(s, s->page, BLOCK, e);
		if (got < 0)
			return -1;
		z->next_in = (Bytef *)s->page;
		z->avail_in = (uInt)got;
	}
	int rc = inflate(z, Z_NO_FLUSH);
	s->ended = rc == Z_STREAM_END;
	/* Z_BUF_ERROR with nothing left to feed: the file was cut. */
	if (rc != Z_OK && rc != Z_STREAM_END)
		return err_set(e, ERR_IO, "cannot decompress what was kept: %s",
		    z->msg != NULL ? z->msg : zError(rc));
	return 0;
}

long
spool_read(struct spool *s, char *p, size_t n, struct err *e)
{
	size_t done = 0;
	if (!s->reading)
		return err_set(e, ERR_BUG, "cannot read a spool: it was not rewound");
	if (!s->as_packed) {
		z_stream *z = &s->unpacker;
		z->next_out = (Bytef *)p;
		z->avail_out = (uInt)n;
		while (z->avail_out > 0 && !s->ended) {
			if (unpack_some(s, e) < 0)
				return -1;
		}
		return (long)(n - z->avail_out);
	}
	while (done < n) {
		long got = read_packed(s, p + done, n - done, e);
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (long)done;
}

void
spool_free(struct spool *s)
{
	if (s == NULL)
		return;
	end_reading(s);
	free_block(s);
	free_chunks(s);
	if (s->fd >= 0)
		close(s->fd);
	*s->link = s->next;
	if (s->next != NULL)
		s->next->link = s->link;
	free(s);
}
