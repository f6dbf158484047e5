/* ps_pull: a pull answers with what is there; with nothing there it waits. */
#include <stdlib.h>

#include "ps.h"
#include "xalloc.h"

/* What a waiting pull keeps in req->state. */
struct pull {
	uint64_t sub; /* its uid: it may be deleted meanwhile */
	int64_t max;
	int64_t until;
};

/*
 * "May return fewer than asked": now and then it does, so that clients which take a short reply for an empty
 * backlog are found out.
 */
static int64_t
shorten(struct ps_call *c, const struct sub *s, int64_t max)
{
	int64_t there = s->ready.n < max ? s->ready.n : max;
	if (c->emu->seed == 0 || there < 2 || rng_below(&c->p->rng, 8) != 0)
		return max;
	return 1 + (int64_t)rng_below(&c->p->rng, (uint64_t)there);
}

static void
write_message(const struct sub *s, uint32_t i, struct buf *out)
{
	const struct slot *x = &s->slots[i];
	buf_addz(out, "{\"ackId\":\"");
	ackid_write(out, &(struct ack_ref){.sub = s->uid, .delivery = x->delivery, .slot = i});
	buf_addz(out, "\",\"message\":");
	buf_add(out, x->m->text, x->m->len);
	if (s->c.dead_topic != NULL)
		buf_addf(out, ",\"deliveryAttempt\":%u", x->attempts);
	buf_addc(out, '}');
}

/* Leases up to max messages into the reply; false where there are none. */
static bool
take(struct ps_call *c, struct sub *s, int64_t max)
{
	struct buf *out = &c->rep->body;
	uint32_t i = NIL;
	size_t bytes = 0;
	max = shorten(c, s, max);
	for (int64_t n = 0; n < max; n++) {
		i = queue_next(s, i);
		if (i == NIL || (n > 0 && bytes + s->slots[i].m->len > PS_PULL_BYTES))
			break;
		bytes += s->slots[i].m->len;
		queue_lease(s, i, c->p->next_delivery++, c->emu->now);
		buf_addz(out, n == 0 ? "{\"receivedMessages\":[" : ",");
		write_message(s, i, out);
	}
	if (bytes == 0)
		return false;
	buf_addz(out, "]}\n");
	return true;
}

enum emu_answer
ps_pull(struct ps_call *c, struct sub *s)
{
	int64_t max = 0;
	if (!ps_body(c))
		return EMU_DONE;
	uint32_t t = json_get(c->j, 0, "maxMessages");
	if (t != JSON_NONE && !json_is(c->j, t, JSON_NULL) && !json_i64(c->j, t, &max))
		return ps_bad(c, "Invalid value at 'max_messages' (TYPE_INT32)");
	if (max <= 0)
		return ps_bad(c, "No max_messages specified: max_messages must be greater than 0.");
	if (max > PS_PULL_MAX)
		max = PS_PULL_MAX;
	if (take(c, s, max))
		return EMU_DONE;
	if (json_true(c->j, json_get(c->j, 0, "returnImmediately")) || c->emu->pull_wait == 0) {
		buf_addz(&c->rep->body, "{}\n");
		return EMU_DONE;
	}
	struct pull *w = xmalloc(sizeof(*w));
	*w = (struct pull){.sub = s->uid, .max = max, .until = c->emu->now + c->emu->pull_wait};
	c->req->state = w;
	c->req->wake_at = w->until;
	return EMU_WAIT;
}

enum emu_answer
ps_pull_again(struct ps_call *c)
{
	const struct pull *w = c->req->state;
	struct sub *s = sub_by_uid(c->p, w->sub);
	if (s == NULL)
		return ps_missing(c, "Subscription", c->id);
	if (take(c, s, w->max))
		return EMU_DONE;
	if (c->emu->now < w->until)
		return EMU_WAIT;
	buf_addz(&c->rep->body, "{}\n");
	return EMU_DONE;
}
