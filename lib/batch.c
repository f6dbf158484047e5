#include "batch.h"

#include <stdlib.h>

#include "clock.h"
#include "map.h"
#include "xalloc.h"

enum state { WAITING, FLYING, SUSPECT, DONE, REJECTED };

/* An item's place. Places are numbered from 1 without end; 0 is "none". */
struct slot {
	void *item;
	size_t size;
	int64_t since;
	struct batch_group *group;
	uint64_t next; /* in its group's queue */
	enum state state;
};

/* What is judged together when requests are refused. */
struct trial {
	size_t rows;     /* the most items of one request just now */
	size_t open;     /* items that wait or fly */
	size_t suspects;
	bool passed;
	bool strained;   /* an item was rejected without a pass since */
};

struct batch_group {
	struct str name; /* owned */
	bool serial;
	uint64_t head, tail; /* waiting, by place */
	size_t rows, bytes;  /* of these */
	unsigned flights;
	struct retry retry;
	int64_t not_before;
	struct trial own, *trial;
	struct batch_group *prev, *next; /* all groups */
};

struct batch {
	struct batch_limits limits;
	struct slot *slots; /* a ring; cap is a power of two */
	size_t cap;
	uint64_t first, end; /* places held: first .. end - 1 */
	size_t bytes;
	unsigned flights;
	size_t suspects;    /* of all trials */
	unsigned backing;   /* groups whose last request left items to send again */
	struct map by_name;
	struct batch_group *groups;
	struct trial trial; /* with one_trial */
	struct flight **flying; /* limits.flights of them; NULL: free */
};

struct batch *
batch_new(const struct batch_limits *limits)
{
	struct batch *b = xcalloc(1, sizeof(*b));
	b->limits = *limits;
	b->first = b->end = 1;
	b->cap = 64;
	b->slots = xcalloc(b->cap, sizeof(*b->slots));
	b->trial.rows = limits->rows;
	b->flying = xcalloc(limits->flights, sizeof(struct flight *));
	return b;
}

static struct slot *
at(const struct batch *b, uint64_t place)
{
	return &b->slots[place & (b->cap - 1)];
}

bool
batch_room(const struct batch *b)
{
	size_t n = batch_held(b);
	if (n == 0)
		return true;
	return n < b->limits.held_items && b->bytes < b->limits.held_bytes && b->backing == 0 &&
	       b->suspects == 0;
}

static void
grow(struct batch *b)
{
	size_t cap = b->cap * 2;
	struct slot *wider = xcalloc(cap, sizeof(*wider));
	for (uint64_t i = b->first; i < b->end; i++)
		wider[i & (cap - 1)] = *at(b, i);
	free(b->slots);
	b->slots = wider;
	b->cap = cap;
}

static struct batch_group *
group_of(struct batch *b, struct str name, bool serial)
{
	struct batch_group *g = map_get(&b->by_name, name);
	if (g != NULL)
		return g;
	g = xcalloc(1, sizeof(*g));
	g->name = (struct str){str_dup(name), name.n};
	g->serial = serial;
	g->own.rows = b->limits.rows;
	g->trial = b->limits.one_trial ? &b->trial : &g->own;
	g->next = b->groups;
	if (g->next != NULL)
		g->next->prev = g;
	b->groups = g;
	map_put(&b->by_name, g->name, g);
	return g;
}

static void
free_group(struct batch *b, struct batch_group *g)
{
	map_del(&b->by_name, g->name);
	if (g->prev != NULL)
		g->prev->next = g->next;
	else
		b->groups = g->next;
	if (g->next != NULL)
		g->next->prev = g->prev;
	free((char *)(uintptr_t)g->name.p);
	free(g);
}

/* Serial groups are as many as there are ordering keys: an idle one is forgotten. */
static void
forget_idle(struct batch *b, struct batch_group *g)
{
	if (g->serial && b->limits.one_trial && g->rows == 0 && g->flights == 0 && b->suspects == 0)
		free_group(b, g);
}

/*
 * Puts a place into its group's queue, which is ordered by place. Places that come back are old, so near the
 * head.
 */
