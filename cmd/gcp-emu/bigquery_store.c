/*
 * Datasets and tables in SQLite: a file a dataset, written ahead, never synced: what a reply confirmed
 * survives the end of the process by any signal, though not a loss of power.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bigquery.h"
#include "log.h"
#include "xalloc.h"

static const char dataset_sql[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=4000;"
    "PRAGMA cache_size=-16000;"
    "CREATE TABLE IF NOT EXISTS _dataset(meta TEXT, created INTEGER, modified INTEGER);"
    "CREATE TABLE IF NOT EXISTS _tables(name TEXT PRIMARY KEY, schema TEXT, meta TEXT, created INTEGER,"
    " modified INTEGER);"
    "CREATE TABLE IF NOT EXISTS _insert_ids(name TEXT, expires INTEGER, ids BLOB);"
    "CREATE TABLE IF NOT EXISTS _jobs(key TEXT PRIMARY KEY, config TEXT, created INTEGER, ended INTEGER,"
    " error TEXT, errors TEXT, files INTEGER, file_bytes INTEGER, rows INTEGER, bad INTEGER);";

int
bq_exec(sqlite3 *db, const char *sql, struct err *e)
{
	char *why = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK)
		return 0;
	err_set(e, ERR_IO, "cannot write '%s': %s", sqlite3_db_filename(db, "main"), why != NULL ? why : "");
	sqlite3_free(why);
	return -1;
}

static int
sqlite_failed(sqlite3 *db, struct err *e)
{
	return err_set(e, ERR_IO, "cannot use '%s': %s", sqlite3_db_filename(db, "main"), sqlite3_errmsg(db));
}

void
bq_quote(struct buf *out, struct str name)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"')
			buf_addc(out, '"');
		buf_addc(out, name.p[i]);
	}
	buf_addc(out, '"');
}

static int
bind_str(sqlite3_stmt *st, int i, struct str s)
{
	return sqlite3_bind_text(st, i, s.p, (int)s.n, SQLITE_STATIC);
}

static struct str
column_str(sqlite3_stmt *st, int i)
{
	const char *p = (const char *)sqlite3_column_text(st, i);

	return (struct str){p != NULL ? p : "", (size_t)sqlite3_column_bytes(st, i)};
}

/* Runs a statement that returns nothing, then frees it. */
static int
finish(sqlite3_stmt *st, sqlite3 *db, struct err *e)
{
	int code = sqlite3_step(st);

	if (code != SQLITE_DONE)
		sqlite_failed(db, e);
	sqlite3_finalize(st);
	return code == SQLITE_DONE ? 0 : -1;
}

struct bq_table *
bq_table_find(const struct bq_dataset *d, struct str name)
{
	return map_get(&d->tables, name);
}

void
bq_table_free(struct bq_table *t)
{
	if (t == NULL)
		return;
	sqlite3_finalize(t->insert);
	bq_ids_free(t->ids);
	bq_fields_release(&t->fields);
	free((char *)t->extra.p);
	free((char *)t->name.p);
	free(t);
}

static const char *
free_rowid(const struct bq_fields *f)
{
	static const char *const names[] = {"rowid", "oid", "_rowid_"};

	for (size_t i = 0; i < 3; i++)
		if (bq_field_find(f->v, f->n, str_of(names[i]), 0) < 0)
			return names[i];
	return names[2];
}

static void
adopt(struct bq_dataset *d, struct bq_table *t)
{
	t->dataset = d;
	t->rowid = free_rowid(&t->fields);
	if (t->ids == NULL)
		t->ids = bq_ids_new();
	map_put(&d->tables, t->name, t);
}

static int
load_table(struct bq_dataset *d, sqlite3_stmt *st, struct err *e)
{
	struct bq_table *t = xcalloc(1, sizeof(*t));
	struct json j = {0};
	int rc = -1;

	t->name = (struct str){str_dup(column_str(st, 0)), column_str(st, 0).n};
	t->extra = (struct str){str_dup(column_str(st, 2)), column_str(st, 2).n};
	t->created = sqlite3_column_int64(st, 3);
	t->modified = sqlite3_column_int64(st, 4);
	t->rows = -1;
	if (json_read(&j, column_str(st, 1), e) < 0 || bq_fields_read(&t->fields, &j, 0, 1, e) < 0 ||
	    bq_table_layout(t, e) < 0) {
		bq_table_free(t);
		goto out;
	}
	adopt(d, t);
	rc = 0;
out:
	json_release(&j);
	return rc;
}

