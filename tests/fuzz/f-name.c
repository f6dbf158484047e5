/*
 * name: names of resources, numbers and URLs out of settings and data. What is accepted has the form that it must have, so
 * that no name leaves its place in a URL.
 */
#include "decimal.h"
#include "fuzz.h"
#include "lake.h"
#include "num.h"
#include "url.h"

static bool
only(const char *s, const char *extra)
{
	for (; *s != '\0'; s++) {
		bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');
		if (!plain && strchr(extra, *s) == NULL)
			return false;
	}
	return true;
}

static unsigned
slashes(const char *s)
{
	unsigned n = 0;
	for (; *s != '\0'; s++)
		n += *s == '/';
	return n;
}

static void
names(const char *text)
{
	struct buf out = BUF_INIT(4096);
	char *a = NULL, *b = NULL;
	struct err e;
	if (name_pubsub(&out, "topics", text, "project-1", &e) == 0) {
		const char *full = buf_cstr(&out);
		MUST(strncmp(full, "projects/", 9) == 0 && strstr(full, "/topics/") != NULL && slashes(full) == 3);
		MUST(only(full, "/-_.~+%:") && strstr(full, "/../") == NULL && strstr(full, "/./") == NULL);
	}
	if (name_dataset(text, "project-1", &a, &b, &e) == 0)
		MUST(only(a, "-.:_") && only(b, "_"));
	free(a);
	free(b);
	a = b = NULL;
	if (name_bucket(text, &a, &b, &e) == 0) {
		MUST(only(a, "-_.") && *a != '.' && b[strcspn(b, "\r\n")] == '\0');
		MUST(*b != '/' && (*b == '\0' || b[strlen(b) - 1] != '/'));
	}
	free(a);
	free(b);
	buf_release(&out);
}

static void
encoded(struct str s)
{
	struct buf out = BUF_INIT(8192), type = BUF_INIT(8192);
	struct err e;
	url_encode(&out, s);
	if (!out.over)
		MUST(only(buf_cstr(&out), "-._~%"));
	if (lake_escape_type(&type, s, &e) == 0)
		MUST(type.n > 0 && type.n <= LAKE_TYPE_MAX && only(buf_cstr(&type), "._-%") && *type.p != '.');
	buf_release(&out);
	buf_release(&type);
}

static void
numbers(struct str s)
{
	struct decimal d, same;
	int64_t i, size;
	double f;
	char text[32];
	if (num_i64(s, &i) && s.n < 25) {
		snprintf(text, sizeof(text), "%.*s", STR_ARG(s));
		MUST(strtoll(text, NULL, 10) == i);
	}
	if (num_size(s, &size))
		MUST(size >= 0);
	num_double(s, &f);
	struct json j = {0};
	if (json_parse_fully(&j, s) == JSON_OK && json_is(&j, 0, JSON_NUMBER) && decimal_parse(&d, json_text(&j, 0)))
		MUST(decimal_parse(&same, json_text(&j, 0)) && decimal_cmp(&d, &same) == 0);
	json_release(&j);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str s = {(const char *)p, n};
	char *text = str_dup(s);
	names(text);
	if (url_keeps_secrets(text))
		MUST(strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0);
	encoded(s);
	numbers(s);
	free(text);
	return 0;
}
