#!/usr/bin/env bats
# gcp-emu's Pub/Sub, its faults and its own doors, through curl alone.

load emu

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	P=/v1/projects/p1
	T=projects/p1/topics/events
	S=$P/subscriptions/sub1
}

teardown() {
	down
}

# refused CODE WORD: the last reply was this error
refused() {
	[ "$status" = "$1" ] && [ "$(jq -r .error.code body)" = "$1" ] && [ "$(jq -r .error.status body)" = "$2" ]
}

# topic and subscription; what is given goes into the subscription
make_sub() {
	call PUT "/v1/$T" '{}'
	[ "$status" = 200 ]
	call PUT "$S" "$(jq -nc --arg t "$T" '{topic: $t} + $ARGS.named.o' --argjson o "${1:-{\}}")"
	[ "$status" = 200 ] || { cat body; return 1; }
}

publish() { # MESSAGES
	call POST "/v1/$T:publish" "{\"messages\":[$1]}"
}

pull() { # MAX [SUBSCRIPTION]: at once
	call POST "${2:-$S}:pull" "{\"maxMessages\":$1,\"returnImmediately\":true}"
	[ "$status" = 200 ] || { cat body; return 1; }
}

acks() { # the ack ids of the last pull, as a JSON array
	jq -c '[.receivedMessages[]?.ackId]' body
}

ack() { # ARRAY
	call POST "$S:acknowledge" "{\"ackIds\":$1}"
}

modack() { # ARRAY SECONDS
	call POST "$S:modifyAckDeadline" "{\"ackIds\":$1,\"ackDeadlineSeconds\":$2}"
}

stat() { # FIELD
	curl -s "$URL/emu/pubsub/projects/p1/subscriptions/sub1" | jq -r ".$1"
}

# until N SECONDS COMMAND...: retries until it is true, at most so long
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

has_message() { pull 1 && [ "$(jq '.receivedMessages | length' body)" = 1 ]; }
backlog_is() { [ "$(stat backlog)" = "$1" ]; }
outstanding_is() { [ "$(stat outstanding)" = "$1" ]; }

@test "it says where it listens, answers GET / and ends with 0 on SIGTERM" {
	up
	call GET /
	[ "$status" = 200 ]
	[ "$body" = Ok ]
	kill -TERM "$EMU"
	wait "$EMU"
	[ "$(wc -l <hello)" = 1 ]
}

@test "--help and --version go to standard output; nonsense is 64" {
	gcp-emu --help | grep -q -- --min-deadline
	gcp-emu --version | grep -q '^gcp-emu (evpipe) '
	run gcp-emu --frobnicate
	[ "$status" = 64 ]
	run gcp-emu
	[ "$status" = 64 ]
	[[ $output == *--dir* ]]
}

@test "a second one over the same folder is refused, and says what to do" {
	up
	run gcp-emu --port 0 --dir data
	[ "$status" = 78 ]
	[[ $output == *"another gcp-emu"*"--dir"* ]]
}

@test "topics: create, get, list in pages, patch, delete" {
	up
	call PUT "/v1/$T" '{"labels":{"a":"b"},"tags":{},"somethingNew":1}'
	[ "$status" = 200 ]
	[ "$(jq -r .name body)" = "$T" ]
	[ "$(jq -r .labels.a body)" = b ]
	call PUT "/v1/$T" '{}'
	refused 409 ALREADY_EXISTS
	call PUT "$P/topics/ab" '{}'
	refused 400 INVALID_ARGUMENT
	call PUT "$P/topics/1abc" '{}'
	refused 400 INVALID_ARGUMENT
	call PUT "$P/topics/googabc" '{}'
	refused 400 INVALID_ARGUMENT
	call PUT "$P/topics/a$(printf 'x%.0s' $(seq 255))" '{}'
	refused 400 INVALID_ARGUMENT
	call PUT "$P/topics/a$(printf 'x%.0s' $(seq 254))" '{}'
	[ "$status" = 200 ]
	call DELETE "$P/topics/a$(printf 'x%.0s' $(seq 254))"
	[ "$status" = 200 ]
	call PUT "$P/topics/second" '{}'
	call PUT "$P/topics/third" '{}'
	call GET "$P/topics?pageSize=2&alt=json"
	[ "$(jq -r '.topics[].name' body | xargs -n1 basename | xargs)" = "events second" ]
	call GET "$P/topics?pageSize=2&pageToken=$(jq -r .nextPageToken body)"
	[ "$(jq -r '.topics[].name' body | xargs -n1 basename)" = third ]
	[ "$(jq -r .nextPageToken body)" = null ]
	call PATCH "/v1/$T" '{"topic":{"labels":{"c":"d"}},"updateMask":"labels"}'
	[ "$(jq -c .labels body)" = '{"c":"d"}' ]
	call DELETE "/v1/$T"
	[ "$status" = 200 ]
	[ "$body" = '{}' ]
	call GET "/v1/$T"
	refused 404 NOT_FOUND
	call PUT "$P/topics/withSchema" '{"schemaSettings":{"schema":"projects/p1/schemas/x"}}'
	refused 501 UNIMPLEMENTED
}

