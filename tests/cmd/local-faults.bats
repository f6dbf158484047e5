#!/usr/bin/env bats
# What this machine does to the tools: disks that fill or fail, descriptors that are closed, memory that ends, clocks that jump.
# Each time one message and a status, and nothing acknowledged or receipted that was not stored.

bats_require_minimum_version 1.5.0
load ../lib

SUB=backend-events-topic-sub
DLQ=backend-events-dlq-topic
DATASET=ecommerce_events
LAKE=gs://test-events-output/output

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	raw 1 >raw
	ev-validate -q --rejects rejects <raw >valid
	printf '{"msg":{"id":"1"},"data":"e30=","stage":"s","errors":[{"code":"unknown_type","path":"","detail":"d"}]}\n' >bad
	rm rejects
}

teardown() {
	end_all
	[ ! -d tiny ] || ! mountpoint -q tiny || umount tiny
}

raw() { # ID
	printf '{"msg":{"id":"%s","source":"projects/test/subscriptions/s","time":"2025-02-08T13:09:00Z"},"data":"%s"}\n' \
		"$1" "$(good_order "$1" | base64 -w0)"
}

# The tools that turn records into records or receipts, one a line: the input, and the command.
stages() {
	cat <<-END
		raw ev-validate --rejects rejects
		valid bq-insert $DATASET
		valid gcs-put $LAKE
		bad dlq-push $DLQ
		raw ps-push --input records $DLQ
	END
}

# said STATUS PATTERN TOOL: the status of the last command was that, and its last message but the tally, in err, begins
# "TOOL: cannot" and matches.
said() {
	cat err
	[ "$status" = "$1" ]
	# shellcheck disable=SC2053 # a pattern
	[[ $(grep -v '^[a-z-]*: in [0-9]*, done ' err | tail -n 1) == "$3: cannot "*$2* ]]
}

tiny() { # SIZE
	[ "$(id -u)" = 0 ] || skip "SKIPPED, NOT TESTED: mounting a small tmpfs needs root"
	mkdir -p tiny
	mount -t tmpfs -o "size=$1" tmpfs tiny 2>mount.err || skip "SKIPPED, NOT TESTED: no tmpfs can be mounted here"
}

need_strace() {
	command -v strace >/dev/null && strace -qq -o trace -e inject=getpid:error=EIO -- true 2>/dev/null ||
		skip "SKIPPED, NOT TESTED: no strace that can inject here"
}

# failing FILE CALLS COMMAND...: the calls fail with EIO where they are about that file.
failing() {
	status=0
	timeout 30 strace -f -qq -o trace -P "$(realpath "$1")" -e "inject=$2:error=EIO" -- "${@:3}" 2>err || status=$?
}

compiled() { # NAME: NAME.c into NAME.so
	command -v "${CC:-cc}" >/dev/null || skip "SKIPPED, NOT TESTED: no C compiler here"
	plain_build # sanitizers have their own allocator
	"${CC:-cc}" -shared -fPIC -O1 -o "$1.so" "$1.c"
}

# ---- disks that fill ---------------------------------------------------------------------------------------------------

@test "a disk that fills under the output: 74, and what is on it are whole lines and one torn at most" {
	tiny 64k
	awk '{ for (i = 1; i <= 400; i++) { s = $0; sub(/"id":"1"/, "\"id\":\"" i "\"", s); print s } }' raw >many
	status=0
	ev-validate --rejects rejects <many >tiny/out 2>err || status=$?
	said 74 "'standard output': No space left on device" ev-validate
	# the torn line is dropped by who reads it, with 65; the others count
	head -n -1 <(cat tiny/out; echo) >whole
	[ "$(jq -r .msg.id <whole | tail -n 1)" = "$(wc -l <whole)" ]
	status=0
	ev-validate --rejects tiny/rejects <<<'{"event_type":"nothing"}' >out 2>err || status=$?
	said 74 "'tiny/rejects': No space left on device" ev-validate
}

