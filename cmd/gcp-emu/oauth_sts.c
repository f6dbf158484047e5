/* oauth_sts: the exchange of an external account's token (RFC 8693), and impersonation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "bounds.h"
#include "clock.h"
#include "num.h"
#include "oauth.h"
#include "sigv4.h"
#include "time.h"
#include "xalloc.h"

#define TYPE "urn:ietf:params:oauth:token-type:"
#define LIFE_MAX 43200

/* ---- AWS: a signed request to GetCallerIdentity, which Google sends on; here its signature is made again ---- */

/* A header of the serialized request: borrowed from scratch. */
static struct str
aws_header(const struct json *j, const char *name, struct buf *scratch)
{
	uint32_t list = json_get(j, 0, "headers");
	if (!json_is(j, list, JSON_ARRAY))
		return STR_NONE;
	for (uint32_t h = json_first(list); h < json_end(j, list); h = j->tok[h].next) {
		if (str_ieq(json_text(j, json_get(j, h, "key")), str_of(name)))
			return json_string(j, json_get(j, h, "value"), scratch);
	}
	return STR_NONE;
}

/* "Signature=..." */
static struct str
last_word(struct str s)
{
	while (str_find(s, ' ') < s.n)
		s = str_skip(s, str_find(s, ' ') + 1);
	return s;
}

static bool
aws_signature_fits(struct emu *emu, const struct json *j, const char *audience, struct buf *scratch)
{
	struct str auth = aws_header(j, "authorization", scratch), date = aws_header(j, "x-amz-date", scratch);
	struct str url = json_string(j, json_get(j, 0, "url"), scratch);
	char *copy = xstrdup(emu->s3_key != NULL ? emu->s3_key : "none:none"), *rest = copy;
	struct sigv4_keys keys = {.id = strsep(&rest, ":"), .secret = rest != NULL ? strsep(&rest, ":") : "", .token = rest};
	char region[64], host[96], day[16], stamp[32], id[128];
	int64_t when;
	bool fits = false;
	char *text = str_dup(auth), *address = str_dup(url), *target = xasprintf("x-goog-cloud-target-resource: %s", audience);
	if (!str_starts(last_word(auth), STR("Signature=")) ||
	    sscanf(text, "AWS4-HMAC-SHA256 Credential=%127[^/]/%15[^/]/%63[^/]/sts/aws4_request,", id, day, region) != 3 ||
	    sscanf(address, "https://%95[^/?]", host) != 1 || date.n != 16)
		goto out;
	snprintf(stamp, sizeof(stamp), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", date.p, date.p + 4, date.p + 6, date.p + 9, date.p + 11,
	    date.p + 13);
	if (time_parse_timestamp(str_of(stamp), &when) != NULL || strcmp(id, keys.id) != 0)
		goto out;
	/* Google's libraries add this one after they have signed, its documentation has it signed: either is right. */
	const char *headers[] = {strstr(text, ";x-goog-cloud-target-resource") != NULL ? target : NULL, NULL};
	struct str query = str_skip(url, str_find(url, '?') + 1);
	struct sigv4_request r = {.method = "POST", .host = host, .path = STR("/"), .query = query, .headers = headers,
	    .payload = SIGV4_EMPTY, .region = region, .service = "sts", .time = when};
	struct sigv4 ours = {0};
	if (sigv4_sign(&r, &keys, &ours, NULL) == 0)
		fits = str_ends(str_of(ours.v[0]), last_word(auth)) &&
		    str_is(aws_header(j, "x-goog-cloud-target-resource", scratch), audience) &&
		    str_is(aws_header(j, "host", scratch), host);
	sigv4_release(&ours);
out:
	free(copy);
	free(text);
	free(address);
	free(target);
	return fits;
}

static bool
aws_fits(struct emu *emu, const char *subject, const char *audience)
{
	struct buf text = BUF_INIT(LIMIT_TOKEN), scratch = BUF_INIT(LIMIT_TOKEN);
	struct json j = {0};
	bool fits = url_decode(&text, str_of(subject)) && json_parse(&j, buf_str(&text)) == JSON_OK;
	if (fits) {
		buf_room(&scratch, text.n); /* views into it must not move */
		fits = aws_signature_fits(emu, &j, audience, &scratch);
	}
	json_release(&j);
	buf_release(&text);
	buf_release(&scratch);
	return fits;
}

static bool
subject_fits(struct emu *emu, const char *subject, const char *type, const char *audience)
{
	if (strcmp(type, "urn:ietf:params:aws:token-type:aws4_request") == 0)
		return aws_fits(emu, subject, audience);
	char *want = oauth_stored(emu->dir, "subject-token", NULL);
	bool known = strcmp(type, TYPE "jwt") == 0 || strcmp(type, TYPE "id_token") == 0 || strcmp(type, TYPE "saml2") == 0;
	bool fits = known && want != NULL && strcmp(subject, want) == 0;
	free(want);
	return fits;
}

