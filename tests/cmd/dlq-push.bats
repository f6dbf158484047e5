#!/usr/bin/env bats
# dlq-push against gcp-emu: the dead-letter message in all its forms, receipts, faults.

bats_require_minimum_version 1.5.0
load emu

setup_file() {
	up_for_file
	export PUBSUB_EMULATOR_HOST=$HOST GOOGLE_CLOUD_PROJECT=p
}

teardown_file() {
	down_for_file
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	T=topic$BATS_TEST_NUMBER
	curl -sSf -X PUT "http://$HOST/v1/projects/p/topics/$T" > curl.out
	curl -sSf -X PUT "http://$HOST/v1/projects/p/subscriptions/$T-sub" \
	    -d "{\"topic\":\"projects/p/topics/$T\",\"ackDeadlineSeconds\":600}" > curl.out
}

teardown() {
	curl -sS -X DELETE "http://$HOST/emu/faults" > curl.out
	[ -z "$PID" ] || kill -9 "$PID" 2> /dev/null || true
}

faults() {
	curl -sSf -X PUT "http://$HOST/emu/faults" -d "{\"rules\":[$1]}" > curl.out
}

# pulled N: the messages of the topic, one a line, until there are N of them (or for a while)
pulled() {
	local i
	: > messages
	for ((i = 0; i < 200 && $(wc -l < messages) < $1; i++)); do
		curl -sSf "http://$HOST/v1/projects/p/subscriptions/$T-sub:pull" -d '{"maxMessages":1000,"returnImmediately":true}' |
		    jq -c '.receivedMessages // [] | .[].message' >> messages
	done
	[ "$(wc -l < messages)" = "$1" ]
}

# rejected ID DATA [MSG-MEMBERS]: a rejected record; DATA on standard input
rejected() {
	printf '{"msg":{"id":"%s","source":"projects/p/subscriptions/s","time":"2025-02-08T13:09:00.5Z"%s},"data":"' "$1" "$2"
	base64 -w 0
	printf '","stage":"ev-validate","errors":[{"code":"not_in_enum","path":"/status","detail":"one of \\"a\\", found \\"é\\""},'
	printf '{"code":"unknown_field","path":"/zz","detail":""}]}\n'
}

run_to_files() {
	status=0
	"$BIN/dlq-push" "$T" < in > out 2> err || status=$?
}

@test "a rejected record becomes a message with the original bytes, its attributes and the faults; and a receipt" {
	printf 'not \377 text\n' > bytes
	rejected 17 ',"attributes":{"origin":"web \u00e9","empty":""},"ordering_key":"c-1"' < bytes > in
	run_to_files
	[ "$status" = 0 ]
	[ "$(cat out)" = '{"msg":{"id":"17"}}' ]
	pulled 1
	jq -rj '.data' messages | base64 -d | cmp - bytes
	[ "$(jq -r '.orderingKey' messages)" = c-1 ]
	jq -S '.attributes | del(.dlq_time)' messages > got
	jq -Sn '{origin: "web é", empty: "", dlq_version: "1", dlq_stage: "ev-validate", dlq_code: "not_in_enum",
	    dlq_path: "/status", dlq_detail: "one of \"a\", found \"é\"", dlq_source: "projects/p/subscriptions/s",
	    dlq_message_id: "17", dlq_publish_time: "2025-02-08T13:09:00.5Z", dlq_replays: "0", dlq_format: "raw",
	    dlq_errors: "[{\"code\":\"not_in_enum\",\"path\":\"/status\",\"detail\":\"one of \\\"a\\\", found \\\"é\\\"\"},{\"code\":\"unknown_field\",\"path\":\"/zz\",\"detail\":\"\"}]"}' > want
	diff want got
	[[ $(jq -r .attributes.dlq_time messages) =~ ^20[0-9-]{8}T[0-9:]{8}(\.[0-9]+)?Z$ ]]
}

