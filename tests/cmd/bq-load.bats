#!/usr/bin/env bats
# bq-load against gcp-emu: jobs, receipts, refusals, kills, and journals lost, torn and shared.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	start_emu
	API=http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test
}

teardown() {
	end_all
}

restart_emu() { # OPTION...
	kill -KILL "$EMU_PID"
	wait "$EMU_PID" || true
	start_emu "$@"
	API=http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test
}

put() { # NAME: standard input as an object of the default bucket
	curl -sSf -X POST --data-binary @- -o put.out \
	    "http://127.0.0.1:$EMU_PORT/upload/storage/v1/b/test-events-output/o?uploadType=media&name=$1"
}

# object NAME ROWS [SOURCE [TABLE]]: an object line
object() {
	jq -cn --arg o "gs://test-events-output/$1" --argjson rows "$2" --arg s "${3-a@1}" --arg t "${4-orders}" \
	    '{object: $o, generation: "1", table: $t, rows: $rows, bytes: 100, md5: "", source: $s} | if .source == "" then del(.source) else . end'
}

# orders N [FIRST]: so many events
orders() {
	local i
	for ((i = ${2-0}; i < ${2-0} + $1; i++)); do good_order "o$i"; done
}

# make N: objects o0 .. with two orders each, and their lines in `lines`
make_objects() {
	local i
	for ((i = 0; i < $1; i++)); do
		orders 2 $((2 * i)) | put "o$i.json"
		object "o$i.json" 2 "s$((i / 2))@1"
	done > lines
}

ids() {
	sqlite3 "$EMU_DIR/bigquery/test/ecommerce_events.sqlite" 'select order_id from orders order by 1'
}

jobs_of_emu() {
	curl -sf "$API/jobs?maxResults=1000&projection=full" | jq "${1-.jobs | length}"
}

emu_sql() {
	sqlite3 "$EMU_DIR/bigquery/test/ecommerce_events.sqlite" ".timeout 5000" "$1"
}

# age SECONDS: every load job so far is that much older
age() {
	emu_sql "update _jobs set created = created - $1 * 1000"
}

# requests METHOD PATH: how many came
requests() {
	curl -sf "http://127.0.0.1:$EMU_PORT/emu/requests" |
	    jq --arg m "$1" --arg p "$2" '[.requests[] | select(.method == $m and .path == $p) | .count] | add // 0'
}

@test "objects to jobs by table and compression; a receipt an object; what has no source has none" {
	orders 3 | put a.json
	orders 2 3 | put b.json
	orders 1 5 | gzip | put c.json.gz
	jq -cn '{event_type: "inventory", inventory_id: "i", product_id: "p", warehouse_id: "w", quantity_change: 1, reason: "sale",
	    timestamp: "2025-02-08T13:09:00Z"}' | put inventory/i.json
	{ object a.json 3 'gs://b/x "\u00e9@1'; object b.json 2 ''; object c.json.gz 1; object inventory/i.json 1 a@1 inventory_logs; } > lines
	run -0 --separate-stderr bq-load --journal j test:ecommerce_events < lines
	sort <<< "$output" > got
	{ jq -c 'select(.source) | {msg: {source}, count: .rows}' lines; } | sort | cmp - got
	[ "$(ids | wc -l)" = 6 ]
	[ "$(rows_of inventory_logs)" = 1 ]
	[ "$(jobs_of_emu)" = 3 ]
	[ "$(jobs_of_emu '[.jobs[].configuration.load | .createDisposition, .writeDisposition, .sourceFormat] | unique | join(" ")')" = \
	    '"CREATE_NEVER NEWLINE_DELIMITED_JSON WRITE_APPEND"' ]
	[[ $stderr == *"in 4, done 4, rejected 0, in flight 0, 3 jobs, 7 rows, 0 objects were loaded before, 0 refused"* ]]
}

