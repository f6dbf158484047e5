#!/usr/bin/env bats
# bq-insert against gcp-emu: rows, order, per-row errors, refusals, faults. Every test has a dataset of its own.

bats_require_minimum_version 1.5.0
load emu
SCHEMAS=$BATS_TEST_DIRNAME/../../schemas.json

setup_file() {
	up_for_file
	export BIGQUERY_EMULATOR_HOST=$HOST EVPIPE_SCHEMAS=$SCHEMAS
}

teardown_file() {
	down_for_file
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	D=t$BATS_TEST_NUMBER
	DB=$BATS_FILE_TMPDIR/emu/bigquery/p/$D.sqlite
	bq POST datasets "{\"datasetReference\":{\"projectId\":\"p\",\"datasetId\":\"$D\"}}"
	local t
	for t in orders inventory_logs user_activity; do
		make_table $t
	done
}

teardown() {
	curl -sS -X DELETE "http://$HOST/emu/faults" > curl.out
	[ -z "$PID" ] || kill -9 "$PID" 2> /dev/null || true
}

bq() { # METHOD PATH [BODY]
	curl -sSf -X "$1" "http://$HOST/bigquery/v2/projects/p/$2" -H 'Content-Type: application/json' -d "${3:-}" > curl.out
}

make_table() { # NAME [FILTER of the table's resource]
	bq POST "datasets/$D/tables" "$(jq -c --arg d "$D" --arg t "$1" '.tables[$t] |
	    def col: {name, type, mode: (.mode // "NULLABLE")} + (if .fields then {fields: (.fields | map(col))} else {} end);
	    {tableReference: {projectId: "p", datasetId: $d, tableId: $t}, schema: {fields: (.fields | map(col))}} |
	    '"${2:-.}" "$SCHEMAS")"
}

faults() {
	curl -sSf -X PUT "http://$HOST/emu/faults" -d "{\"rules\":[$1]}" > curl.out
}

applied() { # of the first rule
	curl -sSf "http://$HOST/emu/faults" | jq '.rules[0].applied'
}

rows() { # [TABLE]
	sqlite3 "$DB" "select count(*) from ${1:-inventory_logs}"
}

# records N [SOURCE [FIRST]]: N valid records of inventory events; ids from FIRST on
records() {
	awk -v n="$1" -v source="${2:-projects/p/subscriptions/s}" -v first="${3:-1}" 'BEGIN {
		for (i = first; i < first + n; i++) {
			id = source ~ /^projects/ ? i : source ":" i
			printf "{\"msg\":{\"id\":\"%s\",\"source\":\"%s\",\"time\":\"2025-02-08T13:00:07.123Z\"},", id, source
			printf "\"type\":\"inventory\",\"table\":\"inventory_logs\",\"time\":\"2025-01-02T03:04:05Z\","
			printf "\"event\":{\"inventory_id\":\"i%d\", \"event_type\":\"inventory\",\"product_id\":\"p\",", i
			printf "\"warehouse_id\":\"w \\u00e9\",\"quantity_change\":-%d ,\"reason\":\"sale\",", i
			printf "\"timestamp\":\"2025-01-02T03:04:05Z\"},\"extra\":[%d]}\n", i
		}
	}'
}

# bad_record ID: one whose quantity_change is a secret word; ev-validate would not have let it through
bad_record() {
	records 1 projects/p/subscriptions/s "$1" | sed 's/"quantity_change":-[0-9]*/"quantity_change":"swordfish"/'
}

# run_to_files [OPTION...]: stdin from `in`, stdout and stderr to files; the status is in $status
run_to_files() {
	status=0
	"$BIN/bq-insert" "$@" "p:$D" < in > out 2> err || status=$?
}

# start [OPTION...]: in the background, its input is descriptor 7
start() {
	mkfifo pipe
	"$BIN/bq-insert" "$@" "p:$D" < pipe > out 2> err 3>&- 7>&- &
	PID=$!
	exec 7> pipe
}

ends() { # sets status
	status=0
	exec 7>&-
	wait "$PID" || status=$?
	PID=
}

wait_for() { # COMMAND...: at most 10 s
	local i
	for ((i = 0; i < 400; i++)); do
		"$@" && return 0
		read -rt 0.025 < <(:) || true
	done
	echo "never: $*"
	cat err
	return 1
}

out_has() {
	[ "$(wc -l < out)" -ge "$1" ]
}

@test "records come out as they went in, once their rows are stored" {
	records 1234 > in
	run_to_files
	[ "$status" = 0 ]
	cmp in out
	[ "$(rows)" = 1234 ]
	grep -q 'in 1234, done 1234, rejected 0, in flight 0' err
	[ "$(sqlite3 "$DB" "select warehouse_id || quantity_change from inventory_logs where inventory_id = 'i7'")" = "w é-7" ]
}

@test "several tables, small batches, compressed: the order stays" {
	records 300 | awk 'NR % 3 { print; next } {
		sub(/"table":"inventory_logs"/, "\"table\":\"user_activity\"")
		sub(/"event":{.*},"extra"/, "\"event\":{\"event_type\":\"user_activity\",\"user_id\":\"u" NR \
		    "\",\"activity_type\":\"login\",\"ip_address\":\"::1\",\"user_agent\":\"x\",\"timestamp\":\"2025-01-02T03:04:05Z\"," \
		    "\"metadata\":{\"session_id\":\"s\",\"platform\":\"web\"}},\"extra\"")
		print
	}' > in
	run_to_files --batch-rows 7 --in-flight 3 --gzip --rejects bad
	cat err bad
	[ "$status" = 0 ]
	cmp in out
	[ "$(rows)" = 200 ]
	[ "$(rows user_activity)" = 100 ]
}