static void
enqueue(struct batch *b, struct batch_group *g, uint64_t place)
{
	struct slot *s = at(b, place);
	s->state = WAITING;
	s->next = 0;
	g->rows++;
	g->bytes += s->size;
	if (g->head == 0) {
		g->head = g->tail = place;
	} else if (place > g->tail) {
		at(b, g->tail)->next = place;
		g->tail = place;
	} else if (place < g->head) {
		s->next = g->head;
		g->head = place;
	} else {
		uint64_t before = g->head;
		while (at(b, before)->next < place)
			before = at(b, before)->next;
		s->next = at(b, before)->next;
		at(b, before)->next = place;
	}
}

static uint64_t
dequeue(struct batch *b, struct batch_group *g)
{
	uint64_t place = g->head;
	struct slot *s = at(b, place);
	g->head = s->next;
	if (g->head == 0)
		g->tail = 0;
	g->rows--;
	g->bytes -= s->size;
	s->state = FLYING;
	return place;
}

void
batch_add(struct batch *b, struct str group, bool serial, void *item, size_t size, int64_t now)
{
	struct batch_group *g = group_of(b, group, serial);
	if (batch_held(b) == b->cap)
		grow(b);
	*at(b, b->end) = (struct slot){.item = item, .size = size, .since = now, .group = g};
	enqueue(b, g, b->end++);
	b->bytes += size;
	g->trial->open++;
}

static bool
is_full(const struct batch *b, const struct batch_group *g)
{
	return g->rows >= g->trial->rows || g->bytes >= b->limits.bytes;
}

static bool
is_blocked(const struct batch_group *g)
{
	return g->rows == 0 || (g->serial && g->flights > 0);
}

/* When the group's next request closes by itself. */
static int64_t
closes_at(const struct batch *b, const struct batch_group *g)
{
	int64_t since = at(b, g->head)->since;
	if (is_full(b, g) || since == INT64_MIN || since + b->limits.linger < g->not_before)
		return g->not_before;
	return since + b->limits.linger;
}

static struct flight *
load(struct batch *b, struct batch_group *g)
{
	size_t most = g->rows < g->trial->rows ? g->rows : g->trial->rows;
	struct flight *f = xcalloc(1, sizeof(*f));
	f->group = g;
	f->items = xcalloc(most, sizeof(*f->items));
	f->places = xcalloc(most, sizeof(*f->places));
	f->fates = xcalloc(most, sizeof(*f->fates));
	while (f->n < most) {
		struct slot *s = at(b, g->head);
		if (f->n > 0 && f->bytes + s->size > b->limits.bytes)
			break;
		f->items[f->n] = s->item;
		f->bytes += s->size;
		f->places[f->n++] = dequeue(b, g);
	}
	g->flights++;
	unsigned i = 0;
	while (b->flying[i] != NULL)
		i++;
	b->flying[i] = f;
	b->flights++;
	return f;
}

struct flight *
batch_take(struct batch *b, int64_t now, bool hurry)
{
	struct batch_group *best = NULL;
	if (b->flights == b->limits.flights)
		return NULL;
	for (struct batch_group *g = b->groups; g != NULL; g = g->next) {
		if (is_blocked(g) || now < g->not_before || (!hurry && now < closes_at(b, g)))
			continue;
		if (best == NULL || g->head < best->head)
			best = g;
	}
	return best != NULL ? load(b, best) : NULL;
}

int64_t
batch_when(const struct batch *b)
{
	int64_t when = CLOCK_NEVER;
	if (b->flights == b->limits.flights)
		return when;
	for (const struct batch_group *g = b->groups; g != NULL; g = g->next) {
		if (!is_blocked(g) && closes_at(b, g) < when)
			when = closes_at(b, g);
	}
	return when;
}

static void
free_flight(struct batch *b, struct flight *f)
{
	for (unsigned i = 0; i < b->limits.flights; i++) {
		if (b->flying[i] == f)
			b->flying[i] = NULL;
	}
	b->flights--;
	free(f->items);
	free(f->places);
	free(f->fates);
	free(f);
}

/* It goes first next time, and at once as far as lingering goes. */
static void
again(struct batch *b, struct batch_group *g, uint64_t place)
{
	at(b, place)->since = INT64_MIN;
	enqueue(b, g, place);
}

