#!/usr/bin/env bats
# What goes wrong from outside, for every tool of the chain: each time one message in the contract's grammar, the right exit
# status, and nothing acknowledged or receipted that was not stored.

bats_require_minimum_version 1.5.0
load ../lib

SUB=backend-events-topic-sub
TOPIC=backend-events-topic
DATASET=ecommerce_events
LAKE=gs://test-events-output/output

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	raw 1 >raw
	good_order 1 >bare
	ev-validate -q --rejects rejects <raw >valid
	rejected 1 >bad
}

teardown() {
	end_all
}

raw() { # ID
	printf '{"msg":{"id":"%s","source":"projects/test/subscriptions/s","time":"2025-02-08T13:09:00Z"},"data":"%s"}\n' \
		"$1" "$(good_order "$1" | base64 -w0)"
}

rejected() { # ID
	printf '{"msg":{"id":"%s"},"data":"e30=","stage":"ev-validate","errors":[{"code":"unknown_type","path":"","detail":"d"}]}\n' "$1"
}

# fails STATUS PATTERN TOOL ARGUMENT...: with this status; the last message but the tally (in $said) begins "TOOL: cannot" and
# matches the pattern, and no receipt or record came out. Standard input is the caller's.
fails() {
	local want=$1 pattern=$2 status=0
	shift 2
	timeout 20 "$@" >out 2>err || status=$?
	cat err
	[ "$status" -eq "$want" ]
	said=$(grep -v '^[a-z-]*: in [0-9]*, done ' err | tail -n 1)
	[[ $said =~ ^$1:\ cannot\ [a-z]+\ .*\'.+\':\ .+ ]]
	# shellcheck disable=SC2053 # a pattern
	[[ $said == *$pattern* ]]
	[ ! -s out ]
	run ! grep -q 'Main St\|c3RyZWV0' err
}

# pull_through TOOL ARGUMENT...: one message through ps-pull and the tool, whose output are the receipts; the tool's status is in
# STAGE, ps-pull's in PULL.
pull_through() {
	publish_lines "$(good_order 1)"
	mkfifo acks
	(
		set +e
		ps-pull -q --acks acks --idle-exit 2 $SUB 2>pull.err | {
			"$@" >acks 2>stage.err
			echo $? >stage
			exit 0
		}
		echo "${PIPESTATUS[0]}" >pull
	)
	STAGE=$(cat stage) PULL=$(cat pull)
	cat pull.err stage.err
	[ "$(backlog_of)" = 1 ]
}

# ---- the schemas -----------------------------------------------------------------------------------------------------

@test "schemas.json: missing, a folder, empty, cut off, no JSON, another shape: 78, and the file is named" {
	mkdir folder
	: >empty
	head -c 500 "$EVPIPE_SCHEMAS" >half
	printf '\377\376{}' >noise
	echo '[]' >array
	echo '{"discriminator":"event_type","tables":{}}' >none
	head -c 5000000 /dev/zero | tr '\0' '[' >huge
	for file in nowhere folder empty half noise array none huge; do
		fails 78 "'$file'" ev-validate --schemas "$file" --rejects rejects <raw
	done
	[ ! -s rejects ]
	BIGQUERY_EMULATOR_HOST=127.0.0.1:1 EVPIPE_SCHEMAS=half fails 78 "'half'" bq-insert test:d <valid
}

@test "schemas.json: what is wrong inside is named with its place: 78" {
	local -A edit=(
		[foo]='.foo = 1'
		[tables.orders.fields]='.tables.orders.fields = []'
		['fields[0].type']='.tables.orders.fields[0].type = "GEOGRAPHY"'
		['fields[0].mode']='.tables.orders.fields[0].mode = 5'
		['fields[0].name']='.tables.orders.fields[0].name = "a/b"'
		["'msg' is reserved"]='.tables.orders.fields[0].name = "msg"'
		['fields[0].enum']='.tables.orders.fields[0].enum = [1]'
		['there already']='.tables.orders.fields += [.tables.orders.fields[0] | .name |= ascii_upcase]'
		['tables.orders2.event_type']='.tables.orders2 = .tables.orders'
	)
	for place in "${!edit[@]}"; do
		jq "${edit[$place]}" "$EVPIPE_SCHEMAS" >edited
		fails 78 "'edited': " ev-validate --schemas edited <raw
		[[ $said == *"$place"* ]]
	done
}

@test "a broken schemas.json in the chain: nothing is acknowledged" {
	start_emu
	echo '{' >broken
	pull_through ev-validate --schemas "$PWD/broken" --rejects rejects
	[ "$STAGE" = 78 ]
	[ "$PULL" = 74 ]
}

# ---- what is not there -------------------------------------------------------------------------------------------------

@test "an unknown subscription, topic, dataset, bucket: 69, named, and what to do" {
	start_emu
	fails 69 "/subscriptions/nowhere': HTTP 404*create it" ps-pull nowhere
	fails 69 "/topics/nowhere': HTTP 404*create it" dlq-push nowhere <bad
	fails 69 "/topics/nowhere': HTTP 404*create it" ps-push nowhere <bare
	fails 69 "'test:nowhere.*': HTTP 404*create it" bq-insert nowhere <valid
	fails 69 "'gs://nowhere': HTTP 404*create it" gcs-put gs://nowhere/output <valid
}

@test "an unknown table: 69; a table with other columns: 78 and the column; before any row is stored" {
	start_emu
	local tables=http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/datasets/$DATASET/tables
	curl -sSf -X DELETE "$tables/user_activity"
	fails 69 "user_activity': HTTP 404" bq-insert $DATASET <valid
	curl -sSf -X POST "$tables" -o reply -d '{"tableReference":{"projectId":"test","datasetId":"ecommerce_events",
	    "tableId":"user_activity"},"schema":{"fields":[{"name":"user_id","type":"INT64","mode":"REQUIRED"}]}}'
	fails 78 "column user_id*terraform apply" bq-insert $DATASET <valid
	[ "$(rows_of orders)" = 0 ]
}

