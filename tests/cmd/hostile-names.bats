#!/usr/bin/env bats
# Whatever events and their messages are called, they stay what they are: object names keep their prefix and shape, URLs and
# headers carry nothing of them, attributes and ids arrive byte for byte. Looked at from the other side: what gcp-emu received.

bats_require_minimum_version 1.5.0
load ../lib

SUB=backend-events-topic-sub
DLQ=backend-events-dlq-topic
DATASET=ecommerce_events
LAKE=gs://test-events-output/output

# One a line, as JSON strings.
HOSTILE=$(
	cat <<-'END'
		"../../../../etc/passwd"
		"/etc/passwd"
		".."
		"."
		"a/../b"
		"a//b"
		"..\\..\\b"
		"%2e%2e%2f%2e%2e%2fb"
		"..%2fb"
		"%00"
		"%"
		"a\u0000b"
		"\u0000"
		"a\r\nX-Evil: 1\r\n\r\nDELETE /storage/v1/b/test-events-output HTTP/1.1\r\nHost: x\r\n\r\n"
		"a\nb"
		"\r"
		"?uploadType=media&name=evil"
		"#evil"
		"evil&name=evil"
		"gs://elsewhere/evil"
		"evil\"},{\"name\":\"evil"
		"--evil\r\nContent-Type: text/plain\r\n\r\nevil\r\n--evil--"
		"$(touch evil)`touch evil`;touch evil"
		"-evil"
		" "
		"\u202eevil\u0007\u001b[31m\u0085"
		"\u00e9\u6f22\ud83d\udca5"
		"\u2024\u2024\u2215\uff0f\ufe68"
		"__proto__"
	END
)

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	printf '%s\n' "$HOSTILE" >hostile
	start_emu
	curl -sf -X DELETE "http://127.0.0.1:$EMU_PORT/emu/requests"
}

teardown() {
	end_all
}

names() {
	curl -sf "http://127.0.0.1:$EMU_PORT/storage/v1/b/test-events-output/o" | jq -r '.items[]?.name | @json'
}

# only PATTERN...: no other requests came.
only() {
	local joined
	printf -v joined '|%s' "$@"
	curl -sf "http://127.0.0.1:$EMU_PORT/emu/requests" | jq -r '.requests[] | .method + " " + .path' | sort -u >asked
	cat asked
	run ! grep -Evx "(${joined:1})" asked
}

nothing_escaped() {
	[ "$(ls "$EMU_DIR/storage")" = test-events-output ]
	[ ! -e evil ]
	[ "$(find "$EMU_DIR" "$BATS_TEST_TMPDIR" -name '*evil*' ! -path '*/storage/*' | wc -l)" = 0 ]
}

@test "event types, ids and sources in the lake: each object keeps its prefix, its depth and its plain letters" {
	jq -c '{msg: {id: ., source: "projects/test/subscriptions/s", time: "2025-02-08T13:09:00Z", attributes: {a: .}}, type: ., table: "orders",
		time: "2025-02-08T13:09:00Z", event: {a: .}}' hostile >valid
	gcs-put $LAKE <valid >receipts 2>err || { cat err; false; }
	names >got
	[ "$(wc -l <got)" = "$(wc -l <hostile)" ]
	run ! grep -Evx '"output/[A-Za-z0-9_%-][A-Za-z0-9_.%-]*/2025/02/08/13/09/[A-Za-z0-9_%-][A-Za-z0-9_.%-]*_202502081309_[0-9a-f]{32}\.json"' got
	# no two are taken for one, and what was escaped is what came
	diff <(sed -E 's,^"output/([^/]*)/.*,\1,' got | sort) <(jq -r '@uri | gsub("~"; "%7E") | gsub("[(]"; "%28") | gsub("[)]"; "%29") | sub("^[.]"; "%2E")' hostile | sort)
	# the receipts hold the ids, as they were
	jq -s '[.[].msg.id]' receipts | jq -c 'sort' >ids
	jq -s -c 'sort' hostile | cmp ids -
	only 'POST /upload/storage/v1/b/\*/o' 'GET /storage/v1/b/.*'
	nothing_escaped
}

@test "times of records that are none, and types too long for a name: 65, and nothing is stored" {
	while read -r text; do
		jq -nc --argjson t "$text" '{msg: {id: "1", time: $t}, type: "order", table: "orders", time: $t, event: {}}' >valid
		for by in publish event; do
			run -65 gcs-put --by $by $LAKE <valid
		done
	done <hostile
	for n in 300 5000; do
		jq -nc --arg t "$(printf '%*s' $n '' | tr ' ' /)" '{msg: {id: "1"}, type: $t, table: "orders",
			time: "2025-02-08T13:09:00Z", event: {}}' >valid
		run -65 gcs-put $LAKE <valid
	done
	names >got
	[ ! -s got ]
}

