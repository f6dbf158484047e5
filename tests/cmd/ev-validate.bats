#!/usr/bin/env bats
# ev-validate as a black box: what goes in, what comes out, and how it ends. Verdicts themselves are the business of
# tests/unit/t-check.c and tests/outside/verdicts.bats.

# shellcheck disable=SC2154 # stderr and stderr_lines are set by run --separate-stderr
bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	LOGIN='{"event_type":"user_activity","user_id":"u1","activity_type":"login","timestamp":"2025-02-08T14:09:00.50+01:00"}'
}

b64() {
	base64 -w 0
}

raw() { # ID EVENT
	printf '{"msg":{"id":"%s"},"data":"%s"}\n' "$1" "$(printf %s "$2" | b64)"
}

# fails STATUS WORDS COMMAND...: it ends like that, and one of its messages holds the words.
fails() {
	local want=$1 words=$2 got=0
	"${@:3}" 2>err || got=$?
	grep -qF -- "$words" err && [ "$got" = "$want" ] || { echo "status $got, wanted $want, and: $words"; cat err; return 1; }
}

bytes() { # N: so many x
	head -c "$1" /dev/zero | tr '\0' x
}

@test "raw record in, valid record out: msg as it came, the event's text as it was, unknown members kept" {
	event=$(printf '\r\n{ "event_type" : "user_activity","user_id":"\\u0061 b",\n"activity_type":"login",\t"timestamp":"2025-02-08T14:09:00.50+01:00" }\n.')
	event=${event%.}
	printf '{"x":[1, 2],"data":"%s","msg":{"id":"7", "n":1.50},"stage":"old","y\\"":null}\n' "$(printf %s "$event" | b64)" |
		ev-validate -q >out
	printf '%s\n' '{"msg":{"id":"7", "n":1.50},"type":"user_activity","table":"user_activity","time":"2025-02-08T13:09:00.5Z","event":  { "event_type" : "user_activity","user_id":"\u0061 b", "activity_type":"login",	"timestamp":"2025-02-08T14:09:00.50+01:00" } ,"x":[1, 2],"y\"":null}' >want
	diff want out
	jq -e .event.user_id out
}

@test "bare event in, valid record with an empty msg out; the last line needs no newline" {
	printf '%s\n%s' "$LOGIN" "$LOGIN" | ev-validate -q >out
	[ "$(wc -l <out)" = 2 ]
	[ "$(tail -n 1 out)" = '{"msg":{},"type":"user_activity","table":"user_activity","time":"2025-02-08T13:09:00.5Z","event":'"$LOGIN"'}' ]
}

@test "a rejected record has the original bytes and every fault, and keeps unknown members" {
	bad='{"event_type":"user_activity","user_id":5}'
	raw 9 "$bad" | sed 's/}$/,"data2":"d"}/' | ev-validate -q --rejects bad >out
	[ ! -s out ]
	jq -c '[.msg, (.data | @base64d), .stage, (.errors | map([.code, .path])), .data2]' bad >got
	printf '%s\n' '[{"id":"9"},"{\"event_type\":\"user_activity\",\"user_id\":5}","ev-validate",[["missing_field","/activity_type"],["missing_field","/timestamp"],["wrong_type","/user_id"]],"d"]' >want
	diff want got
	[ "$(jq -r '.errors[2].detail' bad)" = 'a STRING is a JSON string; found the number 5' ]
}

@test "bytes that are no text survive in a rejected record" {
	printf '\xff\x00{\x80"' | b64 >data
	printf '{"msg":{"id":"1"},"data":"%s"}\n' "$(cat data)" | ev-validate -q --rejects bad
	[ "$(jq -r .data bad)" = "$(cat data)" ]
	[ "$(jq -c '.errors | map(.code)' bad)" = '["bad_json"]' ]
}

@test "rejects go to a file, which is appended to, to a descriptor, to a FIFO" {
	echo '{}' >bare
	ev-validate -q --rejects bad <bare
	ev-validate -q --rejects bad <bare
	ev-validate -q --rejects fd:7 <bare 7>>bad
	mkfifo f
	cat f >>bad &
	ev-validate -q --rejects f <bare
	wait
	[ "$(grep -c unknown_type bad)" = 4 ]
}

@test "without --rejects it is a linter: a line a fault, status 1, the good ones still come out" {
	printf '%s\n' "$LOGIN" '{"event_type":"user_activity","user_id":"u","activity_type":"sing","timestamp":"2025-02-08"}' >events
	run --separate-stderr -1 ev-validate -q events
	[ "${#lines[@]}" = 1 ]
	printf '%s\n' 'events:2: not_in_enum at /activity_type: one of "login", "logout", "view_product", "add_to_cart"; found the string "sing"' \
		'events:2: bad_timestamp at /timestamp: RFC 3339 wants YYYY-MM-DDThh:mm:ss[.ffffff] and Z or +hh:mm' >want
	diff want <(printf '%s\n' "$stderr")
	printf '%s\n' "$LOGIN" | ev-validate -q
	run --separate-stderr -1 ev-validate -q <<<'nonsense'
	[ "${stderr%%:*}" = stdin ]
}