@test "subscriptions: defaults, limits, patch, deleted topic, what is not emulated" {
	up
	make_sub
	call GET "$S"
	[ "$(jq -r .ackDeadlineSeconds body)" = 10 ]
	[ "$(jq -c .pushConfig body)" = '{}' ]
	[ "$(jq -r .messageRetentionDuration body)" = 604800s ]
	[ "$(jq 'has("deadLetterPolicy")' body)" = false ]
	call PUT "$S" "{\"topic\":\"$T\"}"
	refused 409 ALREADY_EXISTS
	call PUT "$P/subscriptions/other" '{"topic":"projects/p1/topics/none"}'
	refused 404 NOT_FOUND
	call PUT "$P/subscriptions/other" '{}'
	refused 400 INVALID_ARGUMENT
	for bad in '"ackDeadlineSeconds":9' '"ackDeadlineSeconds":601' '"messageRetentionDuration":"599s"' \
		'"retryPolicy":{"minimumBackoff":"700s"}' '"messageRetentionDuration":"soon"'; do
		call PUT "$P/subscriptions/other" "{\"topic\":\"$T\",$bad}"
		refused 400 INVALID_ARGUMENT
	done
	for bad in '"filter":"attributes:a"' '"pushConfig":{"pushEndpoint":"http://x/"}' '"enableExactlyOnceDelivery":true' \
		'"bigqueryConfig":{"table":"a.b.c"}'; do
		call PUT "$P/subscriptions/other" "{\"topic\":\"$T\",$bad}"
		refused 501 UNIMPLEMENTED
	done
	call PATCH "$S" '{"subscription":{"ackDeadlineSeconds":"60","labels":{"x":"y"}},"updateMask":"ack_deadline_seconds"}'
	[ "$(jq -r .ackDeadlineSeconds body)" = 60 ]
	[ "$(jq -r .labels body)" = null ]
	call PATCH "$S" '{"subscription":{"filter":"x"},"updateMask":"filter"}'
	refused 400 INVALID_ARGUMENT
	call GET "/v1/$T/subscriptions"
	[ "$(jq -r '.subscriptions[0]' body)" = projects/p1/subscriptions/sub1 ]
	call DELETE "/v1/$T"
	call GET "$S"
	[ "$(jq -r .topic body)" = _deleted-topic_ ]
	call GET "$P/subscriptions"
	[ "$(jq '.subscriptions | length' body)" = 1 ]
	call DELETE "$S"
	[ "$status" = 200 ]
	call POST "$S:pull" '{"maxMessages":1}'
	refused 404 NOT_FOUND
}

@test "testIamPermissions grants what exists, and nothing on what does not" {
	up
	make_sub
	call POST "$S:testIamPermissions" '{"permissions":["pubsub.subscriptions.consume"]}'
	[ "$(jq -c .permissions body)" = '["pubsub.subscriptions.consume"]' ]
	call POST "$P/subscriptions/none:testIamPermissions" '{"permissions":["pubsub.subscriptions.consume"]}'
	[ "$status" = 200 ]
	[ "$body" = '{}' ]
}

@test "published messages come back: base64 made standard, absent fields absent, ids and times as the service's" {
	up --seed 0
	make_sub
	publish '{"data":"_-8","attributes":{"k":"v","k\u00e9":"\u0001"},"messageId":"7","publishTime":"2000-01-01T00:00:00Z"},
		{"attributes":{"only":"me"}},{"data":"aGk=","attributes":{},"orderingKey":"","unknown":[1]}'
	[ "$status" = 200 ]
	[ "$(jq '.messageIds | length' body)" = 3 ]
	jq -e '.messageIds | all(test("^[0-9]{15,}$")) and (unique | length == 3)' body
	ids=$(jq -c .messageIds body)
	pull 10
	[ "$(jq -c '[.receivedMessages[].message.messageId]' body)" = "$ids" ]
	[ "$(jq -c '.receivedMessages[0].message | [.data, .attributes]' body)" = '["/+8=",{"k":"v","ké":"\u0001"}]' ]
	[ "$(jq -c '.receivedMessages[1].message | keys' body)" = '["attributes","messageId","publishTime"]' ]
	[ "$(jq -c '.receivedMessages[2].message | keys' body)" = '["data","messageId","publishTime"]' ]
	jq -e '.receivedMessages | all(has("deliveryAttempt") | not)' body
	jq -e '.receivedMessages | all(.ackId | test("^[A-Za-z0-9_-]{164}$"))' body
	jq -e '.receivedMessages | all(.message.publishTime | test("^20[0-9]{2}-.*T[0-9:]{8}([.][0-9]{1,9})?Z$"))' body
}

@test "publishTime has any number of fraction digits" {
	up --seed 0
	make_sub
	publish "$(yes '{"data":"eA=="}' | head -n 300 | paste -sd,)"
	pull 1000
	n=$(jq -r '.receivedMessages[].message.publishTime | sub("^[^.]*";"") | length' body | sort -u | wc -l)
	[ "$n" -ge 8 ]
}

