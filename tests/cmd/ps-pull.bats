#!/usr/bin/env bats
# ps-pull against gcp-emu: leases, receipts, redelivery, and how it ends.

bats_require_minimum_version 1.5.0
load ../lib

SUB=backend-events-topic-sub

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	mkfifo acks
}

teardown() {
	end_all
}

stats() { # MEMBER
	curl -sf "http://127.0.0.1:$EMU_PORT/emu/pubsub/projects/test/subscriptions/$SUB" | jq ".$1"
}

number_lines() { # N
	seq -f '{"n":%.0f}' "$1" | ps-push -q --input bare backend-events-topic
}

# A chain that receipts all it gets.
receipting() { # PS-PULL OPTION...
	ps-pull -q --acks acks "$@" $SUB | tee -a got | jq -c --unbuffered '{msg:{id:.msg.id}}' >acks
}

# Ends the one in the background as a chain does that has run dry: stopped first, then its receipts' writer (8) goes.
finish() {
	kill -TERM "$PID"
	wait_until 'grep -q "taking no more" err'
	exec 8>&-
	status_of "$PID" 10
}

@test "a raw record is as records(5) says" {
	start_emu
	curl -sf -X POST "http://127.0.0.1:$EMU_PORT/v1/projects/test/topics/backend-events-topic:publish" \
		-d '{"messages":[{"data":"AAEC/w==","attributes":{"k":"v \" \\ é"},"orderingKey":"o/1"}]}' >published
	ps-pull -q --max-messages 1 $SUB >got
	[ "$(jq -r .msg.id got)" = "$(jq -r '.messageIds[0]' published)" ]
	[ "$(jq -r .msg.source got)" = projects/test/subscriptions/$SUB ]
	[ "$(jq -r .data got)" = 'AAEC/w==' ]
	[ "$(jq -r .msg.attributes.k got)" = 'v " \ é' ]
	[ "$(jq -r .msg.ordering_key got)" = o/1 ]
	[ "$(jq -r .msg.attempt got)" = 1 ]
	jq -r .msg.time got | grep -Eq '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$'
	[ "$(head -c 13 got)" = '{"msg":{"id":' ]
}

@test "without --acks nothing is acknowledged, and the messages are given back" {
	start_emu
	number_lines 10
	ps-pull --max-messages 10 $SUB >got 2>err
	[ "$(wc -l <got)" = 10 ]
	grep -q 'nothing is acknowledged' err
	grep -q 'counts delivery attempts' err
	[ "$(backlog_of)" = 10 ]
	[ "$(stats outstanding)" = 0 ]
	ps-pull -q --max-messages 10 $SUB >again
	[ "$(wc -l <again)" = 10 ]
}

@test "--ack-on-write acknowledges what was written" {
	start_emu
	number_lines 10
	ps-pull -q --ack-on-write --idle-exit 1 $SUB >got
	[ "$(wc -l <got)" = 10 ]
	[ "$(backlog_of)" = 0 ]
}

@test "receipts acknowledge, each message is written once" {
	start_emu
	number_lines 5000
	receipting --idle-exit 1
	[ "$(jq -r .msg.id got | sort -u | wc -l)" = 5000 ]
	[ "$(wc -l <got)" = 5000 ]
	[ "$(backlog_of)" = 0 ]
}

@test "--max-messages is exact" {
	start_emu
	number_lines 3000
	receipting --max-messages 1234
	[ "$(wc -l <got)" = 1234 ]
	wait_until '[ "$(stats outstanding)" = 0 ]'
	[ "$(backlog_of)" = 1766 ]
}

@test "a receipt may have other escapes than ours, and a valid record is one" {
	start_emu
	number_lines 2
	in_background ps-pull --acks acks $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 2 ]'
	printf '{"msg":{"id":"\\u003%s"}}\n' "$(sed -n 1p out | jq -r .msg.id)" >&8
	jq -c '{msg, type: "order", table: "orders", time: "2025-02-08T13:09:00Z", event: {}}' <(sed -n 2p out) >&8
	finish
	[ "$STATUS" = 0 ] || { echo "status $STATUS"; cat err; false; }
	[ "$(backlog_of)" = 0 ]
}

@test "a rejected record wired to the receipts acknowledges nothing: 65" {
	start_emu
	number_lines 1
	in_background ps-pull --acks acks $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 1 ]'
	jq -c '. + {stage: "ev-validate", errors: []}' out >&8
	status_of "$PID" 10
	exec 8>&-
	[ "$STATUS" = 65 ]
	grep -q "for a receipt: it is a rejected record" err
	[ "$(backlog_of)" = 1 ]
}