void
oauth_sts(struct emu *emu, struct request *req, struct reply *rep)
{
	static const char *const names[] = {"grant_type", "audience", "scope", "requested_token_type", "subject_token",
	    "subject_token_type"};
	enum { GRANT, AUDIENCE, SCOPE, REQUESTED, SUBJECT, SUBJECT_TYPE, ALL };
	char *v[ALL], missing[80] = "";
	for (int i = 0; i < ALL; i++) {
		v[i] = oauth_form(req, names[i]);
		if (v[i] == NULL)
			snprintf(missing, sizeof(missing), "Invalid value for \"%s\". It is required.", names[i]);
	}
	if (strcmp(req->method, "POST") != 0 || *missing != '\0')
		oauth_refuse(rep, 400, "invalid_request", missing);
	else if (strcmp(v[GRANT], "urn:ietf:params:oauth:grant-type:token-exchange") != 0)
		oauth_refuse(rep, 400, "unsupported_grant_type", "Invalid grant type.");
	else if (strcmp(v[REQUESTED], TYPE "access_token") != 0 || v[SCOPE][0] == '\0' ||
	    strncmp(v[AUDIENCE], "//iam.googleapis.com/", strlen("//iam.googleapis.com/")) != 0)
		oauth_refuse(rep, 400, "invalid_request", "Invalid audience, scope or requested_token_type.");
	else if (!subject_fits(emu, v[SUBJECT], v[SUBJECT_TYPE], v[AUDIENCE]))
		oauth_refuse(rep, 400, "invalid_grant", "The subject token could not be verified.");
	else
		oauth_give(emu, rep, TYPE "access_token");
	for (int i = 0; i < ALL; i++)
		xwipe(v[i]);
}

/* ---- impersonation ---- */

/* "3600s" */
static bool
read_lifetime(struct str s, int64_t *seconds)
{
	*seconds = 3600;
	if (s.n == 0)
		return true;
	return s.p[s.n - 1] == 's' && num_i64((struct str){s.p, s.n - 1}, seconds) && *seconds > 0 && *seconds <= LIFE_MAX;
}

static bool
delegates_fit(const struct json *j, uint32_t list)
{
	if (list == JSON_NONE || json_is(j, list, JSON_NULL))
		return true;
	for (uint32_t t = json_is(j, list, JSON_ARRAY) ? json_first(list) : JSON_NONE; t != JSON_NONE && t < json_end(j, list);
	     t = j->tok[t].next) {
		if (!str_starts(json_text(j, t), STR("projects/-/serviceAccounts/")))
			return false;
	}
	return json_is(j, list, JSON_ARRAY);
}

void
oauth_impersonate(struct emu *emu, struct request *req, struct reply *rep)
{
	struct json j = {0};
	struct buf token = BUF_INIT(4 * KIB), end = BUF_INIT(64);
	int64_t seconds;
	if (!auth_check(emu, req, rep))
		return;
	bool fine = json_parse(&j, req->body) == JSON_OK;
	uint32_t scopes = fine ? json_get(&j, 0, "scope") : JSON_NONE;
	if (!str_starts(req->path, STR("/v1/projects/-/serviceAccounts/")) || strcmp(req->method, "POST") != 0) {
		reply_rpc_error(rep, 404, "NOT_FOUND", "Requested entity was not found.");
	} else if (!fine || !json_is(&j, scopes, JSON_ARRAY) || j.tok[scopes].count == 0) {
		reply_rpc_error(rep, 400, "INVALID_ARGUMENT", "Request contains an invalid argument: scope.");
	} else if (!read_lifetime(json_text(&j, json_get(&j, 0, "lifetime")), &seconds) ||
	    !delegates_fit(&j, json_get(&j, 0, "delegates"))) {
		reply_rpc_error(rep, 400, "INVALID_ARGUMENT", "Request contains an invalid argument: lifetime or delegates.");
	} else {
		struct jsonw w = jsonw_to(&rep->body);
		int64_t life = SECONDS(seconds) < emu->token_lifetime ? SECONDS(seconds) : emu->token_lifetime;
		int64_t until = (emu->wall + life + 999999) / 1000000 * 1000000; /* the service's are whole seconds */
		oauth_make(emu, until, &token);
		time_format(&end, until);
		jsonw_object(&w);
		jsonw_member(&w, "accessToken", buf_str(&token));
		jsonw_member(&w, "expireTime", buf_str(&end));
		jsonw_end(&w);
		buf_addc(&rep->body, '\n');
	}
	json_release(&j);
	buf_release(&token);
	buf_release(&end);
}
