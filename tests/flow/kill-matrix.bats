#!/usr/bin/env bats
# Five rounds of the kill matrix, of a new seed each time; `make soak` runs 500. What fails is run again by the seed it names.

load ../lib

@test "nothing is lost while stages are killed, stopped and ended at random, with faults everywhere" {
	"$BATS_TEST_DIRNAME/kill-matrix" --rounds 5 --events 200 >out 2>&1 3>&- || { cat out; false; }
	sed 's/^/# /' out >&3
	grep -q '^5 rounds, 0 failed; [1-9][0-9]* signals, [1-9][0-9]* events, 0 lost; twice: 0 rows' out
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	export TMPDIR=$BATS_TEST_TMPDIR
}
