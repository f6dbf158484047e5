#!/usr/bin/env bats
# scripts/backfill: options, preflight, what it refuses, and how it ends. tests/flow/backfill.bats has the data.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	export XDG_STATE_HOME=$PWD/state
	backfill=$ROOT/scripts/backfill
}

teardown() {
	end_all
}

@test "--help and --version; options that make no sense are 64 and say why" {
	run -0 "$backfill" --help
	[[ $output == *"--from URL..."* ]]
	run -0 "$backfill" --version
	[[ $output == "backfill (evpipe) "* ]]
	local options
	while IFS='|' read -r options why; do
		# shellcheck disable=SC2086 # words
		run -64 "$backfill" $options
		[[ $output == *"$why"* ]] || { echo "$options: $output"; return 1; }
	done <<- 'END'
		--from a|no project
		--project p|nothing to read
		--project p --from|--from: it wants a URL
		--project p --from --by|--from: it wants a URL
		--project p --from a --via train|it is one of load|insert
		--project p --from a --by day|it is one of event|publish
		--project p --from a --rotate-bytes x|it is no size
		--project p --from a --linger x|it is no number of seconds
		--project p --from a --bucket b/c|it holds a slash
		--project p --from -|what comes once cannot be read again
		--project p --from gs://p-events-output/backfill/x.json|it takes in what is written
		--project p --from gs://p-events-output/**|it takes in what is written
		--project p --from gs://p-events-output/back*/**.json|it takes in what is written
		--project p --from gs://p-events-output/backfill/*/2025/*/*/*/*/*.json|it takes in what is written
		--project p --from gs://p-events-output/*/*/*/*/*/*/*/*.json|it takes in what is written
		--project p --from a --nothing|no such option
		--project p --project q --from a|twice
		--project p a|it takes no operands
	END
	run -74 "$backfill" --project p --from a --journal /nowhere/j
	[[ $output == *"'/nowhere' is no folder that can be written"* ]]
	run -74 "$backfill" --project p --from a --journal .
	[[ $output == *"it is a folder"* ]]
	# these stay out of it: another folder, another depth
	run "$backfill" --project p --journal j --from 'gs://p-events-output/data/**' 'gs://p-events-output/*.json' 'gs://other/**' --check
	[[ $output != *"takes in"* ]]
}

@test "--from takes all words, and may be repeated; the project comes from the environment" {
	start_emu
	for n in 1 2 3 4; do good_order "$n" > "$n.ndjson"; done
	run -0 --separate-stderr "$backfill" --from 1.ndjson 2.ndjson --dry-run --from=3.ndjson --from 4.ndjson
	[[ $output == *"4 objects to read"* ]]
	[[ $output == *"load jobs: \$0.00"* ]]
	[ "$(rows_of orders)" = 0 ]
}

@test "what is wrong is found before anything is read" {
	start_emu
	good_order 1 > in
	run -69 "$backfill" --from in --bucket no-such-bucket
	[[ $output == *"gs://no-such-bucket"* ]]
	run -69 "$backfill" --from in --dataset nothing
	run -69 "$backfill" --from in --dlq-topic nothing
	run -66 "$backfill" --from in --schemas nothing.json
	sed 's/"STRING"/"INT64"/' "$EVPIPE_SCHEMAS" > other.json
	run "$backfill" --from in --schemas other.json
	[ "$status" = 78 ]
	PUBSUB_EMULATOR_HOST='' run -78 "$backfill" --from in
	[[ $output == *"mixed"* ]]
	run -0 "$backfill" --from in --check
	[ "$(rows_of orders)" = 0 ]
	[ "$(find "$EMU_DIR/storage/test-events-output" -type f | wc -l)" = 0 ]
}

@test "a journal by default, which the next run finds; --journal with other settings is 78" {
	start_emu
	good_order 1 > in
	run -0 "$backfill" --from in
	[[ $output == *"events: 1 read, 1 loaded, 0 dead: it adds up"* ]]
	run -0 "$backfill" --from in
	[[ $output == *"1 skipped as already done"* ]]
	journal=$(find state -name '*.journal')
	# bug: the default journal's name had all options in it, so that another one loaded everything again
	run -78 "$backfill" --from in --compress gzip
	run -78 "$backfill" --from in --via insert
	run -78 "$backfill" --from in --journal "$journal" --by publish
	[[ $output == *"it was begun with other settings"* ]]
	run -78 "$backfill" --from in --journal "$journal" --prefix elsewhere
	[ "$(rows_of orders)" = 1 ]
}

