#include "faults.h"

#include <stdlib.h>
#include <string.h>

#include "utf8.h"
#include "xalloc.h"

void
faults_init(struct faults *f)
{
	*f = (struct faults){0};
	f->texts = xreallocarray(NULL, LIMIT_FAULTS + 1, sizeof(*f->texts));
}

void
faults_clear(struct faults *f)
{
	f->n = f->spare = 0;
}

static int
compare(const struct fault *a, const struct fault *b)
{
	int c = str_cmp(a->path, b->path);
	return c != 0 ? c : strcmp(a->code, b->code);
}

static struct str
copy(char *to, size_t max, struct str s)
{
	size_t n = utf8_cut(s, max);
	if (n > 0)
		memcpy(to, s.p, n);
	return (struct str){to, n};
}

/* Where a fault goes in the list, or LIMIT_FAULTS where it does not. */
static unsigned
find_place(const struct faults *f, const struct fault *new)
{
	unsigned at = f->n;
	int c = 1;
	while (at > 0 && (c = compare(new, &f->list[at - 1])) < 0)
		at--;
	return c == 0 ? LIMIT_FAULTS : at;
}

bool
faults_wants(const struct faults *f, const char *code, struct str path)
{
	struct fault new = {.code = code, .path = {path.p, utf8_cut(path, FAULT_PATH_MAX)}};
	return find_place(f, &new) < LIMIT_FAULTS;
}

void
faults_add(struct faults *f, const char *code, struct str path, struct str detail)
{
	struct fault new = {.code = code, .path = {path.p, utf8_cut(path, FAULT_PATH_MAX)}};
	unsigned at = find_place(f, &new);
	if (at == LIMIT_FAULTS)
		return;
	struct fault_text *t = &f->texts[f->spare];
	new.path = copy(t->path, FAULT_PATH_MAX, path);
	new.detail = copy(t->detail, SCALAR_DETAIL, detail);
	memmove(f->list + at + 1, f->list + at, (f->n - at) * sizeof(f->list[0]));
	memmove(f->text_of + at + 1, f->text_of + at, (f->n - at) * sizeof(f->text_of[0]));
	f->list[at] = new;
	f->text_of[at] = f->spare;
	f->n++;
	f->spare = f->n;
	if (f->n > LIMIT_FAULTS) {
		f->n = LIMIT_FAULTS;
		f->spare = f->text_of[LIMIT_FAULTS];
	}
}

void
faults_release(struct faults *f)
{
	free(f->texts);
	*f = (struct faults){0};
}
