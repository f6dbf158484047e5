#include "receipt.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "record.h"
#include "xalloc.h"

struct ticket *
ticket_new(struct str id, struct str source)
{
	struct ticket *t = xcalloc(1, sizeof(*t));
	ticket_add(t, id, source);
	return t;
}

static struct str
copy(struct str s)
{
	return s.p != NULL ? (struct str){str_dup(s), s.n} : STR_NONE;
}

void
ticket_add(struct ticket *t, struct str id, struct str source)
{
	t->origins = xreallocarray(t->origins, t->n + 1, sizeof(*t->origins));
	t->origins[t->n++] = (struct origin){copy(id), copy(source)};
}

void
ticket_free(struct ticket *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n; i++) {
		free((char *)(uintptr_t)t->origins[i].id.p);
		free((char *)(uintptr_t)t->origins[i].source.p);
	}
	free(t->origins);
	free(t);
}

void
receipts_init(struct receipts *r, struct sink *out)
{
	*r = (struct receipts){.out = out, .source = BUF_INIT(LIMIT_ID)};
}

void
receipts_pay(struct receipts *r, struct str id, struct str source)
{
	if (receipt_source_is_file(source)) {
		if (!str_eq(source, buf_str(&r->source)))
			receipts_flush(r);
		if (r->count++ == 0)
			buf_adds(&r->source, source);
		return;
	}
	if (id.n > 0) {
		record_write_receipt(sink_buf(r->out), id);
		sink_commit(r->out);
	}
}

void
receipts_pay_ticket(struct receipts *r, const struct ticket *t)
{
	for (size_t i = 0; i < t->n; i++)
		receipts_pay(r, t->origins[i].id, t->origins[i].source);
}

void
receipts_flush(struct receipts *r)
{
	if (r->count > 0) {
		struct buf *out = sink_buf(r->out);
		buf_addz(out, "{\"msg\":{\"source\":\"");
		buf_adds(out, buf_str(&r->source));
		buf_addf(out, "\"},\"count\":%llu%s}", (unsigned long long)r->count, r->rejected ? ",\"rejected\":true" : "");
		sink_commit(r->out);
	}
	r->count = 0;
	buf_reset(&r->source, LIMIT_ID);
}

void
receipts_release(struct receipts *r)
{
	buf_release(&r->source);
}

int
receipt_fits(struct str id, struct str source, struct err *e)
{
	if (id.n > LIMIT_ID || source.n > LIMIT_ID)
		return err_set(e, ERR_INPUT, "its msg.%s is longer than %d bytes",
		    id.n > LIMIT_ID ? "id" : "source", LIMIT_ID);
	return 0;
}

bool
receipt_source_is_file(struct str source)
{
	if (source.n == 0)
		return false;
	struct buf plain = BUF_INIT(source.n);
	json_unescape(&plain, source);
	struct str s = buf_str(&plain);
	bool subscription = false;
	if (str_starts(s, STR("projects/"))) {
		s = str_skip(s, strlen("projects/"));
		subscription = str_starts(str_skip(s, str_find(s, '/')), STR("/subscriptions/"));
	}
	buf_release(&plain);
	return !subscription;
}
