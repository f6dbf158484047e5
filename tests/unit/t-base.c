/* base: strings, buffers, numbers, UTF-8, base64, the map, the JSON writer. */
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "buf.h"
#include "digest.h"
#include "err.h"
#include "jsonw.h"
#include "map.h"
#include "num.h"
#include "tap.h"
#include "url.h"
#include "utf8.h"
#include "xalloc.h"

static void
test_buf(void)
{
	struct buf b = BUF_INIT(8);
	buf_addz(&b, "12345");
	buf_addz(&b, "6789");
	ok(b.over && b.n == 5, "an addition past the maximum adds nothing and is remembered");
	buf_addz(&b, "6");
	ok(b.n == 5, "also by the next one");
	buf_reset(&b, 0);
	buf_addz(&b, "12345678");
	is_str(buf_str(&b), "12345678", "the maximum itself fits");
	is_int((long long)strlen(buf_cstr(&b)), 8, "a NUL can stand behind it");
	buf_consume(&b, 3);
	is_str(buf_str(&b), "45678", "the front can be dropped");
	buf_release(&b);
	buf_init(&b, 200);
	buf_add_printable(&b, STR("a\r\n\x1b[31m\0\x7f\xc2\x9b\xe2\x80\xae\xe2\x81\xa6 \xc3\xa9\xe2\x82\xac\xe2\x80\x94\xe2\x80"));
	is_str(buf_str(&b),
	    "a\\u000d\\u000a\\u001b[31m\\u0000\\u007f\\u009b\\u202e\\u2066 \xc3\xa9\xe2\x82\xac\xe2\x80\x94\xe2\x80",
	    "what steers a terminal is spelled out, other text stands as it is");
	buf_release(&b);
}

static void
test_num(void)
{
	int64_t v;
	double d;
	ok(num_i64(STR("-9223372036854775808"), &v) && v == INT64_MIN, "the least int64");
	ok(!num_i64(STR("-9223372036854775809"), &v), "one less does not fit");
	ok(num_i64(STR("9223372036854775807"), &v) && v == INT64_MAX, "the largest int64");
	ok(!num_i64(STR("9223372036854775808"), &v), "one more does not fit");
	static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "1.0", "1e3", "0x1"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!num_i64(str_of(bad[i]), &v), "'%s' is no whole number", bad[i]);
	ok(num_size(STR("64M"), &v) && v == 64000000, "64M");
	ok(num_size(STR("16MiB"), &v) && v == 16 << 20, "16MiB");
	ok(num_size(STR("12B"), &v) && v == 12, "12B");
	ok(!num_size(STR("M"), &v) && !num_size(STR("1X"), &v) && !num_size(STR("9000000000000G"), &v), "no sizes");
	ok(num_double(STR("1e308"), &d) && !num_double(STR("1e309"), &d), "doubles end before infinity");
}

static void
test_utf8(void)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
	    {"plain text that is long enough", true}, {"\xc3\xa9", true}, {"\xe2\x82\xac", true},
	    {"\xf0\x9d\x84\x9e", true}, {"\xf4\x8f\xbf\xbf", true}, {"\xf4\x90\x80\x80", false}, {"\xc0\xaf", false},
	    {"\xe0\x80\xaf", false}, {"\xf0\x80\x80\xaf", false}, {"\xed\xa0\x80", false}, {"\xed\xbf\xbf", false},
	    {"\x80", false}, {"\xc3", false}, {"abcdefgh\xe2\x82", false}, {"\xff", false}, {"\xfe", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(utf8_valid(str_of(cases[i].text)) == cases[i].good, "UTF-8 case %zu", i);
	is_int((long long)utf8_cut(STR("a\xe2\x82\xac"), 3), 1, "a cut never halves a character");
	is_int((long long)utf8_cut(STR("a\xe2\x82\xac"), 4), 4, "what fits is not cut");
	is_int((long long)utf8_count(STR("a\xe2\x82\xac")), 2, "characters are counted");
}

static void
test_base64(void)
{
	struct buf b = BUF_INIT(1024), back = BUF_INIT(1024);
	for (size_t n = 0; n < 20; n++) {
		buf_reset(&b, 1024);
		buf_reset(&back, 1024);
		struct str in = {"\0\xff\x10 any bytes at all..", n};
		base64_encode(&b, in);
		ok(base64_decode(&back, buf_str(&b)) == 0 && str_eq(buf_str(&back), in), "%zu bytes there and back", n);
		is_int((long long)base64_decoded_len(buf_str(&b)), (long long)n, "their length is known beforehand");
	}
	static const char *const bad[] = {"A", "AA", "AAA", "A===", "AB==", "AAB=", "AA=A", "AA\n=", "A-_A", "===="};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_reset(&back, 1024);
		ok(base64_decode(&back, str_of(bad[i])) < 0 && back.n == 0, "no base64, case %zu", i);
	}
	buf_reset(&back, 1024);
	ok(base64_decode_lenient(&back, STR("_-8")) == 0 && str_is(buf_str(&back), "\xff\xef"), "URL-safe and unpadded");
	buf_release(&b);
	buf_release(&back);
}

