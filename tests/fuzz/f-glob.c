/* glob: against a matcher that is as plain as the rules; and no folder is passed over that holds a match. */
#include "fuzz.h"
#include "glob.h"
#include "utf8.h"

#define FOLDERS 256 /* bytes of a name within which folders are looked at */
#define SHORT 12    /* what the plain one, which tries everything, can take */

static size_t
character(struct str s)
{
	uint32_t cp;
	size_t n = utf8_decode(s, &cp);
	return n > 0 ? n : 1;
}

/* glob.h, word for word. first: a part of a path begins here. */
static bool
matches(struct str p, struct str s, bool first)
{
	if (p.n == 0)
		return s.n == 0;
	if (str_starts(p, STR("**"))) {
		struct str rest = p;
		while (rest.n > 0 && *rest.p == '*')
			rest = str_skip(rest, 1);
		if (first && p.n - rest.n == 2 && rest.n > 0 && *rest.p == '/' && matches(str_skip(rest, 1), s, true))
			return true;
		for (size_t i = 0; i <= s.n; i++) {
			if (matches(rest, str_skip(s, i), false))
				return true;
		}
		return false;
	}
	if (*p.p == '*') {
		for (size_t i = 0; i <= s.n; i++) {
			if (matches(str_skip(p, 1), str_skip(s, i), false))
				return true;
			if (i < s.n && s.p[i] == '/')
				return false;
		}
		return false;
	}
	if (s.n == 0)
		return false;
	if (*p.p == '?')
		return *s.p != '/' && matches(str_skip(p, 1), str_skip(s, character(s)), false);
	return *p.p == *s.p && matches(str_skip(p, 1), str_skip(s, 1), *p.p == '/');
}

static bool
is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str name = {(const char *)p, n}, pattern = fuzz_section(&name, "\n");
	bool yes = glob_match(pattern, name);
	size_t fixed = glob_fixed(pattern);
	MUST(fixed <= pattern.n && (!yes || str_starts(name, (struct str){pattern.p, fixed})));
	if (pattern.n <= SHORT && name.n <= SHORT && is_ascii(pattern) && is_ascii(name))
		MUST(yes == matches(pattern, name, true));
	for (size_t i = 0; i < name.n && i < FOLDERS; i++) {
		if (name.p[i] == '/' && yes)
			MUST(glob_enters(pattern, (struct str){name.p, i + 1}));
		else if (name.p[i] == '/')
			glob_enters(pattern, (struct str){name.p, i + 1});
	}
	return 0;
}