@test "what a linter prints cannot steer a terminal" {
	printf '{"event_type":"user_activity","user_id":"u","activity_type":"login","timestamp":"2025-02-08T13:09:00Z","\\u001b[2J\\u009b\\n":1}\n' >events
	run --separate-stderr -1 ev-validate -q events
	[ "${stderr//[^[:print:]]/}" = "$stderr" ]
	[ "${#stderr_lines[@]}" = 1 ]
	[[ $stderr = 'events:1: unknown_field at /\u001b[2J\u009b\u000a:'* ]]
}

@test "the tally at the end" {
	printf '%s\n' "$LOGIN" '{}' "$LOGIN" | ev-validate --rejects /dev/null 2>err >out
	[ "$(cat err)" = 'ev-validate: in 3, done 2, rejected 1, in flight 0' ]
}

@test "--events-only prints bare events, --unknown drop cuts unknown members out of them" {
	event='{"a":1,"event_type":"user_activity", "b":[{}] ,"user_id":"u","activity_type":"login","metadata":{"x":{}},"timestamp":"2025-02-08T13:09:00Z","c":"}"}'
	raw 1 "$event" | ev-validate -q --events-only --unknown drop >out
	[ "$(cat out)" = '{"event_type":"user_activity", "user_id":"u","activity_type":"login","metadata":{},"timestamp":"2025-02-08T13:09:00Z"}' ]
}

@test "a line of the other kind ends it with 65, what came before is passed on" {
	{ raw 1 "$LOGIN" && echo "$LOGIN"; } >mixed
	fails 65 "line 2: it is a bare event" ev-validate mixed >out
	[ "$(jq -r .msg.id out)" = 1 ]
	{ echo "$LOGIN" && raw 1 "$LOGIN"; } >mixed
	fails 65 "line 2: it is a record among bare events" ev-validate mixed >out
	[ "$(wc -l <out)" = 1 ]
	raw 1 "$LOGIN" | fails 65 "line 1: it is a record among bare events" ev-validate --input bare
	echo "$LOGIN" | fails 65 "line 1: it is a bare event" ev-validate --input records
	echo nonsense | fails 65 "line 1: " ev-validate --input records
	{ raw 1 "$LOGIN" && echo nonsense; } | fails 65 "line 2: " ev-validate
}

@test "a bare event whose msg is no object is no record, and no valid event either" {
	fails 1 'unknown_field at /msg' ev-validate <<<"${LOGIN%\}},\"msg\":\"hello\"}"
}

@test "records that are not raw are refused" {
	raw 1 "$LOGIN" | ev-validate -q >valid
	fails 65 "line 1: it is a valid record" ev-validate valid
	raw 1 '{}' | ev-validate -q --rejects bad
	fails 65 "line 1: it is a rejected record" ev-validate bad
	fails 65 "line 1: it is a receipt" ev-validate <<<'{"msg":{"id":"1"}}'
	fails 65 "line 1: its member 'msg.id' is not a string" ev-validate <<<'{"msg":{"id":1},"data":""}'
	fails 65 "line 1: its data is not base64" ev-validate <<<'{"msg":{"id":"1"},"data":"e30"}'
}

@test "a torn record is dropped, with a message and 65" {
	{ raw 1 "$LOGIN" && raw 2 "$LOGIN" | head -c 100; } >torn
	fails 65 "line 2: it is torn" ev-validate torn >out
	[ "$(wc -l <out)" = 1 ]
	raw 2 "$LOGIN" | tr -d '\n' | fails 65 "line 1: it is torn" ev-validate
}

@test "a bare line too long for a message is rejected: its place, its length, its first 64 KiB" {
	for n in 11000000 18000000; do
		{ echo "$LOGIN" && bytes $n && echo && echo "$LOGIN"; } | ev-validate -q --rejects bad.$n >out
		[ "$(wc -l <out)" = 2 ]
		[ "$(jq -r '.data | @base64d' bad.$n | wc -c)" = $((65536 + 1)) ]
		[ "$(jq -c '.errors | map(.code)' bad.$n)" = '["bad_json"]' ]
		[[ "$(jq -r '.errors[0].detail' bad.$n)" = "line 2 is $n bytes long"* ]]
	done
	bytes 18000000 | ev-validate -q --rejects bad
	[ "$(wc -l <bad)" = 1 ]
}

@test "a record line too long, or data beyond 10 MiB, is 65" {
	{ printf '{"msg":{},"data":"' && bytes 18000000 && echo '"}'; } | fails 65 "line 1: a record is at most 16 MiB" ev-validate
	{ printf '{"msg":{"id":"1"},"data":"' && bytes 10485761 | b64 && echo '"}'; } >big
	fails 65 "line 1: its data is more than 10 MiB" ev-validate big
	{ printf '{"msg":{"id":"1"},"data":"' && bytes 10485760 | b64 && echo '"}'; } >big
	ev-validate -q --rejects bad big
	[ "$(jq -r .data bad | wc -c)" = 13981017 ]
}

