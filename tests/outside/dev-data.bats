#!/usr/bin/env bats
# The whole of the real data, published and streamed: through gcp-emu, and with Google's own Pub/Sub emulator at the front.
# Skips, loudly, where the data or the emulator are not on the machine.

load ../lib
load ../flow/flow

SHARED=$ROOT/../shared/data/dev

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	[ -d "$SHARED" ] || skip "the real data are not here ($SHARED)"
	local kind
	for kind in orders inventory user_activity; do
		paste -d '\t' <(zstd -qdc "$SHARED/$kind.expected.tsv.zst" | cut -f3) <(zstd -qdc "$SHARED/$kind.ndjson.zst")
	done >judged
	cut -f2- judged >events
	sed -n 's/^ok\t//p' judged | sort >events.ok
	sed -n '/^ok\t/!s/^[^\t]*\t//p' judged | sort >events.bad
}

teardown() {
	[ -z "${STREAM_PID:-}" ] || kill -KILL "$STREAM_PID" 2>/dev/null || true
	[ -z "${GOOGLE_PID:-}" ] || kill "$GOOGLE_PID" 2>/dev/null || true
	[ -z "${GOOGLE_PID:-}" ] || wait "$GOOGLE_PID" 2>/dev/null || true
	end_all
}

google_emulator() {
	local sdk jar
	sdk=$(dirname "$(dirname "$(readlink -f "$(command -v gcloud || echo /nowhere/bin/gcloud)")")")
	jar=$(ls "$sdk"/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar 2>/dev/null) || skip "Google's Pub/Sub emulator is not here"
	command -v java >/dev/null || skip "there is no java for Google's Pub/Sub emulator"
	GOOGLE_PORT=$(port_of_nobody)
	java -Xmx4g -jar "$jar" --host=127.0.0.1 --port="$GOOGLE_PORT" >google.log 2>&1 3>&- &
	GOOGLE_PID=$!
	# shellcheck disable=SC2016 # evaluated there
	wait_until 'curl -sf "http://127.0.0.1:$GOOGLE_PORT/" >/dev/null' 30
}

# A port that the kernel has free: Google's emulator takes no 0.
port_of_nobody() {
	local in_use port
	in_use=$(awk 'NR > 1 { split($2, a, ":"); print a[2] }' /proc/net/tcp)
	while :; do
		port=$((20000 + RANDOM))
		grep -qi "$(printf '^%04X$' "$port")" <<<"$in_use" || break
	done
	echo "$port"
}

create() { # TOPIC SUBSCRIPTION
	local base=http://127.0.0.1:$GOOGLE_PORT/v1/projects/test
	curl -sf -X PUT "$base/topics/$1" >/dev/null
	curl -sf -X PUT "$base/subscriptions/$2" -H 'Content-Type: application/json' \
		-d "{\"topic\":\"projects/test/topics/$1\",\"ackDeadlineSeconds\":60}" >/dev/null
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
