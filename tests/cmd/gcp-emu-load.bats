#!/usr/bin/env bats
# gcp-emu's load jobs, through curl, jq and sqlite3.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	start_emu --job-wait 0
	JOBS=http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/jobs
}

teardown() {
	end_all
}

# put NAME: standard input as an object of the default bucket
put() {
	curl -sSf -X POST --data-binary @- -o put.out \
	    "http://127.0.0.1:$EMU_PORT/upload/storage/v1/b/test-events-output/o?uploadType=media&name=$1"
}

# submit ID TABLE MEMBERS URI...: the reply's status in $status, its body in reply
submit() {
	local id=$1 table=$2 more=$3
	shift 3
	jq -n --arg id "$id" --arg table "$table" --argjson more "$more" '{jobReference: {projectId: "test", jobId: $id},
	    configuration: {labels: {a: "b"}, load: ({sourceUris: $ARGS.positional, sourceFormat: "NEWLINE_DELIMITED_JSON",
	    destinationTable: {projectId: "test", datasetId: "ecommerce_events", tableId: $table}} + $more)}}' \
	    --args "$@" > request
	status=$(curl -s -o reply -w '%{http_code}' "$JOBS" -H 'Content-Type: application/json' --data-binary @request)
}

# ended ID: waits for the job; its resource is in job
ended() {
	wait_until "curl -sf '$JOBS/$1?location=US' > job && [ \"\$(jq -r .status.state job)\" = DONE ]"
}

is() { # FILE FILTER VALUE
	local got
	got=$(jq -r "$2" "$1")
	[ "$got" = "$3" ] || { echo "$2 is '$got', not '$3'"; cat "$1"; return 1; }
}

@test "NDJSON plain, gzip and by wildcard: rows, statistics, the job as it was asked for" {
	{ good_order a; echo; good_order b | tr -d '\n'; } | put one.json
	good_order c | gzip | put dir/two.json
	{ good_order d; good_order e; } | gzip | put dir/sub/three.json
	submit j1 orders '{"ignoreUnknownValues":true}' gs://test-events-output/one.json
	[ "$status" = 200 ]
	is reply .status.state PENDING
	is reply .jobReference.jobId j1
	ended j1
	is job '.status | has("errorResult")' false
	is job .statistics.load.outputRows 2
	is job .statistics.load.inputFiles 1
	is job .configuration.jobType LOAD
	is job '.configuration.load.sourceUris[0]' gs://test-events-output/one.json
	is job .jobReference.location US
	submit j2 orders '{"ignoreUnknownValues":true}' 'gs://test-events-output/dir/*.json'
	ended j2
	is job .statistics.load.outputRows 3
	is job .statistics.load.inputFiles 2
	[ "$(sqlite3 "$EMU_DIR/bigquery/test/ecommerce_events.sqlite" 'select group_concat(order_id, "") from orders')" = abced ] ||
	    [ "$(rows_of orders)" = 5 ]
}

@test "one bad row fails all files, and is told by file and position" {
	good_order a | put good.json
	{ good_order b; printf '{"order_id":5,"items":3}\n'; good_order c; } > bad
	put bad.json < bad
	submit j1 orders '{"ignoreUnknownValues":true}' gs://test-events-output/good.json gs://test-events-output/bad.json
	ended j1
	is job .status.errorResult.reason invalid
	is job .status.errorResult.location gs://test-events-output/bad.json
	is job '.status.errors[0].message | contains("JSON table encountered too many errors, giving up. Rows: 3; errors: 1.")' true
	at=$(head -n 1 bad | wc -c)
	is job '.status.errors[2].location' gs://test-events-output/bad.json
	is job ".status.errors[2].message | contains(\"error message: JSON parsing error in row starting at position $at: \")" true
	is job .statistics.load.outputRows 0
	[ "$(rows_of orders)" = 0 ]
	submit j2 orders '{"ignoreUnknownValues":true,"maxBadRecords":1}' gs://test-events-output/bad.json
	ended j2
	is job '.status | has("errorResult")' false
	is job .statistics.load.outputRows 2
	is job .statistics.load.badRecords 1
	[ "$(rows_of orders)" = 2 ]
}