@test "empty input is no work" {
	: > in
	run_to_files
	[ "$status" = 0 ]
	grep -q 'in 0, done 0, rejected 0, in flight 0' err
}

@test "--receipts: ids of messages, counts of files, nothing for what has neither" {
	{
		records 2
		records 3 gs://b/o@1
		records 2 /data/x.json@0
		records 1 | sed 's/"msg":{[^}]*}/"msg":{}/'
		records 1 projects/p/subscriptions/s 9
	} > in
	run_to_files --receipts
	[ "$status" = 0 ]
	cat > want <<-'END'
		{"msg":{"id":"1"}}
		{"msg":{"id":"2"}}
		{"msg":{"source":"gs://b/o@1"},"count":3}
		{"msg":{"source":"/data/x.json@0"},"count":2}
		{"msg":{"id":"9"}}
	END
	diff <(sort want) <(sort out)
}

@test "insertId: what comes again within a minute is stored once, unless --insert-id none" {
	{
		records 3
		records 1 "gs://bucket/$(printf 'n%.0s' {1..200})@1"
	} > in
	run_to_files
	run_to_files
	[ "$status" = 0 ]
	[ "$(rows)" = 4 ]
	run_to_files --insert-id none
	[ "$(rows)" = 8 ]
}

@test "an invalid row goes to --rejects, with where and why; the others are stored" {
	{
		records 3
		bad_record 4
		records 3 projects/p/subscriptions/s 5
	} > in
	run_to_files --rejects bad
	[ "$status" = 0 ]
	grep -v swordfish in | cmp - out
	[ "$(rows)" = 6 ]
	[ "$(jq -c '[.msg.id, .stage, .errors[0].code, .errors[0].path, (.errors | length)]' bad)" = \
	    '["4","bq-insert","invalid","/quantity_change",1]' ]
	jq -rj '.data | @base64d' bad > data
	grep swordfish in | sed 's/.*"event":\(.*\),"extra".*/\1/' | tr -d '\n' | cmp - data
	[ "$(jq -r '.errors[0].detail | length <= 128' bad)" = true ]
	grep -q 'in 7, done 6, rejected 1, in flight 0' err
	run ! grep swordfish err
}

