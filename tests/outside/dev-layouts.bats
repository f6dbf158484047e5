#!/usr/bin/env bats
# The whole of the real data as files of every layout, each backfilled: the same rows, lake lines and dead letters as the
# verdicts of the independent implementation say, which is what streaming gives (dev-data.bats). Skips, loudly, without the data.

bats_require_minimum_version 1.5.0
load ../lib
load ../flow/flow

SHARED=$ROOT/../shared/data/dev

setup_file() {
	[ -d "$SHARED" ] || return 0
	cd "$BATS_FILE_TMPDIR" || return 1
	local kind
	for kind in orders inventory user_activity; do
		paste -d '\t' <(zstd -qdc "$SHARED/$kind.expected.tsv.zst" | cut -f3) <(zstd -qdc "$SHARED/$kind.ndjson.zst")
	done >judged
	cut -f2- judged >events
	sed -n 's/^ok\t//p' judged | sort >events.ok
	sed -n '/^ok\t/!s/^[^\t]*\t//p' judged | sort >want.dead
	cp events.ok want.lake
	expected_rows <events.ok >want.rows
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	[ -d "$SHARED" ] || skip "the real data are not here ($SHARED)"
	cp "$BATS_FILE_TMPDIR"/want.* .
	EVENTS=$BATS_FILE_TMPDIR/events
	start_emu
}

teardown() {
	end_all
}

# same_result URL...: backfilled, all three outputs are what they should be, line by line
same_result() {
	local name
	timeout 240 "$ROOT/scripts/backfill" -q --project test --journal j --linger 1 --from "$@" 2>err 3>&- || { cat err; return 1; }
	rows >got.rows
	lake >got.lake
	dead_letters >got.dead
	for name in rows lake dead; do
		cmp "want.$name" "got.$name" || return 1
		echo "# $name: $(wc -l <"got.$name")" >&3
	done
}

@test "one object" {
	same_result "$EVENTS"
}

@test "2,000 objects" {
	mkdir in
	split -n l/2000 -a 4 "$EVENTS" in/
	same_result 'in/*'
}

@test "gzip" {
	gzip -1 <"$EVENTS" >in
	same_result in
}

@test "zstd" {
	zstd -q <"$EVENTS" >in
	same_result in
}

@test "an array" {
	{ echo '['; sed '$!s/$/,/' "$EVENTS"; echo ']'; } >in
	same_result in
}

@test "pretty-printed" {
	# A member a line. Its event is the same text with spaces for the line ends.
	member='s/,"\([a-z_]*\)":/,@  "\1":/g'
	sed "${member/@/\\n}" "$EVENTS" >in
	[ "$(wc -l <in)" -gt 500000 ]
	for name in lake dead; do
		sed "${member/@/ }" "want.$name" | sort >x && mv x "want.$name"
	done
	dead_letters() { # with the original's line ends
		ps-pull -q --idle-exit 1 --max-messages 10000000 "$DLQ_SUB" 2>err | jq -r '.data | @base64d | gsub("\n"; " ")' | sort
	}
	same_result in
}
