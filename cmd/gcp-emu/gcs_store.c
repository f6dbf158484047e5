/*
 * Objects on disk: metadata in one SQLite database, contents in files.
 *
 * A put writes the new content into .uploads, commits the object's row with that file's name in `staged`, and
 * then renames the file into its place. Whoever opens the folder after a death in between finds the file
 * still in .uploads, and its row says where it belongs; a file that no row or session names is dropped. A
 * removal notes the path in `doomed` in the same transaction that takes the row away.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gcs.h"
#include "io.h"
#include "log.h"
#include "xalloc.h"

static const char schema_sql[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
    "CREATE TABLE IF NOT EXISTS buckets(name TEXT PRIMARY KEY, extra TEXT, created INTEGER);"
    "CREATE TABLE IF NOT EXISTS objects(bucket TEXT, name TEXT, path TEXT, generation INTEGER,"
    " metageneration INTEGER, size INTEGER, md5 BLOB, crc32c INTEGER, content_type TEXT, extra TEXT,"
    " created INTEGER, updated INTEGER, staged TEXT, PRIMARY KEY(bucket, name)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS objects_staged ON objects(staged);"
    "CREATE TABLE IF NOT EXISTS doomed(bucket TEXT, path TEXT);"
    "CREATE TABLE IF NOT EXISTS sessions(id TEXT PRIMARY KEY, bucket TEXT, json TEXT, content_type TEXT,"
    " total INTEGER, conds TEXT, received INTEGER, state TEXT, generation INTEGER, created INTEGER);";

static int
failed(struct gcs *g, struct err *e)
{
	return err_set(e, ERR_IO, "cannot write '%s/.meta.sqlite': %s", g->dir, sqlite3_errmsg(g->db));
}

sqlite3_stmt *
gcs_sql(struct gcs *g, const char *sql, const char *fmt, ...)
{
	sqlite3_stmt *st = NULL;
	va_list ap;

	if (sqlite3_prepare_v2(g->db, sql, -1, &st, NULL) != SQLITE_OK) {
		log_error("%s: %s", sql, sqlite3_errmsg(g->db));
		return NULL;
	}
	va_start(ap, fmt);
	for (int i = 1; *fmt != '\0'; fmt++, i++) {
		struct str s;

		switch (*fmt) {
		case 's':
			s = va_arg(ap, struct str);
			sqlite3_bind_text(st, i, s.p, (int)s.n, SQLITE_TRANSIENT);
			break;
		case 'z':
			sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
			break;
		case 'b':
			sqlite3_bind_blob(st, i, va_arg(ap, const uint8_t *), 16, SQLITE_TRANSIENT);
			break;
		default:
			sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
		}
	}
	va_end(ap);
	return st;
}

int
gcs_run(struct gcs *g, sqlite3_stmt *st, struct err *e)
{
	int code = st != NULL ? sqlite3_step(st) : SQLITE_ERROR;

	if (code != SQLITE_DONE && code != SQLITE_ROW)
		failed(g, e);
	sqlite3_finalize(st);
	return code == SQLITE_DONE || code == SQLITE_ROW ? 0 : -1;
}

struct str
gcs_column(sqlite3_stmt *st, int i)
{
	const char *p = (const char *)sqlite3_column_text(st, i);

	return (struct str){p != NULL ? p : "", (size_t)sqlite3_column_bytes(st, i)};
}

static struct str
copy(struct str s)
{
	return (struct str){str_dup(s), s.n};
}

static int
make_dir(const char *path, struct err *e)
{
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return err_set(e, ERR_IO, "cannot create '%s': %s", path, strerror(errno));
	return 0;
}

/* ---- after a death ---- */

/* A file left in .uploads: to its place, or away. */
static void
settle_file(struct gcs *g, const char *name)
{
	sqlite3_stmt *st = gcs_sql(g, "SELECT bucket, path FROM objects WHERE staged = ?", "z", name);
	char *from = xasprintf("%s/%s", g->uploads, name), *to = NULL;
	bool keep = false;

	if (st != NULL && sqlite3_step(st) == SQLITE_ROW) {
		to = xasprintf("%s/%s/%s", g->dir, gcs_column(st, 0).p, gcs_column(st, 1).p);
	} else {
		sqlite3_finalize(st);
		st = gcs_sql(g, "SELECT 1 FROM sessions WHERE id = ? AND state = 'open'", "z", name);
		keep = st != NULL && sqlite3_step(st) == SQLITE_ROW;
	}
	sqlite3_finalize(st);
	if (to != NULL && rename(from, to) < 0)
		log_error("cannot rename '%s' to '%s': %s", from, to, strerror(errno));
	else if (to == NULL && !keep)
		unlink(from);
	free(from);
	free(to);
}

