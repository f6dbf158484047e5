/* awscred: where keys come from, in which order; fetching, refreshing, and who may be asked. */
#include "awscred.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "awsprofile.h"
#include "httpfake.h"
#include "io.h"
#include "log.h"
#include "tap.h"
#include "time.h"
#include "url.h"

static char dir[] = "/tmp/evpipe-awscred-XXXXXX";

static const char *const variables[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_REGION",
    "AWS_DEFAULT_REGION", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_METADATA_SERVICE_TIMEOUT", "http_proxy"};

static void
clean(void)
{
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	setenv("HOME", dir, 1);
}

static char *
file(const char *name, const char *text)
{
	static char path[2][256];
	static int turn;
	char *p = path[turn++ % 2];
	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	int fd = open(p, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	io_write_all(fd, str_of(text), p, NULL);
	close(fd);
	return p;
}

static void
is_key(const struct awscred *c, const char *id, const char *secret, const char *token, const char *name)
{
	is_str(str_of(c->keys.id), id, "%s: the id", name);
	is_str(str_of(c->keys.secret), secret, "%s: the secret", name);
	ok(token == NULL ? c->keys.token == NULL : str_is(str_of(c->keys.token), token), "%s: the token",
	    name);
}

static void
fails(enum err_class class, const char *words)
{
	struct awscred c;
	struct err e = {0};
	bool failed = awscred_init(&c, NULL, 0, &e) == -1;
	if (!ok(failed && e.class == class && strstr(e.text, words) != NULL, "refused: ... %s ...", words))
		printf("#  got: class %d, %s\n", e.class, e.text);
	awscred_release(&c);
}

static void
test_environment(void)
{
	struct awscred c;
	clean();
	setenv("AWS_ACCESS_KEY_ID", "ID", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "SECRET", 1);
	setenv("AWS_SESSION_TOKEN", "TOKEN", 1);
	setenv("AWS_DEFAULT_REGION", "eu-1", 1);
	setenv("AWS_ENDPOINT_URL", "http://a", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE",
	    file("c", "[default]\naws_access_key_id=X\naws_secret_access_key=Y\n"), 1);
	ok(awscred_init(&c, NULL, 0, NULL) == 0 && c.source == AWSCRED_ENVIRONMENT,
	    "the environment comes first");
	is_key(&c, "ID", "SECRET", "TOKEN", "environment");
	is_str(str_of(c.region), "eu-1", "AWS_DEFAULT_REGION");
	is_str(str_of(c.endpoint), "http://a", "AWS_ENDPOINT_URL");
	is_int(awscred_state(&c), AWSCRED_READY, "ready at once");
	ok(awscred_turn(&c, clock_now()) == CLOCK_NEVER, "nothing to fetch");
	ok(!awscred_ended(&c, c.serial), "keys of the environment end for good");
	awscred_release(&c);
	setenv("AWS_REGION", "eu-2", 1);
	setenv("AWS_ENDPOINT_URL_S3", "http://b", 1);
	ok(awscred_init(&c, NULL, 0, NULL) == 0, "more");
	is_str(str_of(c.region), "eu-2", "AWS_REGION goes before AWS_DEFAULT_REGION");
	is_str(str_of(c.endpoint), "http://b", "AWS_ENDPOINT_URL_S3 goes before AWS_ENDPOINT_URL");
	awscred_release(&c);
	setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
	ok(awscred_init(&c, NULL, 0, NULL) == 0 && c.endpoint == NULL, "endpoints can be ignored");
	awscred_release(&c);
	unsetenv("AWS_SECRET_ACCESS_KEY");
	fails(ERR_CONFIG, "one is missing");
	setenv("AWS_SECRET_ACCESS_KEY", "a b", 1);
	fails(ERR_CONFIG, "characters that no key has");
}

static void
test_profile(void)
{
	struct awscred c;
	clean();
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	setenv("AWS_CONFIG_FILE",
	    file("config",
	        "# a comment\n[default]\nregion = eu-3 ; too\ns3 =\n  max_concurrent_requests = "
	        "20\n\n[profile two]\n"
	        "aws_access_key_id = CID\naws_secret_access_key = CSECRET\naws_session_token = CTOKEN\n"
	        "region=eu-4\nendpoint_url = http://e\n[profile sso]\nsso_session = x\n[three]\nregion = "
	        "no\n"),
	    1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", file("credentials",
	    "[default]\r\naws_access_key_id = DID\r\naws_secret_access_key = D/SE+CRET=\r\n"
	    "[three]\naws_access_key_id=TID\naws_secret_access_key=TS\naws_session_token=TT\n"
	    "[half]\naws_access_key_id=H\n"), 1);
	ok(awscred_init(&c, NULL, 0, NULL) == 0 && c.source == AWSCRED_PROFILE, "the default profile");
	is_key(&c, "DID", "D/SE+CRET=", NULL, "default");
	is_str(str_of(c.region), "eu-3", "its region");
	awscred_release(&c);
	setenv("AWS_PROFILE", "two", 1);
	ok(awscred_init(&c, NULL, 0, NULL) == 0, "a profile of the config file");
	is_key(&c, "CID", "CSECRET", "CTOKEN", "two");
	is_str(str_of(c.endpoint), "http://e", "its endpoint");
	awscred_release(&c);
	setenv("AWS_PROFILE", "three", 1);
	ok(awscred_init(&c, NULL, 0, NULL) == 0, "a profile of the credentials file");
	is_key(&c, "TID", "TS", "TT", "three");
	ok(c.region == NULL, "[three] is no profile of the config file");
	unsigned before = c.serial;
	ok(!awscred_ended(&c, before), "the file holds the same keys: they have ended for good");
	file("credentials", "[three]\naws_access_key_id=NEW\naws_secret_access_key=NS\n");
	ok(awscred_ended(&c, before), "the file holds new keys");
	is_key(&c, "NEW", "NS", NULL, "rewritten");
	ok(awscred_ended(&c, before), "who still asks with the old ones is told so");
	awscred_release(&c);
	file("credentials", "[half]\naws_access_key_id=H\n");
	setenv("AWS_PROFILE", "half", 1);
	fails(ERR_CONFIG, "profile 'half': an access key");
	setenv("AWS_PROFILE", "sso", 1);
	fails(ERR_CONFIG, "'sso_session' is a way to credentials not known here");
	setenv("AWS_PROFILE", "nobody", 1);
	fails(ERR_CONFIG, "profile 'nobody': there is none of that name");
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials", 1);
	setenv("AWS_CONFIG_FILE", "/nowhere/config", 1);
	unsetenv("AWS_PROFILE");
	fails(ERR_AUTH, "cannot find AWS credentials");
	setenv("AWS_CONFIG_FILE", file("config", "[default]\nregion eu\n"), 1);
	fails(ERR_CONFIG, "line 2 is neither");
	setenv("AWS_CONFIG_FILE", file("config", "[default\n"), 1);
	fails(ERR_CONFIG, "line 1 is neither");
	setenv("AWS_CONFIG_FILE", dir, 1);
	fails(ERR_IO, "cannot read");
}

static void
test_urls(void)
{
	static const char *const good[] = {"http://169.254.170.2/v2/credentials/x", "http://127.0.0.1:8080/x",
	    "http://127.9.9.9/", "http://localhost:1/x", "http://[::1]:80/x",
	    "http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1/credentials",
	    "https://anything.example/x", "http://[fe80::1]/", NULL};
	static const char *const bad[] = {"http://example.com/", "http://10.0.0.1/",
	    "http://127.0.0.1.evil.example/", "http://127.0.0.1@evil.example/",
	    "http://localhost.evil.example/", "http://127.1/", "http://0x7f000001/",
	    "http://[::ffff:10.0.0.1]/", "http://[::1", "http://[localhost]/", "http://127.0.0.1:0/",
	    "http://127.0.0.1:80@evil.example/", "http://127.0.0.1\\@evil.example/", "ftp://127.0.0.1/",
	    "127.0.0.1", "http://", "https://", "http:///x", "http://127.0.0.1 /", "http://[fd00:ec2::24]/",
	    "http://[::1]x/", "", NULL};
	for (int i = 0; good[i] != NULL; i++)
		ok(url_keeps_secrets(good[i]), "keys may be asked of %s", good[i]);
	for (int i = 0; bad[i] != NULL; i++)
		ok(!url_keeps_secrets(bad[i]), "keys may not be asked of '%s'", bad[i]);
}

/* Turns until the keys are there, will not come, or `serial` has passed. */
static void
await(struct awscred *c, struct http *h, unsigned serial, int64_t within)
{
	int64_t end = clock_now() + within;
	while (clock_now() < end &&
	    (awscred_state(c) == AWSCRED_WAITING ||
	        (serial > 0 && c->serial == serial && awscred_state(c) == AWSCRED_READY))) {
		int64_t next = awscred_turn(c, clock_now());
		net_turn(h, next < end ? next : end);
	}
}

static char *
keys_json(const char *id, int64_t lives)
{
	static char text[2][512];
	static int turn;
	struct civil civil;
	char *to = text[turn++ % 2];
	time_civil(clock_wall() + lives, &civil);
	snprintf(to, sizeof(text[0]),
	    "{\"Code\":\"Success\",\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"S\",\"Token\":"
	    "\"T\",\"Expiration\":\"%04d-%02d-%02dT%02d:%02d:%02dZ\"}",
	    id, civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second);
	return to;
}

#define ROLES "GET /latest/meta-data/iam/security-credentials/ "
#define ROLE "GET /latest/meta-data/iam/security-credentials/my-role "

static void
test_instance(void)
{
	const struct fake_answer table[] = {
	    {"PUT /latest/api/token ", 1, 503, NULL, "later", 0},
	    {"PUT /latest/api/token ", 0, 200, NULL, "SESSION==", 0},
	    {ROLES, 1, 401, NULL, "", 0},
	    {ROLES, 0, 200, NULL, "my-role\n", 0},
	    {ROLE, 1, 200, NULL, "{\"broken", 0},
	    {ROLE, 1, 200, NULL, keys_json("FIRST", SECONDS(3600)), 0},
	    {ROLE, 0, 200, NULL, keys_json("SECOND", SECONDS(7200)), 0},
	    {.request = NULL}};
	struct fake f;
	struct awscred c;
	char url[64];
	struct http *h = http_new();
	clean();
	fake_start(&f, table);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", f.port);
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url, 1);
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	ok(awscred_init(&c, h, 0, NULL) == 0 && c.source == AWSCRED_INSTANCE,
	    "nothing else: the instance's role");
	is_int(awscred_state(&c), AWSCRED_WAITING, "its keys are to come");
	await(&c, h, 0, SECONDS(20));
	is_int(awscred_state(&c), AWSCRED_READY,
	    "there, after a 503, a 401 and a broken answer, past the proxy");
	is_key(&c, "FIRST", "S", "T", "instance");
	int64_t next = awscred_turn(&c, clock_now()) - clock_now();
	ok(next > SECONDS(2900) && next < SECONDS(3001), "fetched again ten minutes before their end");
	unsigned serial = c.serial;
	ok(awscred_ended(&c, serial), "a service says that they have ended");
	is_int(awscred_state(&c), AWSCRED_WAITING, "then they are no longer used");
	await(&c, h, 0, SECONDS(20));
	is_key(&c, "SECOND", "S", "T", "again");
	char *seen = fake_seen(&f);
	ok(strstr(seen, "X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n") != NULL,
	    "a session was asked for");
	ok(strstr(strstr(seen, ROLE), "X-aws-ec2-metadata-token: SESSION==\r\n") != NULL, "and shown");
	free(seen);
	awscred_release(&c);
	http_free(h);
	fake_stop(&f);
}

