/* s3: lists and errors out of XML; requests signed, retried, sent elsewhere; objects read whole. */
#include "s3read.h"

#include "bounds.h"
#include "httpfake.h"
#include "log.h"
#include "tap.h"

/* ---- XML ---- */

#define LIST(inside) \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com" \
	"/doc/2006-03-01/\"><Name>b</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys>" inside \
	"</ListBucketResult>"
#define URL_CODED "<EncodingType>url</EncodingType>"
#define WHOLE "<IsTruncated>false</IsTruncated>"
#define OBJECT(key, etag, size) \
	"<Contents><Key>" key "</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>" \
	"<ETag>&quot;" etag "&quot;</ETag><Size>" size "</Size><Owner><ID>x</ID></" \
	                                               "Owner><StorageClass>STANDARD" \
	"</StorageClass></Contents>"

static void
test_page(void)
{
	struct s3_page p;
	struct err e;
	ok(s3xml_page(&p, (struct str)STR(LIST(WHOLE)), &e) == 0 && p.n == 0 && p.next.n == 0,
	    "an empty list");
	s3xml_page_release(&p);
	int rc = s3xml_page(&p,
	    (struct str)STR(LIST(OBJECT("a/b+c%2Bd%25%C3%A9%2F%26", "e-1", "7")
	            OBJECT("x", "e2", "0") "<IsTruncated>true</IsTruncated><NextContinuationToken>1/+=&amp;</"
	                                   "NextContinuationToken>" URL_CODED)),
	    &e);
	ok(rc == 0 && p.n == 2, "two objects");
	is_str(p.v[0].key, "a/b c+d%\xc3\xa9/&", "a key, decoded although EncodingType came last");
	is_str(p.v[0].etag, "e-1", "its ETag without quotes");
	is_int(p.v[0].size, 7, "its size");
	is_int(p.v[0].modified, 1255369830000000, "its time");
	is_str(p.v[1].key, "x", "the second");
	is_str(p.next, "1/+=&", "the token");
	s3xml_page_release(&p);
	rc = s3xml_page(&p, (struct str)STR(LIST(OBJECT("a+b%20&lt;", "e", "1") WHOLE)), &e);
	ok(rc == 0 && str_is(p.v[0].key, "a+b%20<"), "without EncodingType keys are as they are");
	s3xml_page_release(&p);
}