@test "what publish refuses" {
	up
	make_sub
	big=$(printf 'x%.0s' $(seq 1025))
	for bad in '{}' '{"data":""}' '{"data":null,"attributes":null}' '{"data":"a"}' '{"data":"a$=="}' '{"data":5}' \
		'{"data":"YR=="}' '{"attributes":{"":"v"}}' '{"attributes":{"googx":"v"}}' '{"attributes":{"a":1}}' '{"attributes":[]}' \
		"{\"attributes\":{\"${big:0:257}\":\"v\"}}" "{\"attributes\":{\"a\":\"$big\"}}" \
		"{\"data\":\"YQ==\",\"orderingKey\":\"$big\"}" '{"data":"YQ==","orderingKey":"a"},{"data":"YQ==","orderingKey":"b"}' \
		'{"data":"YQ=="},{"data":"YQ==","orderingKey":"b"}' '{"data":"YQ=="},{}' '"x"' ''; do
		publish "$bad"
		refused 400 INVALID_ARGUMENT || { echo "$bad"; cat body; false; }
	done
	publish "{\"attributes\":{\"${big:0:256}\":\"${big:0:1024}\"},\"orderingKey\":\"${big:0:1024}\"}"
	[ "$status" = 200 ]
	# bytes, not characters
	publish "{\"attributes\":{\"a\":\"$(printf 'é%.0s' $(seq 513))\"}}"
	refused 400 INVALID_ARGUMENT
	publish "{\"attributes\":$(jq -nc '[range(101) | {key: "k\(.)", value: "v"}] | from_entries')}"
	refused 400 INVALID_ARGUMENT
	publish "{\"attributes\":$(jq -nc '[range(100) | {key: "k\(.)", value: "v"}] | from_entries')}"
	[ "$status" = 200 ]
	publish "$(yes '{"data":"eA=="}' | head -n 1001 | paste -sd,)"
	refused 400 INVALID_ARGUMENT
	publish "$(yes '{"data":"eA=="}' | head -n 1000 | paste -sd,)"
	[ "$status" = 200 ]
	for bad in '{"messages":[' 'no' '[]' $'{"messages":[{"data":"YQ=="}]}\xff' '{"messages":[{"attributes":{"a":"\ud800"}}]}'; do
		call POST "/v1/$T:publish" "$bad"
		refused 400 INVALID_ARGUMENT
	done
	call POST /v1/projects/p1/topics/none:publish '{"messages":[{"data":"eA=="}]}'
	refused 404 NOT_FOUND
	backlog_is 1002
}

@test "a request of exactly 10,485,760 bytes passes, one byte more does not" {
	up
	make_sub
	head -c 10485744 /dev/zero | tr '\0' A >data64
	for n in 10485760 10485761; do
		# {"messages":[{"data":"..."}]} padded with blanks to n bytes
		{ printf '{"messages":[{"data":"'; head -c 10485720 data64; printf '"}]'; } >head
		{ cat head; printf '%*s}' $((n - 1 - $(wc -c <head))) ''; } >big
		[ "$(wc -c <big)" = "$n" ]
		status=$(curl -s -o body -w '%{http_code}' "$URL/v1/$T:publish" --data-binary @big)
		[ "$n" = 10485761 ] || [ "$status" = 200 ]
	done
	refused 400 INVALID_ARGUMENT
	pull 1
	[ "$(jq -r '.receivedMessages[0].message.data | length' body)" = 10485720 ]
}

@test "bodies: gzip, chunked, expect, keep-alive, any content type, query parameters ignored" {
	up --seed 0
	make_sub
	jq -nc '{messages: [range(500) | {data: ("x" * 300 | @base64)}]}' >m.json
	gzip -k m.json
	curl -sf "$URL/v1/$T:publish?alt=json&prettyPrint=false&\$.xgafv=2&key=x" -H 'Content-Encoding: gzip' --data-binary @m.json.gz >/dev/null
	curl -sf "$URL/v1/$T:publish" -H 'Transfer-Encoding: chunked' -H 'Content-Type: text/plain' --data-binary @m.json >/dev/null
	curl -sf "$URL/v1/$T:publish" -H 'Expect: 100-continue' -H 'Content-Type:' --data-binary @m.json >/dev/null
	backlog_is 1500
	[ "$(curl -sf -w '%{num_connects}' -o /dev/null "$URL/" -o /dev/null "$URL/")" = 10 ]
	[ "$(head -c 50 m.json.gz | curl -s -o /dev/null -w '%{http_code}' "$URL/v1/$T:publish" -H 'Content-Encoding: gzip' --data-binary @-)" = 400 ]
}

@test "a pull waits for a message, and gets what is there" {
	up
	make_sub
	curl -s "$URL$S:pull" -d '{"maxMessages":10}' -o got -w '%{time_total}' >took &
	puller=$!
	PIDS+=("$puller")
	sleep 0.4
	publish '{"data":"aGk="}'
	wait "$puller"
	[ "$(jq -r '.receivedMessages[0].message.data' got)" = aGk= ]
	awk '{exit !($1 >= 0.3 && $1 < 3)}' took
}

@test "an empty pull ends with {} when its time is over; returnImmediately at once" {
	up --pull-wait 1
	make_sub
	took=$(curl -s "$URL$S:pull" -d '{"maxMessages":"10"}' -o got -w '%{time_total}')
	[ "$(cat got)" = '{}' ]
	awk -v t="$took" 'BEGIN {exit !(t >= 0.9 && t < 4)}'
	pull 1
	[ "$body" = '{}' ]
	for bad in '{}' '{"maxMessages":0}' '{"maxMessages":-1}' '{"maxMessages":"x"}' '{"maxMessages":1.5}'; do
		call POST "$S:pull" "$bad"
		refused 400 INVALID_ARGUMENT
	done
}

