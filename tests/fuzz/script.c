#include "script.h"

#include "clock.h"
#include "fuzz.h"
#include "num.h"
#include "xalloc.h"

struct http_request {
	http_done *done;
	http_data *on_data;
	void *arg;
	bool answering;
	struct http_request *next, **link;
};

static struct {
	struct str left;
	int64_t now;
	unsigned started;
	struct http_request *oldest, **end;
} script;

/* What --wrap makes of the real functions' names. */
struct http_request *__wrap_http_start(struct http *h, const struct http_spec *spec, http_done *done, void *arg);
void __wrap_http_cancel(struct http_request *r);
void __wrap_http_resume(struct http_request *r);
void __wrap_http_nudge(struct http *h);
bool __wrap_http_answering(const struct http_request *r);
struct stage_net __wrap_http_net(struct http *h);
int64_t __wrap_clock_now(void);

void
script_begin(struct str replies)
{
	script.left = replies;
	script.now = SECONDS(1000);
	script.started = 0;
	script.oldest = NULL;
	script.end = &script.oldest;
}

bool
script_spent(void)
{
	return script.started >= SCRIPT_REQUESTS;
}

void
script_end(void)
{
	MUST(script.oldest == NULL);
}

void
script_wait(int64_t when)
{
	MUST(when >= 0);
	if (when > script.now && when < script.now + SECONDS(86400) * 365)
		script.now = when;
}

int64_t
__wrap_clock_now(void)
{
	return script.now;
}

/* curl sends what it is given: none of it may hold a line's end. */
static void
check_line(const char *text)
{
	MUST(strpbrk(text, "\r\n") == NULL);
}

struct http_request *
__wrap_http_start(struct http *h, const struct http_spec *spec, http_done *done, void *arg)
{
	struct http_request *r = xcalloc(1, sizeof(*r));
	(void)h;
	check_line(spec->method);
	check_line(spec->url);
	MUST(strpbrk(spec->url, " \t") == NULL);
	for (const char *const *l = spec->headers; l != NULL && *l != NULL; l++)
		check_line(*l);
	fuzz_touch(str_skip(spec->body, spec->body.n > 1000 ? spec->body.n - 1000 : 0)); /* all of 8 MiB takes its time */
	*r = (struct http_request){.done = done, .on_data = spec->on_data, .arg = arg, .link = script.end};
	*script.end = r;
	script.end = &r->next;
	script.started++;
	return r;
}

static void
take_out(struct http_request *r)
{
	*r->link = r->next;
	if (r->next != NULL)
		r->next->link = r->link;
	else
		script.end = r->link;
}

void
__wrap_http_cancel(struct http_request *r)
{
	take_out(r);
	free(r);
}

void
__wrap_http_resume(struct http_request *r)
{
	(void)r;
}

void
__wrap_http_nudge(struct http *h)
{
	(void)h;
}

bool
__wrap_http_answering(const struct http_request *r)
{
	return r->answering;
}

static void
next_reply(struct http_reply *reply)
{
	bool more = script.left.n > 0;
	struct str text = fuzz_section(&script.left, "\n%%\n");
	struct str status = fuzz_section(&text, "\n"), headers = STR_NONE;
	int64_t number = 0;
	if (more && num_i64(status, &number) && number > 1 && number < 1000) {
		const char *blank = text.n > 0 ? memmem(text.p, text.n, "\n\n", 2) : NULL;
		if (blank != NULL) {
			headers = (struct str){text.p, (size_t)(blank - text.p) + 1};
			text = str_skip(text, headers.n + 1);
		}
		*reply = (struct http_reply){.status = (int)number, .headers = headers, .body = text};
	} else if (number == 1) {
		*reply = (struct http_reply){.status = 200, .too_large = true, .body = text};
	} else {
		*reply = (struct http_reply){.failure = "cannot connect", .hopeless = number < 0};
	}
}

bool
script_answer(void)
{
	struct http_request *r = script.oldest;
	struct http_reply reply;
	if (r == NULL)
		return false;
	next_reply(&reply);
	/* A body that is streamed comes in pieces; where there is no room it comes again. */
	for (size_t piece = 1; r->on_data != NULL && reply.status / 100 == 2 && reply.body.n > 0; piece *= 2) {
		struct str s = {reply.body.p, piece < reply.body.n ? piece : reply.body.n};
		r->answering = true;
		if (r->on_data(r->arg, reply.status, reply.headers, s) || r->on_data(r->arg, reply.status, reply.headers, s))
			reply.body = str_skip(reply.body, s.n);
		else
			break;
	}
	take_out(r);
	r->done(r->arg, &reply);
	free(r);
	return true;
}

/* For what turns its own loop (gapi_sync): nothing is waited for. */
static void
fill(void *ctx, struct pollset *p)
{
	(void)ctx;
	if (script.oldest == NULL)
		script_wait(p->wake);
	p->wake = script.now;
}

static void
ready(void *ctx, const struct pollset *p)
{
	(void)ctx;
	(void)p;
	script_answer();
}

struct stage_net
__wrap_http_net(struct http *h)
{
	return (struct stage_net){.ctx = h, .fill = fill, .ready = ready};
}
