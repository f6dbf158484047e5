/* ev-validate: raw records or bare events in, valid records out, the others rejected with all they broke. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base64.h"
#include "check.h"
#include "clock.h"
#include "common.h"
#include "log.h"
#include "record.h"
#include "sandbox.h"
#include "tally.h"
#include "time.h"
#include "xalloc.h"

/* Scratch memory past this is not kept for the next event. */
#define KEEP (256 * KIB)
#define FLUSH_WITHIN SECONDS(5)

enum input { INPUT_UNKNOWN = -1, INPUT_RECORDS, INPUT_BARE };

struct options {
	struct common common;
	const char *schemas, *rejects, *project;
	int unknown; /* 0 reject, 1 drop */
	int input;
	bool events_only;
};

struct validator {
	const struct options *o;
	struct schema schema;
	struct check *check;
	struct buf *heads; /* of each table: what stands between msg and time in a valid record */
	struct json j;     /* the record's line */
	struct record record;
	struct buf data, base64;
	struct sink out, rejects; /* rejects: the linter's messages where there is no --rejects */
	enum input input;
	const char *name; /* of the input, for messages */
	struct tally tally;
};

static int
bad_line(const struct validator *v, const struct line *l, const char *cause, struct err *e)
{
	return err_set(e, ERR_INPUT, "cannot read '%s': line %llu: %s", v->name, (unsigned long long)l->number,
	    cause);
}

/* ---- what goes out ---- */

static void
make_heads(struct validator *v)
{
	const struct schema *s = &v->schema;
	v->heads = xcalloc(s->ntables, sizeof(*v->heads));
	for (uint32_t i = 0; i < s->ntables; i++) {
		struct buf *b = &v->heads[i];
		buf_init(b, 16 * KIB);
		buf_addz(b, ",\"type\":\"");
		jsonw_escape(b, s->tables[i].event_type);
		buf_addz(b, "\",\"table\":\"");
		jsonw_escape(b, s->tables[i].name);
		buf_addz(b, "\",\"time\":\"");
	}
}

static void
free_heads(struct validator *v)
{
	for (uint32_t i = 0; v->heads != NULL && i < v->schema.ntables; i++)
		buf_release(&v->heads[i]);
	free(v->heads);
}

/* Raw CR and LF in JSON can only be white space between values: as spaces they fit on one line. */
static void
to_spaces(char *p, size_t n, char c)
{
	char *end = p + n;
	while (p < end && (p = memchr(p, c, (size_t)(end - p))) != NULL)
		*p++ = ' ';
}

static void
add_event(struct buf *out, struct str text, const struct verdict *verdict)
{
	size_t from = 0, start = out->n;
	for (uint32_t i = 0; i < verdict->ncuts; i++) {
		buf_add(out, text.p + from, verdict->cuts[i].from - from);
		from = verdict->cuts[i].to;
	}
	buf_add(out, text.p + from, text.n - from);
	to_spaces(out->p + start, out->n - start, '\n');
	to_spaces(out->p + start, out->n - start, '\r');
}

/* Appends the record's members that are none of ours, so that they survive. */
static void
add_others(const struct validator *v, struct buf *out)
{
	static const char *const ours[] = {"msg", "data", "type", "table", "time", "event", "stage", "errors"};
	const struct json *j = &v->j;
	struct buf name = BUF_INIT(LIMIT_LINE);
	if (j->tok[0].count <= 2)
		return;
	for (uint32_t k = json_first(0); k < json_end(j, 0); k = j->tok[k + 1].next) {
		size_t i = 0, n = sizeof(ours) / sizeof(ours[0]);
		struct str text = json_string(j, k, &name);
		while (i < n && !str_is(text, ours[i]))
			i++;
		name.n = 0;
		if (i < n)
			continue;
		buf_addc(out, ',');
		buf_adds(out, json_raw(j, k));
		buf_addc(out, ':');
		buf_adds(out, json_raw(j, k + 1));
	}
	buf_release(&name);
}