static int
load_tables(struct bq_dataset *d, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int code = SQLITE_DONE, rc = 0;

	if (sqlite3_prepare_v2(d->db, "SELECT name, schema, meta, created, modified FROM _tables", -1, &st,
	    NULL) != SQLITE_OK)
		return sqlite_failed(d->db, e);
	while (rc == 0 && (code = sqlite3_step(st)) == SQLITE_ROW)
		rc = load_table(d, st, e);
	if (rc == 0 && code != SQLITE_DONE)
		rc = sqlite_failed(d->db, e);
	sqlite3_finalize(st);
	return rc;
}

/* The insertIds of the last minute, kept on disk so that a restart is no hole in them. */
static int
load_ids(struct bq_dataset *d, struct err *e)
{
	struct emu *emu = d->bq->emu;
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(d->db, "SELECT name, expires, ids FROM _insert_ids ORDER BY rowid", -1, &st,
	    NULL) != SQLITE_OK)
		return sqlite_failed(d->db, e);
	while (sqlite3_step(st) == SQLITE_ROW) {
		struct bq_table *t = bq_table_find(d, column_str(st, 0));
		int64_t left = sqlite3_column_int64(st, 1) - emu->wall;
		const char *p = sqlite3_column_blob(st, 2);
		size_t n = (size_t)sqlite3_column_bytes(st, 2) / sizeof(uint64_t);
		uint64_t hash;

		for (size_t i = 0; t != NULL && left > 0 && left <= BQ_INSERT_ID_SECONDS * 1000000 &&
		    i < n; i++) {
			memcpy(&hash, p + i * sizeof(hash), sizeof(hash));
			bq_ids_restore(t->ids, hash, emu->now, left);
		}
	}
	sqlite3_finalize(st);
	return 0;
}

static int
load_meta(struct bq_dataset *d, struct err *e)
{
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(d->db, "SELECT meta, created, modified FROM _dataset", -1, &st,
	    NULL) != SQLITE_OK)
		return sqlite_failed(d->db, e);
	if (sqlite3_step(st) == SQLITE_ROW) {
		d->extra = (struct str){str_dup(column_str(st, 0)), column_str(st, 0).n};
		d->created = sqlite3_column_int64(st, 1);
		d->modified = sqlite3_column_int64(st, 2);
	} else {
		d->extra = (struct str){xstrdup("{}"), 2};
	}
	sqlite3_finalize(st);
	return 0;
}

void
bq_dataset_close(struct bq_dataset *d)
{
	struct map_slot *s;

	if (d == NULL)
		return;
	for (size_t i = 0; (s = map_each(&d->tables, &i)) != NULL;)
		bq_table_free(s->value);
	map_release(&d->tables);
	sqlite3_finalize(d->ids_put);
	sqlite3_finalize(d->ids_drop);
	sqlite3_close(d->db);
	free((char *)d->extra.p);
	free((char *)d->key.p);
	free(d->path);
	free(d);
}

static struct bq_dataset *
dataset_new(struct bigquery *bq, struct str project, struct str id)
{
	struct bq_dataset *d = xcalloc(1, sizeof(*d));

	d->bq = bq;
	d->key = str_of(xasprintf("%.*s:%.*s", STR_ARG(project), STR_ARG(id)));
	d->project = (struct str){d->key.p, project.n};
	d->id = str_skip(d->key, project.n + 1);
	d->path = xasprintf("%s/%.*s/%.*s.sqlite", bq->dir, STR_ARG(project), STR_ARG(id));
	return d;
}

