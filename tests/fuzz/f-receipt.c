/*
 * receipt: lines that come back on the acks, to the book of a backfill's files; and what is paid for them is again a receipt.
 */
#include "bounds.h"
#include "fuzz.h"
#include "receipt.h"
#include "record.h"
#include "sources.h"

struct books {
	struct sources sources;
	struct sink sink;
	struct receipts receipts;
};

static void
paid_again(struct books *b, const struct record *r)
{
	static struct json j;
	struct record again;
	struct err e;
	if (receipt_fits(r->id, r->source, &e) < 0)
		return;
	sink_init(&b->sink, -1, "nowhere", true);
	b->sink.fd = 1000; /* so that lines are kept; nothing is flushed */
	receipts_pay(&b->receipts, r->id, r->source);
	receipts_flush(&b->receipts);
	struct str rest = buf_str(&b->sink.buf);
	while (rest.n > 0) {
		struct str line = fuzz_section(&rest, "\n");
		MUST(line.n < 4096 && record_parse(&again, &j, line, &e) == 0 && again.kind == RECORD_RECEIPT);
		MUST(receipt_source_is_file(r->source) ? str_eq(again.source, r->source) : str_eq(again.id, r->id));
	}
	b->sink.fd = -1;
	sink_release(&b->sink);
}

static void
take(struct books *b, const struct json *j, const struct record *r)
{
	struct err e;
	int64_t count = 1;
	json_i64(j, json_get(j, 0, "count"), &count);
	int rc = sources_receipt_id(&b->sources, r->id, &e);
	if (rc == 0 && count > 0)
		rc = sources_receipt(&b->sources, r->source, (uint64_t)count, &e);
	MUST(rc == 0 || e.class == ERR_BUG);
	MUST(b->sources.receipts <= 100);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct json j;
	struct books b;
	sources_init(&b.sources);
	struct source *x = sources_begin(&b.sources, STR("a.json@0"));
	sources_emitted(&b.sources, x, 100);
	sources_end(&b.sources, x, true);
	struct str rest = {(const char *)p, n};
	receipts_init(&b.receipts, &b.sink);
	while (rest.n > 0) {
		struct str line = fuzz_section(&rest, "\n");
		struct record r;
		struct err e;
		if (record_parse(&r, &j, line, &e) < 0 || (r.kind != RECORD_RECEIPT && r.kind != RECORD_END))
			continue;
		take(&b, &j, &r);
		paid_again(&b, &r);
	}
	while ((x = sources_next_done(&b.sources)) != NULL)
		sources_forget(&b.sources, x);
	receipts_release(&b.receipts);
	sources_release(&b.sources);
	return 0;
}