static int
settle_uploads(struct gcs *g, struct err *e)
{
	DIR *dir = opendir(g->uploads);
	struct dirent *de;

	if (dir == NULL)
		return err_set(e, ERR_IO, "cannot open '%s': %s", g->uploads, strerror(errno));
	while ((de = readdir(dir)) != NULL)
		if (de->d_name[0] != '.')
			settle_file(g, de->d_name);
	closedir(dir);
	return 0;
}

/* Contents whose row is gone, unless another object has taken the path since. */
static int
settle_doomed(struct gcs *g, struct err *e)
{
	sqlite3_stmt *st = gcs_sql(g, "SELECT bucket, path FROM doomed EXCEPT SELECT bucket, path FROM "
	    "objects", "");

	while (st != NULL && sqlite3_step(st) == SQLITE_ROW) {
		char *folder = xasprintf("%s/%s", g->dir, gcs_column(st, 0).p);
		char *path = xasprintf("%s/%s", folder, gcs_column(st, 1).p);

		unlink(path);
		gcs_path_prune(folder, gcs_column(st, 1).p);
		free(folder);
		free(path);
	}
	sqlite3_finalize(st);
	return gcs_run(g, gcs_sql(g, "DELETE FROM doomed", ""), e);
}

static int
load_generation(struct gcs *g)
{
	sqlite3_stmt *st = gcs_sql(g, "SELECT max(generation) FROM objects", "");

	if (st != NULL && sqlite3_step(st) == SQLITE_ROW)
		g->generation = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return 0;
}

