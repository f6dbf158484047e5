/* gunzip: request bodies that came with Content-Encoding: gzip. */
#define ZLIB_CONST
#include <zlib.h>

#include "httpd.h"

#define STEP (256 * 1024)

/* Inflates all of in, which may be several gzip members, into out. */
static int
inflate_all(z_stream *z, struct buf *out)
{
	int r = Z_OK;
	while (r != Z_STREAM_END || z->avail_in > 0) {
		if (r == Z_STREAM_END && inflateReset(z) != Z_OK)
			return -1;
		char *to = buf_room(out, STEP);
		if (to == NULL)
			return -1;
		z->next_out = (Bytef *)to;
		z->avail_out = STEP;
		r = inflate(z, Z_NO_FLUSH);
		if (r != Z_OK && r != Z_STREAM_END)
			return -1;
		buf_grew(out, STEP - z->avail_out);
	}
	return 0;
}

int
httpd_gunzip(struct buf *body)
{
	struct buf out = BUF_INIT(HTTPD_BODY_MAX + STEP);
	z_stream z = {.next_in = (const Bytef *)body->p, .avail_in = (uInt)body->n};
	/* 32: the header tells whether it is gzip or zlib */
	if (inflateInit2(&z, 15 + 32) != Z_OK)
		return -1;
	int rc = inflate_all(&z, &out);
	inflateEnd(&z);
	if (rc != 0 || out.n > HTTPD_BODY_MAX) {
		buf_release(&out);
		return -1;
	}
	out.max = body->max;
	buf_release(body);
	*body = out;
	return 0;
}
