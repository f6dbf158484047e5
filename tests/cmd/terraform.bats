# terraform/: its own tests; its tables are those of schemas.json; and every name that it makes is the default of the tool that
# uses it: the tools run, without a name on their command lines, on what the plan says is there.
bats_require_minimum_version 1.5.0
load ../lib
. "$BATS_TEST_DIRNAME/../terraform.bash"

P=shop-prod

setup_file() {
	local reason
	reason=$(tf_missing)
	export TF_MISSING=$reason
	tf_copy "$BATS_FILE_TMPDIR"
	[ -n "$reason" ] || tf_states "$BATS_FILE_TMPDIR/terraform" "$BATS_FILE_TMPDIR/tested" || export TF_FAILED=1
}

setup() {
	[ -z "$TF_MISSING" ] || skip "$TF_MISSING"
	cd "$BATS_TEST_TMPDIR"
	PLAN=$BATS_FILE_TMPDIR/tested/defaults.json
}

teardown() {
	end_all
}

# of TYPE [NAME]: the values of the resources, a JSON text each
of() {
	jq -c --arg type "$1" --arg name "${2-}" '.[] | select(.type == $type and ($name == "" or .name == $name)).values' "$PLAN"
}

api() { # METHOD PATH BODY
	curl -sSf -X "$1" -H 'Content-Type: application/json' "http://127.0.0.1:$EMU_PORT$2" -d "$3" >/dev/null
}

# apply: makes in gcp-emu what the plan would make in the cloud, by the names and settings that the plan gives.
apply() {
	of google_pubsub_topic | jq -r .name | while read -r name; do api PUT "/v1/projects/$P/topics/$name" '{}'; done
	of google_pubsub_subscription | while read -r sub; do
		api PUT "/v1/projects/$P/subscriptions/$(jq -r .name <<<"$sub")" "$(jq -c --arg p "projects/$P/topics/" '{topic: ($p + .topic),
			ackDeadlineSeconds: .ack_deadline_seconds, messageRetentionDuration: .message_retention_duration,
			retryPolicy: (.retry_policy[0] | {minimumBackoff: .minimum_backoff, maximumBackoff: .maximum_backoff})}
			+ (if .dead_letter_policy == [] then {} else {deadLetterPolicy: (.dead_letter_policy[0]
				| {deadLetterTopic: .dead_letter_topic, maxDeliveryAttempts: .max_delivery_attempts})} end)' <<<"$sub")"
	done
	of google_storage_bucket | jq -c '{name}' | while read -r bucket; do api POST "/storage/v1/b?project=$P" "$bucket"; done
	of google_bigquery_dataset | jq -r .dataset_id | while read -r dataset; do
		api POST "/bigquery/v2/projects/$P/datasets" "{\"datasetReference\":{\"datasetId\":\"$dataset\"}}"
	done
	of google_bigquery_table events | jq -c '{dataset_id, body: {tableReference: {tableId: .table_id},
		schema: {fields: (.schema | fromjson)}, timePartitioning: (.time_partitioning[0] | {type, field}),
		clustering: {fields: .clustering}}}' | while read -r table; do
		api POST "/bigquery/v2/projects/$P/datasets/$(jq -r .dataset_id <<<"$table")/tables" "$(jq -c .body <<<"$table")"
	done
}

# An empty cloud, made by the plan; the tools are told the project, and nothing else.
cloud() {
	EVPIPE_SCHEMAS=$ROOT/schemas.json start_emu
	apply
	export GOOGLE_CLOUD_PROJECT=$P EVPIPE_SCHEMAS=$ROOT/schemas.json XDG_STATE_HOME=$PWD
}

rows_in() { # TABLE
	sqlite3 -readonly "$EMU_DIR/bigquery/$P/ecommerce_events.sqlite" "select count(*) from $1"
}