@test "a disk that fills under the journals of ev-read and bq-load: 74, nothing is marked done" {
	tiny 16k
	start_emu
	good_order 1 >history.json
	head -c 16384 /dev/zero >tiny/full 2>/dev/null || true
	mkfifo acks
	exec 8<>acks
	status=0
	timeout 20 ev-read --journal tiny/journal --acks acks history.json >out 2>err || status=$?
	exec 8>&-
	said 74 "'tiny/journal': No space left on device" ev-read
	[ ! -s out ]
	status=0
	printf '{"object":"%s","generation":"1","table":"orders","rows":1,"bytes":1,"md5":"x","source":"s@1"}\n' "$LAKE/x" |
		timeout 20 bq-load --journal tiny/loads $DATASET >out 2>err || status=$?
	said 74 "'tiny/loads': No space left on device" bq-load
	[ ! -s out ]
	# no job was submitted that no journal knows
	curl -sf "http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/jobs" | jq -e '.jobs // [] == []'
}

@test "a disk that fills under gcp-emu is an error of the service, not the end of it" {
	tiny 2M
	export EMU_DIR=$PWD/tiny/emu
	start_emu
	head -c 3000000 /dev/zero >tiny/full 2>/dev/null || true
	status=0
	gcs-put --retry-for 1 $LAKE <valid >out 2>err || status=$?
	[ "$status" != 0 ]
	[ ! -s out ]
	status=0
	bq-insert --retry-for 1 $DATASET <valid >out 2>err || status=$?
	[ "$status" != 0 ]
	[ ! -s out ]
	rm tiny/full
	bq-insert -q --retry-for 10 $DATASET <valid >stored
	[ "$(gcs-put -q --retry-for 10 $LAKE <stored | wc -l)" = 1 ]
	[ "$(rows_of orders)" = 1 ]
	stop_emu
}

# ---- disks that fail ---------------------------------------------------------------------------------------------------

@test "an input that cannot be read: 74, named; nothing comes out" {
	need_strace
	start_emu
	while read -r in tool; do
		# shellcheck disable=SC2086 # several words
		failing $in read,pread64,readv $tool <$in >out
		said 74 "'st*in*': Input/output error" "${tool%% *}" # ev-validate's is called stdin
		[ ! -s out ]
	done < <(stages)
	good_order 1 >history.json
	failing history.json read ev-read history.json >out
	said 74 "history.json': Input/output error" ev-read
	[ ! -s out ]
}

@test "an output that cannot be written: 74, named; a message stays unacknowledged" {
	need_strace
	start_emu
	stages >list
	echo "raw ps-pull --idle-exit 5 $SUB" >>list
	publish_lines '{}'
	while read -r in tool; do
		: >out
		# shellcheck disable=SC2086
		failing out write,writev,pwritev2 $tool <$in >>out
		said 74 "'standard output': Input/output error" "${tool%% *}"
	done <list
	[ "$(backlog_of)" = 1 ]
	for tool in "raw ev-validate" "valid bq-insert $DATASET"; do
		read -r in tool <<<"$tool"
		# shellcheck disable=SC2016
		sed 's/"quantity":1/"quantity":"x"/' valid >invalid
		[ "$in" = valid ] && in=invalid || echo '{}' >raw
		: >rejects
		# shellcheck disable=SC2086
		failing rejects write,writev,pwritev2 $tool --rejects rejects <$in >out
		said 74 "'rejects': Input/output error" "${tool%% *}"
	done
}