@test "the same lines again: receipts, no job, no row twice" {
	make_objects 4
	bq-load --journal j ecommerce_events < lines > first
	run -0 --separate-stderr bq-load --journal j ecommerce_events < lines
	cmp first <(echo "$output")
	[[ $stderr == *"4 objects were loaded before"* ]]
	[ "$(ids | uniq -d | wc -l)" = 0 ]
	[ "$(jobs_of_emu)" = 1 ]
	# twice in one run
	run -0 bq-load -q --journal k --look-back 0 ecommerce_events < <(cat lines lines)
	[ "$(jobs_of_emu)" = 1 ]
	[ "${#lines[@]}" = 8 ]
}

@test "a lost journal: BigQuery is asked, whatever the groups were; without asking, the same group has the same id" {
	make_objects 6
	head -n 3 lines | bq-load -q --journal j ecommerce_events > out
	rm j
	run -0 --separate-stderr bq-load --journal j ecommerce_events < lines
	[[ $stderr == *"'j' lacked 1 load jobs that BigQuery knows of"* ]]
	[[ $stderr == *"3 objects were loaded before"* ]]
	[ "$(ids | wc -l)" = 12 ]
	[ "$(ids | uniq -d | wc -l)" = 0 ]
	# the journal is whole again
	run -0 --separate-stderr bq-load --journal j --look-back 0 ecommerce_events < lines
	[[ $stderr == *"6 objects were loaded before"* ]]
	rm j
	tail -n 3 lines | bq-load --journal j --look-back 0 ecommerce_events > out 2> err
	grep 'was submitted before' err
	[ "$(ids | wc -l)" = 12 ]
}

@test "a torn last line, at every byte of it, is cut off; an old copy of the journal is completed" {
	make_objects 3
	head -n 1 lines | bq-load -q --journal old ecommerce_events > out
	cp old j
	bq-load -q --journal j ecommerce_events < lines > out
	size=$(stat -c %s j)
	last=$(tail -n 1 j | wc -c)
	for cut in 1 2 $((last - 1)) "$last" $((last + 1)) $((last + 40)); do
		head -c $((size - cut)) j > k
		run -0 bq-load -q --journal k ecommerce_events < lines
		[ "${#lines[@]}" -ge 3 ]
		[ "$(ids | wc -l)" = 6 ]
	done
	bq-load -q --journal old ecommerce_events < lines > out
	[ "$(ids | uniq -d | wc -l)" = 0 ]
	[ "$(wc -l < out)" = 3 ]
}

@test "killed at any moment and started again: the same rows, each once" {
	make_objects 40
	restart_emu --job-wait 0.05
	for i in $(seq 15); do
		bq-load -q --journal j --max-objects $((i % 7 + 1)) ecommerce_events < lines > out 2> err &
		pid=$!
		read -rt "0.0$((i * 5 + 10))" <> <(:) || true
		kill -KILL $pid 2> kill.err || true
		wait $pid || true
	done
	bq-load --journal j ecommerce_events < lines > out
	[ "$(wc -l < out)" = 40 ]
	[ "$(ids | wc -l)" = 80 ]
	[ "$(ids | uniq -d | wc -l)" = 0 ]
}

@test "written down and never submitted: the next run submits it; submitted and unanswered: it is asked for" {
	make_objects 4
	faults '{"method":"POST","path":"*/jobs","status":403}'
	run -77 bq-load -q --journal j ecommerce_events < lines
	[ "$(jobs_of_emu '.jobs // [] | length')" = 0 ]
	faults ''
	# no line comes in: the journal alone says what to do
	run -0 bq-load -q --journal j ecommerce_events < /dev/null
	[ "$output" = "" ]
	[ "$(ids | wc -l)" = 8 ]
	run -0 bq-load -q --journal j ecommerce_events < lines
	[ "${#lines[@]}" = 4 ]
	[ "$(jobs_of_emu)" = 1 ]
	faults '{"method":"POST","path":"*/jobs","lose":true,"times":2},{"method":"GET","path":"*/jobs/*","garbage":true,"times":2},
	    {"method":"GET","path":"*/jobs/*","status":503,"times":2}'
	orders 1 100 | put late.json
	run -0 bq-load --journal j ecommerce_events < <(object late.json 1)
	[ "$(jobs_of_emu)" = 2 ]
	[ "$(ids | wc -l)" = 9 ]
}

