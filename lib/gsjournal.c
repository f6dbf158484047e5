#include "gsjournal.h"

#include <stdlib.h>

#include "bounds.h"
#include "gcs.h"
#include "url.h"

bool
gsjournal_is(const char *path)
{
	return path != NULL && str_starts(str_of(path), STR("gs://"));
}

static void
add_name(const struct gsjournal *g, struct buf *url, uint64_t n)
{
	struct buf name = BUF_INIT(4 * KIB);
	buf_addf(&name, "%s%s%08llu", g->prefix, g->prefix[0] != '\0' ? "/" : "", (unsigned long long)n);
	url_encode(url, buf_str(&name));
	buf_release(&name);
}

static int
read_piece(void *ctx, uint64_t n, struct buf *out, struct err *e)
{
	struct gsjournal *g = ctx;
	struct buf url = BUF_INIT(16 * KIB);
	int status, rc;
	buf_addf(&url, "%s/storage/v1/b/%s/o/", g->storage.endpoint.base, g->bucket);
	add_name(g, &url, n);
	buf_addz(&url, "?alt=media");
	struct gapi_spec spec = {.method = "GET", .url = buf_cstr(&url), .what = "read the journal", .object = g->url, .accept = 404};
	rc = gapi_sync(&g->storage, &spec, out, &status, e);
	if (rc == 0 && status == 404)
		buf_reset(out, 64 * KIB);
	buf_release(&url);
	return rc;
}

/* The answer to the request that made it can have been lost: it is there, then, and holds what we wrote. */
static int
is_ours(struct gsjournal *g, uint64_t n, struct str lines, struct err *e)
{
	struct buf there = BUF_INIT(LIMIT_REPLY);
	int rc = read_piece(g, n, &there, e);
	if (rc == 0 && !str_eq(buf_str(&there), lines))
		rc = err_set(e, ERR_TRANSIENT, "cannot write the journal '%s': another run writes it; wait for its end, or give "
		    "this run a journal of its own", g->url);
	buf_release(&there);
	return rc;
}

static int
write_piece(void *ctx, uint64_t n, struct str lines, struct err *e)
{
	struct gsjournal *g = ctx;
	struct buf url = BUF_INIT(16 * KIB), body = BUF_INIT(LIMIT_REPLY);
	int status, rc;
	buf_addf(&url, "%s/upload/storage/v1/b/%s/o?uploadType=media&ifGenerationMatch=0&name=", g->storage.endpoint.base,
	    g->bucket);
	add_name(g, &url, n);
	buf_adds(&body, lines);
	struct gapi_spec spec = {.method = "POST", .url = buf_cstr(&url), .body = &body, .content_type = "application/x-ndjson",
	    .what = "write the journal", .object = g->url, .accept = 412};
	rc = gapi_sync(&g->storage, &spec, NULL, &status, e);
	if (rc == 0 && status == 412)
		rc = is_ours(g, n, lines, e);
	buf_release(&url);
	buf_release(&body);
	return rc;
}

int
gsjournal_init(struct gsjournal *g, const char *url, const char *token_file, int64_t patience, struct err *e)
{
	*g = (struct gsjournal){.url = url, .http = http_new()};
	if (name_bucket(url, &g->bucket, &g->prefix, e) < 0)
		return err_wrap(e, "--journal");
	return gcs_init(&g->storage, g->http, token_file, patience, e);
}

int
gsjournal_open(struct gsjournal *g, struct journal *j, struct str settings, journal_entry *entry, void *arg, struct err *e)
{
	struct journal_medium m = {.read = read_piece, .write = write_piece, .ctx = g};
	return journal_open_at(j, &m, g->url, settings, entry, arg, e);
}

void
gsjournal_release(struct gsjournal *g)
{
	gapi_release(&g->storage);
	http_free(g->http);
	free(g->bucket);
	free(g->prefix);
}
