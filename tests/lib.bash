# What the bats files share: the build's tools first in PATH, a gcp-emu of one's own, waiting for a condition, and an end to
# every process that was started. `load ../lib` brings it in; B is the build folder (scripts/check sets it).
# shellcheck shell=bash

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
B=${B:-$ROOT/build}
PATH=$B:$PATH
export ROOT B PATH EVPIPE_BIN=$B EVPIPE_SCHEMAS=$ROOT/schemas.json LC_ALL=C.UTF-8
unset GOOGLE_CLOUD_PROJECT PUBSUB_EMULATOR_HOST BIGQUERY_EMULATOR_HOST STORAGE_EMULATOR_HOST

# start_emu [OPTION...]: gcp-emu over $EMU_DIR, with project `test` and the default resources; sets EMU_PID, EMU_PORT and the
# variables that send the tools there. Started again it finds what it had.
start_emu() {
	EMU_DIR=${EMU_DIR:-$BATS_TEST_TMPDIR/emu}
	# shellcheck disable=SC2188 # empties the file
	>"$EMU_DIR.out"
	"$B/gcp-emu" --port 0 --dir "$EMU_DIR" --project test --schemas "$EVPIPE_SCHEMAS" "$@" >"$EMU_DIR.out" 2>>"$EMU_DIR.err" 3>&- &
	EMU_PID=$!
	wait_until 'grep -q "listening on" "$EMU_DIR.out" || ! kill -0 "$EMU_PID" 2>/dev/null' 20
	EMU_PORT=$(sed -n '1s/.*:\([0-9]*\)$/\1/p' "$EMU_DIR.out")
	[ -n "$EMU_PORT" ] || { echo "gcp-emu did not start:"; cat "$EMU_DIR.err"; return 1; }
	export PUBSUB_EMULATOR_HOST=127.0.0.1:$EMU_PORT BIGQUERY_EMULATOR_HOST=127.0.0.1:$EMU_PORT
	export STORAGE_EMULATOR_HOST=127.0.0.1:$EMU_PORT GOOGLE_CLOUD_PROJECT=test
}

stop_emu() {
	[ -n "${EMU_PID:-}" ] || return 0
	kill "$EMU_PID" 2>/dev/null || true
	wait "$EMU_PID" 2>/dev/null || true
	EMU_PID=
}

sanitized() {
	nm -D "$B/ev-validate" | grep -q __asan_init
}

# plain_build: for what a build with sanitizers cannot show. A file that names it gets the other one from scripts/check.
plain_build() {
	! sanitized || skip "SKIPPED, NOT TESTED: these tools are built with sanitizers"
}

# wait_until CONDITION [SECONDS]: until the command line is true, at most so long (10).
wait_until() {
	local end=$((SECONDS + ${2:-10}))
	until eval "$1"; do
		[ "$SECONDS" -lt "$end" ] || { echo "not within ${2:-10} s: $1"; return 1; }
		sleep 0.05
	done
}

# in_background COMMAND...: started with output to $OUT and $ERR (files out and err); its pid is in PID, and end_all ends it.
STARTED=()
in_background() {
	"$@" >"${OUT:-out}" 2>"${ERR:-err}" 3>&- &
	PID=$!
	STARTED+=("$PID")
}

end_all() {
	local pid
	for pid in "${STARTED[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	STARTED=()
	stop_emu
}

# status_of PID SECONDS: waits for a process of ours; its exit status is in STATUS.
status_of() {
	wait_until "! kill -0 $1 2>/dev/null" "$2" || return 1
	STATUS=0
	wait "$1" || STATUS=$?
	export STATUS
}

# publish_lines LINE...: each argument as one message to the default topic.
publish_lines() {
	printf '%s\n' "$@" | "$B/ps-push" -q --input bare backend-events-topic
}

# backlog [SUBSCRIPTION]: how many messages are not acknowledged there.
backlog_of() {
	curl -sf "http://127.0.0.1:$EMU_PORT/emu/pubsub/projects/test/subscriptions/${1:-backend-events-topic-sub}" | jq .backlog
}

# faults RULE,...: what gcp-emu does wrong from now on; none: nothing.
faults() {
	curl -sSf -X PUT "http://127.0.0.1:$EMU_PORT/emu/faults" -d "{\"rules\":[${1:-}]}" >/dev/null
}

# rows_of TABLE: how many rows it has.
rows_of() {
	sqlite3 -readonly "$EMU_DIR/bigquery/test/ecommerce_events.sqlite" "select count(*) from $1"
}

good_order() { # ID
	printf '{"event_type":"order","order_id":"%s","customer_id":"c","order_date":"2025-02-08T13:09:00Z","status":"pending",' "$1"
	printf '"total_amount":9.5,"items":[{"product_id":"p","product_name":"Mug","quantity":1,"price":9.5}],'
	printf '"shipping_address":{"street":"1 Main St","city":"Oslo","country":"Norway"}}\n'
}
