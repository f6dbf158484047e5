#include "gsjournal.h"

#include <stdlib.h>

#include "bounds.h"
#include "gcs.h"
#include "log.h"
#include "url.h"

#define AHEAD 16  /* pieces that are read at once */
#define PACK 256  /* pieces that are read as one: a multiple of AHEAD */
#define PACK_KIND "pack-"

bool
gsjournal_is(const char *path)
{
	return path != NULL && str_starts(str_of(path), STR("gs://"));
}

static void
write_name(const struct gsjournal *g, struct buf *name, const char *kind, uint64_t n)
{
	buf_reset(name, 4 * KIB);
	buf_addf(name, "%s%s%s%08llu", g->prefix, g->prefix[0] != '\0' ? "/" : "", kind, (unsigned long long)n);
}

struct fetch {
	struct buf text; /* empty where there is no such object */
	struct err err;
};

static void
on_fetched(void *arg, const struct gapi_result *r)
{
	struct fetch *f = arg;
	f->err = r->err;
	if (r->err.class == ERR_NONE && r->status != 404)
		buf_adds(&f->text, r->reply->body);
}

/* n of them, waited for. Each is to be released. */
static void
fetch(struct gsjournal *g, const char *kind, uint64_t first, struct fetch *f, unsigned n)
{
	struct buf url = BUF_INIT(16 * KIB), name = BUF_INIT(4 * KIB);
	for (unsigned i = 0; i < n; i++) {
		f[i] = (struct fetch){.text = BUF_INIT(LIMIT_REPLY)};
		buf_reset(&url, 16 * KIB);
		write_name(g, &name, kind, first + i);
		gcs_object_url(&url, &g->storage, g->bucket, buf_str(&name));
		buf_addz(&url, "?alt=media");
		struct gapi_spec spec = {.method = "GET", .url = buf_cstr(&url), .what = "read the journal", .object = g->url,
		    .accept = 404};
		gapi_start(&g->storage, &spec, on_fetched, &f[i]);
	}
	gapi_wait(&g->storage);
	buf_release(&url);
	buf_release(&name);
}

/* status: 412 where it is there. */
static int
store(struct gsjournal *g, const char *kind, uint64_t n, struct str lines, int *status, struct err *e)
{
	struct buf url = BUF_INIT(16 * KIB), name = BUF_INIT(4 * KIB), body = BUF_INIT(LIMIT_REPLY);
	/* The bucket needs no escaping, for name_bucket lets through nothing that would; a prefix may. */
	buf_addf(&url, "%s/upload/storage/v1/b/%s/o?uploadType=media&ifGenerationMatch=0&name=", g->storage.endpoint.base,
	    g->bucket);
	write_name(g, &name, kind, n);
	url_encode(&url, buf_str(&name));
	buf_adds(&body, lines);
	struct gapi_spec spec = {.method = "POST", .url = buf_cstr(&url), .body = &body, .content_type = "application/x-ndjson",
	    .what = "write the journal", .object = g->url, .accept = 412};
	int rc = gapi_sync(&g->storage, &spec, NULL, status, e);
	buf_release(&url);
	buf_release(&name);
	buf_release(&body);
	return rc;
}

/* It saves time, no more: whether it can be made is not important. */
static void
make_pack(struct gsjournal *g, uint64_t k)
{
	struct err e;
	int status;
	if (!g->group.over && store(g, PACK_KIND, k, buf_str(&g->group), &status, &e) < 0)
		log_debug("%s", e.text);
}

static int
read_pieces(void *ctx, uint64_t *n, struct buf *out, struct err *e)
{
	struct gsjournal *g = ctx;
	struct fetch f[AHEAD];
	uint64_t first = *n;
	bool more = true;
	int rc = 0;
	if (first % PACK == 0) {
		buf_reset(&g->group, 64 * KIB);
		fetch(g, PACK_KIND, first / PACK, f, 1);
		buf_adds(out, buf_str(&f[0].text));
		*n += f[0].text.n > 0 ? PACK : 0;
		*e = f[0].err;
		buf_release(&f[0].text);
		if (e->class != ERR_NONE || *n > first)
			return e->class == ERR_NONE ? 0 : -1;
	}
	fetch(g, "", first, f, AHEAD);
	for (unsigned i = 0; i < AHEAD; i++) {
		if (more && f[i].err.class != ERR_NONE) {
			*e = f[i].err;
			rc = -1;
		}
		more = more && rc == 0 && f[i].text.n > 0;
		if (more) {
			buf_adds(out, buf_str(&f[i].text));
			buf_adds(&g->group, buf_str(&f[i].text));
			++*n;
		}
		buf_release(&f[i].text);
	}
	if (rc == 0 && *n > first && *n % PACK == 0)
		make_pack(g, first / PACK);
	return rc;
}

/* The answer to the request that made it can have been lost: it is there, then, and holds what we wrote. */
static int
is_ours(struct gsjournal *g, uint64_t n, struct str lines, struct err *e)
{
	struct fetch f;
	fetch(g, "", n, &f, 1);
	int rc = f.err.class != ERR_NONE ? -1 : 0;
	*e = f.err;
	if (rc == 0 && !str_eq(buf_str(&f.text), lines))
		rc = err_set(e, ERR_TRANSIENT, "cannot write the journal '%s': another run writes it; wait for its end, or give "
		    "this run a journal of its own", g->url);
	buf_release(&f.text);
	return rc;
}

static int
write_piece(void *ctx, uint64_t n, struct str lines, struct err *e)
{
	struct gsjournal *g = ctx;
	int status;
	if (store(g, "", n, lines, &status, e) < 0)
		return -1;
	return status == 412 ? is_ours(g, n, lines, e) : 0;
}

int
gsjournal_init(struct gsjournal *g, const char *url, const struct login *login, int64_t patience, struct err *e)
{
	*g = (struct gsjournal){.url = url, .http = http_new(), .group = BUF_INIT(LIMIT_REPLY / 2)};
	if (name_bucket(url, &g->bucket, &g->prefix, e) < 0)
		return err_wrap(e, "--journal");
	return gcs_init(&g->storage, g->http, login, patience, e);
}

int
gsjournal_open(struct gsjournal *g, struct journal *j, struct str settings, journal_entry *entry, void *arg, struct err *e)
{
	struct journal_medium m = {.read = read_pieces, .write = write_piece, .ctx = g};
	int rc = journal_open_at(j, &m, g->url, settings, entry, arg, e);
	buf_release(&g->group);
	return rc;
}

void
gsjournal_release(struct gsjournal *g)
{
	gapi_release(&g->storage);
	http_free(g->http);
	buf_release(&g->group);
	free(g->bucket);
	free(g->prefix);
}
