/* Local folders: the paths that match a pattern, in the order of their bytes, as a bucket lists its names. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bounds.h"
#include "glob.h"
#include "read.h"
#include "xalloc.h"

#define DEPTH_MAX 64

struct folder {
	struct dirent **entries;
	int n, next;
	size_t path;   /* length of its path in walk.path */
	dev_t device;
	ino_t inode;
};

struct walk {
	char *pattern;
	struct buf path;
	struct folder stack[DEPTH_MAX];
	int depth;
};

static bool
is_folder(const struct dirent *d)
{
	return d->d_type == DT_DIR;
}

/* By the bytes of whole paths, where a folder's name is followed by a slash. */
static int
compare(const struct dirent **a, const struct dirent **b)
{
	const unsigned char *p = (const unsigned char *)(*a)->d_name, *q = (const unsigned char *)(*b)->d_name;
	while (*p == *q && *p != '\0') {
		p++;
		q++;
	}
	int c = *p != '\0' ? *p : is_folder(*a) ? '/' : 0, d = *q != '\0' ? *q : is_folder(*b) ? '/' : 0;
	return c - d;
}

static int
no_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

/* Links and file systems that do not tell: what an entry is decides its place in the order. */
static void
find_types(struct walk *w, struct dirent **list, int n)
{
	size_t at = w->path.n;
	struct stat st;
	for (int i = 0; i < n; i++) {
		if (list[i]->d_type == DT_DIR || list[i]->d_type == DT_REG)
			continue;
		buf_addz(&w->path, list[i]->d_name);
		list[i]->d_type = stat(buf_cstr(&w->path), &st) == 0 && S_ISDIR(st.st_mode) ? DT_DIR : DT_UNKNOWN;
		w->path.n = at;
	}
}

static bool
is_loop(const struct walk *w, const struct stat *st)
{
	for (int i = 0; i < w->depth; i++) {
		if (w->stack[i].device == st->st_dev && w->stack[i].inode == st->st_ino)
			return true;
	}
	return false;
}

static void
descend(struct read *r, struct walk *w)
{
	struct folder *f = &w->stack[w->depth];
	const char *name = w->path.n > 0 ? buf_cstr(&w->path) : ".";
	struct stat st;
	struct err e;
	if (w->depth == DEPTH_MAX) {
		err_set(&e, ERR_INPUT, "cannot read '%s': folders are nested deeper than %d", name, DEPTH_MAX);
		fault(r, &e);
		return;
	}
	if (stat(name, &st) == 0 && is_loop(w, &st))
		return;
	*f = (struct folder){.path = w->path.n, .device = st.st_dev, .inode = st.st_ino};
	f->n = scandir(name, &f->entries, no_dots, NULL);
	if (f->n < 0) {
		err_set(&e, errno == EACCES ? ERR_AUTH : errno == ENOENT || errno == ENOTDIR ? ERR_NOINPUT : ERR_IO,
		    "cannot read the folder '%s': %s", name, strerror(errno));
		fault(r, &e);
		return;
	}
	find_types(w, f->entries, f->n);
	if (f->n > 0)
		qsort(f->entries, (size_t)f->n, sizeof(*f->entries), (int (*)(const void *, const void *))(void (*)(void))compare);
	w->depth++;
}

struct walk *
walk_new(struct str pattern)
{
	struct walk *w = xcalloc(1, sizeof(*w));
	w->pattern = str_dup(pattern);
	buf_init(&w->path, 64 * KIB);
	size_t n = glob_fixed(pattern);
	while (n > 0 && pattern.p[n - 1] != '/')
		n--;
	buf_add(&w->path, pattern.p, n);
	w->depth = -1;
	return w;
}

static void
leave(struct walk *w)
{
	struct folder *f = &w->stack[--w->depth];
	for (int i = f->next; i < f->n; i++)
		free(f->entries[i]);
	free(f->entries);
}

const char *
walk_next(struct read *r, struct walk *w)
{
	struct str pattern = str_of(w->pattern);
	if (w->depth < 0) {
		w->depth = 0;
		descend(r, w);
	}
	while (w->depth > 0) {
		struct folder *f = &w->stack[w->depth - 1];
		if (f->next == f->n) {
			leave(w);
			continue;
		}
		struct dirent *d = f->entries[f->next++];
		bool folder = is_folder(d);
		w->path.n = f->path;
		buf_addz(&w->path, d->d_name);
		if (folder)
			buf_addc(&w->path, '/');
		free(d);
		if (folder && glob_enters(pattern, buf_str(&w->path)))
			descend(r, w);
		else if (!folder && glob_match(pattern, buf_str(&w->path)))
			return buf_cstr(&w->path);
	}
	return NULL;
}

void
walk_free(struct walk *w)
{
	if (w == NULL)
		return;
	while (w->depth > 0)
		leave(w);
	buf_release(&w->path);
	free(w->pattern);
	free(w);
}
