/* URLs to objects: listings, globs, shards, and what is done already. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "digest.h"
#include "glob.h"
#include "jsonw.h"
#include "num.h"
#include "read.h"
#include "time.h"
#include "utf8.h"
#include "xalloc.h"

/* Ids are sources and a number, and end at LIMIT_ID. */
#define SOURCE_MAX (LIMIT_ID - 24)
/* UTF-8. [cloud.google.com/storage/docs/objects#naming; docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html] */
#define NAME_MAX_BYTES 1024

void
source_name(struct buf *out, const struct object *o)
{
	size_t from = out->n;
	jsonw_escape(out, str_of(o->url));
	buf_addc(out, '@');
	jsonw_escape(out, str_of(o->generation));
	if (out->n - from <= SOURCE_MAX && utf8_valid(str_of(o->url)))
		return;
	/* Escaped, names would become one that differ only in bytes that are no text. */
	if (!utf8_valid(str_of(o->url))) {
		out->n = from;
		buf_addf(out, "%s@%s", o->url, o->generation);
	}
	uint8_t sum[DIGEST_MAX];
	char hex[2 * DIGEST_MAX + 1];
	digest_of(DIGEST_SHA256, str_skip(buf_str(out), from), sum);
	digest_hex(hex, sum, sizeof(sum));
	out->n = from;
	buf_addf(out, "sha256:%s", hex);
}

void
object_free(struct object *o)
{
	if (o == NULL)
		return;
	feed_free(o->feed);
	free(o->url);
	free(o->generation);
	free(o->updated);
	free(o->crc32c);
	free(o);
}

static void
queue_add(struct queue *q, struct object *o)
{
	if (q->first == NULL)
		q->last = &q->first;
	*q->last = o;
	q->last = &o->next;
	q->n++;
}

struct object *
queue_take(struct queue *q)
{
	struct object *o = q->first;
	if (o == NULL)
		return NULL;
	q->first = o->next;
	o->next = NULL;
	q->n--;
	return o;
}

/* ---- the command line ---- */

static int
parse_bucket(struct target *t, struct err *e)
{
	struct str s = str_skip(str_of(t->url), 5), bucket = {s.p, str_find(s, '/')};
	t->pattern = str_skip(s, bucket.n + 1);
	if (bucket.n == 0)
		return err_set(e, ERR_USAGE, "cannot read '%s': it names no bucket", t->url);
	if (glob_fixed(bucket) < bucket.n)
		return err_set(e, ERR_USAGE, "cannot read '%s': wildcards stand for names, not for buckets", t->url);
	if (t->pattern.n == 0 || t->pattern.p[t->pattern.n - 1] == '/')
		return err_set(e, ERR_USAGE, "cannot read '%s': it names no object; for all below it give '%s%s**'", t->url, t->url,
		    s.n == bucket.n ? "/" : "");
	if (t->pattern.n > NAME_MAX_BYTES && glob_fixed(t->pattern) == t->pattern.n)
		return err_set(e, ERR_USAGE, "cannot read '%.60s...': an object's name has at most %d bytes", t->url,
		    NAME_MAX_BYTES);
	t->bucket = str_dup(bucket);
	return 0;
}

/* "./a//b" is "a/b", "./" is ".": a file under two spellings would be two, and its events there twice. */
static void
tidy(struct target *t)
{
	char *to = t->url;
	for (const char *from = t->url; *from != '\0';) {
		bool begins = from == t->url || from[-1] == '/';
		if (begins && from[0] == '.' && from[1] == '/')
			from += 2;
		else if (begins && from[0] == '/' && from > t->url)
			from++;
		else
			*to++ = *from++;
	}
	if (to == t->url)
		*to++ = '.';
	*to = '\0';
	t->pattern = str_of(t->url);
}

static int
parse_target(struct read *r, struct target *t, struct err *e)
{
	struct str s = str_of(t->url);
	t->pattern = s;
	if (s.n == 0)
		return err_set(e, ERR_USAGE, "cannot read '': it is empty");
	if (s.n > GLOB_MAX)
		return err_set(e, ERR_USAGE, "cannot read '%.60s...': it is longer than %d bytes", t->url, GLOB_MAX);
	if (str_starts(s, STR("gs://"))) {
		t->place = PLACE_GCS;
		r->uses_gcs = true;
		return parse_bucket(t, e);
	}
	if (str_starts(s, STR("s3://"))) {
		t->place = PLACE_S3;
		r->uses_s3 = true;
		return parse_bucket(t, e);
	}
	if (str_is(s, "-")) {
		t->place = PLACE_STDIN;
		if (r->o.journal != NULL)
			return err_set(e, ERR_USAGE, "cannot journal '-': standard input cannot be read again; give a file");
		return 0;
	}
	size_t scheme = str_find(s, ':');
	if (str_starts(str_skip(s, scheme), STR("://")))
		return err_set(e, ERR_USAGE, "cannot read '%s': a URL is gs://, s3:// or a local path", t->url);
	t->place = PLACE_FILE;
	tidy(t);
	r->uses_files = true;
	return 0;
}

