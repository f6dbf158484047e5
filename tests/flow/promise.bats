#!/usr/bin/env bats
# The promise, clause by clause: the table in SECURITY.md names a test for each; those that stand nowhere else are here.

bats_require_minimum_version 1.5.0
load ../lib
load flow

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
}

teardown() {
	[ -z "${STREAM_PID:-}" ] || kill -KILL "$STREAM_PID" 2>/dev/null || true
	end_all
}

@test "each test that SECURITY.md names is there" {
	grep -oE '`tests/[a-z/-]+\.bats: [^`]+`' "$ROOT/SECURITY.md" | tr -d '`' >named
	[ "$(wc -l <named)" -ge 25 ]
	while IFS= read -r line; do
		file=${line%%: *} name=${line#*: }
		echo "$file: $name"
		grep -qF "@test \"$name\" {" "$ROOT/$file"
	done <named
	# and each clause names some
	sed -n '/^## The promise/,$p' "$ROOT/SECURITY.md" | grep '^| [^-c]' >clauses
	[ "$(wc -l <clauses)" = 11 ]
	run ! grep -v '`tests/' clauses
	# what else the page points to
	grep -oE '`(tests|lib|scripts)/[a-z./-]+`' "$ROOT/SECURITY.md" | tr -d '`' | while IFS= read -r file; do
		[ -e "$ROOT/$file" ] || { echo "no $file"; exit 1; }
	done
}

@test "after a crash no more comes twice than was unacknowledged, and a view of distinct rows shows each once" {
	short_leases
	make_events 3000
	publish events
	# without insertId: BigQuery's memory hides nothing
	start_stream --idle-exit 3 --lease 2 --max-outstanding 400 --rotate-seconds 1 --insert-id none
	wait_backlog_below 2500
	kill -KILL "$(stage_pid gcs-put)"
	wait_stream 15
	[ "$STREAM_STATUS" != 0 ]
	start_stream --idle-exit 4 --lease 2 --max-outstanding 400 --rotate-seconds 1 --insert-id none
	wait_stream 60
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	rows >got
	expected_rows <events.ok >want
	[ "$(comm -23 want got | wc -l)" = 0 ]
	twice=$(comm -13 want got | wc -l)
	echo "# stored twice: $twice of $(wc -l <want)" >&3
	[ "$twice" -gt 0 ] # else the view has nothing to show
	[ "$twice" -le 400 ]
	[ "$(comm -13 want got | sort -u | comm -23 - <(sort -u want) | wc -l)" = 0 ]
	lake >got.lake
	[ "$(comm -13 events.ok got.lake | wc -l)" -le 400 ]
	[ "$(comm -23 events.ok got.lake | wc -l)" = 0 ]
	local db=$EMU_DIR/bigquery/test/ecommerce_events.sqlite kind
	for kind in orders:order_id inventory_logs:inventory_id; do
		sqlite3 "$db" "create view v_${kind%:*} as select distinct * from ${kind%:*}; select ${kind#*:} from v_${kind%:*}"
	done | sort >viewed
	jq -r 'if .event_type == "order" then .order_id elif .event_type == "inventory" then .inventory_id else empty end' events.ok |
		sort | cmp viewed -
}

# adds_up TOOL: what it said at the end, in err
adds_up() {
	local in made rejected flight
	cat err
	read -r in made rejected flight < <(sed -nE "s/^$1: in ([0-9]+), done ([0-9]+), rejected ([0-9]+), in flight ([0-9]+).*/\1 \2 \3 \4/p" err)
	[ -n "$flight" ] && [ "$in" = $((made + rejected + flight)) ] && [ "$in" -gt 0 ]
	SUM="$in $made $rejected $flight"
}

@test "every tool prints in = done + rejected + in flight, in good times and in bad" {
	start_emu
	make_events 600
	ps-push backend-events-topic <events >receipts 2>err
	adds_up ps-push
	[ "$SUM" = "600 600 0 0" ]
	ps-pull --idle-exit 1 --ack-on-write $SUB >raw 2>err
	adds_up ps-pull
	ev-validate --rejects rejects <raw >valid 2>err
	adds_up ev-validate
	[ "$SUM" = "600 $(wc -l <events.ok) $(wc -l <events.bad) 0" ]
	bq-insert ecommerce_events <valid >stored 2>err
	adds_up bq-insert
	gcs-put gs://test-events-output/output <stored >receipts 2>err
	adds_up gcs-put
	dlq-push backend-events-dlq-topic <rejects >receipts 2>err
	adds_up dlq-push
	cp events.ok history.json
	ev-read history.json >raw 2>err
	adds_up ev-read
	faults '{"path":"*/insertAll","status":403},{"path":"*:publish","status":403},{"path":"/upload/*","status":403}'
	for tool in "bq-insert ecommerce_events" "gcs-put gs://test-events-output/other"; do
		# shellcheck disable=SC2086 # several words
		run ! --separate-stderr $tool <valid
		printf '%s\n' "$stderr" >err
		adds_up "${tool%% *}"
		[ "${SUM##* }" -gt 0 ]
	done
	run ! --separate-stderr dlq-push backend-events-dlq-topic <rejects
	printf '%s\n' "$stderr" >err
	adds_up dlq-push
	[ "${SUM##* }" -gt 0 ]
}