@test "without --rejects an invalid row ends it with 65: which row, where, never its value" {
	{
		records 2
		bad_record 77
	} > in
	run_to_files
	[ "$status" = 65 ]
	head -n 2 in | cmp - out
	grep -q "^bq-insert: cannot store row '77' in table 'p:$D.inventory_logs': invalid at /quantity_change; give --rejects" err
	run ! grep swordfish err
}

@test "rows that BigQuery did not get to are sent again; the order stays" {
	records 2000 > in
	faults '{"row":"backendError","times":700},{"row":"timeout","times":5},{"row":"stopped","times":5}'
	run_to_files --rejects bad
	[ "$status" = 0 ]
	cmp in out
	[ ! -s bad ]
	[ "$(rows)" = 2000 ]
	grep -q "BigQuery did not store .* rows of 'p:$D.inventory_logs' (backendError); sending them again" err
	grep -q 'rows sent again 7[0-9][0-9],' err
}

@test "rows that are never taken: 75 when --retry-for is over" {
	records 2 > in
	faults '{"row":"backendError"}'
	run_to_files --retry-for 0.2 --rejects bad
	[ "$status" = 75 ]
	[ ! -s bad ]
	[ ! -s out ]
	grep -q "BigQuery keeps answering 'backendError'" err
}

@test "a table that no longer fits stops it with 78, and nothing is rejected" {
	start --rejects bad
	records 1 >&7
	wait_for out_has 1
	bq DELETE "datasets/$D/tables/inventory_logs"
	make_table inventory_logs '.schema.fields |= map(if .name == "quantity_change" then .type = "TIMESTAMP" else . end)'
	records 5 projects/p/subscriptions/s 10 | sed 's/"quantity_change":-[0-9]*/"quantity_change":99999999999999/' >&7
	ends
	cat err
	[ "$status" = 78 ]
	[ ! -s bad ]
	grep -q "cannot use table 'p:$D.inventory_logs': column quantity_change is of type TIMESTAMP there and INT64 in schemas.json" err
	[ "$(wc -l < out)" = 1 ]
}

@test "a table that is gone in the middle: 69, with what to do" {
	start --rejects bad
	records 1 >&7
	wait_for out_has 1
	bq DELETE "datasets/$D/tables/inventory_logs"
	records 1 projects/p/subscriptions/s 10 >&7
	ends
	[ "$status" = 69 ]
	grep -q "cannot insert rows into 'p:$D.inventory_logs': HTTP 404.*create it" err
	[ "$(wc -l < out)" = 1 ]
}

@test "the start check: tables as schemas.json has them" {
	run -0 --separate-stderr "$BIN/bq-insert" --check "p:$D"
	[ -z "$output" ]
	bq DELETE "datasets/$D/tables/orders"
	run -69 --separate-stderr "$BIN/bq-insert" --check "p:$D"
	[[ $stderr == *"cannot read table 'p:$D.orders'"*"create it"* ]]
	make_table orders '.schema.fields |= map(if .name == "items" then .fields[3].type = "INTEGER" else . end)'
	run -78 --separate-stderr "$BIN/bq-insert" "p:$D" < /dev/null
	[[ $stderr == *"column items.price is of type INTEGER there and FLOAT64"* ]]
	run -69 --separate-stderr "$BIN/bq-insert" --check "p:nothing_there"
}

@test "names and options" {
	run -64 --separate-stderr "$BIN/bq-insert"
	run -64 --separate-stderr "$BIN/bq-insert" bad-name --project p
	run -64 --separate-stderr env -u GOOGLE_CLOUD_PROJECT "$BIN/bq-insert" "$D"
	[[ $stderr == *"no project"* ]]
	run -0 --separate-stderr "$BIN/bq-insert" --project p --check "$D"
	run -0 --separate-stderr "$BIN/bq-insert" --check "p.$D"
	run -64 --separate-stderr "$BIN/bq-insert" --batch-rows 0 "p:$D"
	run -64 --separate-stderr "$BIN/bq-insert" --rejects fd:1 "p:$D" < /dev/null
	run -78 --separate-stderr "$BIN/bq-insert" --schemas /dev/null "p:$D"
	run -77 --separate-stderr env -u BIGQUERY_EMULATOR_HOST -u GOOGLE_APPLICATION_CREDENTIALS -u GCE_METADATA_HOST NO_GCE_CHECK=true \
		HOME="$BATS_TEST_TMPDIR" "$BIN/bq-insert" "p:$D"
	[[ $stderr == *"cannot find credentials"* ]]
	run -0 "$BIN/bq-insert" --help
	run -0 "$BIN/bq-insert" --version
}