@test "a journal that cannot be written or kept, a spool that cannot be read again: 74" {
	need_strace
	start_emu
	good_order 1 >history.json
	mkfifo acks
	for call in write,pwritev2,writev fsync,fdatasync; do
		rm -f journal
		: >journal
		exec 8<>acks
		failing journal $call ev-read --journal journal --acks acks history.json >out
		exec 8>&-
		said 74 "'journal': Input/output error" ev-read
		[ ! -s out ]
	done
	# spools have no name: every pread (after the loader's own), or pwrite, of gcs-put is theirs
	head -c 48000000 /dev/urandom | base64 -w 1000 |
		awk '{printf "{\"msg\":{\"id\":\"%d\"},\"type\":\"order\",\"table\":\"orders\",\"time\":\"t\",\"event\":{\"x\":\"%s\"}}\n", NR, $0}' >much
	strace -f -qq -o trace -e trace=pread64 -- gcs-put $LAKE <valid >out
	own=$(($(grep -c pread64 trace) + 1))
	for call in pwrite64:error=EIO "pread64:error=EIO:when=$own+"; do
		status=0
		timeout 60 strace -f -qq -o trace -e "inject=$call" -- gcs-put --rotate-bytes 1G --max-held 1000000 \
			--max-held-bytes 1G $LAKE <much >out 2>err || status=$?
		said 74 "a temporary file in '${TMPDIR:-/tmp}': Input/output error" gcs-put
		[ ! -s out ]
	done
}

# ---- descriptors ---------------------------------------------------------------------------------------------------------

@test "closed descriptors: no message lands in a file of data, and no file where output should be" {
	start_emu
	good_order 1 >history.json
	publish_lines '{}'
	stages >list
	cat >>list <<-END
		raw ps-pull --idle-exit 1 $SUB
		raw ev-read --rejects rejects history.json
		raw bq-load --journal journal $DATASET
		raw gcp-token --access-token-file bad
	END
	while read -r in tool; do
		for closed in '<&-' '>&-' '2>&-' '<&- >&-' '>&- 2>&-' '<&- >&- 2>&-' '3>&-'; do
			rm -f rejects journal
			: >out
			: >err
			ended=0
			eval "timeout 20 $tool <$in >out 2>err $closed" || ended=$?
			echo "$tool $closed: $ended"
			case $closed in
			'>&-'* | *' >&-'*) [ "$ended" = 74 ] ;;
			'<&-') [ "$ended" = 66 ] ;;
			*) [[ $tool == gcp-token* || $tool == bq-load* ]] || [ "$ended" = 0 ] ;;
			esac
			# a message begins with the tool's name: none is among the data
			cat out rejects journal >data 2>cat.err || true
			run ! grep "^${tool%% *}: " data
		done
	done <list
	run -64 ev-validate --rejects fd:3 <raw 3>&-
}

@test "gcp-emu starts with closed descriptors too, and prints its port only where it can" {
	status=0
	gcp-emu --port 0 --dir emu --project test <&- >&- 2>err || status=$?
	[ "$status" = 74 ]
	grep -q '^gcp-emu: cannot start: standard output is closed' err
}

@test "a reader of rejects or receipts that left: 74 at once, also with nothing to write" {
	start_emu
	mkfifo never gone
	exec 9<>never
	for tool in "ev-validate --rejects gone" "bq-insert --rejects gone $DATASET"; do
		cat gone >/dev/null &
		READER=$!
		# shellcheck disable=SC2086
		OUT=out in_background bash -c "exec $tool <never 9>&-"
		wait_until 'grep -q "using\|." err || [ -e /proc/$PID/fd/3 ]'
		wait_until 'ls -l /proc/$PID/fd | grep -q /gone'
		kill "$READER"
		wait "$READER" 2>/dev/null || true
		status_of "$PID" 10
		status=$STATUS
		said 74 "'gone': its reader has gone" "${tool%% *}"
	done
	exec 9>&-
}

# ---- memory --------------------------------------------------------------------------------------------------------------

oom() {
	cat >oom.c <<-'END'
		/* From the OOM_AT-th allocation on there is no memory; OOM_COUNT=1 tells how many there were. */
		#include <errno.h>
		#include <stdio.h>
		#include <stdlib.h>
		extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
		static unsigned long count, at;
		static int fails(void)
		{
			if (at == 0)
				at = getenv("OOM_AT") != NULL ? strtoul(getenv("OOM_AT"), NULL, 10) : ~0ul;
			if (__atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) < at)
				return 0;
			errno = ENOMEM;
			return 1;
		}
		void *malloc(size_t n) { return fails() ? NULL : __libc_malloc(n); }
		void *calloc(size_t n, size_t m) { return fails() ? NULL : __libc_calloc(n, m); }
		void *realloc(void *p, size_t n) { return fails() ? NULL : __libc_realloc(p, n); }
		__attribute__((destructor)) static void end(void)
		{
			if (getenv("OOM_COUNT") != NULL)
				dprintf(2, "allocations %lu\n", count);
		}
	END
	compiled oom
}

