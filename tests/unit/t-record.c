/* record: both ways of reading a raw record see the same. */
#include "bounds.h"
#include "record.h"
#include "tap.h"

static struct json slow_json, fast_json;
static struct buf head = BUF_INIT(LIMIT_LINE);

static void
same(const char *line)
{
	struct record slow, fast;
	struct err a = {0}, b = {0};
	int want = record_parse(&slow, &slow_json, str_of(line), &a);
	int got = record_parse_raw(&fast, &fast_json, str_of(line), &head, &b);
	bool good = want == got && a.class == b.class;
	if (want == 0 && good)
		good = slow.kind == fast.kind && str_eq(slow.data, fast.data) && str_eq(slow.id, fast.id) &&
		    str_eq(slow.msg, fast.msg) && str_eq(slow.source, fast.source) && str_eq(slow.event, fast.event) &&
		    str_eq(slow.line, fast.line);
	ok(good, "%s", line);
}

int
main(void)
{
	static const char *const lines[] = {
	    "{\"msg\":{\"id\":\"1\",\"source\":\"s\"},\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1\"},\"more\":[1],\"data\":\"\"}",
	    "{\"data\":\"e30=\",\"msg\":{\"id\":\"1\"}}",
	    "{\"msg\":{\"id\":\"1\"},\"data\":\"e30=\"} ",
	    "{\"msg\":{\"id\":\"1\"}, \"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1\"},\"data\":\"e3\\u0030=\"}",
	    "{\"msg\":{\"id\":\"1\"},\"data\":\"e30=\\\"}",
	    "{\"msg\":{\"id\":\"1\"},\"data\":\"e30=\",\"data\":\"e31=\"}",
	    "{\"msg\":{\"id\":\"1\"},\"event\":{},\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1\"},\"errors\":[],\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":1},\"data\":\"e30=\"}",
	    "{\"msg\":[],\"data\":\"e30=\"}",
	    "{\"x\":1,\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1\",\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1\"},\"x\":\",\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1\"},\"x\":\",\",\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1\"}},\"data\":\"e30=\"}",
	    "[{\"msg\":{\"id\":\"1\"},\"data\":\"e30=\"}",
	    ",\"data\":\"\"}", "\"}", "}", "", "{}",
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		same(lines[i]);
	json_release(&slow_json);
	json_release(&fast_json);
	buf_release(&head);
	return done();
}
