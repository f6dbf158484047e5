#!/usr/bin/env bats
# Every way in which a service can go wrong, in every call that the chain makes: a stream runs through it, the books balance, and
# the number of requests says that nobody hammered.
#
# A group of faults is tried on each call in turn: its first request meets the first fault, the next one (the same, tried again)
# the second, and so on, until every fault of the group has struck every call.

load ../lib
load flow

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	short_leases 1
	make_events 2496
	# a tenth of them, of every kind
	awk 'NR % 10 == 0' judged >some
	cut -f2- some >events
	sed -n 's/^ok\t//p' some | sort >events.ok
	sed -n '/^ok\t/!s/^[^\t]*\t//p' some | sort >events.bad
	publish events
}

teardown() {
	[ -z "${STREAM_PID:-}" ] || kill -KILL "$STREAM_PID" 2>/dev/null || true
	end_all
}

# NAME METHOD PATH: the calls of a stream, as /emu/faults matches them
CALLS='
pull			POST	*:pull
acknowledge		POST	*:acknowledge
modifyAckDeadline	POST	*:modifyAckDeadline
publish			POST	*:publish
insertAll		POST	*/insertAll
tables.get		GET	*/tables/*
upload			POST	/upload/*
subscription.test	POST	*/subscriptions/*:testIamPermissions
topic.test		POST	*/topics/*:testIamPermissions
table.test		POST	*/tables/*:testIamPermissions
bucket.test		GET	*/testPermissions'

# rules FAULT...: each fault (members of a rule) on each call, once, one after the other
rules() {
	local name method path fault list=
	while read -r name method path; do
		for fault in "$@"; do
			list+=",{\"name\":\"$name\",\"method\":\"$method\",\"path\":\"$path\",\"times\":1,$fault}"
		done
	done < <(sed '/^$/d' <<<"$CALLS")
	faults "${list#,}"
}

# Every rule has struck as often as it was asked to; how often that is together is in STRUCK.
all_struck() {
	curl -sSf "http://127.0.0.1:$EMU_PORT/emu/faults" >faults.json
	jq -c '.rules[] | select(.times and .applied != .times)' faults.json >idle
	[ ! -s idle ] || { echo 'did not strike:'; cat idle; return 1; }
	STRUCK=$(jq '[.rules[].applied] | add' faults.json)
}

# through [OPTION...]: a stream that ends well, in so few requests that nobody can have looped: an
# undisturbed stream of this size takes about 60.
through() {
	local requests
	curl -sSf -X DELETE "http://127.0.0.1:$EMU_PORT/emu/requests" >/dev/null
	start_stream -v --idle-exit 1.5 --lease 1 --rotate-seconds 1 --max-outstanding 60 "$@"
	wait_stream 60
	[ "$STREAM_STATUS" = 0 ] || { grep -v 'trying again' stream.err | tail -n 30; false; }
	all_struck
	requests=$(curl -sSf "http://127.0.0.1:$EMU_PORT/emu/requests" | jq .total)
	echo "# $STRUCK faults, $requests requests" >&3
	[ "$requests" -le $((100 + 2 * STRUCK)) ]
	faults
}

# The seconds that each try again was put off by.
waits() {
	sed -n 's/.*trying again in \([0-9.]*\) s.*/\1/p' stream.err
}

@test "refused and tried again: 503, 504, 408, 403 for the rate, an HTML page; then a reply that stalls; every call" {
	rules '"status":503' '"status":504' '"status":408' '"status":403,"reason":"rateLimitExceeded"' \
		'"status":500,"body":"<html>oops</html>"' '"stall":0.2'
	through
	books 0
	# a try again for each of the five, after at most 0.1 s, doubled for each failure in a row
	[ "$(waits | wc -l)" = $((STRUCK * 5 / 6)) ]
	[ "$(waits | sort -n | tail -n 1 | cut -d. -f1)" -le 1 ]
}

@test "Retry-After is obeyed in every call, and a date of long ago is now; then the work begins late" {
	rules '"status":429,"retry_after":1' '"status":503,"retry_after":"Thu, 01 Jan 1970 00:00:00 GMT"' '"delay":0.2'
	through
	books 0
	[ "$(waits | awk '$1 >= 1' | wc -l)" = $((STRUCK / 3)) ]
}

@test "connections that break before the work, after it, in the reply; then one that stalls in the body; every call" {
	rules '"reset":true' '"lose":true' '"truncate":0' '"truncate":1' '"length":7' '"stall":0.2,"stall_at":"body"'
	# a lost reply to a publish is a dead letter twice
	through
	books 250
}

@test "replies that lie: noise, a Content-Length too small; and requests taken slowly; every call" {
	rules '"garbage":true' '"length":-1' '"slow":20000'
	through
	books 250
}

@test "start checks: a garbled reply is asked for again" {
	faults '{"path":"*:testIamPermissions","times":1,"garbage":true},{"path":"*/testPermissions","times":1,"length":-1},
		{"method":"GET","path":"*/tables/*","times":2,"garbage":true}'
	bq-insert --project test --check test:ecommerce_events
	gcs-put --project test --check gs://test-events-output/x
	all_struck
}

