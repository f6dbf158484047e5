/* stage: a stage that takes one line a turn never holds more than it must. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "io.h"
#include "stage.h"
#include "tap.h"

#define LINES 400000

static unsigned long lines;
static bool taken;
static size_t most;

static int
on_line(struct stage *s, const struct line *l, struct err *e)
{
	(void)l;
	(void)e;
	lines++;
	taken = true;
	most = s->in.buf.n > most ? s->in.buf.n : most;
	return 0;
}

static bool
wants(struct stage *s)
{
	(void)s;
	return !taken;
}

static enum stage_step
on_turn(struct stage *s, struct err *e)
{
	(void)e;
	taken = false;
	return s->drained ? STAGE_DONE : STAGE_MORE;
}

int
main(void)
{
	static const struct stage_ops ops = {.line = on_line, .wants = wants, .turn = on_turn};
	char path[] = "/tmp/t-stage.XXXXXX", line[100];
	struct stage s;
	struct err e = {0};
	int fd = mkstemp(path);
	unlink(path);
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < LINES; i++)
		io_write_all(fd, (struct str){line, sizeof(line)}, path, &e);
	lseek(fd, 0, SEEK_SET);
	stage_init(&s, &ops, NULL, fd, "t");
	ok(stage_run(&s, &e) == 0, "one line a turn, 40 MB of them: %s", e.text);
	is_int((long long)lines, LINES, "every line came");
	ok(most < 300 * 1024, "and no more than a read or two was held (%zu bytes)", most);
	close(fd);
	return done();
}