/* The decoder against one that goes bit by bit, over groups of what is in the alphabet and what is beside it. */
static void
test_base64_groups(void)
{
	static const char letters[] = "ABYZabyz01289+/=-_.,@[`{:*\x7f\x80\xff\n";
	static const char order[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = sizeof(letters) - 1, wrong = 0, taken = 0;
	struct buf b = BUF_INIT(64), again = BUF_INIT(64);
	for (size_t i = 0; i < n * n * n * n; i++) {
		/* Behind a sound group, so that both the loop and the tail are met. */
		char text[8] = {'T', 'W', 'F', 'u', letters[i % n], letters[i / n % n], letters[i / n / n % n],
		    letters[i / n / n / n]};
		size_t pads = text[7] != '=' ? 0 : text[6] != '=' ? 1 : 2;
		uint32_t bits = 0;
		bool good = true;
		for (size_t k = 4; k < 8; k++) {
			const char *at = k < 8 - pads ? memchr(order, text[k], 64) : order;
			good = good && at != NULL;
			bits = bits << 6 | (uint32_t)(at != NULL ? at - order : 0);
		}
		good = good && (bits & ((1u << 8 * pads) - 1)) == 0;
		char want[6] = {'M', 'a', 'n', (char)(bits >> 16), (char)(bits >> 8), (char)bits};
		buf_reset(&b, 64);
		buf_reset(&again, 64);
		bool got = base64_decode(&b, (struct str){text, 8}) == 0;
		taken += got;
		wrong += got != good || (good && !str_eq(buf_str(&b), (struct str){want, 6 - pads}));
		if (got)
			base64_encode(&again, buf_str(&b));
		wrong += got && !str_eq(buf_str(&again), (struct str){text, 8});
	}
	ok(wrong == 0 && taken > 50000, "%zu groups that are base64 of %zu: %zu wrong", taken, n * n * n * n, wrong);
	buf_release(&b);
	buf_release(&again);
}

/* Long texts are decoded many characters at a time: each byte at each place of one. */
static void
test_base64_long(void)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct buf b = BUF_INIT(200), again = BUF_INIT(200);
	unsigned wrong = 0, taken = 0;
	char text[128];
	for (size_t at = 0; at < sizeof(text); at++) {
		for (unsigned c = 0; c < 256; c++) {
			for (size_t i = 0; i < sizeof(text); i++)
				text[i] = alphabet[(i * 7 + at) % 64];
			text[at] = (char)c;
			buf_reset(&b, 200);
			buf_reset(&again, 200);
			bool got = base64_decode(&b, (struct str){text, sizeof(text)}) == 0;
			if (got)
				base64_encode(&again, buf_str(&b));
			bool good = c != 0 && strchr(alphabet, (int)c) != NULL;
			/* '=' may stand at the very end, where the character before has no stray bits. */
			bool same = got && str_eq(buf_str(&again), (struct str){text, sizeof(text)});
			wrong += got != (good || (c == '=' && at == sizeof(text) - 1 && same)) || got != same;
			taken += got;
			buf_reset(&b, 200);
			if ((c == '-' || c == '_') != (base64_decode_lenient(&b, (struct str){text, sizeof(text)}) == 0 && !got))
				wrong += c != '=';
		}
	}
	ok(wrong == 0 && taken >= 64 * sizeof(text), "each byte at each of %zu places: %u taken, %u wrong", sizeof(text), taken,
	    wrong);
	buf_release(&b);
	buf_release(&again);
}

static void
test_plain(void)
{
	bool good = true;
	for (size_t n = 0; n < 40; n++) {
		for (size_t at = 0; at < n; at++) {
			for (int c = 0; c < 256; c++) {
				char text[40];
				memset(text, 'a', sizeof(text));
				text[at] = (char)c;
				bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
				good = good && jsonw_plain((struct str){text, n}) == (plain ? n : at);
			}
		}
	}
	ok(good, "what may stand in a JSON string as it is, at every place");
}

static void
test_map(void)
{
	struct map m = {0};
	char (*keys)[8] = xcalloc(10000, sizeof(*keys));
	bool good = true;
	for (int i = 0; i < 10000; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%d", i);
		good = good && map_put(&m, str_of(keys[i]), keys[i]) == NULL;
	}
	for (int i = 0; i < 10000; i += 3)
		good = good && map_del(&m, str_of(keys[i])) == keys[i];
	for (int i = 0; i < 10000; i++)
		good = good && (map_get(&m, str_of(keys[i])) != NULL) == (i % 3 != 0);
	ok(good, "10,000 in, every third out, the rest still found");
	ok(map_put(&m, STR("1"), keys[0]) == keys[1], "a second put gives the first value back");
	ok(map_del(&m, STR("none")) == NULL, "what is not there is not taken out");
	map_release(&m);
	free(keys);
}