# allocations COMMAND...: how many it makes
allocations() {
	OOM_COUNT=1 LD_PRELOAD=$PWD/oom.so timeout 60 "$@" 2>&1 >/dev/null | sed -n 's/^allocations //p' | tail -n 1
}

# ends_well COMMAND...: with no memory from the OOM_AT-th allocation on, it says so, with 75.
ends_well() {
	status=0
	OOM_AT=$at LD_PRELOAD=$PWD/oom.so timeout 30 "$@" >out 2>err 3>&- || status=$?
	[ "$status" = 75 ] && grep -q '^evpipe: cannot go on: out of memory' err && return 0
	# the allocations are not the same each time: this run may have had fewer
	[ "$status" = 0 ] && [ "$at" -gt $((n * 9 / 10 - 20)) ] && return 0
	echo "$* at $at of $n: $status"
	tail -n 3 err
	return 1
}

# points N: some numbers up to N, closer together at the start
points() {
	awk -v n="$1" 'BEGIN { for (k = 0; k < 8; k++) print int(exp(log(n) * k / 8)) }' | sort -nu
}

@test "no memory at the n-th allocation of each unit program: the message and 75, never a crash, in libraries either" {
	oom
	[ -d "$B/tests" ] || skip "SKIPPED, NOT TESTED: the unit programs are not built"
	try_all() { # PROGRAM: in a folder of its own
		mkdir "${1##*/}.oom" && cd "${1##*/}.oom" || return
		cp ../oom.so .
		n=$(allocations "$1")
		for at in $(points "$n"); do
			ends_well "$1" || return
		done
		echo ended >well
	}
	programs=0
	for program in "$B"/tests/t-*; do
		[[ -x $program && -f $program && $program != *.* ]] || continue
		# nothing allocates there, or what fails is a child's
		[[ $program != */t-glob && $program != */t-notify && $program != */t-retry && $program != */t-sandbox ]] || continue
		programs=$((programs + 1))
		# most of them wait most of the time
		try_all "$program" >"${program##*/}.log" 2>&1 3>&- &
	done
	wait
	cat ./*.log
	[ "$(cat ./*.oom/well | wc -l)" = "$programs" ]
}

@test "no memory at the n-th allocation of each tool at work: 75, and what had no receipt was not acknowledged" {
	oom
	start_emu
	bad=0
	while read -r in tool; do
		# shellcheck disable=SC2086
		n=$(allocations $tool <$in)
		for at in $(points "$n"); do
			# shellcheck disable=SC2086
			ends_well $tool <$in || bad=1
			# whole lines, or none
			[ "$(tail -c 1 out | tr '\n' n)" = n ] || [ ! -s out ] || bad=1
		done
	done < <(stages)
	[ "$bad" = 0 ]
	publish_lines '{}'
	n=$(allocations ps-pull --max-messages 1 --idle-exit 5 $SUB </dev/null)
	for at in $(points "$n"); do
		ends_well ps-pull --max-messages 1 --idle-exit 5 $SUB </dev/null || bad=1
	done
	[ "$bad" = 0 ]
	[ "$(backlog_of)" = 1 ]
}

# ---- clocks --------------------------------------------------------------------------------------------------------------

# A wall clock that jumps by 30 days, there and back, each time it is read.
jumping() {
	cat >jump.c <<-'END'
		#define _GNU_SOURCE
		#include <stddef.h>
		#include <sys/syscall.h>
		#include <sys/time.h>
		#include <time.h>
		#include <unistd.h>
		static long jump(void)
		{
			static unsigned n;
			return (__atomic_add_fetch(&n, 1, __ATOMIC_RELAXED) & 1 ? 1 : -1) * 30 * 86400L;
		}
		int clock_gettime(clockid_t id, struct timespec *t)
		{
			int rc = (int)syscall(SYS_clock_gettime, id, t);
			if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
				t->tv_sec += jump();
			return rc;
		}
		int gettimeofday(struct timeval *restrict tv, void *restrict zone)
		{
			struct timespec t;
			(void)zone;
			clock_gettime(CLOCK_REALTIME, &t);
			tv->tv_sec = t.tv_sec;
			tv->tv_usec = t.tv_nsec / 1000;
			return 0;
		}
		time_t time(time_t *to)
		{
			struct timespec t;
			clock_gettime(CLOCK_REALTIME, &t);
			if (to != NULL) *to = t.tv_sec;
			return t.tv_sec;
		}
	END
	compiled jump
	[ "$(for _ in 1 2 3 4; do LD_PRELOAD=$PWD/jump.so date +%s; done | sort -u | wc -l)" -ge 1 ]
	[ $(($(LD_PRELOAD=$PWD/jump.so date +%s) - $(date +%s))) -gt 2000000 ]
}

with_jumps() {
	LD_PRELOAD=$PWD/jump.so exec "$@"
}

@test "a wall clock that jumps: leases are kept until the receipt comes, no sooner and no later than else" {
	jumping
	start_emu --min-deadline 1
	curl -sf -X PATCH "http://127.0.0.1:$EMU_PORT/v1/projects/test/subscriptions/$SUB" -H 'Content-Type: application/json' \
		-d '{"subscription":{"ackDeadlineSeconds":2},"updateMask":"ackDeadlineSeconds"}' >patched
	publish_lines "$(good_order 1)"
	mkfifo acks
	in_background with_jumps ps-pull --acks acks --lease 2 --max-messages 1 $SUB
	exec 8>acks
	wait_until '[ -s out ]'
	# three leases long nobody else gets it
	[ -z "$(ps-pull -q --idle-exit 5 $SUB)" ]
	extended=$(curl -sf "http://127.0.0.1:$EMU_PORT/emu/requests" | jq '[.requests[] | select(.path | endswith(":modifyAckDeadline")) | .count] | add')
	echo "extended $extended times"
	[ "$extended" -ge 2 ] && [ "$extended" -le 14 ]
	jq -c '{msg: {id: .msg.id}}' out >&8
	exec 8>&-
	status_of "$PID" 15
	[ "$STATUS" = 0 ]
	grep -q 'redelivered 0, lapsed 0' err
	[ "$(backlog_of)" = 0 ]
}

@test "a wall clock that jumps: objects close at their age, retries go on at their pace and give up in time" {
	jumping
	start_emu
	mkfifo in
	from_in() {
		with_jumps "$@" <in
	}
	in_background from_in gcs-put --rotate-seconds 2 --idle-seconds 0 $LAKE
	exec 8>in
	cat valid >&8
	start=$SECONDS
	wait_until '[ -s out ]' 6
	[ $((SECONDS - start)) -ge 1 ]
	exec 8>&-
	status_of "$PID" 10
	[ "$STATUS" = 0 ]
	faults '{"path":"*/insertAll","status":503,"times":3}'
	start=$SECONDS
	(with_jumps bq-insert -q $DATASET <valid >stored)
	cmp valid stored
	[ $((SECONDS - start)) -le 5 ]
	faults '{"path":"*/insertAll","status":503}'
	status=0
	(with_jumps bq-insert -q --retry-for 2 $DATASET <valid >stored 2>err) || status=$?
	[ "$status" = 75 ]
	[ "$(curl -sf "http://127.0.0.1:$EMU_PORT/emu/faults" | jq '.rules[0].applied')" -ge 3 ]
	[ "$(curl -sf "http://127.0.0.1:$EMU_PORT/emu/faults" | jq '.rules[0].applied')" -le 40 ]
}