@test "three waiting pulls, one message: one gets it" {
	up --pull-wait 3
	make_sub
	waiting=()
	for i in 1 2 3; do
		curl -s "$URL$S:pull" -d '{"maxMessages":10}' -o "got$i" &
		waiting+=("$!")
	done
	PIDS+=("${waiting[@]}")
	sleep 0.3
	publish '{"data":"aGk="}'
	wait "${waiting[@]}"
	[ "$(cat got1 got2 got3 | grep -c ackId)" = 1 ]
	[ "$(cat got1 got2 got3 | grep -cx '{}')" = 2 ]
}

@test "a puller that went away gets no message" {
	up
	make_sub
	for _ in 1 2 3; do
		curl -s "$URL$S:pull" -d '{"maxMessages":10}' -o got -m 0.3 || true
	done
	publish '{"data":"aGk="}'
	outstanding_is 0
	has_message
}

@test "deleting a subscription answers those who wait on it" {
	up
	make_sub
	curl -s "$URL$S:pull" -d '{"maxMessages":10}' -o got -w '%{http_code}' >code &
	puller=$!
	PIDS+=("$puller")
	sleep 0.3
	call DELETE "$S"
	wait "$puller"
	[ "$(cat code)" = 404 ]
}

@test "at most 1000 a pull, and now and then fewer than there are" {
	up --seed 7
	make_sub
	for _ in 1 2 3; do
		publish "$(yes '{"data":"eA=="}' | head -n 1000 | paste -sd,)"
	done
	short=0 total=0
	while [ "$total" -lt 3000 ]; do
		pull 100
		n=$(jq '.receivedMessages | length' body)
		[ "$n" -le 100 ]
		[ "$n" = 100 ] || short=$((short + 1))
		total=$((total + n))
	done
	[ "$short" -ge 2 ]
	publish "$(yes '{"data":"eA=="}' | head -n 1000 | paste -sd,)"
	publish '{"data":"eA=="}'
	pull 5000
	[ "$(jq '.receivedMessages | length' body)" -le 1000 ]
}

@test "a reply carries about 20 MB at most" {
	up --seed 0
	make_sub
	jq -nc '{messages: [{data: ("x" * 7000000 | @base64)}]}' >m.json
	for _ in 1 2 3; do
		curl -sf "$URL/v1/$T:publish" --data-binary @m.json >/dev/null
	done
	pull 10
	[ "$(jq '.receivedMessages | length' body)" = 2 ]
	pull 10
	[ "$(jq '.receivedMessages | length' body)" = 1 ]
}

@test "acknowledged messages are gone, twice is no error" {
	up --seed 0
	make_sub
	publish '{"data":"YQ=="},{"data":"Yg=="},{"data":"Yw=="}'
	pull 2
	ids=$(acks)
	ack "$ids"
	[ "$status" = 200 ]
	[ "$body" = '{}' ]
	ack "$ids"
	[ "$status" = 200 ]
	[ "$(stat backlog)" = 1 ]
	[ "$(stat acked)" = 2 ]
	[ "$(stat outstanding)" = 0 ]
}

@test "ack ids: empty lists, garbage, another subscription's, too large a request" {
	up --seed 0
	make_sub
	call PUT "$P/subscriptions/sub2" "{\"topic\":\"$T\"}"
	publish '{"data":"YQ=="}'
	pull 1 "$P/subscriptions/sub2"
	foreign=$(jq -r '.receivedMessages[0].ackId' body)
	pull 1
	good=$(jq -r '.receivedMessages[0].ackId' body)
	flipped=$(printf %s "$good" | tr 'A-Ya-y' 'B-Zb-z')
	for list in '[]' 'null' '["garbage"]' '[""]' '[1]' "[\"$good\",\"$flipped\"]" "[\"$good\",\"$foreign\"]" "[\"${good:1}\"]"; do
		ack "$list"
		refused 400 INVALID_ARGUMENT
		modack "$list" 20
		refused 400 INVALID_ARGUMENT
	done
	backlog_is 1
	call POST "$S:acknowledge" '{}'
	refused 400 INVALID_ARGUMENT
	# 524,288 bytes pass, one more does not
	for n in 524288 524289; do
		printf '{"ackIds":["%s"]%*s}' "$good" $((n - 179)) '' >big
		[ "$(wc -c <big)" = "$n" ]
		status=$(curl -s -o body -w '%{http_code}' "$URL$S:modifyAckDeadline" --data-binary @big)
		[ "$n" = 524289 ] || [ "$status" = 200 ]
	done
	refused 400 INVALID_ARGUMENT
}

@test "2,500 ack ids fit one request" {
	up --seed 0
	make_sub '{"ackDeadlineSeconds":600}'
	: >ids
	for _ in 1 2 3; do
		publish "$(yes '{"data":"eA=="}' | head -n 1000 | paste -sd,)"
		pull 1000
		jq -r '.receivedMessages[].ackId' body >>ids
	done
	ack "$(head -n 2500 ids | jq -Rnc '[inputs]')"
	[ "$status" = 200 ]
	backlog_is 500
}

