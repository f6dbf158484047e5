#!/usr/bin/env bats
# A fleet: several scripts/stream on one subscription. Instances are identical and may die or join at any time; every event is in
# BigQuery once, none is lost, and the work is shared.

load ../lib
load flow

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
}

teardown() {
	end_all
}

# join NAME: one more instance; its messages go to NAME.err. A small window, so that nobody takes the others' share.
join() {
	ERR=$1.err OUT=$1.out in_background "$ROOT/scripts/stream" --project test --lease 2 --idle-exit 4 --max-outstanding 1000
	eval "$1=$PID"
}

# pulled NAME: the events that an instance had a receipt for, by its ending line
pulled() {
	sed -n 's/^ps-pull: in [0-9]*, done \([0-9]*\),.*/\1/p' "$1.err"
}

fair() { # NAME SHARE: within 20 %
	local n
	n=$(pulled "$1")
	((n * 100 >= $2 * 80 && n * 100 <= $2 * 120)) || { echo "$1 had $n of a share of $2"; return 1; }
}

killed_with_children() { # PID
	local children
	children=$(pgrep -P "$1" | paste -sd ,)
	kill -KILL "$1"
	wait_until "! ps -o pid= -p $children | grep -q ." 10
}

@test "4 instances, 2 killed, 1 added: every event once, none lost, the work shared within 20 %" {
	local name left
	short_leases
	make_events 60000
	publish events
	# As long as a real insertAll takes: what an instance does is then decided by its window, not by who gets the processor.
	faults '{"path":"*insertAll","delay":0.2}'
	for name in a b c d; do join "$name"; done
	wait_backlog_below 50000 40
	killed_with_children "$c"
	killed_with_children "$d"
	join e
	wait_until 'grep -q "dead letters to" e.err' 20
	left=$(backlog_of)
	for name in a b e; do
		eval "status_of \"\$$name\" 90"
		[ "$STATUS" = 0 ] || { echo "$name ended with $STATUS"; cat "$name.err"; return 1; }
	done
	faults
	# rows: each once. The lake and the dead letters may hold twice what the killed two had not acknowledged.
	books 2000
	echo "# a: $(pulled a), b: $(pulled b), joined at $left: $(pulled e)" >&3
	# Those who lived through all of it had the same chances; who joined later had them from then on.
	fair a $((($(pulled a) + $(pulled b)) / 2))
	fair b $((($(pulled a) + $(pulled b)) / 2))
	fair e $((left / 3))
}
