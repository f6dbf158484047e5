#!/usr/bin/env bats
# The main job end to end, undisturbed and disturbed: after each, the books balance.

load ../lib
load flow

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
}

teardown() {
	[ -z "${STREAM_PID:-}" ] || kill -KILL "$STREAM_PID" 2>/dev/null || true
	end_all
}

@test "every event arrives: rows, lake and dead letters add up byte for byte" {
	start_emu
	make_events 10000
	publish events
	start_stream --idle-exit 2
	wait_stream 120
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	books 0
	[ ! -s stream.out ]
}

@test "hostile events end in the dead-letter topic with their original bytes" {
	start_emu
	publish "$DATA/hostile.ndjson"
	start_stream --idle-exit 2
	wait_stream 60
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	ps-pull -q --idle-exit 1 "$DLQ_SUB" | jq -r '.data' | sort >got
	# the non-empty lines that should be rejected, as base64
	paste -d '\t' <(cut -f3 "$DATA/hostile.expected.tsv") /dev/null >verdicts
	n=0
	while IFS= read -r line; do
		n=$((n + 1))
		[ "$(sed -n "${n}s/\t.*//p" verdicts)" = ok ] || printf '%s' "$line" | base64 -w 0 | sed 's/$/\n/'
	done <"$DATA/hostile.ndjson" 2>/dev/null | grep . | sort >want
	diff want got
}

@test "dead letters carry their fault as attributes" {
	start_emu
	printf '%s\n' '{"event_type":"order","order_id":1}' >one
	publish one
	start_stream --idle-exit 2
	wait_stream 60
	ps-pull -q --idle-exit 1 "$DLQ_SUB" >dead
	[ "$(jq -r '.data | @base64d' dead)" = "$(cat one)" ]
	[ "$(jq -r .msg.attributes.dlq_stage dead)" = ev-validate ]
	[ "$(jq -r .msg.attributes.dlq_code dead)" = missing_field ]
	[ "$(jq -r '.msg.attributes.dlq_errors | fromjson | length' dead)" -gt 1 ]
	[ "$(jq -r .msg.attributes.dlq_source dead)" = "projects/test/subscriptions/$SUB" ]
}

# kill_stage TOOL: SIGKILL to one stage in the middle; the chain ends by itself, a restart brings the same result.
kill_stage() {
	short_leases
	make_events 40000
	publish events
	start_stream --idle-exit 2 --lease 2 --max-outstanding 10000
	wait_backlog_below 40000
	local pid
	pid=$(stage_pid "$1")
	[ -n "$pid" ]
	kill -KILL "$pid"
	wait_stream 15
	[ "$STREAM_STATUS" != 0 ]
	grep -q "$1" stream.err
	[ -z "$(pgrep -P "$STREAM_PID")" ]
	[ "$(backlog_of)" -gt 0 ]
	start_stream --idle-exit 5 --lease 2
	wait_stream 120
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	books 10000
}

@test "SIGKILL to ps-pull in the middle loses nothing" {
	kill_stage ps-pull
}

@test "SIGKILL to ev-validate in the middle loses nothing" {
	kill_stage ev-validate
}

@test "SIGKILL to bq-insert in the middle loses nothing" {
	kill_stage bq-insert
}

@test "SIGKILL to gcs-put in the middle loses nothing" {
	kill_stage gcs-put
}

@test "SIGKILL to dlq-push in the middle loses nothing" {
	kill_stage dlq-push
}

@test "SIGKILL to the script leaves no process behind and loses nothing" {
	short_leases
	make_events 40000
	publish events
	start_stream --idle-exit 2 --lease 2 --max-outstanding 10000
	wait_backlog_below 40000
	local children
	children=$(pgrep -P "$STREAM_PID" | paste -sd ,)
	kill -KILL "$STREAM_PID"
	wait "$STREAM_PID" || true
	for _ in $(seq 50); do
		ps -o pid= -p "$children" >left || true
		[ -s left ] || break
		sleep 0.1
	done
	[ ! -s left ]
	start_stream --idle-exit 5 --lease 2
	wait_stream 120
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	books 10000
}

@test "SIGTERM in the middle: exit 0 within the drain time, the rest after a restart, no row twice" {
	start_emu
	make_events 40000
	publish events
	start_stream --idle-exit 2 --drain 20
	wait_backlog_below 40000
	kill -TERM "$STREAM_PID"
	wait_stream 25
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	start_stream --idle-exit 2
	wait_stream 120
	[ "$STREAM_STATUS" = 0 ]
	books 0
}

@test "a stage stopped for longer than a lease, then continued: no loss, no double emission" {
	short_leases
	make_events 10000
	publish events
	start_stream --idle-exit 3 --lease 2
	wait_backlog_below 10000
	for tool in ps-pull bq-insert; do
		pid=$(stage_pid "$tool")
		kill -STOP "$pid"
		sleep 5
		kill -CONT "$pid"
	done
	wait_stream 120
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	books 0
}

@test "a window smaller than one lake object: nothing waits for ever, no confetti" {
	start_emu
	make_events 5000
	publish events
	start_stream --idle-exit 2 --max-outstanding 1000 --rotate-seconds 300
	wait_stream 120
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	books 0
	echo "# $(objects) objects" >&3
	# half a window an object, three types: about 10, and not one an event
	[ "$(objects)" -le 60 ]
}

@test "single events and a burst after silence: each is acknowledged soon, in few objects" {
	start_emu
	make_events 3003
	start_stream --idle-exit 20
	for n in 1 2 3; do
		sed -n "${n}p" events >one
		publish one
		wait_backlog_below 1 20
	done
	tail -n +4 events >burst
	publish burst
	wait_backlog_below 1 30
	kill -TERM "$STREAM_PID"
	wait_stream 10
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	books 0
	echo "# $(objects) objects" >&3
	[ "$(objects)" -le 15 ]
}

@test "--first lake: later rows rather than doubled ones, the same books" {
	start_emu
	make_events 10000
	publish events
	start_stream --idle-exit 2 --first lake
	wait_stream 120
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	books 0
}