@test "ids in BigQuery: each is one insertId, and the rows are the events" {
	n=0
	while read -r id; do
		n=$((n + 1))
		good_order $n | jq -c --argjson id "$id" '{msg: {id: $id, source: $id}, type: "order", table: "orders",
			time: "2025-02-08T13:09:00Z", event: (. + {customer_id: $id})}'
	done <hostile >valid
	bq-insert $DATASET <valid >stored 2>err || { cat err; false; }
	cmp valid stored
	# again: all are known by their ids, so none was taken for another
	bq-insert -q $DATASET <valid >stored
	[ "$(rows_of orders)" = "$(wc -l <hostile)" ]
	[ "$(curl -sf "http://127.0.0.1:$EMU_PORT/emu/bigquery" | jq .repeated)" = "$(wc -l <hostile)" ]
	sqlite3 -json "$EMU_DIR/bigquery/test/ecommerce_events.sqlite" 'select customer_id from orders' |
		jq -c '.[].customer_id | select(contains("\u0000") | not)' | sort >got
	jq -c 'select(contains("\u0000") | not)' hostile | sort | cmp got -
	only '(GET|POST) /bigquery/v2/projects/\*/datasets/\*/tables/\*(/insertAll|:testIamPermissions)?'
}

@test "attributes, ordering keys and event types through pull, verdict, dead letter and replay: the same bytes come back" {
	jq -c '{msg: {id: "x", attributes: {"k": ., (. | .[0:50] | ltrimstr("goog") | "n" + .): "v"}, ordering_key: .},
		data: ({event_type: ., "a/../b": .} | tojson | @base64)}' hostile >raw
	ps-push -q --input records backend-events-topic <raw >receipts
	ps-pull -q --max-messages "$(wc -l <hostile)" --ack-on-write $SUB >pulled
	ev-validate -q --rejects rejects <pulled >valid
	[ ! -s valid ]
	dlq-push -q $DLQ <rejects >receipts
	ps-pull -q --max-messages "$(wc -l <hostile)" --ack-on-write $DLQ-sub >dead
	jq -r '.msg.attributes.dlq_code' dead | sort -u | grep -qx unknown_type
	# limits hold whatever the detail quotes
	jq -e 'all(.msg.attributes | to_entries[]; (.key | utf8bytelength) <= 256 and (.value | utf8bytelength) <= 1024)' dead >each
	ps-push -q --replay backend-events-topic <dead >receipts
	ps-pull -q --max-messages "$(wc -l <hostile)" --ack-on-write $SUB >back
	diff <(jq -c '[.msg.attributes, .msg.ordering_key, .data]' raw | sort) \
		<(jq -c '[(.msg.attributes | del(.dlq_replays)), .msg.ordering_key, .data]' back | sort)
	only 'POST /v1/projects/\*/topics/\*:publish' 'POST /v1/projects/\*/subscriptions/\*:(pull|acknowledge|modifyAckDeadline)' \
		'(GET|POST) /v1/projects/\*/(topics|subscriptions)/\*(:testIamPermissions)?'
	nothing_escaped
}

@test "names on the command line: what is no name is 64, before any request" {
	# without those that could be names, and NUL, which no argument can hold
	grep -v '"\(-evil\|__proto__\|[^"]*\\u0000b\?\)"' hostile >none
	[ "$(wc -l <none)" = 25 ]
	while read -r name; do
		name=$(jq -r . <<<"$name")
		for tool in "ps-pull subscriptions" "dlq-push topics" "ps-push topics" "bq-insert -"; do
			read -r tool kind <<<"$tool"
			names=("$name" "projects/test/$kind/$name" "projects/$name/$kind/abc")
			[ "$tool" != bq-insert ] || names=("$name" "test:$name" "$name:test")
			for full in "${names[@]}"; do
				echo "$tool: $full"
				run -64 "$tool" -- "$full" </dev/null
			done
		done
		run -64 gcs-put -- "gs://$name/output" </dev/null
		run -64 gcs-put -- "gs://test-events-output/a/../$name" </dev/null
	done <none
	# the one odd character that a topic may have is no escape in a URL
	run -69 ps-push -q 'a%2f..%2fb' <<<'{}'
	[[ $output == *"/topics/a%2f..%2fb'"* ]]
	only 'GET /v1/projects/\*/topics/\*' 'POST /v1/projects/\*/topics/\*:testIamPermissions'
	curl -sf -X DELETE "http://127.0.0.1:$EMU_PORT/emu/requests"
	run -64 ps-pull --project .. abc
	curl -sf "http://127.0.0.1:$EMU_PORT/emu/requests" | jq -e '.requests == []'
}

@test "messages quote what came in one line, without what steers a terminal" {
	quiet() { # PROGRAM; $output is what it said
		local said=$output
		run ! grep -P '[\x00-\x08\x0b-\x1f\x7f]|[\x{80}-\x{9f}\x{202e}]' <<<"$said"
		run ! grep -v "^$1:" <<<"$said"
	}
	jq -c '{msg: {id: ., source: ., time: "2025-02-08T13:09:00Z"}, type: "order", table: "orders",
		time: "2025-02-08T13:09:00Z", event: {a: 1}}' hostile >valid
	run -75 gcs-put $LAKE <valid # a source that does not end
	[[ $output == *'\u202eevil'* ]]
	quiet gcs-put
	jq -c '{msg: {id: ("x" + .), attributes: {googx: "1"}}, data: "e30="}' hostile >bad
	run -65 ps-push --input records $DLQ <bad
	[[ $output == *'evil\u0007'* ]]
	quiet ps-push
	jq -c '{event_type: "order", (.): .}' hostile >in
	run -1 ev-validate <in
	output=$(grep -v '^ev-validate: ' <<<"$output")
	quiet stdin
}
