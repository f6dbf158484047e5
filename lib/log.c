#include "log.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "jsonw.h"
#include "bounds.h"
#include "time.h"

static const char *prog = "evpipe";
static enum log_level threshold = LOG_INFO;
static bool as_json;
static bool over_progress; /* messages go where ev-read redraws its line */

void
log_init(const char *name)
{
	prog = name;
	over_progress = getenv("EVPIPE_PROGRESS") != NULL && isatty(STDERR_FILENO) == 1;
}

void
log_set(enum log_level level, bool json)
{
	threshold = level;
	as_json = json;
}

const char *
log_prog(void)
{
	return prog;
}

enum log_level
log_level(void)
{
	return threshold;
}

static void
write_json(struct buf *line, enum log_level level, struct str text)
{
	/* The names that Cloud Logging reads. */
	static const char *const severity[] = {"ERROR", "WARNING", "INFO", "DEBUG"};
	struct buf now = BUF_INIT(64);
	time_format(&now, clock_wall());
	struct jsonw w = jsonw_to(line);
	jsonw_object(&w);
	jsonw_member(&w, "severity", str_of(severity[level]));
	jsonw_member(&w, "time", buf_str(&now));
	jsonw_member(&w, "prog", str_of(prog));
	jsonw_member(&w, "message", text);
	jsonw_end(&w);
	buf_release(&now);
}

static void
emit(enum log_level level, const char *fmt, va_list ap)
{
	if (level > threshold)
		return;
	struct buf text = BUF_INIT(4 * KIB), line = BUF_INIT(32 * KIB);
	buf_vaddf(&text, fmt, ap);
	if (as_json) {
		write_json(&line, level, buf_str(&text));
	} else {
		buf_addf(&line, "%s%s: %s", over_progress ? "\r\033[K" : "", prog, level == LOG_WARN ? "warning: " : "");
		buf_add_printable(&line, buf_str(&text)); /* one line, whatever it quotes */
	}
	buf_addc(&line, '\n');
	(void)!write(STDERR_FILENO, line.p, line.n);
	buf_release(&text);
	buf_release(&line);
}

#define LOG_AT(name, level)                                                                             \
	void name(const char *fmt, ...)                                                                 \
	{                                                                                               \
		va_list ap;                                                                             \
		va_start(ap, fmt);                                                                      \
		emit(level, fmt, ap);                                                                   \
		va_end(ap);                                                                             \
	}

LOG_AT(log_error, LOG_ERROR)
LOG_AT(log_warn, LOG_WARN)
LOG_AT(log_info, LOG_INFO)
LOG_AT(log_debug, LOG_DEBUG)

int
log_fail(const struct err *e)
{
	log_error("%s", e->text);
	return err_status(e->class);
}
