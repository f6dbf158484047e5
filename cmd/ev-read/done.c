/*
 * What is done: receipts come in, and sources whose counts match go into the journal: a file, or for tasks without a disk
 * an object each, PREFIX/done/SHA256.json, beside PREFIX/settings.json.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "digest.h"
#include "gsjournal.h"
#include "log.h"
#include "read.h"
#include "record.h"
#include "xalloc.h"

#define DONE "done/"

static bool
is_remote(const struct read *r)
{
	return gsjournal_is(r->o.journal);
}

/* ---- entries ---- */

static void
write_entry(struct buf *out, const struct source *x)
{
	buf_addz(out, "{\"source\":\"");
	buf_adds(out, x->name);
	buf_addf(out, "\",\"count\":%llu%s}", (unsigned long long)x->emitted, x->broken ? ",\"broken\":true" : "");
}

static int
on_entry(void *arg, struct str entry, struct err *e)
{
	struct read *r = arg;
	uint8_t key[SEEN_KEY];
	if (json_read(&r->json, entry, e) < 0)
		return -1;
	struct str source = json_text(&r->json, json_get(&r->json, 0, "source"));
	if (source.n == 0)
		return err_set(e, ERR_INPUT, "it has no source");
	seen_key(key, source);
	seen_add(&r->seen, key);
	r->journal_broken += json_true(&r->json, json_get(&r->json, 0, "broken"));
	return 0;
}

static void
write_settings(const struct read *r, struct buf *out)
{
	struct jsonw w = jsonw_to(out);
	jsonw_object(&w);
	jsonw_member(&w, "journal", STR("ev-read"));
	jsonw_key(&w, "version");
	jsonw_i64(&w, 1);
	jsonw_member(&w, "settings", str_of(r->o.settings != NULL ? r->o.settings : ""));
	jsonw_end(&w);
}

/* ---- a journal in Cloud Storage ---- */

static void
upload_url(struct read *r, struct buf *url, const char *name)
{
	buf_addf(url, "%s/upload/storage/v1/b/", r->gcs.endpoint.base);
	url_encode(url, str_of(r->journal_bucket));
	buf_addz(url, "/o?uploadType=media&ifGenerationMatch=0&name=");
	url_encode(url, str_of(r->journal_prefix));
	url_encode(url, str_of(name));
}

/* The settings of the run that began the journal must be ours. */
static int
compare_settings(struct read *r, struct str ours, struct err *e)
{
	struct buf url = BUF_INIT(8 * KIB), theirs = BUF_INIT(LIMIT_REPLY);
	char *name = xasprintf("%ssettings.json", r->journal_prefix);
	gcs_object_url(&url, &r->gcs, r->journal_bucket, str_of(name));
	buf_addz(&url, "?alt=media");
	free(name);
	struct gapi_spec spec = {.method = "GET", .url = buf_cstr(&url), .what = "read", .object = r->o.journal};
	int rc = gapi_sync(&r->gcs, &spec, &theirs, NULL, e);
	if (rc == 0)
		rc = journal_check_settings(r->o.journal, str_trim(buf_str(&theirs)), ours, e);
	buf_release(&url);
	buf_release(&theirs);
	return rc;
}