@test "an object that BigQuery refuses is left out, named with its place, and counted; a later run tries it again" {
	make_objects 5
	{ orders 1 50; echo '{"order_id":"SECRET-7","items":3,"status":9}'; } | put bad.json
	echo 'not JSON' | put worse.json
	{ head -n 2 lines; object bad.json 2; object worse.json 1; tail -n 3 lines; object none.json 1; } > all
	run -69 --separate-stderr bq-load --journal j ecommerce_events < all
	[ "$(grep -c msg <<< "$output")" = 5 ]
	[ "$(ids | wc -l)" = 10 ]
	at=$(orders 1 50 | wc -c)
	[[ $stderr == *"cannot load line 2 of 'gs://test-events-output/bad.json' into 'orders': "*"row starting at position $at: "* ]]
	for name in bad worse none; do
		[[ $stderr == *"left out 'gs://test-events-output/$name.json'"* ]]
	done
	[[ $stderr != *SECRET* ]]
	[[ $stderr == *"in 8, done 5, rejected 3, in flight 0"* ]]
	[ "$(jobs_of_emu '[.jobs[].jobReference.jobId[-1:]] | sort | join("")')" = '"0123"' ]
	# within a compressed object, and where the object cannot be read for it
	{ orders 3 70; echo '{"order_id":"SECRET-8","items":3,"status":9}'; } | gzip | put packed.json.gz
	run -69 --separate-stderr bq-load --journal k ecommerce_events < <(object packed.json.gz 4)
	[[ $stderr == *"cannot load line 4 of 'gs://test-events-output/packed.json.gz' into 'orders': "* ]]
	faults '{"method":"GET","path":"/storage/*/packed*","status":403}'
	run -69 --separate-stderr bq-load --journal k ecommerce_events < <(object packed.json.gz 4)
	[[ $stderr == *"cannot load 'gs://test-events-output/packed.json.gz' into 'orders': "* ]]
	faults ''
	orders 1 60 | put none.json
	run -69 --separate-stderr bq-load --journal j ecommerce_events < all
	[ "$(ids | wc -l)" = 11 ]
	[ "$(grep -c msg <<< "$output")" = 6 ]
}

@test "a job that fails for reasons of the service is made again with another id; --retry-for ends that" {
	make_objects 3
	faults '{"job":"backendError","times":2}'
	run -0 --separate-stderr bq-load --journal j ecommerce_events < lines
	[ "$(jobs_of_emu)" = 3 ]
	[ "$(ids | wc -l)" = 6 ]
	[[ $stderr == *"failed: "*"(backendError); trying again in"* ]]
	orders 1 100 | put late.json
	faults '{"job":"internalError"}'
	run -75 bq-load --retry-for 0.5 --journal j ecommerce_events < <(object late.json 1)
	faults '{"job":"accessDenied","times":1}'
	run -77 bq-load -q --journal j ecommerce_events < <(object late.json 1)
	[ "$(ids | wc -l)" = 6 ]
	run -0 bq-load -q --journal j ecommerce_events < <(object late.json 1)
	[ "$(ids | wc -l)" = 7 ]
}

@test "a table that does not fit stops it before a row is stored: at the start, and before each job" {
	make_objects 2
	sed 's/"name": "status", "type": "STRING"/"name": "status", "type": "INT64"/; s/, "enum": \["pending"[^]]*\]//' \
	    "$EVPIPE_SCHEMAS" > other.json
	run -78 bq-load --schemas other.json --journal j ecommerce_events < lines
	[[ $output == *"column status is of type STRING there and INT64 in schemas.json"* ]]
	[ ! -e j ]
	mkfifo pipe
	in_background bash -c 'bq-load --linger 0 --journal j ecommerce_events < pipe'
	exec 9> pipe
	wait_until 'grep -q using err'
	head -n 1 lines >&9
	wait_until '[ -s out ]'
	curl -sf -X DELETE "$API/datasets/ecommerce_events/tables/orders" > reply
	tail -n 1 lines >&9
	status_of "$PID" 10
	exec 9>&-
	[ "$STATUS" = 69 ]
	grep "cannot read table 'test:ecommerce_events.orders'" err
}

