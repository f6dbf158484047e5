#!/usr/bin/env bats
# Credentials of every kind, end to end against gcp-emu --auth, which looks at signatures, tokens and their ends.

bats_require_minimum_version 1.5.0
load ../lib

SUB=backend-events-topic-sub TOPIC=backend-events-topic DATASET=ecommerce_events LAKE=gs://test-events-output/output
TYPE=urn:ietf:params:oauth:token-type

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	unset "${!GOOGLE_@}" "${!GCE_@}" "${!AWS_@}" CLOUDSDK_CONFIG NO_GCE_CHECK
	export HOME=$PWD GOOGLE_CLOUD_PROJECT=test
}

teardown() {
	end_all
}

up() {
	start_emu --auth "$@"
	URL=http://127.0.0.1:$EMU_PORT
	KEY=$EMU_DIR/service-account.json USER_FILE=$EMU_DIR/authorized-user.json EXTERNAL=$EMU_DIR/external-account.json
	ACCOUNT=$(jq -r .client_email "$KEY")
}

# edit FILE FILTER [JQ-OPTION...]: a copy of a file of credentials, changed; its name is in FILE.
edit() {
	FILE=$(mktemp ./cred.XXXXXX)
	jq "${@:3}" "$2" "$1" >"$FILE"
}

# For what runs in the background, whose input would be /dev/null.
reading() { # FILE COMMAND...
	exec "${@:2}" <"$1"
}

# How often a path (or, with *, what ends so) was asked for; with a status, how often it was answered so.
asked() { # PATH [STATUS]
	curl -sf "$URL/emu/requests" | jq --arg p "$1" --arg s "${2:-}" '[.requests[] |
		select((.path == $p or ($p[:1] == "*" and (.path | endswith($p[1:])))) and ($s == "" or (.status | tostring) == $s)) |
		.count] | add // 0'
}

good_token() { # TOKEN
	[ "$(curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $1" "$URL/v1/projects/test/topics")" = 200 ]
}

# Each of the tools that call Google passes with these options.
works() { # OPTION...
	good_order 1 | ps-push -q "$@" $TOPIC
	ps-pull -q "$@" --max-messages 1 --ack-on-write $SUB >raw
	ev-validate -q --rejects rejects <raw >valid
	bq-insert -q "$@" $DATASET <valid >stored
	cmp valid stored
	[ "$(gcs-put -q "$@" $LAKE <stored | wc -l)" = 1 ]
}

fails() { # STATUS PATTERN COMMAND...
	local status=0
	"${@:3}" >out 2>err </dev/null || status=$?
	# shellcheck disable=SC2053 # a pattern
	[[ $status == "$1" && $(cat err) == *$2* ]] || { echo "status $status: ${*:3}"; cat err; return 1; }
}

# ---- every kind ---------------------------------------------------------------------------------------------------------

@test "a service account's key: all tools, and not one request for a token" {
	up
	works --credentials "$KEY"
	echo 'no json' | ps-push -q --credentials "$KEY" $TOPIC
	ps-pull -q --credentials "$KEY" --max-messages 1 --ack-on-write $SUB | ev-validate -q --rejects rejects >valid
	[ "$(dlq-push -q --credentials "$KEY" backend-events-dlq-topic <rejects | wc -l)" = 1 ]
	ev-read -q --credentials "$KEY" "$LAKE/**" >history
	[ "$(wc -l <history)" = 1 ]
	bq-load --credentials "$KEY" --journal journal --check $DATASET
	[ "$(asked /token)" = 0 ]
}

@test "a service account's key whose own signature is refused: exchanged for a token, and from then on" {
	up
	good_order 1 | ev-validate -q --schemas "$EVPIPE_SCHEMAS" --input bare >valid
	{ cat valid; cat valid; } >twice
	faults '{"path":"*/insertAll","status":401,"times":1}'
	bq-insert -q --credentials "$KEY" --batch-rows 1 --in-flight 1 --insert-id none $DATASET <twice >stored
	cmp twice stored
	[ "$(asked '*/insertAll' 401)" = 1 ]
	[ "$(asked '*/insertAll' 200)" = 2 ]
	[ "$(asked /token 200)" = 1 ]
}

