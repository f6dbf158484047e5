#include <stdlib.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "ps-pull.h"
#include "record.h"
#include "xalloc.h"

#define ACK_LINGER MILLIS(100)
#define RETURN_PATIENCE SECONDS(5)
/* So many ack ids refused one by one, and none taken since: it is not the ids. */
#define REFUSED_MAX 10000

/* Ack ids under way, kept so that a request refused for one of them can be halved. */
struct batch {
	struct puller *p;
	enum lease_action action;
	struct buf text;
	size_t n;
	struct str ids[];
};

static void send_batch(struct batch *b);

static unsigned *
counter(struct puller *p, enum lease_action action)
{
	return action == LEASE_ACK ? &p->ack_calls : &p->extend_calls;
}

static struct batch *
make_batch(struct puller *p, enum lease_action action, const struct str *ids, size_t n)
{
	struct batch *b = xmalloc(sizeof(*b) + n * sizeof(struct str));
	*b = (struct batch){.p = p, .action = action, .n = n};
	buf_init(&b->text, 4 * MIB);
	size_t bytes = 0;
	for (size_t i = 0; i < n; i++)
		bytes += ids[i].n;
	buf_room(&b->text, bytes);
	for (size_t i = 0; i < n; i++) {
		b->ids[i] = (struct str){b->text.p + b->text.n, ids[i].n};
		buf_adds(&b->text, ids[i]);
	}
	return b;
}

static void
free_batch(struct batch *b)
{
	buf_release(&b->text);
	free(b);
}

/*
 * One bad ack id fails its whole request (400): the halves are tried by themselves, and an id that is refused alone is
 * dropped. Its message comes again under a new one.
 */
static void
halve(struct batch *b)
{
	if (b->n == 1) {
		b->p->refused_in_a_row += b->action == LEASE_ACK;
		/* Where all are refused, one message each would bury the rest. */
		if (b->p->refused++ % 1000 == 0)
			log_warn("an ack id was refused (%llu so far); its message will come again",
			    (unsigned long long)b->p->refused);
		return;
	}
	send_batch(make_batch(b->p, b->action, b->ids, b->n / 2));
	send_batch(make_batch(b->p, b->action, b->ids + b->n / 2, b->n - b->n / 2));
}

static void
on_done(void *arg, const struct gapi_result *r)
{
	struct batch *b = arg;
	struct puller *p = b->p;
	--*counter(p, b->action);
	p->acking -= b->action == LEASE_ACK ? b->n : 0;
	if (b->action == LEASE_ACK && r->err.class == ERR_NONE) {
		p->active_at = p->now;
		p->refused_in_a_row = 0;
	}
	if (r->status == 400 && p->refused_in_a_row < REFUSED_MAX)
		halve(b);
	else if (r->err.class != ERR_NONE && b->action == LEASE_GIVE_BACK)
		log_warn("%s; the messages come back when their leases end", r->err.text);
	else if (r->err.class != ERR_NONE)
		p->failure = r->err;
	free_batch(b);
}

static void
send_batch(struct batch *b)
{
	struct puller *p = b->p;
	const char *name = buf_cstr(&p->subscription);
	++*counter(p, b->action);
	p->acking += b->action == LEASE_ACK ? b->n : 0;
	if (b->action == LEASE_ACK)
		pubsub_acknowledge(&p->g, name, b->ids, b->n, on_done, b);
	else
		pubsub_modify_deadline(&p->g, name, b->ids, b->n,
		    b->action == LEASE_EXTEND ? (int)(p->o->lease / 1000000) : 0, on_done, b);
}

/* Takes and sends one request's worth: how many ids. */
static size_t
send_some(struct puller *p, enum lease_action action)
{
	uint32_t lens[PUBSUB_ACK_MAX];
	struct str ids[PUBSUB_ACK_MAX];
	struct buf text = BUF_INIT(4 * MIB);
	size_t n = lease_take(&p->leases, action, p->now, &text, lens, PUBSUB_ACK_MAX, PUBSUB_ACK_BYTES);
	const char *at = text.p;
	for (size_t i = 0; i < n; at += lens[i++])
		ids[i] = (struct str){at, lens[i]};
	if (n > 0)
		send_batch(make_batch(p, action, ids, n));
	buf_release(&text);
	return n;
}

