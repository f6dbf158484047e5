/* gcp-emu: Pub/Sub, BigQuery and Cloud Storage on one local port, for demos and tests (gcp-emu(1)). */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth.h"
#include "clock.h"
#include "common.h"
#include "counts.h"
#include "httpd.h"
#include "io.h"
#include "log.h"
#include "oauth.h"

struct options {
	int64_t port;
	const char *dir, *project, *schemas, *faults, *s3_key;
	bool auth;
	int64_t token_lifetime, min_deadline, pull_wait, job_wait, seed;
	struct common common;
};

static int
listen_on(int64_t port, int *bound, struct err *e)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, ERR_IO, "cannot make a socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, SOMAXCONN) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
		err_set(e, ERR_IO, "cannot listen on '127.0.0.1:%lld': %s; --port 0 takes any free port", (long long)port,
		    strerror(errno));
		close(fd);
		return -1;
	}
	*bound = ntohs(at.sin_port);
	return fd;
}

/* The signals that end it, as a descriptor. */
static int
signals(void)
{
	sigset_t set;
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL); /* write(2) tells */
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
raise_descriptor_limit(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

static void
read_clock(struct emu *emu)
{
	emu->now = clock_now();
	emu->wall = clock_wall();
}

/* Until a signal comes. */
static void
serve(struct emu *emu, int signal_fd)
{
	struct pollfd fds[HTTPD_POLL_FDS + 1];
	httpd_poll(emu->httpd, fds);
	fds[HTTPD_POLL_FDS] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
	for (;;) {
		read_clock(emu);
		int64_t next = httpd_turn(emu->httpd);
		int64_t other = pubsub_turn(emu);
		if (other < next)
			next = other;
		other = bigquery_turn(emu);
		if (other < next)
			next = other;
		if (emu->woken)
			next = emu->now;
		int64_t ms = next == CLOCK_NEVER ? -1 : (next - emu->now + 999) / 1000;
		if (ms < -1 || (ms < 0 && next != CLOCK_NEVER))
			ms = 0;
		if (poll(fds, HTTPD_POLL_FDS + 1, ms > 3600000 ? 3600000 : (int)ms) > 0 &&
		    fds[HTTPD_POLL_FDS].revents != 0)
			return;
	}
}

static int
make_dir(const char *dir, struct err *e)
{
	if (mkdir(dir, 0777) != 0 && errno != EEXIST)
		return err_set(e, ERR_IO, "cannot create folder '%s': %s; its parent must exist", dir, strerror(errno));
	return 0;
}

/* Everything that holds state: what is in DIR is found again. */
static int
open_services(struct emu *emu, const struct options *o, int port, struct err *e)
{
	if (make_dir(o->dir, e) != 0 || (o->auth && (auth_init(o->dir, e) != 0 || oauth_init(o->dir, port, e) != 0)))
		return -1;
	if ((emu->pubsub = pubsub_open(emu, e)) == NULL || (emu->bigquery = bigquery_open(emu, e)) == NULL ||
	    (emu->gcs = gcs_open(emu, e)) == NULL)
		return -1;
	if (emu->schema != NULL &&
	    (pubsub_defaults(emu, e) != 0 || bigquery_defaults(emu, e) != 0 || gcs_defaults(emu, e) != 0))
		return -1;
	return 0;
}

static int
run(struct emu *emu, const struct options *o, struct err *e)
{
	char hello[80];
	int port = 0, rc = -1, signal_fd = signals();
	raise_descriptor_limit();
	int listener = listen_on(o->port, &port, e);
	if (listener < 0)
		goto out;
	read_clock(emu);
	if (open_services(emu, o, port, e) != 0)
		goto out;
	/* The HTTP server owns the socket from here on. */
	emu->httpd = httpd_open(emu, listener, e);
	if (emu->httpd == NULL)
		goto out;
	listener = -1;
	snprintf(hello, sizeof(hello), "gcp-emu: listening on 127.0.0.1:%d\n", port);
	if (io_write_all(STDOUT_FILENO, str_of(hello), "standard output", e) != 0)
		goto out;
	serve(emu, signal_fd);
	log_info("ending");
	rc = 0;
out:
	httpd_close(emu->httpd);
	if (listener >= 0)
		close(listener);
	pubsub_close(emu->pubsub);
	bigquery_close(emu->bigquery);
	gcs_close(emu->gcs);
	close(signal_fd);
	return rc;
}

static int
load(struct emu *emu, struct schema *schema, const struct options *o, struct err *e)
{
	if (o->dir == NULL)
		return err_set(e, ERR_USAGE, "cannot start: --dir DIR is missing; it holds all data");
	if (o->schemas != NULL) {
		if (schema_load(schema, o->schemas, e) != 0)
			return -1;
		emu->schema = schema;
	}
	return o->faults != NULL ? faults_load(emu->faults, o->faults, e) : 0;
}

int
main(int argc, char **argv)
{
	struct options o = {
	    .port = 8085, .project = "local-project", .min_deadline = 10, .pull_wait = SECONDS(89), .seed = 1,
	    .token_lifetime = SECONDS(3600)};
	const struct opt own[] = {
	    {"port", 'p', OPT_INT, &o.port, "PORT", "listen there on 127.0.0.1 (default 8085; 0: any free port)",
		.max = 65535},
	    {"dir", 'd', OPT_STR, &o.dir, "DIR", "the folder with all data, made if it is not there"},
	    {"project", 0, OPT_STR, &o.project, "P", "the project of what --schemas makes",
		.env = "GOOGLE_CLOUD_PROJECT"},
	    {"schemas", 0, OPT_STR, &o.schemas, "FILE", "make the default topics, bucket, tables, ..."},
	    {"faults", 0, OPT_STR, &o.faults, "FILE", "inject the faults that FILE describes"},
	    {"auth", 0, OPT_FLAG, &o.auth, NULL, "demand a bearer token: of DIR/token, or given for DIR's credentials"},
	    {"token-lifetime", 0, OPT_SECONDS, &o.token_lifetime, "S", "how long a token lives that it gives (default 3600)",
		.min = 1, .max = 43200},
	    {"s3-key", 0, OPT_STR, &o.s3_key, "ID:SECRET[:TOKEN]", "demand signatures with that key of S3's requests"},
	    {"min-deadline", 0, OPT_INT, &o.min_deadline, "S", "the least ack deadline, in seconds (default 10)",
		.min = 1, .max = 600},
	    {"pull-wait", 0, OPT_SECONDS, &o.pull_wait, "S", "how long an empty pull waits (default 89)",
		.max = 3600},
	    {"job-wait", 0, OPT_SECONDS, &o.job_wait, "S", "how long a load job is pending (default 0)",
		.max = 3600},
	    {"seed", 0, OPT_INT, &o.seed, "N", "of what is left to chance (default 1); 0: full pulls"},
	    OPT_END};
	const struct opt_spec spec = {
	    .synopsis = "--dir DIR [--port PORT] [--project P] [--schemas FILE] [--faults FILE] [--auth] [--token-lifetime S] "
			"[--s3-key ID:SECRET[:TOKEN]] [--min-deadline S] [--pull-wait S] [--job-wait S] [--seed N]",
	    .summary = "Stands in for Pub/Sub, BigQuery and Cloud Storage on one local port.",
	    .own = own, .shared = common_options(&o.common, false), .see = "gcp-emu(1)"};
	char **operands;
	int n, status;
	if (!common_start("gcp-emu", &spec, &o.common, argc, argv, &operands, &n, &status))
		return status;

	struct err e = {0};
	struct schema schema = {0};
	struct emu emu = {.dir = o.dir, .project = o.project, .s3_key = o.s3_key, .min_deadline = o.min_deadline, .auth = o.auth,
	    .token_lifetime = o.token_lifetime, .seed = (uint64_t)o.seed, .pull_wait = o.pull_wait,
	    .job_wait = o.job_wait};
	emu.faults = faults_new(emu.seed);
	emu.counts = counts_new();
	int rc = load(&emu, &schema, &o, &e);
	if (rc == 0 && !o.common.check)
		rc = run(&emu, &o, &e);
	faults_free(emu.faults);
	counts_free(emu.counts);
	schema_release(&schema);
	return rc == 0 ? 0 : log_fail(&e);
}
