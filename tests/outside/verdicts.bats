#!/usr/bin/env bats
# ev-validate against judges that nobody here wrote: verdicts of an independent implementation on every line of real data, the
# JSON parsing test suite, the JSON Schema suite's date-times, the big list of naughty strings. All of them lie beside the
# repository; where they are absent these tests skip.

load ../lib

setup() {
	SHARED=${EVPIPE_SHARED:-$ROOT/../shared}
	[ -d "$SHARED/data" ] || skip "SKIPPED, NOT TESTED: no judges in $SHARED"
	export LC_ALL=C
	cd "$BATS_TEST_TMPDIR" || return 1
}

unpacked() { # FILE: also where only FILE.zst is there
	if [ -e "$1" ]; then cat "$1"; else zstd -dcq "$1.zst"; fi
}

# judge NAME: every line of NAME.ndjson gets the verdict in NAME.expected.tsv, and the valid ones pass byte for byte.
judge() {
	unpacked "$1.ndjson" >in
	unpacked "$1.expected.tsv" >expected
	[ -s in ] && [ -s expected ]
	ev-validate -q --events-only <in >valid 2>lint || [ $? = 1 ]
	awk -f "$BATS_TEST_DIRNAME/verdicts.awk" expected lint
	paste -d '\t' <(cut -f 3 expected) in | sed -n 's/^ok\t//p' | cmp - valid
}

# raw ID: standard input as a raw record
raw() {
	printf '{"msg":{"id":"%s"},"data":"%s"}\n' "$1" "$(base64 -w 0)"
}

# raw records on standard input to lines "ID code@path,code@path", sorted as the lists are, or "ID ok TABLE"
verdicts() {
	ev-validate -q --rejects rejects >valid
	jq -r '.msg.id + " ok " + .table' valid
	jq -r '.msg.id + " " + ([.errors[] | .code + "@" + .path] | sort | join(","))' rejects
}

# none WHICH GREP-ARGUMENTS: of the lines of got that match WHICH, none is found by grep
none() {
	local found
	found=$(grep -e "$1" got | grep "${@:2}") || return 0
	echo "$found"
	return 1
}

@test "every line of orders" {
	judge "$SHARED/data/dev/orders"
}

@test "every line of inventory" {
	judge "$SHARED/data/dev/inventory"
}

@test "every line of user_activity" {
	judge "$SHARED/data/dev/user_activity"
}

@test "every line of the publishable samples" {
	judge "$SHARED/data/publishable/orders"
	judge "$SHARED/data/publishable/inventory"
}

@test "raw records get the same verdicts, types and tables as bare lines" {
	unpacked "$SHARED/data/dev/sample/orders.ndjson" |
		jq -Rc '{msg: {id: (input_line_number | tostring)}, data: @base64}' | verdicts >got
	# where the list has more than the 32 that are kept, it is another test's business
	awk -F '\t' '{ print $1, ($3 == "ok" ? "ok " $2 : $3) }' "$SHARED/data/dev/sample/orders.expected.tsv" |
		awk -F , 'NF <= 32' | sort >want
	[ "$(wc -l <want)" -gt 90 ]
	sort got | join -j 1 -o 2.1,2.2,2.3 <(cut -d ' ' -f 1 want) - | sed 's/ *$//' | diff want -
}

@test "the JSON suite: each file as one message" {
	for f in "$SHARED"/json-suite/*.json; do
		raw "$(basename "$f")" <"$f"
	done | verdicts >got
	[ "$(wc -l <got)" = "$(ls "$SHARED/json-suite" | wc -l)" ]
	# No file is one of our events. Bad ones are bad_json; good ones are objects without a type, or no objects.
	none '^n_' -v ' bad_json@$'
	none '^y_' -Ev ' (unknown_type@/event_type|bad_json@)$'
	none '^y_object' -v ' unknown_type@/event_type$'
	none ' ok ' .
}

@test "the JSON suite: each text as a member of an event" {
	for f in "$SHARED"/json-suite/*.json; do
		{ printf '{"event_type":"order","x":' && cat "$f" && printf '}'; } | raw "$(basename "$f")"
	done | verdicts >got
	[ "$(wc -l <got)" = "$(ls "$SHARED/json-suite" | wc -l)" ]
	none '^n_' -Ev ' (bad_json|bad_encoding|too_deep)@$'
	sed -En 's/^y_//; T; s/(missing_field@[^,]*|duplicate_field@\/x\/a),?//g; s/,$//; p' got >good
	[ "$(wc -l <good)" -gt 90 ]
	[ -z "$(grep -v ' unknown_field@/x$' good)" ]
	none '^i_' -Ev ' (bad_json@|bad_encoding@|too_deep@|.*unknown_field@/x)'
}

@test "date-times by our rule: no leap second, at most 6 fraction digits" {
	jq -c '.[].tests[] | . + {verdict: (
		if .data == null then "missing_field@/timestamp"
		elif (.data | type) != "string" then "wrong_type@/timestamp"
		elif .valid and (.data | test(":60|[.][0-9]{7}") | not) then "ok user_activity"
		else "bad_timestamp@/timestamp" end)}' "$SHARED/date-time.json" >cases
	[ -s cases ]
	jq -r 'input_line_number as $n | "\($n) \(.verdict)"' cases | sort >want
	jq -c '{msg: {id: (input_line_number | tostring)}, data: ({event_type: "user_activity", user_id: "u",
		activity_type: "login", timestamp: .data} | tojson | @base64)}' cases | verdicts | sort >got
	diff want got
}

@test "naughty strings in string fields pass byte for byte" {
	jq -c '.[] | {event_type: "user_activity", user_id: ., activity_type: "login", timestamp: "2025-02-08T13:09:00Z",
		user_agent: ., metadata: {session_id: .}}' "$SHARED/blns.json" >events
	[ "$(wc -l <events)" -gt 400 ]
	ev-validate -q --events-only <events | cmp events -
	# the same escaped, and as member names, where they are faults and nothing worse
	jq -ac . events | ev-validate -q --events-only | cmp <(jq -ac . events) -
	jq -c '.[] | {event_type: "user_activity", user_id: "u", activity_type: "login", timestamp: "2025-02-08T13:09:00Z",
		metadata: {(.): 1}}' "$SHARED/blns.json" >names
	ev-validate -q --rejects rejects <names >valid
	[ ! -s valid ]
	[ "$(jq -c '.errors | map(.code)' rejects | sort -u)" = '["unknown_field"]' ]
	jq -r '.errors[0].path' rejects >/dev/null
}
