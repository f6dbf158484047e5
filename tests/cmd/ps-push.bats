#!/usr/bin/env bats
# ps-push against gcp-emu: bare lines, records, limits, and dead letters on their way back.

bats_require_minimum_version 1.5.0
load emu

setup_file() {
	up_for_file
	export PUBSUB_EMULATOR_HOST=$HOST GOOGLE_CLOUD_PROJECT=p
}

teardown_file() {
	down_for_file
}

make_topic() {
	curl -sSf -X PUT "http://$HOST/v1/projects/p/topics/$1" > curl.out
	curl -sSf -X PUT "http://$HOST/v1/projects/p/subscriptions/$1-sub" \
	    -d "{\"topic\":\"projects/p/topics/$1\",\"ackDeadlineSeconds\":600}" > curl.out
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	T=topic$BATS_TEST_NUMBER
	make_topic "$T"
}

teardown() {
	curl -sS -X DELETE "http://$HOST/emu/faults" > curl.out
}

faults() {
	curl -sSf -X PUT "http://$HOST/emu/faults" -d "{\"rules\":[$1]}" > curl.out
}

# pulled N [TOPIC]: its messages, one a line, until there are N of them (or for a while)
pulled() {
	local i
	: > messages
	for ((i = 0; i < 200 && $(wc -l < messages) < $1; i++)); do
		curl -sSf "http://$HOST/v1/projects/p/subscriptions/${2:-$T}-sub:pull" \
		    -d '{"maxMessages":1000,"returnImmediately":true}' |
		    jq -c '.receivedMessages // [] | .[].message' >> messages
	done
	[ "$(wc -l < messages)" = "$1" ]
}

# records: what pulled left in messages, as ps-pull writes them
records() {
	jq -c '{msg: ({id: .messageId, source: "projects/p/subscriptions/s", time: .publishTime} +
	    (if .attributes then {attributes} else {} end) + (if .orderingKey then {ordering_key: .orderingKey} else {} end)),
	    data: (.data // "")}' messages
}

# rejected ID [MSG-MEMBERS]: a rejected record; data on standard input
rejected() {
	printf '{"msg":{"id":"%s","source":"projects/p/subscriptions/s","time":"2025-02-08T13:09:00.5Z"%s},"data":"' "$1" "$2"
	base64 -w 0
	printf '","stage":"ev-validate","errors":[{"code":"bad_json","path":"","detail":""}]}\n'
}

run_to_files() {
	status=0
	"$BIN/ps-push" "$@" "$T" < in > out 2> err || status=$?
}

@test "bare lines are messages, byte for byte, and have no receipts" {
	printf '{"a":1}\n not json \r\nwith \377 and a \001\n{"a":1}\nthe last, without a newline' > in
	run_to_files
	[ "$status" = 0 ]
	[ ! -s out ]
	pulled 5
	jq -r .data messages | while read -r data; do
		base64 -d <<< "$data"
		echo
	done | sort | cmp - <({ cat in; echo; } | sort)
	grep -q 'in 5, done 5, rejected 0, in flight 0, messages 5, requests 1,' err
}

@test "empty lines are skipped, and said; with an attribute they are messages" {
	printf 'a\n\n\nb\n' > in
	run_to_files
	[ "$status" = 0 ]
	pulled 2
	grep -q 'skipped 2 empty lines' err
	run_to_files --attribute origin=test
	[ "$status" = 0 ]
	pulled 4
	[ "$(jq -c .attributes messages | uniq)" = '{"origin":"test"}' ]
}

