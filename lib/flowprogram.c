/*
 * A program that prints the provider's token [AIP-4117]: run without a shell, without our descriptors, in a process group
 * of its own that ends with its time or with us. What it says on standard error is dropped: nobody promised that it holds
 * no secrets.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "flow.h"
#include "io.h"
#include "json.h"
#include "str.h"
#include "utf8.h"
#include "xalloc.h"

#define REAP_EVERY MILLIS(10) /* after its output's end, until it has ended too */
#define TYPE "urn:ietf:params:oauth:token-type:"

struct program {
	pid_t pid;
	int fd;         /* its output; -1: at its end */
	int64_t deadline;
	struct buf out;
};

static void
stop(struct flow *f)
{
	struct program *p = f->state;
	if (p->fd >= 0) {
		http_watch(f->http, -1, NULL, NULL);
		close(p->fd);
	}
	if (p->pid > 0) {
		kill(-p->pid, SIGKILL);
		kill(p->pid, SIGKILL);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	buf_wipe(&p->out);
	free(p);
}

static void
fail(struct flow *f, enum err_class class, const char *cause)
{
	struct err e;
	err_set(&e, class, "cannot get the provider's token from the program '%s': %s", f->step->cred->command[0], cause);
	flow_fail(f, &e, 0);
}

/* A token in its answer: NULL where there is none, with what it says of that in why. */
static char *
read_answer(const struct cred *c, struct str text, char *why, size_t size)
{
	struct json j = {0};
	struct buf scratch = BUF_INIT(LIMIT_TOKEN);
	char *token = NULL;
	int64_t version = 0, end = 0;
	*why = '\0';
	if (json_parse(&j, text) != JSON_OK) {
		snprintf(why, size, "its answer is no JSON");
		goto out;
	}
	struct str type = json_string(&j, json_get(&j, 0, "token_type"), &scratch);
	bool timed = json_i64(&j, json_get(&j, 0, "expiration_time"), &end);
	if (!json_i64(&j, json_get(&j, 0, "version"), &version) || version != 1) {
		snprintf(why, size, "its answer has not version 1");
	} else if (!json_true(&j, json_get(&j, 0, "success"))) {
		struct str code = json_string(&j, json_get(&j, 0, "code"), &scratch);
		size_t n = utf8_cut(code, 64);
		snprintf(why, size, "it says that it failed, with code '%.*s'", (int)n, code.p != NULL ? code.p : "");
	} else if (!str_is(type, c->subject_type) ||
	    (!str_is(type, TYPE "jwt") && !str_is(type, TYPE "id_token") && !str_is(type, TYPE "saml2"))) {
		snprintf(why, size, "its token is not of the type that the credentials' file names");
	} else if ((timed && end <= clock_wall() / 1000000) || (!timed && c->file != NULL)) {
		snprintf(why, size, "its token has ended, or does not say when it will");
	} else {
		token = json_dup(&j, json_get(&j, 0, str_is(type, TYPE "saml2") ? "saml_response" : "id_token"));
		if (token == NULL)
			snprintf(why, size, "its answer has no token");
	}
out:
	json_release(&j);
	buf_wipe(&scratch);
	return token;
}

static void
take_answer(struct flow *f, struct str text, int status)
{
	char why[160];
	char *token = read_answer(f->step->cred, text, why, sizeof(why));
	if (token != NULL && status == 0)
		flow_next(f, str_of(token), LIFE_UNKNOWN);
	else
		fail(f, ERR_AUTH, status != 0 && *why == '\0' ? "it failed" : why);
	xwipe(token);
}

/* At its output's end, or at its time's. */
static int64_t
turn(struct flow *f, int64_t now)
{
	struct program *p = f->state;
	int status;
	if (p->fd < 0) {
		pid_t got = waitpid(p->pid, &status, WNOHANG);
		if (got == p->pid) {
			p->pid = 0;
			take_answer(f, buf_str(&p->out), status);
			return now;
		}
	}
	if (now >= p->deadline) {
		fail(f, ERR_TRANSIENT, "it did not end in its time (timeout_millis)");
		return now;
	}
	return p->fd < 0 && now + REAP_EVERY < p->deadline ? now + REAP_EVERY : p->deadline;
}

static void
on_output(void *arg)
{
	struct flow *f = arg;
	struct program *p = f->state;
	char part[4096];
	ssize_t n = read(p->fd, part, sizeof(part));
	if (n > 0)
		buf_add(&p->out, part, (size_t)n);
	explicit_bzero(part, sizeof(part));
	if (p->out.over) {
		fail(f, ERR_AUTH, "its answer is too long");
		return;
	}
	if (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
		return;
	http_watch(f->http, -1, NULL, NULL);
	close(p->fd);
	p->fd = -1;
}

static void
put_env(const char *name, const char *value)
{
	if (value != NULL)
		setenv(name, value, 1);
}

static void __attribute__((noreturn))
become(const struct cred *c, int out, pid_t parent)
{
	sigset_t none;
	int null = open("/dev/null", O_RDWR);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || null < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0)
		_exit(127);
	close_range(3, ~0u, 0);
	put_env("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", c->audience);
	put_env("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", c->subject_type);
	put_env("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0");
	put_env("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", c->file);
	if (c->impersonate_url != NULL) {
		struct str account = str_of(strrchr(c->impersonate_url, '/') + 1);
		account.n = str_find(account, ':');
		put_env("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", str_dup(account));
	}
	execvp(c->command[0], c->command);
	_exit(127);
}

/* Of an earlier run, where the program keeps one and it is still good. */
static bool
cached(struct flow *f)
{
	const struct cred *c = f->step->cred;
	struct buf text = BUF_INIT(LIMIT_TOKEN);
	char why[160], *token = NULL;
	if (c->file != NULL && !f->refused && io_read_file(c->file, LIMIT_TOKEN, &text, NULL) == 0)
		token = read_answer(c, buf_str(&text), why, sizeof(why));
	buf_wipe(&text);
	bool good = token != NULL;
	if (good)
		flow_next(f, str_of(token), LIFE_UNKNOWN);
	xwipe(token);
	return good;
}

void
step_program(struct flow *f)
{
	const struct cred *c = f->step->cred;
	int fds[2];
	pid_t me = getpid();
	if (cached(f))
		return;
	if (pipe2(fds, O_CLOEXEC) < 0) {
		fail(f, ERR_TRANSIENT, strerror(errno));
		return;
	}
	pid_t pid = fork();
	if (pid == 0)
		become(c, fds[1], me);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		fail(f, ERR_TRANSIENT, strerror(errno));
		return;
	}
	setpgid(pid, pid); /* here too: whoever of us comes first */
	struct program *p = xcalloc(1, sizeof(*p));
	*p = (struct program){.pid = pid, .fd = fds[0], .deadline = clock_now() + c->timeout};
	buf_init(&p->out, LIMIT_TOKEN);
	f->state = p;
	f->stop = stop;
	f->turn = turn;
	http_watch(f->http, p->fd, on_output, f);
}