int64_t
acks_due(const struct puller *p)
{
	bool hurry = p->phase == WAITING || p->phase == RETURNING || p->leases.acks.n >= PUBSUB_ACK_MAX;
	int64_t ack = p->ack_calls < ACK_CALLS_MAX ? lease_due(&p->leases, LEASE_ACK, hurry ? 0 : ACK_LINGER) : CLOCK_NEVER;
	int64_t extend = p->extend_calls < ACK_CALLS_MAX && p->phase != RETURNING
	    ? lease_due(&p->leases, LEASE_EXTEND, p->leases.fresh.n >= PUBSUB_ACK_MAX ? 0 : ACK_LINGER)
	    : CLOCK_NEVER;
	return ack < extend ? ack : extend;
}

void
acks_send(struct puller *p)
{
	uint64_t lapsed = p->leases.lapsed;
	while (acks_due(p) <= p->now) {
		bool hurry = p->phase >= WAITING || p->leases.acks.n >= PUBSUB_ACK_MAX;
		bool ack = p->ack_calls < ACK_CALLS_MAX &&
		    lease_due(&p->leases, LEASE_ACK, hurry ? 0 : ACK_LINGER) <= p->now;
		if (send_some(p, ack ? LEASE_ACK : LEASE_EXTEND) == 0 && !ack)
			break;
	}
	if (p->leases.lapsed > lapsed)
		log_warn("gave up %llu messages that had no receipt within --max-lease; they will come again",
		    (unsigned long long)(p->leases.lapsed - lapsed));
}

bool
acks_give_back(struct puller *p)
{
	if (p->phase != RETURNING) {
		p->phase = RETURNING;
		p->give_up_at = p->now + RETURN_PATIENCE;
		p->incomplete = lease_held(&p->leases) > 0;
		p->given_back = lease_held(&p->leases);
		if (p->incomplete)
			log_info("giving %zu messages back", lease_held(&p->leases));
	}
	while (p->extend_calls < ACK_CALLS_MAX && send_some(p, LEASE_GIVE_BACK) > 0)
		continue;
	return lease_held(&p->leases) == 0 && p->extend_calls == 0;
}

int
acks_receipt(struct puller *p, const struct line *l, struct err *e)
{
	struct record r;
	if (l->torn) {
		log_warn("the last receipt was torn; its message will come again");
		return 0;
	}
	if (record_parse(&r, &p->json, l->text, e) < 0)
		return err_wrap(e, "cannot take line %llu of '%s' for a receipt", (unsigned long long)l->number, p->o->acks);
	/* A valid record is one too, for those whose last stage passes records on; an event nobody stored is none. */
	if ((r.kind != RECORD_RECEIPT && r.kind != RECORD_VALID) || r.id.p == NULL)
		return err_set(e, ERR_INPUT, "cannot take line %llu of '%s' for a receipt: it is %s%s",
		    (unsigned long long)l->number, p->o->acks, record_kind_name(r.kind), r.id.p == NULL ? " without msg.id" : "");
	/* Another tool may escape otherwise than we do: compare what is meant. */
	struct str id = r.id;
	buf_reset(&p->scratch, 64 * KIB);
	if (str_find(id, '\\') < id.n) {
		struct buf plain = BUF_INIT(LIMIT_LINE);
		json_unescape(&plain, id);
		jsonw_escape(&p->scratch, buf_str(&plain));
		buf_release(&plain);
		id = buf_str(&p->scratch);
	}
	p->active_at = p->receipt_at = p->now;
	if (lease_receipt(&p->leases, id, p->now))
		p->tally.done++;
	else
		p->unknown_receipts++;
	return 0;
}