int
gcs_store_open(struct gcs *g, struct err *e)
{
	char *path = xasprintf("%s/.meta.sqlite", g->dir), *why = NULL;
	int64_t old = g->emu->wall - (int64_t)GCS_SESSION_SECONDS * 1000000;
	int rc = -1, code;

	if (make_dir(g->emu->dir, e) < 0 || make_dir(g->dir, e) < 0 || make_dir(g->uploads, e) < 0)
		goto out;
	code = sqlite3_open_v2(path, &g->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	if (code != SQLITE_OK) {
		err_set(e, ERR_IO, "cannot open '%s': %s", path, sqlite3_errstr(code));
		goto out;
	}
	sqlite3_busy_timeout(g->db, 10000);
	if (sqlite3_exec(g->db, schema_sql, NULL, NULL, &why) != SQLITE_OK) {
		err_set(e, ERR_IO, "cannot write '%s': %s", path, why);
		goto out;
	}
	if (gcs_run(g, gcs_sql(g, "DELETE FROM sessions WHERE created < ?", "i", old), e) < 0 ||
	    settle_uploads(g, e) < 0 || settle_doomed(g, e) < 0)
		goto out;
	rc = load_generation(g);
out:
	sqlite3_free(why);
	free(path);
	return rc;
}

/* ---- rows ---- */

bool
gcs_bucket_exists(struct gcs *g, struct str bucket)
{
	sqlite3_stmt *st = gcs_sql(g, "SELECT 1 FROM buckets WHERE name = ?", "s", bucket);
	bool there = st != NULL && sqlite3_step(st) == SQLITE_ROW;

	sqlite3_finalize(st);
	return there;
}

void
gcs_object_read(struct gcs_object *o, sqlite3_stmt *st)
{
	const void *md5 = sqlite3_column_blob(st, 6);

	memset(o, 0, sizeof(*o));
	o->bucket = copy(gcs_column(st, 0));
	o->name = copy(gcs_column(st, 1));
	o->path = str_dup(gcs_column(st, 2));
	o->generation = sqlite3_column_int64(st, 3);
	o->metageneration = sqlite3_column_int64(st, 4);
	o->size = sqlite3_column_int64(st, 5);
	if (md5 != NULL && sqlite3_column_bytes(st, 6) == 16)
		memcpy(o->md5, md5, 16);
	o->crc32c = (uint32_t)sqlite3_column_int64(st, 7);
	o->content_type = str_dup(gcs_column(st, 8));
	o->extra = copy(gcs_column(st, 9));
	o->created = sqlite3_column_int64(st, 10);
	o->updated = sqlite3_column_int64(st, 11);
}

void
gcs_object_release(struct gcs_object *o)
{
	free((char *)o->bucket.p);
	free((char *)o->name.p);
	free(o->path);
	free(o->content_type);
	free((char *)o->extra.p);
	memset(o, 0, sizeof(*o));
}

int
gcs_object_get(struct gcs *g, struct str bucket, struct str name, struct gcs_object *out, struct err *e)
{
	sqlite3_stmt *st = gcs_sql(g, "SELECT " GCS_OBJECT_COLUMNS " FROM objects WHERE bucket = ? AND name "
	    "= ?", "ss", bucket, name);
	int code = st != NULL ? sqlite3_step(st) : SQLITE_ERROR;

	memset(out, 0, sizeof(*out));
	if (code == SQLITE_ROW)
		gcs_object_read(out, st);
	else if (code != SQLITE_DONE)
		failed(g, e);
	sqlite3_finalize(st);
	return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : -1;
}

char *
gcs_file(const struct gcs *g, const struct gcs_object *o)
{
	return xasprintf("%s/%.*s/%s", g->dir, STR_ARG(o->bucket), o->path);
}

/* ---- contents ---- */

char *
gcs_temp(struct gcs *g, struct str bytes, struct err *e)
{
	char *name = xasprintf("t-%lld-%llu", (long long)g->emu->wall, (unsigned long long)++g->serial);
	char *path = xasprintf("%s/%s", g->uploads, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int rc = fd < 0 ? err_set(e, ERR_IO, "cannot create '%s': %s", path, strerror(errno)) :
	    io_write_all(fd, bytes, path, e);

	if (fd >= 0 && close(fd) < 0 && rc == 0)
		rc = err_set(e, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
	if (rc < 0) {
		unlink(path);
		free(name);
		name = NULL;
	}
	free(path);
	return name;
}

void
gcs_temp_drop(struct gcs *g, const char *temp)
{
	char *path = xasprintf("%s/%s", g->uploads, temp);

	unlink(path);
	free(path);
}

/* The path that the object has, or gets. */
static int
choose_path(struct gcs *g, struct gcs_object *o, struct err *e)
{
	struct gcs_object old;
	int there = gcs_object_get(g, o->bucket, o->name, &old, e);

	if (there == 1) {
		o->path = xstrdup(old.path);
	} else if (there == 0) {
		char *folder = xasprintf("%s/%.*s", g->dir, STR_ARG(o->bucket));

		o->path = gcs_path_make(folder, o->name, e);
		free(folder);
	}
	gcs_object_release(&old);
	return o->path != NULL ? 0 : -1;
}

int
gcs_object_put(struct gcs *g, struct gcs_object *o, const char *temp, struct err *e)
{
	char *from, *to;
	int rc = 0;

	if (choose_path(g, o, e) < 0)
		return -1;
	o->generation = g->emu->wall > g->generation ? g->emu->wall : g->generation + 1;
	o->metageneration = 1;
	o->created = o->updated = g->emu->wall;
	if (gcs_run(g, gcs_sql(g, "INSERT OR REPLACE INTO objects(" GCS_OBJECT_COLUMNS ", staged)"
	    " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "ssziiibizsiiz", o->bucket, o->name, o->path,
	    o->generation,
	    o->metageneration, o->size, o->md5, (int64_t)o->crc32c, o->content_type, o->extra, o->created,
	    o->updated, temp), e) < 0)
		return -1;
	g->generation = o->generation;
	from = xasprintf("%s/%s", g->uploads, temp);
	to = gcs_file(g, o);
	if (rename(from, to) < 0)
		rc = err_set(e, ERR_IO, "cannot rename '%s' to '%s': %s", from, to, strerror(errno));
	free(from);
	free(to);
	return rc;
}

int
gcs_object_remove(struct gcs *g, const struct gcs_object *o, struct err *e)
{
	char *path = gcs_file(g, o), *folder = xasprintf("%s/%.*s", g->dir, STR_ARG(o->bucket));
	int rc = -1;

	/* what earlier removals noted is done by now */
	if (gcs_run(g, gcs_sql(g, "BEGIN IMMEDIATE", ""), e) < 0)
		goto out;
	if (gcs_run(g, gcs_sql(g, "DELETE FROM doomed", ""), e) < 0 ||
	    gcs_run(g, gcs_sql(g, "INSERT INTO doomed VALUES(?, ?)", "sz", o->bucket, o->path), e) < 0 ||
	    gcs_run(g, gcs_sql(g, "DELETE FROM objects WHERE bucket = ? AND name = ?", "ss", o->bucket,
	    o->name), e) < 0 || gcs_run(g, gcs_sql(g, "COMMIT", ""), e) < 0) {
		gcs_run(g, gcs_sql(g, "ROLLBACK", ""), NULL);
		goto out;
	}
	if (unlink(path) < 0 && errno != ENOENT)
		log_error("cannot remove '%s': %s", path, strerror(errno));
	gcs_path_prune(folder, o->path);
	rc = 0;
out:
	free(path);
	free(folder);
	return rc;
}
