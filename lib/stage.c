#include "stage.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"

unsigned
pollset_add(struct pollset *p, int fd, short events)
{
	if (p->n == POLLSET_MAX)
		return POLLSET_MAX;
	p->fds[p->n] = (struct pollfd){.fd = fd, .events = events};
	return p->n++;
}

void
pollset_wake_at(struct pollset *p, int64_t when)
{
	if (when < p->wake)
		p->wake = when;
}

void
stage_init(struct stage *s, const struct stage_ops *ops, void *ctx, int in_fd, const char *in_name)
{
	*s = (struct stage){.ops = ops, .ctx = ctx, .signal_fd = -1, .wake = CLOCK_NEVER, .drained = in_fd < 0};
	line_init(&s->in, in_fd, in_name, LIMIT_LINE);
	s->now = clock_now();
}

void
stage_wake_at(struct stage *s, int64_t when)
{
	if (when < s->wake)
		s->wake = when;
}

size_t
stage_pending(const struct stage *s)
{
	size_t most = 0;
	for (int i = 0; i < STAGE_OUTS; i++) {
		size_t n = s->outs[i] != NULL ? sink_pending(s->outs[i]) : 0;
		if (n > most)
			most = n;
	}
	return most;
}

static int
open_signals(struct stage *s, struct err *e)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return err_set(e, ERR_IO, "cannot watch for signals: %s", strerror(errno));
	return 0;
}

static int
default_signal(struct stage *s, struct err *e)
{
	if (s->signals == 1) {
		log_info("got a signal; ending when the input does (a second one ends at once)");
		return 0;
	}
	return err_set(e, ERR_TRANSIENT, "cannot finish: ended by a second signal; what was not receipted comes again");
}

static int
take_signals(struct stage *s, struct err *e)
{
	struct signalfd_siginfo info;
	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		s->signals++;
		int rc = s->ops->signal != NULL ? s->ops->signal(s, e) : default_signal(s, e);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static bool
takes_input(const struct stage *s)
{
	return !s->drained && (s->ops->input_is_free || stage_pending(s) < LIMIT_OUTPUT) &&
	    (s->ops->wants == NULL || s->ops->wants((struct stage *)(uintptr_t)s));
}

static int
take_lines(struct stage *s, struct err *e)
{
	struct line l;
	s->held_back = true;
	while (takes_input(s)) {
		if (!line_next(&s->in, &l)) {
			s->held_back = false;
			s->drained = s->in.eof;
			return 0;
		}
		if (s->ops->line(s, &l, e) < 0)
			return -1;
	}
	return 0;
}

/* Where the stage's own descriptors stand in the set; POLLSET_MAX: not watched this turn. */
struct places {
	unsigned signal, in, out[STAGE_OUTS];
};

static void
fill_set(struct stage *s, struct pollset *p, struct places *at)
{
	p->n = 0;
	p->wake = s->wake;
	pollset_wake_at(p, s->notify.next);
	at->signal = pollset_add(p, s->signal_fd, POLLIN);
	for (int i = 0; i < STAGE_OUTS; i++) {
		struct sink *o = s->outs[i];
		at->out[i] = o == NULL || o->fd < 0 ? POLLSET_MAX
						    : pollset_add(p, o->fd, sink_pending(o) > 0 ? POLLOUT : 0);
	}
	/*
	 * Lines that were held back are in memory: they come first, or a stage that takes one a turn would gather its whole
	 * input. Nothing on the descriptor would wake us for them.
	 */
	bool reads = s->in.fd >= 0 && !s->in.eof && !s->held_back && takes_input(s);
	if (s->held_back && takes_input(s))
		pollset_wake_at(p, s->now);
	at->in = reads ? pollset_add(p, s->in.fd, POLLIN) : POLLSET_MAX;
	if (s->net != NULL)
		s->net->fill(s->net->ctx, p);
}

static int
wait_for(struct stage *s, struct pollset *p, struct err *e)
{
	int64_t now = clock_now();
	int timeout = -1;
	if (p->wake != CLOCK_NEVER) {
		int64_t ms = p->wake <= now ? 0 : (p->wake - now + 999) / 1000;
		timeout = ms > 60000 ? 60000 : (int)ms;
	}
	int n = poll(p->fds, p->n, timeout);
	if (n < 0 && errno != EINTR)
		return err_set(e, ERR_IO, "cannot wait for input or output: %s", strerror(errno));
	if (n < 0) {
		for (unsigned i = 0; i < p->n; i++)
			p->fds[i].revents = 0;
	}
	s->now = clock_now();
	return 0;
}

static short
came(const struct pollset *p, unsigned place)
{
	return place < p->n ? p->fds[place].revents : 0;
}

static int
write_outs(struct stage *s, const struct pollset *p, const struct places *at, struct err *e)
{
	for (int i = 0; i < STAGE_OUTS; i++) {
		short r = came(p, at->out[i]);
		int rc = 0;
		if (r & (POLLERR | POLLNVAL | POLLHUP))
			rc = err_set(e, ERR_IO, "cannot write '%s': its reader has gone", s->outs[i]->name);
		else if (r & POLLOUT)
			rc = sink_flush(s->outs[i], e);
		if (rc < 0 && (s->ops->out_failed == NULL || s->ops->out_failed(s, e) < 0))
			return -1;
	}
	return 0;
}

static int
one_turn(struct stage *s, struct pollset *p, struct err *e)
{
	struct places at;
	fill_set(s, p, &at);
	if (wait_for(s, p, e) < 0)
		return -1;
	s->wake = CLOCK_NEVER;
	notify_alive(&s->notify, s->now);
	if (came(p, at.signal) && take_signals(s, e) < 0)
		return -1;
	if (write_outs(s, p, &at, e) < 0)
		return -1;
	if (s->net != NULL)
		s->net->ready(s->net->ctx, p);
	if (came(p, at.in) && line_fill(&s->in, e) < 0)
		return -1;
	return take_lines(s, e);
}

void
stage_flush(struct stage *s, int64_t within)
{
	int64_t end = clock_now() + within, left;
	while (stage_pending(s) > 0 && (left = end - clock_now()) > 0) {
		struct pollfd fds[STAGE_OUTS];
		for (int i = 0; i < STAGE_OUTS; i++) {
			bool waits = s->outs[i] != NULL && sink_pending(s->outs[i]) > 0;
			fds[i] = (struct pollfd){.fd = waits ? s->outs[i]->fd : -1, .events = POLLOUT};
		}
		if (poll(fds, STAGE_OUTS, (int)(left / 1000) + 1) < 0 && errno != EINTR)
			return;
		for (int i = 0; i < STAGE_OUTS; i++) {
			if (fds[i].fd >= 0 && fds[i].revents != 0 && sink_flush(s->outs[i], NULL) < 0)
				return;
		}
	}
}

int
stage_run(struct stage *s, struct err *e)
{
	static struct pollset set; /* large, and one loop a process */
	int rc = -1;
	if (open_signals(s, e) < 0)
		return -1;
	notify_ready(&s->notify, s->now);
	for (;;) {
		enum stage_step step = s->drained ? STAGE_DONE : STAGE_MORE;
		if (s->ops->turn != NULL)
			step = s->ops->turn(s, e);
		if (step == STAGE_FAILED)
			break;
		if (step == STAGE_DONE && stage_pending(s) == 0) {
			rc = 0;
			break;
		}
		if (one_turn(s, &set, e) < 0)
			break;
	}
	notify_release(&s->notify);
	close(s->signal_fd);
	line_release(&s->in);
	return rc;
}