@test "what was there when it began and is gone: 69, nothing acknowledged" {
	start_emu
	ev-validate -q --rejects rejects <raw >valid
	faults '{"path":"*/insertAll","status":404},{"path":"/upload/*","status":404},{"path":"*:publish","status":404}'
	fails 69 "HTTP 404" bq-insert --rejects rows $DATASET <valid
	[ ! -s rows ]
	fails 69 "HTTP 404" gcs-put $LAKE <valid
	fails 69 "HTTP 404" dlq-push $TOPIC <bad
	faults
	[ "$(rows_of orders)" = 0 ]
	[ "$(backlog_of)" = 0 ]
}

# ---- the token ---------------------------------------------------------------------------------------------------------

each_caller() { # STATUS PATTERN TOKEN-FILE
	fails "$1" "$2" ps-pull --access-token-file "$3" $SUB
	fails "$1" "$2" bq-insert --access-token-file "$3" $DATASET <valid
	fails "$1" "$2" gcs-put --access-token-file "$3" $LAKE <valid
	fails "$1" "$2" dlq-push --access-token-file "$3" $TOPIC <bad
	fails "$1" "$2" ps-push --access-token-file "$3" $TOPIC <bare
	run ! grep -q swordfish err
}

@test "a token that is refused: 77, and the token is in no message" {
	start_emu --auth
	echo swordfish >token
	each_caller 77 'HTTP 401*get a fresh access token' token
}

@test "a token file that is missing, empty, or holds what no token holds: 77" {
	start_emu --auth
	: >empty
	printf '\n\n' >blank
	printf 'swordfish with blanks' >words
	printf 'swordfish\r\nX-Header: y' >header
	head -c 100000 /dev/zero | tr '\0' s >long
	for file in nowhere empty blank words header long .; do
		each_caller 77 "'$file'" $file
	done
}

@test "a token with the newline that an editor leaves is fine; one that ends meanwhile is read again once, then 77" {
	start_emu --auth
	local token=$EMU_DIR/token
	printf '%s\r\n\n' "$(cat "$token")" >token
	faults '{"path":"*/insertAll","status":401,"times":1}'
	bq-insert -vv --access-token-file token $DATASET <valid >out 2>err
	cmp valid out
	run ! grep -qF "$(cat "$token")" err
	faults '{"path":"/upload/*","status":401},{"path":"*:publish","status":401}'
	fails 77 'HTTP 401' gcs-put --access-token-file token $LAKE <valid
	fails 77 'HTTP 401' dlq-push --access-token-file token $TOPIC <bad
}

