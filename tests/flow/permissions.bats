# Least privilege, held from both sides: each tool is run alone and gcp-emu tells which calls it made; these are the ones that
# permissions.tsv lists, each with the permission it needs; and terraform's plan gives each account these and no others.
bats_require_minimum_version 1.5.0
load ../lib
. "$BATS_TEST_DIRNAME/../terraform.bash"

NEEDS=$BATS_TEST_DIRNAME/permissions.tsv

setup_file() {
	local reason
	reason=$(tf_missing)
	export TF_MISSING=$reason
	tf_copy "$BATS_FILE_TMPDIR"
	[ -n "$reason" ] || tf_states "$BATS_FILE_TMPDIR/terraform" "$BATS_FILE_TMPDIR/out" everything.tftest.hcl || true
}

setup() {
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	end_all
}

# needs: permissions.tsv as JSON
needs() {
	grep -v '^#' "$NEEDS" | jq -Rn '[inputs | split("\t") | {tool: .[0], accounts: .[1], call: .[2], resource: .[3], permissions: .[4]}]'
}

begin() {
	curl -sSf -X DELETE "http://127.0.0.1:$EMU_PORT/emu/requests" >/dev/null
}

made() {
	curl -sSf "http://127.0.0.1:$EMU_PORT/emu/requests" | jq -r '.requests[] | .method + " " + .path' | grep -v ' /emu/' | sort -u
}

# The calls made since begin are those of TOOL in permissions.tsv, all of them and no others.
as_listed() { # TOOL
	made >made || true
	needs | jq -r --arg tool "$1" '.[] | select(.tool == $tool).call | select(startswith("(") | not)' | sort -u | diff - made
}

bucket() {
	curl -sSf -X POST -H 'Content-Type: application/json' "http://127.0.0.1:$EMU_PORT/storage/v1/b?project=test" -d "{\"name\":\"$1\"}" >/dev/null
}

@test "ps-pull" {
	start_emu
	publish_lines 1 2
	begin
	ps-pull -q --check backend-events-topic-sub
	ps-pull -q --max-messages 1 backend-events-topic-sub >peek # given back at the end
	mkfifo acks
	ps-pull -q --acks acks --max-messages 2 backend-events-topic-sub 3>&- | jq -c --unbuffered '{msg: {id: .msg.id}}' >acks
	as_listed ps-pull
}

@test "ps-push and dlq-push" {
	start_emu
	begin
	ps-push -q --check backend-events-topic
	publish_lines 1
	as_listed ps-push
	begin
	dlq-push -q --check backend-events-dlq-topic
	echo '{"msg":{"id":"1"},"data":"MQ==","stage":"ev-validate","errors":[{"code":"bad_json","path":"","detail":"no"}]}' |
		dlq-push -q backend-events-dlq-topic >receipts
	[ "$(wc -l <receipts)" = 1 ]
	as_listed dlq-push
}

@test "ev-validate asks nothing of anybody, and its account may nothing" {
	start_emu
	begin
	good_order a | ev-validate --input bare >valid
	[ -z "$(made)" ]
	run ! grep -P '^[^#\t]*\t([^\t]*,)?validator[,\t]' "$NEEDS"
}

@test "bq-insert" {
	start_emu
	good_order a | ev-validate --input bare >valid
	begin
	bq-insert -q --check ecommerce_events
	bq-insert -q ecommerce_events <valid >stored
	as_listed bq-insert
}

@test "gcs-put, in one request and in several" {
	start_emu
	good_order a | ev-validate --input bare >small
	local order filler
	order=$(good_order a) filler=$(head -c 900000 /dev/zero | tr '\0' x)
	for _ in {1..10}; do printf '%s\n' "${order/Mug/$filler}"; done | ev-validate --input bare >large
	begin
	gcs-put -q --check gs://test-events-output/output
	gcs-put -q gs://test-events-output/output <small >stored
	gcs-put -q gs://test-events-output/output <large >stored
	as_listed gcs-put
}

@test "ev-read, with a journal in a bucket" {
	start_emu
	bucket old-events
	bucket staging
	good_order a | curl -sSf --data-binary @- "http://127.0.0.1:$EMU_PORT/upload/storage/v1/b/old-events/o?uploadType=media&name=a.json" >/dev/null
	mkfifo acks
	begin
	ev-read -q --check 'gs://old-events/*.json'
	for i in 1 2; do # it is begun, and gone on with
		ev-read -q --acks acks --journal gs://staging/backfill/0-of-1 'gs://old-events/*.json' 3>&- |
			jq -c --unbuffered '{msg: {id: .msg.id}}' | tee receipts >acks
	done
	[ ! -s receipts ]
	as_listed ev-read
}

