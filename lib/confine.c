#include "confine.h"

#include <stdlib.h>

#include "sandbox.h"

#define PATHS_MAX 40

struct list {
	struct sandbox_path paths[PATHS_MAX];
	size_t n;
	bool program;
};

/* What libcurl, OpenSSL and the resolver read: settings, certificates, name services and their libraries. */
static const char *const of_libraries[] = {"/etc", "/usr", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store",
    "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/connman", "/run/nscd", "/var/lib/sss",
    "/var/lib/ca-certificates", "/dev/null", "/dev/random", "/dev/urandom", "/proc/sys", "/sys/devices/system/cpu", NULL};

static void
add(struct list *l, struct sandbox_path p)
{
	if (l->n < PATHS_MAX)
		l->paths[l->n++] = p;
}

static void
add_cred(struct list *l, const struct cred *c)
{
	for (; c != NULL; c = c->source) {
		add(l, (struct sandbox_path){.path = c->file, .around = true});
		l->program = l->program || c->command[0] != NULL;
	}
}

void
confine(const struct confine *c)
{
	struct list l = {.n = 0};
	for (int i = 0; of_libraries[i] != NULL; i++)
		add(&l, (struct sandbox_path){.path = of_libraries[i]});
	add(&l, (struct sandbox_path){.path = getenv("CURL_CA_BUNDLE"), .around = true});
	add(&l, (struct sandbox_path){.path = getenv("SSL_CERT_FILE"), .around = true});
	add(&l, (struct sandbox_path){.path = getenv("SSL_CERT_DIR")});
	add(&l, (struct sandbox_path){.path = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), .around = true});
	add(&l, (struct sandbox_path){.path = getenv("EVPIPE_TALLY"), .writes = true});
	add(&l, (struct sandbox_path){.path = c->reads});
	add(&l, (struct sandbox_path){.path = c->writes, .writes = true});
	add(&l, (struct sandbox_path){.path = c->journal, .around = true, .writes = true});
	if (c->token != NULL)
		add_cred(&l, &c->token->cred);
	if (l.program)
		sandbox_privileges();
	else
		sandbox_files(l.paths, l.n);
}