static int
commit(struct validator *v, struct sink *s, size_t start, const struct line *l, struct err *e)
{
	struct buf *out = &s->buf; /* not sink_buf: start counts from where that was called */
	if (out->n - start > LIMIT_LINE) {
		out->n = start;
		return bad_line(v, l, "the record made of it would be longer than 16 MiB", e);
	}
	sink_commit(s);
	*(s == &v->out ? &v->tally.done : &v->tally.rejected) += 1;
	return 0;
}

static int
pass_on(struct validator *v, const struct line *l, struct str text, const struct verdict *verdict,
    struct err *e)
{
	struct buf *out = sink_buf(&v->out);
	size_t start = out->n;
	if (v->o->events_only) {
		add_event(out, text, verdict);
		return commit(v, &v->out, start, l, e);
	}
	buf_addz(out, "{\"msg\":");
	buf_adds(out, v->input == INPUT_RECORDS ? v->record.msg : STR("{}"));
	buf_adds(out, buf_str(&v->heads[verdict->table - v->schema.tables]));
	time_format(out, verdict->time);
	buf_addz(out, "\",\"event\":");
	add_event(out, text, verdict);
	if (v->input == INPUT_RECORDS)
		add_others(v, out);
	buf_addc(out, '}');
	return commit(v, &v->out, start, l, e);
}

/* Paths hold member names, which come from outside. */
static void
lint(struct validator *v, const struct line *l, const struct fault *faults, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct buf *out = sink_buf(&v->rejects);
		buf_addf(out, "%s:%llu: %s", v->name, (unsigned long long)l->number, faults[i].code);
		if (faults[i].path.n > 0)
			buf_addz(out, " at ");
		buf_add_printable(out, faults[i].path);
		buf_addz(out, ": ");
		buf_add_printable(out, faults[i].detail);
		sink_commit(&v->rejects);
	}
}

/* base64 is that of the original bytes, as it came or made here. */
static int
reject(struct validator *v, const struct line *l, struct str base64, const struct fault *faults, unsigned n,
    struct err *e)
{
	if (v->o->rejects == NULL) {
		lint(v, l, faults, n);
		v->tally.rejected++;
		return 0;
	}
	struct record_fault list[LIMIT_FAULTS];
	for (unsigned i = 0; i < n; i++)
		list[i] = (struct record_fault){str_of(faults[i].code), faults[i].path, faults[i].detail};
	struct buf *out = sink_buf(&v->rejects);
	size_t start = out->n;
	bool record = v->input == INPUT_RECORDS;
	record_write_rejected(out, record ? v->record.msg : STR("{}"), base64, "ev-validate", list, n);
	if (record) {
		out->n--; /* the closing brace */
		add_others(v, out);
		buf_addc(out, '}');
	}
	return commit(v, &v->rejects, start, l, e);
}

static struct str
encode(struct validator *v, struct str bytes)
{
	buf_reset(&v->base64, KEEP);
	if (v->o->rejects != NULL)
		base64_encode(&v->base64, bytes);
	return buf_str(&v->base64);
}

/* ---- what comes in ---- */

/* A line that no message could have been: its place and length, and its start as data. */
static int
reject_long(struct validator *v, const struct line *l, struct err *e)
{
	struct buf detail = BUF_INIT(256);
	struct str start = l->text;
	if (start.n > LIMIT_LONG_LINE_KEPT)
		start.n = LIMIT_LONG_LINE_KEPT;
	buf_addf(&detail, "line %llu is %llu bytes long, a message at most %llu; data holds its first %zu",
	    (unsigned long long)l->number, (unsigned long long)l->length, LIMIT_DATA, start.n);
	struct fault f = {.code = "bad_json", .path = STR(""), .detail = buf_str(&detail)};
	int rc = reject(v, l, encode(v, start), &f, 1, e);
	buf_release(&detail);
	return rc;
}

