#include "gcsread.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "bounds.h"
#include "clock.h"
#include "gcs.h"
#include "num.h"
#include "xalloc.h"

#define FIELDS "items(name,generation,size,updated,crc32c),nextPageToken"
#define STANDSTILL SECONDS(60)
#define WHAT_READ "read"

struct gcs_listing {
	struct gapi_call *call;
	bool one;        /* an object, not a page of them */
	char *label;
	gcs_each *each;
	gcs_page *page;
	void *arg;
};

static void
free_listing(struct gcs_listing *l)
{
	free(l->label);
	free(l);
}

void
gcs_listing_cancel(struct gcs_listing *l)
{
	if (l == NULL)
		return;
	gapi_cancel(l->call);
	free_listing(l);
}

static int
take_item(const struct gcs_listing *l, const struct json *j, uint32_t t, struct buf *text, struct err *e)
{
	struct gcs_item item = {.generation = json_text(j, json_get(j, t, "generation")),
	    .updated = json_text(j, json_get(j, t, "updated")), .crc32c = json_text(j, json_get(j, t, "crc32c"))};
	int64_t generation;
	buf_reset(text, 4 * KIB);
	item.name = json_string(j, json_get(j, t, "name"), text);
	bool fine = item.name.n > 0 && num_i64(item.generation, &generation) && json_i64(j, json_get(j, t, "size"), &item.size) &&
	    item.size >= 0 && str_find(item.updated, '\\') == item.updated.n;
	if (!fine)
		return err_set(e, ERR_TRANSIENT, "the reply lacks an object's name, generation or size");
	l->each(l->arg, &item);
	return 0;
}

static int
check_items(const struct json *j, uint32_t items, struct err *e)
{
	if (items != JSON_NONE && !json_is(j, items, JSON_ARRAY))
		return err_set(e, ERR_TRANSIENT, "the reply's items are no array");
	return 0;
}

/* 0, or -1 where the reply is not what it should be. Nothing is handed out of a reply that is cut. */
static int
take_page(const struct gcs_listing *l, struct json *j, struct str body, struct str *token, struct buf *scratch, struct err *e)
{
	struct buf text = BUF_INIT(64 * KIB);
	int rc = -1;
	if (json_read(j, body, e) < 0)
		goto out;
	if (l->one) {
		rc = take_item(l, j, 0, &text, e);
		goto out;
	}
	uint32_t items = json_get(j, 0, "items");
	if (check_items(j, items, e) < 0)
		goto out;
	for (uint32_t t = items + 1; items != JSON_NONE && t < json_end(j, items); t = j->tok[t].next) {
		if (take_item(l, j, t, &text, e) < 0)
			goto out;
	}
	*token = json_string(j, json_get(j, 0, "nextPageToken"), scratch);
	rc = 0;
out:
	e->class = rc < 0 ? ERR_TRANSIENT : e->class;
	buf_release(&text);
	return rc;
}

static void
on_listed(void *arg, const struct gapi_result *r)
{
	struct gcs_listing *l = arg;
	struct json j = {0};
	struct buf scratch = BUF_INIT(64 * KIB);
	struct str token = STR("");
	struct err e = r->err;
	if (e.class == ERR_NONE && take_page(l, &j, r->reply->body, &token, &scratch, &e) < 0) {
		err_wrap(&e, "cannot list '%s'", l->label);
		if (gapi_again(r, &e))
			goto out;
	}
	l->page(l->arg, token, e.class != ERR_NONE ? &e : NULL, r->status);
	free_listing(l);
out:
	buf_release(&scratch);
	json_release(&j);
}

static struct gcs_listing *
start_listing(struct gapi *g, struct buf *url, const char *label, bool one, gcs_each *each, gcs_page *page, void *arg)
{
	struct gcs_listing *l = xcalloc(1, sizeof(*l));
	*l = (struct gcs_listing){.one = one, .label = xstrdup(label), .each = each, .page = page, .arg = arg};
	struct gapi_spec spec = {.method = "GET", .url = buf_cstr(url), .what = one ? "read" : "list", .object = label};
	l->call = gapi_start(g, &spec, on_listed, l);
	return l;
}

struct gcs_listing *
gcs_list(struct gapi *g, const char *bucket, struct str prefix, struct str token, gcs_each *each, gcs_page *page, void *arg)
{
	struct buf url = BUF_INIT(64 * KIB);
	char *label = xasprintf("gs://%s", bucket);
	gcs_object_url(&url, g, bucket, STR(""));
	buf_addz(&url, "?maxResults=1000&fields=");
	url_encode(&url, STR(FIELDS));
	buf_addz(&url, "&prefix=");
	url_encode(&url, prefix);
	if (token.n > 0) {
		buf_addz(&url, "&pageToken=");
		url_encode(&url, token);
	}
	struct gcs_listing *l = start_listing(g, &url, label, false, each, page, arg);
	free(label);
	buf_release(&url);
	return l;
}