@test "a person's log-in, by --credentials, by gcloud's own file, and by GOOGLE_APPLICATION_CREDENTIALS" {
	up
	works --credentials "$USER_FILE"
	mkdir -p .config/gcloud config
	cp "$USER_FILE" .config/gcloud/application_default_credentials.json
	works --credentials default
	mv .config/gcloud/application_default_credentials.json config
	CLOUDSDK_CONFIG=$PWD/config works --credentials default
	GOOGLE_APPLICATION_CREDENTIALS=$USER_FILE works --credentials default
}

@test "an external account: a file of text, a file of JSON, a URL with headers, each with and without impersonation" {
	up
	local impersonation="{service_account_impersonation_url:\"$URL/v1/projects/-/serviceAccounts/$ACCOUNT:generateAccessToken\"}" file
	jq -nR '{a:{}, access_token: input}' <"$EMU_DIR/subject-token" >subject.json
	curl -sf -o up.out -X POST "$URL/upload/storage/v1/b/test-events-output/o?uploadType=media&name=subject" \
		-H "Authorization: Bearer $(cat "$EMU_DIR/token")" --data-binary @subject.json
	edit "$EXTERNAL" '.credential_source = {file: "subject.json", format: {type: "json", subject_token_field_name: "access_token"}}'
	local json=$FILE
	edit "$EXTERNAL" '.credential_source = {url: $u, headers: {Authorization: $h},
		format: {type: "json", subject_token_field_name: "access_token"}}' \
		--arg u "$URL/storage/v1/b/test-events-output/o/subject?alt=media" --arg h "Bearer $(cat "$EMU_DIR/token")"
	for file in "$EXTERNAL" "$json" "$FILE"; do
		works --credentials "$file"
		edit "$file" ". + $impersonation"
		works --credentials "$FILE"
	done
	[ "$(asked '*:generateAccessToken' 200)" -ge 3 ]
}

@test "a service account impersonated by a key, a person and an external account, with delegates" {
	up
	local url="$URL/v1/projects/-/serviceAccounts/$ACCOUNT:generateAccessToken" source
	for source in "$KEY" "$USER_FILE" "$EXTERNAL"; do
		edit "$source" '{type: "impersonated_service_account", service_account_impersonation_url: $u,
			delegates: ["projects/-/serviceAccounts/between@x"], source_credentials: .}' --arg u "$url"
		works --credentials "$FILE"
	done
	edit "$FILE" '.delegates = ["nobody"]'
	fails 77 'lifetime or delegates' gcp-token --credentials "$FILE"
}

@test "the metadata service" {
	up
	GCE_METADATA_HOST=127.0.0.1:$EMU_PORT works --credentials default
	[ "$(asked '*/*/token' 200)" -ge 4 ]
}

@test "AWS: keys from the environment, the region from there or from the instance, a signature that STS finds right" {
	up --s3-key AKID:SECRET/key:session+token
	edit "$EXTERNAL" '.subject_token_type = "urn:ietf:params:aws:token-type:aws4_request" | .credential_source = {environment_id: "aws1",
		regional_cred_verification_url: "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
		region_url: $u}' --arg u "$URL/storage/v1/b/test-events-output/o/zone?alt=media"
	export AWS_ACCESS_KEY_ID=AKID AWS_SECRET_ACCESS_KEY=SECRET/key AWS_SESSION_TOKEN=session+token AWS_REGION=eu-west-1
	good_token "$(gcp-token --credentials "$FILE")"
	AWS_SECRET_ACCESS_KEY=another fails 77 'could not be verified' gcp-token --credentials "$FILE"
	unset AWS_REGION
	fails 77 'get the AWS region' gcp-token --credentials "$FILE"
	unset "${!AWS_@}"
	AWS_EC2_METADATA_DISABLED=true fails 77 'AWS credentials' gcp-token --credentials "$FILE"
}

