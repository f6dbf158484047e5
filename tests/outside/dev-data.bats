#!/usr/bin/env bats
# The whole of the real data, published and streamed: through gcp-emu, and with Google's own Pub/Sub emulator at the front.
# Skips, loudly, where the data or the emulator are not on the machine.

load ../lib
load ../flow/flow
load google

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	skip_without_real_data
	real_data
}

teardown() {
	[ -z "${STREAM_PID:-}" ] || kill -KILL "$STREAM_PID" 2>/dev/null || true
	end_google
	end_all
}

@test "all 152,689 lines through gcp-emu: the books balance byte for byte" {
	start_emu
	publish events
	start_stream --idle-exit 3
	wait_stream 200
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	books 0
}

@test "all 152,689 lines, every stage killed in turn in the middle: the same result after each restart" {
	short_leases
	publish events
	local tool left=$((152689)) pid
	for tool in ps-pull ev-validate bq-insert gcs-put dlq-push; do
		start_stream --idle-exit 3 --lease 2 --max-outstanding 10000
		wait_backlog_below "$left"
		left=$(($(backlog_of) - 5000))
		wait_backlog_below "$left"
		pid=$(stage_pid "$tool")
		kill -KILL "$pid"
		wait_stream 15
		[ "$STREAM_STATUS" != 0 ]
		left=$(backlog_of)
		echo "# killed $tool at a backlog of $left; the chain ended with $STREAM_STATUS" >&3
		[ "$left" -gt 0 ]
	done
	start_stream --idle-exit 5 --lease 2
	wait_stream 120
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	# each kill may double what was stored and not yet acknowledged: at most a window of 10,000
	books 50000
}

@test "all 152,689 lines through Google's own Pub/Sub emulator: the books balance byte for byte" {
	start_emu
	google_emulator
	create backend-events-topic "$SUB"
	create backend-events-dlq-topic "$DLQ_SUB"
	export PUBSUB_EMULATOR_HOST=127.0.0.1:$GOOGLE_PORT
	publish events
	start_stream --idle-exit 15
	wait_stream 280
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	BACKLOG=0 books 0
	# an empty backlog, as far as this emulator tells: nothing more comes
	[ "$(ps-pull -q --idle-exit 12 "$SUB" | wc -l)" = 0 ]
}