@test "leases: expiry brings the message back under a new id; extending and giving up work" {
	up --seed 0 --min-deadline 1
	make_sub '{"ackDeadlineSeconds":1}'
	publish '{"data":"YQ=="}'
	pull 1
	first=$(acks)
	pull 1
	[ "$body" = '{}' ]
	until_true 5 has_message
	second=$(acks)
	modack "$second" 30 # at once: the second lease is as short as the first
	[ "$status" = 200 ]
	[ "$first" != "$second" ]
	[ "$(stat expired)" = 1 ]
	[ "$(stat redelivered)" = 1 ]
	# acknowledged too late: 200, and not honoured
	ack "$first"
	[ "$status" = 200 ]
	backlog_is 1
	sleep 1.3
	outstanding_is 1
	modack "$second" 0
	outstanding_is 0
	has_message
	third=$(acks)
	for bad in -1 601 '"x"'; do
		modack "$third" "$bad"
		refused 400 INVALID_ARGUMENT
	done
	modack "$third" '"600"'
	[ "$status" = 200 ]
}

@test "expired but not delivered again: a late ack is honoured, a late extension is not" {
	up --seed 0 --min-deadline 1
	make_sub '{"ackDeadlineSeconds":1}'
	publish '{"data":"YQ=="},{"data":"Yg=="}'
	pull 2
	ids=$(acks)
	until_true 5 outstanding_is 0
	ack "$(jq -c '.[:1]' <<<"$ids")"
	backlog_is 1
	modack "$(jq -c '.[1:]' <<<"$ids")" 60
	[ "$status" = 200 ]
	outstanding_is 0
	has_message
}

@test "what is given back goes to the end of the queue" {
	up --seed 0
	make_sub
	publish '{"data":"MQ=="},{"data":"Mg=="},{"data":"Mw=="}'
	pull 1
	modack "$(acks)" 0
	pull 3
	[ "$(jq -r '[.receivedMessages[].message.data | @base64d] | join(" ")' body)" = "2 3 1" ]
}

@test "without --min-deadline a subscription's deadline is 10 s or more; with it less" {
	up --min-deadline 3
	make_sub '{"ackDeadlineSeconds":3}'
	call PUT "$P/subscriptions/sub2" "{\"topic\":\"$T\",\"ackDeadlineSeconds\":2}"
	refused 400 INVALID_ARGUMENT
	call PUT "$P/subscriptions/sub2" "{\"topic\":\"$T\"}"
	[ "$(jq .ackDeadlineSeconds body)" = 10 ]
}

@test "dead letters: after the attempts the message moves, with its data and four attributes more" {
	up --seed 0
	call PUT "$P/topics/dead" '{}'
	call PUT "/v1/$T" '{}'
	for bad in 1 4 101; do
		call PUT "$S" "{\"topic\":\"$T\",\"deadLetterPolicy\":{\"deadLetterTopic\":\"projects/p1/topics/dead\",\"maxDeliveryAttempts\":$bad}}"
		refused 400 OUT_OF_RANGE
	done
	call PUT "$S" "{\"topic\":\"$T\",\"deadLetterPolicy\":{\"deadLetterTopic\":\"projects/p1/topics/none\"}}"
	refused 404 NOT_FOUND
	call DELETE "/v1/$T"
	make_sub '{"deadLetterPolicy":{"deadLetterTopic":"projects/p1/topics/dead"}}'
	[ "$(jq .deadLetterPolicy.maxDeliveryAttempts body)" = 5 ]
	call PUT "$P/subscriptions/deadsub" '{"topic":"projects/p1/topics/dead"}'
	publish '{"data":"YQ==","attributes":{"k":"v"},"orderingKey":"o"}'
	id=$(jq -r '.messageIds[0]' body)
	for attempt in 1 2 3 4 5; do
		pull 1
		[ "$(jq '.receivedMessages[0].deliveryAttempt' body)" = "$attempt" ]
		time=$(jq -r '.receivedMessages[0].message.publishTime' body)
		modack "$(acks)" 0
	done
	pull 1
	[ "$body" = '{}' ]
	backlog_is 0
	pull 1 "$P/subscriptions/deadsub"
	jq -e --arg id "$id" --arg t "$time" '.receivedMessages[0] | (has("deliveryAttempt") | not) and (.message |
		.data == "YQ==" and .orderingKey == "o" and .messageId != $id and .attributes == {k: "v",
		CloudPubSubDeadLetterSourceDeliveryCount: "5", CloudPubSubDeadLetterSourceSubscription: "sub1",
		CloudPubSubDeadLetterSourceSubscriptionProject: "p1", CloudPubSubDeadLetterSourceTopicPublishTime: $t})' body
}

@test "retryPolicy: what is given back waits" {
	up --seed 0
	make_sub '{"retryPolicy":{"minimumBackoff":"1s","maximumBackoff":"2s"}}'
	publish '{"data":"YQ=="}'
	pull 1
	modack "$(acks)" 0
	pull 1
	[ "$body" = '{}' ]
	start=$(date +%s%N)
	until_true 5 has_message
	[ $((($(date +%s%N) - start) / 1000000)) -ge 700 ]
}

