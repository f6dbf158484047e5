#include "bounds.h"
#include "clock.h"
#include "digest.h"
#include "jsonw.h"
#include "log.h"
#include "ps-pull.h"

/* What replies and output may take together before another pull is started. */
#define REPLIES_MAX (8 * MIB)
/* A pull with an answer has it by then; one without is waiting for messages to be published. */
#define IDLE_AFTER SECONDS(1)

/* The id as it goes into the record and comes back in a receipt: escaped, or a hash where that is too long. */
static struct str
record_id(struct buf *out, struct str id)
{
	size_t from = out->n;
	jsonw_escape(out, id);
	if (out->n - from > LIMIT_ID) {
		uint8_t sum[DIGEST_MAX];
		char hex[2 * DIGEST_MAX + 1];
		digest_of(DIGEST_SHA256, id, sum);
		digest_hex(hex, sum, sizeof(sum));
		out->n = from;
		buf_addf(out, "sha256:%s", hex);
	}
	return str_skip(buf_str(out), from);
}

/* A JSON slice without the white space between its tokens: replies may be pretty-printed, records are one line. */
static void
add_compact(struct buf *out, struct str raw)
{
	bool in_string = false;
	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];
		if (!in_string && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
			continue;
		buf_addc(out, c);
		if (c == '\\' && i + 1 < raw.n)
			buf_addc(out, raw.p[++i]);
		else if (c == '"')
			in_string = !in_string;
	}
}

static void
write_record(struct puller *p, struct str id, const struct pubsub_message *m)
{
	struct buf *b = sink_buf(&p->out);
	buf_addz(b, "{\"msg\":{\"id\":\"");
	buf_adds(b, id);
	buf_addz(b, "\",\"source\":\"");
	buf_adds(b, buf_str(&p->source));
	buf_addz(b, "\",\"time\":\"");
	jsonw_escape(b, m->time);
	buf_addc(b, '"');
	if (m->attributes.n > 0) {
		buf_addz(b, ",\"attributes\":");
		add_compact(b, m->attributes);
	}
	if (m->ordering_key.n > 0) {
		buf_addz(b, ",\"ordering_key\":");
		buf_adds(b, m->ordering_key);
	}
	if (m->attempt > 0)
		buf_addf(b, ",\"attempt\":%lld", (long long)m->attempt);
	buf_addz(b, "},\"data\":\"");
	jsonw_escape(b, m->data);
	buf_addz(b, "\"}");
	sink_commit(&p->out);
}

static void
warn_attempts(struct puller *p, int64_t attempt)
{
	bool peek = p->o->acks == NULL && !p->o->ack_on_write;
	if (attempt == 0 || p->warned_attempts || !peek)
		return;
	p->warned_attempts = true;
	log_warn("'%s' counts delivery attempts: looking at a message without acknowledging it brings it nearer to the "
		 "dead-letter topic", buf_cstr(&p->subscription));
}

static int
on_message(void *arg, const struct pubsub_message *m)
{
	struct puller *p = arg;
	buf_reset(&p->scratch, 64 * KIB);
	struct str id = record_id(&p->scratch, m->id);
	p->active_at = p->now;
	if (lease_deliver(&p->leases, id, m->ack_id, (uint32_t)m->data.n, p->now) != LEASE_NEW)
		return 0;
	warn_attempts(p, m->attempt);
	write_record(p, id, m);
	p->tally.in++;
	return 0;
}

/* More pulls at once while they come back with something, fewer while they come back with nothing. */
static void
adapt(struct puller *p, long got, size_t bytes)
{
	if (got == 0 && p->wanted > 1)
		p->wanted--;
	if (got > 0 && p->npulls + 1 >= p->wanted && p->wanted < (unsigned)p->o->pulls)
		p->wanted++;
	p->reply_bytes = bytes > p->reply_bytes ? bytes : p->reply_bytes - (p->reply_bytes - bytes) / 4;
}