@test "insertErrors: every reason but invalid brings the rows again, invalid dead-letters them; 413 halves a batch" {
	faults "$(printf '{"row":"%s","times":2},' backendError internalError timeout stopped rateLimitExceeded somethingNew)
		{\"row\":\"quotaExceeded\",\"times\":1},{\"row\":\"invalid\",\"table\":\"orders\",\"after\":5,\"times\":2},
		{\"path\":\"*/insertAll\",\"times\":2,\"status\":413}"
	start_stream --idle-exit 1.5 --rotate-seconds 1
	wait_stream 60
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	all_struck
	faults
	lake >got.lake
	dead_letters >got.dead
	[ "$(wc -l <got.dead)" = $(($(wc -l <events.bad) + 2)) ]
	[ "$(rows | wc -l)" = "$(wc -l <got.lake)" ]
	sort got.lake got.dead | cmp - <(sort events)
}

@test "a token that is refused once: fetched again, in every call" {
	stop_emu
	start_emu --min-deadline 1 --auth
	rules '"status":401'
	through --access-token-file "$EMU_DIR/token"
	stop_emu
	start_emu
	books 0
}

@test "leases: extensions and acknowledgements that were answered and not done" {
	faults '{"name":"m","path":"*:modifyAckDeadline","ignore":true},{"name":"a","path":"*:acknowledge","times":2,"ignore":true}'
	start_stream --idle-exit 2.5 --lease 1 --rotate-seconds 3 --max-outstanding 60
	wait_stream 60
	[ "$STREAM_STATUS" = 0 ] || { cat stream.err; false; }
	all_struck
	[ "$(jq '.rules[0].applied' faults.json)" -ge 1 ]
	# delivered again, and not stored again: the window knows its own
	[ "$(curl -sf "http://127.0.0.1:$EMU_PORT/emu/pubsub/projects/test/subscriptions/$SUB" | jq .redelivered)" -ge 1 ]
	faults
	books 0
}

@test "a resumable upload: every fault at its start and in its chunks" {
	local fault list='{"method":"PUT","path":"/upload/*","after":1,"times":1,"status":410},{"method":"PUT","path":"/upload/*","after":3,"times":1,"status":404}'
	for fault in '"status":503' '"reset":true' '"lose":true' '"truncate":0' '"garbage":true' '"stall":0.2' '"slow":8000000'; do
		list+=",{\"method\":\"POST\",\"path\":\"/upload/*\",\"times\":1,$fault},{\"method\":\"PUT\",\"path\":\"/upload/*\",\"times\":1,$fault}"
	done
	head -c 20000000 /dev/urandom | base64 -w 30000 | head -n 600 |
		awk '{ printf "{\"msg\":{\"id\":\"%d\",\"source\":\"projects/p/subscriptions/s\",\"time\":\"2025-02-08T13:09:00Z\"},\"type\":\"order\",\"table\":\"orders\",\"time\":\"2025-02-08T13:09:00Z\",\"event\":{\"a\":\"%s\"}}\n", NR, $0 }' >valid
	faults "$list"
	timeout 60 gcs-put --project test -v gs://test-events-output/big <valid >receipts 2>err || { cat err; false; }
	all_struck
	[ "$(wc -l <receipts)" = 600 ]
	jq -c .event valid | sort | cmp - <(lake)
	[ "$(objects)" = 1 ]
}

# What a backfill from a bucket calls.
BACKFILL_CALLS='
list			GET	/storage/v1/b/test-history/o
media			GET	*/b/test-history/o/*
upload			POST	/upload/*
dataset			GET	*/datasets/ecommerce_events
jobs.insert		POST	*/jobs
jobs.get		GET	*/jobs/*
publish			POST	*:publish'

# backfill_through: the events as objects of a bucket, then a backfill that ends well with every fault on its way.
backfill_through() {
	local file run
	curl -sSf -X POST "http://127.0.0.1:$EMU_PORT/storage/v1/b?project=test" -d '{"name":"test-history"}' -o made
	split -n l/8 -a 1 events part.
	for file in part.?; do
		curl -sSf --data-binary "@$file" "http://127.0.0.1:$EMU_PORT/upload/storage/v1/b/test-history/o?uploadType=media&name=$file" -o made
	done
	CALLS=$BACKFILL_CALLS rules "$@"
	curl -sSf -X DELETE "http://127.0.0.1:$EMU_PORT/emu/requests" >/dev/null
	# A file whose bytes are not what its listing said is left to the next run (75).
	for run in 1 2 3; do
		STATUS=0
		timeout 100 "$ROOT/scripts/backfill" --project test --journal "$PWD/journal" --linger 0.2 --from 'gs://test-history/*' 2>err 3>&- || STATUS=$?
		[ "$STATUS" = 75 ] || break
	done
	[ "$STATUS" = 0 ] || { tail -n 30 err; false; }
	all_struck
	echo "# $STRUCK faults, $(curl -sSf "http://127.0.0.1:$EMU_PORT/emu/requests" | tee requests.json | jq .total) requests" >&3
	[ "$(jq .total requests.json)" -le $((150 + 2 * STRUCK)) ]
	faults
	grep -q 'it adds up' err
	BACKLOG=0 books 250
	# only a dead letter may be there twice
	cmp want.lake got.lake
}

@test "backfill: refusals, Retry-After, broken connections, in every call" {
	backfill_through '"status":503' '"status":429,"retry_after":1' '"status":500,"body":"<html>oops</html>"' '"reset":true' '"lose":true' '"stall":0.2'
}

@test "backfill: replies that are cut, stall, or lie, in every call" {
	backfill_through '"truncate":0' '"truncate":3' '"length":7' '"garbage":true' '"length":-1' '"stall":0.2,"stall_at":"body"'
}
