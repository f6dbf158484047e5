/* cred: files of credentials, good and hostile; no message may hold a value of theirs. */
#include "cred.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "jsonw.h"
#include "tap.h"

#define USER "\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"SECRET1\",\"refresh_token\":\"SECRET2\""
#define EXTERNAL "\"type\":\"external_account\",\"audience\":\"//a\",\"subject_token_type\":\"t\",\"token_url\":\"https://sts.x/y\""
#define FILE_SOURCE ",\"credential_source\":{\"file\":\"/f\"}"
#define IMPERSONATED "\"type\":\"impersonated_service_account\",\"service_account_impersonation_url\":" \
	"\"https://iam.x/v1/projects/-/serviceAccounts/a@b:generateAccessToken\""

static struct cred
good(const char *text)
{
	struct cred c;
	struct err e = {0};
	bool fine = cred_parse(&c, str_of(text), "F", &e) == 0;
	ok(fine, "taken: %.90s%s%s", text, fine ? "" : ": ", e.text);
	return c;
}

static void
bad(const char *text, const char *words)
{
	struct cred c;
	struct err e = {0};
	int rc = cred_parse(&c, str_of(text), "F", &e);
	bool fine = rc < 0 && e.class == ERR_CONFIG && strstr(e.text, words) != NULL && strstr(e.text, "'F") != NULL &&
	    strstr(e.text, "SECRET") == NULL;
	if (!ok(fine, "refused (%s): %.80s", words, text))
		printf("# got: %d %s\n", rc, e.text);
	cred_release(&c);
}

static void
test_kinds(void)
{
	struct cred c = good("{" USER "}");
	ok(c.kind == CRED_USER && strcmp(c.token_url, "https://oauth2.googleapis.com/token") == 0,
	    "a person's, with Google's endpoint");
	cred_release(&c);
	c = good("{" USER ",\"token_uri\":\"http://127.0.0.1:8085/token\",\"quota_project_id\":\"q\",\"account\":\"\",\"x\":[1]}");
	ok(strcmp(c.token_url, "http://127.0.0.1:8085/token") == 0 && strcmp(c.quota_project, "q") == 0, "its own, and a project");
	cred_release(&c);
	c = good("{" EXTERNAL FILE_SOURCE ",\"service_account_impersonation\":{\"token_lifetime_seconds\":2800}}");
	ok(c.kind == CRED_EXTERNAL && c.subject == SUBJECT_FILE && c.field == NULL && c.lifetime == 2800 &&
	    c.impersonate_url == NULL,
	    "an external account's file");
	cred_release(&c);
	c = good("{" EXTERNAL ",\"credential_source\":{\"url\":\"http://169.254.169.254/t\","
	    "\"headers\":{\"Metadata\":\"True\",\"b\":\"\"},"
	    "\"format\":{\"type\":\"json\",\"subject_token_field_name\":\"access_token\"}}}");
	ok(c.subject == SUBJECT_URL && strcmp(c.headers[0], "Metadata: True") == 0 && strcmp(c.field,
	    "access_token") == 0, "a URL");
	cred_release(&c);
	c = good("{" EXTERNAL ",\"credential_source\":{\"executable\":{\"command\":\"/a/b  --x 'c d' \\\"e'f\\\"\"}}}");
	ok(c.subject == SUBJECT_PROGRAM && c.timeout == 30000000 && strcmp(c.command[2], "c d") == 0 &&
	    strcmp(c.command[3], "e'f") == 0 &&
	    c.command[4] == NULL, "a program and its words");
	cred_release(&c);
	c = good("{" EXTERNAL ",\"credential_source\":{\"environment_id\":\"aws1\","
	    "\"regional_cred_verification_url\":\"https://sts.{region}.amazonaws.com?A=b\"}}");
	ok(c.subject == SUBJECT_AWS, "AWS");
	cred_release(&c);
	c = good("{" IMPERSONATED ",\"delegates\":[\"a\",\"b\"],\"source_credentials\":{" USER "}}");
	ok(c.kind == CRED_IMPERSONATED && c.source->kind == CRED_USER && strcmp(c.delegates[1], "b") == 0, "impersonation");
	char *label = cred_label(&c);
	ok(strstr(label, "a@b") != NULL && strstr(label, "SECRET") == NULL, "its label names the account: %s", label);
	free(label);
	cred_release(&c);
	c = good("{\"type\":\"external_account_authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s\","
	    "\"refresh_token\":\"r\","
	    "\"token_url\":\"https://sts.x/v1/oauthtoken\"}");
	cred_release(&c);
}

