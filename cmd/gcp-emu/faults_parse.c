/*
 * faults_parse: the rules' JSON. Strict, unlike the services: a misspelt key would be a fault that never
 * happens, and a test that proves nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "faults_rule.h"
#include "num.h"
#include "xalloc.h"

#define HOLD_MAX 86400.0

struct parser {
	const struct json *j;
	struct err *e;
	size_t index;   /* of the rule */
	int actions;    /* that it asks for */
	const char *key;
	uint32_t value;
	struct fault_rule *r;
};

static int
wrong(struct parser *p, const char *what)
{
	return err_set(p->e, ERR_CONFIG, "rules[%zu].%s: %s", p->index, p->key, what);
}

static int
take_text(struct parser *p, char **to)
{
	free(*to);
	*to = json_dup(p->j, p->value);
	return *to != NULL && **to != '\0' ? 0 : wrong(p, "not a string, or empty");
}

static int
take_int(struct parser *p, int64_t min, int64_t max, int64_t *to)
{
	char what[80];
	if (json_is(p->j, p->value, JSON_NUMBER) && json_i64(p->j, p->value, to) && *to >= min && *to <= max)
		return 0;
	snprintf(what, sizeof(what), "not a whole number from %lld to %lld", (long long)min, (long long)max);
	return wrong(p, what);
}

static int
take_seconds(struct parser *p, int64_t *to)
{
	double v;
	if (!json_is(p->j, p->value, JSON_NUMBER) || !num_double(json_text(p->j, p->value), &v) || v < 0 ||
	    v > HOLD_MAX)
		return wrong(p, "not a number of seconds from 0 to 86400");
	*to = (int64_t)(v * 1e6 + 0.5);
	return 0;
}

static int
take_chance(struct parser *p)
{
	if (!json_is(p->j, p->value, JSON_NUMBER) || !num_double(json_text(p->j, p->value), &p->r->chance) ||
	    p->r->chance < 0 || p->r->chance > 1)
		return wrong(p, "not a number from 0 to 1");
	return 0;
}

static int
take_kind(struct parser *p, enum fault_kind kind)
{
	p->r->kind = kind;
	if (++p->actions > 1)
		return wrong(p,
		    "a rule takes one of status, reset, lose, ignore, truncate, length, garbage, stall, slow, row and job");
	return 0;
}

static int
take_true(struct parser *p, enum fault_kind kind)
{
	return json_true(p->j, p->value) ? take_kind(p, kind) : wrong(p, "not true");
}

static int
take_status(struct parser *p)
{
	int64_t v;
	if (take_int(p, 400, 599, &v) != 0)
		return -1;
	p->r->status = (int)v;
	return take_kind(p, FAULT_STATUS);
}

static int
take_retry_after(struct parser *p)
{
	if (json_is(p->j, p->value, JSON_NUMBER)) {
		int64_t v;
		if (take_int(p, 0, 86400, &v) != 0)
			return -1;
		p->r->retry_after = xasprintf("%lld", (long long)v);
		return 0;
	}
	if (take_text(p, &p->r->retry_after) != 0)
		return -1;
	return strpbrk(p->r->retry_after, "\r\n") != NULL ? wrong(p, "holds a line break") : 0;
}

static int
take_stall_at(struct parser *p)
{
	struct str where = json_text(p->j, p->value);
	bool body = str_is(where, "body");
	if (!json_is(p->j, p->value, JSON_STRING) || (!body && !str_is(where, "headers")))
		return wrong(p, "neither \"headers\" nor \"body\"");
	p->r->stall_at = body ? FAULT_STALL_BODY : FAULT_STALL;
	return 0;
}

static int
take_path(struct parser *p)
{
	if (take_text(p, &p->r->path) != 0)
		return -1;
	return p->r->path[0] == '/' || p->r->path[0] == '*' ? 0 : wrong(p, "begins with neither / nor *");
}

/* row and job name the reason in their value */
static int
take_reason(struct parser *p, enum fault_kind kind)
{
	if (p->r->reason != NULL)
		return wrong(p, "does not go with reason");
	return take_text(p, &p->r->reason) != 0 ? -1 : take_kind(p, kind);
}

