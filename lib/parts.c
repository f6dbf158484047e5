#include "parts.h"

#include <stdlib.h>

#include "base64.h"
#include "bounds.h"
#include "map.h"
#include "xalloc.h"

/* Messages remembered after they were published, for parts that come once more. */
#define REMEMBERED_MAX 1024

enum state { GATHERING, SENT, PAID };

struct group {
	struct str key; /* owned */
	enum state state;
	unsigned have, of;
	size_t bytes;
	struct buf *pieces; /* of them, while gathering */
	bool *here;
	struct ticket *ticket; /* NULL once paid */
	struct group *prev, *next; /* by age */
};

struct parts {
	size_t max, bytes, remembered;
	struct map by_key;
	struct group *oldest, *newest;
};

struct parts *
parts_new(size_t max_bytes)
{
	struct parts *p = xcalloc(1, sizeof(*p));
	p->max = max_bytes;
	return p;
}

static void
drop_pieces(struct parts *p, struct group *g)
{
	for (unsigned i = 0; g->pieces != NULL && i < g->of; i++)
		buf_release(&g->pieces[i]);
	free(g->pieces);
	free(g->here);
	g->pieces = NULL;
	g->here = NULL;
	p->bytes -= g->bytes;
	g->bytes = 0;
}

/* Frees a group; its ticket is the caller's. */
static void
forget(struct parts *p, struct group *g)
{
	drop_pieces(p, g);
	p->remembered -= g->state == PAID;
	map_del(&p->by_key, g->key);
	*(g->prev != NULL ? &g->prev->next : &p->oldest) = g->next;
	*(g->next != NULL ? &g->next->prev : &p->newest) = g->prev;
	free((char *)(uintptr_t)g->key.p);
	free(g);
}

static struct group *
group_of(struct parts *p, struct str key, unsigned of)
{
	struct group *g = map_get(&p->by_key, key);
	if (g != NULL)
		return g;
	g = xcalloc(1, sizeof(*g));
	g->key = (struct str){str_dup(key), key.n};
	g->of = of;
	g->pieces = xcalloc(of, sizeof(*g->pieces));
	g->here = xcalloc(of, sizeof(*g->here));
	g->prev = p->newest;
	*(g->prev != NULL ? &g->prev->next : &p->oldest) = g;
	p->newest = g;
	map_put(&p->by_key, g->key, g);
	return g;
}

static int
keep_piece(struct parts *p, struct group *g, unsigned i, struct str data, struct err *e)
{
	buf_init(&g->pieces[i], LIMIT_LINE);
	if (base64_decode_lenient(&g->pieces[i], data) < 0)
		return err_set(e, ERR_INPUT, "its data are not base64");
	g->here[i] = true;
	g->have++;
	g->bytes += g->pieces[i].cap;
	p->bytes += g->pieces[i].cap;
	return 0;
}

/* All pieces in order; each is freed as soon as it was copied. */
static void
join(struct parts *p, struct group *g, struct buf *whole)
{
	struct buf all = BUF_INIT(g->bytes);
	for (unsigned i = 0; i < g->of; i++) {
		buf_adds(&all, buf_str(&g->pieces[i]));
		buf_release(&g->pieces[i]);
	}
	base64_encode(whole, buf_str(&all));
	buf_release(&all);
	drop_pieces(p, g);
}

int
parts_add(struct parts *p, struct str key, unsigned number, unsigned of, struct str data, struct str id,
    struct str source, enum parts_step *step, struct ticket **ticket, struct buf *whole, struct err *e)
{
	struct group *g = group_of(p, key, of);
	if (g->state == PAID) {
		*step = PARTS_PAID;
		return 0;
	}
	if (g->state == GATHERING && !g->here[number - 1] && keep_piece(p, g, number - 1, data, e) < 0) {
		if (g->have == 0)
			forget(p, g);
		return -1;
	}
	if (g->ticket == NULL)
		g->ticket = ticket_new(id, source);
	else
		ticket_add(g->ticket, id, source);
	*step = g->state == SENT ? PARTS_LATE : PARTS_WAITING;
	if (g->state == GATHERING && g->have == g->of) {
		join(p, g, whole);
		g->state = SENT;
		g->ticket->user = g;
		*ticket = g->ticket;
		*step = PARTS_WHOLE;
	}
	return 0;
}

void
parts_end(struct parts *p, struct ticket *ticket, bool paid)
{
	struct group *g = ticket->user;
	if (g == NULL)
		return;
	ticket->user = NULL;
	g->ticket = NULL;
	if (!paid) {
		forget(p, g);
		return;
	}
	g->state = PAID;
	p->remembered++;
	for (struct group *o = p->oldest, *next; o != NULL && p->remembered > REMEMBERED_MAX; o = next) {
		next = o->next;
		if (o->state == PAID)
			forget(p, o);
	}
}

struct ticket *
parts_drop(struct parts *p, bool all, unsigned *have, unsigned *of)
{
	struct group *g = p->oldest;
	while (g != NULL && g->state != GATHERING)
		g = g->next;
	if (g == NULL || (!all && p->bytes <= p->max))
		return NULL;
	struct ticket *t = g->ticket;
	*have = g->have;
	*of = g->of;
	forget(p, g);
	return t;
}

void
parts_free(struct parts *p)
{
	while (p != NULL && p->oldest != NULL) {
		ticket_free(p->oldest->ticket);
		forget(p, p->oldest);
	}
	if (p != NULL)
		map_release(&p->by_key);
	free(p);
}
