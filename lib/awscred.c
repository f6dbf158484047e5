#include "awscred.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "awsprofile.h"
#include "bounds.h"
#include "clock.h"
#include "io.h"
#include "json.h"
#include "log.h"
#include "num.h"
#include "sandbox.h"
#include "time.h"
#include "url.h"
#include "xalloc.h"

#define AHEAD SECONDS(600)       /* fetched again so long before their end */
#define AGAIN SECONDS(60)        /* where what came ends sooner than that, or was refused */
#define FIRST_CONTAINER SECONDS(30) /* how long the first fetch may fail */
#define FIRST_INSTANCE SECONDS(4)
#define KEY_ID_MAX 128
#define SECRET_MAX 256

/* The metadata service is asked in three steps, a container's only in the last. */
enum { STEP_SESSION, STEP_ROLE, STEP_KEYS };

static const char *
env(const char *name)
{
	const char *v = getenv(name);
	return v != NULL && *v != '\0' ? v : NULL;
}

static const char *
env_or(const char *name, const char *other)
{
	const char *v = env(name);
	return v != NULL ? v : env(other);
}

static void
wipe(char **text)
{
	xwipe(*text);
	*text = NULL;
}

/* Goes into a header: visible ASCII only. */
static bool
visible(const char *s, size_t max)
{
	size_t n = 0;
	for (; n <= max && s[n] != '\0'; n++) {
		if (s[n] <= ' ' || s[n] > '~')
			return false;
	}
	return n > 0 && n <= max;
}

/* Takes the three over (token may be NULL), and wipes what was there. */
static int
set_keys(struct awscred *c, char *id, char *secret, char *token, const char *where, struct err *e)
{
	if (id == NULL || secret == NULL || !visible(id, KEY_ID_MAX) || !visible(secret, SECRET_MAX) ||
	    (token != NULL && !visible(token, LIMIT_TOKEN / 4))) {
		bool half = (id == NULL) != (secret == NULL);
		wipe(&id);
		wipe(&secret);
		wipe(&token);
		return err_set(e, ERR_CONFIG, "cannot use the AWS credentials of %s: %s", where,
		    half ? "an access key and its secret key belong together, and one is missing" :
		    "they hold characters that no key has, or are too long");
	}
	bool same = c->id != NULL && strcmp(c->id, id) == 0 && strcmp(c->secret, secret) == 0 &&
	    strcmp(c->token != NULL ? c->token : "", token != NULL ? token : "") == 0;
	wipe(&c->id);
	wipe(&c->secret);
	wipe(&c->token);
	c->id = id;
	c->secret = secret;
	c->token = token;
	c->keys = (struct sigv4_keys){.id = id, .secret = secret, .token = token};
	c->serial += !same;
	return 0;
}

static char *
copy(const char *s)
{
	return s != NULL ? xstrdup(s) : NULL;
}

/* A file of the profile's: named by the environment, else in ~/.aws. */
static char *
aws_file(const char *variable, const char *name)
{
	const char *named = env(variable), *home = env("HOME");
	if (named != NULL && named[0] == '~' && named[1] == '/' && home != NULL)
		return xasprintf("%s%s", home, named + 1);
	if (named != NULL)
		return xstrdup(named);
	return home != NULL ? xasprintf("%s/.aws/%s", home, name) : NULL;
}

static int
load_profile(const struct awscred *c, struct awsprofile *p, struct err *e)
{
	char *credentials = aws_file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
	char *config = aws_file("AWS_CONFIG_FILE", "config");
	int rc = awsprofile_load(p, c->profile, credentials, config, e);
	free(credentials);
	free(config);
	return rc;
}

/* Moves the keys out of p. */
static int
take_profile(struct awscred *c, struct awsprofile *p, struct err *e)
{
	char *where = xasprintf("profile '%.100s'", c->profile);
	int rc = set_keys(c, p->id, p->secret, p->token, where, e);
	p->id = p->secret = p->token = NULL;
	c->source = AWSCRED_PROFILE;
	free(where);
	return rc;
}