@test "a lease is extended until the receipt comes" {
	start_emu --min-deadline 1
	number_lines 5
	in_background ps-pull --acks acks --lease 1 $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 5 ]'
	sleep 3
	[ "$(stats expired)" = 0 ]
	jq -c '{msg:{id:.msg.id}}' out >&8
	finish
	[ "$STATUS" = 0 ] || { echo "status $STATUS"; cat err; false; }
	[ "$(wc -l <out)" = 5 ]
	[ "$(backlog_of)" = 0 ]
}

@test "stopped for longer than a lease: redelivered messages are not written again, and the newest ack id counts" {
	start_emu --min-deadline 1
	number_lines 50
	in_background ps-pull --acks acks --lease 1 $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 50 ]'
	sleep 0.5
	kill -STOP "$PID"
	wait_until '[ "$(stats expired)" -ge 50 ]'
	kill -CONT "$PID"
	wait_until '[ "$(stats redelivered)" -ge 50 ]'
	jq -c '{msg:{id:.msg.id}}' out >&8
	finish
	[ "$STATUS" = 0 ] || { echo "status $STATUS"; cat err; false; }
	[ "$(wc -l <out)" = 50 ]
	[ "$(backlog_of)" = 0 ]
}

@test "past --max-lease a message without a receipt comes again" {
	start_emu --min-deadline 1
	number_lines 1
	in_background ps-pull --acks acks --lease 1 --max-lease 2 $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 2 ]' 15
	[ "$(jq -r .msg.id out | sort -u | wc -l)" = 1 ]
	grep -q 'gave up 1 messages' err
	exec 8>&-
	status_of "$PID" 15
}

@test "a window that is full stops the pulling, not the receipts" {
	start_emu
	number_lines 1000
	in_background ps-pull --acks acks --max-outstanding 100 $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 100 ]'
	sleep 0.5
	[ "$(wc -l <out)" = 100 ]
	n=0
	while [ "$n" -lt 1000 ]; do
		sed -n "$((n + 1)),\$p" out | jq -c '{msg:{id:.msg.id}}' >part || true
		n=$((n + $(wc -l <part)))
		cat part >&8
	done
	finish
	[ "$STATUS" = 0 ] || { echo "status $STATUS"; cat err; false; }
	[ "$(backlog_of)" = 0 ]
}

@test "what is receipted and not yet acknowledged is still in the window" {
	start_emu
	number_lines 300
	faults '{"path":"*:acknowledge","status":503}'
	in_background ps-pull --acks acks --max-outstanding 100 $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 100 ]'
	jq -c '{msg:{id:.msg.id}}' out >&8
	# tried again and again, and nothing is pulled meanwhile
	wait_until '[ "$(curl -s "http://127.0.0.1:$EMU_PORT/emu/faults" | jq ".rules[0].applied")" -ge 4 ]'
	[ "$(wc -l <out)" = 100 ]
	faults
	n=100
	while [ "$n" -lt 300 ]; do
		sed -n "$((n + 1)),\$p" out | jq -c '{msg:{id:.msg.id}}' >part || true
		n=$((n + $(wc -l <part)))
		cat part >&8
	done
	finish
	[ "$STATUS" = 0 ] || { echo "status $STATUS"; cat err; false; }
	[ "$(backlog_of)" = 0 ]
}

@test "receipts are read while standard output is full" {
	start_emu
	number_lines 30000
	mkfifo full
	OUT=full in_background ps-pull -q --acks acks $SUB
	exec 7<full
	exec 8>acks
	head -n 100 <&7 >first
	jq -c '{msg:{id:.msg.id}}' first >&8
	wait_until '[ "$(stats acked)" -ge 100 ]'
	exec 7<&- 8>&-
	status_of "$PID" 10
	[ "$STATUS" = 74 ]
}

@test "SIGTERM: takes no more, waits for the receipts, ends with 0" {
	start_emu
	number_lines 200
	in_background ps-pull --acks acks $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 200 ]'
	kill -TERM "$PID"
	wait_until 'grep -q "taking no more" err'
	sleep 1.5 # a pull under way is given a second, for its answer may be on the way
	number_lines 10
	jq -c '{msg:{id:.msg.id}}' out >&8
	exec 8>&-
	status_of "$PID" 10
	[ "$STATUS" = 0 ] || { echo "status $STATUS"; cat err; false; }
	[ "$(backlog_of)" = 10 ]
}

@test "SIGTERM, and the chain ends without all receipts: the rest is given back at once, 75" {
	start_emu
	number_lines 200
	in_background ps-pull --acks acks $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 200 ]'
	head -n 50 out | jq -c '{msg:{id:.msg.id}}' >&8
	kill -TERM "$PID"
	wait_until 'grep -q "taking no more" err'
	exec 8>&-
	status_of "$PID" 10
	[ "$STATUS" = 75 ] || { echo "status $STATUS"; cat err; false; }
	[ "$(backlog_of)" = 150 ]
	[ "$(stats outstanding)" = 0 ]
}

