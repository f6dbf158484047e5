#include "url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "num.h"

static bool
alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void
url_encode(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (alnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
			buf_addc(out, c);
		else
			buf_addf(out, "%%%02X", (unsigned char)c);
	}
}

int
endpoint_init(struct endpoint *ep, const char *emulator_env, const char *real, struct err *e)
{
	const char *host = getenv(emulator_env);
	ep->emulator = host != NULL && *host != '\0';
	const char *base = ep->emulator ? host : real;
	const char *scheme = "";
	if (ep->emulator && strncmp(host, "http://", 7) != 0) {
		if (strstr(host, "://") != NULL)
			return err_set(e, ERR_CONFIG, "cannot use %s='%s': an emulator is spoken to over http://",
			    emulator_env, host);
		scheme = "http://";
	}
	int n = snprintf(ep->base, sizeof(ep->base), "%s%s", scheme, base);
	if (n < 0 || (size_t)n >= sizeof(ep->base))
		return err_set(e, ERR_CONFIG, "cannot use %s: its value is longer than %zu bytes", emulator_env, sizeof(ep->base));
	while (n > 0 && ep->base[n - 1] == '/')
		ep->base[--n] = '\0';
	bool port_alone = ep->emulator && n > 7 && strspn(ep->base + 7, "0123456789") == (size_t)n - 7;
	if (ep->emulator && (n <= 7 || ep->base[7] == '/' || port_alone))
		return err_set(e, ERR_CONFIG, "cannot use %s='%s': it names no host; give HOST:PORT", emulator_env, base);
	for (const char *c = ep->base; *c != '\0'; c++) {
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return err_set(e, ERR_CONFIG, "cannot use %s: its value holds a blank or control character", emulator_env);
	}
	return 0;
}

/* Project ids: letters, digits, hyphens; "example.com:project" for domain-scoped ones. */
static bool
project_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '.' && s.p[i] != ':')
			return false;
	}
	return s.n > 0 && s.n <= 100 && alnum(s.p[0]); /* nor is ".." one */
}

static int
need_project(const char *project, const char *kind, const char *name, struct err *e)
{
	if (project == NULL || *project == '\0')
		return err_set(e, ERR_USAGE,
		    "cannot name the %s '%s': no project; give --project, GOOGLE_CLOUD_PROJECT or the full name", kind, name);
	if (!project_ok(str_of(project)))
		return err_set(e, ERR_USAGE, "cannot use project '%s': a project's id is letters, digits and hyphens", project);
	return 0;
}

/* [cloud.google.com/pubsub/docs/pubsub-basics#resource_names] */
static bool
pubsub_id_ok(struct str s)
{
	if (s.n < 3 || s.n > 255 || !isalpha((unsigned char)s.p[0]) || str_starts(s, STR("goog")))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!alnum(s.p[i]) && (s.p[i] == '\0' || strchr("-_.~+%", s.p[i]) == NULL))
			return false;
	}
	return true;
}

int
name_pubsub(struct buf *out, const char *kind, const char *name, const char *project, struct err *e)
{
	char one[32];
	snprintf(one, sizeof(one), "%.*s", (int)strlen(kind) - 1, kind);
	struct str id = str_of(name), owner = str_of(project);
	if (str_starts(id, STR("projects/"))) {
		id = str_skip(id, strlen("projects/"));
		owner = (struct str){id.p, str_find(id, '/')};
		id = str_skip(id, owner.n + 1);
		if (!str_starts(id, str_of(kind)) || id.n <= strlen(kind) || id.p[strlen(kind)] != '/' || !project_ok(owner))
			return err_set(e, ERR_USAGE, "cannot name the %s '%s': a full name is projects/PROJECT/%s/NAME",
			    one, name, kind);
		id = str_skip(id, strlen(kind) + 1);
	} else if (need_project(project, one, name, e) < 0) {
		return -1;
	}
	if (!pubsub_id_ok(id))
		return err_set(e, ERR_USAGE,
		    "cannot name the %s '%s': a name is 3 to 255 letters, digits and -_.~+%%, begins with a letter and not "
		    "with goog", one, name);
	buf_addf(out, "projects/%.*s/%s/%.*s", STR_ARG(owner), kind, STR_ARG(id));
	return 0;
}