static void
reject_suspects(struct batch *b, struct trial *t)
{
	for (uint64_t i = b->first; i < b->end && t->suspects > 0; i++) {
		struct slot *s = at(b, i);
		if (s->state == SUSPECT && s->group->trial == t) {
			s->state = REJECTED;
			t->suspects--;
			b->suspects--;
		}
	}
}

static void
passed(struct batch *b, struct trial *t)
{
	t->passed = true;
	t->strained = false;
	t->rows = t->rows * 2 < b->limits.rows ? t->rows * 2 : b->limits.rows;
	reject_suspects(b, t);
}

/* Nothing of the trial waits or flies, so nothing can pass any more: was it the suspects, or everything? */
static enum batch_verdict
judge(struct batch *b, struct trial *t)
{
	if (t->open > 0 || t->suspects == 0)
		return BATCH_ON;
	if (!t->passed || t->strained || t->suspects > 1)
		return BATCH_ALL_REFUSED;
	t->strained = true;
	reject_suspects(b, t);
	return BATCH_ON;
}

static enum batch_verdict
end(struct batch *b, struct flight *f)
{
	struct batch_group *g = f->group;
	enum batch_verdict verdict = judge(b, g->trial);
	g->flights--;
	free_flight(b, f);
	forget_idle(b, g);
	return verdict;
}

/* Writes the fates down; how many items go again. */
static size_t
settle(struct batch *b, struct flight *f)
{
	size_t left = 0;
	for (size_t i = 0; i < f->n; i++) {
		if (f->fates[i] == FATE_AGAIN) {
			again(b, f->group, f->places[i]);
			left++;
			continue;
		}
		at(b, f->places[i])->state = f->fates[i] == FATE_DONE ? DONE : REJECTED;
		f->group->trial->open--;
	}
	if (f->passed)
		passed(b, f->group->trial);
	return left;
}

enum batch_verdict
batch_land(struct batch *b, struct flight *f, int64_t now, const struct batch_patience *p)
{
	struct batch_group *g = f->group;
	bool patient = true;
	size_t left = settle(b, f);
	b->backing -= g->retry.attempts > 0;
	if (left == 0)
		retry_reset(&g->retry);
	else
		patient = retry_next(&g->retry, p->rng, now, 0, p->quota, p->patience, &g->not_before);
	b->backing += g->retry.attempts > 0;
	enum batch_verdict verdict = end(b, f);
	return patient ? verdict : BATCH_IMPATIENT;
}

enum batch_verdict
batch_refuse(struct batch *b, struct flight *f)
{
	struct trial *t = f->group->trial;
	if (f->n > 1) {
		for (size_t i = 0; i < f->n; i++)
			again(b, f->group, f->places[i]);
		if (t->rows > f->n / 2)
			t->rows = f->n / 2;
		return end(b, f);
	}
	at(b, f->places[0])->state = SUSPECT;
	t->rows = 1;
	t->open--;
	t->suspects++;
	b->suspects++;
	return end(b, f);
}

void *
batch_pop(struct batch *b, bool *rejected)
{
	struct slot *s = at(b, b->first);
	if (b->first == b->end || (s->state != DONE && s->state != REJECTED))
		return NULL;
	*rejected = s->state == REJECTED;
	b->bytes -= s->size;
	b->first++;
	return s->item;
}

size_t
batch_held(const struct batch *b)
{
	return (size_t)(b->end - b->first);
}

unsigned
batch_flights(const struct batch *b)
{
	return b->flights;
}

void
batch_free(struct batch *b, void (*drop)(void *ctx, void *item), void *ctx)
{
	if (b == NULL)
		return;
	for (unsigned i = 0; i < b->limits.flights; i++) {
		if (b->flying[i] != NULL)
			free_flight(b, b->flying[i]);
	}
	for (uint64_t i = b->first; i < b->end; i++)
		drop(ctx, at(b, i)->item);
	while (b->groups != NULL)
		free_group(b, b->groups);
	map_release(&b->by_name);
	free(b->flying);
	free(b->slots);
	free(b);
}