struct gcs_listing *
gcs_stat(struct gapi *g, const char *bucket, struct str name, gcs_each *each, gcs_page *page, void *arg)
{
	struct buf url = BUF_INIT(64 * KIB);
	char *label = xasprintf("gs://%s/%.*s", bucket, STR_ARG(name));
	gcs_object_url(&url, g, bucket, name);
	struct gcs_listing *l = start_listing(g, &url, label, true, each, page, arg);
	free(label);
	buf_release(&url);
	return l;
}

/* ---- reading ---- */

struct gcs_read {
	struct gapi *g;
	struct gapi_call *call;
	char *label, *url, *crc32c;
	struct ranged bytes;
	gcs_read_end *end;
	void *arg;
};

static void start_read(struct gcs_read *r, int64_t when);

static void
free_read(struct gcs_read *r)
{
	free(r->label);
	free(r->url);
	free(r->crc32c);
	free(r);
}

void
gcs_read_cancel(struct gcs_read *r)
{
	if (r == NULL)
		return;
	if (r->call != NULL)
		gapi_cancel(r->call);
	free_read(r);
}

void
gcs_read_resume(struct gcs_read *r)
{
	if (r->call != NULL)
		gapi_resume(r->call);
}

static bool
on_piece(void *arg, int status, struct str headers, struct str piece)
{
	struct gcs_read *r = arg;
	return ranged_piece(&r->bytes, status, headers, piece);
}

static void
finish(struct gcs_read *r, const struct err *e)
{
	r->end(r->arg, e);
	free_read(r);
}

static void
go_on(struct gcs_read *r, const struct gapi_result *result, struct err *e)
{
	int64_t when;
	if (!ranged_again(&r->bytes, &r->g->rng, http_retry_after(result->reply), r->g->patience, &when, e)) {
		finish(r, e);
		return;
	}
	r->g->retries++;
	start_read(r, when);
}

/* All bytes came: are they the object's? What was handed out cannot be taken back, but is not taken for done. */
static void
finish_whole(struct gcs_read *r)
{
	uint32_t c = r->bytes.crc;
	uint8_t crc[4] = {(uint8_t)(c >> 24), (uint8_t)(c >> 16), (uint8_t)(c >> 8), (uint8_t)c};
	struct buf text = BUF_INIT(16);
	struct err e;
	base64_encode(&text, (struct str){(const char *)crc, sizeof(crc)});
	if (r->crc32c[0] == '\0' || str_is(buf_str(&text), r->crc32c)) {
		finish(r, NULL);
	} else {
		err_set(&e, ERR_TRANSIENT, "cannot read '%s': what came is not the object, whose crc32c is %s, not %.*s; it is "
		    "read again by the next run", r->label, r->crc32c, STR_ARG(buf_str(&text)));
		finish(r, &e);
	}
	buf_release(&text);
}

static void
on_read(void *arg, const struct gapi_result *result)
{
	struct gcs_read *r = arg;
	struct err e = result->err;
	r->call = NULL;
	if (e.class == ERR_NONE && r->bytes.at == r->bytes.size) {
		finish_whole(r);
	} else if (result->status == 404 || result->status == 412 || result->status == 416) {
		/* 404 also where it was replaced: what is asked for is the one generation. */
		ranged_lost(&r->bytes, r->label, result->status == 404, &e);
		finish(r, &e);
	} else if (e.class == ERR_NONE) {
		ranged_short(&r->bytes, r->label, &e);
		go_on(r, result, &e);
	} else if (e.class == ERR_TRANSIENT || e.class == ERR_QUOTA) {
		go_on(r, result, &e);
	} else {
		finish(r, &e);
	}
}

static void
start_read(struct gcs_read *r, int64_t when)
{
	char *range = xasprintf("Range: bytes=%llu-", (unsigned long long)r->bytes.at);
	/* Stored gzip comes as it is stored: unpacked on the way, a range would mean other bytes. */
	const char *headers[] = {"Accept-Encoding: gzip", r->bytes.at > 0 ? range : NULL, NULL};
	struct gapi_spec spec = {.method = "GET", .url = r->url, .headers = headers, .what = WHAT_READ, .object = r->label,
	    .timeout = STANDSTILL, .once = true, .on_data = on_piece, .when = when};
	ranged_begin(&r->bytes);
	r->call = gapi_start(r->g, &spec, on_read, r);
	free(range);
}

struct gcs_read *
gcs_read_start(struct gapi *g, const char *bucket, const struct gcs_item *item, ranged_data *data, gcs_read_end *end, void *arg)
{
	struct gcs_read *r = xcalloc(1, sizeof(*r));
	struct buf url = BUF_INIT(64 * KIB);
	*r = (struct gcs_read){.g = g, .crc32c = str_dup(item->crc32c), .end = end, .arg = arg};
	r->bytes = (struct ranged){.size = (uint64_t)item->size, .data = data, .arg = arg};
	r->label = xasprintf("gs://%s/%.*s", bucket, STR_ARG(item->name));
	gcs_object_url(&url, g, bucket, item->name);
	buf_addz(&url, "?alt=media&generation=");
	url_encode(&url, item->generation);
	r->url = xstrdup(buf_cstr(&url));
	buf_release(&url);
	start_read(r, 0);
	return r;
}