static void
test_bad_pages(void)
{
	static const struct {
		const char *body, *why;
	} bad[] = {
	    {"", "ends too early"},
	    {"<html><body>proxy</body></html>", "no ListBucketResult"},
	    {"<Error><Code>x</Code></Error>", "no ListBucketResult"},
	    {LIST(OBJECT("a", "e", "x") WHOLE), "Size is no number"},
	    {LIST(OBJECT("a", "e", "-1") WHOLE), "Size is no number"},
	    {LIST(OBJECT("a", "", "1") WHOLE), "ETag is empty"},
	    {LIST(OBJECT("a", "e\x01", "1") WHOLE), "no character of XML"},
	    {LIST(OBJECT("a", "e e", "1") WHOLE), "ETag holds"},
	    {LIST(OBJECT("a", "e&#13;&#10;x", "1") WHOLE), "ETag holds"},
	    {LIST(OBJECT("%zz", "e", "1") URL_CODED WHOLE), "encodes nothing"},
	    {LIST(OBJECT("%4", "e", "1") URL_CODED WHOLE), "encodes nothing"},
	    {LIST(OBJECT("%ff", "e", "1") URL_CODED WHOLE), "no UTF-8"},
	    {LIST(OBJECT("", "e", "1") WHOLE), "lacks its Key"},
	    {LIST("<Contents><Key>a</Key></Contents>" WHOLE), "lacks its Key"},
	    {LIST("<Contents><Key>a<b/></Key></Contents>" WHOLE), "element where text belongs"},
	    {LIST("<IsTruncated>maybe</IsTruncated>"), "IsTruncated"},
	    {LIST("<IsTruncated>true</IsTruncated>"), "no NextContinuationToken"},
	    {LIST("<EncodingType>gzip</EncodingType>" WHOLE), "EncodingType"},
	    {LIST("text" WHOLE), "where elements belong"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct s3_page p;
		struct err e = {0};
		bool refused = s3xml_page(&p, str_of(bad[i].body), &e) == -1 && e.class == ERR_TRANSIENT;
		if (!ok(refused && strstr(e.text, bad[i].why) != NULL, "refused: %s", bad[i].why))
			printf("#  got: %s\n", e.text);
		s3xml_page_release(&p);
	}
	struct buf many = BUF_INIT(8 * MIB);
	struct s3_page p;
	struct err e = {0};
	buf_addz(&many, "<ListBucketResult>");
	for (int i = 0; i <= S3_PAGE_MAX; i++)
		buf_addz(&many, OBJECT("a", "e", "1"));
	buf_addz(&many, WHOLE "</ListBucketResult>");
	ok(s3xml_page(&p, buf_str(&many), &e) == -1 && strstr(e.text, "more objects") != NULL,
	    "too many objects");
	s3xml_page_release(&p);
	buf_release(&many);
}

static void
test_error_body(void)
{
	struct s3_error x;
	s3xml_error(&x,
	    (struct str)STR("<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>The specified\n "
	                    "key</Message><Key>a</Key><Region>eu-west-1</Region></Error>"));
	is_str(str_of(x.code), "NoSuchKey", "an error's code");
	is_str(str_of(x.message), "The specified  key", "its message, without control characters");
	is_str(str_of(x.region), "eu-west-1", "its region");
	s3xml_error(&x, (struct str)STR("<html>502 Bad Gateway"));
	ok(*x.code == '\0' && *x.message == '\0', "a proxy's page is no error body");
	s3xml_error(&x, (struct str)STR(""));
	ok(*x.code == '\0', "nor is nothing");
}

/* ---- calls ---- */

struct seen {
	struct buf items; /* "NAME ETAG SIZE TIME\n" each */
	char token[64];
	bool ended;
	int status;
	struct err err;
	struct buf data;
	int refuse;       /* so many pieces are not taken at first */
	struct s3_read *read;
};

static void
on_each(void *arg, const struct gcs_item *i)
{
	struct seen *x = arg;
	buf_addf(&x->items, "%.*s %.*s %lld %.*s\n", STR_ARG(i->name), STR_ARG(i->generation),
	    (long long)i->size, STR_ARG(i->updated));
}

static void
on_page(void *arg, struct str token, const struct err *e, int status)
{
	struct seen *x = arg;
	x->ended = true;
	x->status = status;
	snprintf(x->token, sizeof(x->token), "%.*s", STR_ARG(token));
	if (e != NULL)
		x->err = *e;
}

static bool
on_bytes(void *arg, struct str piece)
{
	struct seen *x = arg;
	if (x->refuse > 0) {
		x->refuse--;
		return false;
	}
	buf_adds(&x->data, piece);
	return true;
}

static void
on_end(void *arg, const struct err *e)
{
	struct seen *x = arg;
	x->ended = true;
	x->read = NULL;
	if (e != NULL)
		x->err = *e;
}

static void
forget(struct seen *x)
{
	buf_release(&x->items);
	buf_release(&x->data);
	*x = (struct seen){.items = BUF_INIT(64 * KIB), .data = BUF_INIT(1 * MIB)};
}

static void
await(struct s3 *s, struct seen *x)
{
	int64_t end = clock_now() + SECONDS(20);
	while (!x->ended && clock_now() < end) {
		int64_t next = s3_turn(s, clock_now());
		if (x->read != NULL)
			s3_read_resume(x->read);
		if (!x->ended)
			net_turn(s->http, next < end ? next : end);
	}
	ok(x->ended, "it ends");
	tap_count--;
}

static void
set_up(struct fake *f, const struct fake_answer *table)
{
	char url[64];
	fake_start(f, table);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", f->port);
	setenv("AWS_ENDPOINT_URL_S3", url, 1);
	setenv("AWS_ACCESS_KEY_ID", "ID", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "SECRET-NOT-TO-BE-SEEN", 1);
	setenv("AWS_SESSION_TOKEN", "TOKEN", 1);
	setenv("AWS_REGION", "eu-west-1", 1);
}

#define QUERY "encoding-type=url&list-type=2&max-keys=1000&prefix="

static void
test_list(void)
{
	const struct fake_answer table[] = {{"GET /b?" QUERY "p%2F ", 1, 503, "Retry-After: 0\r\n",
	                                        "<Error><Code>SlowDown</Code></Error>", 0},
	    {"GET /b?" QUERY "p%2F ", 1, 200, NULL, "<ListBucketResult><Contents>", 0},
	    {"GET /b?" QUERY "p%2F ", 1, 200, NULL, LIST(WHOLE), 40},
	    {"GET /b?" QUERY "p%2F ", 0, 200, NULL,
	        LIST(OBJECT("p/a+b", "e", "7") "<IsTruncated>true</IsTruncated>" URL_CODED "<NextContinuation"
	                                                                                   "Token>T=&amp;/</"
	                                                                                   "NextContinuationT"
	                                                                                   "oken>"),
	        0},
	    {"GET /b?continuation-token=T%3D%26%2F&" QUERY "p%2F ", 0, 200, NULL,
	        LIST(OBJECT("p/c", "f", "0") WHOLE), 0},
	    {"GET /loop?", 0, 200, NULL,
	        LIST("<IsTruncated>true</IsTruncated><NextContinuationToken>T</NextContinuationToken>"), 0},
	    {.request = NULL}};
	struct fake f;
	struct s3 s;
	struct seen x = {0};
	struct err e = {0};
	struct http *h = http_new();
	set_up(&f, table);
	ok(s3_init(&s, h, SECONDS(20), &e) == 0, "set up");
	forget(&x);
	s3_list(&s, "b", (struct str)STR("p/"), STR_NONE, on_each, on_page, &x);
	await(&s, &x);
	is_int(x.err.class, ERR_NONE, "a page, after SlowDown, a broken and a cut one");
	is_str(buf_str(&x.items), "p/a b e 7 2009-10-12T17:50:30Z\n", "its object");
	is_str(str_of(x.token), "T=&/", "its token");
	is_int((long long)s.retries, 3, "tries that failed are counted");
	ok(s.active == 0 && s.retrying == 0, "and over");
	forget(&x);
	s3_list(&s, "b", (struct str)STR("p/"), (struct str)STR("T=&/"), on_each, on_page, &x);
	await(&s, &x);
	is_str(buf_str(&x.items), "p/c f 0 2009-10-12T17:50:30Z\n", "the next page");
	ok(x.token[0] == '\0', "is the last");
	char *seen = fake_seen(&f), auth[256];
	snprintf(auth, sizeof(auth), "\r\nHost: 127.0.0.1:%d\r\n", f.port);
	ok(strstr(seen, auth) != NULL, "the host that was signed");
	ok(strstr(seen, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=ID/") != NULL &&
	    strstr(seen, "/eu-west-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;"
	    "x-amz-security-token, Signature=") != NULL, "a signature");
	ok(strstr(seen, "SECRET") == NULL, "and no secret");
	free(seen);
	forget(&x);
	s3_list(&s, "loop", (struct str)STR(""), (struct str)STR("T"), on_each, on_page, &x);
	await(&s, &x);
	ok(x.err.class == ERR_PERMANENT && strstr(x.err.text, "same page") != NULL,
	    "a page that follows itself");
	buf_release(&x.items);
	buf_release(&x.data);
	s3_release(&s);
	http_free(h);
	fake_stop(&f);
}

static void
test_refusals(void)
{
	const struct fake_answer table[] = {
	    {"GET /denied", 0, 403, NULL,
	        "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", 0},
	    {"GET /late", 0, 403, NULL, "<Error><Code>RequestTimeTooSkewed</Code></Error>", 0},
	    {"GET /none", 0, 404, NULL, "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>", 0},
	    {"GET /ended", 0, 400, NULL, "<Error><Code>ExpiredToken</Code></Error>", 0},
	    {"GET /moved", 1, 301, "x-amz-bucket-region: ap-south-1\r\n", "", 0},
	    {"GET /moved", 0, 200, NULL, LIST(WHOLE), 0},
	    {"GET /named", 1, 400, NULL,
	        "<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-gov-1</Region></Error>", 0},
	    {"GET /named", 0, 200, NULL, LIST(WHOLE), 0},
	    {"GET /astray", 0, 301, "x-amz-bucket-region: evil.example/\r\n", "", 0},
	    {"GET /busy", 0, 500, NULL, "<Error><Code>InternalError</Code></Error>", 0},
	    {"GET /timeout", 1, 400, NULL, "<Error><Code>RequestTimeout</Code></Error>", 0},
	    {"GET /timeout", 0, 200, NULL, LIST(WHOLE), 0}, {.request = NULL}};
	static const struct {
		const char *bucket;
		enum err_class class;
		const char *words;
	} cases[] = {
	    {"denied", ERR_AUTH, "cannot list 's3://denied': HTTP 403: Access Denied (AccessDenied); give"},
	    {"late", ERR_CONFIG, "set this machine's clock"},
	    {"none", ERR_PERMANENT, "(NoSuchBucket); check the name"},
	    {"ended", ERR_AUTH, "get fresh AWS credentials"},
	    {"moved", ERR_NONE, ""},
	    {"named", ERR_NONE, ""},
	    {"astray", ERR_PERMANENT, "set AWS_REGION"},
	    {"busy", ERR_TRANSIENT, "gave up after"},
	    {"timeout", ERR_NONE, ""},
	};
	struct fake f;
	struct s3 s;
	struct seen x = {0};
	struct http *h = http_new();
	set_up(&f, table);
	ok(s3_init(&s, h, MILLIS(300), NULL) == 0, "set up");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		forget(&x);
		s3_list(&s, cases[i].bucket, STR_NONE, STR_NONE, on_each, on_page, &x);
		await(&s, &x);
		ok(x.err.class == cases[i].class && strstr(x.err.text, cases[i].words) != NULL, "%s: %s",
		    cases[i].bucket, x.err.text);
	}
	char *seen = fake_seen(&f);
	ok(strstr(seen, "/ap-south-1/s3/aws4_request") != NULL &&
	        strstr(seen, "/us-gov-1/s3/aws4_request") != NULL,
	    "signed for the region that was named");
	free(seen);
	buf_release(&x.items);
	buf_release(&x.data);
	s3_release(&s);
	http_free(h);
	fake_stop(&f);
}

#define TEXT "0123456789abcdefghij"

static void
reads(struct s3 *s, struct seen *x, const char *key, const char *what)
{
	struct gcs_item listed = {.name = str_of(key), .generation = STR("E"), .size = strlen(TEXT)};
	x->read = s3_read_start(s, "b", &listed, on_bytes, on_end, x);
	await(s, x);
	ok(x->err.class == ERR_NONE && str_is(buf_str(&x->data), TEXT), "%s: %s", what, x->err.text);
}

/* An object as it was listed. */
static struct gcs_item
item(const char *key)
{
	return (struct gcs_item){.name = str_of(key), .generation = STR("E"), .size = 20};
}

static void
test_read(void)
{
	const struct fake_answer table[] = {
	    {"GET /b/plain ", 0, 200, "ETag: \"E\"\r\n", TEXT, 0},
	    {"GET /b/cut ", 1, 200, "ETag: \"E\"\r\n", TEXT, 6},
	    {"GET /b/cut ", 1, 503, NULL, "", 0},
	    {"GET /b/cut ", 0, 206, "ETag: \"E\"\r\nContent-Range: bytes 6-19/20\r\n", "6789abcdefghij", 0},
	    {"GET /b/whole ", 1, 200, "ETag: \"E\"\r\n", TEXT, 9},
	    {"GET /b/whole ", 0, 200, "ETag: \"E\"\r\n", TEXT, 0},
	    {"GET /b/short ", 1, 200, "ETag: \"E\"\r\n", "noise", 0},
	    {"GET /b/short ", 1, 200, NULL, "<html>as long as it</html>", 0},
	    {"GET /b/short ", 1, 200, NULL, "<html>just as</html>", 0},
	    {"GET /b/short ", 0, 200, "ETag: \"E\"\r\n", TEXT, 0},
	    {"GET /b/a%20%C3%A9%2B%25/../x ", 0, 200, "ETag: \"E\"\r\n", TEXT, 0},
	    {"GET /b/changed ", 1, 200, "ETag: \"E\"\r\n", TEXT, 6},
	    {"GET /b/changed ", 0, 412, NULL, "<Error><Code>PreconditionFailed</Code></Error>", 0},
	    {"GET /b/other ", 0, 200, "ETag: \"F\"\r\n", "jihgfedcba9876543210", 0},
	    {"GET /b/shifted ", 1, 200, "ETag: \"E\"\r\n", TEXT, 6},
	    {"GET /b/shifted ", 1, 206, "ETag: \"E\"\r\nContent-Range: bytes 5-19/20\r\n", "56789abcdefghij", 0},
	    {"GET /b/shifted ", 1, 206, "ETag: \"E\"\r\nContent-Range: bytes 6-20/21\r\n", "6789abcdefghijk", 0},
	    {"GET /b/shifted ", 0, 206, "ETag: \"E\"\r\nContent-Range: bytes 6-19/20\r\n", "6789abcdefghij", 0},
	    {"GET /b/denied ", 0, 403, NULL, "<Error><Code>AccessDenied</Code></Error>", 0},
	    {"GET /b/cold ", 0, 403, NULL, "<Error><Code>InvalidObjectState</Code></Error>", 0},
	    {.request = NULL}};
	static const struct {
		const char *key;
		enum err_class class;
		const char *words, *data;
	} bad[] = {
	    {"changed", ERR_TRANSIENT, "changed while it was being read, at byte 6 of 20", "012345"},
	    {"other", ERR_TRANSIENT, "at byte 0 of 20", ""},
	    {"gone", ERR_TRANSIENT, "it is gone, at byte 0 of 20", ""},
	    {"denied", ERR_AUTH, "cannot read 's3://b/denied': HTTP 403", ""},
	    {"cold", ERR_PERMANENT, "restore it first", ""},
	};
	struct fake f;
	struct s3 s;
	struct seen x = {0};
	struct http *h = http_new();
	set_up(&f, table);
	ok(s3_init(&s, h, SECONDS(20), NULL) == 0, "set up");
	forget(&x);
	reads(&s, &x, "plain", "an object");
	forget(&x);
	reads(&s, &x, "cut", "one whose connection breaks");
	forget(&x);
	reads(&s, &x, "whole", "one that comes whole again");
	forget(&x);
	reads(&s, &x, "short", "one that comes as something else first");
	forget(&x);
	reads(&s, &x, "a \xc3\xa9+%/../x", "one with a difficult name");
	forget(&x);
	reads(&s, &x, "shifted", "one that goes on at another byte, or as another, first");
	forget(&x);
	x.refuse = 3;
	reads(&s, &x, "plain", "one that is not taken at once");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		forget(&x);
		struct gcs_item listed = item(bad[i].key);
		s3_read_start(&s, "b", &listed, on_bytes, on_end, &x);
		await(&s, &x);
		ok(x.err.class == bad[i].class && strstr(x.err.text, bad[i].words) != NULL, "%s: %s", bad[i].key, x.err.text);
		is_str(buf_str(&x.data), bad[i].data, "%s: what came before", bad[i].key);
	}
	char *seen = fake_seen(&f), *second = strstr(strstr(seen, "GET /b/cut ") + 1, "GET /b/cut ");
	ok(strstr(second, "If-Match: \"E\"\r\n") != NULL && strstr(second, "Range: bytes=6-\r\n") != NULL &&
	        strstr(second, "SignedHeaders=host;if-match;range;x-amz-") != NULL,
	    "goes on at its byte, the ETag pinned, signed");
	free(seen);
	forget(&x);
	struct gcs_item plain = item("plain");
	s3_read_cancel(s3_read_start(&s, "b", &plain, on_bytes, on_end, &x));
	ok(s.active == 0 && http_active(h) == 0, "a read that is cancelled leaves nothing");
	buf_release(&x.items);
	buf_release(&x.data);
	s3_release(&s);
	http_free(h);
	fake_stop(&f);
}

