#include "glob.h"

#include <string.h>

#include "utf8.h"

/*
 * A pattern is a chain of places, one before each of its bytes and one behind the last. A set of them says where in
 * the pattern the name read so far may stand.
 */
struct places {
	bool at[GLOB_MAX + 1];
};

static bool
is_double(struct str p, size_t i)
{
	return i + 1 < p.n && p.p[i] == '*' && p.p[i + 1] == '*';
}

/* Adds place i and those reached from it without reading anything. */
static void
enter(struct places *set, struct str p, size_t i)
{
	while (!set->at[i]) {
		set->at[i] = true;
		if (i == p.n || p.p[i] != '*')
			return;
		if (!is_double(p, i)) {
			i++;
			continue;
		}
		bool whole = (i == 0 || p.p[i - 1] == '/') && i + 2 < p.n && p.p[i + 2] == '/';
		if (whole)
			enter(set, p, i + 3);
		i += 2;
	}
}

static size_t
character(struct str s)
{
	uint32_t cp;
	size_t n = utf8_decode(s, &cp);
	return n > 0 ? n : 1;
}

/* Reads one character of the name: false where no place is left. */
static bool
step(const struct places *from, struct places *to, struct str p, struct str c)
{
	bool any = false, slash = c.p[0] == '/';
	memset(to->at, 0, p.n + 1);
	for (size_t i = 0; i < p.n; i++) {
		if (!from->at[i])
			continue;
		if (is_double(p, i)) {
			/* Not enter(): that "a/" may be left out is so only where nothing was read. */
			to->at[i] = true;
			enter(to, p, i + 2);
		} else if (p.p[i] == '*' && !slash)
			enter(to, p, i);
		else if (p.p[i] == '?' && !slash)
			enter(to, p, i + 1);
		else if (p.p[i] != '*' && str_starts(str_skip(p, i), c))
			enter(to, p, i + c.n);
		else
			continue;
		any = true;
	}
	return any;
}

/* false where the name cannot be, or begin, a match; the places it may stand at are in *at */
static bool
walk(struct str pattern, struct str name, struct places *at)
{
	struct places next;
	if (pattern.n > GLOB_MAX)
		return false;
	memset(at->at, 0, pattern.n + 1);
	enter(at, pattern, 0);
	while (name.n > 0) {
		struct str c = {name.p, character(name)};
		if (!step(at, &next, pattern, c))
			return false;
		memcpy(at->at, next.at, pattern.n + 1);
		name = str_skip(name, c.n);
	}
	return true;
}

size_t
glob_fixed(struct str pattern)
{
	size_t i = 0;
	while (i < pattern.n && pattern.p[i] != '*' && pattern.p[i] != '?')
		i++;
	return i;
}

bool
glob_match(struct str pattern, struct str name)
{
	struct places at;
	return walk(pattern, name, &at) && at.at[pattern.n];
}

bool
glob_enters(struct str pattern, struct str folder)
{
	struct places at;
	return walk(pattern, folder, &at);
}
