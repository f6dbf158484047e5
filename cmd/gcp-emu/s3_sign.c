/* s3_sign: Signature Version 4, computed again from what arrived, decoded and encoded anew as S3 does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "httpd.h"
#include "s3.h"
#include "sigv4.h"
#include "time.h"
#include "url.h"
#include "xalloc.h"

#define SKEW_MAX (15 * 60 * (int64_t)1000000)

struct claim {
	struct str id, day, region, service, headers, signature;
};

/* "NAME=VALUE" up to a comma */
static struct str
part(struct str s, const char *name)
{
	const char *p = s.n > 0 ? memmem(s.p, s.n, name, strlen(name)) : NULL;
	if (p == NULL)
		return STR_NONE;
	s = str_skip(s, (size_t)(p - s.p) + strlen(name));
	return str_trim((struct str){s.p, str_find(s, ',')});
}

static struct str
take(struct str *s, char end)
{
	struct str one = {s->p, str_find(*s, end)};
	*s = str_skip(*s, one.n + 1);
	return one;
}

static bool
read_claim(struct str header, struct claim *c)
{
	struct str scope = part(header, "Credential=");
	c->headers = part(header, "SignedHeaders=");
	c->signature = part(header, "Signature=");
	c->id = take(&scope, '/');
	c->day = take(&scope, '/');
	c->region = take(&scope, '/');
	c->service = take(&scope, '/');
	return c->id.n > 0 && c->region.n > 0 && str_is(c->service, "s3") && str_is(scope, "aws4_request") &&
	    c->headers.n > 0 && c->signature.n == 64;
}

/* "20130524T000000Z" */
static bool
read_stamp(struct str s, int64_t *micros)
{
	char text[24];
	if (s.n != 16 || s.p[8] != 'T' || s.p[15] != 'Z')
		return false;
	snprintf(text, sizeof(text), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", s.p, s.p + 4, s.p + 6, s.p + 9,
	    s.p + 11,
	    s.p + 13);
	return time_parse_timestamp(str_of(text), micros) == NULL;
}

static void
encode_query(const struct request *req, struct buf *out)
{
	request_query(req, ""); /* has it parsed */
	const struct conn *c = req->conn;
	for (int i = 0; i < c->nparams; i++) {
		buf_addz(out, i > 0 ? "&" : "");
		url_encode(out, c->params[i].name);
		buf_addc(out, '=');
		url_encode(out, c->params[i].value);
	}
}

/* The signed headers but those that sigv4 adds itself: "name: value" lines to be freed. */
static int
collect(const struct request *req, struct str names, char **out, int max)
{
	static const char *const own[] = {"host", "x-amz-date", "x-amz-content-sha256",
	    "x-amz-security-token"};
	int n = 0;
	while (names.n > 0 && n < max) {
		struct str name = take(&names, ';');
		bool ours = false;
		for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
			ours = ours || str_is(name, own[i]);
		if (ours)
			continue;
		char *key = str_dup(name);
		struct str value = request_header(req, key);
		out[n++] = xasprintf("%s:%.*s", key, STR_ARG(value));
		free(key);
	}
	out[n] = NULL;
	return n;
}

static bool
lists(struct str names, const char *name)
{
	while (names.n > 0) {
		if (str_is(take(&names, ';'), name))
			return true;
	}
	return false;
}

static bool
signature_fits(const struct request *req, const struct claim *c, int64_t when, const struct sigv4_keys *keys)
{
	struct buf path = BUF_INIT(64 * KIB), plain = BUF_INIT(64 * KIB), query = BUF_INIT(64 * KIB);
	char *region = str_dup(c->region), *host = str_dup(request_header(req, "Host"));
	char *payload = str_dup(request_header(req, "x-amz-content-sha256"));
	char *lines[SIGV4_HEADERS_MAX + 1];
	int n = collect(req, c->headers, lines, SIGV4_HEADERS_MAX);
	struct sigv4 ours;
	bool fits = false;
	if (url_decode(&plain, req->path)) {
		s3_encode_path(&path, buf_str(&plain));
		encode_query(req, &query);
		struct sigv4_request r = {.method = req->method, .host = host, .path = buf_str(&path),
		    .query = buf_str(&query), .headers = (const char *const *)lines, .payload = payload,
		    .send_payload = true, .region = region, .service = "s3", .time = when};
		fits = sigv4_sign(&r, keys, &ours, NULL) == 0 &&
		    str_eq(part(str_of(ours.v[0]), "Signature="), c->signature);
		sigv4_release(&ours);
	}
	while (n > 0)
		free(lines[--n]);
	free(region);
	free(host);
	free(payload);
	buf_release(&path);
	buf_release(&plain);
	buf_release(&query);
	return fits;
}

/* --s3-key's "ID:SECRET[:TOKEN]" in parts of a copy, to be freed. */
static char *
split_key(const char *text, struct sigv4_keys *keys)
{
	char *copy = xstrdup(text), *rest = copy;
	keys->id = strsep(&rest, ":");
	keys->secret = rest != NULL ? strsep(&rest, ":") : "";
	keys->token = rest;
	return copy;
}

static bool
check(const struct request *req, const struct emu *emu, const struct sigv4_keys *keys, struct reply *rep)
{
	struct claim c;
	int64_t when = 0;
	struct str token = request_header(req, "x-amz-security-token");
	if (!s3_signed(req)) {
		s3_error(rep, 403, "AccessDenied", "Access Denied");
	} else if (!read_claim(request_header(req, "Authorization"), &c) || !lists(c.headers, "host") ||
	    !lists(c.headers, "x-amz-date") || !read_stamp(request_header(req, "x-amz-date"), &when)) {
		s3_error(rep, 400, "AuthorizationHeaderMalformed", "The authorization header is malformed.");
	} else if (request_header(req, "x-amz-content-sha256").n == 0) {
		s3_error(rep, 400, "InvalidRequest",
		    "Missing required header for this request: x-amz-content-sha256");
	} else if (!str_is(c.id, keys->id)) {
		s3_error(rep, 403, "InvalidAccessKeyId",
		    "The AWS Access Key Id you provided does not exist in our records.");
	} else if (when > emu->wall + SKEW_MAX || when < emu->wall - SKEW_MAX) {
		s3_error(rep, 403, "RequestTimeTooSkewed",
		    "The difference between the request time and the current time is too large.");
	} else if (!str_eq(token, str_of(keys->token))) {
		s3_error(rep, 400, "ExpiredToken", "The provided token has expired.");
	} else if (!lists(c.headers, "x-amz-content-sha256") || !signature_fits(req, &c, when, keys)) {
		s3_error(rep, 403, "SignatureDoesNotMatch",
		    "The request signature we calculated does not match the signature you provided. Check "
		    "your key and "
		    "signing method.");
	} else {
		return true;
	}
	return false;
}

bool
s3_admits(const struct emu *emu, const struct request *req, struct reply *rep)
{
	struct sigv4_keys keys;
	if (emu->s3_key == NULL)
		return true;
	char *copy = split_key(emu->s3_key, &keys);
	bool fine = check(req, emu, &keys, rep);
	free(copy);
	return fine;
}
