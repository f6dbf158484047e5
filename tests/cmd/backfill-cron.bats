#!/usr/bin/env bats
# The script for cron in evpipe-backfill(1), as it is printed there but for the places it names.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	start_emu --job-wait 1
	unset GOOGLE_CLOUD_PROJECT
	mkdir bin
	ln -s "$ROOT/scripts/backfill" bin/evpipe-backfill
	block '#!/bin/sh' | sed "s,^PATH=/usr/local/bin,PATH=$PWD/bin," >drop
	block '# /etc/evpipe/drop.env' >drop.env
	sed -i "s,/etc/evpipe,$PWD,g; s,/run/lock,$PWD,; s,/var/l[a-z]*/\(evpipe/\)\?,$PWD/,; s/my-project/test/g" drop drop.env
	! grep -E '/(etc|var|run)/|my-project' drop drop.env
	chmod +x drop
	echo secret >token
	curl -sSf "http://127.0.0.1:$EMU_PORT/storage/v1/b?project=test" -d '{"name":"test-drop"}' -o made
}

teardown() {
	end_all
}

block() { # FIRST-LINE: the literal block of the page that begins with it
	awk -v first="$1" '$0 == first { inside = 1 } inside && /^\.Ed/ { exit } inside' "$ROOT/man/evpipe-backfill.1" | sed 's/\\e$/\\/'
}

drop() { # NAME: standard input, as an object
	curl -sSf --data-binary @- -o put.out "http://127.0.0.1:$EMU_PORT/upload/storage/v1/b/test-drop/o?uploadType=media&name=$1"
}

@test "twice at once: the second run ends at once, in silence; nothing is there twice" {
	good_order 1 | gzip | drop a/1.json.gz
	good_order 2 | gzip | drop 2.json.gz
	in_background ./drop
	wait_until '[ -s drop.journal ]' 20 # the job takes a second from here on
	run -0 ./drop
	[ -z "$output" ]
	kill -0 "$PID"
	status_of "$PID" 30
	[ "$STATUS" = 0 ]
	[ ! -s out ] && [ ! -s err ]
	[ "$(rows_of orders)" = 2 ]
	grep 'events: 2 read, 2 loaded, 0 dead: it adds up' evpipe-drop.log
	# by the next run all is done, and still there is no mail
	run -0 ./drop
	[ -z "$output" ]
	grep '2 skipped as already done' evpipe-drop.log
}

@test "what fails is printed: an empty bucket too, until it has an empty object" {
	run ./drop
	[[ $output == *"nothing matches"* ]]
	drop none.json.gz </dev/null
	for _ in 1 2; do
		run -0 ./drop
		[ -z "$output" ]
	done
	head -c 9 < <(good_order 1 | gzip) | drop cut.json.gz
	run ./drop
	[[ $output == *"'gs://test-drop/cut.json.gz' cannot be read further than byte 0"* ]]
	run -0 ./drop
	[ -z "$output" ]
}
