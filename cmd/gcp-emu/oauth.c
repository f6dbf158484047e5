/* oauth: tokens given and looked at, and the token endpoint (oauth.h). */
#include "oauth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "digest.h"
#include "jwt.h"
#include "num.h"
#include "xalloc.h"

#define SKEW 60 /* seconds that a client's clock may be ahead */
#define LIFE_MAX 3600
#define MARK "ya29.e" /* and digits: its end; a dot; a checksum */

/* ---- tokens ---- */

static void
checksum(struct emu *emu, struct str end, char hex[65])
{
	char *secret = oauth_stored(emu->dir, "token", NULL);
	uint8_t sum[DIGEST_MAX];
	struct digest d;
	digest_begin(&d, DIGEST_SHA256);
	digest_add(&d, str_of(secret));
	digest_add(&d, end);
	digest_add(&d, str_of(secret));
	digest_end(&d, sum);
	digest_hex(hex, sum, 32);
	xwipe(secret);
}

void
oauth_make(struct emu *emu, int64_t until, struct buf *out)
{
	char end[32], hex[65];
	snprintf(end, sizeof(end), "%lld", (long long)until);
	checksum(emu, str_of(end), hex);
	buf_addf(out, MARK "%s.%s", end, hex);
}

static bool
given_by_us(struct emu *emu, struct str token)
{
	char hex[65];
	int64_t until;
	if (!str_starts(token, STR(MARK)))
		return false;
	token = str_skip(token, sizeof(MARK) - 1);
	struct str end = {token.p, str_find(token, '.')};
	if (!num_i64(end, &until) || until <= emu->wall)
		return false;
	checksum(emu, end, hex);
	return str_is(str_skip(token, end.n + 1), hex);
}

void
oauth_give(struct emu *emu, struct reply *rep, const char *type)
{
	struct jsonw w = jsonw_to(&rep->body);
	struct buf token = BUF_INIT(4 * KIB);
	int64_t seconds = emu->token_lifetime / 1000000;
	oauth_make(emu, emu->wall + emu->token_lifetime, &token);
	jsonw_object(&w);
	jsonw_member(&w, "access_token", buf_str(&token));
	jsonw_key(&w, "expires_in");
	jsonw_i64(&w, seconds > 0 ? seconds : 1);
	jsonw_member(&w, "token_type", STR("Bearer"));
	if (type != NULL)
		jsonw_member(&w, "issued_token_type", str_of(type));
	jsonw_end(&w);
	buf_addc(&rep->body, '\n');
	buf_release(&token);
}

void
oauth_refuse(struct reply *rep, int status, const char *error, const char *description)
{
	struct jsonw w = jsonw_to(&rep->body);
	rep->status = status;
	jsonw_object(&w);
	jsonw_member(&w, "error", str_of(error));
	jsonw_member(&w, "error_description", str_of(description));
	jsonw_end(&w);
	buf_addc(&rep->body, '\n');
}

char *
oauth_form(const struct request *req, const char *name)
{
	struct str rest = req->body;
	while (rest.n > 0) {
		struct str pair = {rest.p, str_find(rest, '&')};
		rest = str_skip(rest, pair.n + 1);
		size_t eq = str_find(pair, '=');
		if (!str_is((struct str){pair.p, eq}, name))
			continue;
		struct buf plain = BUF_INIT(LIMIT_REPLY);
		char *spaced = str_dup(str_skip(pair, eq + 1)), *value = NULL;
		for (char *p = spaced; *p != '\0'; p++)
			*p = *p == '+' ? ' ' : *p;
		if (url_decode(&plain, str_of(spaced)))
			value = str_dup(buf_str(&plain));
		free(spaced);
		buf_release(&plain);
		return value;
	}
	return NULL;
}

/* ---- what a key signed ---- */

/* Of a JWT by our service account: NULL, or what is wrong with it. The caller releases j and claims in any case. */
static const char *
read_jwt(struct emu *emu, struct str token, struct json *j, struct buf *claims)
{
	struct err e;
	char *pem = oauth_stored(emu->dir, "service-account.json", "private_key");
	char *email = oauth_stored(emu->dir, "service-account.json", "client_email");
	struct jwt_key *key = pem != NULL ? jwt_key_read(str_of(pem), &e) : NULL;
	int64_t iat, exp, now = emu->wall / 1000000;
	const char *wrong = NULL;
	if (key == NULL || email == NULL)
		wrong = "gcp-emu's own service-account.json makes no sense.";
	else if (jwt_verify(key, token, claims, &e) < 0 || json_parse(j, buf_str(claims)) != JSON_OK)
		wrong = "Invalid JWT Signature.";
	else if (!str_is(json_text(j, json_get(j, 0, "iss")), email))
		wrong = "Invalid grant: account not found";
	else if (!json_i64(j, json_get(j, 0, "iat"), &iat) || !json_i64(j, json_get(j, 0, "exp"), &exp) || iat > now + SKEW ||
	    iat < now - LIFE_MAX || exp <= now || exp - iat > LIFE_MAX)
		wrong = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat "
			"and exp values in the JWT claim.";
	jwt_key_free(key);
	xwipe(pem);
	free(email);
	return wrong;
}