int
list_parse(struct read *r, char **urls, int n, struct err *e)
{
	r->targets = xcalloc((size_t)n, sizeof(*r->targets));
	r->ntargets = n;
	for (int i = 0; i < n; i++) {
		r->targets[i] = (struct target){.url = xstrdup(urls[i])};
		if (parse_target(r, &r->targets[i], e) < 0)
			return -1;
	}
	return 0;
}

static bool
parse_shard(const char *index, size_t n, const char *count, struct read *r)
{
	int64_t i, of;
	if (!num_i64((struct str){index, n}, &i) || !num_i64(str_of(count), &of) || i < 0 || of < 1 || i >= of)
		return false;
	r->shard = (uint64_t)i;
	r->shards = (uint64_t)of;
	return true;
}

int
list_shard(struct read *r, struct err *e)
{
	const char *shard = r->o.shard, *index = getenv("CLOUD_RUN_TASK_INDEX"), *count = getenv("CLOUD_RUN_TASK_COUNT");
	r->shards = 1;
	if (shard != NULL) {
		size_t n = strcspn(shard, "/");
		if (shard[n] == '\0' || !parse_shard(shard, n, shard + n + 1, r))
			return err_set(e, ERR_USAGE, "cannot take '%s' for --shard: it is I/N, I from 0 to N - 1", shard);
	} else if (index != NULL && count != NULL && !parse_shard(index, strlen(index), count, r)) {
		return err_set(e, ERR_USAGE,
		    "cannot take CLOUD_RUN_TASK_INDEX='%s' and CLOUD_RUN_TASK_COUNT='%s' for a shard", index,
		    count);
	}
	return 0;
}

/* ---- what is listed ---- */

static bool
in_shard(const struct read *r, const char *url)
{
	uint8_t sum[DIGEST_MAX];
	uint64_t hash = 0;
	if (r->shards <= 1)
		return true;
	digest_of(DIGEST_SHA256, str_of(url), sum);
	for (int i = 0; i < 8; i++)
		hash = hash << 8 | sum[i];
	return hash % r->shards == r->shard;
}

/*
 * Keeps SAMPLES of all that are listed, each with a chance by its size, whatever their number.
 * [Chao, "A general purpose unequal probability sampling plan", 1982]
 */
static void
pick(struct read *r, struct object *o)
{
	struct object **at = &r->queue.first;
	if (r->queue.n < SAMPLES) {
		queue_add(&r->queue, o);
		return;
	}
	if (rng_unit(&r->sample.rng) * (double)r->bytes_listed >= SAMPLES * (double)o->size) {
		object_free(o);
		return;
	}
	for (uint64_t i = rng_below(&r->sample.rng, SAMPLES); i > 0; i--)
		at = &(*at)->next;
	o->next = (*at)->next;
	if (r->queue.last == &(*at)->next)
		r->queue.last = &o->next;
	object_free(*at);
	*at = o;
}

/* A dry run prints what it finds, and keeps a few to look into. */
static void
show(struct read *r, struct object *o)
{
	buf_addf(sink_buf(&r->out), "%llu\t%s@%s", (unsigned long long)o->size, o->url, o->generation);
	sink_commit(&r->out);
	if (o->place != PLACE_STDIN)
		pick(r, o);
	else
		object_free(o);
}

/* Takes the object over. */
static void
add_object(struct read *r, struct object *o)
{
	uint8_t key[SEEN_KEY];
	r->matched++;
	if (!in_shard(r, o->url)) {
		object_free(o);
		return;
	}
	r->objects_listed++;
	r->bytes_listed += o->size;
	buf_reset(&r->name, 4 * KIB);
	source_name(&r->name, o);
	seen_key(key, buf_str(&r->name));
	if (!seen_add(&r->seen, key)) {
		r->objects_skipped++;
		r->bytes_listed -= o->size;
		object_free(o);
	} else if (r->o.dry_run) {
		show(r, o);
	} else {
		queue_add(&r->queue, o);
	}
}

static char *
rfc3339(int64_t micros)
{
	struct buf b = BUF_INIT(64);
	time_format(&b, micros);
	char *text = str_dup(buf_str(&b));
	buf_release(&b);
	return text;
}