@test "formatted, valid, and its own tests pass" {
	[ -z "${TF_FAILED-}" ] || { tf_errors "$BATS_FILE_TMPDIR/tested"; false; }
	grep -q '"type":"test_summary".*"status":"pass"\|"status":"pass".*"type":"test_summary"' "$BATS_FILE_TMPDIR/tested/log"
}

# What schemas.json has that BigQuery does not know.
bigquery_fields='def strip: map(del(.enum, .minimum, .maximum, .min_items, .min_length, .max_length, .format)
	| if .fields then .fields |= strip else . end);'

@test "tables and views are those of schemas.json" {
	of google_bigquery_table events | jq -Sc '{key: .table_id, value: {fields: (.schema | fromjson), description, clustering,
		partition: (.time_partitioning[0] | {field, type})}}' | jq -Ss from_entries >got
	jq -S "$bigquery_fields"' .tables | map_values({fields: (.fields | strip), description, clustering, partition})' \
		"$ROOT/schemas.json" >want
	diff want got
	of google_bigquery_table unique | jq -r '.table_id as $id | select(.view[0].query | contains("ecommerce_events.\($id | rtrimstr("_unique"))`")).table_id' | sort >got.views
	jq -r '.tables | keys[] + "_unique"' "$ROOT/schemas.json" | sort | diff - got.views
}

@test "the checks are cut out of any schemas.json, whatever its texts look like" {
	jq '.tables |= {"hostile": {event_type: "h", partition: {field: "at", type: "HOUR"}, fields: [
		{name: "at", type: "TIMESTAMP", mode: "REQUIRED", description: "\"enum\":[\"x\"],\"minimum\":1, \\"},
		{name: "enum", type: "STRING", enum: ["]", "\"],", "\\", "\\\"", "a,b", "<&>"], min_length: 1, max_length: 9},
		{name: "id", type: "STRING", format: "uuid"},
		{name: "n", type: "NUMERIC", minimum: -1.5e-3, maximum: 1e9},
		{name: "deep", type: "RECORD", mode: "REPEATED", min_items: 2, fields: [{name: "a", type: "RECORD", fields: [
			{name: "b", type: "INT64", minimum: 0, maximum: 5, description: "}"}]}]}]}}' "$ROOT/schemas.json" >hostile.json
	ev-validate --check --schemas hostile.json
	TF_VAR_schemas=$PWD/hostile.json tf_states "$BATS_FILE_TMPDIR/terraform" out everything.tftest.hcl || true # its own tests speak of the real file
	PLAN=out/everything.json
	of google_bigquery_table events | jq -S '.schema | fromjson' >got
	jq -S "$bigquery_fields"' .tables.hostile.fields | strip' hostile.json >want
	diff want got
	[ "$(of google_bigquery_table events | jq -r '.time_partitioning[0].type')" = HOUR ]
}

@test "every name is the default of the tool that uses it: stream" {
	cloud
	good_order a >events
	echo '{"event_type":"order"}' >>events
	ps-push -q --input bare backend-events-topic <events
	"$ROOT/scripts/stream" --idle-exit 1 --rotate-seconds 1 2>err || { cat err; false; }
	[ "$(rows_in orders)" = 1 ]
	find "$EMU_DIR/storage/$P-events-output" -path '*/output/order/*' -name 'order_*.json' | grep -q .
	ps-pull -q --idle-exit 1 backend-events-dlq-topic-sub 2>/dev/null | jq -e '.msg.attributes.dlq_stage == "ev-validate"'
}

@test "every name is the default of the tool that uses it: backfill" {
	cloud
	good_order a >history.json
	"$ROOT/scripts/backfill" --from "$PWD/history.json" --linger 0.1 2>err || { cat err; false; }
	[ "$(rows_in orders)" = 1 ]
	find "$EMU_DIR/storage/$P-events-output" -path '*/backfill/order/*' | grep -q .
}

