/* Bytes to events to records, one object after the other. */
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "bounds.h"
#include "log.h"
#include "read.h"
#include "record.h"

/* The bytes of an event that BigQuery bills at least. [cloud.google.com/bigquery/pricing] */
#define BILLED_MIN 1024

static void
make_texts(struct read *r, const struct object *o)
{
	struct buf *b = &r->tail;
	buf_reset(&r->name, 4 * KIB);
	buf_reset(&r->head, 4 * KIB);
	buf_reset(&r->tail, 4 * KIB);
	source_name(&r->name, o);
	buf_addz(&r->head, "{\"msg\":{\"id\":\"");
	buf_adds(&r->head, buf_str(&r->name));
	buf_addc(&r->head, ':');
	buf_addz(b, "\",\"source\":\"");
	buf_adds(b, buf_str(&r->name));
	buf_addz(b, "\",\"time\":\"");
	jsonw_escape(b, str_of(o->updated));
	buf_addz(b, "\"}");
}

static void
begin(struct read *r, struct object *o)
{
	r->reading = o;
	r->text_ended = r->told_broken = false;
	r->broken.class = ERR_NONE;
	r->taken = 0;
	if (o->feed == NULL)
		feed_start(r, o);
	unpack_free(r->unpack);
	r->unpack = unpack_new();
	values_reset(&r->values);
	make_texts(r, o);
	o->source = sources_begin(&r->sources, buf_str(&r->name));
	if (o->source == NULL)
		err_set(&r->failure, ERR_BUG, "cannot read '%s': it is being read already", o->url);
	log_debug("reading '%s@%s', %llu bytes", o->url, o->generation, (unsigned long long)o->size);
}

/* Decimal without printf: there is one for each event. */
static void
add_number(struct buf *out, uint64_t n)
{
	char text[24];
	size_t at = sizeof(text);
	do
		text[--at] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	buf_add(out, text + at, sizeof(text) - at);
}

static void
emit(struct read *r, const struct value *v)
{
	struct buf *out = sink_buf(&r->out);
	buf_adds(out, buf_str(&r->head));
	add_number(out, v->number);
	buf_adds(out, buf_str(&r->tail));
	buf_addz(out, ",\"data\":\"");
	base64_encode(out, v->text);
	buf_addz(out, "\"}");
	sink_commit(&r->out);
}

/* What cannot be passed on is a dead letter: true, or false where nobody takes them. */
static bool
reject(struct read *r, const struct value *v, const char *code, struct str detail)
{
	struct buf msg = BUF_INIT(8 * KIB), data = BUF_INIT(BASE64_LEN(LIMIT_DATA) + 16);
	struct record_fault fault = {str_of(code), STR(""), detail};
	if (r->rejects.fd < 0)
		return false;
	buf_adds(&msg, str_skip(buf_str(&r->head), strlen("{\"msg\":")));
	add_number(&msg, v->number);
	buf_adds(&msg, buf_str(&r->tail));
	base64_encode(&data, v->text);
	record_write_rejected(sink_buf(&r->rejects), buf_str(&msg), buf_str(&data), "ev-read", &fault, 1);
	sink_commit(&r->rejects);
	buf_release(&msg);
	buf_release(&data);
	r->rejected++;
	return true;
}

static void
reject_long(struct read *r, const struct value *v)
{
	struct buf detail = BUF_INIT(256);
	struct err e;
	buf_addf(&detail, "%s %llu is %llu bytes long, a message at most %llu; data holds its first %zu",
	    r->values.form == VALUES_LINES ? "line" : "value", (unsigned long long)v->number, (unsigned long long)v->length,
	    LIMIT_DATA, v->text.n);
	if (!reject(r, v, "bad_json", buf_str(&detail))) {
		err_set(&e, ERR_INPUT, "cannot pass on all of '%s': %.*s; give --rejects to keep it", r->reading->url,
		    STR_ARG(buf_str(&detail)));
		fault(r, &e);
		r->reading->source->spoilt = true;
	}
	buf_release(&detail);
}

/* The unreadable rest: reported, and kept where there is somebody to keep it. */
static void
reject_rest(struct read *r, const struct value *v)
{
	struct buf detail = BUF_INIT(2 * KIB);
	struct err e;
	r->told_broken = true;
	buf_addf(&detail, "'%s' cannot be read further than byte %llu: %s", r->reading->url, (unsigned long long)v->offset,
	    v->broken);
	if (v->length > v->text.n)
		buf_addf(&detail, "; data holds the first %zu of the %llu bytes from there",
		    v->text.n, (unsigned long long)v->length);
	bool kept = reject(r, v, "unreadable", buf_str(&detail));
	err_set(&e, ERR_INPUT, "%.*s%s", STR_ARG(buf_str(&detail)), kept ? "" : "; give --rejects to keep its rest");
	fault(r, &e);
	r->reading->source->spoilt |= !kept;
	buf_release(&detail);
}