#define DATE "Last-Modified: Mon, 12 Oct 2009 17:50:30 GMT\r\n"

static void
test_stat(void)
{
	const struct fake_answer table[] = {
	    {"GET /b/there ", 0, 206, "ETag: \"E\"\r\n" DATE "Content-Range: bytes 0-0/20\r\n", "0", 0},
	    {"GET /b/empty ", 1, 416, NULL, "<Error><Code>InvalidRange</Code></Error>", 0},
	    {"GET /b/empty ", 0, 200, "ETag: \"E\"\r\n" DATE, "", 0},
	    {"GET /b/bare ", 0, 206, "ETag: \"E\"\r\n" DATE, "0", 0},
	    {"GET /b/gone ", 0, 404, NULL, "<Error><Code>NoSuchKey</Code></Error>", 0},
	    {.request = NULL}};
	static const struct {
		const char *key, *item;
		enum err_class class;
	} cases[] = {{"there", "there E 20 2009-10-12T17:50:30Z\n", ERR_NONE},
	    {"empty", "empty E 0 2009-10-12T17:50:30Z\n", ERR_NONE}, {"bare", "", ERR_PERMANENT},
	    {"gone", "", ERR_PERMANENT}};
	struct fake f;
	struct s3 s;
	struct seen x = {0};
	struct http *h = http_new();
	set_up(&f, table);
	ok(s3_init(&s, h, SECONDS(20), NULL) == 0, "set up");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		forget(&x);
		s3_stat(&s, "b", str_of(cases[i].key), on_each, on_page, &x);
		await(&s, &x);
		ok(x.err.class == cases[i].class && str_is(buf_str(&x.items), cases[i].item), "stat %s: %s",
		    cases[i].key, x.err.text);
	}
	is_int(x.status, 404, "the status is told");
	buf_release(&x.items);
	buf_release(&x.data);
	s3_release(&s);
	http_free(h);
	fake_stop(&f);
}

