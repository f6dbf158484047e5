/* faults: the rules, matched against requests and rows. faults_parse.c reads and writes them. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "faults_rule.h"
#include "io.h"
#include "xalloc.h"

struct faults *
faults_new(uint64_t seed)
{
	struct faults *f = xcalloc(1, sizeof(*f));
	f->seed = seed;
	return f;
}

/* One more match: does the rule strike? */
static bool
strikes(struct fault_rule *r)
{
	r->matched++;
	if (r->matched <= r->after || (r->times >= 0 && r->applied >= r->times))
		return false;
	if (r->chance < 1 && rng_unit(&r->rng) >= r->chance)
		return false;
	r->applied++;
	return true;
}

struct status_words {
	int code;
	const char *word;   /* Pub/Sub's */
	const char *reason; /* BigQuery's and Cloud Storage's */
};

static const struct status_words *
words_of(int code)
{
	static const struct status_words table[] = {{400, "INVALID_ARGUMENT", "invalid"},
	    {401, "UNAUTHENTICATED", "authError"}, {403, "PERMISSION_DENIED", "accessDenied"},
	    {404, "NOT_FOUND", "notFound"}, {408, "DEADLINE_EXCEEDED", "timeout"}, {409, "ABORTED", "aborted"},
	    {410, "NOT_FOUND", "gone"}, {412, "FAILED_PRECONDITION", "conditionNotMet"},
	    {413, "INVALID_ARGUMENT", "requestTooLarge"}, {429, "RESOURCE_EXHAUSTED", "rateLimitExceeded"},
	    {499, "CANCELLED", "cancelled"}, {500, "INTERNAL", "internalError"},
	    {501, "UNIMPLEMENTED", "notImplemented"}, {502, "UNAVAILABLE", "badGateway"},
	    {503, "UNAVAILABLE", "backendError"}, {504, "DEADLINE_EXCEEDED", "gatewayTimeout"},
	    {0, "UNKNOWN", "backendError"}};
	const struct status_words *w = table;
	while (w->code != 0 && w->code != code)
		w++;
	return w;
}

static void
write_error(const struct fault_rule *r, const char *path, struct reply *rep)
{
	const struct status_words *w = words_of(r->status);
	const char *message = r->message != NULL ? r->message : "A fault injected by gcp-emu.";
	if (strncmp(path, "/v1/", 4) == 0)
		reply_rpc_error(rep, r->status, r->reason != NULL ? r->reason : w->word, "%s", message);
	else
		reply_error(rep, r->status, r->reason != NULL ? r->reason : w->reason, "%s", message);
	if (r->body != NULL) {
		buf_reset(&rep->body, 0);
		buf_addz(&rep->body, r->body);
		rep->content_type = "text/html; charset=UTF-8";
	}
	if (r->retry_after != NULL)
		reply_header(rep, "Retry-After", "%s", r->retry_after);
}

static bool
matches(const struct fault_rule *r, const char *method, const char *path)
{
	if (r->kind == FAULT_ROW || r->kind == FAULT_JOB || (r->method != NULL && strcmp(r->method, method) != 0))
		return false;
	return r->path == NULL || fnmatch(r->path, path, 0) == 0;
}

struct fault
faults_request(struct faults *f, const char *method, const char *path, struct reply *rep)
{
	for (size_t i = 0; i < f->n; i++) {
		struct fault_rule *r = &f->rules[i];
		if (r->kind == FAULT_SLOW || !matches(r, method, path) || !strikes(r))
			continue;
		if (r->kind == FAULT_STATUS)
			write_error(r, path, rep);
		return (struct fault){.kind = r->kind, .delay = r->delay, .hold = r->hold, .bytes = (size_t)r->bytes,
		    .off = r->bytes, .noise = rng_next(&r->rng)};
	}
	return (struct fault){0};
}

int64_t
faults_slow(struct faults *f, const char *method, const char *path)
{
	for (size_t i = 0; i < f->n; i++) {
		struct fault_rule *r = &f->rules[i];
		if (r->kind == FAULT_SLOW && matches(r, method, path) && strikes(r))
			return r->bytes;
	}
	return 0;
}

/* The reason of the first rule of that kind that matches the table and strikes, or NULL. */
static const char *
reason_for(struct emu *emu, enum fault_kind kind, struct str table)
{
	struct faults *f = emu->faults;
	char name[256];
	if (f == NULL || !f->has_rows || table.n >= sizeof(name))
		return NULL;
	memcpy(name, table.p, table.n);
	name[table.n] = '\0';
	for (size_t i = 0; i < f->n; i++) {
		struct fault_rule *r = &f->rules[i];
		if (r->kind == kind && (r->table == NULL || fnmatch(r->table, name, 0) == 0) && strikes(r))
			return r->reason;
	}
	return NULL;
}

const char *
faults_row(struct emu *emu, struct str table)
{
	return reason_for(emu, FAULT_ROW, table);
}

const char *
faults_job(struct emu *emu, struct str table)
{
	return reason_for(emu, FAULT_JOB, table);
}

int
faults_load(struct faults *f, const char *path, struct err *e)
{
	struct buf text = BUF_INIT(FAULTS_FILE_MAX);
	int rc = io_read_file(path, FAULTS_FILE_MAX, &text, e);
	if (rc == 0 && (rc = faults_set(f, buf_str(&text), e)) != 0)
		err_wrap(e, "cannot load faults '%s'", path);
	buf_release(&text);
	return rc;
}

void
faults_handle(struct faults *f, struct request *req, struct reply *rep)
{
	struct str method = str_of(req->method);
	struct err e;
	if (str_is(method, "PUT") || str_is(method, "POST")) {
		if (faults_set(f, req->body, &e) != 0) {
			reply_error(rep, 400, "invalid", "%s", e.text);
			return;
		}
	} else if (str_is(method, "DELETE")) {
		faults_clear(f);
	} else if (!str_is(method, "GET")) {
		reply_error(rep, 405, "methodNotAllowed", "/emu/faults takes GET, PUT and DELETE.");
		return;
	}
	faults_write(f, &rep->body);
}

static void
rule_release(struct fault_rule *r)
{
	free(r->name);
	free(r->method);
	free(r->path);
	free(r->table);
	free(r->reason);
	free(r->message);
	free(r->body);
	free(r->retry_after);
}

void
faults_rules_free(struct fault_rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++)
		rule_release(&rules[i]);
	free(rules);
}

void
faults_clear(struct faults *f)
{
	faults_rules_free(f->rules, f->n);
	f->rules = NULL;
	f->n = 0;
	f->has_rows = false;
}

void
faults_free(struct faults *f)
{
	if (f == NULL)
		return;
	faults_clear(f);
	free(f);
}
