/* oauth_files: what clients log in with, in DIR. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "io.h"
#include "jwt.h"
#include "log.h"
#include "oauth.h"
#include "xalloc.h"

#define ACCOUNT "evpipe@local-project.iam.gserviceaccount.com"
#define KEY_BITS 2048

char *
oauth_stored(const char *dir, const char *file, const char *member)
{
	struct buf text = BUF_INIT(LIMIT_TOKEN);
	struct json j = {0};
	char *path = xasprintf("%s/%s", dir, file), *value = NULL;
	if (io_read_file(path, LIMIT_TOKEN, &text, NULL) == 0) {
		if (member == NULL)
			value = str_dup(str_trim(buf_str(&text)));
		else if (json_parse(&j, buf_str(&text)) == JSON_OK)
			value = json_dup(&j, json_get(&j, 0, member));
	}
	json_release(&j);
	buf_release(&text);
	free(path);
	return value;
}

/* What is stored, or, the first time, random digits after a prefix. */
static char *
kept(const char *dir, const char *file, const char *member, const char *prefix)
{
	unsigned char random[24] = {0};
	char hex[2 * sizeof(random) + 1], *value = oauth_stored(dir, file, member);
	if (value != NULL)
		return value;
	if (getrandom(random, sizeof(random), 0) < 0)
		abort(); /* there is no kernel without */
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(hex + 2 * i, 3, "%02x", random[i]);
	return xasprintf("%s%s", prefix, hex);
}

static int
store(const char *dir, const char *file, struct str text, struct err *e)
{
	char *path = xasprintf("%s/%s", dir, file), *fresh = xasprintf("%s/%s.new", dir, file);
	int rc = -1, fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		err_set(e, ERR_IO, "cannot create '%s': %s", fresh, strerror(errno));
	else if (io_write_all(fd, text, fresh, e) == 0 && rename(fresh, path) < 0)
		err_set(e, ERR_IO, "cannot rename '%s' to '%s': %s", fresh, path, strerror(errno));
	else
		rc = e->class == ERR_NONE ? 0 : -1;
	if (fd >= 0)
		close(fd);
	free(path);
	free(fresh);
	return rc;
}

/* key, value, ..., NULL */
static int
store_object(const char *dir, const char *file, const char *const *members, struct err *e)
{
	struct buf text = BUF_INIT(LIMIT_TOKEN);
	struct jsonw w = jsonw_to(&text);
	jsonw_object(&w);
	for (; *members != NULL; members += 2)
		jsonw_member(&w, members[0], str_of(members[1]));
	jsonw_end(&w);
	buf_addc(&text, '\n');
	int rc = store(dir, file, buf_str(&text), e);
	buf_wipe(&text);
	return rc;
}

static int
store_account(const char *dir, const char *token_url, struct err *e)
{
	static const char file[] = "service-account.json";
	struct buf pem = BUF_INIT(LIMIT_TOKEN);
	char *key = oauth_stored(dir, file, "private_key"), *id = kept(dir, file, "private_key_id", "");
	char *email = oauth_stored(dir, file, "client_email");
	int rc = -1;
	if (key == NULL) {
		if (jwt_key_make(KEY_BITS, &pem, e) < 0)
			goto out;
		key = str_dup(buf_str(&pem));
	}
	const char *members[] = {"type", "service_account", "project_id", "local-project", "private_key_id", id, "private_key", key,
	    "client_email", email != NULL ? email : ACCOUNT, "client_id", "100000000000000000001", "token_uri", token_url,
	    "universe_domain", "googleapis.com", NULL};
	rc = store_object(dir, file, members, e);
out:
	xwipe(key);
	free(id);
	free(email);
	buf_wipe(&pem);
	return rc;
}

static int
store_user(const char *dir, const char *token_url, struct err *e)
{
	static const char file[] = "authorized-user.json";
	char *secret = kept(dir, file, "client_secret", "GOCSPX-"), *refresh = kept(dir, file, "refresh_token", "1//0");
	const char *members[] = {"type", "authorized_user", "client_id", "evpipe.apps.googleusercontent.com", "client_secret",
	    secret, "refresh_token", refresh, "token_uri", token_url, NULL};
	int rc = store_object(dir, file, members, e);
	free(secret);
	free(refresh);
	return rc;
}

static int
store_external(const char *dir, int port, struct err *e)
{
	char *subject = kept(dir, "subject-token", NULL, "ey");
	struct buf text = BUF_INIT(LIMIT_TOKEN);
	struct jsonw w = jsonw_to(&text);
	char *file = xasprintf("%s/subject-token", dir), *url = xasprintf("http://127.0.0.1:%d/v1/token", port);
	jsonw_object(&w);
	jsonw_member(&w, "type", STR("external_account"));
	jsonw_member(&w, "audience",
	    STR("//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/local/providers/local"));
	jsonw_member(&w, "subject_token_type", STR("urn:ietf:params:oauth:token-type:jwt"));
	jsonw_member(&w, "token_url", str_of(url));
	jsonw_key(&w, "credential_source");
	jsonw_object(&w);
	jsonw_member(&w, "file", str_of(file));
	jsonw_end(&w);
	jsonw_end(&w);
	buf_addc(&text, '\n');
	int rc = store(dir, "external-account.json", buf_str(&text), e);
	if (rc == 0)
		rc = store(dir, "subject-token", str_of(subject), e);
	buf_release(&text);
	free(subject);
	free(file);
	free(url);
	return rc;
}

int
oauth_init(const char *dir, int port, struct err *e)
{
	char *full = realpath(dir, NULL), *url = xasprintf("http://127.0.0.1:%d/token", port);
	const char *at = full != NULL ? full : dir;
	int rc = store_account(at, url, e) < 0 || store_user(at, url, e) < 0 || store_external(at, port, e) < 0 ? -1 : 0;
	if (rc == 0)
		log_info("clients may log in with service-account.json,"
		    " authorized-user.json or external-account.json in '%s'", dir);
	free(full);
	free(url);
	return rc;
}