@test "unknown members, broken JSON, an array, a cut gzip stream, plain beside gzip: each in its words" {
	good_order a | put good.json
	submit unknown orders '{}' gs://test-events-output/good.json
	ended unknown
	is job '.status.errors[2].message | contains("No such field: event_type.")' true
	echo '{"order_id":' | put broken.json
	submit broken orders '{"ignoreUnknownValues":true}' gs://test-events-output/broken.json
	ended broken
	is job '.status.errors[2].message | contains("Parser terminated before end of string")' true
	good_order a | jq -c '[.]' | put array.json
	submit array orders '{"ignoreUnknownValues":true}' gs://test-events-output/array.json
	ended array
	is job '.status.errors[2].message | contains("Start of array encountered without start of object.")' true
	for i in $(seq 100); do good_order "$i-$RANDOM"; done | gzip | head -c 400 | put cut.json.gz
	submit cut orders '{"ignoreUnknownValues":true}' gs://test-events-output/cut.json.gz
	ended cut
	is job '.status.errorResult.message | contains("truncated or corrupt")' true
	good_order b | gzip | put packed.json.gz
	submit mixed orders '{"ignoreUnknownValues":true}' gs://test-events-output/good.json gs://test-events-output/packed.json.gz
	ended mixed
	is job '.status.errorResult.message | contains("cannot be loaded together")' true
	[ "$(rows_of orders)" = 0 ]
}

@test "what is not there: a URI, a table, a dataset, a bucket" {
	good_order a | put good.json
	submit uri orders '{}' gs://test-events-output/none.json
	ended uri
	is job .status.errorResult.reason notFound
	is job .status.errorResult.message 'Not found: URI gs://test-events-output/none.json'
	submit bucket orders '{}' gs://none/none.json
	ended bucket
	is job .status.errorResult.message 'Not found: Bucket none'
	submit table nothing '{"createDisposition":"CREATE_NEVER"}' gs://test-events-output/good.json
	ended table
	is job .status.errorResult.message 'Not found: Table test:ecommerce_events.nothing'
	sed 's/"ecommerce_events"/"none"/' request | jq '.jobReference.jobId = "dataset"' > other
	[ "$(curl -s -o reply -w '%{http_code}' "$JOBS" --data-binary @other)" = 404 ]
	is reply .error.message 'Not found: Dataset test:none'
	submit made made '{"ignoreUnknownValues":true,"schema":{"fields":[{"name":"order_id","type":"STRING"}]}}' \
	    gs://test-events-output/good.json
	ended made
	is job .statistics.load.outputRows 1
	[ "$(rows_of made)" = 1 ]
	[ "$(curl -s -o reply -w '%{http_code}' "$JOBS/none")" = 404 ]
}

@test "a job's id is used once, and dispositions do what they say" {
	good_order a | put good.json
	submit j1 orders '{"ignoreUnknownValues":true}' gs://test-events-output/good.json
	ended j1
	submit j1 orders '{"ignoreUnknownValues":true}' gs://test-events-output/good.json
	[ "$status" = 409 ]
	is reply '.error.errors[0].reason' duplicate
	submit j2 orders '{"ignoreUnknownValues":true,"writeDisposition":"WRITE_EMPTY"}' gs://test-events-output/good.json
	ended j2
	is job .status.errorResult.reason duplicate
	submit j3 orders '{"ignoreUnknownValues":true,"writeDisposition":"WRITE_TRUNCATE"}' gs://test-events-output/good.json
	ended j3
	[ "$(rows_of orders)" = 1 ]
	curl -sf "$JOBS?maxResults=2&projection=full" > list
	is list '[.jobs[].jobReference.jobId] | join(" ")' 'j3 j2'
	is list '.jobs[0].configuration.labels.a' b
	curl -sf "$JOBS?pageToken=$(jq -r .nextPageToken list)" > list
	is list '[.jobs[].jobReference.jobId] | join(" ")' j1
	is list '.jobs[0] | has("configuration")' false
	is list 'has("nextPageToken")' false
}