@test "ordering keys: in order, one batch at a time, and all over again from what came back" {
	up --seed 0
	make_sub '{"enableMessageOrdering":true}'
	for i in 1 2 3 4; do
		publish "{\"data\":\"$(printf a%s $i | base64)\",\"orderingKey\":\"a\"}"
	done
	publish "{\"data\":\"$(printf b1 | base64)\",\"orderingKey\":\"b\"}"
	publish "{\"data\":\"$(printf x | base64)\"}"
	data() { jq -r '[.receivedMessages[]?.message.data | @base64d] | join(" ")' body; }
	pull 2
	[ "$(data)" = "a1 a2" ]
	one=$(acks)
	pull 10
	[ "$(data)" = "b1 x" ]
	# a1 done, a2 given back: a2 again before a3
	ack "$(jq -c '.[:1]' <<<"$one")"
	pull 10
	[ "$body" = '{}' ]
	modack "$(jq -c '.[1:]' <<<"$one")" 0
	pull 2
	[ "$(data)" = "a2 a3" ]
	two=$(acks)
	# giving a2 back takes a3 along
	modack "$(jq -c '.[:1]' <<<"$two")" 0
	pull 10
	[ "$(data)" = "a2 a3 a4" ]
	ack "$(acks)"
	backlog_is 2
}

@test "seek to a time drops what was published before it" {
	up
	make_sub
	publish '{"data":"YQ=="},{"data":"Yg=="}'
	call POST "$S:seek" '{"time":"2000-01-01T00:00:00Z"}'
	[ "$status" = 200 ]
	backlog_is 2
	call POST "$S:seek" '{"time":"2900-01-01T00:00:00.123456789Z"}'
	[ "$status" = 200 ]
	backlog_is 0
	call POST "$S:seek" '{"snapshot":"projects/p1/snapshots/x"}'
	refused 501 UNIMPLEMENTED
}

@test "unknown paths and verbs are not answered in JSON" {
	up
	make_sub
	call POST "$S:frobnicate" '{}'
	[ "$status" = 404 ]
	[ "$body" = "Not Found" ]
	call POST "$P/nothing/x" '{}'
	[ "$status" = 404 ]
	[ "$body" = "Not Found" ]
}

@test "kill -9 loses nothing that was answered for" {
	up --seed 0
	make_sub '{"ackDeadlineSeconds":600,"labels":{"a":"b"}}'
	for i in $(seq 1 20); do
		publish "$(seq $((i * 100)) $((i * 100 + 99)) | jq -Rc '{data: @base64, attributes: {n: .}}' | paste -sd,)"
		jq -r '.messageIds[]' body >>ids
	done
	pull 300
	jq -r '.receivedMessages[].message.messageId' body | sort >acked
	ack "$(acks)"
	pull 200
	old=$(acks)
	crash
	up --seed 0
	backlog_is 1700
	outstanding_is 0
	call GET "$S"
	[ "$(jq -c '[.ackDeadlineSeconds, .labels.a]' body)" = '[600,"b"]' ]
	# ack ids of before are old, not malformed
	ack "$old"
	[ "$status" = 200 ]
	backlog_is 1700
	: >left
	while pull 1000 && [ "$body" != '{}' ]; do
		jq -r '.receivedMessages[].message | "\(.messageId) \(.attributes.n) \(.data | @base64d)"' body >>left
	done
	[ "$(awk '$2 != $3' left | wc -l)" = 0 ]
	diff <(sort ids) <(cut -d' ' -f1 left | sort - acked)
	# new ids go on from where the old ones ended
	publish '{"data":"YQ=="}'
	[ "$(jq -r '.messageIds[0]' body)" -gt "$(sort -n ids | tail -n 1)" ]
}

@test "kill -9 again and again while messages come and go" {
	up --seed 5
	make_sub '{"ackDeadlineSeconds":600}'
	: >published
	: >acked
	for round in 1 2 3 4; do
		for _ in 1 2 3; do
			publish "$(yes '{"data":"eA=="}' | head -n 200 | paste -sd,)"
			jq -r '.messageIds[]' body >>published
			pull 150
			ids=$(jq -r '.receivedMessages[].message.messageId' body)
			ack "$(acks)"
			printf '%s\n' "$ids" >>acked
		done
		crash
		up --seed "$round"
	done
	while pull 1000 && [ "$body" != '{}' ]; do
		jq -r '.receivedMessages[].message.messageId' body >>acked
	done
	diff <(sort published) <(sort acked)
}

@test "a torn last line of the journal is dropped, a broken one in the middle is refused" {
	up
	make_sub
	publish '{"data":"YQ=="}'
	crash
	printf 'P 1 2 3 {"data":"to' >>data/pubsub/journal
	up
	backlog_is 1
	crash
	sed -i '1s/.*/X nonsense/' data/pubsub/journal
	run gcp-emu --port 0 --dir data
	[ "$status" = 78 ]
	[[ $output == *"line 1"* ]]
}

@test "the journal is written anew at the start: what is gone takes no room" {
	up --seed 0
	make_sub
	for _ in 1 2 3; do
		publish "$(yes '{"data":"eHh4eHh4eHh4eHh4eHh4eHh4eHh4"}' | head -n 1000 | paste -sd,)"
		pull 1000
		ack "$(acks)"
	done
	crash
	[ "$(wc -c <data/pubsub/journal)" -gt 300000 ]
	up
	[ "$(wc -c <data/pubsub/journal)" -lt 2000 ]
	backlog_is 0
}

@test "a full disk: publishing fails and nothing is half there" {
	up
	make_sub
	publish '{"data":"YQ=="}'
	size=$(wc -c <data/pubsub/journal)
	prlimit --pid "$EMU" --fsize=$((size + 50)): || skip "prlimit is not here"
	publish "$(yes '{"data":"eA=="}' | head -n 100 | paste -sd,)"
	refused 503 UNAVAILABLE
	[ "$(wc -c <data/pubsub/journal)" = "$size" ]
	backlog_is 1
	prlimit --pid "$EMU" --fsize=unlimited:
	publish '{"data":"YQ=="}'
	[ "$status" = 200 ]
	crash
	up
	backlog_is 2
}