static void
test_hostile(void)
{
	static const char *const texts[] = {"", "{", "[]", "null", "5", "\"SECRET\"",
	    "{\"type\":\"authorized_user\"} x", "\xef\xbb\xbf{}",
	    "{\"type\":\"\xff\"}"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		bad(texts[i], "no JSON object");
	bad("{}", "'type'");
	bad("{\"type\":5}", "'type'");
	bad("{\"type\":\"SECRET\"}", "'type'");
	bad("{\"installed\":{\"client_id\":\"x\"}}", "is this a file of credentials?");
	bad("{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"SECRET\"}", "'refresh_token' is missing");
	bad("{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"SECRET\","
	    "\"refresh_token\":\"\"}", "'refresh_token' is empty");
	bad("{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":[\"SECRET\"],"
	    "\"refresh_token\":\"r\"}", "'client_secret'");
	bad("{\"type\":\"authorized_user\",\"client_id\":\"c\\r\\nX: y\",\"client_secret\":\"s\","
	    "\"refresh_token\":\"r\"}", "'client_id'");
	bad("{\"type\":\"authorized_user\",\"client_id\":\"c\\u0000d\",\"client_secret\":\"s\","
	    "\"refresh_token\":\"r\"}", "'client_id'");
	bad("{" USER ",\"universe_domain\":\"SECRET.example\"}", "'universe_domain'");
	bad("{" USER ",\"quota_project_id\":\"a\\nb\"}", "'quota_project_id'");
	static const char *const urls[] = {"http://example.com/SECRET", "http://127.0.0.1@x/",
	    "file:///etc/passwd", "https://", "", "x",
	    "http://[::1", "https://x/a b", "http://localhost.example.com/"};
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct buf b = BUF_INIT(4 * KIB);
		buf_addf(&b, "{" USER ",\"token_uri\":\"%s\"}", urls[i]);
		bad(buf_cstr(&b), "'token_uri'");
		buf_reset(&b, 0);
		buf_addf(&b, "{" EXTERNAL FILE_SOURCE ",\"service_account_impersonation_url\":\"%s\"}", urls[i]);
		bad(buf_cstr(&b), "'service_account_impersonation_url'");
		buf_release(&b);
	}
	bad("{\"type\":\"service_account\",\"client_email\":\"a@b\",\"private_key\":\"SECRET\"}",
	    "'private_key' it is no private key");
	bad("{\"type\":\"service_account\",\"client_email\":\"a@b\"}", "'private_key' is missing");
	bad("{\"type\":\"service_account\",\"private_key\":\"SECRET\"}", "'client_email'");
	bad("{" EXTERNAL "}", "'credential_source'");
	bad("{" EXTERNAL ",\"credential_source\":{}}", "'credential_source'");
	bad("{" EXTERNAL ",\"credential_source\":{\"certificate\":{}}}", "'credential_source'");
	bad("{" EXTERNAL ",\"credential_source\":{\"environment_id\":\"aws2\"}}", "environment_id");
	bad("{" EXTERNAL ",\"credential_source\":{\"file\":\"f\",\"format\":{\"type\":\"xml\"}}}", "format.type");
	bad("{" EXTERNAL ",\"credential_source\":{\"file\":\"f\",\"format\":{\"type\":\"json\"}}}", "'subject_token_field_name'");
	bad("{" EXTERNAL ",\"credential_source\":{\"url\":\"https://x/\",\"headers\":{\"A\":\"SECRET\\r\\nB: c\"}}}", "headers");
	bad("{" EXTERNAL ",\"credential_source\":{\"url\":\"https://x/\",\"headers\":{\"A:\":\"b\"}}}", "headers");
	bad("{" EXTERNAL ",\"credential_source\":{\"url\":\"https://x/\",\"headers\":[\"A\"]}}", "headers");
	bad("{" EXTERNAL ",\"credential_source\":{\"executable\":{}}}", "'command'");
	bad("{" EXTERNAL ",\"credential_source\":{\"executable\":{\"command\":\"  \"}}}", "command");
	bad("{" EXTERNAL ",\"credential_source\":{\"executable\":{\"command\":\"a 'b\"}}}", "command");
	bad("{" EXTERNAL ","
	    "\"credential_source\":{\"executable\":{\"command\":\"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\"}}}", "command");
	bad("{" EXTERNAL ",\"credential_source\":{\"executable\":{\"command\":\"a\","
	    "\"timeout_millis\":4999}}}", "'timeout_millis'");
	bad("{" EXTERNAL FILE_SOURCE ",\"service_account_impersonation\":{\"token_lifetime_seconds\":599}}",
	    "'token_lifetime_seconds'");
	bad("{" IMPERSONATED "}", "'source_credentials'");
	bad("{" IMPERSONATED ",\"delegates\":[5],\"source_credentials\":{" USER "}}", "'delegates'");
	bad("{" IMPERSONATED ",\"source_credentials\":{" IMPERSONATED ",\"source_credentials\":{" USER "}}}", "impersonates too");
	struct buf deep = BUF_INIT(1 * MIB);
	for (int i = 0; i < 20000; i++)
		buf_addz(&deep, "{\"source_credentials\":");
	bad(buf_cstr(&deep), "no JSON object");
	buf_reset(&deep, 0);
	for (int i = 0; i < 70; i++)
		buf_addz(&deep, "{" IMPERSONATED ",\"source_credentials\":");
	buf_addz(&deep, "5");
	for (int i = 0; i < 70; i++)
		buf_addz(&deep, "}");
	bad(buf_cstr(&deep), "no JSON object");
	buf_release(&deep);
}

/* A good file with each byte changed or cut away: refused or taken, and never more than that (the sanitizers watch). */
static void
test_noise(void)
{
	char text[] = "{" EXTERNAL ",\"credential_source\":{\"url\":\"https://x/\",\"headers\":{\"A\":\"b\"},"
	    "\"format\":{\"type\":\"json\","
		      "\"subject_token_field_name\":\"t\"}},\"client_id\":\"c\",\"client_secret\":\"s\"}";
	static const char with[] = "\0\"\\{}[]:,x\n\xff";
	unsigned taken = 0, all = 0;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		for (size_t k = 0; k < sizeof(with) - 1; k++, all++) {
			struct cred c;
			struct err e;
			char was = text[i];
			text[i] = with[k];
			taken += cred_parse(&c, (struct str){text, sizeof(text) - 1}, "F", &e) == 0;
			cred_release(&c);
			text[i] = was;
		}
		struct cred c;
		struct err e;
		taken += cred_parse(&c, (struct str){text, i}, "F", &e) == 0;
		cred_release(&c);
	}
	ok(taken < all / 2, "%u of %u changed files were still fine", taken, all);
}

int
main(void)
{
	test_kinds();
	test_hostile();
	test_noise();
	return done();
}