static void
test_jsonw(void)
{
	struct buf b = BUF_INIT(1024);
	struct jsonw w = jsonw_to(&b);
	jsonw_object(&w);
	jsonw_member(&w, "a\"b", STR("\x01\n\xff\xe2\x82\xac\0z"));
	jsonw_key(&w, "list");
	jsonw_array(&w);
	jsonw_i64(&w, -1);
	jsonw_object(&w);
	jsonw_end(&w);
	jsonw_null(&w);
	jsonw_base64(&w, STR("hi"));
	jsonw_end(&w);
	jsonw_key(&w, "last");
	jsonw_bool(&w, true);
	jsonw_end(&w);
	is_str(buf_str(&b),
	    "{\"a\\\"b\":\"\\u0001\\n\xef\xbf\xbd\xe2\x82\xac\\u0000z\",\"list\":[-1,{},null,\"aGk=\"],\"last\":true}",
	    "the writer writes JSON whatever it is given");
	buf_release(&b);
}

static void
test_err(void)
{
	struct err e;
	char longer[3000];
	memset(longer, 'x', sizeof(longer));
	longer[2999] = '\0';
	is_int(err_set(&e, ERR_AUTH, "cannot %s", "go"), -1, "err_set returns -1");
	err_wrap(&e, "line %d", 3);
	is_str(str_of(e.text), "line 3: cannot go", "words can be put in front");
	is_int(err_status(e.class), 77, "a class has its exit status");
	err_set(&e, ERR_IO, "%s", longer);
	ok(strlen(e.text) < sizeof(e.text), "long texts are cut");
}

static void
test_digest(void)
{
	uint8_t sum[DIGEST_MAX];
	char hex[2 * DIGEST_MAX + 1];
	digest_of(DIGEST_SHA256, STR("abc"), sum);
	digest_hex(hex, sum, 32);
	is_str(str_of(hex), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "SHA-256 of abc (FIPS 180-2)");
	digest_of(DIGEST_MD5, STR("abc"), sum);
	digest_hex(hex, sum, 16);
	is_str(str_of(hex), "900150983cd24fb0d6963f7d28e17f72", "MD5 of abc (RFC 1321)");
	is_int(crc32c(0, STR("123456789")), 0xe3069283, "CRC32C check value");
	is_int(crc32c(crc32c(0, STR("1234")), STR("56789")), 0xe3069283, "in two pieces");
}

static void
test_names(void)
{
	struct buf b = BUF_INIT(4096);
	struct err e;
	char *one, *two;
	ok(name_pubsub(&b, "topics", "abc", "p1", &e) == 0 && str_is(buf_str(&b), "projects/p1/topics/abc"), "a short name");
	buf_reset(&b, 0);
	ok(name_pubsub(&b, "topics", "projects/x/topics/abc", NULL, &e) == 0 && str_is(buf_str(&b), "projects/x/topics/abc"),
	    "a full one");
	static const char *const bad[] = {"ab", "1abc", "goog-x", "a/b/c", "abc def", "projects/x/subscriptions/abc",
	    "projects//topics/abc", "projects/../topics/abc", "projects/x/topics/", "abc\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(name_pubsub(&b, "topics", bad[i], "p1", &e) < 0 && e.class == ERR_USAGE, "no topic's name, case %zu", i);
	ok(name_pubsub(&b, "topics", "abc", NULL, &e) < 0, "a short name wants a project");
	ok(name_dataset("example.com:p.d", NULL, &one, &two, &e) == 0 && strcmp(one, "example.com:p") == 0 &&
	    strcmp(two, "d") == 0, "P.D");
	free(one);
	free(two);
	ok(name_dataset("d-x", "p", &one, &two, &e) < 0, "a dataset has no hyphen");
	ok(name_bucket("gs://buck/a/b/", &one, &two, &e) == 0 && strcmp(one, "buck") == 0 &&
	    strcmp(two, "a/b") == 0, "a bucket and prefix");
	free(one);
	free(two);
	static const char *const urls[] = {"s3://b/x", "gs://", "gs://B", "gs://buck/../x", "gs://buck/a//b", "gs://buck/./x"};
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		ok(name_bucket(urls[i], &one, &two, &e) < 0 && e.class == ERR_USAGE, "'%s' is refused", urls[i]);
	buf_reset(&b, 0);
	url_encode(&b, STR("a/b c\xc3\xa9"));
	is_str(buf_str(&b), "a%2Fb%20c%C3%A9", "a slash in a name is no path");
	buf_release(&b);
}

int
main(void)
{
	test_buf();
	test_num();
	test_utf8();
	test_base64();
	test_base64_groups();
	test_base64_long();
	test_plain();
	test_map();
	test_jsonw();
	test_err();
	test_digest();
	test_names();
	return done();
}
