# shellcheck shell=bash
# Whole pipelines against gcp-emu: events with known verdicts in, and the books of all three outputs balanced afterwards.
# Sourced by the flow tests after ../lib.bash.

DATA=$BATS_TEST_DIRNAME/../data
# shellcheck disable=SC2034 # for the callers
SUB=backend-events-topic-sub
DLQ_SUB=backend-events-dlq-topic-sub

# make_events N: N lines of tests/data into events, each copy of the data with ids of its own; the valid lines into events.ok,
# the others into events.bad, both sorted.
make_events() {
	local kind copies k
	copies=$((($1 + 2499) / 2500))
	for kind in orders inventory user_activity; do
		cut -f3 "$DATA/$kind.expected.tsv" | paste -d '\t' - "$DATA/$kind.ndjson"
	done >once
	for ((k = 0; k < copies; k++)); do
		sed -E "s/\"(order_id|inventory_id|user_id)\":\"/&$k-/" once
	done | awk -v n="$1" 'NR <= n' >judged
	cut -f2- judged >events
	sed -n 's/^ok\t//p' judged | sort >events.ok
	sed -n '/^ok\t/!s/^[^\t]*\t//p' judged | sort >events.bad
}

publish() { # FILE
	ps-push -q backend-events-topic <"$1"
}

# short_leases [SECONDS]: gcp-emu with leases of 2 s, so that a restart need not wait a minute for what a killed ps-pull held.
short_leases() {
	start_emu --min-deadline 1
	curl -sf -X PATCH "http://127.0.0.1:$EMU_PORT/v1/projects/test/subscriptions/$SUB" -H 'Content-Type: application/json' \
		-d '{"subscription":{"ackDeadlineSeconds":'"${1:-2}"'},"updateMask":"ackDeadlineSeconds"}' >patched
}

# The ids of every row in all three tables, sorted: one line a row.
rows() {
	local db=$EMU_DIR/bigquery/test/ecommerce_events.sqlite
	sqlite3 "$db" "select order_id from orders union all select inventory_id from inventory_logs
		union all select user_id || activity_type || coalesce(ip_address, '') from user_activity" | sort
}

# The same from events, in their order ...
expected_keys() {
	jq -r 'if .event_type == "order" then .order_id elif .event_type == "inventory" then .inventory_id
		else .user_id + .activity_type + (.ip_address // "") end'
}

# ... and sorted: what the rows should be.
expected_rows() {
	expected_keys | sort
}

lake() {
	find "$EMU_DIR/storage/test-events-output" -name '*.json' -type f -exec cat {} + | sort
}

objects() {
	find "$EMU_DIR/storage/test-events-output" -name '*.json' -type f | wc -l
}

dead_letters() {
	ps-pull -q --idle-exit 1 --max-messages 10000000 "$DLQ_SUB" 2>/dev/null | jq -r '.data | @base64d' | sort
}

# books MAX_DUPLICATES: nothing is missing anywhere, nothing is there that was not published, and at most so many lines of the
# lake and of the dead letters came twice. The figures go to the terminal as diagnostics. Rows never do: insertId. BACKLOG=0 where gcp-emu has no subscription to ask.
books() {
	local bad=0 name missing extra left
	rows >got.rows
	expected_rows <events.ok >want.rows
	lake >got.lake
	dead_letters >got.dead
	cp events.ok want.lake
	cp events.bad want.dead
	for name in rows lake dead; do
		missing=$(comm -23 "want.$name" "got.$name" | wc -l)
		extra=$(comm -13 "want.$name" "got.$name" | wc -l)
		echo "# $name: wanted $(wc -l <"want.$name"), got $(wc -l <"got.$name"), missing $missing, twice $extra" >&3
		comm -13 "want.$name" "got.$name" | sort -u | comm -23 - <(sort -u "want.$name") >strange
		[ ! -s strange ] || { echo "strange in $name:"; head -n 3 strange; bad=1; }
		[ "$missing" = 0 ] || { comm -23 "want.$name" "got.$name" | head -n 3; bad=1; }
		if [ "$name" = rows ]; then [ "$extra" = 0 ] || bad=1; else [ "$extra" -le "$1" ] || bad=1; fi
	done
	left=${BACKLOG:-$(backlog_of)}
	[ "$left" = 0 ] || { echo "backlog $left"; bad=1; }
	return "$bad"
}

# start_stream [OPTION...]: scripts/stream in the background; its pid is STREAM_PID.
start_stream() {
	"$ROOT/scripts/stream" --project test "$@" >stream.out 2>>stream.err 3>&- &
	STREAM_PID=$!
}

stage_pid() { # TOOL: of the running stream
	pgrep -P "$STREAM_PID" -x "$1" | head -n 1
}

# wait_backlog_below N [SECONDS]: until that few are unacknowledged
wait_backlog_below() {
	local until=$((SECONDS + ${2:-60}))
	while [ "$(backlog_of)" -ge "$1" ]; do
		[ "$SECONDS" -lt "$until" ] || { echo "the backlog stays at $(backlog_of)"; return 1; }
		sleep 0.05
	done
}

# wait_stream SECONDS: until the script has ended; its status is in STREAM_STATUS
wait_stream() {
	local until=$((SECONDS + $1))
	while kill -0 "$STREAM_PID" 2>/dev/null; do
		[ "$SECONDS" -lt "$until" ] || { echo "the stream still runs after $1 s"; cat stream.err; return 1; }
		sleep 0.1
	done
	# shellcheck disable=SC2034 # for the caller
	STREAM_STATUS=0
	# shellcheck disable=SC2034 # for the caller
	wait "$STREAM_PID" || STREAM_STATUS=$?
}

# The real data, where they are on this machine: `events`, and sorted those that are valid and those that are not, with the
# verdict of an independent implementation, as events.ok and events.bad.
REAL_DATA=$ROOT/../shared/data/dev
real_data() {
	local kind
	for kind in orders inventory user_activity; do
		paste -d '\t' <(zstd -qdc "$REAL_DATA/$kind.expected.tsv.zst" | cut -f3) <(zstd -qdc "$REAL_DATA/$kind.ndjson.zst")
	done >judged
	cut -f2- judged >events
	sed -n 's/^ok\t//p' judged | sort >events.ok
	sed -n '/^ok\t/!s/^[^\t]*\t//p' judged | sort >events.bad
}
skip_without_real_data() {
	[ -d "$REAL_DATA" ] || skip "the real data are not here ($REAL_DATA)"
}
