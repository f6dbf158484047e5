#include "put.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "jsonw.h"
#include "log.h"
#include "receipt.h"
#include "xalloc.h"

#define PAGE (64 * KIB)

static void
queue_add(struct queue *q, struct object *o)
{
	o->next = NULL;
	if (q->last != NULL)
		q->last->next = o;
	else
		q->first = o;
	q->last = o;
	q->n++;
}

static struct object *
queue_take(struct queue *q)
{
	struct object *o = q->first;
	if (o == NULL)
		return NULL;
	q->first = o->next;
	if (q->first == NULL)
		q->last = NULL;
	q->n--;
	return o;
}

struct object *
object_new(struct put *p, const char *type, struct str table)
{
	struct object *o = xcalloc(1, sizeof(*o));
	o->put = p;
	o->type = xstrdup(type);
	if (p->lake.by_source)
		o->source = str_dup(buf_str(&p->source));
	if (p->o.objects)
		o->table = str_dup(table);
	o->content = spool_new(&p->pool);
	if (p->o.pass || (!p->o.objects && o->source == NULL))
		o->owed = spool_new(&p->pool);
	digest_begin(&o->hash, DIGEST_SHA256);
	digest_begin(&o->md5, DIGEST_MD5);
	return o;
}

static void
object_free(struct object *o)
{
	if (o == NULL)
		return;
	if (o->part.key.p != NULL)
		lake_close(&o->put->lake, &o->part);
	digest_end(&o->hash, NULL);
	digest_end(&o->md5, NULL);
	spool_free(o->content);
	spool_free(o->owed);
	free(o->type);
	free(o->source);
	free(o->table);
	free(o->name);
	free(o);
}

void
object_drop(struct object *o)
{
	object_free(o);
}

static int
content_rewind(void *arg, struct err *e)
{
	struct object *o = arg;
	return spool_rewind(o->content, o->put->o.compress == COMPRESS_GZIP, e);
}

static long
content_read(void *arg, char *p, size_t n, struct err *e)
{
	struct object *o = arg;
	return spool_read(o->content, p, n, e);
}

/* The sum of what is uploaded, which with gzip is known only now. */
static int
sum_packed(struct object *o, struct err *e)
{
	char *page = xmalloc(PAGE);
	long n = content_rewind(o, e);
	while (n == 0 && (n = content_read(o, page, PAGE, e)) > 0) {
		digest_add(&o->md5, (struct str){page, (size_t)n});
		n = 0;
	}
	free(page);
	return n < 0 ? -1 : 0;
}

static void
make_name(struct object *o)
{
	uint8_t sum[DIGEST_MAX];
	char hash[2 * 16 + 1];
	struct buf name = BUF_INIT(4 * KIB);
	digest_end(&o->hash, sum);
	digest_hex(hash, sum, 16);
	lake_name(&name, o->put->prefix, o->type, o->part.earliest, hash,
	    o->put->o.compress == COMPRESS_GZIP);
	o->name = xstrdup(buf_cstr(&name));
	buf_release(&name);
}

int
object_close(struct object *o, struct err *e)
{
	struct put *p = o->put;
	bool gzip = p->o.compress == COMPRESS_GZIP;
	lake_close(&p->lake, &o->part);
	/* It belongs to the queue from here on, whatever fails. */
	queue_add(&p->waiting, o);
	if (spool_finish(o->content, e) < 0 || (o->owed != NULL && spool_finish(o->owed, e) < 0))
		return -1;
	o->size = gzip ? spool_packed_size(o->content) : spool_size(o->content);
	if (gzip && sum_packed(o, e) < 0)
		return -1;
	digest_end(&o->md5, o->md5sum);
	make_name(o);
	return 0;
}

static uint64_t
memory_of(const struct object *o)
{
	return o->size < GCS_UPLOAD_MEMORY ? o->size : GCS_UPLOAD_MEMORY;
}

static void
on_stored(void *arg, const struct gcs_stored *stored, const struct err *e)
{
	struct object *o = arg;
	struct put *p = o->put;
	unsigned i = 0;
	while (p->uploading[i] != o)
		i++;
	p->uploading[i] = p->uploading[--p->nuploading];
	p->upload_memory -= memory_of(o);
	spool_unreserve(&p->pool, memory_of(o));
	o->upload = NULL;
	if (e != NULL) {
		if (p->failed.class == ERR_NONE)
			p->failed = *e;
		object_free(o);
		return;
	}
	if (o->owed != NULL && spool_rewind(o->owed, false, &p->failed) < 0) {
		object_free(o);
		return;
	}
	o->stored = *stored;
	spool_free(o->content);
	o->content = NULL;
	p->nobjects++;
	p->nexisted += stored->existed;
	p->nbytes += o->size;
	log_debug("%s 'gs://%s/%s': %llu events, %llu bytes", stored->existed ? "found" : "stored", p->bucket,
	    o->name, (unsigned long long)o->part.records, (unsigned long long)o->size);
	queue_add(&p->stored, o);
}

static const char *
content_type(const struct put *p)
{
	return p->o.compress == COMPRESS_GZIP ? "application/gzip" : "application/x-ndjson";
}