static int
take_key(struct parser *p)
{
	struct fault_rule *r = p->r;
	const char *k = p->key;
	if (strcmp(k, "name") == 0)
		return take_text(p, &r->name);
	if (strcmp(k, "method") == 0)
		return take_text(p, &r->method);
	if (strcmp(k, "path") == 0)
		return take_path(p);
	if (strcmp(k, "table") == 0)
		return take_text(p, &r->table);
	if (strcmp(k, "chance") == 0)
		return take_chance(p);
	if (strcmp(k, "times") == 0)
		return take_int(p, 0, INT64_MAX, &r->times);
	if (strcmp(k, "after") == 0)
		return take_int(p, 0, INT64_MAX, &r->after);
	if (strcmp(k, "seed") == 0)
		return take_int(p, 0, INT64_MAX, &r->seed);
	if (strcmp(k, "delay") == 0)
		return take_seconds(p, &r->delay);
	if (strcmp(k, "status") == 0)
		return take_status(p);
	if (strcmp(k, "retry_after") == 0)
		return take_retry_after(p);
	if (strcmp(k, "reason") == 0)
		return r->reason == NULL ? take_text(p, &r->reason) : wrong(p, "given twice, or with row or job");
	if (strcmp(k, "message") == 0)
		return take_text(p, &r->message);
	if (strcmp(k, "body") == 0)
		return take_text(p, &r->body);
	if (strcmp(k, "reset") == 0)
		return take_true(p, FAULT_RESET);
	if (strcmp(k, "lose") == 0)
		return take_true(p, FAULT_LOSE);
	if (strcmp(k, "garbage") == 0)
		return take_true(p, FAULT_GARBAGE);
	if (strcmp(k, "ignore") == 0)
		return take_true(p, FAULT_IGNORE);
	if (strcmp(k, "length") == 0)
		return take_int(p, -INT32_MAX, INT32_MAX, &r->bytes) != 0 ? -1 : take_kind(p, FAULT_LENGTH);
	if (strcmp(k, "slow") == 0)
		return take_int(p, 1, INT32_MAX, &r->bytes) != 0 ? -1 : take_kind(p, FAULT_SLOW);
	if (strcmp(k, "truncate") == 0)
		return take_int(p, 0, INT64_MAX, &r->bytes) != 0 ? -1 : take_kind(p, FAULT_TRUNCATE);
	if (strcmp(k, "stall") == 0)
		return take_seconds(p, &r->hold) != 0 ? -1 : take_kind(p, FAULT_STALL);
	if (strcmp(k, "stall_at") == 0)
		return take_stall_at(p);
	if (strcmp(k, "row") == 0)
		return take_reason(p, FAULT_ROW);
	if (strcmp(k, "job") == 0)
		return take_reason(p, FAULT_JOB);
	if (strcmp(k, "matched") == 0 || strcmp(k, "applied") == 0)
		return 0; /* what GET gave may be PUT again */
	return wrong(p, "no such key");
}

/* What must hold of the keys together. */
static int
check_rule(struct parser *p)
{
	struct fault_rule *r = p->r;
	bool of_table = r->kind == FAULT_ROW || r->kind == FAULT_JOB;
	p->key = "status";
	bool of_status = r->retry_after != NULL || r->message != NULL || r->body != NULL ||
	    (r->reason != NULL && !of_table);
	if (of_status && r->kind != FAULT_STATUS)
		return wrong(p, "missing: retry_after, reason, message and body go with it");
	p->key = "table";
	if (r->table != NULL && !of_table)
		return wrong(p, "goes with row and job only");
	p->key = r->kind == FAULT_JOB ? "job" : "row";
	if (of_table && (r->method != NULL || r->path != NULL || r->delay > 0))
		return wrong(p, "does not go with method, path and delay");
	p->key = r->kind == FAULT_SLOW ? "slow" : "length";
	if (r->kind == FAULT_SLOW && r->delay > 0)
		return wrong(p, "does not go with delay");
	if (r->kind == FAULT_LENGTH && r->bytes == 0)
		return wrong(p, "0 is the right length");
	p->key = "delay";
	if (r->kind == FAULT_NONE && r->delay == 0)
		return wrong(p, "missing: the rule does nothing");
	p->key = "stall_at";
	if (r->stall_at != FAULT_NONE && r->kind != FAULT_STALL)
		return wrong(p, "goes with stall only");
	if (r->stall_at != FAULT_NONE)
		r->kind = r->stall_at;
	return 0;
}

static int
read_rule(struct parser *p, uint32_t t, uint64_t seed)
{
	char key[64];
	struct fault_rule *r = p->r;
	*r = (struct fault_rule){.chance = 1, .times = -1, .seed = -1};
	p->key = "*";
	if (!json_is(p->j, t, JSON_OBJECT))
		return wrong(p, "not an object");
	for (uint32_t k = json_first(t); k < json_end(p->j, t); k = p->j->tok[k + 1].next) {
		snprintf(key, sizeof(key), "%.*s", STR_ARG(json_text(p->j, k)));
		p->key = key;
		p->value = k + 1;
		if (take_key(p) != 0)
			return -1;
	}
	rng_seed(&r->rng, r->seed >= 0 ? (uint64_t)r->seed : seed + p->index);
	return check_rule(p);
}

/* The list of rules: the member "rules", or the whole text where that is an array. */
static int
find_rules(const struct json *j, uint32_t *rules, int64_t *seed, struct err *e)
{
	*rules = json_is(j, 0, JSON_ARRAY) ? 0 : json_get(j, 0, "rules");
	if (!json_is(j, *rules, JSON_ARRAY))
		return err_set(e, ERR_CONFIG, "\"rules\" is not an array");
	for (uint32_t k = 1; *rules != 0 && k < json_end(j, 0); k = j->tok[k + 1].next) {
		struct str key = json_text(j, k);
		if (str_is(key, "seed") ? !json_i64(j, k + 1, seed) : !str_is(key, "rules"))
			return err_set(e, ERR_CONFIG, "%.*s: only \"seed\" (a whole number) and \"rules\" stand here",
			    STR_ARG(key));
	}
	if (j->tok[*rules].count > FAULTS_RULES_MAX)
		return err_set(e, ERR_CONFIG, "\"rules\" has more than %d rules", FAULTS_RULES_MAX);
	return 0;
}