char *
file_generation(const struct stat *st)
{
	return xasprintf("%lld%09ld-%lld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_size);
}

static void
add_file(struct read *r, const char *path)
{
	struct stat st;
	struct err e;
	if (stat(path, &st) < 0 || S_ISDIR(st.st_mode)) {
		bool missing = errno == ENOENT || errno == ENOTDIR;
		if (stat(path, &st) == 0)
			err_set(&e, ERR_NOINPUT, "cannot read '%s': it is a folder; for all below it give '%s%s**'", path, path,
			    path[strlen(path) - 1] == '/' ? "" : "/");
		else
			err_set(&e, missing ? ERR_NOINPUT : errno == EACCES ? ERR_AUTH : ERR_IO, "cannot read '%s': %s", path,
			    strerror(errno));
		r->matched++;
		fault(r, &e);
		return;
	}
	struct object *o = xcalloc(1, sizeof(*o));
	o->place = PLACE_FILE;
	o->url = xstrdup(path);
	o->generation = file_generation(&st);
	o->updated = rfc3339((int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000);
	o->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	add_object(r, o);
}

/* What comes in there has no name that lasts: another run's ids must differ. */
static void
add_stdin(struct read *r)
{
	struct object *o = xcalloc(1, sizeof(*o));
	int64_t now = clock_wall();
	o->place = PLACE_STDIN;
	o->url = xstrdup("-");
	o->generation = xasprintf("%lld", (long long)now);
	o->updated = rfc3339(now);
	add_object(r, o);
}

static void
on_item(void *arg, const struct gcs_item *item)
{
	struct read *r = arg;
	const struct target *t = &r->targets[r->target];
	bool folder_mark = item->name.p[item->name.n - 1] == '/' && item->size == 0;
	if (folder_mark || memchr(item->name.p, '\0', item->name.n) != NULL || !(glob_fixed(t->pattern) < t->pattern.n
		? glob_match(t->pattern, item->name) : str_eq(t->pattern, item->name)))
		return;
	struct object *o = xcalloc(1, sizeof(*o));
	o->place = t->place;
	o->url = xasprintf("%s://%s/%.*s", t->place == PLACE_S3 ? "s3" : "gs", t->bucket, STR_ARG(item->name));
	o->generation = str_dup(item->generation);
	o->updated = str_dup(item->updated);
	o->crc32c = str_dup(item->crc32c);
	o->size = (uint64_t)item->size;
	add_object(r, o);
}

static void
next_target(struct read *r)
{
	struct err e;
	const struct target *t = &r->targets[r->target++];
	if (r->matched == 0) {
		err_set(&e, ERR_NOINPUT,
		    "cannot read '%s': nothing matches; check the name (*: within a folder, **: across)", t->url);
		r->urls_failed++;
		fault(r, &e);
	}
	r->matched = 0;
	free(r->token);
	r->token = NULL;
	r->listed = r->target == r->ntargets;
}

static void
on_page(void *arg, struct str token, const struct err *e, int status)
{
	struct read *r = arg;
	const struct target *t = &r->targets[r->target];
	r->listing = NULL;
	r->s3_listing = NULL;
	free(r->token);
	r->token = token.n > 0 ? str_dup(token) : NULL;
	if (e != NULL) {
		struct err why = *e;
		if (status == 404 && glob_fixed(t->pattern) == t->pattern.n)
			why.class = ERR_NOINPUT;
		r->matched++; /* it is named already */
		r->urls_failed++;
		fault(r, &why);
	}
	if (r->token == NULL)
		next_target(r);
}

static void
list_bucket(struct read *r, const struct target *t)
{
	size_t fixed = glob_fixed(t->pattern);
	struct str prefix = {t->pattern.p, fixed};
	bool one = fixed == t->pattern.n;
	if (t->place == PLACE_S3 && one)
		r->s3_listing = s3_stat(&r->s3, t->bucket, t->pattern, on_item, on_page, r);
	else if (t->place == PLACE_S3)
		r->s3_listing = s3_list(&r->s3, t->bucket, prefix, str_of(r->token), on_item, on_page, r);
	else if (one)
		r->listing = gcs_stat(&r->gcs, t->bucket, t->pattern, on_item, on_page, r);
	else
		r->listing = gcs_list(&r->gcs, t->bucket, prefix, str_of(r->token), on_item, on_page, r);
}

/* A path with wildcards in it may itself exist. */
static void
list_files(struct read *r, const struct target *t)
{
	struct stat st;
	const char *path;
	if (r->walk == NULL && (glob_fixed(t->pattern) == t->pattern.n || lstat(t->url, &st) == 0)) {
		add_file(r, t->url);
		next_target(r);
		return;
	}
	if (r->walk == NULL)
		r->walk = walk_new(t->pattern);
	for (int i = 0; i < 1000; i++) {
		if ((path = walk_next(r, r->walk)) == NULL) {
			walk_free(r->walk);
			r->walk = NULL;
			next_target(r);
			return;
		}
		add_file(r, path);
	}
}

void
list_turn(struct read *r)
{
	while (!r->listed && r->listing == NULL && r->s3_listing == NULL && r->queue.n < QUEUE_MAX &&
	    sink_pending(&r->out) < LIMIT_OUTPUT) {
		const struct target *t = &r->targets[r->target];
		if (t->bucket != NULL) {
			list_bucket(r, t);
		} else if (t->place == PLACE_FILE) {
			list_files(r, t);
			stage_wake_at(&r->stage, r->now);
			return;
		} else {
			add_stdin(r);
			next_target(r);
		}
	}
}

void
list_release(struct read *r)
{
	struct object *o;
	gcs_listing_cancel(r->listing);
	s3_listing_cancel(r->s3_listing);
	walk_free(r->walk);
	while ((o = queue_take(&r->queue)) != NULL)
		object_free(o);
	for (int i = 0; i < r->ntargets; i++) {
		free(r->targets[i].bucket);
		free(r->targets[i].url);
	}
	free(r->targets);
	free(r->token);
	seen_release(&r->seen);
}
