#include "sources.h"

#include <stdlib.h>

#include "num.h"
#include "xalloc.h"

void
sources_init(struct sources *s)
{
	*s = (struct sources){0};
	s->done_tail = &s->done;
}

struct source *
sources_begin(struct sources *s, struct str name)
{
	if (map_get(&s->map, name) != NULL)
		return NULL;
	struct source *x = xcalloc(1, sizeof(*x));
	x->name = (struct str){str_dup(name), name.n};
	map_put(&s->map, x->name, x);
	s->newest = x;
	return x;
}

void
sources_emitted(struct sources *s, struct source *x, uint64_t n)
{
	x->emitted += n;
	s->outstanding += n;
}

static void
check_done(struct sources *s, struct source *x)
{
	if (!x->ended || x->receipted != x->emitted)
		return;
	x->next = NULL;
	*s->done_tail = x;
	s->done_tail = &x->next;
}

void
sources_end(struct sources *s, struct source *x, bool whole)
{
	x->ended = true;
	x->spoilt |= !whole;
	check_done(s, x);
}

int
sources_receipt(struct sources *s, struct str name, uint64_t n, struct err *e)
{
	struct source *x = map_get(&s->map, name);
	if (x == NULL || n == 0) {
		s->unknown += x == NULL;
		return 0;
	}
	if (n > x->emitted - x->receipted)
		return err_set(e, ERR_BUG, "cannot account for '%.*s': %llu events went out, and %llu receipts came and now %llu "
		    "more; this is a bug, please report it", STR_ARG(x->name), (unsigned long long)x->emitted,
		    (unsigned long long)x->receipted, (unsigned long long)n);
	x->receipted += n;
	s->outstanding -= n;
	s->receipts += n;
	check_done(s, x);
	return 0;
}

struct str
sources_of_id(struct str id)
{
	size_t cut = id.n;
	int64_t number;
	while (cut > 0 && id.p[cut - 1] != ':')
		cut--;
	return cut > 0 && num_i64(str_skip(id, cut), &number) ? (struct str){id.p, cut - 1} : STR("");
}

int
sources_receipt_id(struct sources *s, struct str id, struct err *e)
{
	struct str source = sources_of_id(id);
	if (source.n > 0)
		return sources_receipt(s, source, 1, e);
	s->unknown++;
	return 0;
}

bool
sources_room(const struct sources *s, uint64_t most)
{
	uint64_t newest = s->newest != NULL ? s->newest->emitted - s->newest->receipted : 0;
	return s->outstanding - newest < most;
}

struct source *
sources_next_done(struct sources *s)
{
	struct source *x = s->done;
	if (x == NULL)
		return NULL;
	s->done = x->next;
	if (s->done == NULL)
		s->done_tail = &s->done;
	return x;
}

static void
free_source(struct source *x)
{
	free((char *)(uintptr_t)x->name.p);
	free(x);
}

void
sources_forget(struct sources *s, struct source *x)
{
	map_del(&s->map, x->name);
	s->outstanding -= x->emitted - x->receipted;
	if (s->newest == x)
		s->newest = NULL;
	free_source(x);
}

size_t
sources_n(const struct sources *s)
{
	return s->map.n;
}

void
sources_release(struct sources *s)
{
	struct map_slot *slot;
	for (size_t i = 0; (slot = map_each(&s->map, &i)) != NULL;)
		free_source(slot->value);
	map_release(&s->map);
}