# ---- programs -----------------------------------------------------------------------------------------------------------

program() { # SCRIPT: a file of credentials that runs it
	printf '#!/bin/sh\necho run >>%s/runs\n%s\n' "$PWD" "$1" >"my program"
	chmod +x "my program"
	edit "$EXTERNAL" '.credential_source = {executable: {command: $c, timeout_millis: 5000, output_file: $o}}' \
		--arg c "'$PWD/my program' --flag 'two words'" --arg o "$PWD/cached"
}

answer() { # SECONDS-TO-LIVE
	printf '{"version":1,"success":true,"token_type":"%s","id_token":"%s","expiration_time":%s}' "$TYPE:jwt" \
		"$(cat "$EMU_DIR/subject-token")" "$(($(date +%s) + $1))"
}

@test "a program: only where it is allowed; its words, its environment, no descriptor of ours, its output file" {
	up
	program 'echo "$#:$2:$GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE:$GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE" >>seen
		ls /proc/self/fd | tr "\n" " " >fds; echo secret words >&2; cat answer'
	answer 60 >answer
	fails 78 "set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1" gcp-token --credentials "$FILE"
	GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=yes fails 78 ALLOW_EXECUTABLES gcp-token --credentials "$FILE"
	[ ! -e runs ]
	export GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1
	gcp-token -vv --credentials "$FILE" >token 2>err 7>other
	good_token "$(cat token)"
	run ! grep -q 'secret words' err
	[ "$(cat seen)" = "2:two words:$TYPE:jwt:0" ]
	[ "$(cat fds)" = "0 1 2 3 " ] # 3 is ls's own
	# What an earlier run left is taken while it lives.
	answer 60 >cached
	gcp-token --credentials "$FILE" >token
	[ "$(wc -l <runs)" = 1 ]
	answer -1 >cached
	gcp-token --credentials "$FILE" >token
	[ "$(wc -l <runs)" = 2 ]
	rm cached
	works --credentials "$FILE"
}

@test "a program that fails, says so, answers noise, has no such type, is not there: 77, and none of its words" {
	up
	export GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1
	local script
	for script in 'exit 3' 'echo "{"' 'echo "{\"version\":1,\"success\":false,\"code\":\"401\",\"message\":\"swordfish\"}"' \
		'echo "{\"version\":2}"' 'cat answer; exit 1' 'sed s/:jwt/:saml2/ answer' 'sed s/expiration_time/x/ answer' \
		'head -c 100000 /dev/zero' 'kill -9 $$'; do
		answer 60 >answer
		program "$script"
		fails 77 "get the provider's token from the program" gcp-token --credentials "$FILE"
		run ! grep -qE "swordfish|$(cat "$EMU_DIR/subject-token")" err
	done
	rm "my program"
	fails 77 "get the provider's token from the program" gcp-token --credentials "$FILE"
}

@test "a program that does not end: ended with its children at its time" {
	up
	export GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1
	program 'sleep 300 & echo $$ $! >pids; wait'
	fails 75 'did not end in its time' gcp-token --retry-for 0.001 --credentials "$FILE"
	local pid
	for pid in $(cat pids); do
		wait_until "[ ! -d /proc/$pid ] || grep -q '^State:.Z' /proc/$pid/status"
	done
}

# ---- fresh tokens -------------------------------------------------------------------------------------------------------

# slow_rows N: as many valid rows, one a request, each of which takes 0.3 s.
slow_rows() {
	faults '{"path":"*/insertAll","delay":0.3}'
	local i
	for ((i = 0; i < $1; i++)); do good_order "$i"; done >bare
	ps-push -q --credentials "$KEY" $TOPIC <bare
	ps-pull -q --credentials "$KEY" --max-messages "$1" --ack-on-write $SUB | ev-validate -q >valid
	curl -sf -X DELETE "$URL/emu/requests"
}