@test "--linger closes a job while input goes on; the end of input closes at once" {
	make_objects 3
	mkfifo pipe
	in_background bash -c 'bq-load --linger 0.2 --journal j ecommerce_events < pipe'
	exec 9> pipe
	head -n 2 lines >&9
	wait_until '[ "$(wc -l < out)" = 2 ]'
	tail -n 1 lines >&9
	exec 9>&-
	status_of "$PID" 10
	[ "$STATUS" = 0 ]
	[ "$(wc -l < out)" = 3 ]
}

@test "what is no object line is 65, a torn one is dropped, and nothing of it reaches a job" {
	make_objects 1
	line=$(cat lines)
	for bad in '{"msg":{"id":"1"}}' '[]' 'x' '{"object":"gs://b"}' "${line/gs:/s3:}" "${line/o0/o*}" "${line/:2,/:0,/}" \
	    "${line/:2,/:\"x\",/}" "${line/\"orders\"/5}" "${line/\"s0@1\"/[]}" "${line/o0/$(head -c 3000 /dev/zero | tr '\0' x)}"; do
		[ "$bad" != "$line" ]
		run -65 bq-load --journal j ecommerce_events <<< "$bad"
		[[ $output == *"cannot use line 1 of 'standard input'"* ]]
	done
	run -78 bq-load --journal j ecommerce_events <<< "${line/\"orders\"/\"other\"}"
	run -65 --separate-stderr bq-load --journal j ecommerce_events < <(cat lines; printf '{"object":')
	[ "$output" = '{"msg":{"source":"s0@1"},"count":2}' ]
	[ "$(ids | wc -l)" = 2 ]
}

