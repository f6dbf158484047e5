#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "xalloc.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define EVPIPE_UNCONFINED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EVPIPE_UNCONFINED
#endif

/* Who watches us needs files and system calls that we do not. */
static bool
watched(void)
{
#ifdef EVPIPE_UNCONFINED
	return true;
#else
	const char *preloaded = getenv("LD_PRELOAD");
	return preloaded != NULL && strstr(preloaded, "/vgpreload_") != NULL; /* valgrind */
#endif
}

static bool
left_open(const char *what, const char *why)
{
	log_debug("not confined by %s: %s", what, why);
	return false;
}

void
sandbox_privileges(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		left_open("no_new_privs", strerror(errno));
}

void
sandbox_secrets(void)
{
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		left_open("PR_SET_DUMPABLE", strerror(errno));
}

/* ---- system calls ---- */

#if defined(__x86_64__) && !defined(__ILP32__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FIELD(f) (uint32_t) offsetof(struct seccomp_data, f)
#define INPUT_MAX 64 /* twice the calls below, and what stands around them */

bool
sandbox_filter(void)
{
	static const uint32_t calls[] = {
#ifdef SYS_poll
	    SYS_poll,
#endif
	    SYS_ppoll, SYS_restart_syscall, /* a poll goes on with it after SIGCONT */
	    SYS_read, SYS_write, SYS_writev, SYS_pwritev2, SYS_close, SYS_clock_gettime, SYS_brk, SYS_munmap, SYS_mremap,
	    SYS_madvise, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_signalfd4, SYS_exit, SYS_exit_group,
	    SYS_getrandom,  /* hash tables are seeded when they are first needed */
	    SYS_sysinfo,    /* qsort(3) asks how much memory it may take */
	    UINT32_MAX, /* what a tracer puts in place of a call that it lets fail; no call at all */
	};
	struct sock_filter f[INPUT_MAX];
	unsigned short n = 0;
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIELD(arch));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIELD(nr));
	for (size_t i = 0; i < COUNT(calls); i++) {
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	/* Memory, unless code could be put into it: the third argument's lower half, which comes first here. */
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0);
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIELD(args[2]));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	_Static_assert(4 + 2 * COUNT(calls) + 6 <= INPUT_MAX, "the filter has room");

	struct sock_fprog program = {.len = n, .filter = f};
	if (watched())
		return left_open("seccomp", "this process is watched");
	sandbox_privileges();
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
		return left_open("seccomp", strerror(errno));
	log_debug("confined by seccomp: %zu system calls", COUNT(calls) + 1);
	return true;
}
#else
bool
sandbox_filter(void)
{
	sandbox_privileges();
	return left_open("seccomp", "not known for this machine");
}
#endif

/* ---- files ---- */

/* [linux/landlock.h] by its versions; older headers lack the later ones. The three system calls have one number everywhere. */
#define SYS_CREATE_RULESET 444
#define SYS_ADD_RULE 445
#define SYS_RESTRICT_SELF 446
#define GET_VERSION 1u
#define PATH_BENEATH 1

#define FS_EXECUTE (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_REG (1ull << 8)
#define FS_TRUNCATE (1ull << 14)

#define READS (FS_READ_FILE | FS_READ_DIR)
#define WRITES (READS | FS_WRITE_FILE | FS_REMOVE_FILE | FS_MAKE_REG | FS_TRUNCATE)
#define OF_A_FILE (FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE)

struct ruleset {
	uint64_t fs, net, scoped; /* what is forbidden but for the rules */
};

struct __attribute__((packed)) beneath {
	uint64_t allowed;
	int32_t fd;
};

/* All that version v knows: to forbid what it does not know is an error. */
static struct ruleset
everything(long v)
{
	static const unsigned char rights[] = {13, 14, 15, 15, 16};
	size_t i = v < (long)sizeof(rights) ? (size_t)v - 1 : sizeof(rights) - 1;
	return (struct ruleset){
	    .fs = (1ull << rights[i]) - 1,
	    .net = v >= 4 ? 1 : 0,    /* TCP: to bind a port */
	    .scoped = v >= 6 ? 3 : 0, /* abstract sockets, and signals, of others */
	};
}

static void
allow_at(int ruleset, const char *path, uint64_t rights)
{
	struct stat st;
	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0) {
		struct beneath b = {rights & (S_ISDIR(st.st_mode) ? ~0ull : OF_A_FILE), fd};
		if (syscall(SYS_ADD_RULE, ruleset, PATH_BENEATH, &b, 0) < 0)
			log_debug("cannot leave '%s' open: %s", path, strerror(errno));
	}
	close(fd);
}

static void
allow_around(int ruleset, const char *path, uint64_t rights)
{
	char *copy = xstrdup(path), *real = realpath(path, NULL);
	allow_at(ruleset, dirname(copy), rights);
	if (real != NULL)
		allow_at(ruleset, dirname(real), rights);
	free(copy);
	free(real);
}

bool
sandbox_files(const struct sandbox_path *paths, size_t n)
{
	sandbox_privileges();
	if (watched())
		return left_open("Landlock", "this process is watched");
	long version = syscall(SYS_CREATE_RULESET, NULL, 0, GET_VERSION);
	if (version < 1)
		return left_open("Landlock", strerror(errno));
	struct ruleset all = everything(version);
	int ruleset = (int)syscall(SYS_CREATE_RULESET, &all, sizeof(all), 0);
	if (ruleset < 0)
		return left_open("Landlock", strerror(errno));
	for (size_t i = 0; i < n; i++) {
		uint64_t rights = (paths[i].writes ? WRITES : READS) & all.fs;
		if (paths[i].path != NULL && paths[i].around)
			allow_around(ruleset, paths[i].path, rights);
		else if (paths[i].path != NULL)
			allow_at(ruleset, paths[i].path, rights);
	}
	long rc = syscall(SYS_RESTRICT_SELF, ruleset, 0);
	close(ruleset);
	if (rc < 0)
		return left_open("Landlock", strerror(errno));
	log_debug("confined by Landlock, version %ld", version);
	return true;
}