# ---- output that fails ---------------------------------------------------------------------------------------------------

@test "a full disk under the output: 74" {
	[ -c /dev/full ] || skip "no /dev/full here"
	start_emu
	publish_lines "$(good_order 1)"
	local full="'standard output': No space left on device"
	to_full() {
		"$@" >/dev/full
	}
	for tool in "ev-validate --rejects rejects" "bq-insert $DATASET" "gcs-put $LAKE" "dlq-push backend-events-dlq-topic" \
		"ps-push --input records backend-events-dlq-topic" "ps-pull --idle-exit 5 $SUB"; do
		local in=valid status=0
		case $tool in
		ev-validate* | ps-push*) in=raw ;;
		dlq-push*) in=bad ;;
		esac
		# shellcheck disable=SC2086 # several words
		to_full timeout 20 $tool <$in 2>err || status=$?
		cat err
		[ "$status" = 74 ]
		grep -q "^${tool%% *}: cannot write $full" err
	done
	[ "$(backlog_of)" = 1 ]
}

@test "a full disk under the rejects: 74, and what was rejected is not acknowledged" {
	[ -c /dev/full ] || skip "no /dev/full here"
	start_emu
	fails 74 "'/dev/full': No space left" ev-validate --rejects /dev/full <<<'{}'
	sed 's/"quantity":1/"quantity":"x"/' valid >invalid
	fails 74 "'/dev/full': No space left" bq-insert --rejects /dev/full $DATASET <invalid
	publish_lines '{"event_type":"nothing"}'
	mkfifo acks
	run -0 bash -c "ps-pull -q --acks acks $SUB 2>pull.err | ev-validate -q --rejects /dev/full >acks 2>stage.err
	    echo \"\${PIPESTATUS[*]}\" >statuses"
	[ "$(cat statuses)" = '74 74' ]
	[ "$(backlog_of)" = 1 ]
}

@test "a full disk under gcs-put's temporary files: 74, no receipt" {
	[ "$(id -u)" = 0 ] || skip "mounting a small tmpfs needs root"
	mkdir tiny
	mount -t tmpfs -o size=64k tmpfs tiny 2>err || skip "no tmpfs can be mounted here"
	start_emu
	# random enough not to be compressed away; more than the 32 MB that are held in memory
	head -c 48000000 /dev/urandom | base64 -w 1000 |
		awk '{printf "{\"msg\":{\"id\":\"%d\"},\"type\":\"order\",\"table\":\"orders\",\"time\":\"t\",\"event\":{\"x\":\"%s\"}}\n", NR, $0}' >much
	status=0
	TMPDIR=$PWD/tiny timeout 60 gcs-put --rotate-bytes 1G --max-held 1000000 --max-held-bytes 1G $LAKE <much >out 2>err || status=$?
	umount tiny
	cat err
	[ "$status" = 74 ]
	grep -Eq "^gcs-put: cannot [a-z]+ .*No space left on device" err
	[ ! -s out ]
}

@test "a closed descriptor instead of input or output: 66 or 74, before anything is done" {
	start_emu
	publish_lines "$(good_order 1)"
	for tool in "ev-validate --rejects rejects" "bq-insert $DATASET" "gcs-put $LAKE" "dlq-push $TOPIC" "ps-push $TOPIC" "ps-pull $SUB"; do
		# shellcheck disable=SC2086 # several words
		{
			status=0
			$tool <raw 2>err >&- || status=$?
			[ "$status" = 74 ]
			grep -q "^${tool%% *}: cannot start: standard output is closed" err
			status=0
			$tool <&- 2>err >out || status=$?
			[ "$status" = 66 ]
			grep -q "^${tool%% *}: cannot start: standard input is closed" err
		}
	done
	bq-insert $DATASET <valid >out 2>&-
	cmp valid out
	[ "$(backlog_of)" = 1 ]
}

