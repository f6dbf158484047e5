/* ps: Pub/Sub's door: opening, taking requests apart, time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "ps.h"
#include "xalloc.h"

#define PARTS_MAX 7
#define PS_PATH_MAX (1024 * 1024)
#define SWEEP SECONDS(60)
#define TOKENS_KEPT (1 << 20)

static void
pubsub_free(struct pubsub *p)
{
	size_t at = 0;
	while (p->nlist > 0)
		sub_free(p, p->list[--p->nlist]);
	for (struct map_slot *m; (m = map_each(&p->topics, &at)) != NULL;)
		topic_free(m->value);
	map_release(&p->topics);
	map_release(&p->subs);
	journal_close(&p->journal);
	json_release(&p->json);
	buf_release(&p->scratch);
	buf_release(&p->line);
	free(p->list);
	free(p);
}

struct pubsub *
pubsub_open(struct emu *emu, struct err *e)
{
	struct pubsub *p = xcalloc(1, sizeof(*p));
	struct rng fresh;
	p->emu = emu;
	/* Long numbers, as the service's; the journal may raise it. */
	p->next_id = (uint64_t)emu->wall;
	/* Not from 1 again, or the ack ids of one folder would pass in another. */
	rng_seed_os(&fresh);
	p->next_uid = rng_next(&fresh) >> 16;
	p->next_delivery = (uint64_t)emu->wall;
	p->next_sweep = emu->now + SWEEP;
	rng_seed(&p->rng, emu->seed);
	buf_init(&p->scratch, 2 * PS_REQUEST_MAX);
	buf_init(&p->line, 2 * PS_REQUEST_MAX);
	if (journal_open(p, e) != 0) {
		pubsub_free(p);
		return NULL;
	}
	return p;
}

void
pubsub_close(struct pubsub *p)
{
	if (p != NULL)
		pubsub_free(p);
}

/* --- answers */

enum emu_answer
ps_bad(struct ps_call *c, const char *fmt, ...)
{
	char text[4096];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_rpc_error(c->rep, 400, "INVALID_ARGUMENT", "%s", text);
	return EMU_DONE;
}

enum emu_answer
ps_missing(struct ps_call *c, const char *what, struct str name)
{
	reply_rpc_error(c->rep, 404, "NOT_FOUND", "%s not found (resource=%.*s).", what, STR_ARG(name));
	return EMU_DONE;
}

/* As the service: a path it does not know is not answered in JSON. */
enum emu_answer
ps_no_method(struct ps_call *c)
{
	c->rep->status = 404;
	c->rep->content_type = "text/plain; charset=UTF-8";
	buf_reset(&c->rep->body, 0);
	buf_addz(&c->rep->body, "Not Found\n");
	return EMU_DONE;
}

enum emu_answer
ps_not_emulated(struct ps_call *c, const char *what)
{
	reply_rpc_error(c->rep, 501, "UNIMPLEMENTED", "%s is not emulated by gcp-emu.", what);
	return EMU_DONE;
}

bool
ps_commit(struct ps_call *c)
{
	struct err e;
	if (journal_commit(&c->p->journal, &e) == 0)
		return true;
	log_error("%s", e.text);
	reply_rpc_error(c->rep, 503, "UNAVAILABLE", "%s", e.text);
	return false;
}

bool
ps_body(struct ps_call *c)
{
	struct json *j = &c->p->json;
	struct str body = str_trim(c->req->body);
	c->j = j;
	if (json_parse(j, body.n > 0 ? body : STR("{}")) != JSON_OK) {
		ps_bad(c, "Invalid JSON payload received. %s", j->why);
		return false;
	}
	if (!json_is(j, 0, JSON_OBJECT)) {
		ps_bad(c, "Invalid JSON payload received. It is not an object.");
		return false;
	}
	return true;
}

bool
ps_wants(const struct ps_call *c, const char *method, const char *verb)
{
	return strcmp(c->req->method, method) == 0 && (verb != NULL ? str_is(c->verb, verb) : c->verb.p == NULL);
}

enum emu_answer
ps_permissions(struct ps_call *c, bool exists)
{
	if (!ps_body(c))
		return EMU_DONE;
	uint32_t list = json_get(c->j, 0, "permissions");
	struct jsonw w = jsonw_to(&c->rep->body);
	jsonw_object(&w);
	if (exists && json_is(c->j, list, JSON_ARRAY) && c->j->tok[list].count > 0) {
		jsonw_key(&w, "permissions");
		jsonw_array(&w);
		for (uint32_t t = json_first(list); t < json_end(c->j, list); t = c->j->tok[t].next)
			jsonw_raw(&w, json_raw(c->j, t));
		jsonw_end(&w);
	}
	jsonw_end(&w);
	buf_addc(&c->rep->body, '\n');
	return EMU_DONE;
}

/* --- requests */

/* "t:publish" into id and verb. */
static void
split_verb(struct ps_call *c, struct str part)
{
	size_t n = str_find(part, ':');
	c->id = (struct str){part.p, n};
	if (n < part.n)
		c->verb = str_skip(part, n + 1);
}

