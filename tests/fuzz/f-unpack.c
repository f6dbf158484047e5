/*
 * unpack: gzip, zstd or plain bytes through unpack and values. However they are cut into pieces, the events are the same.
 * The first byte sets the pieces' size.
 */
#include "bounds.h"
#include "fuzz.h"
#include "map.h"
#include "unpack.h"
#include "values.h"

#define OUTPUT_MAX (16 * KIB) /* of an input that unpacks to more, no more is looked at */

struct outcome {
	uint64_t sum; /* of all events, in order */
	int status;
	unsigned n;
	bool cut;
};

static void
mix(struct outcome *o, const void *p, size_t n)
{
	o->sum = map_hash(o->sum, (struct str){p, n});
}

static void
take(struct values *v, struct outcome *o)
{
	struct value value;
	while (values_next(v, &value)) {
		const uint64_t numbers[] = {value.number, value.offset, value.length, value.text.n, value.broken != NULL};
		MUST(value.length >= value.text.n);
		mix(o, numbers, sizeof(numbers));
		mix(o, value.text.p, value.text.n);
		o->n++;
	}
}

static void
run(struct str in, size_t piece, size_t room, struct outcome *o)
{
	struct unpack *u = unpack_new();
	struct values v;
	struct err e;
	uint64_t bytes = 0;
	values_init(&v);
	o->status = 0;
	while (o->status == 0 && in.n > 0) {
		struct str s = {in.p, piece < in.n ? piece : in.n};
		in = str_skip(in, s.n);
		do {
			struct buf *to = values_buf(&v);
			size_t before = to->n, left = s.n;
			o->status = unpack_step(u, &s, to, room, &e);
			MUST(to->n - before <= room && s.n <= left);
			MUST(o->status != 1 || to->n > before);
			MUST(o->status != 0 || s.n == 0);
			bytes += to->n - before;
			if (bytes > OUTPUT_MAX)
				o->cut = true;
			take(&v, o);
		} while (o->status == 1 && !o->cut);
		if (o->cut)
			break;
	}
	if (o->status == 0)
		o->status = unpack_end(u, values_buf(&v), &e);
	MUST(o->status >= 0 || (e.class == ERR_INPUT && *e.text != '\0') || o->cut);
	MUST(*unpack_kind(u) != '\0');
	values_end(&v, o->status < 0 ? "it is cut" : NULL);
	take(&v, o);
	values_release(&v);
	unpack_free(u);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n == 0)
		return 0;
	struct outcome whole = {0}, pieces = {0};
	struct str in = {(const char *)p + 1, n - 1};
	run(in, in.n, OUTPUT_MAX, &whole);
	if (!whole.cut) {
		run(in, 1 + p[0] % 64, 16 + p[0], &pieces);
		MUST(pieces.cut || whole.status == pieces.status);
		/* Of what a broken stream had before it broke, zstd gives as much as it pleases. */
		MUST(pieces.cut || whole.status < 0 || (whole.n == pieces.n && whole.sum == pieces.sum));
	}
	return 0;
}