@test "nothing matches: 66; two runs of one journal: the second is 75" {
	start_emu
	run -66 "$backfill" --from 'none/*'
	for n in $(seq 300); do good_order "$n" > "$n.ndjson"; done
	in_background "$backfill" --from '*.ndjson' --journal j
	wait_until '[ -s j ]' 20
	run "$backfill" --from '*.ndjson' --journal j
	if [ "$status" != 0 ]; then # else the first was done before
		[ "$status" = 75 ]
		[[ $output == *"another run holds it"* ]]
	fi
	status_of "$PID" 30
	[ "$STATUS" = 0 ]
	[ "$(rows_of orders)" = 300 ]
}

@test "options from a file and from the environment" {
	start_emu
	good_order 1 > in
	printf '%s\n' '# settings' 'EVPIPE_PREFIX="from-file"' 'EVPIPE_LINGER=1' > env
	run -0 "$backfill" --from in --env-file env --journal j
	[ "$(find "$EMU_DIR/storage/test-events-output/from-file" -type f | wc -l)" = 1 ]
	good_order 2 > in2
	EVPIPE_PREFIX=from-environment run -0 "$backfill" --from in2 --journal k
	[ "$(find "$EMU_DIR/storage/test-events-output/from-environment" -type f | wc -l)" = 1 ]
	EVPIPE_VIA=train run -78 "$backfill" --from in
}

@test "messages as JSON are JSON, all of them" {
	start_emu
	good_order 1 > in
	"$backfill" --from in --log-format json 2> err
	jq -e .message err > messages
	grep 'it adds up' messages
}

@test "a stage that dies is named; its status is the script's" {
	start_emu
	for n in $(seq 400); do good_order "$n" > "$n.ndjson"; done
	in_background "$backfill" --from '*.ndjson' --journal j
	wait_until '[ -s j ] && pgrep -P "$PID" -x ev-read' 20
	kill -KILL "$(pgrep -P "$PID" -x gcs-put | tail -n 1)"
	status_of "$PID" 30
	[ "$STATUS" != 0 ]
	grep 'killed by signal 9' err
	run -0 "$backfill" -q --from '*.ndjson' --journal j
	[ "$(rows_of orders)" = 400 ]
	[ -z "$(sqlite3 "$EMU_DIR/bigquery/test/ecommerce_events.sqlite" 'select order_id from orders group by 1 having count(*) > 1')" ]
}

@test "bug: a signal between the tick and the wait was never acted upon" {
	start_emu
	mkdir -p copy/lib
	cp "$ROOT/scripts/backfill" copy/
	sed 's/^\t\twait -n -p pid.*$/\t\twhile [[ -e hold ]]; do : >window; done\n&/' "$ROOT/scripts/lib/chain.bash" > copy/lib/chain.bash
	! cmp -s "$ROOT/scripts/lib/chain.bash" copy/lib/chain.bash
	good_order 1 > in
	faults '{"method":"POST","path":"*/jobs","stall":60}'
	in_background copy/backfill --from in --journal j --linger 0.1 --drain 1
	# two are left, and wait for one another and for BigQuery
	wait_until '[ -s j ] && [ "$(pgrep -cP "$PID" "^(ev|gcs|bq|dlq)-")" = 2 ]' 20
	: > hold
	kill -KILL "$(pgrep -P "$PID" -x sleep)"
	wait_until '[ -e window ]'
	kill -TERM "$PID"
	wait_until 'grep -q "got SIGTERM" err'
	rm hold
	status_of "$PID" 15
	[ "$STATUS" = 75 ]
	faults ''
	run -0 "$backfill" -q --from in --journal j
	[ "$(rows_of orders)" = 1 ]
}

@test "shards that are named may share a journal in a bucket" {
	start_emu
	for n in 1 2 3 4 5 6; do good_order "$n" > "$n.ndjson"; done
	run -0 "$backfill" --from '*.ndjson' --journal gs://test-events-output/journal --shard 0/2
	run -0 "$backfill" --from '*.ndjson' --journal gs://test-events-output/journal --shard 1/2
	[ "$(rows_of orders)" = 6 ]
}

@test "bug: a stop before anything was read looked like success; a refusal was hidden by its consequence" {
	start_emu
	good_order 1 > in
	faults '{"path":"*estPermissions*","delay":3},{"path":"*estIamPermissions*","delay":3}'
	in_background "$backfill" --from in --journal j
	wait_until 'pgrep -P "$PID" -x dlq-push >pids'
	kill -TERM "$PID"
	status_of "$PID" 10
	[ "$STATUS" = 75 ]
	faults '{"method":"POST","path":"*/jobs","status":403}'
	for i in 1 2 3 4 5 6; do
		run -77 "$backfill" -q --from in --journal j --linger 0.1
	done
	faults ''
	run -0 "$backfill" -q --from in --journal j
	[ "$(rows_of orders)" = 1 ]
}