static void
hand_on(struct read *r, const struct value *v)
{
	struct source *s = r->reading->source;
	if (r->o.dry_run) {
		r->sample.events++;
		r->sample.billed += v->length < BILLED_MIN ? BILLED_MIN : v->length;
		return;
	}
	if (v->broken == NULL && v->length <= LIMIT_DATA) {
		emit(r, v);
	} else {
		uint64_t before = r->rejected;
		if (v->broken != NULL)
			reject_rest(r, v);
		else
			reject_long(r, v);
		if (r->rejected == before)
			return;
	}
	r->events++;
	sources_emitted(&r->sources, s, 1);
}

/* A broken stream whose end falls between two events has a rest all the same. */
static void
tell_broken(struct read *r)
{
	struct value v = {.text = STR(""), .number = r->values.number + 1, .offset = r->values.base + r->values.start,
	    .broken = r->broken.text};
	if (r->broken.class != ERR_NONE && !r->told_broken && !r->o.dry_run)
		hand_on(r, &v);
}

static void
mark_end(struct read *r, const struct source *s)
{
	record_write_end(sink_buf(&r->out), s->name, s->emitted);
	sink_commit(&r->out);
}

/* An object stands for all of itself, and for others by the chance that it had to be picked. [Horvitz-Thompson] */
static void
close_sample(struct read *r)
{
	double size = (double)r->reading->size, chance = SAMPLES * size / (double)r->bytes_listed;
	bool all = r->objects_listed - r->objects_skipped <= SAMPLES;
	if (r->taken > 0) {
		double weight = size / (double)r->taken / (all || chance > 1 ? 1 : chance);
		r->sample.n++;
		r->sample.seen += r->sample.events;
		r->sample.all_events += weight * (double)r->sample.events;
		r->sample.all_billed += weight * (double)r->sample.billed;
	}
	r->sample.events = r->sample.billed = 0;
}

static void
close_object(struct read *r, bool whole)
{
	struct object *o = r->reading;
	struct source *s = o->source;
	s->broken = r->told_broken || s->spoilt;
	if (r->o.mark_ends && whole && !r->o.dry_run)
		mark_end(r, s);
	if (r->o.dry_run)
		close_sample(r);
	r->objects += whole;
	r->objects_broken += whole && s->broken;
	r->objects_failed += !whole && r->cut_at == 0;
	/* Without --acks, what is written counts as received. */
	if (r->o.acks == NULL)
		sources_receipt(&r->sources, s->name, s->emitted, &r->failure);
	sources_end(&r->sources, s, whole && !s->spoilt);
	r->reading = NULL;
	object_free(o);
}

void
emit_cut(struct read *r)
{
	if (r->reading != NULL)
		close_object(r, false);
}

static void
finish(struct read *r)
{
	struct feed *f = r->reading->feed;
	if (f->err.class != ERR_NONE) {
		fault(r, &f->err);
		close_object(r, false);
		return;
	}
	tell_broken(r);
	close_object(r, true);
}

/* Content that breaks: what was unpacked is still events. */
static void
break_off(struct read *r)
{
	values_end(&r->values, r->broken.text);
	r->text_ended = true;
}

/* Gives the splitter more: false where nothing more is there now. */
static bool
unpack_more(struct read *r)
{
	struct feed *f = r->reading->feed;
	struct str in = feed_bytes(f), before = in;
	struct buf *to = values_buf(&r->values);
	bool sampled = r->o.dry_run && r->taken >= SAMPLE_BYTES;
	if (f->err.class != ERR_NONE || sampled) {
		r->text_ended = true;
		return true;
	}
	int rc = unpack_step(r->unpack, &in, to, VALUES_FILL, &r->broken);
	feed_use(f, before.n - in.n);
	if (rc < 0) {
		break_off(r);
		return true;
	}
	if (rc > 0 || before.n > 0)
		return true;
	if (!f->ended)
		return false;
	if (unpack_end(r->unpack, to, &r->broken) < 0) {
		break_off(r);
	} else {
		values_end(&r->values, NULL);
		r->text_ended = true;
	}
	return true;
}

/* A dry run picks what to look into from all. */
static bool
may_begin(const struct read *r)
{
	return r->cut_at == 0 && r->queue.first != NULL && sources_n(&r->sources) < UNFINISHED_MAX &&
	    (!r->o.dry_run || r->listed);
}

static void
read_ahead(struct read *r)
{
	struct object *o = r->queue.first;
	if (!may_begin(r))
		return;
	for (int i = 0; i < READ_AHEAD && o != NULL; i++, o = o->next) {
		if (object_remote(o) && o->feed == NULL && r->cut_at == 0)
			feed_start(r, o);
	}
}

void
emit_turn(struct read *r)
{
	struct value v;
	bool network_failed = false;
	read_ahead(r);
	while (r->failure.class == ERR_NONE && stage_pending(&r->stage) < LIMIT_OUTPUT &&
	    sources_room(&r->sources, (uint64_t)r->o.max_outstanding)) {
		if (r->reading == NULL) {
			if (!may_begin(r))
				return;
			begin(r, queue_take(&r->queue));
			read_ahead(r);
			continue;
		}
		network_failed = r->reading->feed->err.class != ERR_NONE;
		if (!network_failed && values_next(&r->values, &v))
			hand_on(r, &v);
		else if (network_failed || r->text_ended)
			finish(r);
		else if (!unpack_more(r))
			return;
	}
}
