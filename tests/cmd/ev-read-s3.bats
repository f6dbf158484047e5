#!/usr/bin/env bats
# ev-read from S3, which gcp-emu plays: signatures checked, difficult names, pages, faults, keys from everywhere.

bats_require_minimum_version 1.5.0
load ../lib

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	export EMU_DIR=$BATS_FILE_TMPDIR/emu
	start_emu --s3-key 'AKID:SEC/RET+x:TOK'
	export EMU_PID EMU_PORT
	# No emulator but S3's: what these tests ask must not get there by another door.
	export STORE=$STORAGE_EMULATOR_HOST
	for i in $(seq 3); do good_order "o$i"; done >three.ndjson
	put 'a/b é+%25&<x>#?.json' three.ndjson
	put 'a/c.json' three.ndjson
	put 'a/../up//two.json' three.ndjson
	gzip -nk three.ndjson
	put 'z/three.json.gz' three.ndjson.gz
	: >empty
	put 'z/empty.json' empty
}

teardown_file() {
	stop_emu
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	unset "${!AWS_@}" STORAGE_EMULATOR_HOST
	export AWS_ENDPOINT_URL_S3=http://127.0.0.1:$EMU_PORT AWS_REGION=eu-west-1 AWS_CONFIG_FILE=none HOME=$PWD
	export AWS_ACCESS_KEY_ID=AKID AWS_SECRET_ACCESS_KEY=SEC/RET+x AWS_SESSION_TOKEN=TOK AWS_EC2_METADATA_DISABLED=true
	S=s3://test-events-output
}

teardown() {
	faults
	end_own
}

# The emulator is the file's, not the test's.
end_own() {
	local pid
	for pid in "${STARTED[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	STARTED=()
}

put() { # NAME FILE [BUCKET]
	curl -sSf -o put.out --data-binary "@$2" -H 'Content-Type: application/json' \
		"http://$STORE/upload/storage/v1/b/${3:-test-events-output}/o?uploadType=media&name=$(jq -rn --arg n "$1" '$n|@uri')"
}

decode() {
	jq -r '.data | @base64d'
}

@test "keys with blanks, accents, +, %, &, <, .. and empty parts; ids are URL@ETag:line" {
	run -0 --separate-stderr ev-read "$S/a/*.json" "$S/a/../up//two.json"
	[ "$(decode <<<"$output" | sort | uniq -c | awk '{ print $1 }' | xargs)" = '3 3 3' ]
	md5=$(md5sum <"$BATS_FILE_TMPDIR/three.ndjson" | cut -d ' ' -f 1)
	diff <(jq -r .msg.id <<<"$output") - <<-END
		$S/a/b é+%25&<x>#?.json@$md5:1
		$S/a/b é+%25&<x>#?.json@$md5:2
		$S/a/b é+%25&<x>#?.json@$md5:3
		$S/a/c.json@$md5:1
		$S/a/c.json@$md5:2
		$S/a/c.json@$md5:3
		$S/a/../up//two.json@$md5:1
		$S/a/../up//two.json@$md5:2
		$S/a/../up//two.json@$md5:3
	END
	[[ $stderr == *"using http://127.0.0.1:$EMU_PORT (S3)"* ]]
	[[ $stderr != *SEC* && $stderr != *TOK* ]]
}

@test "an object by its name, gzip and empty too" {
	run -0 --separate-stderr ev-read "$S/z/three.json.gz" "$S/z/empty.json"
	decode <<<"$output" | cmp - "$BATS_FILE_TMPDIR/three.ndjson"
	[[ $stderr == *'2 objects read'* ]]
}

@test "pages: 2,100 objects, each once" {
	export STORAGE_EMULATOR_HOST=$STORE
	mkdir many && cd many
	for i in $(seq 2100); do printf '{"n":%d}\n' "$i" >"m$i.json"; done
	# by one connection, not by 2,100
	for i in $(seq 2100); do
		printf 'url = "http://%s/upload/storage/v1/b/test-events-output/o?uploadType=media&name=many/m%d.json"\n' "$STORE" "$i"
		printf 'data-binary = "@m%d.json"\noutput = "/dev/null"\nfail\nnext\n' "$i"
	done | sed '$d' >urls
	curl -sS -K urls
	run -0 --separate-stderr ev-read "$S/many/*"
	[ "$(decode <<<"$output" | sort -u | wc -l)" = 2100 ]
	[ "$(wc -l <<<"$output")" = 2100 ]
}

@test "SlowDown, 500, broken and cut replies, a reset: read all the same, each byte once" {
	seq 200000 | awk '{ printf "{\"n\":%d}\n", $1 }' >big
	put big/big.json big
	faults '{"path":"/test-events-output","status":503,"times":1},{"path":"/test-events-output","garbage":true,"times":1},
		{"path":"/test-events-output/big*","truncate":700000,"times":2},
		{"path":"/test-events-output/big*","status":500,"times":1},
		{"path":"/test-events-output/big*","reset":true,"times":1}'
	ev-read "$S/big/*" >out 2>err
	decode <out | cmp - big
	grep -q ' [56] retries' err # libcurl itself tries again after a reset on a kept connection
}

