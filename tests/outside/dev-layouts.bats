#!/usr/bin/env bats
# The whole of the real data as files of every layout, each backfilled: the same rows, lake lines and dead letters as the
# verdicts of the independent implementation say, which is what streaming gives (dev-data.bats). Skips, loudly, without the data.

bats_require_minimum_version 1.5.0
load ../lib
load ../flow/flow

setup_file() {
	[ -d "$REAL_DATA" ] || return 0
	cd "$BATS_FILE_TMPDIR" || return 1
	real_data
	mv events.bad want.dead
	cp events.ok want.lake
	expected_rows <events.ok >want.rows
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	skip_without_real_data
}

teardown() {
	end_all
}

# What is to be read, as `in`, and what must come of it, as want.*
lay_out() { # LAYOUT
	local events=$BATS_FILE_TMPDIR/events member='s/,"\([a-z_]*\)":/,@  "\1":/g' name
	cp "$BATS_FILE_TMPDIR"/want.* .
	case $1 in
	object) cp "$events" in ;;
	objects) mkdir in && split -n l/2000 -a 4 "$events" in/ ;;
	gzip) gzip -1 <"$events" >in ;;
	zstd) zstd -q <"$events" >in ;;
	array) { echo '['; sed '$!s/$/,/' "$events"; echo ']'; } >in ;;
	pretty) # a member a line; its event is the same text with spaces for the line ends
		sed "${member/@/\\n}" "$events" >in
		for name in lake dead; do
			sed "${member/@/ }" "want.$name" | sort >x && mv x "want.$name"
		done
		;;
	esac
}

# LAYOUTS='object objects gzip zstd array pretty': all of them, as make soak has it; of the sample, backfill.bats tries each
@test "the real data as files of every layout: rows, lake and dead letters are what streaming gives, line by line" {
	for layout in ${LAYOUTS:-objects}; do
		mkdir "$layout" && cd "$layout"
		lay_out "$layout"
		EMU_DIR=$PWD/emu
		start_emu
		from=in
		[ ! -d in ] || from='in/*'
		timeout 240 "$ROOT/scripts/backfill" -q --project test --journal j --linger 1 --from "$from" 2>err 3>&- || { cat err; false; }
		rows >got.rows
		lake >got.lake
		# with the original's line ends as spaces
		ps-pull -q --idle-exit 1 --max-messages 10000000 "$DLQ_SUB" 2>err | jq -r '.data | @base64d | gsub("\n"; " ")' | sort >got.dead
		for name in rows lake dead; do cmp "want.$name" "got.$name"; done
		echo "# $layout: $(wc -l <got.rows) rows, $(wc -l <got.lake) lines of the lake, $(wc -l <got.dead) dead letters" >&3
		stop_emu
		cd ..
		rm -rf "$layout"
	done
}