@test "thousands of them, in order, in few requests" {
	for i in {1..2500}; do
		echo "{\"msg\":{\"id\":\"$i\"},\"data\":\"eA==\",\"stage\":\"ev-validate\",\"errors\":[{\"code\":\"bad_json\"}]}"
	done > in
	run_to_files
	[ "$status" = 0 ]
	for i in {1..2500}; do echo "{\"msg\":{\"id\":\"$i\"}}"; done | cmp - out
	pulled 2500
	[ "$(jq -r .attributes.dlq_message_id messages | sort -n | uniq | wc -l)" = 2500 ]
	grep -q 'in 2500, done 2500, rejected 0, in flight 0, messages 2500, requests [3-9],' err
}

@test "records of files are receipted by count; what has no id by nothing" {
	for i in 1 2 3; do
		echo "{\"msg\":{\"id\":\"gs://b/o@1:$i\",\"source\":\"gs://b/o@1\"},\"data\":\"\",\"stage\":\"x\",\"errors\":[]}"
	done > in
	echo '{"msg":{},"data":"","stage":"x","errors":[]}' >> in
	run_to_files
	[ "$status" = 0 ]
	[ "$(cat out)" = '{"msg":{"source":"gs://b/o@1"},"count":3,"rejected":true}' ]
	pulled 4
}

@test "original attributes that cannot stand beside ours travel in an envelope" {
	echo data | rejected 1 ',"attributes":{"dlq_code":"theirs","a":"b"},"ordering_key":"k"' > in
	echo data | rejected 2 ',"attributes":{"googclient":"x"}' >> in
	echo data | rejected 3 ",\"attributes\":{$(for i in {1..87}; do printf '"k%d":"",' "$i"; done)\"z\":\"\"}" >> in
	echo data | rejected 4 ",\"attributes\":{\"k\":\"$(printf 'é%.0s' {1..513})\"}" >> in
	run_to_files
	[ "$status" = 0 ]
	pulled 4
	[ "$(jq -r '.attributes.dlq_format' messages | uniq)" = envelope ]
	[ "$(jq -c '.attributes | [.a, .dlq_code]' messages | uniq)" = '[null,"not_in_enum"]' ]
	jq -c '.data | @base64d | fromjson' messages > inside
	[ "$(jq -c '[.dlq_envelope, (.data | @base64d), (.attributes | length), .ordering_key]' inside | sort)" = \
	    "$(printf '%s\n' '[1,"data\n",1,null]' '[1,"data\n",1,null]' '[1,"data\n",2,"k"]' '[1,"data\n",88,null]')" ]
}

@test "dlq_replays goes on counting" {
	echo x | rejected 1 ',"attributes":{"dlq_replays":"4"}' > in
	run_to_files
	pulled 1
	[ "$(jq -c '.attributes | [.dlq_replays, .dlq_format]' messages)" = '["4","raw"]' ]
}

@test "data over 7 MB go in parts; one receipt, after the last" {
	head -c 10000000 /dev/urandom > bytes
	rejected 1 ',"attributes":{"a":"b"}' < bytes > in
	run_to_files
	cat err
	[ "$status" = 0 ]
	[ "$(cat out)" = '{"msg":{"id":"1"}}' ]
	pulled 2
	[ "$(jq -c '.attributes | [.a, .dlq_part, .dlq_parts]' messages | sort)" = \
	    "$(printf '%s\n' '["b","1","2"]' '["b","2","2"]')" ]
	jq -sr 'sort_by(.attributes.dlq_part | tonumber) | .[].data' messages | while read -r part; do
		base64 -d <<< "$part"
	done | cmp - bytes
}

