/* ps_ack: acknowledge, modifyAckDeadline, seek. */
#include <stdlib.h>

#include "clock.h"
#include "ps.h"
#include "time.h"
#include "xalloc.h"

#define IDS_A_RECORD 10000

/* The ids of a request, all read before any is acted on: one malformed id refuses them all. */
struct refs {
	struct ack_ref *v;
	size_t n;
};

static bool
read_ref(struct ps_call *c, const struct sub *s, uint32_t t, struct ack_ref *a)
{
	struct buf copy = BUF_INIT(PS_REQUEST_MAX);
	struct str id = json_string(c->j, t, &copy);
	bool ok = false;
	if (!json_is(c->j, t, JSON_STRING) || !ackid_read(id, a, &c->p->scratch)) {
		ps_bad(c, "Invalid ack id (ack_id=%.*s)", (int)(id.n < 300 ? id.n : 300), id.p != NULL ? id.p : "");
	} else if (a->sub != s->uid) {
		const struct sub *other = sub_by_uid(c->p, a->sub);
		ps_bad(c, "Subscription %s received an invalid ack ID %.*s, meant for subscription: %s", s->name,
		    STR_ARG(id), other != NULL ? other->name : "(deleted)");
	} else {
		ok = true;
	}
	buf_release(&copy);
	return ok;
}

static bool
read_refs(struct ps_call *c, const struct sub *s, struct refs *r)
{
	*r = (struct refs){0};
	if (c->req->body.n > PS_ACK_REQUEST_MAX) {
		ps_bad(c, "Request payload size exceeds the limit: %d bytes.", PS_ACK_REQUEST_MAX);
		return false;
	}
	if (!ps_body(c))
		return false;
	uint32_t list = json_get(c->j, 0, "ackIds");
	if (!json_is(c->j, list, JSON_ARRAY) || c->j->tok[list].count == 0) {
		ps_bad(c, "No ack ids specified.");
		return false;
	}
	r->v = xcalloc(c->j->tok[list].count, sizeof(*r->v));
	for (uint32_t t = json_first(list); t < json_end(c->j, list); t = c->j->tok[t].next) {
		if (!read_ref(c, s, t, &r->v[r->n])) {
			free(r->v);
			r->v = NULL;
			return false;
		}
		r->n++;
	}
	return true;
}

enum emu_answer
ps_acknowledge(struct ps_call *c, struct sub *s)
{
	struct refs r;
	size_t found = 0;
	if (!read_refs(c, s, &r))
		return EMU_DONE;
	journal_ids(&c->p->journal, 'A', s->uid);
	for (size_t i = 0; i < r.n; i++) {
		uint32_t at = queue_find(s, &r.v[i]);
		if (at == NIL)
			continue;
		buf_addf(&c->p->journal.out, " %llu", (unsigned long long)s->slots[at].m->id);
		found++;
	}
	buf_addc(&c->p->journal.out, '\n');
	if (found == 0)
		buf_reset(&c->p->journal.out, PS_REQUEST_MAX);
	if (found == 0 || ps_commit(c)) {
		for (size_t i = 0; i < r.n; i++) {
			uint32_t at = queue_find(s, &r.v[i]);
			if (at == NIL)
				continue;
			queue_done(c->p, s, at);
			s->counts.acked++;
		}
		/* An ordering key may have become free. */
		if (s->c.ordered)
			emu_wake(c->emu);
		buf_addz(&c->rep->body, "{}\n");
	}
	free(r.v);
	return EMU_DONE;
}

/*
 * Leases that are over, even if not delivered again, are not brought back: whoever extends late has lost
 * them.
 */
static void
modify(struct ps_call *c, struct sub *s, const struct ack_ref *a, int64_t seconds)
{
	uint32_t at = queue_find(s, a);
	if (at == NIL || s->slots[at].state != SLOT_LEASED)
		return;
	if (seconds > 0) {
		queue_extend(s, at, c->emu->now + SECONDS(seconds));
		return;
	}
	queue_give_back(s, at, c->emu->now);
	emu_wake(c->emu);
}

enum emu_answer
ps_modify_deadline(struct ps_call *c, struct sub *s)
{
	struct refs r;
	int64_t seconds = 0;
	if (!read_refs(c, s, &r))
		return EMU_DONE;
	uint32_t t = json_get(c->j, 0, "ackDeadlineSeconds");
	if (t != JSON_NONE && !json_is(c->j, t, JSON_NULL) && !json_i64(c->j, t, &seconds)) {
		ps_bad(c, "Invalid value at 'ack_deadline_seconds' (TYPE_INT32)");
	} else if (seconds < 0 || seconds > PS_DEADLINE_MAX) {
		ps_bad(c, "Invalid ack deadline (ack_deadline_secs=%lld): it must be between 0 and %d seconds.",
		    (long long)seconds, PS_DEADLINE_MAX);
	} else {
		for (size_t i = 0; i < r.n; i++)
			modify(c, s, &r.v[i], seconds);
		ps_bury(c->p);
		buf_addz(&c->rep->body, "{}\n");
	}
	free(r.v);
	return EMU_DONE;
}

bool
ps_drop_before(struct pubsub *p, struct sub *s, int64_t time)
{
	struct journal *log = &p->journal;
	size_t found = 0;
	for (uint32_t i = 0; i < s->nslots; i++) {
		if (s->slots[i].state == SLOT_FREE || s->slots[i].m->time >= time)
			continue;
		if (found % IDS_A_RECORD == 0) {
			if (found > 0)
				buf_addc(&log->out, '\n');
			journal_ids(log, 'A', s->uid);
		}
		buf_addf(&log->out, " %llu", (unsigned long long)s->slots[i].m->id);
		found++;
	}
	if (found == 0)
		return true;
	buf_addc(&log->out, '\n');
	if (journal_commit(log, NULL) != 0)
		return false;
	/* nslots drops to 0 with the last one */
	for (uint32_t i = 0; i < s->nslots; i++) {
		if (s->slots[i].state != SLOT_FREE && s->slots[i].m->time < time)
			queue_done(p, s, i);
	}
	emu_wake(p->emu);
	return true;
}

enum emu_answer
ps_seek(struct ps_call *c, struct sub *s)
{
	int64_t time;
	if (!ps_body(c))
		return EMU_DONE;
	uint32_t t = json_get(c->j, 0, "time");
	if (t == JSON_NONE)
		return ps_not_emulated(c, "Seeking to anything but a time");
	struct str text = json_string(c->j, t, &c->p->scratch);
	if (text.p == NULL || time_parse_service(text, &time) != NULL)
		return ps_bad(c, "Invalid value at 'time' (TYPE_MESSAGE), not an RFC 3339 time");
	if (!ps_drop_before(c->p, s, time)) {
		reply_rpc_error(c->rep, 500, "INTERNAL", "cannot write the journal");
		return EMU_DONE;
	}
	buf_addz(&c->rep->body, "{}\n");
	return EMU_DONE;
}