static int
open_db(struct bq_dataset *d, struct err *e)
{
	int code = sqlite3_open_v2(d->path, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);

	if (code != SQLITE_OK)
		return err_set(e, ERR_IO, "cannot open '%s': %s", d->path, sqlite3_errstr(code));
	sqlite3_busy_timeout(d->db, 10000);
	return bq_exec(d->db, dataset_sql, e);
}

static int
load_dataset(struct bigquery *bq, struct str project, struct str id, struct err *e)
{
	struct bq_dataset *d = dataset_new(bq, project, id);

	if (open_db(d, e) < 0 || load_meta(d, e) < 0 || load_tables(d, e) < 0 || load_ids(d, e) < 0) {
		bq_dataset_close(d);
		return -1;
	}
	map_put(&bq->datasets, d->key, d);
	return 0;
}

static int
load_project(struct bigquery *bq, const char *project, struct err *e)
{
	char *path = xasprintf("%s/%s", bq->dir, project);
	DIR *dir = opendir(path);
	struct dirent *de;
	int rc = 0;

	while (rc == 0 && dir != NULL && (de = readdir(dir)) != NULL) {
		struct str name = str_of(de->d_name);

		if (str_ends(name, STR(".sqlite")) && name.n > 7)
			rc = load_dataset(bq, str_of(project), (struct str){name.p, name.n - 7}, e);
	}
	if (dir != NULL)
		closedir(dir);
	free(path);
	return rc;
}

static int
make_dir(const char *path, struct err *e)
{
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return err_set(e, ERR_IO, "cannot create '%s': %s", path, strerror(errno));
	return 0;
}

int
bq_store_open(struct bigquery *bq, struct err *e)
{
	struct dirent *de;
	DIR *dir;
	int rc = 0;

	if (make_dir(bq->emu->dir, e) < 0 || make_dir(bq->dir, e) < 0)
		return -1;
	dir = opendir(bq->dir);
	if (dir == NULL)
		return err_set(e, ERR_IO, "cannot open '%s': %s", bq->dir, strerror(errno));
	while (rc == 0 && (de = readdir(dir)) != NULL)
		if (de->d_name[0] != '.')
			rc = load_project(bq, de->d_name, e);
	closedir(dir);
	return rc;
}

struct bq_dataset *
bq_dataset_find(struct bigquery *bq, struct str project, struct str id)
{
	char *key = xasprintf("%.*s:%.*s", STR_ARG(project), STR_ARG(id));
	struct bq_dataset *d = map_get(&bq->datasets, str_of(key));

	free(key);
	return d;
}

int
bq_dataset_save(struct bq_dataset *d, struct err *e)
{
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(d->db, "INSERT OR REPLACE INTO _dataset(rowid, meta, created, modified)"
	    " VALUES(1, ?, ?, ?)", -1, &st, NULL) != SQLITE_OK)
		return sqlite_failed(d->db, e);
	bind_str(st, 1, d->extra);
	sqlite3_bind_int64(st, 2, d->created);
	sqlite3_bind_int64(st, 3, d->modified);
	return finish(st, d->db, e);
}

struct bq_dataset *
bq_dataset_create(struct bigquery *bq, struct str project, struct str id, struct str extra, struct err *e)
{
	struct bq_dataset *d = dataset_new(bq, project, id);
	char *folder = xasprintf("%s/%.*s", bq->dir, STR_ARG(project));

	d->extra = extra;
	d->created = d->modified = bq->emu->wall / 1000;
	if (make_dir(folder, e) < 0 || open_db(d, e) < 0 || bq_dataset_save(d, e) < 0) {
		bq_dataset_close(d);
		d = NULL;
	} else {
		map_put(&bq->datasets, d->key, d);
	}
	free(folder);
	return d;
}

int
bq_dataset_delete(struct bq_dataset *d, struct err *e)
{
	static const char *const suffixes[] = {"-wal", "-shm", ""};
	char *path = xstrdup(d->path);
	int rc = 0;

	map_del(&d->bq->datasets, d->key);
	bq_dataset_close(d);
	for (size_t i = 0; i < 3; i++) {
		char *file = xasprintf("%s%s", path, suffixes[i]);

		if (unlink(file) < 0 && errno != ENOENT)
			rc = err_set(e, ERR_IO, "cannot remove '%s': %s", file, strerror(errno));
		free(file);
	}
	free(path);
	return rc;
}