@test "100,000 lines: each once" {
	seq 100000 > in
	run_to_files
	[ "$status" = 0 ]
	grep -q 'in 100000, done 100000, rejected 0, in flight 0, messages 100000, requests 1[0-9][0-9],' err
	[ "$(curl -sSf "http://$HOST/emu/pubsub/projects/p/subscriptions/$T-sub" | jq .backlog)" = 100000 ]
}

@test "--attribute: every message, in the place of its own; checked first" {
	echo '{"msg":{"id":"1","attributes":{"a":"old","b":"c"}},"data":"eA=="}' > in
	run_to_files --attribute a=new --attribute "d=x=y é"
	[ "$status" = 0 ]
	pulled 1
	[ "$(jq -cS .attributes messages)" = '{"a":"new","b":"c","d":"x=y é"}' ]
	for bad in novalue =x googclient=1 "k=$(printf 'x%.0s' {1..1025})" "$(printf 'x%.0s' {1..257})=v" $'k=\xff'; do
		run_to_files --attribute "$bad"
		[ "$status" = 64 ]
	done
}

@test "raw and rejected records: data, attributes and ordering key; a receipt each" {
	{
		echo '{"data":"eA==","msg":{"attributes":{"a":"b\u00e9"},"ordering_key":"k","id":"1"}}'
		echo y | rejected 2 ''
		echo '{"msg":{"id":"f:1","source":"gs://b/o@1"},"data":"eQ=="}'
		echo '{"msg":{},"data":"eg=="}'
	} > in
	run_to_files
	[ "$status" = 0 ]
	[ "$(cat out)" = "$(printf '%s\n' '{"msg":{"id":"1"}}' '{"msg":{"id":"2"}}' '{"msg":{"source":"gs://b/o@1"},"count":1}')" ]
	pulled 4
	[ "$(jq -c 'select(.orderingKey) | [.data, .attributes, .orderingKey]' messages)" = '["eA==",{"a":"bé"},"k"]' ]
	[ "$(jq -c 'select(.data == "eQo=") | .attributes' messages)" = null ]
}

@test "a message of many keys: order within each" {
	for i in {1..300}; do
		echo "{\"msg\":{\"id\":\"$i\",\"ordering_key\":\"k$((i % 7))\"},\"data\":\"$(printf '%04d' "$i" | base64)\"}"
	done > in
	local p='"path":"*:publish"'
	faults "{$p,\"status\":503,\"chance\":0.3,\"times\":10}"
	run_to_files --linger 0
	[ "$status" = 0 ]
	[ "$(wc -l < out)" = 300 ]
	[ "$(curl -sSf "http://$HOST/v1/projects/p/subscriptions/$T-sub" | jq -r .topic)" = "projects/p/topics/$T" ]
	pulled 300
	for k in {0..6}; do
		jq -r "select(.orderingKey == \"k$k\") | .data" messages | while read -r d; do base64 -d <<< "$d"; echo; done > got
		[ "$(wc -l < got)" -ge 42 ]
		sort got | cmp - got
	done
}

@test "a message that cannot be published is named, the rest goes on, and the end is 65" {
	{
		echo a
		head -c 8000000 /dev/zero | tr '\0' x
		echo
		echo b
		head -c 17000000 /dev/zero | tr '\0' x
		echo
		echo c
	} > in
	run_to_files
	[ "$status" = 65 ]
	pulled 3
	grep -q "^ps-push: cannot publish line 2 of 'standard input': with its data as base64 it is larger than" err
	grep -q "^ps-push: cannot publish line 4 of 'standard input': it is longer than" err
	grep -q 'in 5, done 3, rejected 2, in flight 0' err
	{
		echo '{"msg":{"id":"1"},"data":"eA=="}'
		echo '{"msg":{"id":"two"},"data":""}'
		echo '{"msg":{"id":"three","attributes":{"goog":""}},"data":"eA=="}'
		echo '{"msg":{"id":"four"},"data":"!"}'
		echo '{"msg":{"id":"5"},"data":"eA=="}'
	} > in
	run_to_files
	[ "$status" = 65 ]
	[ "$(cat out)" = "$(printf '{"msg":{"id":"1"}}\n{"msg":{"id":"5"}}')" ]
	grep -q "cannot publish message 'two': it has neither data nor attributes" err
	grep -q "cannot publish message 'three': an attribute's key begins with" err
	grep -q "cannot publish message 'four': its data are not base64" err
}

@test "what the service refuses alone, while others pass, is named, too" {
	printf 'a\nb\n' > in
	faults '{"path":"*:publish","status":400,"times":2}'
	run_to_files --in-flight 1
	[ "$status" = 65 ]
	pulled 1
	grep -q "cannot publish line 1 of 'standard input': .*HTTP 400" err
	faults '{"path":"*:publish","status":400}'
	run_to_files
	[ "$status" = 69 ]
}

@test "--input: what lines are" {
	echo '{"msg":{"id":"1"},"data":"eA=="}' > in
	run_to_files --input bare
	[ "$status" = 0 ]
	[ ! -s out ]
	pulled 1
	[ "$(jq -r '.data | @base64d' messages)" = "$(cat in)" ]
	echo '{"a":1}' >> in
	run_to_files
	[ "$status" = 65 ]
	grep -q "cannot use line 2 of 'standard input': it is a bare event" err
	tail -n 1 in > in2
	mv in2 in
	run_to_files --input records
	[ "$status" = 65 ]
	run_to_files --replay
	[ "$status" = 65 ]
	run_to_files --replay --input bare
	[ "$status" = 64 ]
	echo '{"msg":{"id":7},"data":"eA=="}' > in
	run_to_files
	[ "$status" = 65 ]
}

@test "--replay undoes all forms of a dead letter" {
	make_topic "dlq$BATS_TEST_NUMBER"
	head -c 7500000 /dev/urandom > big
	{
		printf 'plain \377' | rejected 1 ',"attributes":{"a":"b"},"ordering_key":"k"'
		echo second | rejected 2 ',"attributes":{"dlq_code":"theirs","a":"b"},"ordering_key":"k2"'
		rejected 3 ',"attributes":{"big":"yes"}' < big
		echo fourth | rejected 4 ',"attributes":{"dlq_replays":"8"}'
	} > dead
	"$BIN/dlq-push" "dlq$BATS_TEST_NUMBER" < dead > out 2> err
	pulled 5 "dlq$BATS_TEST_NUMBER"
	records > all
	tac all > in # the parts come in the wrong order
	run_to_files --replay
	cat err
	[ "$status" = 0 ]
	[ "$(sort out)" = "$(jq -c '{msg: {id: .msg.id}}' all | sort)" ]
	pulled 4
	[ "$(jq -cS '[.attributes, .orderingKey]' messages | sort)" = "$(printf '%s\n' '[{"a":"b","dlq_code":"theirs","dlq_replays":"1"},"k2"]' \
	    '[{"a":"b","dlq_replays":"1"},"k"]' '[{"big":"yes","dlq_replays":"1"},null]' '[{"dlq_replays":"9"},null]' | sort)" ]
	jq -rj 'select(.attributes.big) | .data' messages | base64 -d | cmp - big
	jq -rj 'select(.orderingKey == "k") | .data' messages | base64 -d | cmp - <(printf 'plain \377')
	jq -rj 'select(.orderingKey == "k2") | .data' messages | base64 -d | cmp - <(echo second)
	grep -q 'in 5, done 5, rejected 0' err
}

@test "--replay of Pub/Sub's own dead letters, and of what is none" {
	{
		echo '{"msg":{"id":"1","attributes":{"CloudPubSubDeadLetterSourceDeliveryCount":"5","CloudPubSubDeadLetterSourceSubscription":"s","a":"b"}},"data":"eA=="}'
		echo '{"msg":{"id":"2"},"data":"eQ=="}'
	} > in
	run_to_files --replay
	[ "$status" = 0 ]
	pulled 2
	[ "$(jq -cS '[.data, .attributes]' messages | sort)" = \
	    "$(printf '%s\n' '["eA==",{"a":"b","dlq_replays":"1"}]' '["eQ==",{"dlq_replays":"1"}]')" ]
}

@test "--replay: missing parts, too many replays, unknown forms: named, not receipted, 65" {
	v='"dlq_version":"1","dlq_format":"raw"'
	{
		echo "{\"msg\":{\"id\":\"10\",\"attributes\":{$v,\"dlq_message_id\":\"m\",\"dlq_part\":\"1\",\"dlq_parts\":\"2\"}},\"data\":\"eA==\"}"
		echo "{\"msg\":{\"id\":\"11\",\"attributes\":{$v,\"dlq_replays\":\"10\"}},\"data\":\"eA==\"}"
		echo '{"msg":{"id":"12","attributes":{"dlq_version":"2"}},"data":"eA=="}'
		echo '{"msg":{"id":"13","attributes":{"dlq_version":"1","dlq_format":"envelope"}},"data":"eA=="}'
		echo "{\"msg\":{\"id\":\"14\",\"attributes\":{$v,\"dlq_replays\":\"9\"}},\"data\":\"eA==\"}"
	} > in
	run_to_files --replay
	[ "$status" = 65 ]
	[ "$(cat out)" = '{"msg":{"id":"14"}}' ]
	pulled 1
	[ "$(jq -r .attributes.dlq_replays messages)" = 10 ]
	grep -q "cannot publish message '10': it is not whole: 1 of its 2 parts came" err
	grep -q "cannot publish message '11': it was replayed 10 times before; .*--max-replays" err
	grep -q "cannot publish message '12': its dlq_version is '2'" err
	grep -q "cannot publish message '13': its data are no dead-letter envelope" err
	grep -q 'in 5, done 1, rejected 4, in flight 0' err
	head -n 2 in | tail -n 1 > in2
	mv in2 in
	run_to_files --replay --max-replays 11
	[ "$status" = 0 ]
}

@test "--before leaves newer dead letters: no receipt, not refused, 0" {
	printf '{"msg":{"id":"%s"%s},"data":"eA=="}\n' 1 ',"time":"2025-02-08T13:09:00.499Z"' 2 ',"time":"2025-02-08T13:09:00.5Z"' 3 '' \
		4 ',"time":"2025-02-08T13:10:00Z"' >in
	run_to_files --replay --before 2025-02-08T13:09:00.500000Z
	[ "$status" = 0 ]
	[ "$(sort out)" = "$(printf '{"msg":{"id":"%s"}}\n' 1 3)" ]
	pulled 2
	grep -q 'left 2 dead letters of 2025-02-08T13:09:00.500000Z or later' err
	grep -q 'in 2, done 2, rejected 0' err
	run_to_files --before 2025-02-08T13:09:00Z
	[ "$status" = 64 ]
	run_to_files --replay --before yesterday
	[ "$status" = 64 ]
}

@test "a torn last record is 65, a torn bare line a message" {
	printf '{"msg":{"id":"1"},"data":"eA=="}\n{"msg":{"id":"2"},"data":"eA=="}' > in
	run_to_files
	[ "$status" = 65 ]
	[ "$(cat out)" = '{"msg":{"id":"1"}}' ]
	grep -q 'line 2 of .standard input.: it is torn' err
}

@test "busy, cut off, garbled: all is published in the end" {
	seq 5000 > in
	local p='"path":"*:publish"'
	faults "{$p,\"status\":503,\"times\":2},{$p,\"status\":429,\"retry_after\":0,\"times\":1},{$p,\"reset\":true,\"times\":1},
	    {$p,\"garbage\":true,\"times\":1}"
	run_to_files
	[ "$status" = 0 ]
	grep -q 'in 5000, done 5000' err
}

@test "the start check and names" {
	run -69 --separate-stderr "$BIN/ps-push" --check no-such-topic
	run -69 --separate-stderr "$BIN/ps-push" no-such-topic < /dev/null
	run -0 --separate-stderr "$BIN/ps-push" --check "$T"
	run -64 --separate-stderr "$BIN/ps-push"
	run -64 --separate-stderr "$BIN/ps-push" a b
	run -75 --separate-stderr env PUBSUB_EMULATOR_HOST=127.0.0.1:1 "$BIN/ps-push" --retry-for 0.2 "$T"
	run -77 --separate-stderr env -u PUBSUB_EMULATOR_HOST "$BIN/ps-push" "$T"
	run -0 --separate-stderr "$BIN/ps-push" "$T" < /dev/null
}