static int
take_bare(struct validator *v, const struct line *l, struct err *e)
{
	if (l->length > LIMIT_DATA)
		return reject_long(v, l, e);
	const struct verdict *verdict = check_event(v->check, l->text);
	const struct json *j = check_json(v->check);
	if (verdict->parsed && json_is(j, json_get(j, 0, "msg"), JSON_OBJECT))
		return bad_line(v, l, "it is a record among bare events (it has a member 'msg'); "
				      "give a file of records with --input records", e);
	if (verdict->nfaults == 0)
		return pass_on(v, l, l->text, verdict, e);
	return reject(v, l, encode(v, l->text), verdict->faults, verdict->nfaults, e);
}

/* The line as a raw record, its data decoded. Anything else means that the stream is broken. */
static int
read_record(struct validator *v, const struct line *l, struct err *e)
{
	struct record *r = &v->record;
	if (l->torn)
		return bad_line(v, l, "it is torn (no newline ends it) and was dropped; its writer died", e);
	if (l->length > LIMIT_LINE)
		return bad_line(v, l, "a record is at most 16 MiB long", e);
	if (record_parse(r, &v->j, l->text, e) < 0)
		return err_wrap(e, "cannot read '%s': line %llu", v->name, (unsigned long long)l->number);
	if (r->kind == RECORD_END)
		return 0;
	if (r->kind != RECORD_RAW)
		return err_set(e, ERR_INPUT, "cannot read '%s': line %llu: it is %s; records come in raw, with members 'msg' and "
					     "'data'", v->name, (unsigned long long)l->number, record_kind_name(r->kind));
	if (base64_decoded_len(r->data) > LIMIT_DATA)
		return bad_line(v, l, "its data is more than 10 MiB decoded", e);
	buf_reset(&v->data, KEEP);
	if (base64_decode(&v->data, r->data) < 0)
		return bad_line(v, l, "its data is not base64", e);
	return 0;
}

static int
take_record(struct validator *v, const struct line *l, struct err *e)
{
	if (read_record(v, l, e) < 0)
		return -1;
	if (v->record.kind == RECORD_END) {
		if (!v->o->events_only)
			sink_line(&v->out, l->text);
		return 0;
	}
	struct str text = buf_str(&v->data);
	const struct verdict *verdict = check_event(v->check, text);
	if (verdict->nfaults == 0)
		return pass_on(v, l, text, verdict, e);
	return reject(v, l, v->record.data, verdict->faults, verdict->nfaults, e);
}

/* A first line that is too long, or no JSON, can only be told by its start. */
static enum input
guess_input(struct validator *v, const struct line *l)
{
	struct err e;
	if (record_parse(&v->record, &v->j, l->text, &e) == 0)
		return v->record.t_msg != JSON_NONE ? INPUT_RECORDS : INPUT_BARE;
	return str_starts(str_trim(l->text), STR("{\"msg\":{")) ? INPUT_RECORDS : INPUT_BARE;
}

static int
on_line(struct stage *s, const struct line *l, struct err *e)
{
	struct validator *v = s->ctx;
	if (v->input == INPUT_UNKNOWN)
		v->input = guess_input(v, l);
	int rc = v->input == INPUT_RECORDS ? take_record(v, l, e) : take_bare(v, l, e);
	v->tally.in += rc == 0 && !(v->input == INPUT_RECORDS && v->record.kind == RECORD_END);
	return rc;
}

static const struct stage_ops ops = {.line = on_line};

static int
open_input(const char *path, struct err *e)
{
	if (path == NULL || strcmp(path, "-") == 0)
		return STDIN_FILENO;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOINPUT : ERR_IO, "cannot read '%s': %s", path, strerror(errno));
	return fd;
}

