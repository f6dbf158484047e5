/* ps_names: what Pub/Sub takes for a name. */
#include "ps.h"

#define ID_MIN 3
#define ID_MAX 255
#define PROJECT_MAX 100

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_id_char(char c)
{
	return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.' || c == '~' || c == '+' || c == '%';
}

const char *
ps_check_id(struct str id)
{
	if (id.n < ID_MIN || id.n > ID_MAX)
		return "it must have 3 to 255 characters";
	if (!is_letter(id.p[0]))
		return "it must begin with a letter";
	if (str_starts(id, STR("goog")))
		return "it must not begin with goog";
	for (size_t i = 0; i < id.n; i++) {
		if (!is_id_char(id.p[i]))
			return "it may hold letters, digits, - _ . ~ + and % only";
	}
	return NULL;
}

const char *
ps_check_project(struct str project)
{
	if (project.n == 0 || project.n > PROJECT_MAX)
		return "the project must have 1 to 100 characters";
	for (size_t i = 0; i < project.n; i++) {
		char c = project.p[i];
		if (!(c >= 'a' && c <= 'z') && !is_digit(c) && c != '-' && c != '.' && c != ':')
			return "the project may hold lower case letters, digits, - . and : only";
	}
	return NULL;
}

const char *
ps_check_name(struct str name, const char *collection)
{
	if (!str_starts(name, STR("projects/")))
		return "it must begin with projects/";
	struct str rest = str_skip(name, 9);
	struct str project = {rest.p, str_find(rest, '/')};
	const char *why = ps_check_project(project);
	if (why != NULL)
		return why;
	rest = str_skip(rest, project.n + 1);
	struct str word = {rest.p, str_find(rest, '/')};
	if (!str_is(word, collection))
		return "it must be projects/PROJECT/COLLECTION/ID";
	return ps_check_id(str_skip(rest, word.n + 1));
}
