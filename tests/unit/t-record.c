/* record: both ways of reading a raw record see the same. */
#include "bounds.h"
#include "record.h"
#include "tap.h"

static struct json slow_json, fast_json;

/* A blank behind the line keeps the short way from being taken, and changes nothing else. */
static void
same(const char *line)
{
	struct record slow, fast;
	struct err a = {0}, b = {0};
	struct buf blank = BUF_INIT(LIMIT_LINE);
	buf_addf(&blank, "%s ", line);
	int want = record_parse(&slow, &slow_json, buf_str(&blank), &a);
	int got = record_parse(&fast, &fast_json, str_of(line), &b);
	bool good = want == got && a.class == b.class;
	if (want == 0 && good)
		good = slow.kind == fast.kind && str_eq(slow.data, fast.data) && str_eq(slow.id, fast.id) &&
		    str_eq(slow.msg, fast.msg) && str_eq(slow.source, fast.source) && str_eq(slow.event, fast.event);
	ok(good, "%s", line);
	buf_release(&blank);
}

int
main(void)
{
	static const char *const lines[] = {
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\",\"source\":\"s\"},\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"},\"more\":[1],\"data\":\"\"}",
	    "{\"data\":\"e30=\",\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"}}",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"},\"data\":\"e30=\"} ",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"}, \"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"},\"data\":\"e3\\u0030=\"}",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"},\"data\":\"e30=\\\"}",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"},\"data\":\"e30=\",\"data\":\"e31=\"}",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"},\"event\":{},\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"},\"errors\":[],\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":1},\"data\":\"e30=\"}",
	    "{\"msg\":[],\"data\":\"e30=\"}",
	    "{\"x\":1,\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\",\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"},\"x\":\",\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"},\"x\":\",\",\"data\":\"e30=\"}",
	    "{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"}},\"data\":\"e30=\"}",
	    "[{\"msg\":{\"id\":\"1234567890123456789012345678901234567890\"},\"data\":\"e30=\"}",
	    ",\"data\":\"\"}", "\"}", "}", "", "{}",
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		same(lines[i]);
	json_release(&slow_json);
	json_release(&fast_json);
	return done();
}
