#include "s3read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "num.h"
#include "time.h"
#include "url.h"
#include "xalloc.h"

#define STANDSTILL SECONDS(60)
#define WHAT_LIST "list"
#define WHAT_READ "read"

struct s3_listing {
	struct s3 *s;
	struct s3_call *call;
	char *bucket, *label;
	char *key;           /* of s3_stat */
	size_t key_len;
	char *token;         /* of this page; NULL: the first */
	bool whole;          /* s3_stat: asked without a range, for an empty object has none */
	gcs_each *each;
	gcs_page *page;
	void *arg;
};

static void
free_listing(struct s3_listing *l)
{
	free(l->bucket);
	free(l->label);
	free(l->key);
	free(l->token);
	free(l);
}

void
s3_listing_cancel(struct s3_listing *l)
{
	if (l == NULL)
		return;
	s3_cancel(l->call);
	free_listing(l);
}

static void
end_listing(struct s3_listing *l, struct str token, const struct err *e, int status)
{
	l->page(l->arg, token, e->class != ERR_NONE ? e : NULL, status);
	free_listing(l);
}

static void
hand_out(const struct s3_listing *l, struct str key, struct str etag, int64_t size, int64_t modified)
{
	struct buf updated = BUF_INIT(64);
	time_format(&updated, modified);
	struct gcs_item item = {.name = key, .generation = etag, .updated = buf_str(&updated), .size = size};
	l->each(l->arg, &item);
	buf_release(&updated);
}

static void
on_listed(void *arg, const struct s3_result *r)
{
	struct s3_listing *l = arg;
	struct s3_page page = {0};
	struct err e = r->err;
	if (e.class == ERR_NONE && s3xml_page(&page, r->reply->body, &e) < 0) {
		err_wrap(&e, "cannot " WHAT_LIST " '%s'", l->label);
		if (s3_again(r, &e))
			return;
	}
	if (e.class == ERR_NONE && page.next.n > 0 && l->token != NULL && str_is(page.next, l->token))
		err_set(&e, ERR_PERMANENT,
		    "cannot " WHAT_LIST " '%s': the service gives the same page for ever", l->label);
	for (size_t i = 0; e.class == ERR_NONE && i < page.n; i++)
		hand_out(l, page.v[i].key, page.v[i].etag, page.v[i].size, page.v[i].modified);
	end_listing(l, page.next, &e, r->status);
	s3xml_page_release(&page);
}

struct s3_listing *
s3_list(struct s3 *s, const char *bucket, struct str prefix, struct str token, gcs_each *each, gcs_page *page,
    void *arg)
{
	struct s3_listing *l = xcalloc(1, sizeof(*l));
	struct buf query = BUF_INIT(64 * KIB);
	*l = (struct s3_listing){.s = s,
	    .bucket = xstrdup(bucket),
	    .label = s3_label(bucket, STR_NONE),
	    .each = each,
	    .page = page,
	    .arg = arg};
	if (token.n > 0) {
		l->token = str_dup(token);
		buf_addz(&query, "continuation-token=");
		url_encode(&query, token);
		buf_addc(&query, '&');
	}
	buf_addf(&query, "encoding-type=url&list-type=2&max-keys=%d&prefix=", S3_PAGE_MAX);
	url_encode(&query, prefix);
	struct s3_spec spec = {.bucket = bucket, .query = buf_cstr(&query), .what = WHAT_LIST};
	l->call = s3_start(s, &spec, on_listed, l);
	buf_release(&query);
	return l;
}

struct check {
	bool ended;
	struct err *e;
};

static void
ignore_item(void *arg, const struct gcs_item *item)
{
	(void)arg;
	(void)item;
}

static void
on_checked(void *arg, struct str token, const struct err *e, int status)
{
	struct check *c = arg;
	(void)token;
	(void)status;
	c->ended = true;
	if (e != NULL)
		*c->e = *e;
}