# LIFETIME=20 RUN=180: the same for longer, in seconds. Rows take 0.3 s each.
@test "tokens that live 2 s work through a run of 6: fetched ahead of their end, no request refused" {
	local life=${LIFETIME:-2} run=${RUN:-6} fetched
	up --token-lifetime "$life"
	slow_rows $((run * 10 / 3))
	bq-insert -q --credentials "$USER_FILE" --batch-rows 1 --in-flight 1 $DATASET <valid >stored
	cmp valid stored
	[ "$(asked '*/insertAll' 401)" = 0 ]
	fetched=$(asked /token 200)
	echo "$fetched tokens of $life s in $run s"
	[ "$fetched" -ge $((run / life)) ] && [ "$fetched" -le $((run / life * 2 + 2)) ]
}

@test "a provider's token is read again at each exchange, and a fetch that fails does not stop the old token" {
	up --token-lifetime 2
	slow_rows 14
	faults '{"path":"*/insertAll","delay":0.3},{"path":"/v1/token","after":1,"times":2,"status":503}'
	in_background reading valid bq-insert -q --credentials "$EXTERNAL" --batch-rows 1 --in-flight 1 $DATASET
	wait_until '[ "$(asked /v1/token 200)" -ge 1 ]'
	echo "another" >"$EMU_DIR/subject-token.new"
	mv "$EMU_DIR/subject-token.new" "$EMU_DIR/subject-token"
	status_of "$PID" 20
	[ "$STATUS" = 0 ]
	[ "$(asked '*/insertAll' 401)" = 0 ]
	[ "$(asked /v1/token 503)" = 2 ]
	[ "$(asked /v1/token 200)" -ge 2 ]
	[ "$(asked /v1/token 400)" = 0 ]
}

@test "eight requests refused at once: one token for all; refused twice in a row: 77" {
	up
	slow_rows 16
	faults '{"path":"*/insertAll","delay":0.3,"status":401,"times":8}'
	bq-insert -q --credentials "$USER_FILE" --batch-rows 1 --in-flight 8 $DATASET <valid >stored
	cmp valid stored
	[ "$(asked /token)" = 2 ]
	faults '{"path":"*/insertAll","status":401}'
	status=0
	bq-insert -q --credentials "$USER_FILE" $DATASET <valid >stored 2>err || status=$?
	[ "$status" = 77 ]
	[ ! -s stored ]
}

@test "every token that was given ends at once: one more is fetched, and nothing is lost" {
	up
	slow_rows 10
	in_background reading valid bq-insert -q --credentials "$USER_FILE" --batch-rows 1 --in-flight 2 $DATASET
	wait_until '[ "$(asked "*/insertAll" 200)" -ge 2 ]'
	echo another >"$EMU_DIR/token"
	status_of "$PID" 20
	[ "$STATUS" = 0 ]
	cmp valid out
	[ "$(asked /token)" = 2 ]
}

@test "a token endpoint that falters: tried again by the one list, with few requests" {
	up
	local fault
	for fault in '"status":503' '"status":429,"retry_after":1' '"status":500' '"reset":true' '"garbage":true' '"truncate":20' '"lose":true'; do
		faults "{\"path\":\"/token\",\"times\":2,$fault}"
		good_token "$(gcp-token --credentials "$USER_FILE")"
	done
	curl -sf -X DELETE "$URL/emu/requests"
	faults '{"path":"/token","status":503}'
	fails 75 'HTTP 503' gcp-token --retry-for 2 --credentials "$USER_FILE"
	[ "$(asked /token)" -le 30 ]
	faults '{"path":"/token","status":400}'
	curl -sf -X DELETE "$URL/emu/requests"
	fails 77 'HTTP 400' gcp-token --credentials "$USER_FILE"
	[ "$(asked /token)" = 1 ]
}

# ---- what is refused ----------------------------------------------------------------------------------------------------