static void
test_container(void)
{
	const struct fake_answer table[] = {
	    {"GET /creds?x=1 ", 1, 200, NULL, keys_json("SHORT", SECONDS(3)), 0},
	    {"GET /creds?x=1 ", 0, 200, NULL, keys_json("LONG", SECONDS(86400)), 0},
	    {.request = NULL}};
	struct fake f;
	struct awscred c;
	char url[64];
	struct http *h = http_new();
	clean();
	fake_start(&f, table);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/creds?x=1", f.port);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "not this", 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file("token", "Basic abc\n"), 1);
	ok(awscred_init(&c, h, 0, NULL) == 0 && c.source == AWSCRED_CONTAINER, "a container");
	await(&c, h, 0, SECONDS(10));
	is_key(&c, "SHORT", "S", "T", "container");
	await(&c, h, c.serial, SECONDS(10));
	is_key(&c, "LONG", "S", "T", "ahead of their end");
	char *seen = fake_seen(&f);
	ok(strstr(seen, "Authorization: Basic abc\r\n") != NULL, "the token is that of the file");
	free(seen);
	awscred_release(&c);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file("token", "a\nb\n"), 1);
	ok(awscred_init(&c, h, 0, NULL) == 0, "a token that would be two headers");
	await(&c, h, 0, SECONDS(10));
	ok(awscred_state(&c) == AWSCRED_FAILED && c.err.class == ERR_CONFIG, "is refused: %s", c.err.text);
	awscred_release(&c);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/x", 1);
	fails(ERR_CONFIG, "AWS_CONTAINER_CREDENTIALS_FULL_URI: it must be https");
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ".evil.example/", 1);
	fails(ERR_CONFIG, "RELATIVE_URI: it must be a path");
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x", 1);
	ok(awscred_init(&c, h, 0, NULL) == 0 && str_is(str_of(c.url), "http://169.254.170.2/v2/x"),
	    "a relative URI");
	awscred_release(&c);
	http_free(h);
	fake_stop(&f);
}

