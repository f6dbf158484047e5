#!/usr/bin/env bats
# The whole of the real data while every fifth request goes wrong: the same end as without, and nobody hammers. Skips, loudly,
# where the data are not on the machine.

load ../lib
load ../flow/flow

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	skip_without_real_data
	real_data
}

teardown() {
	[ -z "${STREAM_PID:-}" ] || kill -KILL "$STREAM_PID" 2>/dev/null || true
	end_all
}

# run_through: all events, with the faults in force; how many requests it took is in REQUESTS, and the faults are in faults.json.
run_through() {
	curl -sSf -X DELETE "http://127.0.0.1:$EMU_PORT/emu/requests" >/dev/null
	start_stream -v --idle-exit 3 --lease 2
	wait_stream 280
	[ "$STREAM_STATUS" = 0 ] || { grep -v 'trying again' stream.err | tail -n 30; false; }
	curl -sSf "http://127.0.0.1:$EMU_PORT/emu/requests" >requests.json
	REQUESTS=$(jq .total requests.json)
	curl -sSf "http://127.0.0.1:$EMU_PORT/emu/faults" >faults.json
	faults
}

applied() { # ACTION...: how often rules with one of these struck
	jq --arg of "$*" '($of / " ") as $of | [.rules[] | select(any(keys[]; . as $k | $of | index($k))).applied] | add' faults.json
}

refused() { # CONDITION: so many replies that are tried again in any case
	jq "[.requests[] | select(($1) and (.path | endswith(\":modifyAckDeadline\") | not)).count] | add // 0" requests.json
}

@test "all 152,689 lines with 20 % of all requests faulted: the same end, twice the requests at most, every retry within the policy" {
	short_leases
	publish events
	run_through
	clean=$REQUESTS
	stop_emu
	rm -rf "$EMU_DIR" stream.err

	short_leases
	publish events
	faults '{"path":"*","chance":0.05,"status":503},{"path":"*","chance":0.01,"status":429,"retry_after":1},
		{"path":"*","chance":0.02,"status":500,"body":"<html>"},{"path":"*","chance":0.03,"reset":true},
		{"path":"*","chance":0.03,"lose":true},{"path":"*","chance":0.02,"truncate":5},{"path":"*","chance":0.02,"garbage":true},
		{"path":"*","chance":0.01,"length":-1},{"path":"*","chance":0.02,"stall":0.5},{"path":"*","chance":0.02,"delay":0.5}'
	run_through
	failed=$(applied status reset lose truncate garbage length) slow=$(applied stall delay)
	grep -E 'trying again in|going on in' stream.err >tries
	echo "# $clean requests without faults, $REQUESTS with; $failed failed, $slow were slow; $(wc -l <tries) tries again" >&3

	# a lost reply to a publish makes dead letters twice; nothing else comes twice
	books $((1000 * $(applied lose)))
	cmp got.rows want.rows
	cmp got.lake want.lake
	cmp <(sort -u got.dead) <(sort -u want.dead)

	[ $((100 * (failed + slow) / REQUESTS)) -ge 17 ]
	[ "$REQUESTS" -le $((2 * clean)) ]
	# Each refusal is tried again, once, but for extensions of leases that have ended meanwhile; a connection that was used before
	# and breaks, libcurl replaces by itself.
	[ "$(wc -l <tries)" -le "$failed" ]
	[ "$(grep -vc 'extend leases' tries)" -ge "$(refused '.status >= 400')" ]
	# full jitter below 0.1 s doubled for each failure in a row: mostly little, a minute never
	sed -n 's/.* in \([0-9.]*\) s.*/\1/p' tries | sort -n >waits
	[ "$(awk '$1 >= 1' waits | wc -l)" -ge "$(refused '.status == 429')" ]
	[ "$(tail -n 1 waits | cut -d. -f1)" -lt 60 ]
	[ "$(awk '$1 <= 0.2' waits | wc -l)" -ge $(($(wc -l <waits) / 2)) ]
}