@test "URLs that secrets may not go to: 78, and nothing is asked" {
	up
	local bad filter
	for bad in http://example.com/token http://10.0.0.1/ http://127.0.0.1.example.com/ http://127.0.0.1@example.com/ ftp://127.0.0.1/ token; do
		for filter in '.token_uri = $u' '.token_uri = 5'; do
			edit "$USER_FILE" "$filter" --arg u "$bad"
			fails 78 "'token_uri'" gcp-token --credentials "$FILE"
			edit "$KEY" "$filter" --arg u "$bad"
			fails 78 "'token_uri'" gcp-token --credentials "$FILE"
		done
		edit "$EXTERNAL" '.token_url = $u' --arg u "$bad"
		fails 78 "'token_url'" gcp-token --credentials "$FILE"
		edit "$EXTERNAL" '.service_account_impersonation_url = $u' --arg u "$bad"
		fails 78 "'service_account_impersonation_url'" gcp-token --credentials "$FILE"
		edit "$EXTERNAL" '.credential_source = {url: $u}' --arg u "$bad"
		fails 78 "'url'" gcp-token --credentials "$FILE"
	done
	for bad in example.com metadata.example.com 10.0.0.1 127.0.0.1@example.com '127.0.0.1/x?' 'a b'; do
		GCE_METADATA_HOST=$bad fails 78 GCE_METADATA_HOST gcp-token
	done
}

@test "what is no file of credentials: 77 or 78, the file and the member named; other universes are refused" {
	up
	fails 77 "'nowhere'" gcp-token --credentials nowhere
	fails 77 "'.'" gcp-token --credentials .
	: >empty
	fails 78 "'empty'" gcp-token --credentials empty
	echo '{"type":"authorized_user"' >half
	fails 78 "'half'" gcp-token --credentials half
	head -c 100000 /dev/zero >long
	fails 78 "'long'" gcp-token --credentials long
	echo '{"type":"service_acount"}' >typo
	fails 78 "'type' is none of" gcp-token --credentials typo
	edit "$KEY" '.universe_domain = "example.com"'
	fails 78 universe_domain gcp-token --credentials "$FILE"
	GOOGLE_CLOUD_UNIVERSE_DOMAIN=example.com fails 78 GOOGLE_CLOUD_UNIVERSE_DOMAIN gcp-token --credentials "$KEY"
	fails 64 'both' gcp-token --credentials "$KEY" --access-token-file "$EMU_DIR/token"
	GOOGLE_APPLICATION_CREDENTIALS=nowhere fails 77 "'nowhere'" gcp-token
}

@test "no credentials anywhere: 77, and what to do; something else in the metadata service's place: told apart" {
	up
	NO_GCE_CHECK=true fails 77 'gcloud auth application-default login' gcp-token
	stop_emu
	start_emu
	GCE_METADATA_HOST=127.0.0.1:$EMU_PORT fails 75 'not the metadata service' gcp-token --retry-for 0.2
	GCE_METADATA_HOST=127.0.0.1:1 fails 75 'metadata service at' gcp-token --retry-for 0.2
}

@test "keys of 1024 to 4096 bits, in either form of PEM; no others, and nobody is asked for a passphrase" {
	command -v openssl >/dev/null || skip 'SKIPPED, NOT TESTED: no openssl here'
	up
	local bits
	for bits in 1024 3072 4096; do
		openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:$bits -out pem 2>/dev/null
		edit "$KEY" '.private_key = $k' --rawfile k pem
		cp "$FILE" "$KEY"
		good_token "$(gcp-token --credentials "$KEY")"
		good_token "$(gcp-token --exchange --credentials "$KEY")"
	done
	openssl rsa -traditional -in pem -out pkcs1 2>/dev/null
	edit "$KEY" '.private_key = $k' --rawfile k pkcs1
	good_token "$(gcp-token --credentials "$FILE")"
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec 2>/dev/null
	edit "$KEY" '.private_key = $k' --rawfile k ec
	fails 78 "'private_key' it is no RSA key" gcp-token --credentials "$FILE"
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:512 -out small 2>/dev/null
	edit "$KEY" '.private_key = $k' --rawfile k small
	fails 78 "512 bits" gcp-token --credentials "$FILE"
	openssl rsa -aes128 -passout pass:swordfish -in pem -out locked 2>/dev/null
	edit "$KEY" '.private_key = $k' --rawfile k locked
	fails 78 "'private_key'" timeout 5 gcp-token --credentials "$FILE"
	# another's key: everybody refuses it
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out pem 2>/dev/null
	edit "$KEY" '.private_key = $k' --rawfile k pem
	fails 77 'Invalid JWT Signature' gcp-token --exchange --credentials "$FILE"
	fails 77 'Invalid JWT Signature' ps-pull --credentials "$FILE" --check $SUB
}