static void
test_refusals(void)
{
	const struct fake_answer table[] = {
	    {"PUT /none/latest", 0, 200, NULL, "S", 0},
	    {"PUT /old/latest", 0, 403, NULL, "", 0},
	    {"GET /bad", 0, 200, NULL, "{\"AccessKeyId\":\"A\\nB\",\"SecretAccessKey\":\"S\"}", 0},
	    {"GET /half", 0, 200, NULL, "{\"AccessKeyId\":\"A\"}", 0},
	    {.request = NULL}};
	static const struct {
		const char *path, *words;
		bool container;
	} cases[] = {{"/none", "has no role", false}, {"/old", "switched off", false},
	    {"/bad", "characters that no key has", true}, {"/half", "one is missing", true},
	    {"/gone", "HTTP 404", true}};
	struct fake f;
	struct awscred c;
	struct http *h = http_new();
	fake_start(&f, table);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char url[64];
		clean();
		snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", f.port, cases[i].path);
		setenv(cases[i].container ? "AWS_CONTAINER_CREDENTIALS_FULL_URI" :
		                            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
		    url, 1);
		ok(awscred_init(&c, h, 0, NULL) == 0, "%s: to be fetched", cases[i].path);
		await(&c, h, 0, SECONDS(10));
		ok(awscred_state(&c) == AWSCRED_FAILED && strstr(c.err.text, cases[i].words) != NULL,
		    "%s: %s", cases[i].path, c.err.text);
		awscred_release(&c);
	}
	/* Bugs: any host was taken for the metadata service, over plain http. */
	static const char *const hosts[] = {"http://example.com", "http://169.254.169.254.example.com",
	    "http://169.254.169.254@example.com", "http://0x7f000001", "ftp://127.0.0.1", "http:///"};
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		clean();
		setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", hosts[i], 1);
		fails(ERR_CONFIG, "it must be https, or http to this machine or a link-local address");
	}
	clean();
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
	int64_t start = clock_now();
	ok(awscred_init(&c, h, 0, NULL) == 0, "nobody there");
	await(&c, h, 0, SECONDS(20));
	ok(awscred_state(&c) == AWSCRED_FAILED && c.err.class == ERR_AUTH &&
	        clock_now() - start < SECONDS(10),
	    "within seconds: %s", c.err.text);
	awscred_release(&c);
	http_free(h);
	fake_stop(&f);
}

int
main(void)
{
	log_set(LOG_ERROR, false);
	if (mkdtemp(dir) == NULL)
		return 1;
	test_environment();
	test_profile();
	test_urls();
	test_instance();
	test_container();
	test_refusals();
	pid_t pid = fork();
	if (pid == 0)
		execlp("rm", "rm", "-rf", dir, NULL);
	waitpid(pid, NULL, 0);
	return done();
}