@test "--schemas makes the default topics and subscriptions, once" {
	up --schemas "$BATS_TEST_DIRNAME/../../schemas.json" --project demo-project
	call GET /v1/projects/demo-project/subscriptions
	jq -e '[.subscriptions[].name | split("/")[3]] == ["backend-events-dlq-topic-sub", "backend-events-topic-sub"]' body
	jq -e '.subscriptions[1] | .ackDeadlineSeconds == 60 and .deadLetterPolicy ==
		{deadLetterTopic: "projects/demo-project/topics/backend-events-dlq-topic", maxDeliveryAttempts: 100}' body
	crash
	up --schemas "$BATS_TEST_DIRNAME/../../schemas.json" --project demo-project
	call GET /v1/projects/demo-project/topics
	[ "$(jq '.topics | length' body)" = 2 ]
}

@test "--auth: the token in DIR/token and no other" {
	up --auth
	[ "$(stat_mode data/token)" = 600 ]
	grep -q "data/token" log
	call PUT "/v1/$T" '{}'
	refused 401 UNAUTHENTICATED
	[ "$(curl -s -o body -w '%{http_code}' -X PUT "$URL/v1/$T" -H 'Authorization: Bearer wrong' -d '{}')" = 401 ]
	[ "$(jq -r '.error.errors[0].reason' body)" = authError ]
	[ "$(curl -s -o body -w '%{http_code}' -X PUT "$URL/v1/$T" -H "Authorization: Bearer $(cat data/token)" -d '{}')" = 200 ]
	call GET /
	[ "$status" = 200 ]
	# written anew, the old one has expired
	old=$(cat data/token)
	echo another >data/token
	[ "$(curl -s -o body -w '%{http_code}' "$URL/v1/$T" -H "Authorization: Bearer $old")" = 401 ]
	[ "$(curl -s -o body -w '%{http_code}' "$URL/v1/$T" -H "authorization: bearer another")" = 200 ]
}

stat_mode() { command stat -c %a "$1"; }

@test "faults: status with Retry-After, counted and limited" {
	up
	make_sub
	call PUT /emu/faults '{"rules":[{"method":"POST","path":"*:publish","after":1,"times":2,"status":503,"retry_after":7}]}'
	[ "$status" = 200 ]
	codes=
	for _ in 1 2 3 4; do
		publish '{"data":"YQ=="}'
		codes+="$status "
	done
	[ "$codes" = "200 503 503 200 " ]
	backlog_is 2
	call GET /emu/faults
	[ "$(jq -c '.rules[0] | [.matched, .applied]' body)" = '[4,2]' ]
	call PUT /emu/faults '{"rules":[{"path":"/v1/*","status":429,"reason":"RESOURCE_EXHAUSTED","message":"slow down","retry_after":7}]}'
	curl -si "$URL/v1/$T" | tr -d '\r' >got
	grep -qx 'Retry-After: 7' got
	tail -n 1 got | jq -e '.error == {code: 429, message: "slow down", status: "RESOURCE_EXHAUSTED"}'
	call DELETE /emu/faults
	call GET "/v1/$T"
	[ "$status" = 200 ]
}

@test "faults: lost replies did the work, resets did not" {
	up
	make_sub
	call PUT /emu/faults '[{"path":"*:publish","times":1,"lose":true},{"path":"*:publish","times":1,"reset":true}]'
	run curl -s "$URL/v1/$T:publish" -d '{"messages":[{"data":"YQ=="}]}'
	[ "$status" = 56 ]
	backlog_is 1
	run curl -s "$URL/v1/$T:publish" -d '{"messages":[{"data":"YQ=="}]}'
	[ "$status" = 56 ]
	backlog_is 1
	call GET /emu/requests
	[ "$(jq -c '.requests[] | select(.path | endswith(":publish")) | [.status, .count]' body)" = '[0,2]' ]
}

@test "faults: delays, stalls, cut and garbled replies" {
	up
	make_sub
	call PUT /emu/faults '{"rules":[{"path":"/v1/*","times":1,"delay":0.4},{"path":"/v1/*","times":1,"stall":0.4},
		{"path":"/v1/*","times":1,"stall":0.4,"stall_at":"body"},{"path":"/v1/*","times":1,"truncate":9},
		{"path":"/v1/*","times":1,"garbage":true}]}'
	for _ in 1 2 3; do
		took=$(curl -s "$URL$S" -o body -w '%{time_total}')
		awk -v t="$took" 'BEGIN {exit !(t >= 0.35 && t < 3)}'
		[ "$(jq -r .topic body)" = "$T" ]
	done
	run curl -s "$URL$S" -o body
	[ "$status" = 18 ]
	[ "$(cat body)" = '{"name":"' ]
	curl -s "$URL$S" -o body
	run jq . body
	[ "$status" != 0 ]
}