# ---- secrets ------------------------------------------------------------------------------------------------------------

# What may stand nowhere: of the key, the refresh token, the provider's token, and of every token, assertion and signature.
secrets() {
	jq -r .private_key "$KEY" | sed -n 2p
	jq -r '.client_secret, .refresh_token' "$USER_FILE"
	cat "$EMU_DIR/subject-token"
	printf '%s\n' 'ya29\.' 'eyJ[A-Za-z0-9_-]\{10\}'
}

@test "secrets are in no message, whatever goes well or wrong, nor in argv" {
	up
	secrets >secrets
	local file fault
	publish_lines_as() { good_order 1 | ps-push -vv --credentials "$1" $TOPIC; }
	for file in "$KEY" "$USER_FILE" "$EXTERNAL"; do
		for fault in '"status":401' '"status":403' '"status":400' '"garbage":true' '"truncate":100' '"status":503' '"reset":true'; do
			faults "{\"times\":1,$fault}"
			publish_lines_as "$file" >>log 2>&1 || true
			faults "{\"path\":\"*oken\",$fault}"
			gcp-token -vv --retry-for 0.3 --exchange --credentials "$file" >/dev/null 2>>log || true
		done
		edit "$file" '.type = "x"'
		gcp-token -vv --credentials "$FILE" >>log 2>&1 || true
		head -c 200 "$file" >cut
		gcp-token -vv --credentials cut >>log 2>&1 || true
	done
	gcp-token --help >>log
	grep -q 'HTTP 400' log
	run ! grep -nf secrets log
	faults
	in_background ps-pull -q --credentials "$KEY" $SUB
	wait_until '[ "$(curl -sf "$URL/emu/pubsub/projects/test/subscriptions/$SUB" | jq .outstanding)" -ge 0 ]'
	tr '\0' '\n' <"/proc/$PID/cmdline" >>cmdline
	run ! grep -nf secrets cmdline
}

@test "a service that repeats what it was sent: its words are withheld" {
	up
	faults "{\"path\":\"/token\",\"status\":400,\"body\":\"bad: $(jq -r .refresh_token "$USER_FILE")\"}"
	fails 77 'withheld' gcp-token -vv --credentials "$USER_FILE"
	run ! grep -nf <(secrets) err
	faults "{\"path\":\"/v1/token\",\"status\":400,\"body\":\"bad: $(cat "$EMU_DIR/subject-token")\"}"
	fails 77 'withheld' gcp-token -vv --credentials "$EXTERNAL"
	run ! grep -nf <(secrets) err
	faults "{\"path\":\"*:publish\",\"status\":400,\"body\":\"bad: $(cat "$EMU_DIR/token")\"}"
	echo '{}' >event
	run ! ps-push --access-token-file "$EMU_DIR/token" $TOPIC <event
	[[ $output == *withheld* && $output != *"$(cat "$EMU_DIR/token")"* ]]
}