static void
on_pull(void *arg, const struct gapi_result *r)
{
	struct pull *pull = arg;
	struct puller *p = pull->p;
	struct err e = r->err;
	long got = e.class == ERR_NONE ? pubsub_read_pull(&p->json, r->reply->body, on_message, p, &e) : -1;
	if (got < 0 && r->err.class == ERR_NONE) {
		err_wrap(&e, "cannot pull from '%s'", buf_cstr(&p->subscription));
		if (gapi_again(r, &e))
			return;
	}
	pull->call = NULL;
	p->npulls--;
	p->asked -= pull->asked;
	if (got < 0)
		p->failure = e;
	else
		adapt(p, got, r->reply->body.n);
}

bool
pulls_finished(const struct puller *p)
{
	return p->phase != PULLING || (p->o->max_messages > 0 && p->tally.in >= (uint64_t)p->o->max_messages);
}

/* How many messages another pull may ask for; 0: none. */
static unsigned
room(const struct puller *p)
{
	/* With those whose acknowledgement is not answered: should we die, they come again as well. */
	int64_t taken = (int64_t)(lease_held(&p->leases) + p->leases.acks.n + p->acking + p->asked);
	int64_t left = p->o->max_outstanding - taken, most = p->o->batch;
	if (p->o->max_messages > 0) {
		/* Exactly: what pulls under way may bring is counted as come. */
		int64_t more = p->o->max_messages - (int64_t)p->tally.in - p->asked;
		return (unsigned)(more <= 0 || left <= 0 ? 0 : more < most ? more < left ? more : left : most < left ? most : left);
	}
	/* A window that is nearly full would make for many pulls of few messages: wait for a quarter of it. */
	if (left < most && left < p->o->max_outstanding / 4)
		return 0;
	return (unsigned)(left <= 0 ? 0 : left < most ? left : most);
}

static bool
may_pull(const struct puller *p)
{
	if (p->leases.bytes >= (uint64_t)p->o->max_bytes || sink_pending(&p->out) >= LIMIT_OUTPUT)
		return false;
	/* Before the first reply, and with large ones, few: their bytes wait in memory. */
	uint64_t each = p->reply_bytes > 0 ? p->reply_bytes : REPLIES_MAX / 4;
	return p->npulls == 0 || (p->npulls + 1) * each <= REPLIES_MAX;
}

void
pulls_start(struct puller *p)
{
	for (unsigned i = 0; i < PULLS_MAX && p->npulls < p->wanted && !pulls_finished(p); i++) {
		struct pull *pull = &p->pulls[i];
		unsigned n = pull->call == NULL && may_pull(p) ? room(p) : 0;
		if (n == 0)
			continue;
		*pull = (struct pull){.p = p, .asked = n, .started = p->now};
		p->npulls++;
		p->asked += n;
		pull->call = pubsub_pull(&p->g, buf_cstr(&p->subscription), n, on_pull, pull);
	}
}

/*
 * Ending a pull whose answer is on its way would leave its messages leased to nobody until their deadline, so a young one
 * is given its time.
 */
int64_t
pulls_cancel_idle(struct puller *p)
{
	int64_t next = CLOCK_NEVER;
	for (unsigned i = 0; i < PULLS_MAX; i++) {
		struct pull *pull = &p->pulls[i];
		if (pull->call == NULL || gapi_answering(pull->call))
			continue;
		if (p->now < pull->started + IDLE_AFTER) {
			next = pull->started + IDLE_AFTER < next ? pull->started + IDLE_AFTER : next;
			continue;
		}
		gapi_cancel(pull->call);
		pull->call = NULL;
		p->npulls--;
		p->asked -= pull->asked;
	}
	return next;
}

void
pulls_release(struct puller *p)
{
	for (unsigned i = 0; i < PULLS_MAX; i++) {
		if (p->pulls[i].call != NULL)
			gapi_cancel(p->pulls[i].call);
	}
}

int64_t
pulls_due(const struct puller *p)
{
	bool peek = p->o->acks == NULL && !p->o->ack_on_write;
	bool outstanding = (!peek && lease_held(&p->leases) > 0) || p->ack_calls > 0 || sink_pending(&p->out) > 0;
	if (p->phase != PULLING)
		return CLOCK_NEVER;
	int64_t idle = p->o->idle_exit == 0 || outstanding ? CLOCK_NEVER : p->active_at + p->o->idle_exit;
	int64_t quiet = p->o->quiet_exit == 0 ? CLOCK_NEVER : p->receipt_at + p->o->quiet_exit;
	return idle < quiet ? idle : quiet;
}
