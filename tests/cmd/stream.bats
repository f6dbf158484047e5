#!/usr/bin/env bats
# scripts/stream: its options, its checks before the first pull, and how it ends. What it carries is tests/flow's business.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	stream=$ROOT/scripts/stream
}

teardown() {
	end_all
}

# stages: the processes of the stages of the stream PID.
stages() {
	pgrep -P "$PID"
}

running_stage() { # TOOL
	pgrep -P "$PID" -x "$1" | head -n 1
}

chain_is_up() {
	[ "$(stages | wc -l)" -ge 6 ] && [ -n "$(running_stage ps-pull)" ]
}

refused() { # STATUS PATTERN OPTION...
	local want=$1 pattern=$2
	shift 2
	run "$stream" "$@"
	echo "$output"
	[ "$status" -eq "$want" ]
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == stream:\ cannot\ *$pattern* ]]
}

@test "--help tells every option, --version the version" {
	run -0 "$stream" --help
	[[ $output == usage:\ stream* ]]
	for option in project subscription dlq-topic dataset bucket prefix schemas first idle-exit rotate-seconds rotate-bytes drain check; do
		[[ $output == *--$option* ]]
	done
	run -0 "$stream" -V
	[[ $output =~ ^stream\ \(evpipe\)\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "options that make no sense are refused with 64 and one line that says why" {
	export GOOGLE_CLOUD_PROJECT=test
	refused 64 "'--frist': no such option" --frist lake
	refused 64 "'-x': no such option" -x
	refused 64 "'operand': it takes no operands" operand
	refused 64 "'': it takes no operands" ''
	refused 64 "'-': it takes no operands" -
	refused 64 "it is one of bigquery|lake" --first nowhere
	refused 64 "it is one of bigquery|lake" --first 'bigquery|lake'
	refused 64 "it wants a value" --project
	refused 64 "it is empty" --subscription ''
	refused 64 "twice" --drain 3 --drain=4
	refused 64 "takes no value" --check=yes
	refused 64 "no number of seconds" --idle-exit soon
	refused 64 "no whole number" --max-outstanding 1e3
	refused 64 "no size" --rotate-bytes 64X
	refused 64 "it holds a slash" --bucket gs://b/prefix
}

@test "settings that cannot work together are refused with 64" {
	export GOOGLE_CLOUD_PROJECT=test
	refused 64 "the least is 2" --max-outstanding 1
	refused 64 "the least is 1" --drain 0
	refused 64 "the least is 1" --drain 0.5
	refused 64 "below 600" --rotate-seconds 600
	refused 64 "the least is 1" --rotate-seconds 0
	refused 64 "the least is 32M" --max-bytes 1M
	refused 64 "the least is 1" --max-messages 0
	unset GOOGLE_CLOUD_PROJECT
	refused 64 "no project"
}

@test "a mixture of emulated and real services is refused with 78" {
	PUBSUB_EMULATOR_HOST=127.0.0.1:1 refused 78 "BIGQUERY_EMULATOR_HOST STORAGE_EMULATOR_HOST not" --project test
	export BIGQUERY_EMULATOR_HOST=127.0.0.1:1 STORAGE_EMULATOR_HOST=127.0.0.1:1
	refused 78 "PUBSUB_EMULATOR_HOST not" --project test
}

@test "an environment file gives defaults; options win; a bad line is named" {
	start_emu
	unset GOOGLE_CLOUD_PROJECT
	printf '%s\n' '# the shop' '' 'GOOGLE_CLOUD_PROJECT=test' 'EVPIPE_SUBSCRIPTION="no-such-sub"' "EVPIPE_FIRST='lake'" >env
	run "$stream" --env-file env --check
	[ "$status" -eq 69 ] || [ "$status" -eq 77 ] # the service does not tell the one from the other
	[[ $output == *no-such-sub* ]]
	run -0 "$stream" --env-file env --subscription backend-events-topic-sub --check
	refused 66 "'nowhere'" --env-file nowhere
	echo 'no equals sign' >>env
	refused 78 "line 6 is not KEY=VALUE" --env-file env
	echo 'EVPIPE_DRAIN=never' >env
	refused 78 "EVPIPE_DRAIN: it is no number" --env-file env --project test
	echo 'LD_PRELOAD=x' >env
	refused 78 "LD_PRELOAD" --env-file env --project test
}

@test "a name in an environment file that is no option is warned about, with its line" {
	start_emu
	printf '%s\n' 'GOOGLE_CLOUD_PROJECT=test' 'EVPIPE_ROTATE_SECOND=3' 'EVPIPE_CHECK=1' "EVPIPE_BIN=$B" 'EVPIPE_LOG_FORMAT=json' >env
	run -0 "$stream" --env-file env --check
	echo "$output"
	[ "${#lines[@]}" -eq 3 ]
	jq -e '.severity == "WARNING" and (.message | startswith("\u0027EVPIPE_ROTATE_SECOND\u0027 in line 2 of \u0027env\u0027 "))' <<<"${lines[0]}"
	jq -e '.message | contains("\u0027EVPIPE_CHECK\u0027 in line 3")' <<<"${lines[1]}"
}

@test "values of an environment file are data, not commands" {
	start_emu
	printf '%s\n' 'EVPIPE_SUBSCRIPTION=$(touch hacked)`touch hacked`; touch hacked' >env
	run "$stream" --env-file env --check
	[ "$status" -ne 0 ]
	[ ! -e hacked ]
}

@test "a wrong bucket is found before a message is pulled or a row stored" {
	start_emu
	publish_lines "$(good_order 1)"
	run "$stream" --project test --bucket no-such-bucket --idle-exit 1
	echo "$output"
	[ "$status" -eq 69 ]
	[[ $output == *no-such-bucket* ]]
	[ "$(backlog_of)" = 1 ]
	[ "$(rows_of orders)" = 0 ]
}

@test "all that is wrong is shown at once, and the first one's status is taken" {
	start_emu
	run "$stream" --project test --subscription nosub --bucket nobucket --dlq-topic notopic --idle-exit 1
	echo "$output"
	[ "$status" -eq 69 ] || [ "$status" -eq 77 ]
	[[ $output == *nosub* && $output == *nobucket* && $output == *notopic* ]]
}

@test "a schemas.json that does not fit the tables, or is none, is 78" {
	start_emu
	jq '.tables.orders.fields |= map(select(.name != "status"))' "$EVPIPE_SCHEMAS" >other.json
	jq '.tables.orders.fields += [{"name": "gift", "type": "BOOL"}]' "$EVPIPE_SCHEMAS" >more.json
	run "$stream" --project test --schemas more.json --check
	echo "$output"
	[ "$status" -eq 78 ]
	[[ $output == *gift* ]]
	echo '{' >bad.json
	run "$stream" --project test --schemas bad.json --check
	[ "$status" -eq 78 ]
	[[ $output == *bad.json* ]]
}

@test "--check pulls nothing and says that everything is in its place" {
	start_emu
	publish_lines "$(good_order 1)"
	run -0 "$stream" --project test --check
	[ "$output" = 'stream: everything is in its place' ]
	run -0 "$stream" --project test --check -q
	[ -z "$output" ]
	[ "$(backlog_of)" = 1 ]
}

@test "services that cannot be reached: --check gives up by itself with 75, or tells at a signal what it waited for" {
	export PUBSUB_EMULATOR_HOST=127.0.0.1:1 BIGQUERY_EMULATOR_HOST=127.0.0.1:1 STORAGE_EMULATOR_HOST=127.0.0.1:1
	in_background "$stream" --project test --check --idle-exit 1
	first=$PID
	ERR=err2 in_background "$stream" --project test --check --retry-for 0
	sleep 2
	kill -TERM "$PID"
	status_of "$PID" 5
	cat err2
	[ "$STATUS" = 75 ]
	for tool in ps-pull bq-insert gcs-put dlq-push; do grep -q "^$tool: .*connect" err2; done
	grep -qx 'stream: got SIGTERM before anything was read' err2
	status_of "$first" 25
	cat err
	[ "$STATUS" = 75 ]
	[ "$(grep -c 'gave up' err)" = 4 ]
}

@test "one event goes through, and an idle exit is 0; --first lake does the same" {
	start_emu
	local n=0
	for first in bigquery lake; do
		n=$((n + 1))
		publish_lines "$(good_order $n)" '{"event_type":"order"}'
		run "$stream" --project test --idle-exit 1 --first $first
		echo "$output"
		[ "$status" -eq 0 ]
		[ "$(backlog_of)" = 0 ]
		[ "$(rows_of orders)" = $n ]
		[ "$(backlog_of backend-events-dlq-topic-sub)" = $n ]
		[ "$(find "$EMU_DIR/storage/test-events-output/output/order" -type f -name '*.json' | wc -l)" = $n ]
	done
}

@test "it works through a symbolic link, under another name, from another folder" {
	start_emu
	mkdir elsewhere
	ln -s "$stream" elsewhere/evpipe-stream
	cd elsewhere
	unset EVPIPE_BIN EVPIPE_SCHEMAS
	PATH=$B:$PATH run -0 ./evpipe-stream --project test --check
	run ./evpipe-stream --nope
	[[ $output == evpipe-stream:* ]]
}

@test "SIGTERM: stops, and ends with 0 when all is done; ^C within 2 s counts as the same" {
	start_emu
	publish_lines "$(good_order 1)" "$(good_order 2)"
	in_background "$stream" --project test
	wait_until '[ "$(rows_of orders)" = 2 ]' 20
	kill -TERM "$PID"
	sleep 0.2
	kill -TERM "$PID" || true
	status_of "$PID" 12
	cat err
	[ "$STATUS" = 0 ]
	[ "$(backlog_of)" = 0 ]
	! grep -q 'at once' err
	[ -z "$(stages)" ]
}

@test "SIGTERM with a sink that hangs: after --drain the rest is given back, and the status is 75" {
	start_emu
	in_background "$stream" --project test --drain 2
	wait_until chain_is_up 20
	hung=$(running_stage gcs-put)
	kill -STOP "$hung"
	publish_lines "$(good_order 1)"
	wait_until '[ "$(rows_of orders)" = 1 ]' 20
	kill -TERM "$PID"
	status_of "$PID" 15
	cat err
	[ "$STATUS" = 75 ]
	[ "$(backlog_of)" = 1 ]
	! kill -0 "$hung"
	# given back, not left to run out
	[ "$("$B/ps-pull" -q --max-messages 1 --idle-exit 3 backend-events-topic-sub | wc -l)" = 1 ]
}

@test "a second signal after 2 s ends the rest at once" {
	start_emu
	in_background "$stream" --project test --drain 60
	wait_until chain_is_up 20
	kill -STOP "$(running_stage gcs-put)"
	publish_lines "$(good_order 1)"
	wait_until '[ "$(rows_of orders)" = 1 ]' 20
	kill -TERM "$PID"
	sleep 2.2
	kill -TERM "$PID"
	status_of "$PID" 12
	cat err
	[ "$STATUS" = 75 ]
	grep -q 'at once' err
}

# dies TOOL: with SIGKILL; the chain ends within seconds and says which stage died how.
dies() {
	start_emu
	in_background "$stream" --project test
	wait_until chain_is_up 20
	kill -KILL "$(running_stage "$1")"
	status_of "$PID" 10 || { cat err; stages; false; }
	cat err
	[ "$STATUS" = 137 ]
	grep -q "^stream: $1.* was killed by signal 9" err
	[ -z "$(stages)" ]
	end_all
}

@test "a killed ps-pull brings the chain down with 137 and its name" { dies ps-pull; }
@test "a killed ev-validate brings the chain down with 137 and its name" { dies ev-validate; }
@test "a killed bq-insert brings the chain down with 137 and its name" { dies bq-insert; }
@test "a killed gcs-put brings the chain down with 137 and its name" { dies gcs-put; }
@test "a killed dlq-push brings the chain down with 137 and its name" { dies dlq-push; }

@test "a stage that stops for good gives the chain its status, not 74" {
	start_emu
	in_background "$stream" --project test
	wait_until chain_is_up 20
	faults '{"path":"/upload/*","status":403,"message":"no"}'
	publish_lines "$(good_order 1)"
	status_of "$PID" 30
	cat err
	[ "$STATUS" = 77 ]
	grep -q '^stream: gcs-put ended with 77' err
	[ "$(backlog_of)" = 1 ]
}

@test "kill -9 of the script leaves no process and no folder behind" {
	start_emu
	export TMPDIR=$PWD/tmp
	mkdir tmp
	in_background "$stream" --project test
	wait_until chain_is_up 20
	stages >children
	kill -KILL "$PID"
	[ "$(wc -l <children)" -ge 6 ]
	wait_until '[ -z "$(ps -o pid= -p "$(paste -sd, children)")" ]'
	[ -z "$(ls tmp)" ]
}

@test "messages as JSON, one object a line" {
	start_emu
	run -0 "$stream" --project test --idle-exit 1 --log-format json
	echo "$output"
	for line in "${lines[@]}"; do
		jq -e '.severity and .time and .prog and .message' <<<"$line" >/dev/null
	done
	[[ $output == *'"prog":"stream"'* ]]
}