@test "an object that changes while it is read is named, and the rest goes on" {
	seq 200000 | awk '{ printf "{\"n\":%d}\n", $1 }' >big
	put ch/big.json big
	put ch/other.json "$BATS_FILE_TMPDIR/three.ndjson"
	faults '{"path":"/test-events-output/ch/big*","truncate":1000,"times":1},
		{"path":"/test-events-output/ch/big*","delay":2,"times":1}'
	in_background ev-read "$S/ch/*"
	wait_until 'curl -sf "http://$STORE/emu/faults" | jq -e ".rules[0].applied > 0"'
	put ch/big.json "$BATS_FILE_TMPDIR/three.ndjson"
	status_of "$PID" 30
	[ "$STATUS" = 75 ]
	grep -q "cannot read '$S/ch/big.json'.*changed while" err
	[ "$(grep -c 'ch/other.json@' out)" = 3 ]
}

@test "refusals: a wrong secret, an unknown key, an ended token, no bucket, no match" {
	AWS_SECRET_ACCESS_KEY=wrong run -77 ev-read "$S/a/*"
	[[ $output == *'(SignatureDoesNotMatch); check AWS_SECRET_ACCESS_KEY'* ]]
	AWS_ACCESS_KEY_ID=other run -77 ev-read "$S/a/*"
	[[ $output == *'(InvalidAccessKeyId)'* ]]
	AWS_SESSION_TOKEN=old run -77 ev-read "$S/a/*"
	[[ $output == *'(ExpiredToken); get fresh AWS credentials'* ]]
	run -69 ev-read "s3://no-such-bucket/*"
	[[ $output == *"cannot list 's3://no-such-bucket': HTTP 404"*'(NoSuchBucket)'* ]]
	run -66 ev-read "$S/nothing/*"
	run -66 ev-read "$S/nothing.json"
	run -77 env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY ev-read "$S/a/*"
	[[ $output == *'cannot find AWS credentials'* ]]
	AWS_ENDPOINT_URL_S3=nonsense run -78 ev-read "$S/a/*"
}

@test "--check asks for the bucket" {
	run -0 ev-read --check "$S/a/*"
	run -69 ev-read --check 's3://no-such-bucket/*'
}

@test "keys from a profile, and from a container's service" {
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
	cat >keys <<-END
		[work]
		aws_access_key_id = AKID
		aws_secret_access_key = SEC/RET+x
		aws_session_token = TOK
	END
	AWS_SHARED_CREDENTIALS_FILE=keys AWS_PROFILE=work run -0 --separate-stderr ev-read "$S/a/c.json"
	[ "${#lines[@]}" = 3 ]
	# gcp-emu serves the answer of a container's credentials service as an object.
	printf '{"AccessKeyId":"AKID","SecretAccessKey":"SEC/RET+x","Token":"TOK","Expiration":"%s"}' \
		"$(date -u -d '+1 hour' +%FT%TZ)" >answer
	put creds answer
	export AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:$EMU_PORT/storage/v1/b/test-events-output/o/creds?alt=media"
	run -0 --separate-stderr ev-read "$S/a/c.json"
	[ "${#lines[@]}" = 3 ]
	faults '{"path":"/storage/v1/*","status":503,"times":2}'
	run -0 --separate-stderr ev-read "$S/a/c.json"
	[ "${#lines[@]}" = 3 ]
}

@test "a profile that others can read: one warning, with what to do" {
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
	printf '[default]\naws_access_key_id=AKID\naws_secret_access_key=SEC/RET+x\naws_session_token=TOK\n' >keys
	printf '[default]\nregion=eu-west-1\n' >config
	chmod 644 keys config
	export AWS_SHARED_CREDENTIALS_FILE=keys AWS_CONFIG_FILE=config
	ev-read -q "$S/a/c.json" >out 2>err
	[ "$(grep -c "chmod 600 'keys'" err)" = 1 ]
	[ "$(wc -l <err)" = 1 ]
	chmod 600 keys
	ev-read -q "$S/a/c.json" >out 2>err
	[ ! -s err ]
}

# As in credentials.bats: such a process's /proc is root's.
@test "bug: AWS keys alone did not keep a process from writing a core file" {
	local as=()
	if [ "$(id -u)" = 0 ]; then
		command -v setpriv >/dev/null || skip 'SKIPPED, NOT TESTED: no setpriv here'
		as=(setpriv --reuid 65534 --clear-groups)
	fi
	faults '{"path":"/test-events-output*","delay":3}'
	AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null "${as[@]}" "$B/ev-read" -q "$S/a/c.json" >out 2>err 3>&- &
	PID=$!
	STARTED+=("$PID")
	wait_until 'curl -sf "http://$STORE/emu/faults" | jq -e ".rules[0].applied > 0"'
	[ "$(stat -c %u "/proc/$PID/environ")" = 0 ]
}

@test "a pod's web identity is not passed over for the instance's role; a name no object can have" {
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
	AWS_WEB_IDENTITY_TOKEN_FILE=token run -78 ev-read "$S/a/c.json"
	[[ $output == *"cannot use AWS_WEB_IDENTITY_TOKEN_FILE"*"export-credentials"* ]]
	run -64 ev-read "$S/$(printf 'x%.0s' {1..1025})"
	[[ $output == *"an object's name has at most 1024 bytes" ]]
}

@test "the metadata service's refusal says what else there is" {
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_EC2_METADATA_DISABLED
	AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:$EMU_PORT/none run -77 ev-read "$S/a/c.json"
	[[ $output == *"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"* ]]
}
