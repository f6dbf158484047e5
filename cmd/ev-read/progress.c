/* What a person wants to know meanwhile, and at the end. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "read.h"
#include "tally.h"

#define REDRAW_EVERY MILLIS(500)
#define LINE_EVERY SECONDS(30)

/* BigQuery's streaming inserts, in US dollars. [cloud.google.com/bigquery/pricing: $0.01 per 200 MiB] */
#define INSERT_DOLLARS 0.01
#define INSERT_BYTES (200.0 * MIB)

static void
add_size(struct buf *out, uint64_t n)
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB"};
	double v = (double)n;
	int i = -1;
	while (v >= 1000 && i < 4) {
		v /= 1000;
		i++;
	}
	if (i < 0)
		buf_addf(out, "%" PRIu64 " bytes", n);
	else
		buf_addf(out, "%.1f %s", v, units[i]);
}

static void
add_left(const struct read *r, struct buf *out)
{
	double seconds = (double)(r->now - r->started) / 1e6;
	if (!r->listed || r->bytes == 0 || r->bytes > r->bytes_listed)
		return;
	double left = seconds * (double)(r->bytes_listed - r->bytes) / (double)r->bytes;
	if (left < 90)
		buf_addf(out, ", %.0f s left", left);
	else if (left < 5400)
		buf_addf(out, ", %.0f min left", left / 60);
	else
		buf_addf(out, ", %.1f h left", left / 3600);
}

static void
make_line(const struct read *r, struct buf *out, int64_t span)
{
	/* What we rejected ourselves has a receipt among these, sooner or later. */
	uint64_t rejected = r->rejected > r->receipted_rejects ? r->rejected : r->receipted_rejects;
	double rate = span > 0 ? (double)(r->events - r->progress_events) * 1e6 / (double)span : 0;
	buf_addf(out, "%" PRIu64 "/%" PRIu64 "%s objects, ", r->objects + r->objects_failed,
	    r->objects_listed - r->objects_skipped, r->listed ? "" : "+");
	add_size(out, r->bytes);
	buf_addc(out, '/');
	add_size(out, r->bytes_listed);
	buf_addf(out, ", %.0f events/s, %.2f %% rejected", rate,
	    r->events > 0 ? 100.0 * (double)rejected / (double)r->events : 0.0);
	if (r->phase >= DRAINING)
		buf_addf(out, ", %" PRIu64 " outstanding", r->sources.outstanding);
	else
		add_left(r, out);
}

static bool
on_terminal(const struct read *r)
{
	return isatty(STDERR_FILENO) == 1 && r->o.common.log_format == 0;
}

/* As wide as the terminal, less the column that would begin another line. */
static size_t
width(void)
{
	struct winsize w;
	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1u : 79;
}

void
progress_clear(struct read *r)
{
	if (r->progress_shown)
		(void)!write(STDERR_FILENO, "\r\033[K", 4);
	r->progress_shown = false;
}

void
progress_turn(struct read *r)
{
	bool terminal = on_terminal(r);
	int64_t every = terminal ? REDRAW_EVERY : LINE_EVERY;
	if (log_level() < LOG_INFO || r->o.dry_run)
		return;
	if (r->progress_at == 0)
		r->progress_at = r->now;
	stage_wake_at(&r->stage, r->progress_at + every);
	if (r->now < r->progress_at + every)
		return;
	struct buf line = BUF_INIT(1 * KIB);
	make_line(r, &line, r->now - r->progress_at);
	if (terminal) {
		progress_clear(r);
		r->progress_shown = true;
		(void)!write(STDERR_FILENO, line.p, line.n < width() ? line.n : width());
	} else {
		log_info("%s", buf_cstr(&line));
	}
	buf_release(&line);
	r->progress_at = r->now;
	r->progress_events = r->events;
}

/* A dry run's last lines. */
void
progress_sample(struct read *r)
{
	struct buf *out;
	if (r->objects_listed == 0)
		return; /* nothing matched, as was said */
	out = sink_buf(&r->out);
	buf_addf(out, "%" PRIu64 " objects to read, ", r->objects_listed - r->objects_skipped);
	add_size(out, r->bytes_listed);
	buf_addf(out, "; %" PRIu64 " are done already", r->objects_skipped);
	sink_commit(&r->out);
	out = sink_buf(&r->out);
	if (r->sample.n > 0) {
		double dollars = r->sample.all_billed / INSERT_BYTES * INSERT_DOLLARS;
		buf_addz(out, "streaming inserts: ");
		if (dollars < 0.01)
			buf_addz(out, "less than $0.01");
		else
			buf_addf(out, "about $%.2f", dollars);
		buf_addf(out, ", for about %.0f events of ", r->sample.all_events);
		add_size(out, (uint64_t)r->sample.all_billed);
		buf_addf(out, " as billed (each 1 KB at least), judged by %" PRIu64 " events of %u objects", r->sample.seen,
		    r->sample.n);
	} else {
		buf_addz(out, "streaming inserts: $0.01 for each 200 MiB, each event counting 1 KB at least");
	}
	sink_commit(&r->out);
	sink_line(&r->out, STR("load jobs: $0.00"));
}

void
progress_report(struct read *r)
{
	char extra[320];
	bool acks = r->o.acks != NULL;
	struct tally t = {.in = r->events, .done = acks ? r->sources.receipts : r->events - r->rejected,
	    .rejected = acks ? 0 : r->rejected};
	snprintf(extra, sizeof(extra), "%" PRIu64 " objects read, %" PRIu64 " done, %" PRIu64 " skipped as already done, %" PRIu64
	    " failed, %" PRIu64 " broken, %" PRIu64 " bytes, %" PRIu64 " unreadable, %" PRIu64 " unknown receipts, %" PRIu64
	    " retries", r->objects, r->objects_done, r->objects_skipped, r->objects_failed + r->urls_failed, r->objects_broken,
	    r->bytes, r->rejected, r->sources.unknown, r->gcs.retries + r->s3.retries);
	progress_clear(r);
	tally_report(&t, extra);
}
