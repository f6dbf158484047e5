#include "sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "digest.h"
#include "time.h"
#include "xalloc.h"

#define STAMP_MAX sizeof("20150830T123600Z")
#define DAY_LEN 8 /* the stamp's date */
#define SCOPE_MAX 256
#define CANONICAL_MAX (64 * KIB)

struct pair {
	struct str name, value;
};

/* The headers to sign: sorted, their names in lower case in `names`. */
struct headers {
	struct pair v[SIGV4_HEADERS_MAX];
	int n;
	struct buf names;
};

static void
stamp(char out[STAMP_MAX], int64_t micros)
{
	struct civil c;
	time_civil(micros, &c);
	/* the remainders tell the compiler what a calendar knows */
	snprintf(out, STAMP_MAX, "%04u%02u%02uT%02u%02u%02uZ", (unsigned)c.year % 10000,
	    (unsigned)c.month % 100, (unsigned)c.day % 100, (unsigned)c.hour % 100, (unsigned)c.minute % 100,
	    (unsigned)c.second % 100);
}

static int
compare(const struct pair *a, const struct pair *b, bool values)
{
	int c = str_cmp(a->name, b->name);
	return c != 0 || !values ? c : str_cmp(a->value, b->value);
}

/* Stable, so that headers of one name stay in order. */
static void
sort(struct pair *v, int n, bool values)
{
	for (int i = 1; i < n; i++) {
		struct pair one = v[i];
		int k = i;
		for (; k > 0 && compare(&v[k - 1], &one, values) > 0; k--)
			v[k] = v[k - 1];
		v[k] = one;
	}
}

static bool
printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
			return false;
	}
	return true;
}

static int
add_header(struct headers *h, struct str name, struct str value, struct err *e)
{
	size_t at = h->names.n;
	if (h->n == SIGV4_HEADERS_MAX)
		return err_set(
		    e, ERR_BUG, "cannot sign a request: it has more than %d headers", SIGV4_HEADERS_MAX);
	if (name.n == 0 || !printable(name) || !printable(value))
		return err_set(
		    e, ERR_INPUT, "cannot sign a request: a header holds a control character or has no name");
	for (size_t i = 0; i < name.n; i++)
		buf_addc(
		    &h->names, (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i]));
	if (h->names.over)
		return err_set(e, ERR_BUG, "cannot sign a request: its headers' names are too long");
	h->v[h->n++] = (struct pair){{h->names.p + at, name.n}, str_trim(value)};
	return 0;
}

static int
add_given(struct headers *h, const char *const *given, struct err *e)
{
	for (; given != NULL && *given != NULL; given++) {
		struct str line = str_of(*given);
		size_t colon = str_find(line, ':');
		if (add_header(h, (struct str){line.p, colon}, str_skip(line, colon + 1), e) < 0)
			return -1;
	}
	return 0;
}

static int
collect_headers(struct headers *h, const struct sigv4_request *r, const struct sigv4_keys *k,
    const char *when, struct err *e)
{
	*h = (struct headers){.names = BUF_INIT(4 * KIB)};
	/* room at once: the names are borrowed from here */
	if (buf_room(&h->names, 4 * KIB) == NULL || add_header(h, STR("host"), str_of(r->host), e) < 0 ||
	    add_header(h, STR("x-amz-date"), str_of(when), e) < 0)
		return -1;
	if (r->send_payload && add_header(h, STR("x-amz-content-sha256"), str_of(r->payload), e) < 0)
		return -1;
	if (k->token != NULL && add_header(h, STR("x-amz-security-token"), str_of(k->token), e) < 0)
		return -1;
	if (add_given(h, r->headers, e) < 0)
		return -1;
	sort(h->v, h->n, false);
	return 0;
}

/* Blanks in a row count as one. */
static void
add_value(struct buf *out, struct str value)
{
	bool blank = false;
	for (size_t i = 0; i < value.n; i++) {
		bool now = value.p[i] == ' ' || value.p[i] == '\t';
		if (!now || !blank)
			buf_addc(out, (char)(now ? ' ' : value.p[i]));
		blank = now;
	}
}

static bool
continues(const struct headers *h, int i)
{
	return i > 0 && str_eq(h->v[i].name, h->v[i - 1].name);
}

static void
add_headers(struct buf *out, const struct headers *h)
{
	for (int i = 0; i < h->n; i++) {
		if (!continues(h, i)) {
			buf_addz(out, i > 0 ? "\n" : "");
			buf_adds(out, h->v[i].name);
		}
		buf_addc(out, (char)(continues(h, i) ? ',' : ':'));
		add_value(out, h->v[i].value);
	}
	buf_addc(out, '\n');
}

static void
add_names(struct buf *out, const struct headers *h)
{
	for (int i = 0; i < h->n; i++) {
		if (continues(h, i))
			continue;
		buf_addz(out, i > 0 ? ";" : "");
		buf_adds(out, h->v[i].name);
	}
}

static int
add_query(struct buf *out, struct str query, struct err *e)
{
	struct pair v[SIGV4_PARAMS_MAX];
	int n = 0;
	while (query.n > 0) {
		struct str one = {query.p, str_find(query, '&')};
		size_t eq = str_find(one, '=');
		query = str_skip(query, one.n + 1);
		if (one.n == 0)
			continue;
		if (n == SIGV4_PARAMS_MAX)
			return err_set(e, ERR_BUG,
			    "cannot sign a request: its query has more than %d parameters", SIGV4_PARAMS_MAX);
		v[n++] = (struct pair){{one.p, eq}, str_skip(one, eq + 1)};
	}
	sort(v, n, true);
	for (int i = 0; i < n; i++) {
		buf_addz(out, i > 0 ? "&" : "");
		buf_adds(out, v[i].name);
		buf_addc(out, '=');
		buf_adds(out, v[i].value);
	}
	return 0;
}