static void
add_column(struct buf *sql, const struct bq_field *f)
{
	bq_quote(sql, f->name);
	if (f->mode == MODE_REPEATED)
		buf_addz(sql, " TEXT DEFAULT '[]'"); /* what rows from before the column hold */
	else if (f->type == FIELD_INT64 || f->type == FIELD_BOOL)
		buf_addz(sql, " INTEGER");
	else if (f->type == FIELD_FLOAT64)
		buf_addz(sql, " REAL");
	else
		buf_addz(sql, " TEXT");
}

static void
create_sql(struct buf *sql, const struct bq_table *t)
{
	buf_addz(sql, "CREATE TABLE ");
	bq_quote(sql, t->name);
	buf_addc(sql, '(');
	for (uint32_t i = 0; i < t->fields.n; i++) {
		buf_addz(sql, i > 0 ? ", " : "");
		add_column(sql, &t->fields.v[i]);
	}
	if (t->fields.n == 0)
		buf_addz(sql, "\"_none\" TEXT"); /* SQLite has no table without columns */
	buf_addc(sql, ')');
}

static int
save_table(struct bq_dataset *d, const struct bq_table *t, struct err *e)
{
	struct buf schema = BUF_INIT(16 * 1024 * 1024);
	struct jsonw w = jsonw_to(&schema);
	sqlite3_stmt *st = NULL;
	int rc = -1;

	bq_fields_write(&w, t->fields.v, t->fields.n);
	if (sqlite3_prepare_v2(d->db, "INSERT OR REPLACE INTO _tables(name, schema, meta, created, modified)"
	    " VALUES(?, ?, ?, ?, ?)", -1, &st, NULL) != SQLITE_OK) {
		sqlite_failed(d->db, e);
	} else {
		bind_str(st, 1, t->name);
		bind_str(st, 2, buf_str(&schema));
		bind_str(st, 3, t->extra);
		sqlite3_bind_int64(st, 4, t->created);
		sqlite3_bind_int64(st, 5, t->modified);
		rc = finish(st, d->db, e);
	}
	buf_release(&schema);
	return rc;
}

int
bq_table_create(struct bq_dataset *d, struct bq_table *t, struct err *e)
{
	struct buf sql = BUF_INIT(4 * 1024 * 1024);

	t->created = t->modified = d->bq->emu->wall / 1000;
	create_sql(&sql, t);
	if (bq_exec(d->db, "BEGIN IMMEDIATE", e) < 0)
		goto fail;
	if (bq_exec(d->db, buf_cstr(&sql), e) < 0 || save_table(d, t, e) < 0 ||
	    bq_exec(d->db, "COMMIT", e) < 0) {
		bq_exec(d->db, "ROLLBACK", NULL);
		goto fail;
	}
	adopt(d, t);
	buf_release(&sql);
	return 0;
fail:
	buf_release(&sql);
	return -1;
}

static int
add_columns(struct bq_table *t, const struct bq_table *to, struct err *e)
{
	struct buf sql = BUF_INIT(4096);
	int rc = 0;

	for (uint32_t i = 0; i < to->fields.n && rc == 0; i++) {
		if (bq_field_find(t->fields.v, t->fields.n, to->fields.v[i].name, i) >= 0)
			continue;
		buf_reset(&sql, 4096);
		buf_addz(&sql, "ALTER TABLE ");
		bq_quote(&sql, t->name);
		buf_addz(&sql, " ADD COLUMN ");
		add_column(&sql, &to->fields.v[i]);
		rc = bq_exec(t->dataset->db, buf_cstr(&sql), e);
	}
	buf_release(&sql);
	return rc;
}