int
faults_set(struct faults *f, struct str text, struct err *e)
{
	struct json j = {0};
	struct parser p = {.j = &j, .e = e};
	struct fault_rule *rules = NULL;
	uint32_t list;
	int64_t seed = (int64_t)f->seed;
	bool rows = false;
	int rc = -1;
	if (json_read(&j, text, e) != 0) {
		e->class = ERR_CONFIG;
		goto out;
	}
	if (find_rules(&j, &list, &seed, e) != 0)
		goto out;
	rules = xcalloc(j.tok[list].count + 1, sizeof(*rules));
	for (uint32_t t = json_first(list); t < json_end(&j, list); t = j.tok[t].next) {
		p.r = &rules[p.index];
		p.actions = 0;
		if (read_rule(&p, t, (uint64_t)seed) != 0) {
			p.index++;
			goto out;
		}
		rows |= p.r->kind == FAULT_ROW || p.r->kind == FAULT_JOB;
		p.index++;
	}
	faults_clear(f);
	f->rules = rules;
	f->n = p.index;
	f->has_rows = rows;
	rules = NULL;
	rc = 0;
out:
	faults_rules_free(rules, rules != NULL ? p.index : 0);
	json_release(&j);
	return rc;
}

static void
write_text(struct jsonw *w, const char *key, const char *value)
{
	if (value != NULL)
		jsonw_member(w, key, str_of(value));
}

static void
write_int(struct jsonw *w, const char *key, int64_t v)
{
	jsonw_key(w, key);
	jsonw_i64(w, v);
}

static void
write_double(struct jsonw *w, const char *key, double v)
{
	char text[40];
	jsonw_key(w, key);
	snprintf(text, sizeof(text), "%.9g", v);
	jsonw_raw(w, str_of(text));
}

static void
write_action(struct jsonw *w, const struct fault_rule *r)
{
	static const char *const flags[] = {
	    [FAULT_RESET] = "reset", [FAULT_LOSE] = "lose", [FAULT_GARBAGE] = "garbage", [FAULT_IGNORE] = "ignore"};
	switch (r->kind) {
	case FAULT_RESET:
	case FAULT_LOSE:
	case FAULT_GARBAGE:
	case FAULT_IGNORE:
		jsonw_key(w, flags[r->kind]);
		jsonw_bool(w, true);
		break;
	case FAULT_STATUS:
		write_int(w, "status", r->status);
		write_text(w, "reason", r->reason);
		break;
	case FAULT_TRUNCATE:
		write_int(w, "truncate", r->bytes);
		break;
	case FAULT_LENGTH:
		write_int(w, "length", r->bytes);
		break;
	case FAULT_SLOW:
		write_int(w, "slow", r->bytes);
		break;
	case FAULT_STALL:
	case FAULT_STALL_BODY:
		write_double(w, "stall", (double)r->hold / 1e6);
		write_text(w, "stall_at", r->kind == FAULT_STALL ? "headers" : "body");
		break;
	case FAULT_ROW:
	case FAULT_JOB:
		write_text(w, r->kind == FAULT_ROW ? "row" : "job", r->reason);
		break;
	case FAULT_NONE:
		break;
	}
}

static void
write_rule(struct jsonw *w, const struct fault_rule *r)
{
	jsonw_object(w);
	write_text(w, "name", r->name);
	write_text(w, "method", r->method);
	write_text(w, "path", r->path);
	write_text(w, "table", r->table);
	if (r->chance < 1)
		write_double(w, "chance", r->chance);
	if (r->times >= 0)
		write_int(w, "times", r->times);
	if (r->after > 0)
		write_int(w, "after", r->after);
	if (r->seed >= 0)
		write_int(w, "seed", r->seed);
	if (r->delay > 0)
		write_double(w, "delay", (double)r->delay / 1e6);
	write_action(w, r);
	write_text(w, "message", r->message);
	write_text(w, "body", r->body);
	write_text(w, "retry_after", r->retry_after);
	write_int(w, "matched", r->matched);
	write_int(w, "applied", r->applied);
	jsonw_end(w);
}

void
faults_write(const struct faults *f, struct buf *out)
{
	struct jsonw w = jsonw_to(out);
	jsonw_object(&w);
	jsonw_key(&w, "rules");
	jsonw_array(&w);
	for (size_t i = 0; i < f->n; i++)
		write_rule(&w, &f->rules[i]);
	jsonw_end(&w);
	jsonw_end(&w);
	buf_addc(out, '\n');
}
