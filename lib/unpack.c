#include "unpack.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "xalloc.h"

enum kind { UNKNOWN, PLAIN, GZIP, PADDING, ZSTD };

#define MAGIC 4 /* bytes that tell the kind */

struct unpack {
	enum kind kind;
	uint64_t offset;      /* of packed bytes taken so far */
	unsigned char head[MAGIC];
	size_t nhead, served; /* the first bytes, gathered, and how many of them went on */
	z_stream z;
	bool z_open;
	ZSTD_DCtx *zstd;
	bool inside;          /* of a gzip member or zstd frame */
	bool full;            /* the last step ended for want of room */
};

struct unpack *
unpack_new(void)
{
	return xcalloc(1, sizeof(struct unpack));
}

void
unpack_free(struct unpack *u)
{
	if (u == NULL)
		return;
	if (u->z_open)
		inflateEnd(&u->z);
	ZSTD_freeDCtx(u->zstd);
	free(u);
}

const char *
unpack_kind(const struct unpack *u)
{
	return u->kind == ZSTD ? "zstd" : u->kind == GZIP || u->kind == PADDING ? "gzip" : "plain";
}

static int
broken(const struct unpack *u, struct err *e, const char *cause)
{
	return err_set(e, ERR_INPUT, "its %s stream is broken at byte %llu: %s", unpack_kind(u),
	    (unsigned long long)u->offset, cause);
}

static enum kind
kind_of(const unsigned char *p, size_t n)
{
	if (n >= 2 && p[0] == 0x1f && p[1] == 0x8b)
		return GZIP;
	if (n < 4)
		return PLAIN;
	uint32_t magic = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	bool skippable = (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
	return magic == ZSTD_MAGICNUMBER || skippable ? ZSTD : PLAIN;
}

static void
begin(struct unpack *u)
{
	u->kind = kind_of(u->head, u->nhead);
	u->inside = u->kind == GZIP || u->kind == ZSTD;
	if (u->kind == GZIP) {
		u->z = (z_stream){.zalloc = xalloc_zlib, .zfree = xalloc_zlib_free};
		/* 15 + 16: the largest window, gzip framing */
		if (inflateInit2(&u->z, 15 + 16) != Z_OK)
			xalloc_failed();
		u->z_open = true;
	} else if (u->kind == ZSTD) {
		u->zstd = ZSTD_createDCtx();
		if (u->zstd == NULL)
			xalloc_failed();
	}
}

/* What stands in front of *in: the gathered head, until it is used up. */
static struct str
front(const struct unpack *u, struct str in)
{
	if (u->served < u->nhead)
		return (struct str){(const char *)u->head + u->served, u->nhead - u->served};
	return in;
}

static void
advance(struct unpack *u, struct str *in, size_t n)
{
	if (u->served < u->nhead)
		u->served += n;
	else
		*in = str_skip(*in, n);
	u->offset += n;
}

/* Between two members: the next one, or zeros to the end. */
static int
between(struct unpack *u, struct str s, struct err *e)
{
	if (s.p[0] == '\0') {
		u->kind = PADDING;
		return 0;
	}
	if ((unsigned char)s.p[0] != 0x1f)
		return broken(u, e, "what follows it is no gzip");
	inflateReset(&u->z);
	u->inside = true;
	return 0;
}

/* Each of these takes some of s, *used, and adds to out at most room bytes. */
static int
plain(struct str s, size_t *used, struct buf *out, size_t room)
{
	*used = s.n < room ? s.n : room;
	buf_add(out, s.p, *used);
	return 0;
}

static int
gunzip(struct unpack *u, struct str s, size_t *used, struct buf *out, size_t room, struct err *e)
{
	if (!u->inside && between(u, s, e) < 0)
		return -1;
	if (!u->inside)
		return 0;
	char *to = buf_room(out, room);
	u->z.next_in = (Bytef *)(uintptr_t)s.p;
	u->z.avail_in = (uInt)s.n;
	u->z.next_out = (Bytef *)to;
	u->z.avail_out = (uInt)room;
	int rc = inflate(&u->z, Z_NO_FLUSH);
	*used = s.n - u->z.avail_in;
	buf_grew(out, room - u->z.avail_out);
	u->full = u->z.avail_out == 0;
	if (rc == Z_STREAM_END) {
		u->inside = false;
		u->full = false;
	} else if (rc != Z_OK && rc != Z_BUF_ERROR) {
		u->offset += *used;
		return broken(u, e, u->z.msg != NULL ? u->z.msg : "zlib cannot go on");
	}
	return 0;
}

static int
unzstd(struct unpack *u, struct str s, size_t *used, struct buf *out, size_t room, struct err *e)
{
	ZSTD_inBuffer in = {s.p, s.n, 0};
	ZSTD_outBuffer to = {buf_room(out, room), room, 0};
	size_t rc = ZSTD_decompressStream(u->zstd, &to, &in);
	*used = in.pos;
	buf_grew(out, to.pos);
	u->full = to.pos == to.size && rc != 0;
	if (ZSTD_isError(rc)) {
		if (ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation)
			xalloc_failed();
		u->offset += *used;
		return broken(u, e, ZSTD_getErrorName(rc));
	}
	u->inside = rc != 0;
	return 0;
}

static int
padding(struct unpack *u, struct str s, size_t *used, struct err *e)
{
	while (*used < s.n && s.p[*used] == '\0')
		++*used;
	u->offset += *used < s.n ? *used : 0;
	return *used < s.n ? broken(u, e, "what follows it is no gzip") : 0;
}

static int
take(struct unpack *u, struct str s, size_t *used, struct buf *out, size_t room, struct err *e)
{
	*used = 0;
	u->full = false;
	switch (u->kind) {
	case GZIP:
		return gunzip(u, s, used, out, room, e);
	case PADDING:
		return padding(u, s, used, e);
	case ZSTD:
		return unzstd(u, s, used, out, room, e);
	default:
		return plain(s, used, out, room);
	}
}

int
unpack_step(struct unpack *u, struct str *in, struct buf *out, size_t room, struct err *e)
{
	size_t before = out->n;
	while (u->kind == UNKNOWN && in->n > 0) {
		u->head[u->nhead++] = (unsigned char)in->p[0];
		*in = str_skip(*in, 1);
		if (u->nhead == MAGIC)
			begin(u);
	}
	if (u->kind == UNKNOWN)
		return 0;
	for (;;) {
		struct str s = front(u, *in);
		size_t left = room - (out->n - before), used;
		if (left == 0)
			return 1;
		if (s.n == 0 && !u->full)
			return out->n > before;
		size_t made = out->n;
		if (take(u, s, &used, out, left, e) < 0)
			return -1;
		advance(u, in, used);
		if (s.n == 0 && out->n == made)
			return out->n > before;
	}
}

int
unpack_end(struct unpack *u, struct buf *out, struct err *e)
{
	if (u->kind == UNKNOWN && u->nhead > 0) {
		struct str none = STR("");
		begin(u);
		if (unpack_step(u, &none, out, MAGIC, e) < 0)
			return -1;
	}
	if (u->inside)
		return err_set(e, ERR_INPUT, "its %s stream ends early, after byte %llu", unpack_kind(u),
		    (unsigned long long)u->offset);
	return 0;
}