/* Keys that end while a backfill runs: the profile's file has new ones by then. */
static void
test_ended_keys(void)
{
	const struct fake_answer table[] = {
	    {"GET /b?", 1, 400, NULL, "<Error><Code>ExpiredToken</Code></Error>", 0},
	    {"GET /b?", 0, 200, NULL, LIST(WHOLE), 0}, {.request = NULL}};
	struct fake f;
	struct s3 s;
	struct seen x = {0};
	struct http *h = http_new();
	char path[] = "/tmp/evpipe-s3-XXXXXX";
	static const char first[] = "[default]\naws_access_key_id=OLD\naws_secret_access_key=S\n";
	static const char second[] = "[default]\naws_access_key_id=NEW\naws_secret_access_key=S\n";
	int fd = mkstemp(path);
	set_up(&f, table);
	unsetenv("AWS_ACCESS_KEY_ID");
	unsetenv("AWS_SECRET_ACCESS_KEY");
	setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
	ok(pwrite(fd, first, strlen(first), 0) > 0 && s3_init(&s, h, SECONDS(20), NULL) == 0,
	    "keys of a file");
	ok(pwrite(fd, second, strlen(second), 0) > 0, "which changes");
	forget(&x);
	s3_list(&s, "b", STR_NONE, STR_NONE, on_each, on_page, &x);
	await(&s, &x);
	char *seen = fake_seen(&f);
	ok(x.err.class == ERR_NONE && strstr(seen, "Credential=OLD/") != NULL &&
	        strstr(seen, "Credential=NEW/") != NULL,
	    "ExpiredToken: the new keys are used");
	free(seen);
	buf_release(&x.items);
	buf_release(&x.data);
	s3_release(&s);
	http_free(h);
	close(fd);
	unlink(path);
	fake_stop(&f);
}