static int
add_canonical(struct buf *out, const struct sigv4_request *r, const struct headers *h, struct err *e)
{
	if (!printable(r->path) || !printable(r->query))
		return err_set(e, ERR_BUG, "cannot sign a request: its path or query is not percent-encoded");
	buf_addz(out, r->method);
	buf_addc(out, '\n');
	buf_adds(out, r->path);
	buf_addc(out, '\n');
	if (add_query(out, r->query, e) < 0)
		return -1;
	buf_addc(out, '\n');
	add_headers(out, h);
	buf_addc(out, '\n');
	add_names(out, h);
	buf_addc(out, '\n');
	buf_addz(out, r->payload);
	return out->over ?
	    err_set(e, ERR_INPUT, "cannot sign a request: it is larger than %zu bytes", out->max) :
	    0;
}

int
sigv4_canonical(const struct sigv4_request *r, const struct sigv4_keys *k, struct buf *out, struct err *e)
{
	char when[STAMP_MAX];
	struct headers h;
	stamp(when, r->time);
	int rc = collect_headers(&h, r, k, when, e);
	if (rc == 0)
		rc = add_canonical(out, r, &h, e);
	buf_release(&h.names);
	return rc;
}

/* out = HMAC-SHA256(key, text); out may be the key. */
static bool
hmac(uint8_t out[DIGEST_MAX], const void *key, size_t n, struct str text)
{
	unsigned len = 0;
	uint8_t result[EVP_MAX_MD_SIZE];
	bool fine =
	    HMAC(EVP_sha256(), key, (int)n, (const unsigned char *)text.p, text.n, result, &len) != NULL;
	if (fine)
		memcpy(out, result, DIGEST_MAX);
	explicit_bzero(result, sizeof(result));
	return fine;
}

/* The signature in hex: the key of the day, region and service over the string to sign. */
static int
seal(char hex[2 * DIGEST_MAX + 1], const struct sigv4_request *r, const struct sigv4_keys *k,
    const char *when, struct str text, struct err *e)
{
	struct buf first = BUF_INIT(4 * KIB);
	uint8_t key[DIGEST_MAX];
	buf_addz(&first, "AWS4");
	buf_addz(&first, k->secret);
	bool fine = !first.over && hmac(key, first.p, first.n, (struct str){when, DAY_LEN}) &&
	    hmac(key, key, sizeof(key), str_of(r->region)) &&
	    hmac(key, key, sizeof(key), str_of(r->service)) &&
	    hmac(key, key, sizeof(key), STR("aws4_request")) && hmac(key, key, sizeof(key), text);
	if (fine)
		digest_hex(hex, key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	if (first.p != NULL)
		explicit_bzero(first.p, first.cap);
	buf_release(&first);
	return fine ?
	    0 :
	    err_set(e, ERR_CONFIG, "cannot sign a request: OpenSSL refuses HMAC-SHA256 with this secret key");
}

static void
set_lines(struct sigv4 *out, const struct sigv4_request *r, const struct sigv4_keys *k,
    const struct headers *h, const char *when, const char *scope, const char *hex)
{
	struct buf names = BUF_INIT(4 * KIB);
	int n = 0;
	add_names(&names, h);
	out->v[n++] = xasprintf("Authorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%.*s, "
	                        "Signature=%s",
	    k->id, scope, STR_ARG(buf_str(&names)), hex);
	out->v[n++] = xasprintf("x-amz-date: %s", when);
	if (r->send_payload)
		out->v[n++] = xasprintf("x-amz-content-sha256: %s", r->payload);
	if (k->token != NULL)
		out->v[n++] = xasprintf("x-amz-security-token: %s", k->token);
	buf_release(&names);
}

int
sigv4_sign(const struct sigv4_request *r, const struct sigv4_keys *k, struct sigv4 *out, struct err *e)
{
	char when[STAMP_MAX], scope[SCOPE_MAX], hex[2 * DIGEST_MAX + 1];
	struct buf canonical = BUF_INIT(CANONICAL_MAX), text = BUF_INIT(1 * KIB);
	struct headers h;
	uint8_t hash[DIGEST_MAX];
	int rc = -1;
	*out = (struct sigv4){0};
	stamp(when, r->time);
	int n =
	    snprintf(scope, sizeof(scope), "%.*s/%s/%s/aws4_request", DAY_LEN, when, r->region, r->service);
	if (collect_headers(&h, r, k, when, e) < 0 || add_canonical(&canonical, r, &h, e) < 0)
		goto out;
	if (n < 0 || (size_t)n >= sizeof(scope)) {
		err_set(e, ERR_CONFIG, "cannot sign a request: the region's name is too long");
		goto out;
	}
	digest_of(DIGEST_SHA256, buf_str(&canonical), hash);
	digest_hex(hex, hash, DIGEST_MAX);
	buf_addf(&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", when, scope, hex);
	if (seal(hex, r, k, when, buf_str(&text), e) < 0)
		goto out;
	set_lines(out, r, k, &h, when, scope, hex);
	rc = 0;
out:
	if (canonical.p != NULL)
		explicit_bzero(canonical.p, canonical.cap); /* it holds the session token */
	buf_release(&canonical);
	buf_release(&text);
	buf_release(&h.names);
	return rc;
}

void
sigv4_release(struct sigv4 *s)
{
	for (int i = 0; s->v[i] != NULL; i++) {
		explicit_bzero(s->v[i], strlen(s->v[i]));
		free(s->v[i]);
	}
	*s = (struct sigv4){0};
}