/* ---- containers ---- */

static int
use_container(struct awscred *c, const char *relative, const char *full, struct err *e)
{
	c->source = AWSCRED_CONTAINER;
	c->url = relative != NULL ? xasprintf(AWS_LINK_LOCAL_CONTAINER "%s", relative) : xstrdup(full);
	bool fine = url_keeps_secrets(c->url) && (relative == NULL || relative[0] == '/');
	if (fine)
		return 0;
	return err_set(e, ERR_CONFIG, "cannot use %s: it must be %s",
	    relative != NULL ? "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" :
	                       "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	    relative != NULL ? "a path" : "https, or http to this machine or a link-local address");
}

/* The Authorization header that a container's credentials want; NULL with *fine true where they want none. */
static char *
container_header(bool *fine, struct err *e)
{
	const char *path = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	char *token = copy(env("AWS_CONTAINER_AUTHORIZATION_TOKEN")), *header = NULL;
	*fine = true;
	if (path != NULL) {
		struct buf text = BUF_INIT(LIMIT_TOKEN);
		wipe(&token);
		*fine = io_read_file(path, LIMIT_TOKEN, &text, e) == 0;
		if (*fine)
			token = str_dup(str_trim(buf_str(&text)));
		buf_wipe(&text);
	}
	for (const char *p = token; p != NULL && *fine && *p != '\0'; p++) {
		if (*p < ' ' || *p > '~') {
			*fine = false;
			err_set(e, ERR_CONFIG,
			    "cannot use the container's authorization token: it holds a control character");
		}
	}
	if (*fine && token != NULL)
		header = xasprintf("Authorization: %s", token);
	wipe(&token);
	return header;
}

/* ---- the instance ---- */

static int
use_instance(struct awscred *c, struct err *e)
{
	const char *base = env("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
	           *mode = env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	const char *disabled = env("AWS_EC2_METADATA_DISABLED");
	if (disabled != NULL && str_ieq(str_of(disabled), STR("true")))
		return err_set(e, ERR_AUTH,
		    "cannot find AWS credentials: none in the environment, in profile '%.100s' or from "
		    "a container, and AWS_EC2_METADATA_DISABLED is set; set AWS_ACCESS_KEY_ID and "
		    "AWS_SECRET_ACCESS_KEY, or "
		    "AWS_PROFILE",
		    c->profile);
	if (base == NULL)
		base = mode != NULL && str_ieq(str_of(mode), STR("ipv6")) ? "http://[fd00:ec2::254]" :
		                                                            AWS_INSTANCE_METADATA;
	c->source = AWSCRED_INSTANCE;
	c->url = xstrdup(base);
	for (size_t n = strlen(c->url); n > 0 && c->url[n - 1] == '/'; n--)
		c->url[n - 1] = '\0';
	if (url_keeps_secrets(c->url))
		return 0;
	return err_set(e, ERR_CONFIG,
	    "cannot use AWS_EC2_METADATA_SERVICE_ENDPOINT: it must be https, or http to this machine or a link-local address");
}

/* ---- choosing ---- */

static int
choose(struct awscred *c, struct awsprofile *p, struct err *e)
{
	const char *id = env("AWS_ACCESS_KEY_ID"), *secret = env("AWS_SECRET_ACCESS_KEY");
	const char *relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	if (id != NULL || secret != NULL) {
		c->source = AWSCRED_ENVIRONMENT;
		return set_keys(
		    c, copy(id), copy(secret), copy(env("AWS_SESSION_TOKEN")), "the environment", e);
	}
	if (p->id != NULL || p->secret != NULL)
		return take_profile(c, p, e);
	if (!p->found && env("AWS_PROFILE") != NULL)
		return err_set(
		    e, ERR_CONFIG, "cannot use AWS profile '%.100s': there is none of that name", c->profile);
	if (p->other != NULL)
		return err_set(e, ERR_CONFIG,
		    "cannot use AWS profile '%.100s': its '%s' is a way to credentials not known here; "
		    "give them by: eval \"$(aws configure export-credentials --format env)\"",
		    c->profile, p->other);
	if (relative != NULL || full != NULL)
		return use_container(c, relative, full, e);
	/* The instance's own role would be somebody else. */
	if (env("AWS_WEB_IDENTITY_TOKEN_FILE") != NULL)
		return err_set(e, ERR_CONFIG,
		    "cannot use AWS_WEB_IDENTITY_TOKEN_FILE: that way to credentials is not known here; give them by: "
		    "eval \"$(aws configure export-credentials --format env)\"");
	return use_instance(c, e);
}

int
awscred_init(struct awscred *c, struct http *http, int64_t patience, struct err *e)
{
	static const char *const names[] = {
	    "the environment", "a profile", "the container", "the instance's role"};
	struct awsprofile p = {0};
	const char *profile = env_or("AWS_PROFILE", "AWS_DEFAULT_PROFILE");
	const char *region = env_or("AWS_REGION", "AWS_DEFAULT_REGION");
	const char *endpoint = env_or("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
	const char *ignore = env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	*c = (struct awscred){.http = http, .patience = patience, .expires = CLOCK_NEVER};
	rng_seed_os(&c->rng);
	sandbox_secrets();
	c->profile = xstrdup(profile != NULL ? profile : "default");
	if (load_profile(c, &p, e) < 0)
		return -1;
	c->region = copy(region != NULL ? region : p.region);
	if (ignore == NULL || !str_ieq(str_of(ignore), STR("true")))
		c->endpoint = copy(endpoint != NULL ? endpoint : p.endpoint);
	int rc = choose(c, &p, e);
	if (rc == 0 && c->source == AWSCRED_PROFILE)
		io_warn_of_readers(p.file);
	awsprofile_release(&p);
	if (rc == 0)
		log_debug("AWS credentials come from %s", names[c->source]);
	return rc;
}

/* ---- fetching ---- */

static bool
fetches(const struct awscred *c)
{
	return c->source == AWSCRED_CONTAINER || c->source == AWSCRED_INSTANCE;
}

static bool
usable(const struct awscred *c)
{
	return c->id != NULL && (c->expires == CLOCK_NEVER || clock_wall() < c->expires);
}

enum awscred_state
awscred_state(const struct awscred *c)
{
	if (usable(c))
		return AWSCRED_READY;
	return c->failed ? AWSCRED_FAILED : AWSCRED_WAITING;
}

static const char *
source_name(const struct awscred *c)
{
	return c->source == AWSCRED_INSTANCE ? "the instance metadata service" :
	                                       "the container's credentials service";
}

/* A fetch failed, as c->err says: another one later, or none ever. */
static void
fetch_failed(struct awscred *c)
{
	int64_t now = clock_now(), patience = usable(c) ? 0 : c->patience;
	bool transient = c->err.class == ERR_TRANSIENT;
	if (!c->fetched)
		patience = c->source == AWSCRED_INSTANCE ? FIRST_INSTANCE : FIRST_CONTAINER;
	if (!transient && usable(c)) {
		c->when = now + AGAIN;
		log_warn("%s; trying again in 60 s", c->err.text);
		return;
	}
	if (transient && retry_next(&c->retry, &c->rng, now, 0, false, patience, &c->when)) {
		log_debug("%s; trying again in %.1f s", c->err.text, (double)(c->when - now) / 1e6);
		return;
	}
	c->failed = true;
	c->when = CLOCK_NEVER;
	/* It was the last resort: most likely there is no such service here. */
	if (!c->fetched && c->source == AWSCRED_INSTANCE) {
		c->err.class = ERR_AUTH;
		err_wrap(&c->err,
		    "cannot find AWS credentials: none in the environment or in profile '%.100s'; set "
		    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
		    c->profile);
	}
}

static void
refused(struct awscred *c, const struct http_reply *reply)
{
	int s = reply->status;
	bool transient =
	    s == 0 || s == 408 || s == 429 || s >= 500 || (s == 401 && c->source == AWSCRED_INSTANCE);
	const char *advice = "";
	if (c->source == AWSCRED_INSTANCE && c->step == STEP_ROLE && s == 404)
		advice = "; this instance has no role: attach one";
	else if (c->source == AWSCRED_INSTANCE && c->step == STEP_SESSION && !transient)
		advice = "; it may be switched off, or know only version 1";
	else if (c->source == AWSCRED_INSTANCE && c->step == STEP_SESSION)
		advice = "; if this is a container on an instance, its hop limit must be 2";
	if (s == 0)
		err_set(&c->err, ERR_TRANSIENT, "cannot get credentials from %s: %s%s", source_name(c),
		    reply->failure, advice);
	else
		err_set(&c->err, transient ? ERR_TRANSIENT : ERR_AUTH,
		    "cannot get credentials from %s: HTTP %d%s", source_name(c), s, advice);
}

/* {"AccessKeyId": ..., "SecretAccessKey": ..., "Token": ..., "Expiration": ...}; -1 with c->err. */
static int
read_keys(struct awscred *c, struct str body)
{
	struct json j = {0};
	int64_t end = CLOCK_NEVER;
	int rc = -1;
	if (json_read(&j, body, &c->err) < 0) {
		/* json's message holds no text of the body */
		err_wrap(&c->err, "cannot read the credentials from %s", source_name(c));
		c->err.class = ERR_TRANSIENT;
		goto out;
	}
	uint32_t code = json_get(&j, 0, "Code"), expiration = json_get(&j, 0, "Expiration");
	if (json_is(&j, code, JSON_STRING) && !str_is(json_text(&j, code), "Success")) {
		err_set(&c->err, ERR_TRANSIENT,
		    "cannot get credentials from %s: it says that its role has none; check the "
		    "role's trust policy",
		    source_name(c));
		goto out;
	}
	if (expiration != JSON_NONE && time_parse_service(json_text(&j, expiration), &end) != NULL) {
		err_set(&c->err, ERR_TRANSIENT,
		    "cannot read the credentials from %s: their Expiration is no time", source_name(c));
		goto out;
	}
	if (end <= clock_wall()) {
		err_set(&c->err, ERR_TRANSIENT,
		    "cannot use the credentials from %s: they have ended already; check this "
		    "machine's clock",
		    source_name(c));
		goto out;
	}
	if (set_keys(c, json_dup(&j, json_get(&j, 0, "AccessKeyId")),
	        json_dup(&j, json_get(&j, 0, "SecretAccessKey")), json_dup(&j, json_get(&j, 0, "Token")),
	        source_name(c), &c->err) < 0)
		goto out;
	c->expires = end;
	rc = 0;
out:
	json_release(&j);
	return rc;
}

static void
got_keys(struct awscred *c, struct str body)
{
	if (read_keys(c, body) < 0) {
		fetch_failed(c);
		return;
	}
	int64_t now = clock_now(), left = c->expires == CLOCK_NEVER ? CLOCK_NEVER : c->expires - clock_wall();
	c->failed = false;
	c->fetched = true;
	retry_reset(&c->retry);
	if (left == CLOCK_NEVER)
		c->when = CLOCK_NEVER;
	else if (left > AHEAD + AGAIN)
		c->when = now + left - AHEAD;
	else
		c->when = now + (left / 2 < AGAIN ? left / 2 : AGAIN);
	log_debug("AWS credentials were fetched");
}

static void start_step(struct awscred *c);

static void
on_reply(void *arg, const struct http_reply *reply)
{
	struct awscred *c = arg;
	struct str text = str_trim(reply->body);
	c->request = NULL;
	if (reply->status / 100 != 2 || reply->too_large || reply->body.n > LIMIT_TOKEN) {
		refused(c, reply);
		fetch_failed(c);
		return;
	}
	if (c->step == STEP_KEYS) {
		got_keys(c, reply->body);
		return;
	}
	text.n = str_find(text, '\n'); /* of roles, the first */
	char *word = str_dup(str_trim(text));
	bool fine = visible(word, c->step == STEP_ROLE ? 256 : 4096) && memchr(text.p, '\0', text.n) == NULL;
	if (fine && c->step == STEP_SESSION) {
		wipe(&c->session);
		c->session = xasprintf("X-aws-ec2-metadata-token: %s", word);
	} else if (fine) {
		free(c->role);
		c->role = xstrdup(word);
	}
	wipe(&word);
	if (fine) {
		c->step++;
		start_step(c);
		return;
	}
	err_set(&c->err, ERR_TRANSIENT, "cannot get credentials from %s: its answer makes no sense",
	    source_name(c));
	fetch_failed(c);
}

static int64_t
timeout(const struct awscred *c)
{
	int64_t s;
	const char *given = env("AWS_METADATA_SERVICE_TIMEOUT");
	if (c->source == AWSCRED_CONTAINER)
		return SECONDS(5);
	return given != NULL && num_i64(str_of(given), &s) && s >= 1 && s <= 60 ? SECONDS(s) : SECONDS(1);
}

static void
step_url(const struct awscred *c, struct buf *url)
{
	buf_addz(url, c->url);
	if (c->source == AWSCRED_CONTAINER)
		return;
	if (c->step == STEP_SESSION) {
		buf_addz(url, "/latest/api/token");
		return;
	}
	buf_addz(url, "/latest/meta-data/iam/security-credentials/");
	if (c->step == STEP_KEYS)
		url_encode(url, str_of(c->role));
}

static void
start_step(struct awscred *c)
{
	struct buf url = BUF_INIT(8 * KIB);
	bool session = c->source == AWSCRED_INSTANCE && c->step == STEP_SESSION, fine = true;
	char *header = c->source == AWSCRED_CONTAINER ? container_header(&fine, &c->err) : NULL;
	const char *headers[] = {header, NULL};
	if (session)
		headers[0] = "X-aws-ec2-metadata-token-ttl-seconds: 21600";
	else if (c->source == AWSCRED_INSTANCE)
		headers[0] = c->session;
	step_url(c, &url);
	struct http_spec spec = {.method = session ? "PUT" : "GET", .url = buf_cstr(&url), .headers = headers,
	    .timeout = timeout(c), .direct = strncmp(c->url, "https://", 8) != 0, .secret = true};
	if (fine)
		c->request = http_start(c->http, &spec, on_reply, c);
	wipe(&header);
	buf_release(&url);
	if (!fine)
		fetch_failed(c);
}

int64_t
awscred_turn(struct awscred *c, int64_t now)
{
	if (!fetches(c) || c->request != NULL || c->failed)
		return CLOCK_NEVER;
	if (c->when > now)
		return c->when;
	c->step = c->source == AWSCRED_INSTANCE ? STEP_SESSION : STEP_KEYS;
	c->when = now;
	start_step(c);
	return c->request != NULL ? CLOCK_NEVER : c->when;
}

/* Somebody may have written new keys into the file. */
static bool
profile_again(struct awscred *c)
{
	struct awsprofile p = {0};
	unsigned before = c->serial;
	struct err ignored;
	if (load_profile(c, &p, &ignored) < 0)
		return false;
	if (p.id != NULL && p.secret != NULL)
		take_profile(c, &p, &ignored);
	awsprofile_release(&p);
	return c->serial != before;
}

bool
awscred_ended(struct awscred *c, unsigned serial)
{
	if (serial != c->serial)
		return true;
	if (c->source == AWSCRED_PROFILE)
		return profile_again(c);
	if (!fetches(c) || c->failed)
		return false;
	c->expires = 0;
	c->when = clock_now();
	return true;
}

void
awscred_release(struct awscred *c)
{
	if (c->request != NULL)
		http_cancel(c->request);
	wipe(&c->id);
	wipe(&c->secret);
	wipe(&c->token);
	wipe(&c->session);
	free(c->role);
	free(c->url);
	free(c->profile);
	free(c->region);
	free(c->endpoint);
	*c = (struct awscred){0};
}