int
s3_check_bucket(struct s3 *s, const char *bucket, struct err *e)
{
	static struct pollset set;
	struct err mine = {0};
	struct check c = {.e = &mine};
	struct stage_net net = http_net(s->http);
	int64_t patience = s->patience;
	/* As for gapi_sync: a start check that never ends helps nobody. */
	if (patience == 0 || patience > SECONDS(60))
		s->patience = SECONDS(60);
	s3_list(s, bucket, STR_NONE, STR_NONE, ignore_item, on_checked, &c);
	while (!c.ended) {
		set.n = 0;
		set.wake = s3_turn(s, clock_now());
		net.fill(net.ctx, &set);
		int64_t left = set.wake == CLOCK_NEVER ? SECONDS(1) : set.wake - clock_now();
		poll(set.fds, set.n, left <= 0 ? 0 : left > SECONDS(1) ? 1000 : (int)((left + 999) / 1000));
		net.ready(net.ctx, &set);
	}
	s->patience = patience;
	if (mine.class != ERR_NONE && e != NULL)
		*e = mine;
	return mine.class == ERR_NONE ? 0 : -1;
}

/* ---- one object ---- */

static int
month(struct str s)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	for (int i = 0; i < 12 && s.n == 3; i++) {
		if (memcmp(s.p, names + 3 * i, 3) == 0)
			return i + 1;
	}
	return 0;
}

/* "Wed, 12 Oct 2009 17:50:00 GMT" [RFC 9110 section 5.6.7]: false where it is not that. */
static bool
read_http_date(struct str s, int64_t *micros)
{
	char text[32];
	if (s.n != 29 || !str_ends(s, STR(" GMT")) || month((struct str){s.p + 8, 3}) == 0)
		return false;
	snprintf(text, sizeof(text), "%.4s-%02d-%.2sT%.8sZ", s.p + 12, month((struct str){s.p + 8, 3}) % 100,
	    s.p + 5, s.p + 17);
	return time_parse_timestamp(str_of(text), micros) == NULL;
}

static struct str
unquoted(struct str etag)
{
	if (etag.n >= 2 && etag.p[0] == '"' && etag.p[etag.n - 1] == '"')
		return (struct str){etag.p + 1, etag.n - 2};
	return etag;
}

static void ask_object(struct s3_listing *l);

/* The object as its first byte's headers tell. */
static void
on_object(void *arg, const struct s3_result *r)
{
	struct s3_listing *l = arg;
	struct err e = r->err;
	struct str key = {l->key, l->key_len};
	int64_t from, size = -1, modified = 0;
	if (r->status == 416 && !l->whole) {
		l->whole = true;
		ask_object(l);
		return;
	}
	if (e.class == ERR_NONE) {
		struct str etag = unquoted(http_header(r->reply, "etag"));
		bool sized = r->status == 206 ?
		    ranged_parse(http_header(r->reply, "content-range"), &from, &size) :
		    num_i64(http_header(r->reply, "content-length"), &size);
		if (sized && size >= 0 && etag.n > 0 && str_find(etag, '"') == etag.n &&
		    read_http_date(http_header(r->reply, "last-modified"), &modified))
			hand_out(l, key, etag, size, modified);
		else
			err_set(&e, ERR_PERMANENT,
			    "cannot " WHAT_READ " '%s': the reply lacks its size, ETag or time", l->label);
	}
	end_listing(l, STR(""), &e, r->status);
}

static void
ask_object(struct s3_listing *l)
{
	const char *range[] = {"Range: bytes=0-0", NULL};
	struct s3_spec spec = {.bucket = l->bucket, .key = {l->key, l->key_len}, .what = WHAT_READ,
	    .headers = l->whole ? NULL : range};
	l->call = s3_start(l->s, &spec, on_object, l);
}

struct s3_listing *
s3_stat(struct s3 *s, const char *bucket, struct str key, gcs_each *each, gcs_page *page, void *arg)
{
	struct s3_listing *l = xcalloc(1, sizeof(*l));
	*l = (struct s3_listing){.s = s,
	    .bucket = xstrdup(bucket),
	    .label = s3_label(bucket, key),
	    .key = str_dup(key),
	    .key_len = key.n,
	    .each = each,
	    .page = page,
	    .arg = arg};
	ask_object(l);
	return l;
}

