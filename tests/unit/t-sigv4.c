/* sigv4: AWS's published examples, to the last digit. */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "sigv4.h"
#include "tap.h"
#include "time.h"

/* [docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html] */
static const struct sigv4_keys s3_keys = {.id = "AKIAIOSFODNN7EXAMPLE",
    .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
/* [the Signature Version 4 test suite] */
static const struct sigv4_keys suite_keys = {.id = "AKIDEXAMPLE",
    .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};

static int64_t
at(const char *text)
{
	int64_t micros = 0;
	time_parse_timestamp(str_of(text), &micros);
	return micros;
}

static void
signs(const struct sigv4_request *r, const struct sigv4_keys *k, const char *want, const char *name)
{
	struct sigv4 s;
	struct err e = {0};
	struct str got = STR_NONE;
	if (sigv4_sign(r, k, &s, &e) == 0) {
		char *eq = strstr(s.v[0], "Signature=");
		got = str_of(eq != NULL ? eq + strlen("Signature=") : s.v[0]);
	}
	is_str(got, want, "%s", name);
	sigv4_release(&s);
}

static struct sigv4_request
s3_request(void)
{
	return (struct sigv4_request){.method = "GET",
	    .host = "examplebucket.s3.amazonaws.com",
	    .path = STR("/"),
	    .payload = SIGV4_EMPTY,
	    .send_payload = true,
	    .region = "us-east-1",
	    .service = "s3",
	    .time = at("2013-05-24T00:00:00Z")};
}

static void
test_s3(void)
{
	struct sigv4_request r = s3_request();
	const char *const range[] = {"Range: bytes=0-9", NULL};
	r.path = (struct str)STR("/test.txt");
	r.headers = range;
	signs(&r, &s3_keys, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
	    "S3: GET object");

	const char *const put[] = {
	    "Date: Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class: REDUCED_REDUNDANCY", NULL};
	r = s3_request();
	r.method = "PUT";
	r.path = (struct str)STR("/test%24file.text");
	r.payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
	r.headers = put;
	signs(&r, &s3_keys, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
	    "S3: PUT object");

	r = s3_request();
	r.query = (struct str)STR("lifecycle");
	signs(&r, &s3_keys, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
	    "S3: GET lifecycle");

	r = s3_request();
	r.query = (struct str)STR("max-keys=2&prefix=J");
	signs(&r, &s3_keys, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
	    "S3: list objects");
	r.query = (struct str)STR("prefix=J&max-keys=2");
	signs(&r, &s3_keys, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
	    "S3: list objects, the query in another order");
}

static struct sigv4_request
suite_request(void)
{
	return (struct sigv4_request){.method = "GET",
	    .host = "example.amazonaws.com",
	    .path = STR("/"),
	    .payload = SIGV4_EMPTY,
	    .region = "us-east-1",
	    .service = "service",
	    .time = at("2015-08-30T12:36:00Z")};
}

static void
test_suite(void)
{
	struct sigv4_request r = suite_request();
	signs(&r, &suite_keys, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	    "get-vanilla");
	r.query = (struct str)STR("Param2=value2&Param1=value1");
	signs(&r, &suite_keys, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
	    "get-vanilla-query-order-key-case");
	r = suite_request();
	r.method = "POST";
	signs(&r, &suite_keys, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
	    "post-vanilla");

	/* [docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html] */
	const char *const form[] = {"Content-Type: application/x-www-form-urlencoded; charset=utf-8", NULL};
	r = suite_request();
	r.host = "iam.amazonaws.com";
	r.service = "iam";
	r.query = (struct str)STR("Action=ListUsers&Version=2010-05-08");
	r.headers = form;
	signs(&r, &suite_keys, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
	    "IAM: ListUsers");
}

static void
test_canonical(void)
{
	struct sigv4_request r = suite_request();
	struct sigv4_keys k = {.id = "A", .secret = "S", .token = "T/=="};
	struct buf out = BUF_INIT(4 * KIB);
	const char *const headers[] = {"My-Header1:  a   b  c ", "Range: bytes=1-", "my-header1: d", NULL};
	r.path = (struct str)STR("/b/a%20%2B%25%C3%A9//..");
	r.query = (struct str)STR("&b=2&a=&b=1&&list&B=%2F");
	r.headers = headers;
	r.send_payload = true;
	ok(sigv4_canonical(&r, &k, &out, NULL) == 0, "a canonical request is made");
	is_str(buf_str(&out),
	    "GET\n/b/a%20%2B%25%C3%A9//..\nB=%2F&a=&b=1&b=2&list=\n"
	    "host:example.amazonaws.com\nmy-header1:a b "
	    "c,d\nrange:bytes=1-\nx-amz-content-sha256:" SIGV4_EMPTY "\nx-amz-date:20150830T123600Z\nx-amz-"
	                                                             "security-token:T/==\n\n"
	    "host;my-header1;range;x-amz-content-sha256;x-amz-date;x-amz-security-token\n" SIGV4_EMPTY,
	    "names in order, values trimmed, equal names joined, the query sorted, the path as it is");
	buf_release(&out);
}

static void
test_lines(void)
{
	struct sigv4_request r = s3_request();
	struct sigv4_keys k = s3_keys;
	struct sigv4 s;
	k.token = "TOKEN";
	ok(sigv4_sign(&r, &k, &s, NULL) == 0, "signed with a session token");
	ok(str_starts(str_of(s.v[0]),
	       STR("Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/"
	           "us-east-1/s3/aws4_request, "
	           "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, "
	           "Signature=")),
	    "the Authorization line");
	is_str(str_of(s.v[1]), "x-amz-date: 20130524T000000Z", "the time's line");
	is_str(str_of(s.v[2]), "x-amz-content-sha256: " SIGV4_EMPTY, "the payload's line");
	is_str(str_of(s.v[3]), "x-amz-security-token: TOKEN", "the token's line");
	ok(s.v[4] == NULL, "and an end");
	sigv4_release(&s);
	r.send_payload = false;
	k.token = NULL;
	ok(sigv4_sign(&r, &k, &s, NULL) == 0 && s.v[1] != NULL && s.v[2] == NULL,
	    "lines that are not needed are not there");
	sigv4_release(&s);
}

static void
refuses(const struct sigv4_request *r, const struct sigv4_keys *k, const char *name)
{
	struct sigv4 s;
	struct err e = {0};
	ok(sigv4_sign(r, k, &s, &e) == -1 && e.class != ERR_NONE && s.v[0] == NULL, "%s: %s", name, e.text);
	sigv4_release(&s);
}

static void
test_refusals(void)
{
	struct sigv4_request r = s3_request();
	struct sigv4_keys k = s3_keys;
	const char *many[32], *const smuggled[] = {"Range: bytes=1-\r\nx-evil: 1", NULL};
	struct buf query = BUF_INIT(4 * KIB);
	for (int i = 0; i < 31; i++)
		many[i] = "a: b";
	many[31] = NULL;
	r.headers = many;
	refuses(&r, &k, "too many headers");
	r.headers = smuggled;
	refuses(&r, &k, "a header with a line of its own");
	r = s3_request();
	for (int i = 0; i < 40; i++)
		buf_addf(&query, "p%d=1&", i);
	r.query = buf_str(&query);
	refuses(&r, &k, "too many parameters");
	r = s3_request();
	r.path = (struct str)STR("/a\nb");
	refuses(&r, &k, "a path that is not encoded");
	r = s3_request();
	k.token = "a\nb";
	refuses(&r, &k, "a token with a newline");
	buf_release(&query);
}

/*
 * With an argument it is a filter for tests/outside/s3.bats: tab-separated lines METHOD HOST PATH QUERY TIME
 * TOKEN RANGE (the last two may be empty) to the Authorization each gets with AWS's example keys.
 */
static int
filter(void)
{
	char line[16384];
	while (fgets(line, sizeof(line), stdin) != NULL) {
		char *rest = line, *f[7], range[128];
		line[strcspn(line, "\n")] = '\0';
		for (int i = 0; i < 7; i++)
			f[i] = rest != NULL ? strsep(&rest, "\t") : line + strlen(line);
		snprintf(range, sizeof(range), "Range: %s", f[6]);
		const char *headers[] = {*f[6] != '\0' ? range : NULL, NULL};
		struct sigv4_keys k = s3_keys;
		struct sigv4_request r = s3_request();
		struct sigv4 s;
		struct err e;
		k.token = *f[5] != '\0' ? f[5] : NULL;
		r.method = f[0];
		r.host = f[1];
		r.path = str_of(f[2]);
		r.query = str_of(f[3]);
		r.time = at(f[4]);
		r.headers = headers;
		if (sigv4_sign(&r, &k, &s, &e) < 0)
			return 1;
		puts(s.v[0] + strlen("Authorization: "));
		sigv4_release(&s);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return filter();
	test_s3();
	test_suite();
	test_canonical();
	test_lines();
	test_refusals();
	return done();
}
