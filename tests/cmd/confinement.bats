#!/usr/bin/env bats
# What the running tools have given up, and what hostile events cannot reach: each is tried. The attempts come from within: a
# preloaded poll(2) tries something once the tool waits for its input, as code would that had got in by a fault of ours.

bats_require_minimum_version 1.5.0
load ../lib

SUB=backend-events-topic-sub
TOPIC=backend-events-topic
DATASET=ecommerce_events
LAKE=gs://test-events-output/output

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	plain_build # with sanitizers nothing is given up
}

teardown() {
	end_all
}

has_landlock() {
	ev-validate -vv --help >/dev/null
	start_emu
	dlq-push -vv --check $TOPIC 2>&1 </dev/null | grep -q 'confined by Landlock' ||
		skip "SKIPPED, NOT TESTED: this kernel has no Landlock"
}

# intruder: builds intruder.so, whose poll() tries TRY (a word and what it is about) once, and says how that ended.
intruder() {
	command -v "${CC:-cc}" >/dev/null || skip "SKIPPED, NOT TESTED: no C compiler here"
	cat >intruder.c <<-'END'
		#define _GNU_SOURCE
		#include <errno.h>
		#include <fcntl.h>
		#include <netinet/in.h>
		#include <poll.h>
		#include <signal.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		#include <sys/ptrace.h>
		#include <sys/socket.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		static int try(const char *what, const char *arg)
		{
			struct sockaddr_in any = {.sin_family = AF_INET};
			if (strcmp(what, "read") == 0) return open(arg, O_RDONLY);
			if (strcmp(what, "write") == 0) return open(arg, O_WRONLY | O_CREAT, 0600);
			if (strcmp(what, "run") == 0) return execl(arg, arg, (char *)0);
			if (strcmp(what, "fork") == 0) return fork();
			if (strcmp(what, "trace") == 0) return ptrace(PTRACE_ATTACH, getppid(), 0, 0);
			if (strcmp(what, "signal") == 0) return kill(getppid(), 0);
			if (strcmp(what, "socket") == 0) return socket(AF_INET, SOCK_STREAM, 0);
			return bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&any, sizeof(any));
		}
		int poll(struct pollfd *p, nfds_t n, int ms)
		{
			static int done;
			struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
			/* what is watched with its input is the record loop, and not a start check */
			if (!done && n > 0 && p[0].events == POLLIN && getenv("TRY") != NULL) {
				char what[256], *arg;
				snprintf(what, sizeof(what), "%s", getenv("TRY"));
				done = 1;
				arg = strchr(what, ' ');
				if (arg != NULL) *arg++ = '\0';
				errno = 0;
				int rc = try(what, arg);
				dprintf(2, "intruder: %s: %s\n", what, rc < 0 ? strerror(errno) : "DONE");
			}
			return ppoll(p, n, ms < 0 ? NULL : &t, NULL);
		}
		/* what a fortified build calls */
		int __poll_chk(struct pollfd *p, nfds_t n, int ms, size_t size)
		{
			(void)size;
			return poll(p, n, ms);
		}
	END
	"${CC:-cc}" -shared -fPIC -o intruder.so intruder.c
}

# tries TRY TOOL ARGUMENT...: the tool with the intruder in it, on an empty input; what it said is in err, its status in STATUS.
tries() {
	STATUS=0
	TRY=$1 LD_PRELOAD=$PWD/intruder.so timeout 20 "${@:2}" </dev/null >out 2>err || STATUS=$?
}

state() { # PID NAME
	awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"
}

@test "ev-validate waits for its input behind a filter; the others without new privileges" {
	start_emu
	mkfifo never
	exec 9<>never
	from_never() {
		exec "$@" <never 9>&-
	}
	in_background from_never ev-validate --rejects rejects
	wait_until '[ "$(state "$PID" Seccomp)" = 2 ]'
	[ "$(state "$PID" NoNewPrivs)" = 1 ]
	for tool in "ps-pull $SUB" "bq-insert $DATASET" "gcs-put $LAKE" "dlq-push $TOPIC" "ps-push $TOPIC" \
		"bq-load --journal journal $DATASET" "ev-read -"; do
		# shellcheck disable=SC2086 # several words
		in_background from_never $tool
		echo "$tool"
		wait_until '[ "$(state "$PID" NoNewPrivs)" = 1 ]'
	done
	exec 9>&-
}

@test "in ev-validate's loop: no file, no socket, no program, no other process; the attempt ends it, and is seen" {
	intruder
	tries 'nothing' ev-validate --events-only
	ev-validate -vv </dev/null 2>&1 | grep -q 'confined by seccomp' ||
		skip "SKIPPED, NOT TESTED: no seccomp here, or not for this machine"
	for try in "read $EVPIPE_SCHEMAS" "read /etc/passwd" "write $PWD/new" "run /bin/true" fork trace signal socket; do
		tries "$try" ev-validate --rejects rejects
		echo "$try: $STATUS"
		[ "$STATUS" = 159 ] # 128 + SIGSYS
		run ! grep -q intruder err
	done
	[ ! -e new ]
}