static bool
is_host(const struct request *req, struct str aud, const char *path)
{
	struct str host = request_header(req, "Host");
	char *own = xasprintf("http://%.*s%s", STR_ARG(host), path);
	bool yes = str_is(aud, own);
	free(own);
	return yes;
}

/* Its own signature: for a scope, or for the one service that it names, never both [AIP-4111]. */
static bool
signed_itself(struct emu *emu, const struct request *req, struct str token)
{
	struct json j = {0};
	struct buf claims = BUF_INIT(LIMIT_TOKEN), scratch = BUF_INIT(LIMIT_TOKEN);
	bool good = read_jwt(emu, token, &j, &claims) == NULL;
	if (good) {
		struct str aud = json_string(&j, json_get(&j, 0, "aud"), &scratch);
		struct str sub = json_text(&j, json_get(&j, 0, "sub"));
		bool scoped = json_text(&j, json_get(&j, 0, "scope")).n > 0;
		bool named = is_host(req, aud, "/") || (str_starts(aud, STR("https://")) && str_ends(aud, STR(".googleapis.com/")));
		good = str_eq(sub, json_text(&j, json_get(&j, 0, "iss"))) && scoped == (aud.n == 0) && (scoped || named);
	}
	json_release(&j);
	buf_release(&claims);
	buf_release(&scratch);
	return good;
}

bool
oauth_good(struct emu *emu, const struct request *req, struct str bearer)
{
	return given_by_us(emu, bearer) || (str_starts(bearer, STR("ey")) && signed_itself(emu, req, bearer));
}

/* ---- /token ---- */

static void
by_assertion(struct emu *emu, struct request *req, struct reply *rep)
{
	struct json j = {0};
	struct buf claims = BUF_INIT(LIMIT_TOKEN), scratch = BUF_INIT(LIMIT_TOKEN);
	char *assertion = oauth_form(req, "assertion");
	const char *wrong = assertion != NULL ? read_jwt(emu, str_of(assertion), &j, &claims) : "Missing assertion.";
	struct str aud = wrong == NULL ? json_string(&j, json_get(&j, 0, "aud"), &scratch) : STR_NONE;
	if (wrong != NULL)
		oauth_refuse(rep, 400, "invalid_grant", wrong);
	else if (!is_host(req, aud, "/token") && !str_is(aud, "https://oauth2.googleapis.com/token"))
		oauth_refuse(rep, 400, "invalid_grant", "Invalid JWT: Failed audience check.");
	else if (json_text(&j, json_get(&j, 0, "scope")).n == 0)
		oauth_refuse(rep, 400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.");
	else
		oauth_give(emu, rep, NULL);
	json_release(&j);
	buf_release(&claims);
	buf_release(&scratch);
	xwipe(assertion);
}

static bool
form_is(struct emu *emu, const struct request *req, const char *name)
{
	char *given = oauth_form(req, name), *want = oauth_stored(emu->dir, "authorized-user.json", name);
	bool same = given != NULL && want != NULL && strcmp(given, want) == 0;
	xwipe(given);
	xwipe(want);
	return same;
}

static void
token_endpoint(struct emu *emu, struct request *req, struct reply *rep)
{
	char *grant = oauth_form(req, "grant_type");
	if (strcmp(req->method, "POST") != 0 || grant == NULL)
		oauth_refuse(rep, 400, "invalid_request", "Missing required parameter: grant_type");
	else if (strcmp(grant, "urn:ietf:params:oauth:grant-type:jwt-bearer") == 0)
		by_assertion(emu, req, rep);
	else if (strcmp(grant, "refresh_token") != 0)
		oauth_refuse(rep, 400, "unsupported_grant_type", "Invalid grant_type");
	else if (!form_is(emu, req, "client_id") || !form_is(emu, req, "client_secret"))
		oauth_refuse(rep, 401, "invalid_client", "The OAuth client was not found.");
	else if (!form_is(emu, req, "refresh_token"))
		oauth_refuse(rep, 400, "invalid_grant", "Token has been expired or revoked.");
	else
		oauth_give(emu, rep, NULL);
	free(grant);
}

bool
oauth_is(struct str path)
{
	return str_is(path, "/token") || str_is(path, "/v1/token") || str_ends(path, STR(":generateAccessToken")) ||
	    str_starts(path, STR("/computeMetadata/"));
}

enum emu_answer
oauth_handle(struct emu *emu, struct request *req, struct reply *rep)
{
	if (str_is(req->path, "/token"))
		token_endpoint(emu, req, rep);
	else if (str_is(req->path, "/v1/token"))
		oauth_sts(emu, req, rep);
	else if (str_starts(req->path, STR("/computeMetadata/")))
		oauth_metadata(emu, req, rep);
	else
		oauth_impersonate(emu, req, rep);
	return EMU_DONE;
}