@test "fewer rows than the line says: no receipt and 70, in every run, until the journal says that it is right" {
	orders 2 | put a.json
	for input in <(object a.json 3) <(object a.json 3) /dev/null; do
		run -70 --separate-stderr bq-load --journal j ecommerce_events < "$input"
		[ "$output" = "" ]
		[[ $stderr == *"its objects have 3 rows, and BigQuery stored 2"* ]]
	done
	[ "$(jobs_of_emu)" = 1 ]
	[[ $stderr =~ (\{\"done\".*\}) ]]
	echo "${BASH_REMATCH[1]}" >> j
	run -0 bq-load -q --journal j ecommerce_events < <(object a.json 3)
	[ "${#lines[@]}" = 1 ]
	# the run that submitted it died before its end
	orders 1 10 | put b.json
	faults '{"method":"POST","path":"*/jobs","lose":true,"times":1},{"method":"GET","path":"*/jobs/*","status":403}'
	run -77 bq-load --journal j ecommerce_events < <(object b.json 2)
	faults ''
	run -70 bq-load --journal j ecommerce_events < /dev/null
}

@test "a lost journal, and a death or a refusal while BigQuery is asked for its second page: nothing is loaded twice" {
	make_objects 6
	head -n 3 lines | bq-load -q --journal j --max-objects 1 ecommerce_events > out
	age 60
	emu_sql "with recursive n(i) as (select 0 union all select i + 1 from n where i < 97) insert into _jobs(key, config, created,
	    ended, files, file_bytes, rows, bad) select 'test:other-' || i, '{}', strftime('%s') * 1000 - 30000, 1, 1, 1, 1, 0 from n"
	bq-load -q --journal j --max-objects 1 ecommerce_events < lines > out
	[ "$(jobs_of_emu)" = 104 ]
	age 7200
	rm j
	faults '{"method":"GET","path":"*/jobs","after":1,"status":403}'
	run -77 bq-load --journal j ecommerce_events < lines
	[[ $output == *"cannot list the load jobs of 'test'"* ]]
	faults '{"method":"GET","path":"*/jobs","after":1,"delay":60}'
	curl -sf -X DELETE "http://127.0.0.1:$EMU_PORT/emu/requests" > reply
	in_background bash -c 'exec bq-load -q --journal j ecommerce_events < lines'
	wait_until '[ "$(curl -sf "http://127.0.0.1:$EMU_PORT/emu/faults" | jq "[.rules[].applied] | add")" = 1 ]'
	kill -KILL "$PID"
	wait "$PID" || true
	faults ''
	curl -sf -X DELETE "http://127.0.0.1:$EMU_PORT/emu/requests" > reply
	run -0 --separate-stderr bq-load --journal j ecommerce_events < lines
	[[ $stderr == *"'j' lacked 6 load jobs that BigQuery knows of"* ]]
	[[ $stderr == *"6 objects were loaded before"* ]]
	[ "$(ids | wc -l)" = 12 ]
	# a hundred at a time, and with their own times
	[ "$(jq -s --arg hour "$(date -u -d '-1 hour' +%FT%T)" '[.[] | select(.job) | select(.time < $hour)] | length' j)" = 6 ]
	[ "$(requests GET "/bigquery/v2/projects/*/jobs")" = 2 ]
	# now that it was asked to the end, an hour is looked back
	run -0 --separate-stderr bq-load -v --journal j ecommerce_events < lines
	[ "$(ids | wc -l)" = 12 ]
	[[ $stderr != *lacked* ]]
}

@test "a new journal looks back for half a year" {
	make_objects 2
	bq-load -q --journal j ecommerce_events < lines > out
	age $((170 * 86400))
	rm j
	run -0 bq-load -q --journal j ecommerce_events < lines
	[ "$(ids | wc -l)" = 4 ]
	[ "${#lines[@]}" = 3 ] # two receipts and a warning, for it had been lost
}

@test "a page of jobs that is too large for a reply is asked for in halves" {
	make_objects 2
	bq-load -q --journal j ecommerce_events < lines > out
	# seven jobs with 10 MB of names each
	emu_sql "with recursive n(i) as (select 0 union all select i + 1 from n where i < 9999), uris(u) as
	    (select '[' || group_concat('\"gs://b/' || printf('%01000d', i) || '\"') || ']' from n),
	    jobs(k) as (select 1 union all select k + 1 from jobs where k < 7)
	    insert into _jobs(key, config, created, ended, files, file_bytes, rows, bad) select 'test:other-' || k,
	    '{\"load\":{\"sourceUris\":' || u || ',\"destinationTable\":{\"tableId\":\"orders\"}}}', created + k, 1, 1, 1, 1, 0
	    from uris, jobs, (select max(created) created from _jobs)"
	rm j
	run -0 --separate-stderr bq-load --journal j ecommerce_events < lines
	[[ $stderr == *"2 objects were loaded before"* ]]
	[ "$(ids | wc -l)" = 4 ]
}

@test "a lost journal and a job that had failed before: the next attempt has a new id" {
	make_objects 2
	restart_emu --job-wait 1
	faults '{"job":"backendError","times":2}'
	in_background bash -c 'exec bq-load --journal j ecommerce_events < lines'
	wait_until '[ "$(jobs_of_emu)" = 2 ]'
	kill -KILL "$PID"
	wait "$PID" || true
	rm j
	run -0 --separate-stderr bq-load --journal j ecommerce_events < lines
	[ "$(jobs_of_emu '[.jobs[].jobReference.jobId[-1:]] | sort | join("")')" = '"012"' ]
	[[ $stderr != *"was submitted before"* ]]
	[ "$(ids | wc -l)" = 4 ]
}

@test "jobs of other runs into the dataset: no warning, and what fails of them is not ours" {
	make_objects 2
	echo 'not JSON' | put bad.json
	head -n 1 lines | bq-load -q --journal a ecommerce_events > out
	restart_emu --job-wait 3600
	object bad.json 1 > bad
	in_background bash -c 'exec bq-load --journal a ecommerce_events < bad'
	wait_until '[ "$(jobs_of_emu)" = 2 ]'
	kill -KILL "$PID"
	wait "$PID" || true
	restart_emu --job-wait 1
	run -0 --separate-stderr bq-load --journal b ecommerce_events < <(tail -n 1 lines)
	[ "${#lines[@]}" = 1 ]
	[[ $stderr == *"'b' has 2 more load jobs now"* ]]
	[[ $stderr != *lacked* ]]
	[[ $stderr != *bad.json* ]]
	run -69 bq-load -q --journal b ecommerce_events < bad
}

@test "the jobs of a day: at --max-jobs the next one waits until the first is a day old; BigQuery's own word is waited on, too" {
	export GCP_EMU_TABLE_JOBS=3
	restart_emu
	make_objects 3
	bq-load -q --journal j --max-objects 1 ecommerce_events < lines > out
	orders 1 100 | put late.json
	object late.json 1 > late
	mkfifo pipe
	in_background bash -c 'exec bq-load --linger 0 --max-jobs 3 --journal j ecommerce_events < pipe'
	exec 9> pipe
	cat late >&9
	wait_until 'grep -q "3 load jobs into .test:ecommerce_events.orders. in 24 hours" err'
	[ ! -s out ]
	kill -KILL "$PID"
	wait "$PID" || true
	exec 9>&-
	run -75 bq-load --max-jobs 3 --retry-for 5 --journal j ecommerce_events < late
	[[ $output == *"the next can be in "*" s, longer than --retry-for"* ]]
	[ "$(jobs_of_emu)" = 3 ]
	# the jobs were yesterday, but for two seconds of the minute that is left for clocks and journeys
	age 86458
	new=$(date -u -d "-86458 seconds" +%FT%TZ)
	sed -i -E "/\"job\"/s/\"time\":\"[^\"]*\"/\"time\":\"$new\"/" j
	run -0 bq-load --max-jobs 3 --journal j ecommerce_events < late
	[ "$(ids | wc -l)" = 7 ]
	# other runs' jobs, of which this one did not know
	for i in 1 2 3; do
		orders 1 "20$i" | put "p$i.json"
		object "p$i.json" 1
	done > more
	run -75 bq-load -q --journal k --look-back 0 --max-objects 1 --retry-for 60 ecommerce_events < more
	[[ $output == *"(quotaExceeded); gave up after 1 jobs"* ]]
	[ "$(ids | wc -l)" = 9 ]
}

@test "groups: --max-objects, and 8 MB of names" {
	make_objects 7
	bq-load -q --journal j --max-objects 3 ecommerce_events < lines > out
	[ "$(jobs_of_emu '[.jobs[].configuration.load.sourceUris | length] | sort | join(" ")')" = '"1 3 3"' ]
	restart_emu --job-wait 3600
	jq -cn --arg pad "$(head -c 990 /dev/zero | tr '\0' x)" 'range(9000) | {object: "gs://test-events-output/\($pad)\(100000 + .)",
	    generation: "1", table: "orders", rows: 1, bytes: 1, md5: ""}' > many
	in_background bash -c 'exec bq-load --journal k --look-back 0 ecommerce_events < many'
	wait_until '[ "$(jobs_of_emu)" = 5 ]' 20
	# 1,023 bytes each with what stands around it
	[ "$(jobs_of_emu '[.jobs[].configuration.load.sourceUris | length] | sort | .[-2:] | join(" ")')" = '"1180 7820"' ]
}

@test "usage, journals of others, --check, a reader that left" {
	run -64 bq-load ecommerce_events
	[[ $output == *"--journal is missing"* ]]
	run -64 bq-load --journal j
	run -74 bq-load --journal . ecommerce_events < /dev/null
	run -69 bq-load --check none
	run -0 bq-load --check ecommerce_events
	[ "$output" = "bq-load: using http://127.0.0.1:$EMU_PORT (emulator)" ]
	make_objects 2
	echo '{"journal":"ev-read"}' > j
	run -78 bq-load --journal j ecommerce_events < lines
	mkfifo pipe
	in_background bash -c 'bq-load --journal k ecommerce_events < pipe'
	exec 9> pipe
	wait_until '[ -s k ]'
	run -75 bq-load --journal k ecommerce_events < lines
	[[ $output == *"another run holds it"* ]]
	exec 9>&-
	status_of "$PID" 10
	bash -c 'bq-load --journal l ecommerce_events < lines; echo $? > status' | true
	wait_until '[ -s status ]'
	[ "$(cat status)" = 74 ]
	[ "$(ids | wc -l)" -le 4 ]
	unset BIGQUERY_EMULATOR_HOST
	run -77 bq-load --journal m ecommerce_events < lines
}

@test "a journal in Cloud Storage: jobs are found again, settings compared, another run ends, a lost reply is none" {
	make_objects 4
	j=gs://test-events-output/journals/load
	faults '{"method":"POST","path":"*/upload/*","lose":true,"times":2}'
	head -n 2 lines | bq-load -q --journal "$j" --look-back 0 ecommerce_events > out
	faults ''
	[ "$(wc -l < out)" = 2 ]
	[ "$(jobs_of_emu)" = 1 ]
	run -0 --separate-stderr bq-load --journal "$j" --look-back 0 ecommerce_events < lines
	[[ $stderr == *"2 objects were loaded before"* ]]
	[ "$(ids | wc -l)" = 8 ]
	[ "$(ids | uniq -d | wc -l)" = 0 ]
	# a job that was written down and never submitted is submitted by the next run
	orders 2 20 | put last.json
	object last.json 2 > line
	faults '{"method":"POST","path":"*/jobs","status":403}'
	run -77 bq-load --journal "$j" --look-back 0 ecommerce_events < line
	faults ''
	run -0 bq-load -q --journal "$j" --look-back 0 ecommerce_events < line
	[ "${#lines[@]}" = 1 ]
	[ "$(ids | wc -l)" = 10 ]
	# two at once
	mkfifo pipe
	in_background bash -c 'exec bq-load --journal "$0" ecommerce_events < pipe > first 2> err' "$j"
	exec 9> pipe
	wait_until 'grep -q "using" err'
	orders 1 30 | put a.json
	orders 1 31 | put b.json
	object a.json 1 | bq-load -q --journal "$j" --look-back 0 ecommerce_events
	object b.json 1 >&9
	exec 9>&-
	status_of "$PID" 20
	[ "$STATUS" = 75 ]
	grep "cannot write the journal '$j': another run writes it" err
	[ ! -s first ]
	run -0 bq-load -q --journal "$j" --look-back 0 ecommerce_events < <(object b.json 1)
	[ "$(ids | wc -l)" = 12 ]
	echo notes | put journals/notes/00000000
	run -65 bq-load --journal gs://test-events-output/journals/notes ecommerce_events < lines
	run -69 bq-load --journal gs://no-such-bucket/j ecommerce_events < lines
}

@test "a journal of many pieces in Cloud Storage is read several at once, and the next time as packs" {
	make_objects 2
	j=gs://test-events-output/journals/load
	bq-load -q --journal "$j" --look-back 0 ecommerce_events < lines > out
	# 600 pieces more, of jobs that failed
	for ((i = 3; i < 603; i++)); do
		((i == 3)) || echo next
		printf -v n '%08d' "$i"
		printf '{"failed":"%s"}\n' "$n" > "$n"
		printf 'url = "http://127.0.0.1:%s/upload/storage/v1/b/test-events-output/o?uploadType=media&name=journals/load/%s"\n' \
		    "$EMU_PORT" "$n"
		printf 'data-binary = "@%s"\noutput = put.out\n' "$n"
	done > curlrc
	curl -sSf -K curlrc
	curl -sf -X DELETE "http://127.0.0.1:$EMU_PORT/emu/requests" > reply
	faults '{"method":"GET","path":"/storage/v1/b/*/o/journals*","delay":0.1}'
	SECONDS=0
	run -0 --separate-stderr bq-load --journal "$j" --look-back 0 ecommerce_events < lines
	[ "$SECONDS" -lt 30 ] # one after another they take 60
	[[ $stderr == *"2 objects were loaded before"* ]]
	many=$(requests GET "/storage/v1/b/*/o/*")
	[ "$many" -gt 603 ]
	run -0 --separate-stderr bq-load --journal "$j" --look-back 0 ecommerce_events < lines
	[[ $stderr == *"2 objects were loaded before"* ]]
	[ $(($(requests GET "/storage/v1/b/*/o/*") - many)) -lt 120 ]
	# and goes on behind them
	faults ''
	orders 1 50 | put a.json
	bq-load -q --journal "$j" --look-back 0 ecommerce_events < <(object a.json 1)
	curl -sf "http://127.0.0.1:$EMU_PORT/storage/v1/b/test-events-output/o/journals%2Fload%2F00000603?alt=media" | grep '"job":'
}