@test "faults: a Content-Length of too little and of too much" {
	up
	make_sub
	whole=$(curl -s "$URL$S" | tee was | wc -c)
	call PUT /emu/faults '{"rules":[{"path":"/v1/*","times":1,"length":-20},{"path":"/v1/*","times":1,"length":3}]}'
	# the rest comes where the next reply should begin: told from the bytes, for curl keeps it to itself
	exec {tcp}<>"/dev/tcp/127.0.0.1/${URL##*:}"
	printf 'GET %s HTTP/1.1\r\nHost: x\r\n\r\n' "$S" >&"$tcp"
	timeout 0.5 cat <&"$tcp" >raw || true
	exec {tcp}>&-
	grep -qi "^Content-Length: $((whole - 20))" raw
	[ "$(tail -n 1 raw)" = "$(cat was)" ]
	run curl -s "$URL$S" -o body
	[ "$status" = 18 ]
	cmp was body
}

@test "faults: what is ignored is answered and not done" {
	up
	make_sub
	publish '{"data":"YQ=="}'
	pull 1
	ack=$(jq -r '.receivedMessages[0].ackId' body)
	[ "$ack" != null ]
	call PUT /emu/faults '[{"path":"*:acknowledge","times":1,"ignore":true}]'
	call POST "$S:acknowledge" "{\"ackIds\":[\"$ack\"]}"
	[ "$status" = 200 ]
	backlog_is 1
	call POST "$S:acknowledge" "{\"ackIds\":[\"$ack\"]}"
	backlog_is 0
}

@test "faults: a request that is taken slowly, and a client that does not wait for it" {
	up
	make_sub
	printf '{"messages":[{"data":"%s"}]}' "$(head -c 60000 /dev/zero | tr '\0' Y)" >message
	call PUT /emu/faults '{"rules":[{"path":"*:publish","slow":120000}]}'
	took=$(curl -s "$URL/v1/$T:publish" -d @message -o body -w '%{time_total}')
	awk -v t="$took" 'BEGIN {exit !(t >= 0.4 && t < 3)}'
	[ "$(jq '.messageIds | length' body)" = 1 ]
	run curl -s -m 0.2 "$URL/v1/$T:publish" -d @message
	[ "$status" = 28 ]
	call DELETE /emu/faults
	backlog_is 1
}

@test "faults: a body of many pieces is read no faster than slow says, and the next on its connection as it comes" {
	up
	make_sub
	printf '{"messages":[{"data":"%s"}]}' "$(head -c 1000000 /dev/zero | tr '\0' Y)" >message
	call PUT /emu/faults '{"rules":[{"path":"*:publish","times":1,"slow":1000000}]}'
	curl -s "$URL/v1/$T:publish" -d @message -o body -w '%{time_total}\n' --next -s "$URL/v1/$T:publish" -d @message -o body -w '%{time_total} %{num_connects}\n' >took
	awk 'NR == 1 { slow = $1 } NR == 2 { ok = slow >= 0.9 && $1 < slow && $2 == 0 } END { exit !ok }' took || { cat took; false; }
}

@test "faults: the same seed gives the same faults" {
	up
	make_sub
	for round in 1 2; do
		call PUT /emu/faults '{"seed":42,"rules":[{"path":"/v1/*","chance":0.5,"status":500}]}'
		for _ in $(seq 40); do
			curl -s -o /dev/null -w '%{http_code} ' "$URL$S"
		done >"round$round"
	done
	cmp round1 round2
	grep -q 500 round1
	grep -q 200 round1
}

@test "faults: nonsense is refused and changes nothing" {
	up
	call PUT /emu/faults '{"rules":[{"path":"/v1/*","status":500}]}'
	for bad in '{' '{}' '{"rules":{}}' '{"rules":[1]}' '{"rules":[{}]}' '{"rules":[{"statu":500}]}' \
		'{"rules":[{"status":200}]}' '{"rules":[{"status":500,"chance":2}]}' '{"rules":[{"status":500,"reset":true}]}' \
		'{"rules":[{"reset":false}]}' '{"rules":[{"row":"invalid","path":"/x"}]}' '{"rules":[{"stall_at":"body","delay":1}]}' \
		'{"rules":[],"sed":1}' '{"rules":[{"status":500,"times":-1}]}' '{"rules":[{"table":"x","status":500}]}' \
		'{"rules":[{"slow":0}]}' '{"rules":[{"slow":9,"delay":1}]}' '{"rules":[{"length":0}]}' '{"rules":[{"ignore":1}]}'; do
		call PUT /emu/faults "$bad"
		[ "$status" = 400 ] || { echo "$bad"; false; }
	done
	call GET /emu/faults
	[ "$(jq '.rules | length' body)" = 1 ]
	echo '{"rules":[{"statu":1}]}' >faults.json
	run gcp-emu --port 0 --dir other --faults faults.json
	[ "$status" = 78 ]
	[[ $output == *faults.json*"rules[0].statu"* ]]
}

@test "requests are counted by pattern and status, and the counts can be emptied" {
	up
	make_sub
	publish '{"data":"YQ=="}'
	publish '{}'
	pull 1
	pull 1
	call GET /emu/requests
	count() { jq -r --arg p "$1" --argjson s "$2" '[.requests[] | select(.path == $p and .status == $s) | .count] | add' body; }
	[ "$(count '/v1/projects/*/topics/*:publish' 200)" = 1 ]
	[ "$(count '/v1/projects/*/topics/*:publish' 400)" = 1 ]
	[ "$(count '/v1/projects/*/subscriptions/*:pull' 200)" = 2 ]
	call DELETE /emu/requests
	call GET /emu/requests
	[ "$(jq -c '[.total, .requests]' body)" = '[0,[]]' ]
}