@test "every name is the default of the tool that uses it: replay" {
	[ -x "$ROOT/scripts/replay" ] || skip 'there is no scripts/replay'
	cloud
	echo '{"event_type":"order"}' | ps-push -q --input bare backend-events-topic
	"$ROOT/scripts/stream" --idle-exit 1 --rotate-seconds 1 2>err || { cat err; false; }
	"$ROOT/scripts/replay" --idle-exit 1 2>err || { cat err; false; }
	[ "$(curl -sf "http://127.0.0.1:$EMU_PORT/emu/pubsub/projects/$P/subscriptions/backend-events-topic-sub" | jq .backlog)" = 1 ]
}

@test "every name is the default of the tool that uses it: gcp-emu, and the subscriptions are like its own" {
	start_emu
	local path
	for path in topics subscriptions; do
		curl -sSf "http://127.0.0.1:$EMU_PORT/v1/projects/test/$path" | jq -r ".$path[].name | sub(\".*/\"; \"\")" | sort >"emu.$path"
		of "google_pubsub_${path%s}" | jq -r .name | sort | diff - "emu.$path"
	done
	curl -sSf "http://127.0.0.1:$EMU_PORT/v1/projects/test/subscriptions" | jq -Sc '.subscriptions[]
		| {name: (.name | sub(".*/"; "")), ack: .ackDeadlineSeconds, attempts: (.deadLetterPolicy.maxDeliveryAttempts // null)}' | sort >want
	of google_pubsub_subscription | jq -Sc '{name, ack: .ack_deadline_seconds,
		attempts: (.dead_letter_policy[0].max_delivery_attempts // null)}' | sort | diff want -
	curl -sSf "http://127.0.0.1:$EMU_PORT/storage/v1/b?project=test" | jq -r '.items[].name | sub("^test-"; "")' >want
	of google_storage_bucket lake | jq -r --arg p "$P-" '.name | ltrimstr($p)' | diff want -
	curl -sSf "http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/datasets" | jq -r '.datasets[].datasetReference.datasetId' >want
	of google_bigquery_dataset | jq -r .dataset_id | diff want -
}

# Whatever stands in a script, a unit or a page is what terraform makes, and all of it is used somewhere.
@test "every name is the default of the tool that uses it: no script, unit or page knows another" {
	{
		of google_pubsub_topic | jq -r .name
		of google_pubsub_subscription | jq -r .name
		of google_bigquery_dataset | jq -r .dataset_id
		of google_storage_bucket lake | jq -r .name | sed "s/^$P//"
	} | sort >made
	cd "$ROOT"
	grep -rhoP '(?<!-)backend-[a-z-]*[a-z]|ecommerce_[a-z_]+|-events-output\b' scripts man README.md cmd | sort -u | diff "$OLDPWD/made" -
}

@test "every name is the default of what uses it: cloudbuild.yaml" {
	[ -f "$ROOT/cloudbuild.yaml" ] || skip 'there is no cloudbuild.yaml'
	PLAN=$BATS_FILE_TMPDIR/tested/everything.json
	grep -E "^  _REPOSITORY: $(of google_artifact_registry_repository | jq -r .repository_id)( |\$)" "$ROOT/cloudbuild.yaml"
	grep -E "^  _REGION: $(of google_artifact_registry_repository | jq -r .location)\$" "$ROOT/cloudbuild.yaml"
	grep -F "filter=name=$(of google_compute_region_instance_group_manager | jq -r .name) " "$ROOT/cloudbuild.yaml"
	local account
	account=$(sed -n 's,^serviceAccount: .*/\(.*\)@.*,\1,p' "$ROOT/cloudbuild.yaml")
	of google_service_account | jq -r .account_id | grep -qx "$account"
}

@test "a name changed in a copy is found" {
	tf_copy copy
	sed -i 's/"backend-events-topic"/"backend-topic"/' copy/terraform/variables.tf
	tf_states copy/terraform out defaults.tftest.hcl || true
	PLAN=out/defaults.json
	[ "$(of google_pubsub_topic events | jq -r .name)" = backend-topic ]
	cloud
	run ! "$ROOT/scripts/stream" --check
	[[ $output == *backend-events-topic-sub* ]]
}

@test "the output environment is an environment file of scripts/stream" {
	cloud
	sed -n '/output.environment ==/,/END$/{/EVPIPE_\|GOOGLE_/s/^ *//p}' "$ROOT/terraform/tests/defaults.tftest.hcl" >env
	[ "$(wc -l <env)" = 6 ]
	GOOGLE_CLOUD_PROJECT='' "$ROOT/scripts/stream" --env-file env --check 2>err || { cat err; false; }
	run ! grep -i warning err
}

@test "a view shows a doubled row once, and every status of an order" {
	cloud
	{ good_order a; good_order a; good_order a | sed 's/"pending"/"shipped"/'; good_order b; } |
		ev-validate --input bare | bq-insert -q --insert-id none ecommerce_events >/dev/null
	[ "$(rows_in orders)" = 4 ]
	# The stand-in's SQL has neither QUALIFY nor TO_JSON_STRING of a row: the view's own text, with these two said in other words.
	of google_bigquery_table unique | jq -r 'select(.table_id == "orders_unique").view[0].query' >view
	grep -xE 'SELECT \* FROM `shop-prod\.ecommerce_events\.orders` AS t WHERE TRUE QUALIFY ROW_NUMBER\(\) OVER \(PARTITION BY t\.order_date, TO_JSON_STRING\(t\)\) = 1' view
	sed -E "s/^SELECT \\* FROM (.*) WHERE TRUE QUALIFY (.*) = 1\$/SELECT * FROM (SELECT t.*, \\2 AS n FROM \\1) AS u WHERE u.n = 1/
		s/TO_JSON_STRING\(t\)/$(jq -r '.tables.orders.fields | map("t." + .name) | join(", ")' "$ROOT/schemas.json")/" view |
		jq -R '{query: ., useLegacySql: false}' >query
	cat query
	curl -sSf -X POST -H 'Content-Type: application/json' "http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/$P/queries" -d @query >reply
	[ "$(jq -r .totalRows reply)" = 3 ]
}

# The plan's own command lines, with what the image and Cloud Run would bring: the scripts by their installed names, and which
# task this is.
task() { # INDEX COUNT
	local -a command args env
	mapfile -t env < <(jq -r '.env[] | .name + "=" + .value' container)
	mapfile -d '' -t command < <(jq -j '.command[] + "\u0000"' container)
	mapfile -d '' -t args < <(jq -j '.args[] + "\u0000"' container)
	env -u GOOGLE_CLOUD_PROJECT PATH="$PWD/bin:$PATH" CLOUD_RUN_TASK_INDEX="$1" CLOUD_RUN_TASK_COUNT="$2" "${env[@]}" \
		EVPIPE_LINGER=0.1 "${command[@]}" "${args[@]}" 2>"task.$1" || { cat "task.$1"; return 1; }
}

@test "the tasks of the Cloud Run job share history among them, and go on by their journals" {
	local i index
	cloud
	PLAN=$BATS_FILE_TMPDIR/tested/everything.json
	for i in old-events older; do api POST "/storage/v1/b?project=$P" "{\"name\":\"$i\"}"; done
	for i in old-events/data/{1..4}.json older/5.gz old-events/more/6; do
		good_order "$i" | curl -sSf --data-binary @- \
			"http://127.0.0.1:$EMU_PORT/upload/storage/v1/b/${i%%/*}/o?uploadType=media&name=${i#*/}" >/dev/null
	done
	mkdir bin
	ln -s "$ROOT/scripts/backfill" bin/evpipe-backfill
	of google_cloud_run_v2_job | jq -c '.template[0].template[0].containers[0]' >container
	for i in 0 1; do task $i 2; done
	[ "$(rows_in orders)" = 6 ]
	for index in 0 1; do # each had a share
		run ! grep ' 0 read' "task.$index"
		task "$index" 2
		grep ' 0 read' "task.$index"
	done
	[ "$(rows_in orders)" = 6 ]
}