@test "an empty line is an event like any other, and a bad one" {
	run --separate-stderr -1 ev-validate -q < <(printf '\n \r\n')
	[ "${stderr_lines[0]%% at*}" = 'stdin:1: bad_json: an empty text' ]
	[ "${#stderr_lines[@]}" = 2 ]
	ev-validate -q </dev/null
}

@test "a schemas.json that is missing or broken is 78, and says where" {
	fails 78 "cannot load schemas '/nowhere': " ev-validate --schemas /nowhere </dev/null
	jq '.tables.orders.fields[1].mode = "OPTIONAL"' "$ROOT/schemas.json" >schemas.json
	fails 78 "cannot load schemas 'schemas.json': tables.orders.fields[1].mode: 'OPTIONAL' is none of" \
		ev-validate --schemas schemas.json --check
	fails 78 "tables.orders.fields[1].mode" env -u EVPIPE_SCHEMAS ev-validate </dev/null
	ev-validate --check 2>err
	grep -q '3 tables' err
}

@test "usage, missing input, closed and full outputs" {
	fails 64 "--nonsense" ev-validate --nonsense
	fails 64 "too many operands" ev-validate a b
	fails 64 "fd:99" ev-validate --rejects fd:99 </dev/null
	fails 64 "standard output" ev-validate --rejects - </dev/null
	fails 66 "cannot read 'nowhere.ndjson'" ev-validate nowhere.ndjson
	fails 74 "cannot read '.'" ev-validate .
	echo "$LOGIN" >events
	fails 74 "No space left on device" ev-validate events >/dev/full
	fails 74 "No space left on device" ev-validate --rejects /dev/full <<<'{}'
	mkfifo f
	sleep 60 >f &
	{ ev-validate <f 2>err; echo $? >status; } | read -rt 0.2 || true
	writer=$!
	wait_until '[ -s status ]'
	kill "$writer"
	[ "$(cat status)" = 74 ]
	grep -q 'its reader has gone' err
}

@test "it links neither network nor crypto libraries" {
	ldd "$B/ev-validate" >libs
	run ! grep -E 'curl|ssl|crypto' libs
}

@test "help names every option of the manual's synopsis, and the other way round" {
	ev-validate --help | grep -oE -- '--[a-z-]+' | sort -u | grep -vE -- '--(help|version|verbose|quiet)$' >help
	sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p' "$ROOT/man/ev-validate.1" | grep -oE 'Fl -[a-z-]+' | sed 's/Fl /-/' | sort -u >manual
	diff help manual
}

@test "the manual's examples do what it says" {
	# blocks of "$ command" and its output; what is shown by the first "cat FILE" is put there beforehand
	awk '/^\.Bd -literal$/ { on = 1; next } /^\.Ed/ { on = 0 } on' "$ROOT/man/ev-validate.1" |
		awk '/^ps-pull/ { exit } { print }' >examples
	awk '/^\$ / { on = $0 == "$ cat events.ndjson"; next } on' examples >events.ndjson
	[ "$(wc -l <events.ndjson)" = 3 ]
	while IFS= read -r line; do
		[ "${line#\$ }" = "$line" ] || { printf '%s\n' "$line" && bash -c "${line#\$ }"; }
	done <examples >got
	diff examples got
}

@test "the example in schemas(5) is good, and so are its events" {
	awk '/^\.Bd -literal$/ { on = 1; next } /^\.Ed/ { on = 0 } on' "$ROOT/man/schemas.5" >schemas.json
	echo '{"event_type":"refund","refund_id":"123e4567-e89b-12d3-a456-426614174000","order_id":"1","at":"2025-02-08T13:09:00Z","amount":0.01,"reasons":["late"]}' |
		ev-validate -q --schemas schemas.json >out
	[ "$(jq -r .table out)" = refunds ]
}

@test "a file's end passes in its place, is no event, and is nothing to --events-only" {
	end() { printf '{"msg":{"source":"%s"},"end":%d}\n' "$1" "$2"; }
	{ end a@1 0; raw b@1:1 "$LOGIN"; raw b@1:2 nonsense; end b@1 2; raw c@1:1 "$LOGIN"; } >in
	ev-validate --rejects bad <in >out 2>err
	[ "$(jq -c '.end // .msg.id' out | paste -sd ' ')" = '0 "b@1:1" 2 "c@1:1"' ]
	sed -n 3p out | cmp - <(end b@1 2)
	grep 'in 3, done 2, rejected 1' err
	ev-validate --events-only --rejects bad <in >out
	[ "$(grep -c user_activity out)" = "$(wc -l <out)" ]
}
