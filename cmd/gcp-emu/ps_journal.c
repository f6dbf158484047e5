/*
 * ps_journal: DIR/pubsub/journal, lines that tell what happened in order (their kinds: ps_load.c). Each is
 * in the kernel's hands before the reply that depends on it goes out, so killing gcp-emu loses nothing; the
 * power going off may (nothing is synced). A torn last line is what was never answered for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "log.h"
#include "ps.h"
#include "xalloc.h"

#define OUT_MAX (256 * 1024 * 1024)
#define OUT_KEPT (1024 * 1024)
#define REWRITE_STEP (1024 * 1024)
#define TIDY_LEAST (64ull * 1024 * 1024) /* a journal smaller than this is left alone while running */
#define IDS_A_RECORD 10000
#define LOCK_TRIES 50
#define LOCK_PAUSE 20000 /* microseconds */

void
journal_message(struct journal *j, char kind, uint64_t topic, uint64_t id, int64_t time)
{
	buf_addf(&j->out, "%c %llu %llu %lld ", kind, (unsigned long long)topic, (unsigned long long)id,
	    (long long)time);
}

void
journal_ids(struct journal *j, char kind, uint64_t sub)
{
	buf_addf(&j->out, "%c %llu", kind, (unsigned long long)sub);
}

void
journal_topic(struct journal *j, const struct topic *t)
{
	struct jsonw w = jsonw_to(&j->out);
	buf_addf(&j->out, "T %llu ", (unsigned long long)t->uid);
	topic_write(t, &w);
	buf_addc(&j->out, '\n');
}

void
journal_topic_gone(struct journal *j, const struct topic *t)
{
	buf_addf(&j->out, "t %llu\n", (unsigned long long)t->uid);
}

void
journal_sub(struct journal *j, const struct sub *s)
{
	struct jsonw w = jsonw_to(&j->out);
	buf_addf(&j->out, "S %llu ", (unsigned long long)s->uid);
	sub_write(s, &w);
	buf_addc(&j->out, '\n');
}

void
journal_sub_gone(struct journal *j, const struct sub *s)
{
	buf_addf(&j->out, "s %llu\n", (unsigned long long)s->uid);
}

int
journal_commit(struct journal *j, struct err *e)
{
	int rc = 0;
	if (j->out.over)
		rc = err_set(e, ERR_IO, "cannot write '%s': one record is larger than %d bytes", j->path, OUT_MAX);
	else
		rc = io_write_all(j->fd, buf_str(&j->out), j->path, e);
	if (rc == 0)
		j->size += j->out.n;
	else if (ftruncate(j->fd, (off_t)j->size) != 0)
		log_error("cannot cut '%s' back: %s", j->path, strerror(errno));
	buf_reset(&j->out, OUT_KEPT);
	return rc;
}

/* --- writing it anew: what is, instead of all that was */

/* Appends to a file being written, in large steps. */
static int
step(struct journal *j, int fd, uint64_t *size, size_t least, const char *path, struct err *e)
{
	if (j->out.n < least)
		return 0;
	if (io_write_all(fd, buf_str(&j->out), path, e) != 0)
		return -1;
	*size += j->out.n;
	buf_reset(&j->out, OUT_KEPT);
	return 0;
}

static int
by_id(const void *a, const void *b)
{
	const struct message *x = *(struct message *const *)a, *y = *(struct message *const *)b;
	return (x->id > y->id) - (x->id < y->id);
}

/* All messages that some subscription has, each once, by id. */
static struct message **
all_messages(const struct pubsub *p, size_t *n)
{
	size_t total = 0, used = 0;
	for (size_t i = 0; i < p->nlist; i++)
		total += p->list[i]->n;
	struct message **v = xcalloc(total + 1, sizeof(*v));
	for (size_t i = 0; i < p->nlist; i++) {
		const struct sub *s = p->list[i];
		for (uint32_t k = 0; k < s->nslots; k++) {
			if (s->slots[k].state != SLOT_FREE)
				v[used++] = s->slots[k].m;
		}
	}
	qsort(v, used, sizeof(*v), by_id);
	*n = 0;
	for (size_t i = 0; i < used; i++) {
		if (i == 0 || v[i] != v[i - 1])
			v[(*n)++] = v[i];
	}
	return v;
}

static int
write_messages(struct pubsub *p, int fd, uint64_t *size, const char *path, struct err *e)
{
	struct journal *j = &p->journal;
	size_t n;
	struct message **v = all_messages(p, &n);
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++) {
		journal_message(j, 'M', 0, v[i]->id, v[i]->time);
		buf_add(&j->out, v[i]->text, v[i]->len);
		buf_addc(&j->out, '\n');
		rc = step(j, fd, size, REWRITE_STEP, path, e);
	}
	free(v);
	return rc;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Which of them one subscription still has, in the order of publishing. */
