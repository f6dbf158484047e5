#!/usr/bin/env bats
# Google's own Pub/Sub emulator as the server of ps-push, ps-pull and dlq-push.

bats_require_minimum_version 1.5.0
load ../lib
load google

SUB=backend-events-topic-sub DLQ=backend-events-dlq-topic

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	google_emulator
	create backend-events-topic $SUB
	create $DLQ $DLQ-sub
	export PUBSUB_EMULATOR_HOST=127.0.0.1:$GOOGLE_PORT GOOGLE_CLOUD_PROJECT=test
}

teardown() {
	end_google
	end_all
}

@test "messages of every kind: published, pulled, dead-lettered, replayed, and byte for byte the same at the end" {
	{
		jq -nc '{msg: {id: "1", attributes: {a: "1", "é": "漢", "x/../y": "\r\n"}, ordering_key: "k"}, data: ("\u0000\r\nno json" | @base64)}'
		jq -nc '{msg: {id: "2", attributes: {only: "attributes"}}, data: ""}'
		jq -nc '{msg: {id: "3", attributes: ([range(98)] | map({key: "k\(.)", value: ("v" * 1024)}) | from_entries)}, data: "e30="}'
		jq -nc '{msg: {id: "4", attributes: {dlq_fake: "1"}}, data: "W10="}'
		printf '{"msg":{"id":"5"},"data":"%s"}\n' "$(head -c 9000000 /dev/urandom | base64 -w0)"
	} >raw
	head -n 4 raw | ps-push -q --input records backend-events-topic | jq -r .msg.id | sort | tr -d '\n' >ids
	[ "$(cat ids)" = 1234 ]
	ps-pull -q --max-messages 4 --ack-on-write $SUB >pulled
	same() { # FILE FILE
		diff <(jq -S -c '[.msg.attributes // {} | del(.dlq_replays), .data] ' "$1" | sort) \
			<(jq -S -c '[.msg.attributes // {} | del(.dlq_replays), .data]' "$2" | sort)
	}
	same <(head -n 4 raw) pulled
	# nothing of it is an event; the fifth, which is larger than a message through REST, comes from elsewhere
	{ cat pulled; tail -n 1 raw; } | ev-validate -q --rejects rejects >valid
	[ ! -s valid ] && [ "$(wc -l <rejects)" = 5 ]
	[ "$(dlq-push -q $DLQ <rejects | wc -l)" = 5 ]
	ps-pull -q --max-messages 6 --ack-on-write $DLQ-sub >dead
	[ "$(jq -r '.msg.attributes.dlq_parts // empty' dead | sort | uniq -c | tr -s ' ')" = ' 2 2' ]
	jq -e 'all(.; .msg.attributes.dlq_version == "1" and .msg.attributes.dlq_stage == "ev-validate")' dead >fine
	jq -e 'all(.msg.attributes | to_entries[]; (.key | utf8bytelength) <= 256 and (.value | utf8bytelength) <= 1024)' dead >fine
	jq -c 'select(.msg.attributes.dlq_parts == null)' dead | ps-push -q --replay backend-events-topic >receipts
	[ "$(wc -l <receipts)" = 4 ]
	ps-pull -q --max-messages 4 --ack-on-write $SUB >back
	same <(head -n 4 raw) back
	[ "$(jq -r .msg.attributes.dlq_replays back | sort -u)" = 1 ]
}

@test "a lease of 10 s is kept for longer, the receipt ends it, and a redelivery of what was receipted is acknowledged" {
	ps-push -q backend-events-topic <<<'{"a":1}'
	mkfifo acks
	in_background ps-pull --acks acks --lease 10 --max-messages 1 $SUB
	exec 8>acks
	wait_until '[ -s out ]' 20
	[ -z "$(ps-pull -q --idle-exit 14 $SUB)" ]
	jq -c '{msg: {id: .msg.id}}' out >&8
	exec 8>&-
	status_of "$PID" 20
	[ "$STATUS" = 0 ]
	[ -z "$(ps-pull -q --idle-exit 11 $SUB)" ]
}