/* /v1/projects/P/COLLECTION[/ID[:VERB][/REST]]; name is built in buf. */
static bool
take_apart(struct ps_call *c, const struct str *part, int n, struct buf *name)
{
	if (n < 4 || n > 6 || !str_is(part[0], "v1") || !str_is(part[1], "projects"))
		return false;
	c->project = part[2];
	c->collection = part[3];
	if (n >= 5)
		split_verb(c, part[4]);
	if (n == 6)
		c->rest = part[5];
	if (n >= 5) {
		buf_addf(name, "projects/%.*s/%.*s/%.*s", STR_ARG(c->project), STR_ARG(c->collection), STR_ARG(c->id));
		c->name = buf_str(name);
	}
	return true;
}

static enum emu_answer
dispatch(struct ps_call *c)
{
	if (str_is(c->collection, "topics"))
		return ps_topics_handle(c);
	if (str_is(c->collection, "subscriptions"))
		return ps_subs_handle(c);
	if (str_is(c->collection, "snapshots"))
		return ps_not_emulated(c, "A snapshot");
	if (str_is(c->collection, "schemas"))
		return ps_not_emulated(c, "A schema");
	return ps_no_method(c);
}

static enum emu_answer
handle(struct ps_call *c)
{
	struct buf text = BUF_INIT(PS_PATH_MAX), name = BUF_INIT(PS_PATH_MAX);
	struct str parts[PARTS_MAX], *first = parts;
	enum emu_answer answer = EMU_DONE;
	int n = path_split(c->req->path, &text, parts, PARTS_MAX);
	/* /emu/pubsub/projects/... is /v1/projects/... seen from behind */
	bool own = n >= 2 && str_is(parts[0], "emu");
	if (own) {
		first++;
		n--;
		first[0] = STR("v1");
	}
	if (!take_apart(c, first, n, &name))
		ps_no_method(c);
	else if (c->req->state != NULL)
		answer = ps_pull_again(c);
	else if (own)
		answer = str_is(c->collection, "subscriptions") ? ps_emu_stats(c) : ps_no_method(c);
	else
		answer = dispatch(c);
	buf_release(&text);
	buf_release(&name);
	return answer;
}

enum emu_answer
pubsub_handle(struct emu *emu, struct request *req, struct reply *rep)
{
	struct pubsub *p = emu->pubsub;
	struct ps_call c = {.p = p, .emu = emu, .req = req, .rep = rep};
	if (req->body.n > PS_REQUEST_MAX)
		return ps_bad(&c, "Request payload size exceeds the limit: %d bytes.", PS_REQUEST_MAX);
	buf_reset(&p->scratch, PS_REQUEST_MAX);
	enum emu_answer answer = handle(&c);
	/* One request of nothing but brackets must not cost its memory for ever. */
	if (p->json.cap > TOKENS_KEPT)
		json_release(&p->json);
	return answer;
}

/* --- time */

static void
sweep(struct pubsub *p)
{
	for (size_t i = 0; i < p->nlist; i++)
		ps_drop_before(p, p->list[i], p->emu->wall - p->list[i]->c.retention);
	journal_tidy(p);
	p->next_sweep = p->emu->now + SWEEP;
}

int64_t
pubsub_turn(struct emu *emu)
{
	struct pubsub *p = emu->pubsub;
	int64_t next = CLOCK_NEVER;
	bool woke = false;
	if (p->next_sweep <= emu->now)
		sweep(p);
	for (size_t i = 0; i < p->nlist; i++) {
		int64_t due = queue_turn(p->list[i], emu->now, &woke);
		next = due < next ? due : next;
	}
	if (woke) {
		ps_bury(p);
		emu_wake(emu);
	}
	return next < p->next_sweep ? next : p->next_sweep;
}

/* --- defaults */

static struct topic *
default_topic(struct pubsub *p, const char *id)
{
	char *name = xasprintf("projects/%s/topics/%s", p->emu->project, id);
	struct topic *t = topic_get(p, str_of(name));
	if (t == NULL) {
		t = topic_add(p, str_of(name), p->next_uid++);
		journal_topic(&p->journal, t);
	}
	free(name);
	return t;
}

static void
default_sub(struct pubsub *p, const char *id, struct topic *t, int64_t deadline, const struct topic *dead)
{
	char *name = xasprintf("projects/%s/subscriptions/%s", p->emu->project, id);
	struct sub_config config;
	if (sub_get(p, str_of(name)) == NULL) {
		sub_config_default(&config);
		config.deadline = deadline;
		if (dead != NULL) {
			config.dead_topic = xstrdup(dead->name);
			config.dead_attempts = 100;
		}
		journal_sub(&p->journal, sub_add(p, str_of(name), p->next_uid++, t, &config));
	}
	free(name);
}

int
pubsub_defaults(struct emu *emu, struct err *e)
{
	struct pubsub *p = emu->pubsub;
	const char *why = ps_check_project(str_of(emu->project));
	if (why != NULL)
		return err_set(e, ERR_USAGE, "cannot use project '%s': %s", emu->project, why);
	struct topic *events = default_topic(p, "backend-events-topic");
	struct topic *dlq = default_topic(p, "backend-events-dlq-topic");
	default_sub(p, "backend-events-topic-sub", events, 60, dlq);
	default_sub(p, "backend-events-dlq-topic-sub", dlq, 60, NULL);
	return journal_commit(&p->journal, e);
}
