/*
 * AWS as the provider [AIP-4117; cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds]: the "token" is a
 * request to AWS's GetCallerIdentity, signed here and sent by Google. Keys come in awscred's order, which has more ways than
 * the file names; the region from AWS_REGION or the profile, else from the file's region_url.
 */
#include <stdlib.h>
#include <string.h>

#include "awscred.h"
#include "bounds.h"
#include "clock.h"
#include "flow.h"
#include "jsonw.h"
#include "url.h"
#include "xalloc.h"

struct aws {
	struct awscred cred;
	char *session; /* a header, or NULL */
};

static void
stop(struct flow *f)
{
	struct aws *a = f->state;
	awscred_release(&a->cred);
	xwipe(a->session);
	free(a);
}

static void
write_header(struct jsonw *w, const char *line)
{
	struct str s = str_of(line);
	size_t colon = str_find(s, ':');
	jsonw_object(w);
	jsonw_member(w, "key", (struct str){s.p, colon});
	jsonw_member(w, "value", str_trim(str_skip(s, colon + 1)));
	jsonw_end(w);
}

/* {"headers": [...], "method": "POST", "url": ...}, percent-encoded. */
static void
give(struct flow *f, const char *url, const char *host, const struct sigv4 *signature, const char *target)
{
	struct buf text = BUF_INIT(LIMIT_TOKEN / 2), token = BUF_INIT(LIMIT_TOKEN);
	struct jsonw w = jsonw_to(&text);
	char *host_line = xasprintf("host: %s", host);
	jsonw_object(&w);
	jsonw_member(&w, "url", str_of(url));
	jsonw_member(&w, "method", STR("POST"));
	jsonw_key(&w, "headers");
	jsonw_array(&w);
	for (char *const *h = signature->v; *h != NULL; h++)
		write_header(&w, *h);
	write_header(&w, host_line);
	write_header(&w, target);
	jsonw_end(&w);
	jsonw_end(&w);
	url_encode(&token, buf_str(&text));
	flow_next(f, buf_str(&token), LIFE_UNKNOWN);
	free(host_line);
	buf_wipe(&text);
	buf_wipe(&token);
}

/* The file's URL with {region} filled in, signed. */
static void
sign(struct flow *f, struct aws *a)
{
	const struct cred *c = f->step->cred;
	const char *hole = strstr(c->url, "{region}");
	char *url = hole != NULL ? xasprintf("%.*s%s%s", (int)(hole - c->url), c->url, a->cred.region, hole + strlen("{region}"))
	                         : xstrdup(c->url);
	char *target = xasprintf("x-goog-cloud-target-resource: %s", c->audience);
	const char *headers[] = {target, NULL};
	struct str rest = str_of(strstr(url, "://") + 3);
	struct str host = {rest.p, strcspn(rest.p, "/?#")};
	struct str path = str_skip(rest, host.n);
	size_t question = str_find(path, '?');
	struct str query = str_skip(path, question + 1);
	path.n = question;
	char *host_name = str_dup(host);
	struct sigv4 signature = {0};
	struct err e;
	struct sigv4_request r = {.method = "POST", .host = host_name, .path = path.n > 0 ? path : STR("/"), .query = query,
	    .headers = headers, .payload = SIGV4_EMPTY, .region = a->cred.region, .service = "sts", .time = clock_wall()};
	if (!url_keeps_secrets(url)) {
		err_set(&e, ERR_CONFIG, "cannot use the AWS region that was found: it does not go into a URL");
		flow_fail(f, &e, 0);
	} else if (sigv4_sign(&r, &a->cred.keys, &signature, &e) < 0) {
		flow_fail(f, &e, 0);
	} else {
		give(f, url, host_name, &signature, target);
	}
	sigv4_release(&signature);
	free(url);
	free(target);
	free(host_name);
}

/* The metadata service names the zone: the region and a letter. */
static void
on_zone(struct flow *f, const struct http_reply *reply)
{
	struct aws *a = f->state;
	struct str zone = str_trim(reply->body);
	bool fine = zone.n > 1 && zone.n < 64;
	for (size_t i = 0; i < zone.n && fine; i++)
		fine = (zone.p[i] >= 'a' && zone.p[i] <= 'z') || (zone.p[i] >= '0' && zone.p[i] <= '9') || zone.p[i] == '-';
	if (!fine) {
		flow_garbled(f, "the reply names no zone");
		return;
	}
	zone.n--;
	a->cred.region = str_dup(zone);
	sign(f, a);
}

static void
ask_zone(struct flow *f)
{
	struct aws *a = f->state;
	const char *headers[] = {a->session, NULL};
	struct flow_request r = {.method = "GET", .url = f->step->cred->region_url, .headers = headers, .timeout = SECONDS(5),
	    .what = "get the AWS region from", .object = f->step->cred->region_url};
	flow_send(f, &r, on_zone);
}

static void
on_session(struct flow *f, const struct http_reply *reply)
{
	struct aws *a = f->state;
	struct str text = str_trim(reply->body);
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] <= ' ' || text.p[i] > '~' || text.n > 4096) {
			flow_garbled(f, "the reply is no session token");
			return;
		}
	}
	a->session = xasprintf("X-aws-ec2-metadata-token: %.*s", STR_ARG(text));
	ask_zone(f);
}

static void
find_region(struct flow *f)
{
	static const char *const headers[] = {"X-aws-ec2-metadata-token-ttl-seconds: 300", NULL};
	const struct cred *c = f->step->cred;
	struct err e;
	f->turn = NULL;
	if (c->region_url == NULL) {
		err_set(&e, ERR_CONFIG, "cannot sign for AWS: no region; set AWS_REGION");
		flow_fail(f, &e, 0);
	} else if (c->session_url != NULL) {
		struct flow_request r = {.method = "PUT", .url = c->session_url, .headers = headers, .timeout = SECONDS(5),
		    .what = "get a session from", .object = c->session_url};
		flow_send(f, &r, on_session);
	} else {
		ask_zone(f);
	}
}

static int64_t
turn(struct flow *f, int64_t now)
{
	struct aws *a = f->state;
	int64_t next = awscred_turn(&a->cred, now);
	switch (awscred_state(&a->cred)) {
	case AWSCRED_WAITING:
		return next;
	case AWSCRED_FAILED: {
		struct err e = a->cred.err;
		flow_fail(f, &e, 0);
		return now;
	}
	case AWSCRED_READY:
		break;
	}
	if (a->cred.region == NULL)
		find_region(f);
	else
		sign(f, a);
	return now;
}

void
step_aws(struct flow *f)
{
	struct aws *a = xcalloc(1, sizeof(*a));
	struct err e;
	f->state = a;
	f->stop = stop;
	if (awscred_init(&a->cred, f->http, 0, &e) < 0) {
		flow_fail(f, &e, 0);
		return;
	}
	flow_secret(f, str_of(a->cred.keys.secret));
	flow_secret(f, str_of(a->cred.keys.token));
	f->turn = turn;
}