static int
write_backlog(struct pubsub *p, const struct sub *s, int fd, uint64_t *size, const char *path, struct err *e)
{
	struct journal *j = &p->journal;
	uint64_t *ids = xcalloc((size_t)s->n + 1, sizeof(*ids));
	size_t n = 0;
	int rc = 0;
	for (uint32_t k = 0; k < s->nslots; k++) {
		if (s->slots[k].state != SLOT_FREE)
			ids[n++] = s->slots[k].m->id;
	}
	qsort(ids, n, sizeof(*ids), by_value);
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (i % IDS_A_RECORD == 0)
			journal_ids(j, 'U', s->uid);
		buf_addf(&j->out, " %llu", (unsigned long long)ids[i]);
		if (i + 1 == n || (i + 1) % IDS_A_RECORD == 0) {
			buf_addc(&j->out, '\n');
			rc = step(j, fd, size, REWRITE_STEP, path, e);
		}
	}
	free(ids);
	return rc;
}

static int
write_state(struct pubsub *p, int fd, uint64_t *size, const char *path, struct err *e)
{
	struct journal *j = &p->journal;
	size_t at = 0;
	buf_addf(&j->out, "N %llu %llu\n", (unsigned long long)p->next_id, (unsigned long long)p->next_uid);
	for (struct map_slot *m; (m = map_each(&p->topics, &at)) != NULL;)
		journal_topic(j, m->value);
	for (size_t i = 0; i < p->nlist; i++)
		journal_sub(j, p->list[i]);
	if (write_messages(p, fd, size, path, e) != 0)
		return -1;
	for (size_t i = 0; i < p->nlist; i++) {
		if (write_backlog(p, p->list[i], fd, size, path, e) != 0)
			return -1;
	}
	return step(j, fd, size, 0, path, e);
}

int
journal_rewrite(struct pubsub *p, struct err *e)
{
	struct journal *j = &p->journal;
	char *path = xasprintf("%s.new", j->path);
	uint64_t size = 0;
	int rc = -1;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
	buf_reset(&j->out, OUT_KEPT);
	if (fd < 0) {
		err_set(e, ERR_IO, "cannot create '%s': %s", path, strerror(errno));
		goto out;
	}
	if (write_state(p, fd, &size, path, e) != 0)
		goto out;
	if (rename(path, j->path) != 0) {
		err_set(e, ERR_IO, "cannot rename '%s': %s", path, strerror(errno));
		goto out;
	}
	if (j->fd >= 0)
		close(j->fd);
	j->fd = fd;
	j->size = size;
	fd = -1;
	rc = 0;
out:
	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	buf_reset(&j->out, OUT_KEPT);
	free(path);
	return rc;
}

void
journal_tidy(struct pubsub *p)
{
	struct err e;
	if (p->journal.size > TIDY_LEAST && p->journal.size / 4 > p->live_bytes && journal_rewrite(p, &e) != 0)
		log_warn("%s; the journal stays as it is", e.text);
}

/* --- opening */

static int
lock_folder(struct journal *j, struct err *e)
{
	int fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, ERR_IO, "cannot open folder '%s': %s", j->dir, strerror(errno));
	/*
	 * Held until the process ends. One that was killed a moment ago may not have let go yet: a little
	 * patience.
	 */
	int rc = -1;
	for (int i = 0; i < LOCK_TRIES && (rc = flock(fd, LOCK_EX | LOCK_NB)) != 0; i++)
		usleep(LOCK_PAUSE);
	if (rc != 0) {
		close(fd);
		return err_set(e, ERR_CONFIG, "cannot use folder '%s': another gcp-emu does; give each a --dir of its own",
		    j->dir);
	}
	j->lock = fd;
	return 0;
}

static int
load_file(struct pubsub *p, struct err *e)
{
	const char *path = p->journal.path;
	struct stat st;
	int rc = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) != 0) {
		err_set(e, ERR_IO, "cannot open '%s': %s", path, strerror(errno));
	} else if (st.st_size == 0) {
		rc = 0;
	} else {
		char *text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (text == MAP_FAILED) {
			err_set(e, ERR_IO, "cannot read '%s': %s", path, strerror(errno));
		} else {
			rc = journal_load(p, (struct str){text, (size_t)st.st_size}, e);
			munmap(text, (size_t)st.st_size);
		}
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

int
journal_open(struct pubsub *p, struct err *e)
{
	struct journal *j = &p->journal;
	j->fd = j->lock = -1;
	j->dir = xasprintf("%s/pubsub", p->emu->dir);
	j->path = xasprintf("%s/journal", j->dir);
	buf_init(&j->out, OUT_MAX);
	if (mkdir(j->dir, 0777) != 0 && errno != EEXIST)
		return err_set(e, ERR_IO, "cannot create folder '%s': %s", j->dir, strerror(errno));
	if (lock_folder(j, e) != 0 || load_file(p, e) != 0)
		return -1;
	return journal_rewrite(p, e);
}

void
journal_close(struct journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	if (j->lock >= 0)
		close(j->lock);
	free(j->dir);
	free(j->path);
	buf_release(&j->out);
}