@test "a pipe whose reader has left: 74 at once, with nothing to write too" {
	start_emu
	publish_lines "$(good_order 1)"
	mkfifo never
	exec 9<>never
	for tool in "ev-validate --rejects rejects" "bq-insert $DATASET" "gcs-put $LAKE" "dlq-push $TOPIC" "ps-push $TOPIC" "ps-pull $SUB"; do
		run -0 bash -c "timeout 20 $tool <never 2>err 9>&- | true; echo \${PIPESTATUS[0]} >status"
		cat err
		[ "$(cat status)" = 74 ]
		grep -q "^${tool%% *}: cannot write 'standard output': its reader has gone" err
	done
	exec 9>&-
	[ "$(backlog_of)" = 1 ]
}

@test "a reader of the messages that leaves does not end the tool" {
	start_emu
	publish_lines "$(good_order 1)"
	ps-pull --max-messages 1 $SUB >out 2> >(true)
	[ "$(wc -l <out)" = 1 ]
	bq-insert -vv $DATASET <valid >out 2> >(true)
	cmp valid out
}

# ---- lines -----------------------------------------------------------------------------------------------------------------

long_line() { # BEFORE AFTER
	printf '%s' "$1"
	head -c 17000000 /dev/zero | tr '\0' x
	printf '%s\n' "$2"
}

@test "a line over 16 MiB in a stream of records: 65, its number and length" {
	start_emu
	long_line '{"msg":{"id":"2"},"data":"' '"}' >long
	cat long raw >in
	fails 65 "line 1: " ev-validate --rejects rejects <in
	[ ! -s rejects ]
	fails 65 "line 1 of 'standard input': it is 17000028 bytes" ps-push --input records $TOPIC <in
	long_line '{"msg":{"id":"2"},"data":"e30=","stage":"s","errors":[{"code":"' '"}]}' >in
	fails 65 "line 1 of 'standard input': it is 17000067 bytes" dlq-push $TOPIC <in
	long_line '{"msg":{"id":"2"},"type":"order","table":"orders","time":"2025-02-08T13:09:00Z","event":{"a":"' '"}}' >in
	fails 65 "line 1 of 'standard input': it is 17000097 bytes" bq-insert $DATASET <in
	fails 65 "line 1: it is longer" gcs-put $LAKE <in
	[ "$(backlog_of)" = 0 ]
}

@test "a line over 16 MiB among bare events is rejected, with its place and length; the others pass" {
	long_line '{"event_type":"order","x":"' '"}' >long
	cat bare long bare >in
	ev-validate -q --rejects rejects --input bare <in >out
	[ "$(wc -l <out)" = 2 ]
	[ "$(jq -r '.errors[0] | .code + " " + .detail' rejects)" = \
		'bad_json line 2 is 17000029 bytes long, a message at most 10485760; data holds its first 65536' ]
}

@test "a receipt over 16 MiB: 65, nothing acknowledged" {
	start_emu
	publish_lines "$(good_order 1)"
	mkfifo acks
	in_background ps-pull --acks acks $SUB
	long_line '{"msg":{"id":"' '"}}' >acks
	status_of "$PID" 10
	[ "$STATUS" = 65 ]
	grep -q "^ps-pull: cannot take line 1 of 'acks' for a receipt: " err
	[ "$(backlog_of)" = 1 ]
}

@test "a torn last line of a stream of records: 65; the lines before it count" {
	start_emu
	torn() { # FILE
		cat "$1"
		printf '%s' "$(cat "$1")"
	}
	status=0
	torn raw | ev-validate --rejects rejects >out 2>err || status=$?
	[ "$status" = 65 ] && [ "$(wc -l <out)" = 1 ] && grep -q "line 2: it is torn" err
	for tool in "bq-insert $DATASET" "gcs-put $LAKE" "dlq-push backend-events-dlq-topic"; do
		in=valid status=0
		[[ $tool != dlq-push* ]] || in=bad
		# shellcheck disable=SC2086 # several words
		torn $in | $tool >out 2>err || status=$?
		cat err
		[ "$status" = 65 ]
		[ "$(wc -l <out)" = 1 ]
		grep -q "line 2.*torn" err
	done
	[ ! -s rejects ]
}