# The kernel gives what is in /proc of a process that makes no core file, and that its own user may not trace, to root.
@test "a process with credentials makes no core file and is not traced by its own user" {
	up
	local as=() uid
	uid=$(id -u)
	cp "$KEY" mine
	if [ "$uid" = 0 ]; then
		command -v setpriv >/dev/null || skip 'SKIPPED, NOT TESTED: no setpriv here'
		uid=65534 as=(setpriv --reuid 65534 --clear-groups)
		chown 65534 mine
	fi
	owner_of() { # OPTION...: whose a running ps-pull is
		"${as[@]}" "$B/ps-pull" -q "$@" $SUB >out 2>err 3>&- 5<mine &
		PID=$!
		STARTED+=("$PID")
		wait_until '[ "$(asked "*:testIamPermissions" 200)" -ge 1 ]'
		OWNER=$(stat -c %u "/proc/$PID/environ")
		curl -sf -X DELETE "$URL/emu/requests"
	}
	owner_of --credentials /dev/fd/5
	[ "$OWNER" = 0 ]
	# The control.
	stop_emu
	start_emu
	URL=http://127.0.0.1:$EMU_PORT
	owner_of
	[ "$OWNER" = "$uid" ]
}

@test "a key that others can read: one warning, with what to do" {
	up
	local file
	for file in "$KEY" "$USER_FILE"; do
		gcp-token --credentials "$file" >token 2>err
		[ ! -s err ]
		chmod 640 "$file"
		gcp-token --credentials "$file" >token 2>err
		[ "$(grep -c "chmod 600 '$file'" err)" = 1 ]
		chmod 604 "$file"
		slow=$(ps-push -q --credentials "$file" $TOPIC 2>&1 </dev/null)
		[ "$(grep -c "chmod 600 '$file'" <<<"$slow")" = 1 ]
	done
	chmod 644 "$EXTERNAL"
	gcp-token --credentials "$EXTERNAL" >token 2>err
	[ ! -s err ]
}

# ---- gcp-token ----------------------------------------------------------------------------------------------------------

@test "gcp-token: a token, a header for curl -H @-, scopes, an audience, a project to bill" {
	up
	good_token "$(gcp-token --credentials "$KEY")"
	gcp-token -H --credentials "$KEY" | curl -sf -H @- -o out "$URL/v1/projects/test/topics"
	claims() { cut -d. -f2 | tr -- -_ +/ | base64 -d 2>/dev/null; }
	[ "$(gcp-token --credentials "$KEY" --scopes pubsub,https://www.googleapis.com/auth/bigquery | claims | jq -r .scope)" = \
		"https://www.googleapis.com/auth/pubsub https://www.googleapis.com/auth/bigquery" ]
	gcp-token --credentials "$KEY" --audience https://pubsub.googleapis.com/ | claims >c
	jq -e '.aud == "https://pubsub.googleapis.com/" and (has("scope") | not) and .iss == .sub and .exp - .iat == 3600' c
	good_token "$(gcp-token --credentials "$KEY" --audience "$URL/")"
	run ! good_token "$(gcp-token --credentials "$KEY" --audience http://example.com/)"
	fails 64 audience gcp-token --credentials "$USER_FILE" --audience https://pubsub.googleapis.com/
	fails 64 audience gcp-token --credentials "$KEY" --audience x --scopes y
	fails 64 scopes gcp-token --credentials "$KEY" --scopes ', '
	[ "$(GOOGLE_CLOUD_QUOTA_PROJECT=bill gcp-token -H --credentials "$USER_FILE" | sed -n 2p)" = 'x-goog-user-project: bill' ]
	edit "$USER_FILE" '.quota_project_id = "other"'
	[ "$(gcp-token -H --credentials "$FILE" | sed -n 2p)" = 'x-goog-user-project: other' ]
	gcp-token --check --credentials "$USER_FILE" >out
	[ ! -s out ]
	fails 74 'standard output' sh -c 'gcp-token --credentials "$1" >/dev/full' - "$KEY"
	[ "$(gcp-token --access-token-file "$EMU_DIR/token")" = "$(cat "$EMU_DIR/token")" ]
}

