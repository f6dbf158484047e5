#!/usr/bin/env bats
# A backfill end to end, in every layout of its files, undisturbed and disturbed: after each, the books balance.

bats_require_minimum_version 1.5.0
load ../lib
load flow

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	start_emu
	mkdir in
}

teardown() {
	[ -z "${BACKFILL_PID:-}" ] || kill -KILL "$BACKFILL_PID" 2>/dev/null || true
	end_all
}

backfill() {
	timeout 300 "$ROOT/scripts/backfill" --project test --journal "$PWD/journal" "$@" 2>backfill.err 3>&-
}

# ran OPTION...: a backfill that ends well, and whose books balance
ran() {
	backfill "$@" || { echo "status $?"; cat backfill.err; return 1; }
	grep -q 'it adds up' backfill.err
	BACKLOG=0 books 0
}

# load_to NAME FILE: as an object of bucket test-history
load_to() {
	curl -sSf -X POST --data-binary "@$2" -o put.out \
	    "http://127.0.0.1:$EMU_PORT/upload/storage/v1/b/test-history/o?uploadType=media&name=${1//\//%2F}"
}

history() {
	curl -sSf -X POST "http://127.0.0.1:$EMU_PORT/storage/v1/b?project=test" -d '{"name":"test-history"}' -o made
}

# Pretty-printed, with \001 for each newline: white space alone is added.
pretty() {
	awk '{
		out = ""; quoted = 0
		for (i = 1; i <= length($0); i++) {
			c = substr($0, i, 1)
			out = out c
			if (quoted && c == "\\") { i++; out = out substr($0, i, 1) }
			else if (c == "\"") quoted = !quoted
			else if (!quoted && (c == "{" || c == "[" || c == ",")) out = out "\001  "
		}
		print out
	}'
}

@test "one file: the same rows, dead letters and lake lines as from a stream; again, it is done" {
	make_events 2500
	mv events in/
	ran --from in/events
	grep 'objects: 1 read, [0-9]* bytes, 0 skipped as already done, 0 failed, 0 broken; events: 2500 read, 2064 loaded, 436 dead' backfill.err
	ran --from in/events
	grep 'objects: 0 read, 0 bytes, 1 skipped as already done, 0 failed, 0 broken; events: 0 read, 0 loaded, 0 dead' backfill.err
}

@test "2,000 files" {
	make_events 2500
	split -n l/2000 -a 4 --additional-suffix=.ndjson events in/
	ran --from 'in/*.ndjson'
	grep 'objects: 2000 read' backfill.err
}

@test "NDJSON, arrays, gzip and zstd beside one another, whatever the names say" {
	make_events 2500
	split -n l/8 -a 1 events in/
	for name in b f; do
		{ echo '['; sed '$!s/$/,/' "in/$name"; echo ']'; } >array
		mv array "in/$name"
	done
	gzip -c in/c >x && mv x in/c
	head -c 20000 in/d | gzip >x && tail -c +20001 in/d | gzip >>x && mv x in/d.json && rm in/d
	zstd -q --rm in/e -o in/e.gz
	gzip in/f
	ran --from 'in/*'
}

@test "pretty-printed values after one another" {
	make_events 2500
	pretty <events >p
	split -n l/5 -a 1 p in/
	for file in in/*; do
		tr '\001' '\n' <"$file" >x && mv x "$file"
	done
	backfill --from 'in/?' || { cat backfill.err; false; }
	lake >got.lake
	pretty <events.ok | tr '\001' ' ' | sort | cmp - got.lake
	rows >got.rows
	expected_rows <events.ok | cmp - got.rows
	ps-pull -q --idle-exit 1 --max-messages 100000 "$DLQ_SUB" | jq -r '.data | @base64d | gsub("\n"; " ")' | sort >got.dead
	pretty <events.bad | tr '\001' ' ' | sort | cmp - got.dead
}

@test "objects of a bucket by a glob; what the lake holds is a valid input of the next" {
	make_events 2500
	history
	split -n l/30 -a 2 --additional-suffix=.json events in/
	for file in in/*; do load_to "data/y=2025/${file##*/}" "$file"; done
	echo x | load_to 'data/readme.txt' /dev/stdin
	backfill --from 'gs://test-history/data/**/*.json' --compress gzip --prefix first || { cat backfill.err; false; }
	rows | cmp - <(expected_rows <events.ok)
	grep 'objects: 30 read' backfill.err
	# another dataset
	curl -sSf "http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/datasets" -d '{"datasetReference":{"datasetId":"second"}}' -o reply
	for table in orders inventory_logs user_activity; do
		curl -sSf "http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/datasets/ecommerce_events/tables/$table" |
			jq '{tableReference: {projectId: "test", datasetId: "second", tableId: .tableReference.tableId}, schema, timePartitioning, clustering}' |
			curl -sSf "http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/datasets/second/tables" --data-binary @- -o reply
	done
	timeout 120 "$ROOT/scripts/backfill" --project test --journal other --dataset second --from 'gs://test-events-output/first/**' \
		--prefix again 2>backfill.err 3>&- || { cat backfill.err; false; }
	grep 'events: 2064 read, 2064 loaded, 0 dead: it adds up' backfill.err
	find "$EMU_DIR/storage/test-events-output/again" -name '*.json' -exec cat {} + | sort | cmp - events.ok
	mv "$EMU_DIR/bigquery/test/second.sqlite" "$EMU_DIR/bigquery/test/ecommerce_events.sqlite"
	rows | cmp - <(expected_rows <events.ok)
}

@test "--via insert and --by publish" {
	make_events 2500
	split -n l/20 events in/
	ran --via insert --by publish --from 'in/*'
}

