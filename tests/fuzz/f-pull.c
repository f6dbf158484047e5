/* pull: Pub/Sub's replies to pull and publish, and what ps-pull makes of a message. */
#include "bounds.h"
#include "fuzz.h"
#include "pubsub.h"
#include "utf8.h"

static int
each(void *arg, const struct pubsub_message *m)
{
	unsigned *n = arg;
	const struct str views[] = {m->ack_id, m->id, m->data, m->time, m->attributes, m->ordering_key};
	for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++) {
		fuzz_touch(views[i]);
		MUST(utf8_valid(views[i]));
	}
	MUST(m->ack_id.n > 0 && m->ack_id.n <= PUBSUB_ACK_ID_MAX && m->id.n > 0);
	MUST(m->attributes.p == NULL || *m->attributes.p == '{');
	MUST(m->ordering_key.p == NULL || *m->ordering_key.p == '"');
	return ++*n >= 1000 ? -1 : 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct json j;
	struct str body = {(const char *)p, n};
	struct err e;
	unsigned seen = 0;
	long got = pubsub_read_pull(&j, body, each, &seen, &e);
	MUST(got < 0 || (unsigned)got == seen);
	MUST(got >= 0 || seen >= 1000 || e.class == ERR_TRANSIENT);
	got = pubsub_read_publish(&j, body, &e);
	MUST(got >= 0 || e.class == ERR_TRANSIENT);
	return 0;
}
