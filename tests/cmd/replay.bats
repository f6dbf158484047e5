#!/usr/bin/env bats
# scripts/replay: dead letters go back where they came from, as they were; what is refused or dies again stays, and nothing hangs.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	replay=$ROOT/scripts/replay
	unset EVPIPE_TOPIC EVPIPE_DLQ_SUBSCRIPTION
}

teardown() {
	end_all
}

DLQ_SUB=backend-events-dlq-topic-sub

# die LINE...: each as a dead letter, as ev-validate and dlq-push would make it.
die() {
	local line n=0
	for line in "$@"; do
		printf '{"msg":{"id":"%d","source":"projects/p/subscriptions/s","attributes":{"k":"v"}},"data":"%s","stage":"ev-validate","errors":[{"code":"bad_json","path":"","detail":"d"}]}\n' \
			$((n += 1)) "$(printf %s "$line" | base64 -w 0)"
	done | dlq-push -q backend-events-dlq-topic >receipts
	[ "$(wc -l <receipts)" = $# ]
}

# the data in the main subscription, sorted
arrived() {
	ps-pull -q --idle-exit 1 backend-events-topic-sub | jq -r '.data | @base64d' | sort
}

@test "--help and --version; options that make no sense are 64 and say why" {
	run -0 "$replay" --help
	[[ $output == usage:\ replay* ]]
	run -0 "$replay" -V
	[[ $output == "replay (evpipe) "* ]]
	local options
	while IFS='|' read -r options why; do
		# shellcheck disable=SC2086 # words
		run -64 "$replay" $options
		[[ $output == *"$why"* ]] || { echo "$options: $output"; return 1; }
	done <<- 'END'
		--topic t|no project
		--project p --max-replays x|it is no whole number
		--project p --idle-exit 0|the least is 1
		--project p --max-messages 0|the least is 1
		--project p --subscription s|no such option
		--project p t|it takes no operands
	END
}

@test "what is missing is found before anything is taken" {
	start_emu
	run -0 "$replay" --project test --check
	[[ $output == *"everything is in its place"* ]]
	run -69 "$replay" --project test --topic nothing
	[[ $output == *nothing* ]]
	run -69 "$replay" --project test --dlq-subscription nothing
}

@test "dead letters are published as they were, and acknowledged; an environment file of the stream's does no harm" {
	start_emu
	die one two 'three "3"'
	printf '%s\n' 'EVPIPE_SUBSCRIPTION=backend-events-topic-sub' 'EVPIPE_DLQ_TOPIC=backend-events-dlq-topic' >env
	run -0 "$replay" --project test --idle-exit 1 --env-file env
	[ "$(arrived)" = "$(printf '%s\n' one two 'three "3"' | sort)" ]
	[ "$(backlog_of $DLQ_SUB)" = 0 ]
	ps-pull -q --idle-exit 1 backend-events-topic-sub | jq -c .msg.attributes | sort -u >attributes
	[ "$(cat attributes)" = '{"k":"v","dlq_replays":"1"}' ]
}

@test "what is refused stays, is named, and does not keep the run from ending: 65" {
	start_emu
	die good
	printf '%s\n' '{"msg":{"id":"x","attributes":{"dlq_version":"9"}},"data":"eA=="}' | ps-push -q backend-events-dlq-topic >/dev/null
	run -65 timeout 30 "$replay" --project test --idle-exit 1
	[[ $output == *"its dlq_version is '9'"* ]]
	[ "$(arrived)" = good ]
	[ "$(backlog_of $DLQ_SUB)" = 1 ]
	# given back, not left leased
	run -0 ps-pull -q --idle-exit 1 --max-messages 1 $DLQ_SUB
	[ "${#lines[@]}" = 1 ]
}

@test "what dies again during a replay waits for the next one: no message goes round in circles" {
	start_emu
	die '{"event_type":"order"}' # of which nothing will become
	in_background "$ROOT/scripts/stream" --project test
	local stream=$PID
	run -0 timeout 30 "$replay" --project test --idle-exit 3
	[[ $output == *"left "*"dead letters of"* ]]
	wait_until '[ "$(backlog_of $DLQ_SUB)" = 1 ]'
	kill -TERM "$stream"
	status_of "$stream" 20
	run -0 ps-pull -q --idle-exit 1 --max-messages 1 $DLQ_SUB
	[ "$(jq -r .msg.attributes.dlq_replays <<<"$output")" = 1 ]
}

@test "SIGTERM, and a service that does not answer, end it: 75, and nothing is lost" {
	start_emu
	die one two
	faults '{"path":"*backend-events-topic:publish","status":503}'
	run -75 timeout 30 "$replay" --project test --retry-for 1 --idle-exit 5
	[ "$(backlog_of $DLQ_SUB)" = 2 ]
	in_background "$replay" --project test --drain 1
	wait_until '[ -n "$(pgrep -P $PID -x ps-push)" ]'
	kill -TERM "$PID"
	status_of "$PID" 20
	[ "$STATUS" = 75 ] || [ "$STATUS" = 0 ]
	[ -z "$(pgrep -P "$PID")" ]
	[ "$(backlog_of $DLQ_SUB)" = 2 ]
	faults
	run -0 "$replay" --project test --idle-exit 1
	[ "$(arrived)" = "$(printf '%s\n' one two)" ]
}