@test "the jobs into a table within 24 hours are limited, failed ones count, and those of other tables do not" {
	stop_emu
	export GCP_EMU_TABLE_JOBS=2
	start_emu --job-wait 0
	JOBS=http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/jobs
	good_order a | put good.json
	submit j1 orders '{"ignoreUnknownValues":true}' gs://test-events-output/good.json
	submit j2 orders '{"ignoreUnknownValues":true}' gs://test-events-output/none.json
	submit j3 orders '{"ignoreUnknownValues":true}' gs://test-events-output/good.json
	submit j4 inventory_logs '{"ignoreUnknownValues":true}' gs://test-events-output/none.json
	ended j3
	is job .status.errorResult.reason quotaExceeded
	is job .status.errorResult.location load_job_per_table.long
	ended j4
	is job .status.errorResult.reason notFound
	[ "$(rows_of orders)" = 1 ]
	sqlite3 "$EMU_DIR/bigquery/test/ecommerce_events.sqlite" '.timeout 5000' 'update _jobs set created = created - 86400000'
	submit j5 orders '{"ignoreUnknownValues":true}' gs://test-events-output/good.json
	ended j5
	[ "$(rows_of orders)" = 2 ]
}

@test "configurations that make no sense are refused at once" {
	submit '' orders '{"sourceUris":[]}' x
	[ "$status" = 400 ]
	is reply .error.message 'Load configuration must specify at least one source URI'
	for uri in file.json gs://bucket gs://bucket/ 'gs://b*/x' 'gs://b/*x*'; do
		submit j1 orders '{}' "$uri"
		[ "$status" = 400 ] || { echo "$uri: $status"; return 1; }
	done
	submit 'a b' orders '{}' gs://test-events-output/x
	[ "$status" = 400 ]
	submit j1 orders '{"sourceFormat":"CSV"}' gs://test-events-output/x
	[ "$status" = 501 ]
	submit j1 orders '{"writeDisposition":"WRITE_SOMETIMES"}' gs://test-events-output/x
	[ "$status" = 400 ]
	submit j1 orders '{"destinationTable":null}' gs://test-events-output/x
	[ "$status" = 400 ]
	submit j1 orders "{\"sourceUris\":$(jq -cn '[range(10001) | "gs://b/c"]')}"
	[ "$status" = 400 ]
}

@test "a job that was accepted is run after kill -9, once; its end is there after another" {
	stop_emu
	start_emu --job-wait 3600
	JOBS=http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/jobs
	good_order a | put good.json
	submit j1 orders '{"ignoreUnknownValues":true}' gs://test-events-output/good.json
	[ "$status" = 200 ]
	[ "$(rows_of orders)" = 0 ]
	for _ in 1 2; do
		kill -KILL "$EMU_PID"
		wait "$EMU_PID" || true
		start_emu --job-wait 0
		JOBS=http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/jobs
		ended j1
		[ "$(rows_of orders)" = 1 ]
	done
	submit j1 orders '{"ignoreUnknownValues":true}' gs://test-events-output/good.json
	[ "$status" = 409 ]
}

@test "a fault fails the job, and only as often as it was asked for" {
	good_order a | put good.json
	faults '{"job":"backendError","table":"orders","times":1}'
	submit j1 orders '{"ignoreUnknownValues":true}' gs://test-events-output/good.json
	ended j1
	is job .status.errorResult.reason backendError
	submit j2 orders '{"ignoreUnknownValues":true}' gs://test-events-output/good.json
	ended j2
	[ "$(rows_of orders)" = 1 ]
	run -22 faults '{"job":"backendError","path":"/x"}'
}