@test "a chain that dies while messages are pulled: 74, its receipts count, the rest is given back" {
	start_emu
	number_lines 200
	in_background ps-pull --acks acks $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 200 ]'
	head -n 50 out | jq -c '{msg:{id:.msg.id}}' >&8
	exec 8>&-
	status_of "$PID" 10
	[ "$STATUS" = 74 ]
	grep -q "closed by its writers" err
	[ "$(backlog_of)" = 150 ]
	[ "$(stats outstanding)" = 0 ]
}

@test "the end of the receipts is waited for, so that the last stage's output is not closed under it" {
	start_emu
	number_lines 1
	in_background ps-pull --acks acks --max-messages 1 $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 1 ]'
	jq -c '{msg:{id:.msg.id}}' out >&8
	wait_until '[ "$(backlog_of)" = 0 ]'
	kill -0 "$PID"
	exec 8>&-
	status_of "$PID" 3
	[ "$STATUS" = 0 ] || { echo "status $STATUS"; cat err; false; }
}

@test "a receipt that is none ends it with 65" {
	start_emu
	in_background ps-pull --acks acks $SUB
	exec 8>acks
	echo '{"no":"receipt"}' >&8
	status_of "$PID" 10
	exec 8>&-
	[ "$STATUS" = 65 ]
	grep -q "cannot take line 1 of 'acks' for a receipt" err
}

@test "transient failures of every call are tried again" {
	start_emu
	number_lines 500
	faults '{"status":503,"chance":0.3},{"status":429,"retry_after":1,"chance":0.05},{"reset":true,"chance":0.05}' ||
		faults '{"status":503,"chance":0.3}'
	receipting --idle-exit 3
	faults
	[ "$(jq -r .msg.id got | sort -u | wc -l)" = 500 ]
	[ "$(wc -l <got)" = 500 ]
	[ "$(backlog_of)" = 0 ]
}

@test "--idle-exit: a service that fails does not say that nothing is there: 75" {
	start_emu
	number_lines 3
	faults '{"path":"*:pull","status":503}'
	run -75 ps-pull -q --idle-exit 1 --retry-for 3 --ack-on-write $SUB
	[ "$(backlog_of)" = 3 ]
}

@test "--quiet-exit: ends though some have no receipt, and gives these back: 0; but 75 where the chain did not end by itself" {
	start_emu
	number_lines 10
	ps-pull -q --acks acks --quiet-exit 1 $SUB | jq -c --unbuffered 'select((.data | @base64d | fromjson | .n) > 5) | {msg:{id:.msg.id}}' >acks
	[ "${PIPESTATUS[*]}" = '0 0' ]
	[ "$(backlog_of)" = 5 ]
	[ "$(stats outstanding)" = 0 ]
	# a writer of receipts that stays, and says nothing
	exec 8<>acks
	run -75 ps-pull -q --acks acks --quiet-exit 1 --drain 1 $SUB
	exec 8>&-
	[ "$(backlog_of)" = 5 ]
	run -64 ps-pull --quiet-exit 1 $SUB
	run -64 ps-pull --acks acks --quiet-exit 1 --idle-exit 1 $SUB
}

@test "--ack-on-write: what a reader that left did not get is not acknowledged: 74" {
	start_emu
	seq -f "%.0f $(head -c 3000 /dev/zero | tr '\0' x)" 1000 | ps-push -q --input bare backend-events-topic
	ps-pull -q --ack-on-write $SUB 2>err | head -1 >/dev/null || [ "${PIPESTATUS[0]}" = 74 ]
	[ "$(backlog_of)" -gt 900 ]
}

@test "acknowledgements that are never answered: a second signal ends it with 75" {
	start_emu
	number_lines 3
	faults '{"path":"*:acknowledge","status":503}'
	exec 8<>acks
	OUT=got in_background ps-pull --acks acks --max-messages 3 $SUB 8>&-
	wait_until '[ "$(wc -l <got)" = 3 ]'
	jq -c '{msg:{id:.msg.id}}' got >&8
	kill -TERM "$PID"
	wait_until 'grep -q "taking no more" err'
	kill -TERM "$PID"
	status_of "$PID" 10
	exec 8>&-
	[ "$STATUS" = 75 ]
	[ "$(backlog_of)" = 3 ]
}

@test "a reader that stands still does not outlast a second signal" {
	start_emu
	seq -f "%.0f $(head -c 3000 /dev/zero | tr '\0' x)" 1000 | ps-push -q --input bare backend-events-topic
	mkfifo out.fifo
	exec 9<>out.fifo
	OUT=out.fifo in_background ps-pull $SUB 9>&-
	wait_until '[ "$(stats outstanding)" -gt 0 ]'
	kill -TERM "$PID"
	wait_until 'grep -q "got a signal" err'
	kill -TERM "$PID"
	status_of "$PID" 10
	exec 9>&-
	[ "$STATUS" = 0 ]
}

