/* record: a line is read the same the short way and the long way, and what is written of it is read as what it was. */
#include "bounds.h"
#include "fuzz.h"
#include "log.h"
#include "record.h"

static void
same_tokens(const struct json *a, const struct json *b)
{
	MUST(a->n == b->n && str_eq(a->text, b->text));
	for (uint32_t i = 0; i < a->n; i++) {
		const struct json_tok *x = &a->tok[i], *y = &b->tok[i];
		MUST(x->at == y->at && x->len == y->len && x->next == y->next);
		MUST(x->count == y->count && x->type == y->type && x->escaped == y->escaped);
	}
}

/* What was written is a record of this kind, of the same message. */
static void
read_back(struct buf *line, enum record_kind kind, const struct record *was)
{
	static struct json j;
	struct record r;
	struct err e;
	MUST(fuzz_is_json(buf_str(line)));
	MUST(record_parse(&r, &j, buf_str(line), &e) == 0 && r.kind == kind);
	if (kind != RECORD_END)
		MUST(str_eq(r.id, was->id));
	if (kind == RECORD_REJECTED)
		MUST(str_eq(r.data, was->data) && str_eq(r.msg, was->msg));
	buf_release(line);
}

static void
write_back(const struct record *r)
{
	struct buf out = BUF_INIT(LIMIT_LINE);
	struct record_fault fault = {STR("bad_json"), STR("/a~1\"b"), r->line.n < 200 ? r->line : STR("long")};
	if (r->id.p != NULL) {
		record_write_receipt(&out, r->id);
		read_back(&out, RECORD_RECEIPT, r);
	}
	if (r->source.p != NULL) {
		record_write_end(&out, r->source, 12);
		read_back(&out, RECORD_END, r);
	}
	if (r->data.p != NULL && str_find(r->line, '\n') == r->line.n && str_find(r->line, '\r') == r->line.n) {
		record_write_rejected(&out, r->msg, r->data, "here", &fault, 1);
		read_back(&out, RECORD_REJECTED, r);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct json j, slow;
	struct str line = {(const char *)p, n};
	struct record r;
	struct err e;
	enum json_result result = json_parse_fully(&slow, line);
	int rc = record_parse(&r, &j, line, &e);
	if (rc < 0) {
		MUST(e.class == ERR_INPUT && *e.text != '\0');
		return 0;
	}
	MUST(result == JSON_OK && json_is(&slow, 0, JSON_OBJECT));
	same_tokens(&j, &slow);
	const struct str views[] = {r.line, r.msg, r.id, r.source, r.data, r.type, r.table, r.time, r.event};
	for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++)
		fuzz_touch(views[i]);
	MUST(r.kind == RECORD_BARE || r.kind == RECORD_OBJECT || r.msg.p != NULL);
	MUST(record_kind_name(r.kind) != NULL);
	write_back(&r);
	return 0;
}