# ---- gcp-emu ------------------------------------------------------------------------------------------------------------

grant() { # KEY=VALUE...
	local args=() v
	for v in "$@"; do args+=(--data-urlencode "$v"); done
	CODE=$(curl -s -o body -w '%{http_code}' "${args[@]}" "$URL/${EP:-token}")
}

@test "gcp-emu: a token endpoint that looks at everything, tokens that end, and credentials that outlive it" {
	up --token-lifetime 1
	local b64='openssl base64 -A' now jwt=urn:ietf:params:oauth:grant-type:jwt-bearer
	now=$(date +%s)
	sign() { # CLAIMS
		local text
		text=$(printf '%s' '{"alg":"RS256","typ":"JWT"}' | $b64 | tr +/ -_ | tr -d =).$(jq -c "$1" <<<"{\"iss\":\"$ACCOUNT\",
			\"scope\":\"x\",\"aud\":\"$URL/token\",\"iat\":$now,\"exp\":$((now + 600))}" | $b64 | tr +/ -_ | tr -d =)
		jq -r .private_key "$KEY" >pem
		printf '%s.%s' "$text" "$(printf '%s' "$text" | openssl dgst -sha256 -sign pem | $b64 | tr +/ -_ | tr -d =)"
	}
	grant grant_type=$jwt "assertion=$(sign .)"
	[ "$CODE" = 200 ]
	local token
	token=$(jq -r .access_token body)
	good_token "$token"
	run ! good_token "${token}0"
	wait_until '! good_token "$token"' 5
	local wrong
	for wrong in '.aud = "https://example.com/token"' '.exp -= 700' '.iat += 900' '.exp += 9000' '.iss = "x@y"' 'del(.scope)' 'del(.iat)' \
		'.iat = -8611686018427388000 | .exp = 8611686018427388000'; do
		grant grant_type=$jwt "assertion=$(sign "$wrong")"
		[ "$CODE" = 400 ]
		jq -e '.error | IN("invalid_grant", "invalid_scope")' body
	done
	grant grant_type=$jwt "assertion=$(sign . | sed 's/....$/AAAA/')"
	[ "$(jq -r .error_description body)" = 'Invalid JWT Signature.' ]
	grant grant_type=$jwt "assertion=$(printf '{"alg":"none"}' | base64).$(sign . | cut -d. -f2)."
	[ "$CODE" = 400 ]
	grant grant_type=refresh_token client_id=x client_secret=y refresh_token=z
	[ "$CODE" = 401 ]
	grant grant_type=password
	[ "$(jq -r .error body)" = unsupported_grant_type ]
	EP=v1/token grant grant_type=urn:ietf:params:oauth:grant-type:token-exchange "audience=$(jq -r .audience "$EXTERNAL")" scope=x \
		"requested_token_type=$TYPE:access_token" subject_token=wrong "subject_token_type=$TYPE:jwt"
	[ "$CODE" = 400 ]
	[ "$(curl -s -o body -w '%{http_code}' -X POST -d '{}' "$URL/v1/projects/-/serviceAccounts/a:generateAccessToken")" = 401 ]
	[ "$(curl -s -o body -w '%{http_code}' "$URL/computeMetadata/v1/project/project-id")" = 403 ]
	[ "$(curl -s -H 'Metadata-Flavor: Google' "$URL/computeMetadata/v1/project/project-id")" = test ]
	[ "$(curl -s -H 'Metadata-Flavor: Google' "$URL/computeMetadata/v1/instance/service-accounts/default/?recursive=true" | jq -r .email)" = "$ACCOUNT" ]
	# Another start: the same key, the port of now.
	local id
	id=$(jq -r .private_key_id "$KEY")
	[ "$(stat -c %a "$KEY")" = 600 ]
	stop_emu
	up
	[ "$(jq -r .private_key_id "$KEY")" = "$id" ]
	good_token "$(gcp-token --credentials "$KEY")"
	works --credentials "$USER_FILE"
}