/* Without --rejects the linter's lines take its place, buffered and back-pressed in the same way. */
static int
open_outputs(struct validator *v, struct err *e)
{
	if (common_outputs(&v->out, false, &v->rejects, v->o->rejects, e) < 0)
		return -1;
	if (v->o->rejects != NULL)
		return 0;
	sink_release(&v->rejects);
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_set(e, ERR_IO, "cannot write 'standard error': %s", strerror(errno));
	sink_init(&v->rejects, fd, "standard error", false);
	return 0;
}

static int
run(struct validator *v, const char *path, struct err *e)
{
	struct stage stage;
	int fd = open_input(path, e);
	if (fd < 0 || open_outputs(v, e) < 0)
		return -1;
	v->name = fd == STDIN_FILENO ? "stdin" : path;
	v->input = (enum input)v->o->input;
	v->check = check_new(&v->schema, v->o->unknown == 1);
	make_heads(v);
	buf_init(&v->data, LIMIT_DATA + 16);
	buf_init(&v->base64, BASE64_LEN(LIMIT_DATA) + 16);
	stage_init(&stage, &ops, v, fd, v->name);
	stage.outs[0] = &v->out;
	stage.outs[1] = &v->rejects;
	tally_open(&v->tally);
	sandbox_filter(); /* all that is needed is open */
	int rc = stage_run(&stage, e);
	if (rc < 0)
		stage_flush(&stage, FLUSH_WITHIN);
	if (fd != STDIN_FILENO)
		close(fd);
	return rc;
}

static void
release(struct validator *v)
{
	free_heads(v);
	check_free(v->check);
	json_release(&v->j);
	buf_release(&v->data);
	buf_release(&v->base64);
	sink_release(&v->out);
	sink_release(&v->rejects);
	schema_release(&v->schema);
}

int
main(int argc, char **argv)
{
	struct options o = {.input = INPUT_UNKNOWN};
	const struct opt own[] = {
	    {"schemas", 0, OPT_STR, &o.schemas, "FILE", "the tables and their rules", .env = "EVPIPE_SCHEMAS"},
	    {"rejects", 0, OPT_STR, &o.rejects, "FILE|fd:N", "write rejected records there; without it: a linter"},
	    {"unknown", 0, OPT_CHOICE, &o.unknown, NULL, "what to do about members not in the schema", .choices = "reject|drop"},
	    {"events-only", 0, OPT_FLAG, &o.events_only, NULL, "print bare events, not records"},
	    {"input", 0, OPT_CHOICE, &o.input, NULL, "what comes in (default: what the first line is)", .choices = "records|bare"},
	    {"project", 0, OPT_STR, &o.project, "P", "taken as by every tool; nothing here depends on it"},
	    OPT_END,
	};
	const struct opt_spec spec = {
	    .synopsis = "[--schemas FILE] [--rejects FILE|fd:N] [--unknown reject|drop] [--events-only] "
			"[--input records|bare] [FILE]",
	    .summary = "Check events against their schemas: valid ones to standard output, the others rejected.",
	    .own = own, .shared = common_options(&o.common, false), .max_operands = 1, .see = "ev-validate(1)"};
	struct validator v = {.o = &o, .out.fd = -1, .rejects.fd = -1};
	struct err e = {0};
	char **operands;
	int n, status = 0;
	if (!common_start("ev-validate", &spec, &o.common, argc, argv, &operands, &n, &status))
		return status;
	const char *schemas = schema_path(o.schemas);
	if (schema_load(&v.schema, schemas, &e) < 0)
		return log_fail(&e);
	if (o.common.check) {
		log_info("schemas '%s' are fine: %u tables, %u fields", schemas, v.schema.ntables, v.schema.nfields);
	} else if (run(&v, n > 0 ? operands[0] : NULL, &e) < 0) {
		status = log_fail(&e);
	} else {
		status = o.rejects == NULL && v.tally.rejected > 0 ? 1 : 0;
	}
	if (!o.common.check && tally_report(&v.tally, NULL) < 0)
		status = err_status(ERR_BUG);
	release(&v);
	return status;
}