static int
open_remote(struct read *r, struct str settings, struct err *e)
{
	struct buf url = BUF_INIT(8 * KIB), body = BUF_INIT(JOURNAL_LINE_MAX);
	int status = 0, rc = 0;
	upload_url(r, &url, "settings.json");
	buf_adds(&body, settings);
	buf_addc(&body, '\n');
	struct gapi_spec spec = {.method = "POST", .url = buf_cstr(&url), .body = &body, .what = "begin the journal",
	    .object = r->o.journal, .accept = 412};
	if (!r->o.dry_run)
		rc = gapi_sync(&r->gcs, &spec, NULL, &status, e);
	if (rc == 0 && status == 412)
		rc = compare_settings(r, settings, e);
	buf_release(&url);
	buf_release(&body);
	return rc;
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* An entry's name holds the digest by which it is known. */
static void
on_journal_item(void *arg, const struct gcs_item *item)
{
	struct read *r = arg;
	struct str hex = str_skip(item->name, strlen(r->journal_prefix) + strlen(DONE));
	uint8_t key[SEEN_KEY];
	if (hex.n < 2 * SEEN_KEY)
		return;
	for (int i = 0; i < SEEN_KEY; i++) {
		int high = hex_digit(hex.p[2 * i]), low = hex_digit(hex.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return;
		key[i] = (uint8_t)(high << 4 | low);
	}
	seen_add(&r->seen, key);
}

static void list_journal(struct read *r, struct str token);

static void
on_journal_page(void *arg, struct str token, const struct err *e, int status)
{
	struct read *r = arg;
	(void)status;
	r->journal_listing = NULL;
	if (e != NULL)
		r->failure = *e;
	else if (token.n > 0)
		list_journal(r, token);
	else
		r->phase = READING;
}

static void
list_journal(struct read *r, struct str token)
{
	char *prefix = xasprintf("%s" DONE, r->journal_prefix);
	r->journal_listing = gcs_list(&r->gcs, r->journal_bucket, str_of(prefix), token, on_journal_item, on_journal_page, r);
	free(prefix);
}

static void
on_entry_stored(void *arg, const struct gapi_result *result)
{
	struct read *r = arg;
	r->journal_calls--;
	if (result->err.class != ERR_NONE)
		r->failure = result->err;
}

static void
store_entry(struct read *r, const struct source *x)
{
	struct buf url = BUF_INIT(8 * KIB), body = BUF_INIT(8 * KIB);
	uint8_t sum[DIGEST_MAX];
	char hex[2 * DIGEST_MAX + 1], name[sizeof(DONE) + sizeof(hex) + 8] = DONE;
	digest_of(DIGEST_SHA256, x->name, sum);
	digest_hex(hex, sum, sizeof(sum));
	memcpy(name + strlen(DONE), hex, strlen(hex));
	memcpy(name + strlen(DONE) + strlen(hex), ".json", sizeof(".json"));
	upload_url(r, &url, name);
	write_entry(&body, x);
	buf_addc(&body, '\n');
	struct gapi_spec spec = {.method = "POST", .url = buf_cstr(&url), .body = &body, .what = "journal",
	    .object = r->o.journal, .accept = 412};
	r->journal_calls++;
	gapi_start(&r->gcs, &spec, on_entry_stored, r);
	buf_release(&url);
	buf_release(&body);
}

/* ---- all together ---- */

static int
open_local(struct read *r, struct str settings, struct err *e)
{
	/* A dry run begins nothing, and may look on while another run has the journal. */
	return (r->o.dry_run ? journal_peek : journal_open)(&r->journal, r->o.journal, settings, on_entry, r, e);
}

int
done_open(struct read *r, struct err *e)
{
	struct buf settings = BUF_INIT(JOURNAL_LINE_MAX);
	int rc = 0;
	r->phase = READING;
	write_settings(r, &settings);
	if (settings.over)
		rc = err_set(e, ERR_USAGE, "cannot take --settings: it is longer than a journal's line");
	else if (is_remote(r))
		rc = open_remote(r, buf_str(&settings), e);
	else if (r->o.journal != NULL)
		rc = open_local(r, buf_str(&settings), e);
	if (rc == 0 && is_remote(r)) {
		r->phase = LOADING;
		list_journal(r, STR(""));
	} else if (rc == 0 && r->journal.entries > 0) {
		log_info("the journal '%s' has %llu objects done", r->o.journal, (unsigned long long)r->journal.entries);
		if (r->journal_broken > 0)
			log_warn("%llu of them could not be read to their end: the lines with \"broken\" in '%s' name them",
			    (unsigned long long)r->journal_broken, r->o.journal);
	}
	buf_release(&settings);
	return rc;
}

/* Another tool may escape otherwise than we do: as we would write it. */
static struct str
as_ours(struct buf *scratch, struct str s)
{
	if (str_find(s, '\\') == s.n)
		return s;
	struct buf plain = BUF_INIT(LIMIT_LINE);
	json_unescape(&plain, s);
	buf_reset(scratch, 64 * KIB);
	jsonw_escape(scratch, buf_str(&plain));
	buf_release(&plain);
	return buf_str(scratch);
}

/* More than was emitted, of a source whose books are closed. */
static int
check_closed(struct read *r, struct str source, struct err *e)
{
	uint8_t key[SEEN_KEY];
	seen_key(key, source);
	if (seen_has(&r->seen, key))
		return err_set(e, ERR_BUG,
		    "cannot account for '%.*s': all its events had their receipts, and one more came; this is "
		    "a bug, please report it", STR_ARG(source));
	return 0;
}

int
done_receipt(struct read *r, const struct line *l, struct err *e)
{
	struct record x;
	struct buf scratch = BUF_INIT(LIMIT_LINE);
	int64_t count = 1;
	int rc;
	if (l->torn) {
		log_warn("the last receipt was torn; what it was for is read again by the next run");
		return 0;
	}
	if (record_parse(&x, &r->json, l->text, e) < 0)
		return err_wrap(e, "cannot take line %llu of '%s' for a receipt", (unsigned long long)l->number, r->o.acks);
	bool by_source = x.id.p == NULL;
	bool counted = !by_source || (json_i64(&r->json, json_get(&r->json, 0, "count"), &count) && count >= 0);
	if (x.kind == RECORD_BARE || x.kind == RECORD_OBJECT || (by_source && x.source.p == NULL) || !counted)
		return err_set(e, ERR_INPUT, "cannot take line %llu of '%s' for a receipt: it is %s%s",
		    (unsigned long long)l->number,
		    r->o.acks, record_kind_name(x.kind), counted ? "" : " without a count");
	uint64_t unknown = r->sources.unknown, before = r->sources.receipts;
	struct str name = as_ours(&scratch, by_source ? x.source : x.id);
	rc = by_source ? sources_receipt(&r->sources, name, (uint64_t)count, e) : sources_receipt_id(&r->sources, name, e);
	if (rc == 0 && r->sources.unknown > unknown && count > 0)
		rc = check_closed(r, by_source ? name : sources_of_id(name), e);
	if (json_true(&r->json, json_get(&r->json, 0, "rejected")))
		r->receipted_rejects += r->sources.receipts - before;
	r->active_at = r->now;
	buf_release(&scratch);
	return rc;
}

int
done_turn(struct read *r, struct err *e)
{
	struct source *x;
	struct buf entry = BUF_INIT(8 * KIB);
	while (r->journal_calls < JOURNAL_CALLS && (x = sources_next_done(&r->sources)) != NULL) {
		if (!x->spoilt && r->o.journal != NULL && !r->o.dry_run) {
			buf_reset(&entry, 4 * KIB);
			write_entry(&entry, x);
			if (is_remote(r))
				store_entry(r, x);
			else
				journal_add(&r->journal, buf_str(&entry));
		}
		r->objects_done += !x->spoilt;
		sources_forget(&r->sources, x);
	}
	buf_release(&entry);
	return r->journal.fd >= 0 ? journal_sync(&r->journal, e) : 0;
}

bool
done_settled(const struct read *r)
{
	return sources_n(&r->sources) == 0 && r->journal_calls == 0;
}

void
done_release(struct read *r)
{
	gcs_listing_cancel(r->journal_listing);
	journal_close(&r->journal);
	free(r->journal_bucket);
	free(r->journal_prefix);
	sources_release(&r->sources);
}