@test "what is no valid record is 65, another schema's table 78" {
	bad=('{"event_type":"inventory"}' '{"msg":{"id":"1"},"data":""}' '{"msg":{"id":"1"}' '[]' '{"msg":{"id":7},"event":{}}'
		'{"msg":{},"event":{}}' '')
	for line in "${bad[@]}"; do
		{
			records 1
			echo "$line"
		} > in
		run_to_files
		[ "$status" = 65 ]
		grep -q "^bq-insert: cannot use line 2 of 'standard input': " err
	done
	records 1 | sed 's/"table":"inventory_logs"/"table":"parcels"/' > in
	run_to_files
	[ "$status" = 78 ]
	grep -q "its table 'parcels' is not in schemas.json: the stages have different schemas" err
}

@test "a torn last line is dropped and said: 65, the rest is done" {
	records 3 | head -c -1 > in
	run_to_files
	[ "$status" = 65 ]
	head -n 2 in | cmp - out
	grep -q 'cannot use line 3 of .standard input.: it is torn' err
	grep -q 'in 2, done 2' err
}

@test "a line over 16 MiB is 65" {
	{
		printf '{"msg":{},"type":"'
		head -c 17000000 /dev/zero | tr '\0' x
		echo '"}'
	} > in
	run_to_files
	[ "$status" = 65 ]
	grep -q 'cannot use line 1 of .standard input.: it is 170000.. bytes, and the most is 16777216' err
}

@test "a row larger than a request is rejected, without a request" {
	records 3 > some
	{
		head -n 1 some
		printf '{"msg":{"id":"big"},"type":"inventory","table":"inventory_logs","time":"t","event":{"inventory_id":"'
		head -c 10500000 /dev/zero | tr '\0' x
		echo '"}}'
		tail -n 2 some
	} > in
	run_to_files --rejects bad
	[ "$status" = 0 ]
	cmp some out
	[ "$(jq -c '[.msg.id, .errors[0].code, (.data | length > 14000000)]' bad)" = '["big","too_large",true]' ]
	[ "$(rows)" = 3 ]
}