/* ---- reading ---- */

struct s3_read {
	struct s3 *s;
	struct s3_call *call;
	char *bucket, *key, *etag, *label;
	size_t key_len;
	struct ranged bytes;
	bool changed;        /* a reply was of another object by that name */
	gcs_read_end *end;
	void *arg;
};

static void start_read(struct s3_read *r, int64_t when);

static void
free_read(struct s3_read *r)
{
	free(r->bucket);
	free(r->key);
	free(r->etag);
	free(r->label);
	free(r);
}

void
s3_read_cancel(struct s3_read *r)
{
	if (r == NULL)
		return;
	if (r->call != NULL)
		s3_cancel(r->call);
	free_read(r);
}

void
s3_read_resume(struct s3_read *r)
{
	if (r->call != NULL)
		s3_resume(r->call);
}

static bool
on_piece(void *arg, int status, struct str headers, struct str piece)
{
	struct s3_read *r = arg;
	struct str etag = unquoted(http_header_in(headers, "etag"));
	if (!r->bytes.begun) {
		r->bytes.other = !str_is(etag, r->etag);
		r->changed = r->bytes.other && etag.n > 0;
	}
	return ranged_piece(&r->bytes, status, headers, piece);
}

static void
finish(struct s3_read *r, const struct err *e)
{
	r->end(r->arg, e);
	free_read(r);
}

static void
go_on(struct s3_read *r, const struct s3_result *result, struct err *e)
{
	int64_t when;
	if (!ranged_again(&r->bytes, &r->s->rng, http_retry_after(result->reply), r->s->patience, &when, e)) {
		finish(r, e);
		return;
	}
	r->s->retries++;
	start_read(r, when);
}

static void
on_read(void *arg, const struct s3_result *result)
{
	struct s3_read *r = arg;
	struct err e = result->err;
	bool gone = result->status == 404 && strcmp(result->said.code, "NoSuchBucket") != 0;
	r->call = NULL;
	if (result->status == 412 || result->status == 416 || gone || r->changed) {
		ranged_lost(&r->bytes, r->label, gone, &e);
		finish(r, &e);
	} else if (e.class == ERR_NONE && r->bytes.at == r->bytes.size) {
		finish(r, NULL);
	} else if (e.class == ERR_NONE) {
		ranged_short(&r->bytes, r->label, &e);
		go_on(r, result, &e);
	} else if (e.class == ERR_TRANSIENT && result->reply != NULL) {
		go_on(r, result, &e);
	} else {
		finish(r, &e);
	}
}

static void
start_read(struct s3_read *r, int64_t when)
{
	char *match = xasprintf("If-Match: \"%s\"", r->etag);
	char *range = xasprintf("Range: bytes=%llu-", (unsigned long long)r->bytes.at);
	const char *headers[] = {match, r->bytes.at > 0 ? range : NULL, NULL};
	struct s3_spec spec = {.bucket = r->bucket,
	    .key = {r->key, r->key_len},
	    .headers = headers,
	    .what = WHAT_READ,
	    .timeout = STANDSTILL,
	    .once = true,
	    .on_data = on_piece,
	    .when = when};
	ranged_begin(&r->bytes);
	r->call = s3_start(r->s, &spec, on_read, r);
	free(match);
	free(range);
}

struct s3_read *
s3_read_start(struct s3 *s, const char *bucket, const struct gcs_item *item, ranged_data *data, gcs_read_end *end, void *arg)
{
	struct s3_read *r = xcalloc(1, sizeof(*r));
	*r = (struct s3_read){.s = s, .bucket = xstrdup(bucket), .key = str_dup(item->name), .key_len = item->name.n,
	    .etag = str_dup(item->generation), .label = s3_label(bucket, item->name), .end = end, .arg = arg};
	r->bytes = (struct ranged){.size = (uint64_t)item->size, .data = data, .arg = arg};
	start_read(r, 0);
	return r;
}
