/* json: the short way against the long one, strings there and back, and what another parser says of the text. */
#include "fuzz.h"
#include "jsonw.h"
#include "oracle.h"
#include "utf8.h"

static void
same_tokens(const struct json *a, const struct json *b)
{
	MUST(a->n == b->n && a->depth == b->depth);
	for (uint32_t i = 0; i < a->n; i++) {
		const struct json_tok *x = &a->tok[i], *y = &b->tok[i];
		MUST(x->at == y->at && x->len == y->len && x->next == y->next);
		MUST(x->count == y->count && x->type == y->type && x->escaped == y->escaped);
	}
}

/* A string's value, written again and read again, is the same. */
static void
there_and_back(const struct json *j, uint32_t t)
{
	struct buf scratch = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	struct json k = {0};
	struct str value = json_string(j, t, &scratch);
	struct jsonw w = jsonw_to(&out);
	MUST(utf8_valid(value));
	jsonw_str(&w, value);
	MUST(json_parse_fully(&k, buf_str(&out)) == JSON_OK);
	MUST(str_eq(json_string(&k, 0, &again), value));
	json_release(&k);
	buf_release(&scratch);
	buf_release(&out);
	buf_release(&again);
}

static void
look(const struct json *j, bool clean)
{
	struct buf scratch = BUF_INIT(1 << 20);
	for (uint32_t t = 0; t < j->n; t++) {
		int64_t number;
		fuzz_touch(json_raw(j, t));
		MUST(j->tok[t].next > t && j->tok[t].next <= j->n);
		json_i64(j, t, &number);
		json_get(j, t, "msg");
		if (json_is(j, t, JSON_STRING) && clean && t < 64)
			there_and_back(j, t);
		else
			fuzz_touch(json_string(j, t, &scratch));
		buf_reset(&scratch, 4096);
	}
	buf_release(&scratch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct json fast, slow; /* used again, as the tools do */
	struct str text = {(const char *)p, n};
	enum json_result result = json_parse(&fast, text);
	MUST(result == json_parse_fully(&slow, text));
	if (result != JSON_BAD) {
		same_tokens(&fast, &slow);
		look(&fast, result == JSON_OK);
	}
	enum oracle says = oracle_asks(text);
	MUST(says == ORACLE_CANNOT_TELL || (says == ORACLE_TAKES) == (result == JSON_OK));
	return 0;
}
