#!/usr/bin/env bats
# Google's command line tools as clients of gcp-emu, beside ours: what one writes the other reads.

bats_require_minimum_version 1.5.0
load ../lib
load google

SUB=backend-events-topic-sub TOPIC=backend-events-topic DATASET=ecommerce_events

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	start_emu
	google_clients
}

teardown() {
	end_all
}

@test "gcloud pubsub: makes, publishes, pulls, extends, acknowledges; errors in our words" {
	gcloud pubsub topics create made
	gcloud pubsub subscriptions create made-sub --topic=made --ack-deadline=30 --message-retention-duration=1d
	gcloud pubsub topics list --format='value(name)' | grep -qx projects/test/topics/made
	gcloud pubsub subscriptions describe made-sub --format='value(ackDeadlineSeconds)' | grep -qx 30
	gcloud pubsub topics publish made --message='é {"a":1}' --attribute=k=v,l='漢'
	ps-pull -q --max-messages 1 made-sub >pulled
	[ "$(jq -r '.data | @base64d' pulled)" = 'é {"a":1}' ]
	[ "$(jq -c .msg.attributes pulled)" = '{"k":"v","l":"漢"}' ]
	# ours published, theirs pulled and acknowledged
	publish_lines '{"b":2}'
	gcloud pubsub subscriptions pull $SUB --limit=5 --format=json >theirs
	[ "$(jq -r '.[0].message.data | @base64d' theirs)" = '{"b":2}' ]
	id=$(jq -r '.[0].ackId' theirs)
	gcloud pubsub subscriptions modify-message-ack-deadline $SUB --ack-ids="$id" --ack-deadline=60
	gcloud pubsub subscriptions ack $SUB --ack-ids="$id"
	[ "$(backlog_of)" = 0 ]
	run ! gcloud pubsub topics publish nowhere --message=x
	[[ $output == *NOT_FOUND* ]]
	run ! gcloud pubsub topics create made
	[[ $output == *ALREADY_EXISTS* || $output == *"already exists"* ]]
	run ! gcloud pubsub subscriptions create other --topic=made --ack-deadline=700
	gcloud pubsub subscriptions delete made-sub
	gcloud pubsub topics delete made
}

@test "gcloud storage: reads the lake as it was written, checksums and all; ev-read reads what it put there" {
	good_order 1 >bare
	ev-validate -q --input bare <bare | jq -c '.msg.id = "1"' >valid
	gcs-put -q --compress gzip gs://test-events-output/output <valid >receipts
	gcloud storage ls -r 'gs://test-events-output/**' >names
	[ "$(wc -l <names)" = 1 ]
	gcloud storage cp "$(cat names)" got.gz
	zcat got.gz | cmp - <(jq -c .event valid)
	gcloud storage objects describe "$(cat names)" --format='value(md5_hash)' | cmp - <(openssl md5 -binary got.gz | base64)
	head -c 12000000 /dev/urandom | base64 -w 1000 | jq -R -c '{x: .}' >large.json
	mkdir 'sub é'
	printf '{"a":1}\n' >'sub é/x y+z%2f.json'
	gcloud storage cp large.json gs://test-events-output/in/large.json
	gcloud storage cp -r 'sub é' gs://test-events-output/in/
	ev-read -q 'gs://test-events-output/in/**' | jq -r '.data | @base64d' | grep . | sort | cmp - <(sort large.json 'sub é/x y+z%2f.json')
	gcloud storage cat 'gs://test-events-output/in/sub é/x y+z%2f.json' | cmp - 'sub é/x y+z%2f.json'
	printf 'piped' | gcloud storage cp - gs://test-events-output/in/piped
	[ "$(gcloud storage cat -r 1-3 gs://test-events-output/in/piped)" = ipe ]
	gcloud storage rm 'gs://test-events-output/in/**'
	run ! gcloud storage ls gs://test-events-output/in/
	run ! gcloud storage cat gs://test-events-output/nothing
	run ! gcloud storage ls gs://nowhere-at-all
}

@test "bq: shows our tables, inserts rows, prints them, queries, and tells the rows' errors" {
	command -v bq >/dev/null || skip "SKIPPED, NOT TESTED: no bq here"
	discovery=$(sdk)/platform/bq/discovery_next/bigquery.json
	[ -f "$discovery" ] || skip "SKIPPED, NOT TESTED: bq has no discovery document here"
	client() {
		CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$PWD/sdk/token BIGQUERYRC=/dev/null bq --headless --api "http://127.0.0.1:$EMU_PORT" \
			--project_id test --discovery_file="$discovery" "$@"
	}
	good_order 1 >bare
	ev-validate -q --input bare <bare | bq-insert -q $DATASET >stored
	client ls $DATASET >tables
	grep -q orders tables && grep -q user_activity tables
	client --format=json show $DATASET.orders | jq -e '.schema.fields | any(.name == "order_id" and .type == "STRING" and .mode == "REQUIRED")' >fine
	client --format=json head -n 5 $DATASET.orders >rows
	jq -e '.[0].order_id == "1" and (.[0].order_date | startswith("2025-02-08"))' rows >fine
	good_order 2 | jq -c 'del(.event_type)' >row
	client insert $DATASET.orders row
	[ "$(rows_of orders)" = 2 ]
	client --format=json query --nouse_legacy_sql "select count(*) as n from $DATASET.orders" | jq -e '.[0].n == "2"' >fine
	jq -c 'del(.order_id)' row >broken
	run ! client insert $DATASET.orders broken
	[[ $output == *"record 0 errors:"*"invalid: Missing required field: order_id"* ]]
	run ! client show $DATASET.nothing
	[[ $output == *ot\ found* ]]
}