@test "records of the wrong kind, and noise, are 65 and name the line" {
	start_emu
	echo '{"msg":{"id":"1"}}' >receipt
	echo '{"object":"gs://b/o","generation":"1","table":"orders","rows":1}' >object
	printf '\0\0\n' >nul
	printf '\377\376\n' >noise
	echo >empty
	echo '[]' >array
	echo '{"msg":{"id":5},"data":"e30="}' >id
	echo '{"msg":{"id":"1","attributes":[]},"data":"e30="}' >attributes
	echo '{"msg":{"id":"1"},"data":"?"}' >base64
	for file in receipt object nul noise empty array id attributes base64 bare; do
		fails 65 "'stdin': line 1: " ev-validate --input records --rejects rejects <$file
		fails 65 "line 1" bq-insert --rejects rejects $DATASET <$file
		fails 65 "line 1" gcs-put $LAKE <$file
		fails 65 "line 1 of 'standard input'" dlq-push $TOPIC <$file
	done
	for file in receipt object nul noise empty array id attributes; do
		fails 65 "line 1 of 'standard input'" ps-push --input records $TOPIC <$file
	done
	fails 65 "it is a raw record" bq-insert $DATASET <raw
	fails 65 "it is a valid record" ev-validate --rejects rejects <valid
	[ ! -s rejects ]
	[ "$(backlog_of)" = 0 ]
}

@test "a type that would climb out of its folder stays in it" {
	start_emu
	for type in ../../x a/b . ..; do
		sed "s#\"type\":\"order\"#\"type\":\"$type\"#" valid >in
		gcs-put -q $LAKE <in >out
		[ "$(cat out)" = '{"msg":{"id":"1"}}' ]
	done
	curl -sf "http://127.0.0.1:$EMU_PORT/storage/v1/b/test-events-output/o?prefix=output/" | jq -r '.items[].name' >names
	[ "$(wc -l <names)" = 4 ]
	run ! grep -Eqv '^output/[^/]+/2025/02/08/13/09/[^/]+$' names
	run ! grep -Eq '(^|/)\.\.?(/|$)' names
}

# ---- endpoints and faults ---------------------------------------------------------------------------------------------------

@test "an emulator's address that is none: 78, before anything is sent" {
	export GOOGLE_CLOUD_PROJECT=test
	for host in 'x y' https://127.0.0.1:1 / http:// 127.0.0.1:99999 8085 '[::1' $'a\nb'; do
		export PUBSUB_EMULATOR_HOST=$host BIGQUERY_EMULATOR_HOST=$host STORAGE_EMULATOR_HOST=$host
		for tool in "ps-pull $SUB" "bq-insert $DATASET" "gcs-put $LAKE" "dlq-push $TOPIC" "ps-push $TOPIC"; do
			status=0
			# shellcheck disable=SC2086 # several words
			timeout 20 $tool <valid >out 2>err || status=$?
			echo "$tool $host: $status $(cat err)"
			[ "$status" = 78 ]
			grep -q "^${tool%% *}: cannot " err
			[ ! -s out ]
		done
	done
}

@test "a service that does not come back: 75 after --retry-for, in the grammar, with few requests" {
	start_emu
	faults '{"path":"*/insertAll","status":503},{"path":"/upload/*","status":429},{"path":"*:publish","reset":true}'
	fails 75 "gave up after" bq-insert --retry-for 1 $DATASET <valid
	fails 75 "gave up after" gcs-put --retry-for 1 $LAKE <valid
	fails 75 "gave up after" dlq-push --retry-for 1 $TOPIC <bad
	faults '{"path":"*/insertAll","garbage":true}'
	fails 75 "cannot be understood" bq-insert --retry-for 1 $DATASET <valid
	[ "$(curl -sf "http://127.0.0.1:$EMU_PORT/emu/faults" | jq '.rules[0].applied')" -lt 20 ]
	faults
	[ "$(backlog_of)" = 0 ]
}

@test "an option's bound is told, also where there is no upper one" {
	run -64 gcs-put --max-held-bytes 0 $LAKE
	[ "$output" = "gcs-put: cannot take '0' for --max-held-bytes: the least is 1; see gcs-put --help" ]
	run -64 ps-pull --lease 61 $SUB
	[[ $output == *"the range is 1 to 60; see ps-pull --help" ]]
}
