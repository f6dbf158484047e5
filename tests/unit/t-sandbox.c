/* sandbox: what is given up is gone: each thing is tried by a child that went in the same way as the tools do. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "tap.h"

#define ABSENT 77 /* a child's status: the kernel has it not */

static char dir[] = "/tmp/evpipe-sandbox-XXXXXX";

static int
child(int (*f)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(f());
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- system calls ---- */

/* One thing tried in the filter; the rest of the child is exit(2) with what it returned. */
static int (*thing)(void);

static int
in_filter(void)
{
	return sandbox_filter() ? thing() : ABSENT;
}

static int
try_work(void)
{
	int fds[2] = {STDIN_FILENO, STDOUT_FILENO};
	char none[1] = "";
	sigset_t set;
	struct timespec t;
	sigemptyset(&set);
	free(realloc(memset(malloc(10 << 20), 1, 10 << 20), 90 << 20));
	for (int i = 0; i < 1000; i++)
		free(malloc((size_t)i * 97));
	poll(&(struct pollfd){.fd = fds[0], .events = POLLIN}, 1, 0);
	clock_gettime(CLOCK_REALTIME, &t);
	int sfd = signalfd(-1, &set, SFD_CLOEXEC);
	(void)!read(fds[0], &t, 0);
	(void)!write(fds[1], "", 0);
	(void)!pwritev2(fds[1], &(struct iovec){none, 0}, 1, -1, RWF_NOWAIT);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	close(sfd);
	return 0;
}

static int try_open(void) { return open("/dev/null", O_RDONLY); }
static int try_socket(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static int try_exec(void) { return execl("/bin/true", "true", (char *)NULL); }
static int try_fork(void) { return fork() < 0; }
static int try_ptrace(void) { return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL); }
static int try_kill(void) { return kill(getppid(), 0); }
static int try_unlink(void) { return unlink("/tmp/evpipe-there-is-no-such-file"); }
static int try_chmod(void) { return chmod("/tmp/evpipe-there-is-no-such-file", 0777); }
static int
try_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int
try_more_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}
static int try_x32(void) { return (int)syscall(0x40000000 | SYS_read, 0, NULL, 0); }
static int try_uring(void) { return (int)syscall(425, 1, NULL); }

static void
test_filter(void)
{
	static const struct {
		const char *name;
		int (*f)(void);
	} refused[] = {
	    {"open a file", try_open}, {"make a socket", try_socket}, {"run a program", try_exec}, {"fork", try_fork},
	    {"trace", try_ptrace}, {"signal a process", try_kill}, {"remove a file", try_unlink}, {"change a mode", try_chmod},
	    {"map memory for code", try_code}, {"turn memory into code", try_more_code}, {"use the x32 calls", try_x32},
	    {"use io_uring", try_uring},
	};
	size_t n = sizeof(refused) / sizeof(refused[0]);
	thing = try_work;
	int status = child(in_filter);
	if (status == ABSENT) {
		ok(true, "the filter # skip not here, or this process is watched");
		return;
	}
	is_int(status, 0, "reading, writing, waiting and memory go on");
	for (size_t i = 0; i < n; i++) {
		thing = refused[i].f;
		is_int(child(in_filter), -SIGSYS, "in the filter, to %s is the end", refused[i].name);
	}
}

/* ---- files ---- */

static const char *
in_dir(const char *name)
{
	static char path[4][256];
	static int turn;
	char *p = path[turn++ % 4];
	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void
make(const char *name)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1)
		exit(1);
	close(fd);
}

static int
enter(void)
{
	char token[256], ours[256], made[256];
	snprintf(token, sizeof(token), "%s/secrets/token", dir);
	snprintf(ours, sizeof(ours), "%s/read", dir);
	snprintf(made, sizeof(made), "%s/write", dir);
	struct sandbox_path paths[] = {{.path = ours}, {.path = made, .writes = true}, {.path = token, .around = true},
	    {.path = NULL}, {.path = "/nowhere/at/all"}};
	return sandbox_files(paths, sizeof(paths) / sizeof(paths[0]));
}