int
name_dataset(const char *name, const char *project, char **out_project, char **out_dataset, struct err *e)
{
	struct str s = str_of(name), owner = str_of(project);
	/* "example.com:p.d" has both signs: the dataset comes after the last. */
	size_t cut = s.n;
	while (cut > 0 && s.p[cut - 1] != ':' && s.p[cut - 1] != '.')
		cut--;
	struct str id = str_skip(s, cut);
	if (cut > 0)
		owner = (struct str){s.p, cut - 1};
	else if (need_project(project, "dataset", name, e) < 0)
		return -1;
	bool ok = id.n > 0 && id.n <= 1024 && project_ok(owner);
	for (size_t i = 0; i < id.n; i++)
		ok = ok && (alnum(id.p[i]) || id.p[i] == '_');
	if (!ok)
		return err_set(e, ERR_USAGE,
		    "cannot name the dataset '%s': it is DATASET, PROJECT:DATASET or PROJECT.DATASET, of letters, digits and _",
		    name);
	*out_project = str_dup(owner);
	*out_dataset = str_dup(id);
	return 0;
}

/* [cloud.google.com/storage/docs/buckets#naming] */
static bool
bucket_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
			return false;
	}
	return s.n >= 3 && s.n <= 222 && isalnum((unsigned char)s.p[0]) && isalnum((unsigned char)s.p[s.n - 1]);
}

/* A prefix becomes part of every object's name: no empty, "." or ".." component, nothing unprintable. */
static bool
prefix_ok(struct str s)
{
	if (s.n > 512)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	}
	while (s.n > 0) {
		struct str part = {s.p, str_find(s, '/')};
		if (part.n == 0 || str_is(part, ".") || str_is(part, ".."))
			return false;
		s = str_skip(s, part.n + 1);
	}
	return true;
}

int
name_bucket(const char *url, char **out_bucket, char **out_prefix, struct err *e)
{
	struct str s = str_of(url);
	if (!str_starts(s, STR("gs://")))
		return err_set(e, ERR_USAGE, "cannot write to '%s': it is no gs://BUCKET[/PREFIX]", url);
	s = str_skip(s, 5);
	struct str bucket = {s.p, str_find(s, '/')};
	struct str prefix = str_skip(s, bucket.n + 1);
	while (prefix.n > 0 && prefix.p[prefix.n - 1] == '/')
		prefix.n--;
	if (!bucket_ok(bucket))
		return err_set(e, ERR_USAGE,
		    "cannot write to '%s': a bucket's name is 3 to 222 lower-case letters, digits and -_.", url);
	if (!prefix_ok(prefix))
		return err_set(e, ERR_USAGE, "cannot write to '%s': a prefix has no empty, '.' or '..' part", url);
	*out_bucket = str_dup(bucket);
	*out_prefix = str_dup(prefix);
	return 0;
}

static bool
address_ok(const char *host)
{
	/* metadata services that have no link-local address: AWS's pods and instances, Google's */
	static const char *const metadata[] = {"fd00:ec2::23", "fd00:ec2::254", "fd20:ce::254"};
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, host, &v4) == 1) {
		uint32_t a = ntohl(v4.s_addr);
		return a >> 24 == 127 || a >> 16 == 0xa9fe; /* 169.254 */
	}
	if (inet_pton(AF_INET6, host, &v6) != 1)
		return false;
	for (size_t i = 0; i < sizeof(metadata) / sizeof(metadata[0]); i++) {
		struct in6_addr known;
		if (inet_pton(AF_INET6, metadata[i], &known) == 1 && memcmp(&v6, &known, sizeof(v6)) == 0)
			return true;
	}
	return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6);
}

bool
url_keeps_secrets(const char *url)
{
	char host[128];
	for (const char *p = url; *p != '\0'; p++) {
		if (*p <= ' ' || *p > '~' || *p == '\\')
			return false;
	}
	if (strncmp(url, "https://", 8) == 0)
		return strcspn(url + 8, "/?#") > 0;
	if (strncmp(url, "http://", 7) != 0)
		return false;
	struct str rest = str_of(url + 7);
	rest.n = strcspn(rest.p, "/?#");
	bool bracket = rest.n > 0 && rest.p[0] == '[';
	if (bracket)
		rest = str_skip(rest, 1);
	struct str name = {rest.p, str_find(rest, bracket ? ']' : ':')};
	struct str port = str_skip(rest, name.n + bracket);
	int64_t number;
	if (bracket && name.n == rest.n)
		return false;
	if (port.n > 0 &&
	    (port.p[0] != ':' || !num_i64(str_skip(port, 1), &number) || number < 1 || number > 65535))
		return false;
	if (name.n == 0 || name.n >= sizeof(host))
		return false;
	snprintf(host, sizeof(host), "%.*s", STR_ARG(name));
	return (!bracket && strcmp(host, "localhost") == 0) || address_ok(host);
}