@test "in the network tools' loop: no file but those they need, no program, no port, no other process" {
	has_landlock
	intruder
	mkdir home private spools journals
	echo secret >private/key
	for tool in "ps-pull --idle-exit 1 $SUB" "bq-insert $DATASET" "gcs-put $LAKE" "dlq-push $TOPIC" "ps-push $TOPIC" \
		"bq-load --journal journals/j $DATASET" "ev-read gs://test-events-output/nothing/*"; do
		for try in "read $PWD/private/key" "read $PWD" "write $PWD/new" "run /bin/true" "write /etc/new" trace; do
			# shellcheck disable=SC2086 # several words
			tries "$try" env TMPDIR="$PWD/spools" $tool
			echo "$tool: $try: $(grep intruder err)"
			grep -Eq '^intruder: .*: (Permission denied|Operation not permitted)$' err
		done
		# but what certificates and names are read from
		# shellcheck disable=SC2086
		tries "read /etc/hosts" env TMPDIR="$PWD/spools" $tool
		grep -q '^intruder: read: DONE' err
	done
	tries "write $PWD/spools/new" env TMPDIR="$PWD/spools" gcs-put $LAKE
	grep -q '^intruder: write: DONE' err
	tries "write $PWD/journals/new" bq-load --journal journals/j $DATASET
	grep -q '^intruder: write: DONE' err
	tries "read $PWD/private/key" ev-read "$EVPIPE_SCHEMAS" # local files are its input, wherever links lead
	grep -q '^intruder: read: DONE' err
	tries 'bind' dlq-push $TOPIC
	[[ $(cat err) != *"bind: DONE"* ]] || dlq-push -vv --check $TOPIC 2>&1 | grep -q 'Landlock, version [123]$'
}

@test "a token file is read again from within, though another file took its place" {
	has_landlock
	stop_emu
	start_emu --auth
	mkdir secrets other
	cp "$EMU_DIR/token" secrets/token
	good_order 1 | ps-push -q --access-token-file secrets/token $TOPIC
	mkfifo in
	from_in() {
		exec "$@" <in
	}
	in_background from_in ps-push -q --access-token-file secrets/token $TOPIC
	exec 8>in
	wait_until '[ "$(state "$PID" NoNewPrivs)" = 1 ]'
	# replaced as editors and Kubernetes do: by another file of the same name
	faults '{"path":"*:publish","status":401,"times":1}'
	cp secrets/token secrets/new
	mv secrets/new secrets/token
	good_order 2 >&8
	exec 8>&-
	status_of "$PID" 15
	cat err
	[ "$STATUS" = 0 ]
	[ "$(backlog_of)" = 2 ]
}

@test "where the kernel refuses both, every tool works as before, and says so to -vv" {
	command -v strace >/dev/null || skip "SKIPPED, NOT TESTED: no strace here"
	start_emu
	good_order 1 >bare
	# -1 from landlock_create_ruleset and prctl, as an old kernel would
	without() {
		strace -f -qq -o trace -e "inject=landlock_create_ruleset,prctl:error=ENOSYS" -- "$@"
	}
	without true || skip "SKIPPED, NOT TESTED: strace cannot inject here"
	without ev-validate -vv --input bare --rejects rejects <bare >valid 2>err
	grep -q 'not confined by seccomp: Function not implemented' err
	[ "$(wc -l <valid)" = 1 ]
	without bq-insert -vv $DATASET <valid >stored 2>err
	cmp valid stored
	grep -q 'not confined by Landlock: Function not implemented' err
	without gcs-put --objects $LAKE <stored >objects 2>err || { cat err; false; }
	[ "$(wc -l <objects)" = 1 ]
}

@test "an event with 20,000 members, nesting and large strings is judged in the filter" {
	{
		printf '{"event_type":"order"'
		seq 20000 | sed 's/.*/,"k&":&/' | tr -d '\n'
		printf '}\n{"event_type":"order","a":%s%s}\n{"x":"' "$(printf '[%.0s' {1..60})" "$(printf ']%.0s' {1..60})"
		head -c 17000000 /dev/zero | tr '\0' y
		printf '"}\n'
		good_order 1
	} >in
	ev-validate -q --rejects rejects <in >out
	[ "$(wc -l <rejects)" = 3 ]
	[ "$(wc -l <out)" = 1 ]
	run -1 ev-validate -q <in
}

@test "certificates are those that curl would use: CURL_CA_BUNDLE, SSL_CERT_FILE, wherever they are" {
	command -v openssl >/dev/null || skip "SKIPPED, NOT TESTED: no openssl command here"
	unset CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR
	mkdir certificates
	openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificates/ours -days 2 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost 2>openssl.err
	mkfifo never # s_server ends with its input
	exec 9<>never
	server() {
		exec openssl s_server -accept 0 -cert certificates/ours -key key <never 9>&-
	}
	OUT=server.out in_background server
	wait_until 'grep -q ACCEPT server.out'
	port=$(sed -n 's/^ACCEPT.*:\([0-9]*\)$/\1/p' server.out)
	printf '{"type":"authorized_user","client_id":"a","client_secret":"b","refresh_token":"c","token_uri":"https://localhost:%s/token"}' \
		"$port" >cred.json
	chmod 600 cred.json
	run -78 gcp-token --retry-for 1 --credentials cred.json
	[[ $output == *certificate* ]]
	for how in "CURL_CA_BUNDLE=$PWD/certificates/ours" "SSL_CERT_FILE=certificates/ours"; do
		OUT=token.out in_background env "$how" gcp-token --credentials cred.json
		wait_until 'grep -q "^POST /token" server.out'
		kill -KILL "$PID"
		wait "$PID" || true
		: >server.out
	done
	exec 9>&-
}
