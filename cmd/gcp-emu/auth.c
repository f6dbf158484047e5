#include "auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base64.h"
#include "io.h"
#include "log.h"
#include "oauth.h"

#define TOKEN_MAX 4096
#define RANDOM_BYTES 33

static void
token_path(char *to, size_t n, const char *dir)
{
	snprintf(to, n, "%s/token", dir);
}

/* A token in the shape of Google's, so that nothing along the way treats it differently. */
static int
make_token(struct buf *out, struct err *e)
{
	char bytes[RANDOM_BYTES];
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return err_set(e, ERR_IO, "cannot read random bytes: %s", strerror(errno));
	buf_addz(out, "ya29.");
	base64_encode(out, (struct str){bytes, sizeof(bytes)});
	for (size_t i = 0; i < out->n; i++) {
		if (out->p[i] == '+' || out->p[i] == '/')
			out->p[i] = out->p[i] == '+' ? '-' : '_';
	}
	return 0;
}

int
auth_init(const char *dir, struct err *e)
{
	char path[4096];
	struct buf token = BUF_INIT(TOKEN_MAX);
	int rc = -1;
	token_path(path, sizeof(path), dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST) {
		log_info("the bearer token is in '%s'", path);
		return 0;
	}
	if (fd < 0)
		return err_set(e, ERR_IO, "cannot create '%s': %s", path, strerror(errno));
	if (make_token(&token, e) != 0)
		goto out;
	buf_addc(&token, '\n');
	if (io_write_all(fd, buf_str(&token), path, e) != 0)
		goto out;
	log_info("wrote a bearer token to '%s'", path);
	rc = 0;
out:
	close(fd);
	if (rc != 0)
		unlink(path);
	buf_release(&token);
	return rc;
}

static void
refuse(struct reply *rep, const char *error, const char *message)
{
	reply_header(rep, "WWW-Authenticate", "Bearer realm=\"https://accounts.google.com/\"%s%s%s",
	    error != NULL ? ", error=\"" : "", error != NULL ? error : "", error != NULL ? "\"" : "");
	rep->status = 401;
	struct jsonw w = jsonw_to(&rep->body);
	jsonw_object(&w);
	jsonw_key(&w, "error");
	jsonw_object(&w);
	jsonw_key(&w, "code");
	jsonw_i64(&w, 401);
	jsonw_member(&w, "message", str_of(message));
	jsonw_key(&w, "errors");
	jsonw_array(&w);
	jsonw_object(&w);
	jsonw_member(&w, "message", error != NULL ? STR("Invalid Credentials") : STR("Login Required."));
	jsonw_member(&w, "domain", STR("global"));
	jsonw_member(&w, "reason", error != NULL ? STR("authError") : STR("required"));
	jsonw_member(&w, "location", STR("Authorization"));
	jsonw_member(&w, "locationType", STR("header"));
	jsonw_end(&w);
	jsonw_end(&w);
	jsonw_member(&w, "status", STR("UNAUTHENTICATED"));
	jsonw_end(&w);
	jsonw_end(&w);
	buf_addc(&rep->body, '\n');
}

bool
auth_check(struct emu *emu, struct request *req, struct reply *rep)
{
	char path[4096];
	struct str given = request_header(req, "Authorization");
	if (given.n < 7 || !str_ieq((struct str){given.p, 7}, STR("Bearer "))) {
		refuse(rep, NULL, "Request is missing required authentication credential. Expected OAuth 2 access "
				  "token, login cookie or other valid authentication credential.");
		return false;
	}
	struct buf token = BUF_INIT(TOKEN_MAX);
	token_path(path, sizeof(path), emu->dir);
	struct err e;
	struct str bearer = str_trim(str_skip(given, 7));
	bool ok = oauth_good(emu, req, bearer) || (io_read_file(path, TOKEN_MAX, &token, &e) == 0 && bearer.n > 0 &&
	    str_eq(str_trim(buf_str(&token)), bearer));
	buf_release(&token);
	if (!ok)
		refuse(rep, "invalid_token",
		    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
		    "other valid authentication credential.");
	return ok;
}