int
objects_upload(struct put *p, struct err *e)
{
	while (p->waiting.first != NULL && p->nuploading < UPLOADS_MAX &&
	    (p->nuploading == 0 || p->upload_memory + memory_of(p->waiting.first) <= UPLOAD_MEMORY)) {
		struct object *o = p->waiting.first;
		struct gcs_object what = {.bucket = p->bucket, .name = o->name, .size = o->size, .arg = o,
		    .content_type = content_type(p), .rewind = content_rewind, .read = content_read};
		memcpy(what.md5, o->md5sum, sizeof(what.md5));
		if (spool_reserve(&p->pool, memory_of(o), e) < 0)
			return -1;
		o->upload = gcs_store(&p->gapi, &what, on_stored, o, e);
		if (o->upload == NULL)
			return -1;
		queue_take(&p->waiting);
		p->uploading[p->nuploading++] = o;
		p->upload_memory += memory_of(o);
	}
	return 0;
}

/* An object line (records(5)): md5 in base64, as Cloud Storage itself shows it. */
static void
write_object(struct put *p, const struct object *o)
{
	struct buf *out = sink_buf(&p->out), url = BUF_INIT(4 * KIB);
	struct jsonw w = jsonw_to(out);
	buf_addf(&url, "gs://%s/%s", p->bucket, o->name);
	jsonw_object(&w);
	jsonw_member(&w, "object", buf_str(&url));
	jsonw_member(&w, "generation", str_of(o->stored.generation));
	jsonw_member(&w, "table", str_of(o->table));
	jsonw_key(&w, "rows");
	jsonw_i64(&w, (int64_t)o->part.records);
	jsonw_key(&w, "bytes");
	jsonw_i64(&w, (int64_t)o->size);
	jsonw_key(&w, "md5");
	jsonw_base64(&w, (struct str){(const char *)o->md5sum, sizeof(o->md5sum)});
	if (o->source != NULL) {
		jsonw_key(&w, "source");
		/* It came as JSON and goes as JSON. */
		buf_reset(&url, 4 * KIB);
		buf_addf(&url, "\"%s\"", o->source);
		jsonw_raw(&w, buf_str(&url));
	}
	jsonw_end(&w);
	sink_commit(&p->out);
	buf_release(&url);
}

static void
write_count(struct put *p, const struct object *o)
{
	buf_addf(sink_buf(&p->out), "{\"msg\":{\"source\":\"%s\"},\"count\":%llu}", o->source,
	    (unsigned long long)o->part.records);
	sink_commit(&p->out);
}

static void
write_owed(struct put *p, struct str line)
{
	if (p->o.pass) {
		sink_line(&p->out, line);
		return;
	}
	record_write_receipt(sink_buf(&p->out), line);
	sink_commit(&p->out);
}

/* A page of the lines that are owed: 1 while there are more. */
static int
write_some_owed(struct put *p, struct object *o, struct err *e)
{
	char *page = buf_room(&p->partial, PAGE);
	if (page == NULL)
		return err_set(e, ERR_BUG, "cannot hold a line of %zu bytes", p->partial.n);
	long n = spool_read(o->owed, page, PAGE, e);
	if (n < 0)
		return -1;
	buf_grew(&p->partial, (size_t)n);
	struct str rest = buf_str(&p->partial);
	for (size_t end; (end = str_find(rest, '\n')) < rest.n; rest = str_skip(rest, end + 1))
		write_owed(p, (struct str){rest.p, end});
	buf_consume(&p->partial, p->partial.n - rest.n);
	if (p->partial.n == 0)
		buf_reset(&p->partial, 4 * PAGE);
	return n > 0;
}

/* All that is owed for one object: 1 while the output has no room for the rest. */
static int
write_receipts(struct put *p, struct object *o, struct err *e)
{
	int more = 1;
	if (p->o.objects) {
		write_object(p, o);
		return 0;
	}
	if (o->owed == NULL) {
		write_count(p, o);
		return 0;
	}
	while (more == 1 && stage_pending(&p->stage) < LIMIT_OUTPUT)
		more = write_some_owed(p, o, e);
	return more;
}

int
objects_receipt(struct put *p, struct err *e)
{
	for (struct object *o; (o = p->stored.first) != NULL && stage_pending(&p->stage) < LIMIT_OUTPUT;) {
		int more = write_receipts(p, o, e);
		if (more < 0)
			return -1;
		if (more > 0)
			return 0;
		p->tally.done += o->part.records;
		object_free(queue_take(&p->stored));
	}
	return 0;
}

bool
objects_settled(const struct put *p)
{
	return p->lake.open == 0 && p->waiting.n == 0 && p->nuploading == 0 && p->stored.n == 0;
}

void
objects_free(struct put *p)
{
	struct object *o;
	while (p->lake.oldest != NULL)
		object_free((struct object *)p->lake.oldest);
	while (p->nuploading > 0) {
		o = p->uploading[--p->nuploading];
		gcs_cancel(o->upload);
		object_free(o);
	}
	while ((o = queue_take(&p->waiting)) != NULL || (o = queue_take(&p->stored)) != NULL)
		object_free(o);
}