int
bq_table_alter(struct bq_table *t, struct bq_table *to, struct err *e)
{
	struct bq_dataset *d = t->dataset;
	struct bq_fields old = t->fields;
	struct str extra = t->extra;

	to->name = t->name;
	to->created = t->created;
	to->modified = d->bq->emu->wall / 1000;
	if (bq_exec(d->db, "BEGIN IMMEDIATE", e) < 0 || add_columns(t, to, e) < 0 ||
	    save_table(d, to, e) < 0 || bq_exec(d->db, "COMMIT", e) < 0) {
		bq_exec(d->db, "ROLLBACK", NULL);
		to->name = STR_NONE;
		return -1;
	}
	sqlite3_finalize(t->insert);
	t->insert = NULL;
	t->fields = to->fields;
	t->extra = to->extra;
	t->partition = to->partition;
	t->modified = to->modified;
	t->rowid = free_rowid(&t->fields);
	*to = (struct bq_table){.fields = old, .extra = extra};
	return 0;
}

int
bq_table_delete(struct bq_table *t, struct err *e)
{
	struct bq_dataset *d = t->dataset;
	struct buf sql = BUF_INIT(4096);
	sqlite3_stmt *st = NULL;
	int rc = -1;

	buf_addz(&sql, "BEGIN IMMEDIATE; DROP TABLE ");
	bq_quote(&sql, t->name);
	sqlite3_finalize(t->insert);
	t->insert = NULL;
	if (bq_exec(d->db, buf_cstr(&sql), e) < 0)
		goto out;
	if (sqlite3_prepare_v2(d->db, "DELETE FROM _tables WHERE name = ?", -1, &st, NULL) != SQLITE_OK) {
		sqlite_failed(d->db, e);
		goto out;
	}
	bind_str(st, 1, t->name);
	if (finish(st, d->db, e) < 0 || bq_exec(d->db, "COMMIT", e) < 0)
		goto out;
	map_del(&d->tables, t->name);
	bq_table_free(t);
	rc = 0;
out:
	if (rc < 0)
		bq_exec(d->db, "ROLLBACK", NULL);
	buf_release(&sql);
	return rc;
}

int64_t
bq_table_rows(struct bq_table *t)
{
	struct buf sql = BUF_INIT(4096);
	sqlite3_stmt *st = NULL;

	if (t->rows < 0) {
		buf_addz(&sql, "SELECT count(*) FROM ");
		bq_quote(&sql, t->name);
		if (sqlite3_prepare_v2(t->dataset->db, buf_cstr(&sql), -1, &st, NULL) == SQLITE_OK &&
		    sqlite3_step(st) == SQLITE_ROW)
			t->rows = sqlite3_column_int64(st, 0);
		sqlite3_finalize(st);
		buf_release(&sql);
	}
	return t->rows < 0 ? 0 : t->rows;
}

sqlite3_stmt *
bq_table_insert(struct bq_table *t, struct err *e)
{
	struct buf sql = BUF_INIT(4 * 1024 * 1024);

	if (t->insert != NULL)
		return t->insert;
	buf_addz(&sql, "INSERT INTO ");
	bq_quote(&sql, t->name);
	for (uint32_t i = 0; i < t->fields.n; i++) {
		buf_addz(&sql, i > 0 ? ", " : "(");
		bq_quote(&sql, t->fields.v[i].name);
	}
	buf_addz(&sql, t->fields.n > 0 ? ") VALUES(?" : " DEFAULT VALUES");
	for (uint32_t i = 1; i < t->fields.n; i++)
		buf_addz(&sql, ", ?");
	buf_addz(&sql, t->fields.n > 0 ? ")" : "");
	if (sqlite3_prepare_v3(t->dataset->db, buf_cstr(&sql), -1, SQLITE_PREPARE_PERSISTENT, &t->insert,
	    NULL) != SQLITE_OK)
		sqlite_failed(t->dataset->db, e);
	buf_release(&sql);
	return t->insert;
}

static int
by_name(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

struct str *
bq_names(const struct map *m, struct str prefix, size_t *n)
{
	struct str *names = xreallocarray(NULL, m->n + 1, sizeof(*names));
	struct map_slot *s;

	*n = 0;
	for (size_t i = 0; (s = map_each(m, &i)) != NULL;)
		if (str_starts(s->key, prefix))
			names[(*n)++] = str_skip(s->key, prefix.n);
	qsort(names, *n, sizeof(*names), by_name);
	return names;
}