@test "busy, cut off, garbled, lost: every row is stored once" {
	records 3000 > in
	local p='"path":"*/insertAll"'
	faults "{$p,\"status\":503,\"times\":2},{$p,\"status\":429,\"times\":2,\"retry_after\":0},{$p,\"reset\":true,\"times\":2},
	    {$p,\"lose\":true,\"times\":2},{$p,\"garbage\":true,\"times\":2},{$p,\"truncate\":10,\"times\":2}"
	run_to_files --batch-rows 100 --rejects bad
	cat err
	[ "$status" = 0 ]
	cmp in out
	[ ! -s bad ]
	[ "$(rows)" = 3000 ]
}

@test "400 for many rows halves the batch; nothing is rejected when the halves pass" {
	records 500 > in
	faults '{"path":"*/insertAll","status":413,"times":3}'
	run_to_files --rejects bad --in-flight 1
	[ "$status" = 0 ]
	cmp in out
	[ ! -s bad ]
	[ "$(rows)" = 500 ]
}

@test "a row refused alone is rejected while others pass" {
	records 2 > in
	faults '{"path":"*/insertAll","status":400,"times":2}'
	run_to_files --rejects bad --in-flight 1
	[ "$status" = 0 ]
	tail -n 1 in | cmp - out
	[ "$(jq -c '[.msg.id, .errors[0].code]' bad)" = '["1","invalid"]' ]
	[ "$(rows)" = 1 ]
}

@test "all rows refused: stop with 69, nothing is rejected, and no word that may quote a row is logged" {
	records 9 > in
	faults '{"path":"*/insertAll","status":400,"message":"Invalid value: swordfish"}'
	run_to_files --rejects bad
	[ "$status" = 69 ]
	[ ! -s bad ]
	[ ! -s out ]
	grep -q "cannot insert rows into 'p:$D.inventory_logs': HTTP 400 (invalid)" err
	run ! grep swordfish err
}

@test "a refused account: 77, at once" {
	records 2 > in
	faults '{"path":"*/insertAll","status":403,"reason":"accessDenied"}'
	run_to_files --rejects bad
	[ "$status" = 77 ]
	[ ! -s out ]
	[ ! -s bad ]
}

@test "a record that comes alone is stored within the linger, with the input still open" {
	start
	records 1 >&7
	wait_for out_has 1
	records 1 projects/p/subscriptions/s 2 >&7
	wait_for out_has 2
	ends
	[ "$status" = 0 ]
}

@test "SIGTERM: the first is left to the source, the second ends it at once with 75" {
	start
	records 1 >&7
	wait_for out_has 1
	kill -TERM "$PID"
	wait_for grep -q 'got a signal' err
	records 1 projects/p/subscriptions/s 2 >&7
	wait_for out_has 2
	kill -TERM "$PID"
	status=0
	wait "$PID" || status=$?
	PID=
	exec 7>&-
	[ "$status" = 75 ]
	grep -q 'in 2, done 2, rejected 0, in flight 0' err
}

@test "a reader that left ends it with 74, with nothing to write" {
	mkfifo pipe downstream
	"$BIN/bq-insert" "p:$D" < pipe > downstream 2> err 3>&- 7>&- 8<&- &
	PID=$!
	exec 7> pipe 8< downstream
	exec 8<&-
	status=0
	wait "$PID" || status=$?
	PID=
	exec 7>&-
	[ "$status" = 74 ]
	grep -q "its reader has gone" err
}

@test "a full disk under --rejects is 74" {
	[ -w /dev/full ] || skip "no /dev/full here"
	bad_record 1 > in
	run_to_files --rejects /dev/full
	[ "$status" = 74 ]
	grep -q "cannot write '/dev/full': No space left on device" err
}

@test "nobody listens: 75 when --retry-for is over" {
	records 1 > in
	BIGQUERY_EMULATOR_HOST=127.0.0.1:1 run_to_files --retry-for 0.3
	[ "$status" = 75 ]
	grep -q "cannot connect\|Could not connect\|Couldn't connect\|Connection refused" err
}

@test "a file's end passes behind what came before it, rejected or stored; --receipts writes none" {
	local i
	for i in 1 2 3; do
		printf '{"msg":{"source":"f%d@1"},"end":1}\n' "$((i - 1))"
		printf '{"msg":{"id":"f%d@1:1","source":"f%d@1"},"type":"order","table":"orders","time":"2025-02-08T13:09:00Z","event":' "$i" "$i"
		jq -cn --arg id "$i" '{event_type: "order", order_id: $id, customer_id: "c", order_date: "2025-02-08T13:09:00Z", status: "pending",
		    total_amount: 1, items: [], shipping_address: {street: "s", city: "c", country: "n"}} | if $id == "2" then .total_amount = "x" else . end' |
		    sed 's/$/}/'
	done > in
	echo '{"msg":{"source":"f3@1"},"end":1}' >> in
	run -0 --separate-stderr "$BIN/bq-insert" --batch-rows 1 --rejects bad "p:$D" < in
	[ "$(jq -c '.end // .msg.id' <<< "$output" | wc -l)" = 6 ]
	[ "$(jq -r '.msg.source' <<< "$output" | paste -sd ' ')" = 'f0@1 f1@1 f1@1 f2@1 f3@1 f3@1' ]
	[[ $stderr == *"in 3, done 2, rejected 1"* ]]
	run -0 --separate-stderr "$BIN/bq-insert" --receipts --rejects bad "p:$D" < in
	[[ $output != *end* ]]
}