@test "long texts are cut on a character boundary, the list of faults stays JSON" {
	awk 'BEGIN {
		for (i = 0; i < 500; i++) p = p "/\342\202\254"
		printf "{\"msg\":{\"id\":\"1\"},\"data\":\"\",\"stage\":\"x\",\"errors\":["
		for (i = 0; i < 32; i++) printf "%s{\"code\":\"unknown_field\",\"path\":\"%s\",\"detail\":\"\"}", i ? "," : "", p
		print "]}"
	}' > in
	run_to_files
	[ "$status" = 0 ]
	pulled 1
	[ "$(jq -r '.attributes.dlq_path | utf8bytelength' messages)" = 1024 ]
	[ "$(jq -r '.attributes.dlq_errors | utf8bytelength <= 1024' messages)" = true ]
	[ "$(jq -c '.attributes.dlq_errors | fromjson | .[-1]' messages)" = '{"more":31}' ]
}

@test "busy, cut off, garbled, lost: every record is published and receipted once" {
	for i in {1..50}; do echo x | rejected "$i" ''; done > in
	local p='"path":"*:publish"'
	faults "{$p,\"status\":503,\"times\":2},{$p,\"status\":409,\"reason\":\"ABORTED\",\"times\":1},{$p,\"reset\":true,\"times\":1},
	    {$p,\"garbage\":true,\"times\":1},{$p,\"truncate\":5,\"times\":1}"
	run_to_files
	cat err
	[ "$status" = 0 ]
	for i in {1..50}; do echo "{\"msg\":{\"id\":\"$i\"}}"; done | cmp - out
}

@test "a dead letter that is refused stops it with 69: nothing is lost, nothing receipted" {
	echo x | rejected 1 '' > in
	faults '{"path":"*:publish","status":400}'
	run_to_files
	[ "$status" = 69 ]
	[ ! -s out ]
}

@test "400 for many halves the request" {
	for i in {1..8}; do echo x | rejected "$i" ''; done > in
	faults '{"path":"*:publish","status":400,"times":2}'
	run_to_files
	[ "$status" = 0 ]
	[ "$(wc -l < out)" = 8 ]
	pulled 8
}

@test "the start check, names and input" {
	run -69 --separate-stderr "$BIN/dlq-push" --check no-such-topic
	[[ $stderr == *"'projects/p/topics/no-such-topic'"*"create it"* ]]
	run -0 --separate-stderr "$BIN/dlq-push" --check "$T"
	[ -z "$output" ]
	run -64 --separate-stderr "$BIN/dlq-push"
	run -64 --separate-stderr env -u GOOGLE_CLOUD_PROJECT "$BIN/dlq-push" "$T"
	run -64 --separate-stderr "$BIN/dlq-push" goog-topic
	run -0 --separate-stderr env -u GOOGLE_CLOUD_PROJECT "$BIN/dlq-push" --check "projects/p/topics/$T"
	for bad in '{"a":1}' '{"msg":{"id":"1"},"data":""}' '{"msg":{"id":"1"},"data":"!","stage":"x","errors":[]}' \
	    '{"msg":{"id":"1"},"data":"","stage":"x","errors":{}}' 'x' \
	    '{"msg":{"id":"1","attributes":{"a":1}},"data":"","stage":"x","errors":[]}'; do
		echo "$bad" > in
		run_to_files
		[ "$status" = 65 ]
		grep -q "^dlq-push: cannot use line 1 of 'standard input': " err
	done
	{
		echo x | rejected 1 ''
		echo x | rejected 2 ''
	} | head -c -1 > in
	run_to_files
	[ "$status" = 65 ]
	[ "$(cat out)" = '{"msg":{"id":"1"}}' ]
}

@test "a reader that left ends it with 74, with nothing to write" {
	mkfifo pipe receipts
	"$BIN/dlq-push" "$T" < pipe > receipts 2> err 3>&- 7>&- 8<&- &
	PID=$!
	exec 7> pipe 8< receipts
	exec 8<&-
	status=0
	wait "$PID" || status=$?
	PID=
	exec 7>&-
	[ "$status" = 74 ]
}
