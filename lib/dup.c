#include "dup.h"

#include <stdlib.h>

#include "bounds.h"
#include "xalloc.h"

/* Up to here comparing each with each is faster than sorting. */
#define FEW 12
/* A huge object's memory is not kept for the small ones that follow. */
#define KEEP 1024

static void
found(struct dup *d, uint32_t key)
{
	if (d->nfound == d->capfound) {
		d->capfound = d->capfound > 0 ? d->capfound * 2 : 16;
		d->found = xreallocarray(d->found, d->capfound, sizeof(*d->found));
	}
	d->found[d->nfound++] = key;
}

/* Fills d->names; decoded names stand in d->text, which must not move while they do. */
static void
collect(struct dup *d, const struct json *j, uint32_t object)
{
	uint32_t count = j->tok[object].count, n = 0;
	size_t escaped = 0;
	for (uint32_t k = json_first(object); k < json_end(j, object); k = j->tok[k + 1].next)
		escaped += j->tok[k].escaped ? j->tok[k].len : 0;
	if (count > d->capnames || d->capnames > KEEP) {
		free(d->names);
		d->capnames = count > KEEP / 16 ? count : KEEP / 16;
		d->names = xreallocarray(NULL, d->capnames, sizeof(*d->names));
	}
	buf_reset(&d->text, KEEP);
	d->text.max = escaped;
	if (escaped > 0)
		buf_room(&d->text, escaped);
	for (uint32_t k = json_first(object); k < json_end(j, object); k = j->tok[k + 1].next)
		d->names[n++] = (struct dup_name){json_string(j, k, &d->text), k};
}

static int
by_name(const void *a, const void *b)
{
	return str_cmp(((const struct dup_name *)a)->name, ((const struct dup_name *)b)->name);
}

/* Names the i-th member where it is the first repetition of an earlier one. */
static void
compare_few(struct dup *d, uint32_t i)
{
	uint32_t before = 0;
	for (uint32_t k = 0; k < i; k++)
		before += str_eq(d->names[k].name, d->names[i].name);
	if (before == 1)
		found(d, d->names[i].key);
}

static void
compare_sorted(struct dup *d, uint32_t count)
{
	qsort(d->names, count, sizeof(*d->names), by_name);
	for (uint32_t i = 1; i < count; i++) {
		bool same = str_eq(d->names[i - 1].name, d->names[i].name);
		bool first = i == 1 || !str_eq(d->names[i - 2].name, d->names[i].name);
		if (same && first)
			found(d, d->names[i].key);
	}
}

uint32_t
dup_find(struct dup *d, const struct json *j, uint32_t object)
{
	uint32_t count = j->tok[object].count;
	d->nfound = 0;
	if (count < 2)
		return 0;
	collect(d, j, object);
	if (count > FEW) {
		compare_sorted(d, count);
		return d->nfound;
	}
	for (uint32_t i = 1; i < count; i++)
		compare_few(d, i);
	return d->nfound;
}

void
dup_release(struct dup *d)
{
	free(d->found);
	free(d->names);
	buf_release(&d->text);
	*d = (struct dup){0};
}
