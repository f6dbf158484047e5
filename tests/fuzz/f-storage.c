/*
 * storage: Cloud Storage's replies, headers and error bodies, and those of jobs.list, through everything above libcurl: uploads
 * in one piece and in sessions, listings, reading. The input's first line says which ("single", "session", "list", "stat",
 * "read", "ask", "jobs", "bucket"); the rest is the replies (script.h). Every call comes to its end, once.
 */
#include "bounds.h"
#include "bqjob.h"
#include "clock.h"
#include "fuzz.h"
#include "gcs.h"
#include "gcsread.h"
#include "log.h"
#include "script.h"
#include "utf8.h"

#define SIZE (GCS_SINGLE_MAX + 5) /* two chunks */
#define OBJECT_BYTES 300

static struct {
	uint64_t at, size;   /* of the content being sent */
	unsigned ends;
	bool ended, failed;
	uint64_t read;
	bool full;
} seen;

static int
rewind_content(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	seen.at = 0;
	return 0;
}

static long
read_content(void *arg, char *p, size_t n, struct err *e)
{
	(void)arg;
	(void)e;
	MUST(seen.at + n <= seen.size);
	(void)p; /* whatever is there */
	seen.at += n;
	return (long)n;
}

static void
end(const struct err *e)
{
	MUST(!seen.ended);
	seen.ended = true;
	seen.failed = e != NULL;
	MUST(e == NULL || (e->class != ERR_NONE && e->class != ERR_BUG && *e->text != '\0' && utf8_valid(str_of(e->text))));
}

static void
on_stored(void *arg, const struct gcs_stored *stored, const struct err *e)
{
	(void)arg;
	end(e);
	MUST(e != NULL || stored->existed || strlen(stored->generation) < sizeof(stored->generation));
}

static void
on_item(void *arg, const struct gcs_item *item)
{
	(void)arg;
	MUST(item->name.n > 0 && item->size >= 0);
	MUST(strspn(item->generation.p, "-0123456789") >= item->generation.n);
	fuzz_touch(item->name);
	fuzz_touch(item->updated);
}

static void
on_page(void *arg, struct str token, const struct err *e, int status)
{
	(void)arg;
	(void)status;
	fuzz_touch(token);
	end(e);
}

/* Every other piece finds no room at first. */
static bool
on_bytes(void *arg, struct str piece)
{
	(void)arg;
	seen.full = !seen.full;
	if (seen.full)
		return false;
	fuzz_touch(piece);
	seen.read += piece.n;
	MUST(seen.read <= OBJECT_BYTES);
	return true;
}

static void
on_read_end(void *arg, const struct err *e)
{
	(void)arg;
	MUST(e != NULL || seen.read == OBJECT_BYTES);
	end(e);
}

/* The loop of a stage, without one. */
static void
run(struct gapi *g)
{
	while (!seen.ended && !script_spent()) {
		if (!script_answer())
			script_wait(gapi_turn(g, clock_now()));
	}
}

static void
store(struct gapi *g, uint64_t size)
{
	struct gcs_object o = {.bucket = "bucket", .name = "a/b c.json", .content_type = "application/json", .size = size,
	    .rewind = rewind_content, .read = read_content};
	struct err e;
	seen.size = size;
	memcpy(o.md5, "0123456789abcdef", 16);
	struct gcs_upload *u = gcs_store(g, &o, on_stored, NULL, &e);
	MUST(u != NULL);
	run(g);
	if (!seen.ended)
		gcs_cancel(u);
}

static void
list(struct gapi *g, bool one)
{
	struct gcs_listing *l = one ? gcs_stat(g, "bucket", STR("a\r\nb"), on_item, on_page, NULL)
	                            : gcs_list(g, "bucket", STR("a/"), STR("t&x"), on_item, on_page, NULL);
	run(g);
	if (!seen.ended)
		gcs_listing_cancel(l);
}

static void
read_object(struct gapi *g)
{
	const struct gcs_item item = {.name = STR("a/b\nc"), .generation = STR("17"), .size = OBJECT_BYTES};
	struct gcs_read *r = gcs_read_start(g, "bucket", &item, on_bytes, on_read_end, NULL);
	run(g);
	if (!seen.ended)
		gcs_read_cancel(r);
}

/* What gapi_sync would do with replies of one call. */
static void
on_result(void *arg, const struct gapi_result *r)
{
	(void)arg;
	MUST(r->reply != NULL || r->err.class != ERR_NONE);
	end(r->err.class != ERR_NONE ? &r->err : NULL);
}

static void
ask(struct gapi *g)
{
	struct gapi_spec spec = {.method = "GET", .url = "http://localhost:1/", .what = "ask", .object = "it", .accept = 409};
	struct gapi_call *c = gapi_start(g, &spec, on_result, NULL);
	run(g);
	if (!seen.ended)
		gapi_cancel(c);
}

static int
on_job(void *arg, const struct json *j, const struct bqjob *job, struct err *e)
{
	unsigned *n = arg;
	MUST(job->id.n > 0);
	fuzz_touch(job->table);
	fuzz_touch(json_raw(j, job->uris));
	return ++*n < 1000 ? 0 : err_set(e, ERR_PERMANENT, "enough");
}

/* What is asked for before the loop: jobs.list, a dataset's place, permissions. */
static void
ask_at_start(struct gapi *g, bool jobs)
{
	struct err e = {0};
	unsigned n = 0;
	int status;
	if (jobs) {
		int rc = bqjob_list(g, "project", SECONDS(1), on_job, &n, &status, &e);
		MUST(rc == 0 || e.class != ERR_NONE);
		char *place = bqjob_location(g, "project", "dataset", &e);
		MUST(place != NULL || e.class != ERR_NONE);
		free(place);
	} else {
		int rc = gcs_check_bucket(g, "bucket", &e);
		MUST(rc == 0 || e.class != ERR_NONE);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str rest = {(const char *)p, n}, what = fuzz_section(&rest, "\n");
	struct gapi g;
	struct err e;
	log_set(LOG_ERROR, false);
	setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1", 1);
	MUST(gcs_init(&g, NULL, NULL, SECONDS(3600), &e) == 0);
	memset(&seen, 0, sizeof(seen));
	script_begin(rest);
	if (str_is(what, "single"))
		store(&g, 1000);
	else if (str_is(what, "session"))
		store(&g, SIZE);
	else if (str_is(what, "list") || str_is(what, "stat"))
		list(&g, str_is(what, "stat"));
	else if (str_is(what, "read"))
		read_object(&g);
	else if (str_is(what, "ask"))
		ask(&g);
	else if (str_is(what, "jobs") || str_is(what, "bucket"))
		ask_at_start(&g, str_is(what, "jobs"));
	script_end();
	MUST(g.active == 0 && g.retrying == 0 && g.waiting == NULL);
	gapi_release(&g);
	return 0;
}