static int
opens(const char *name, int flags)
{
	int fd = open(in_dir(name), flags, 0600);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

#define EXPECT(got, want, step)                  \
	do {                                     \
		int got_ = (got);                \
		if (got_ != (want)) {            \
			printf("# step %d: got %d (%s), want %d\n", step, got_, strerror(got_), want); \
			fflush(stdout);          \
			return step;             \
		}                                \
	} while (0)

static int
files(void)
{
	int before = open(in_dir("other/file"), O_RDWR), s;
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (!enter())
		return ABSENT;
	EXPECT(opens("read/file", O_RDONLY), 0, 1);
	EXPECT(opens("read/file", O_WRONLY), EACCES, 2);
	EXPECT(opens("read/new", O_WRONLY | O_CREAT), EACCES, 3);
	EXPECT(opens("other/file", O_RDONLY), EACCES, 4);
	EXPECT(opens("other", O_RDONLY | O_DIRECTORY), EACCES, 5);
	EXPECT(opens("read/../other/file", O_RDONLY), EACCES, 6);
	EXPECT(opens("read/link", O_RDONLY), EACCES, 7); /* to other/file */
	EXPECT(opens("write/new", O_RDWR | O_CREAT), 0, 8);
	EXPECT(opens("write/new", O_RDWR | O_TRUNC), 0, 9);
	EXPECT(unlink(in_dir("write/new")) < 0 ? errno : 0, 0, 10);
	EXPECT(unlink(in_dir("other/file")) < 0 ? errno : 0, EACCES, 11);
	EXPECT(rename(in_dir("write/file"), in_dir("other/file")) < 0, 1, 12);
	EXPECT(execl("/bin/true", "true", (char *)NULL) < 0 ? errno : 0, EACCES, 13);
	EXPECT(before < 0 || write(before, "y", 1) != 1, 0, 14); /* what was open stays so */
	/* a projected token: the folder is the same, the file behind the links another */
	EXPECT(opens("secrets/token", O_RDONLY), 0, 15);
	EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1, 16);
	s = socket(AF_INET, SOCK_STREAM, 0);
	int rc = bind(s, (struct sockaddr *)&any, sizeof(any)) < 0 ? errno : 0;
	if (rc != 0 && rc != EACCES)
		return 17;
	return 0;
}

static int entered[2], turned[2];

/* The link that a token is behind is turned while we are inside, as Kubernetes does. */
static int
rotated(void)
{
	char c;
	if (!enter())
		return ABSENT;
	if (write(entered[1], "", 1) != 1 || read(turned[0], &c, 1) != 1)
		return 1;
	EXPECT(opens("secrets/token", O_RDONLY), 0, 2);
	return 0;
}

static bool
turn(void)
{
	char c;
	return read(entered[0], &c, 1) == 1 && symlink("two", in_dir("secrets/..new")) == 0 &&
	    rename(in_dir("secrets/..new"), in_dir("secrets/..data")) == 0 && unlink(in_dir("secrets/one/token")) == 0 &&
	    write(turned[1], "", 1) == 1;
}

static void
test_files(void)
{
	static const char *const folders[] = {"read", "write", "other", "secrets", "secrets/one", "secrets/two"};
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		mkdir(in_dir(folders[i]), 0700);
	make("read/file");
	make("other/file");
	make("write/file");
	make("secrets/one/token");
	make("secrets/two/token");
	bool fine = symlink("../other/file", in_dir("read/link")) == 0 && symlink("one", in_dir("secrets/..data")) == 0 &&
	    symlink("..data/token", in_dir("secrets/token")) == 0;
	ok(fine, "files to try with");
	int status = child(files);
	if (status == ABSENT)
		ok(true, "files # skip this kernel has no Landlock, or this process is watched");
	else
		is_int(status, 0, "only what was named can be opened; nothing can be run (0, or the step that failed)");
	if (status == ABSENT)
		return;
	fine = pipe(entered) == 0 && pipe(turned) == 0;
	pid_t pid = fork();
	if (pid == 0)
		_exit(rotated());
	close(entered[1]);
	fine = fine && turn();
	waitpid(pid, &status, 0);
	is_int(fine ? WEXITSTATUS(status) : -1, 0, "a token whose file was replaced meanwhile is read");
}

int
main(void)
{
	log_init("t-sandbox");
	if (mkdtemp(dir) == NULL)
		return 1;
	test_filter();
	test_files();
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ok(system(command) == 0, "tidied up");
	return done();
}