@test "bq-load" {
	start_emu
	good_order a | ev-validate --input bare | gcs-put -q --objects gs://test-events-output/backfill >objects
	begin
	bq-load -q --check --journal journal ecommerce_events
	bq-load -q --linger 0 --journal journal ecommerce_events <objects >receipts
	as_listed bq-load
}

# ask FILE PROGRAM: of the state in FILE, with permissions.jq at hand
ask() {
	jq -r -L "$BATS_TEST_DIRNAME" --argjson needs "$(needs)" 'include "permissions"; '"$2" "$1"
}

held() { # FILE: what is wrong there
	ask "$1" 'wrong($needs)'
}

planned() {
	[ -z "$TF_MISSING" ] || skip "$TF_MISSING"
	PLAN=$BATS_FILE_TMPDIR/out/everything.json
	[ -s "$PLAN" ] || { tf_errors "$BATS_FILE_TMPDIR/out"; false; }
}

@test "terraform grants each account what its tools need, and nothing else" {
	planned
	held "$PLAN" | tee wrong
	[ ! -s wrong ]
	# On the project only what belongs to no resource, and only with the fleet, the backfill and the build.
	jq -r '.[] | select(.type == "google_project_iam_member").address' "$PLAN" | sort >got
	printf '%s\n' 'google_project_iam_member.build_log["build"]' 'google_project_iam_member.load["backfill"]' 'google_project_iam_member.load["load-job"]' \
		'module.fleet[0].google_project_iam_member.log' | diff - got
	# The lake: neither read nor overwritten nor deleted by those who write it into.
	jq -e '[.[] | select(.type == "google_storage_bucket_iam_member" and .values.bucket == "shop-prod-events-output").values.role]
		| all(. == "roles/storage.objectCreator" or (startswith("roles/") | not))' "$PLAN"
	jq -e '[.[] | select(.type == "google_service_account") | .values.account_id] | index("evpipe-validator")' "$PLAN"
}

# Each grant, and each permission of a role of our own, taken out of the plan: the test above must see it.
@test "a grant that is taken away is missed, whichever it is" {
	planned
	ask "$PLAN" '. as $all
		| [.[] | select((.type | endswith("_iam_member")) and .type != "google_service_account_iam_member").address] as $grants
		| [.[] | select(.type == "google_project_iam_custom_role") | .address + " " + .values.permissions[]] as $permissions
		| "\($grants | length) grants, \($permissions | length) permissions",
		($grants[] as $a | $all | map(select(.address != $a)) | [wrong($needs) | select(contains(" lacks "))]
			| select(. == []) | "nobody misses \($a)"),
		($permissions[] | . as $both | split(" ") as [$a, $p] | $all
			| map(if .address == $a then .values.permissions -= [$p] else . end) | [wrong($needs) | select(contains(" lacks " + $p + " "))]
			| select(. == []) | "nobody misses \($both)")' | tee missed
	grep -E '^[1-9][0-9]* grants, [1-9][0-9]* permissions$' missed
	[ "$(wc -l <missed)" = 1 ]
}

# The same with the files: all the roles are cut out of a copy of terraform/, which is planned anew.
@test "roles that are removed from a copy of terraform/ are missed, by each tool" {
	planned
	tf_copy copy
	sed -i '/^resource "google_[a-z_]*_iam_member" /,/^}/d' copy/terraform/iam.tf
	tf_states copy/terraform out everything.tftest.hcl || true # its own tests miss some, too
	held out/everything.json >wrong
	for tool in ps-pull bq-insert gcs-put dlq-push ps-push ev-read bq-load Pub/Sub Cloud; do
		grep "^$tool.* as .* lacks " wrong
	done
}

@test "a role that is too wide is seen" {
	planned
	jq 'map(if .address == "google_project_iam_custom_role.row_writer" then .values.permissions += ["bigquery.tables.delete"]
		else . end)' "$PLAN" >more.json
	held more.json | grep 'loader does not need bigquery.tables.delete'
	jq 'map(if .address == "google_pubsub_topic_iam_member.replay_to[\"replayer\"]" then .values.member as $m
		| ., (.address = "x" | .values.topic = "backend-events-dlq-topic") else . end)' "$PLAN" >more.json
	held more.json | grep 'nobody needs x,'
}