static void
test_settings(void)
{
	static const char *const bad[] = {
	    "127.0.0.1:1", "ftp://x", "http://", "http:///x", "http://a b", "http://u@h", "http://h?x", NULL};
	struct s3 s;
	struct err e;
	struct http *h = http_new();
	setenv("AWS_ACCESS_KEY_ID", "ID", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "S", 1);
	for (int i = 0; bad[i] != NULL; i++) {
		setenv("AWS_ENDPOINT_URL_S3", bad[i], 1);
		ok(s3_init(&s, h, 0, &e) == -1 && e.class == ERR_CONFIG, "no endpoint: %s", bad[i]);
		s3_release(&s);
	}
	unsetenv("AWS_ENDPOINT_URL_S3");
	setenv("AWS_REGION", "evil.example/", 1);
	ok(s3_init(&s, h, 0, &e) == -1 && e.class == ERR_CONFIG, "no region: %s", e.text);
	s3_release(&s);
	unsetenv("AWS_REGION");
	ok(s3_init(&s, h, 0, &e) == 0 && str_is(str_of(s.region), "us-east-1"),
	    "without a region it is us-east-1");
	s3_release(&s);
	unsetenv("AWS_ACCESS_KEY_ID");
	unsetenv("AWS_SECRET_ACCESS_KEY");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
	struct seen x = {0};
	forget(&x);
	ok(s3_init(&s, h, 0, &e) == 0, "without keys");
	s3_list(&s, "b", STR_NONE, STR_NONE, on_each, on_page, &x);
	await(&s, &x);
	ok(x.err.class == ERR_AUTH && strstr(x.err.text, "'s3://b': cannot find AWS credentials") != NULL,
	    "told: %s", x.err.text);
	buf_release(&x.items);
	buf_release(&x.data);
	s3_release(&s);
	http_free(h);
	char *label = s3_label("b", (struct str)STR("a\n\033[31m"));
	is_str(str_of(label), "s3://b/a??[31m", "control characters of a key stay out of messages");
	free(label);
}

int
main(void)
{
	static const char *const gone[] = {"AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL",
	    "http_proxy", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_DISABLED", NULL};
	for (int i = 0; gone[i] != NULL; i++)
		unsetenv(gone[i]);
	setenv("AWS_CONFIG_FILE", "/nowhere", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere", 1);
	log_set(LOG_ERROR, false);
	test_page();
	test_bad_pages();
	test_error_body();
	test_list();
	test_refusals();
	test_read();
	test_stat();
	test_ended_keys();
	test_settings();
	return done();
}