# KILLS=50 FILES=2000 for the long run
@test "killed at random moments and started again: no row twice, no object twice, nothing missing" {
	make_events 2500
	kills=${KILLS:-8} files=${FILES:-400} hits=0
	split -n "l/$files" -a 4 events in/
	# slow enough for the kills to fall into it
	faults '{"method":"POST","path":"/upload/*","delay":1}'
	for ((i = 0; i < kills; i++)); do
		"$ROOT/scripts/backfill" --project test --journal "$PWD/journal" --linger 0.3 --drain 1 --from 'in/*' 2>>killed.err 3>&- &
		BACKFILL_PID=$!
		read -rt "$((RANDOM % 2)).$((RANDOM % 5 + 5))" <> <(:) || true
		! kill -0 "$BACKFILL_PID" 2>/dev/null || hits=$((hits + 1))
		case $((i % 3)) in
		0) kill -KILL "$(ps -o pid=,comm= --ppid "$BACKFILL_PID" | awk '$2 ~ /-/ { print $1 }' | shuf -n 1)" 2>kill.err || true ;;
		*) kill -KILL "$BACKFILL_PID" 2>kill.err || true ;;
		esac
		wait "$BACKFILL_PID" || true
		wait_until '! pgrep -f "$PWD/journal"' 20
		[ $((i % 4)) != 3 ] || rm -f journal.load
	done
	echo "# $hits of $kills kills hit a running backfill" >&3
	[ "$hits" -gt $((kills / 2)) ]
	BACKFILL_PID=
	faults
	backfill --linger 0.3 --from 'in/*' || { cat backfill.err; false; }
	grep 'it adds up' backfill.err
	BACKLOG=0 books 100000
	comm -13 want.lake got.lake | { run -1 grep .; }
	comm -13 want.rows got.rows | { run -1 grep .; }
}

@test "stopped by a signal it ends in time with 75, and goes on the next time" {
	make_events 2500
	split -n l/1000 -a 4 events in/
	faults '{"method":"POST","path":"/upload/*","delay":0.1}'
	"$ROOT/scripts/backfill" --project test --journal "$PWD/journal" --drain 3 --from 'in/*' 2>backfill.err 3>&- &
	BACKFILL_PID=$!
	wait_until '[ "$(objects)" -gt 20 ]' 20
	kill -TERM "$BACKFILL_PID"
	status_of "$BACKFILL_PID" 20
	BACKFILL_PID=
	[ "$STATUS" = 75 ] || { cat backfill.err; false; }
	faults
	backfill --from 'in/*'
	grep 'it adds up' backfill.err
	BACKLOG=0 books 1000
	comm -13 want.rows got.rows | { run -1 grep .; }
}

@test "one object that cannot be read whole is named and counted, the rest goes on, and the status says so" {
	make_events 500
	split -n l/10 -a 1 events in/
	gzip -c in/c | head -c 1500 >x && mv x in/c
	status=0
	backfill --from 'in/*' || status=$?
	[ "$status" = 65 ] || { echo "$status"; cat backfill.err; false; }
	grep "in/c.*cannot be read further" backfill.err
	grep ' 10 read, .* 0 failed, 1 broken; events: .* it adds up' backfill.err
	# its rest is a dead letter, and says where it broke
	ps-pull -q --idle-exit 1 "$DLQ_SUB" | jq -r '.msg.attributes | select(.dlq_code == "unreadable") | .dlq_detail' >rest
	grep -c "in/c' cannot be read further than byte" rest
	# it is done: the next run skips it, and says that there is such a one
	backfill --from 'in/*' || { cat backfill.err; false; }
	grep "1 of them could not be read to their end" backfill.err
	grep '"source":"in/c@.*"broken":true' journal
	grep ' 10 skipped as already done' backfill.err
	[ "$(rows | wc -l)" -gt 200 ]
	rows | uniq -d | { run -1 grep .; }
	status=0
	backfill --from 'in/*' 'nothing/*' gs://no-such-bucket/x || status=$?
	[ "$status" != 0 ]
	grep no-such-bucket backfill.err
}

@test "shards as tasks without a disk: one journal in a bucket, one task killed and tried again" {
	make_events 2500
	history
	split -n l/40 -a 2 events in/
	for file in in/*; do load_to "data/${file##*/}" "$file"; done
	task() { # INDEX
		CLOUD_RUN_TASK_INDEX=$1 CLOUD_RUN_TASK_COUNT=2 timeout 120 "$ROOT/scripts/backfill" --project test --linger 0.3 \
			--journal gs://test-history/journal --from 'gs://test-history/data/*' 2>>"task.$1" 3>&-
	}
	faults '{"method":"POST","path":"/upload/*","delay":0.2}'
	task 0 &
	first=$!
	task 1 &
	BACKFILL_PID=$!
	wait_until '[ "$(objects)" -gt 10 ]' 20
	kill -KILL "$(pgrep -f "$B/bq-load.*/shard-1-of-2" | head -n 1)"
	status_of "$BACKFILL_PID" 20
	[ "$STATUS" != 0 ]
	BACKFILL_PID=
	faults
	# a request of the dead can still be under way, and its piece of the journal then comes before ours: 75, and again
	task 1 || { tail -n 20 task.1 | grep -q 'another run writes it' && task 1; } || { cat task.1; false; }
	wait "$first"
	BACKLOG=0 books 100000
	comm -13 want.rows got.rows | { run -1 grep .; }
	task 0
	tail -n 3 task.0 | grep ' 0 read, 0 bytes, [0-9]* skipped as already done, 0 failed, 0 broken; events: 0 read, 0 loaded, 0 dead: it adds up'
}
