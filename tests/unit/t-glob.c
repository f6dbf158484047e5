/* glob: patterns and names as a table. */
#include <string.h>

#include "clock.h"
#include "glob.h"
#include "tap.h"

static void
test_matches(void)
{
	static const struct {
		const char *pattern, *name;
		bool match;
	} t[] = {
	    {"a", "a", true}, {"a", "b", false}, {"", "", true}, {"a", "", false}, {"", "a", false},
	    {"*", "", true}, {"*", "abc", true}, {"*", ".hidden", true}, {"*", "a/b", false}, {"*/*", "a/b", true},
	    {"a*c", "ac", true}, {"a*c", "abbc", true}, {"a*c", "ab/c", false}, {"a*c", "abcd", false},
	    {"?", "a", true}, {"?", "", false}, {"?", "/", false}, {"?", "é", true}, {"??", "é", false}, {"?", "\xff", true},
	    {"**", "a/b/c", true}, {"**", "", true}, {"**.json", "a/b.json", true}, {"**.json", ".json", true},
	    {"a/**", "a/b/c", true}, {"a/**", "a/", true}, {"a/**", "a", false}, {"a/**", "ab/c", false},
	    {"a/**/b", "a/b", true}, {"a/**/b", "a/x/b", true}, {"a/**/b", "a/x/y/b", true}, {"a/**/b", "a/xb", false},
	    {"a/**/b", "ab", false}, {"**/b", "b", true}, {"**/b", "a/b", true}, {"**/b", "ab", false},
	    {"a**b", "a/x/b", true}, {"a**/b", "a/b", true}, {"a**/b", "axb", false}, {"***", "a/b", true},
	    {"[a]", "a", false}, {"[a]", "[a]", true}, {"a\\*", "a\\x", true}, {"data/*.json", "data/2024.json", true},
	    {"data/*.json", "data/2024/1.json", false}, {"**/**/**/x", "x", true}, {"*a*a*a*", "aXaXa", true},
	};
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		ok(glob_match(str_of(t[i].pattern), str_of(t[i].name)) == t[i].match, "'%s' %s '%s'", t[i].pattern,
		    t[i].match ? "matches" : "does not match", t[i].name);
}

static void
test_folders(void)
{
	ok(glob_enters(STR("a/*/c*"), STR("a/b/")), "a folder on the way is entered");
	ok(!glob_enters(STR("a/*/c"), STR("a/b/d/")), "one that leads nowhere is not");
	ok(!glob_enters(STR("a/*"), STR("a/b/")), "nor one that a name would have to be");
	ok(glob_enters(STR("a/**"), STR("a/b/c/")), "** enters all");
}

static void
test_fixed(void)
{
	is_int((long long)glob_fixed(STR("data/20*/x")), 7, "what stands before the first wildcard");
	is_int((long long)glob_fixed(STR("a?")), 1, "which may be a question mark");
	is_int((long long)glob_fixed(STR("plain")), 5, "a plain name is fixed to its end");
}

/* A pattern that makes a backtracking matcher run for ever. */
static void
test_hostile(void)
{
	char pattern[GLOB_MAX], name[1024];
	for (size_t i = 0; i < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = 'b';
	int64_t start = clock_now();
	ok(!glob_match((struct str){pattern, 1000}, (struct str){name, sizeof(name)}), "500 stars do not match");
	ok(clock_now() - start < SECONDS(1), "and that is known soon");
	ok(!glob_match((struct str){pattern, sizeof(pattern) + 1}, STR("a")), "a pattern past the limit matches nothing");
}

int
main(void)
{
	test_matches();
	test_folders();
	test_fixed();
	test_hostile();
	return done();
}