@test "a thousand ack ids, each refused alone, do not bring it down" {
	start_emu
	number_lines 1000
	faults '{"path":"*:acknowledge","status":400}'
	exec 8<>acks
	OUT=got in_background ps-pull --acks acks --pulls 1 $SUB 8>&-
	wait_until '[ "$(wc -l <got)" = 1000 ]'
	jq -c '{msg:{id:.msg.id}}' got >&8
	# halved down to single ids: 2000 requests less the batches they came in
	wait_until '[ "$(curl -sf "http://127.0.0.1:$EMU_PORT/emu/faults" | jq ".rules[0].applied")" -ge 1980 ]' 20
	faults
	finish
	# nothing was acknowledged, and it says so
	[ "$STATUS" = 75 ]
	[ "$(backlog_of)" = 1000 ]
}

@test "the emulator away at the start: given up after --retry-for with 75" {
	PUBSUB_EMULATOR_HOST=127.0.0.1:1 run ps-pull --project test --retry-for 1 $SUB
	[ "$status" = 75 ]
	[[ $output == *"ps-pull: cannot check"*"; gave up after"* ]]
}

@test "an unknown subscription is 69, and says what to do" {
	start_emu
	run ps-pull --acks acks no-such-sub
	[ "$status" = 69 ]
	[[ $output == *"cannot"*"projects/test/subscriptions/no-such-sub"*"create it"* ]]
}

@test "no FIFO for the receipts: 66; a plain file: 64; both before any call" {
	run env PUBSUB_EMULATOR_HOST=127.0.0.1:1 ps-pull --project test --acks nowhere $SUB
	[ "$status" = 66 ]
	touch plain
	run env PUBSUB_EMULATOR_HOST=127.0.0.1:1 ps-pull --project test --acks plain $SUB
	[ "$status" = 64 ]
}

@test "no credentials: 77" {
	unset GOOGLE_APPLICATION_CREDENTIALS GCE_METADATA_HOST
	export HOME=$PWD NO_GCE_CHECK=true
	run ps-pull --project test $SUB
	[ "$status" = 77 ]
	[[ $output == *"--access-token-file"* ]]
}

@test "a token that ends twice during one long call is read again twice; refused twice in a row it is 77" {
	start_emu
	number_lines 1
	echo token >token
	faults '{"path":"*:pull","status":401,"times":1},{"path":"*:pull","status":503,"times":1},{"path":"*:pull","status":401,"times":1}'
	ps-pull -q --access-token-file token --pulls 1 --max-messages 1 $SUB >got
	[ "$(wc -l <got)" = 1 ]
	faults '{"path":"*:pull","status":401}'
	run -77 ps-pull -q --access-token-file token --max-messages 1 $SUB
}

@test "the token goes to an emulator on this machine only, whatever its name begins with" {
	start_emu --auth
	ps-pull -q --access-token-file "$EMU_DIR/token" --check $SUB
	PUBSUB_EMULATOR_HOST=127.0.0.1.localhost:$EMU_PORT run -77 ps-pull -q --access-token-file "$EMU_DIR/token" --check $SUB
}

@test "--help names every option of the page" {
	ps-pull --help | grep -oE -- '--[a-z][a-z-]+' | sort -u >help
	sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESC/p' "$ROOT/man/ps-pull.1" | grep -oE 'Fl -[a-z-]+' | sed 's/Fl -/--/' | sort -u >page
	# the letters of "Fl vqhV" stand for these four
	printf '%s\n' --verbose --quiet --help --version | sort -u - page | diff help -
}

@test "ack ids that are all refused: one warning, not one each, and nothing counts as acknowledged" {
	start_emu
	number_lines 50
	faults '{"path":"*:acknowledge","status":400}'
	in_background ps-pull --acks acks --idle-exit 1 $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 50 ]'
	jq -c '{msg:{id:.msg.id}}' out >&8
	exec 8>&-
	status_of "$PID" 10
	[ "$(grep -c 'was refused' err)" = 1 ]
	[ "$(backlog_of)" = 50 ]
}

@test "stopped, and no receipt comes for --drain: the rest is given back, 75" {
	start_emu
	number_lines 20
	in_background ps-pull --acks acks --drain 1 $SUB
	exec 8>acks
	wait_until '[ "$(wc -l <out)" = 20 ]'
	kill -TERM "$PID"
	# the receipts' end never comes: 8 stays open
	status_of "$PID" 10
	exec 8>&-
	[ "$STATUS" = 75 ]
	grep -q 'waiting for 20 receipts' err
	grep -q 'given back 20' err
	[ "$(stats outstanding)" = 0 ]
	[ "$(backlog_of)" = 20 ]
}
