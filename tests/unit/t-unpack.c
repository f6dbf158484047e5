/* unpack: gzip, zstd and plain bytes, in pieces of every size, whole and broken. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "bounds.h"
#include "rng.h"
#include "tap.h"
#include "unpack.h"
#include "xalloc.h"

static struct buf text = BUF_INIT(8 * MIB);

static void
gzip(struct buf *out, struct str s)
{
	z_stream z = {0};
	deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (Bytef *)(uintptr_t)s.p;
	z.avail_in = (uInt)s.n;
	z.avail_out = (uInt)deflateBound(&z, s.n);
	z.next_out = (Bytef *)buf_room(out, z.avail_out);
	deflate(&z, Z_FINISH);
	buf_grew(out, z.total_out);
	deflateEnd(&z);
}

static void
zstd(struct buf *out, struct str s)
{
	size_t room = ZSTD_compressBound(s.n);
	buf_grew(out, ZSTD_compress(buf_room(out, room), room, s.p, s.n, 3));
}

/* All of it in pieces of `in` bytes, with room for `room`: 0, or -1 with e. */
static int
run(struct str packed, size_t in, size_t room, struct buf *out, struct err *e)
{
	struct unpack *u = unpack_new();
	int rc = 0;
	buf_reset(out, 8 * MIB);
	while (rc == 0 && packed.n > 0) {
		struct str piece = {packed.p, in < packed.n ? in : packed.n};
		packed = str_skip(packed, piece.n);
		do {
			size_t before = out->n;
			rc = unpack_step(u, &piece, out, room, e);
			if (out->n - before > room)
				rc = -2;
		} while (rc > 0);
	}
	if (rc == 0)
		rc = unpack_end(u, out, e);
	unpack_free(u);
	return rc;
}

static void
whole(const char *name, struct str packed, struct str want)
{
	static const size_t sizes[][2] = {{1 << 20, 1 << 20}, {1, 1 << 16}, {7, 3}, {4096, 1}, {65536, 100000}};
	struct buf out = BUF_INIT(8 * MIB);
	struct err e;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int rc = run(packed, sizes[i][0], sizes[i][1], &out, &e);
		ok(rc == 0 && str_eq(buf_str(&out), want), "%s in pieces of %zu, out by %zu", name, sizes[i][0], sizes[i][1]);
	}
	buf_release(&out);
}

static void
broken(const char *name, struct str packed, const char *cause, size_t least)
{
	struct buf out = BUF_INIT(8 * MIB);
	struct err e = {0};
	int rc = run(packed, 1000, 4096, &out, &e);
	/* Of damaged bytes some may come out wrong before it shows. */
	size_t sure = least == 1 ? 1 : out.n;
	bool prefix = out.n <= text.n && memcmp(out.p != NULL ? out.p : "", text.p, sure) == 0;
	ok(rc == -1 && e.class == ERR_INPUT && strstr(e.text, cause) != NULL, "%s: %s", name, e.text);
	ok(prefix && out.n >= least, "and what came before it was handed out");
	buf_release(&out);
}

static void
test_whole(void)
{
	struct buf b = BUF_INIT(16 * MIB), twice = BUF_INIT(16 * MIB);
	struct str all = buf_str(&text), half = {all.p, all.n / 2};
	whole("plain", all, all);
	whole("nothing", STR(""), STR(""));
	whole("one byte", STR("x"), STR("x"));
	whole("three bytes", STR("{}\n"), STR("{}\n"));
	gzip(&b, all);
	whole("gzip", buf_str(&b), all);
	gzip(&twice, half);
	gzip(&twice, str_skip(all, half.n));
	whole("two gzip members", buf_str(&twice), all);
	for (int i = 0; i < 512; i++)
		buf_addc(&twice, '\0');
	whole("gzip with padding", buf_str(&twice), all);
	buf_reset(&b, 0);
	gzip(&b, STR(""));
	whole("gzip of nothing", buf_str(&b), STR(""));
	buf_reset(&b, 0);
	buf_reset(&twice, 0);
	zstd(&b, all);
	whole("zstd", buf_str(&b), all);
	buf_add(&twice, "\x50\x2a\x4d\x18\x04\x00\x00\x00skip", 12);
	zstd(&twice, half);
	zstd(&twice, str_skip(all, half.n));
	whole("a skippable and two zstd frames", buf_str(&twice), all);
	buf_release(&b);
	buf_release(&twice);
}

static void
test_broken(void)
{
	struct buf g = BUF_INIT(16 * MIB), z = BUF_INIT(16 * MIB);
	gzip(&g, buf_str(&text));
	zstd(&z, buf_str(&text));
	broken("gzip cut", (struct str){g.p, g.n / 2}, "ends early, after byte", text.n / 3);
	broken("gzip cut in its trailer", (struct str){g.p, g.n - 1}, "ends early", text.n);
	broken("gzip cut in its header", (struct str){g.p, 3}, "ends early, after byte 3", 0);
	broken("zstd cut", (struct str){z.p, z.n / 2}, "ends early, after byte", 0);
	buf_addz(&g, "hello");
	broken("something behind gzip", buf_str(&g), "what follows it is no gzip", text.n);
	g.p[g.n / 2] ^= 0x55;
	g.p[g.n / 2 + 1] ^= 0x55;
	broken("gzip damaged", buf_str(&g), "is broken at byte", 1);
	buf_release(&g);
	buf_release(&z);
}

int
main(void)
{
	struct rng r;
	rng_seed(&r, 4);
	while (text.n < 300000)
		buf_addf(&text, "{\"n\":%llu,\"text\":\"some words\"}\n", (unsigned long long)rng_below(&r, 1000000));
	test_whole();
	test_broken();
	return done();
}
