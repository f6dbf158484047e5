/*
 * Where in an object a row is: BigQuery tells the byte at which it begins, and people look for the line. The object is
 * read for it, which this account can, since the job reads it in its name.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "gcs.h"
#include "load.h"
#include "log.h"
#include "num.h"
#include "unpack.h"

/* "... in row starting at position 122: ..." */
static bool
position_in(struct str message, uint64_t *byte)
{
	static const struct str mark = STR("starting at position ");
	const char *p = memmem(message.p, message.n, mark.p, mark.n);
	int64_t n;
	if (p == NULL)
		return false;
	struct str digits = {p + mark.n, 0};
	while (digits.p + digits.n < message.p + message.n && digits.p[digits.n] >= '0' && digits.p[digits.n] <= '9')
		digits.n++;
	if (!num_i64(digits, &n))
		return false;
	*byte = (uint64_t)n;
	return true;
}

/* Lines that end before the byte; -1 where the content is shorter or broken. */
static int64_t
lines_before(struct str content, uint64_t byte)
{
	struct unpack *u = unpack_new();
	struct buf plain = BUF_INIT(256 * KIB);
	struct err e;
	int64_t n = 0;
	uint64_t at = 0;
	while (at < byte && unpack_step(u, &content, &plain, 64 * KIB, &e) == 1) {
		for (size_t i = 0; i < plain.n && at < byte; i++, at++)
			n += plain.p[i] == '\n';
		buf_reset(&plain, 256 * KIB);
	}
	unpack_free(u);
	buf_release(&plain);
	return at == byte ? n : -1;
}

/*
 * Waits for the reply, on connections of its own, so that no other call's callback runs meanwhile: objects that are
 * refused are rare, and a job has few of them.
 */
static int
fetch(const struct load *ld, const char *url, struct buf *out)
{
	struct gapi storage = {0};
	struct http *http = http_new();
	struct buf full = BUF_INIT(16 * KIB);
	struct str path = str_skip(str_of(url), strlen("gs://"));
	size_t n = str_find(path, '/');
	char *bucket = str_dup((struct str){path.p, n});
	struct err e;
	int rc = gcs_init(&storage, http, &ld->o.common.login, SECONDS(10), &e);
	if (rc == 0) {
		gcs_object_url(&full, &storage, bucket, str_skip(path, n + 1));
		buf_addz(&full, "?alt=media");
		struct gapi_spec spec = {.method = "GET", .url = buf_cstr(&full), .what = "read", .object = url};
		rc = gapi_sync(&storage, &spec, out, NULL, &e);
	}
	if (rc < 0)
		log_debug("%s", e.text);
	gapi_release(&storage);
	http_free(http);
	buf_release(&full);
	free(bucket);
	return rc;
}

uint64_t
place_line(const struct load *ld, const char *url, struct str message)
{
	struct buf content = BUF_INIT(LIMIT_REPLY);
	uint64_t byte;
	int64_t n = -1;
	if (position_in(message, &byte) && fetch(ld, url, &content) == 0)
		n = lines_before(buf_str(&content), byte);
	buf_release(&content);
	return n < 0 ? 0 : (uint64_t)n + 1;
}
