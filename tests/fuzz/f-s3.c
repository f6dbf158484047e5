/*
 * s3: S3's XML by itself, and as replies through everything above libcurl. The first line says which: "list", "stat", "read",
 * else the whole input is a body.
 */
#include "bounds.h"
#include "clock.h"
#include "fuzz.h"
#include "log.h"
#include "s3read.h"
#include "script.h"
#include "utf8.h"
#include "xml.h"

#define OBJECT_BYTES 300

static struct {
	bool ended;
	uint64_t read;
} seen;

static void
scan(struct str body)
{
	struct xml x;
	enum xml_event event;
	unsigned depth = 0, events = 0;
	xml_init(&x, body);
	while ((event = xml_next(&x)) != XML_BAD && event != XML_END) {
		depth += event == XML_OPEN;
		depth -= event == XML_CLOSE;
		MUST(x.depth <= XML_DEPTH && ++events <= 2 * body.n);
		fuzz_touch(event == XML_TEXT ? x.run : x.name);
	}
	MUST(event == XML_BAD ? *x.why != '\0' && xml_next(&x) == XML_BAD : depth == 0);
	xml_release(&x);
}

static void
read_body(struct str body)
{
	struct s3_page page = {0};
	struct s3_error error;
	struct err e;
	scan(body);
	if (s3xml_page(&page, body, &e) == 0) {
		MUST(page.n <= S3_PAGE_MAX);
		for (size_t i = 0; i < page.n; i++) {
			const struct s3_object *o = &page.v[i];
			MUST(o->key.n > 0 && o->key.n <= S3_KEY_MAX && utf8_valid(o->key) && o->size >= 0 && o->etag.n > 0);
			fuzz_touch(o->etag);
		}
		fuzz_touch(page.next);
	} else {
		MUST(e.class == ERR_TRANSIENT);
	}
	s3xml_page_release(&page);
	s3xml_error(&error, body);
	const char *const texts[] = {error.code, error.message, error.region};
	for (int i = 0; i < 3; i++)
		MUST(utf8_valid(str_of(texts[i])) && strpbrk(texts[i], "\r\n\033") == NULL);
}

static void
end(const struct err *e)
{
	MUST(!seen.ended);
	seen.ended = true;
	MUST(e == NULL || (e->class != ERR_NONE && e->class != ERR_BUG && *e->text != '\0' && utf8_valid(str_of(e->text))));
}

static void
on_item(void *arg, const struct gcs_item *item)
{
	(void)arg;
	MUST(item->name.n > 0 && item->size >= 0);
	fuzz_touch(item->name);
	fuzz_touch(item->generation);
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

static bool
on_bytes(void *arg, struct str piece)
{
	(void)arg;
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

static void
run(struct s3 *s)
{
	while (!seen.ended && !script_spent()) {
		if (!script_answer())
			script_wait(s3_turn(s, clock_now()));
	}
}

static void
exchange(struct str what, struct str replies)
{
	struct s3 s;
	struct err e;
	setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	setenv("AWS_CONFIG_FILE", "/dev/null", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
	memset(&seen, 0, sizeof(seen));
	script_begin(replies);
	MUST(s3_init(&s, NULL, SECONDS(3600), &e) == 0);
	if (str_is(what, "read")) {
		const struct gcs_item item = {.name = STR("a/b\nc"), .generation = STR("e-1"), .size = OBJECT_BYTES};
		struct s3_read *r = s3_read_start(&s, "bucket", &item, on_bytes, on_read_end, NULL);
		run(&s);
		if (!seen.ended)
			s3_read_cancel(r);
	} else {
		struct s3_listing *l = str_is(what, "stat") ? s3_stat(&s, "bucket", STR("a\r\nb"), on_item, on_page, NULL)
		                                            : s3_list(&s, "bucket", STR("a/"), STR("t&x"), on_item, on_page, NULL);
		run(&s);
		if (!seen.ended)
			s3_listing_cancel(l);
	}
	script_end();
	MUST(s.active == 0 && s.retrying == 0 && s.waiting == NULL);
	s3_release(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str all = {(const char *)p, n}, rest = all, what = fuzz_section(&rest, "\n");
	log_set(LOG_ERROR, false);
	if (str_is(what, "list") || str_is(what, "stat") || str_is(what, "read"))
		exchange(what, rest);
	else
		read_body(all);
	return 0;
}
