#include "lake.h"

#include <stdlib.h>
#include <string.h>

#include "time.h"
#include "xalloc.h"

void
lake_init(struct lake *l, const struct lake_rules *rules, int64_t now)
{
	*l = (struct lake){.rules = *rules, .last_input = now};
}

struct lake_part *
lake_find(const struct lake *l, struct str key)
{
	return map_get(&l->parts, key);
}

struct lake_part *
lake_before(const struct lake *l, struct lake_part *part, uint64_t bytes)
{
	if (part == NULL)
		return l->open >= l->rules.max_open ? l->oldest : NULL;
	return part->records > 0 && part->bytes + bytes > l->rules.rotate_bytes ? part : NULL;
}

void
lake_open(struct lake *l, struct lake_part *part, struct str key, int64_t now)
{
	*part = (struct lake_part){.older = l->newest, .opened = now, .earliest = INT64_MAX};
	part->key = (struct str){str_dup(key), key.n};
	if (l->newest != NULL)
		l->newest->newer = part;
	else
		l->oldest = part;
	l->newest = part;
	l->open++;
	map_put(&l->parts, part->key, part);
}

void
lake_count(struct lake *l, struct lake_part *part, uint64_t bytes, int64_t time, int64_t now)
{
	part->records++;
	part->bytes += bytes;
	if (time < part->earliest)
		part->earliest = time;
	l->records++;
	l->bytes += bytes;
	l->last_input = now;
}

struct lake_part *
lake_after(const struct lake *l, struct lake_part *part)
{
	/* A part that was closed meanwhile has no key: it was the oldest. */
	if (part->key.p != NULL && part->bytes >= l->rules.rotate_bytes)
		return part;
	if (l->by_source)
		return NULL;
	return l->records > l->rules.max_held || l->bytes > l->rules.max_held_bytes ? l->oldest : NULL;
}

int64_t
lake_wake(const struct lake *l)
{
	int64_t when = INT64_MAX;
	if (l->oldest == NULL || l->by_source)
		return when;
	if (l->rules.rotate_after > 0)
		when = l->oldest->opened + l->rules.rotate_after;
	if (l->rules.idle_after > 0 && l->last_input + l->rules.idle_after < when)
		when = l->last_input + l->rules.idle_after;
	return when;
}

/* The oldest is always the first whose time comes: silence ends all of them, and age begins with it. */
struct lake_part *
lake_due(const struct lake *l, int64_t now)
{
	return lake_wake(l) <= now ? l->oldest : NULL;
}

void
lake_not_idle(struct lake *l, int64_t now)
{
	l->last_input = now;
}

void
lake_close(struct lake *l, struct lake_part *part)
{
	map_del(&l->parts, part->key);
	free((char *)(uintptr_t)part->key.p);
	part->key = STR_NONE;
	*(part->older != NULL ? &part->older->newer : &l->oldest) = part->newer;
	*(part->newer != NULL ? &part->newer->older : &l->newest) = part->older;
	part->older = part->newer = NULL;
	l->open--;
	l->records -= part->records;
	l->bytes -= part->bytes;
}

void
lake_release(struct lake *l)
{
	map_release(&l->parts);
}

static bool
plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	    c == '-';
}

int
lake_escape_type(struct buf *out, struct str type, struct err *e)
{
	size_t start = out->n;
	if (type.n == 0)
		return err_set(e, ERR_INPUT, "its type is empty");
	for (size_t i = 0; i < type.n && out->n - start <= LAKE_TYPE_MAX; i++) {
		char c = type.p[i];
		if (plain(c) || (c == '.' && i > 0))
			buf_addc(out, c);
		else
			buf_addf(out, "%%%02X", (unsigned char)c);
	}
	if (out->over || out->n - start > LAKE_TYPE_MAX)
		return err_set(e, ERR_INPUT, "its type takes more than %d bytes in an object's name",
		    LAKE_TYPE_MAX);
	return 0;
}

void
lake_name(struct buf *out, const char *prefix, const char *type, int64_t earliest, const char *hash,
    bool gzip)
{
	struct civil c;
	time_civil(earliest, &c);
	if (*prefix != '\0')
		buf_addf(out, "%s/", prefix);
	buf_addf(out, "%s/%04d/%02d/%02d/%02d/%02d/", type, c.year, c.month, c.day, c.hour, c.minute);
	buf_addf(out, "%s_%04d%02d%02d%02d%02d_%s.json%s", type, c.year, c.month, c.day, c.hour, c.minute,
	    hash, gzip ? ".gz" : "");
}

int64_t
lake_day(int64_t micros)
{
	const int64_t day = INT64_C(86400000000);
	return micros / day - (micros % day < 0);
}
