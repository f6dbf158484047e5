/*
 * An object's name as a path below its bucket's folder.
 *
 * Each component stands as it is, but for: '%' and control bytes, "." and ".." (%XX); an empty one ("%e");
 * one that is too long for a file system (its beginning, "%h", SHA-256). Where a directory is wanted and a
 * file of that name stands, it gets "%d" at the end, and a file where a directory stands gets "%f": both "a"
 * and "a/b" can be objects. No two names ever share a path; which path a name got is in the database.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest.h"
#include "gcs.h"
#include "utf8.h"
#include "xalloc.h"

#define COMPONENT_MAX 240 /* leaves room for "%d" below the usual 255 */
#define KEPT 160          /* bytes kept of a component that is too long */
#define NAME_PATH_MAX 2000 /* past this a name is its hash alone: PATH_MAX is 4096 with DIR in it */

static void
add_hash(struct buf *out, struct str s)
{
	uint8_t hash[DIGEST_MAX];
	char hex[2 * DIGEST_MAX + 1];

	digest_of(DIGEST_SHA256, s, hash);
	digest_hex(hex, hash, 32);
	buf_addz(out, hex);
}

static void
escape_component(struct buf *out, struct str c)
{
	size_t from = out->n, kept;
	bool dots = str_is(c, ".") || str_is(c, "..");

	if (c.n == 0)
		buf_addz(out, "%e");
	for (size_t i = 0; i < c.n; i++) {
		unsigned char b = (unsigned char)c.p[i];

		if (b < 0x20 || b == 0x7f || b == '%' || dots)
			buf_addf(out, "%%%02X", b);
		else
			buf_addc(out, (char)b);
	}
	if (out->n - from <= COMPONENT_MAX)
		return;
	kept = utf8_cut((struct str){out->p + from, out->n - from}, KEPT);
	/* not in the middle of %XX */
	if (out->p[from + kept - 1] == '%')
		kept -= 1;
	else if (out->p[from + kept - 2] == '%')
		kept -= 2;
	out->n = from + kept;
	buf_addz(out, "%h");
	add_hash(out, c);
}

/* 0 nothing there, 1 a directory, 2 something else */
static int
what_is(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0;
	return S_ISDIR(st.st_mode) ? 1 : 2;
}

/* path ends in a component that shall be a directory: made if it must be. */
static int
enter(struct buf *path, struct err *e)
{
	int is = what_is(buf_cstr(path));

	if (is == 2) {
		buf_addz(path, "%d");
		is = what_is(buf_cstr(path));
	}
	if (is == 0 && mkdir(buf_cstr(path), 0777) < 0)
		return err_set(e, ERR_IO, "cannot create '%s': %s", buf_cstr(path), strerror(errno));
	return 0;
}

static int
walk(struct buf *path, struct str name, struct err *e)
{
	for (;;) {
		size_t n = str_find(name, '/');

		buf_addc(path, '/');
		escape_component(path, (struct str){name.p, n});
		if (n == name.n)
			break;
		if (enter(path, e) < 0)
			return -1;
		name = str_skip(name, n + 1);
	}
	if (what_is(buf_cstr(path)) == 1)
		buf_addz(path, "%f");
	return 0;
}

static size_t
escaped_length(struct str name)
{
	size_t n = name.n;

	for (size_t i = 0; i < name.n; i++) {
		unsigned char b = (unsigned char)name.p[i];

		n += (b < 0x20 || b == 0x7f || b == '%' || b == '/' || b == '.') ? 2 : 0;
	}
	return n;
}

char *
gcs_path_make(const char *folder, struct str name, struct err *e)
{
	struct buf path = BUF_INIT(64 * 1024);
	size_t root = strlen(folder) + 1;
	char *out = NULL;

	buf_addz(&path, folder);
	if (escaped_length(name) > NAME_PATH_MAX) {
		buf_addz(&path, "/%n");
		if (enter(&path, e) < 0)
			goto out;
		buf_addc(&path, '/');
		add_hash(&path, name);
	} else if (walk(&path, name, e) < 0) {
		goto out;
	}
	out = str_dup(str_skip(buf_str(&path), root));
out:
	buf_release(&path);
	return out;
}

void
gcs_path_prune(const char *folder, const char *path)
{
	char *full = xasprintf("%s/%s", folder, path), *slash;
	size_t root = strlen(folder);

	while ((slash = strrchr(full, '/')) != NULL && (size_t)(slash - full) > root) {
		*slash = '\0';
		if (rmdir(full) < 0)
			break;
	}
	free(full);
}
