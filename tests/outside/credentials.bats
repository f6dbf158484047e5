#!/usr/bin/env bats
# Credentials before a judge that nobody here wrote: Google's own library, as it comes with the Cloud SDK. What it logs in with,
# we log in with; what it signs and fetches, gcp-emu takes; and what we sign holds what it signs.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	unset "${!GOOGLE_@}" "${!GCE_@}" CLOUDSDK_CONFIG
	export HOME=$PWD GOOGLE_CLOUD_PROJECT=test no_proxy=127.0.0.1
	local sdk
	sdk=$(command -v gcloud) || skip 'SKIPPED, NOT TESTED: no Cloud SDK here'
	sdk=$(dirname "$(dirname "$(readlink -f "$sdk")")")
	PYTHON=$(command -v /usr/bin/python3 || command -v python3) || skip 'SKIPPED, NOT TESTED: no python3 here'
	export PYTHONPATH=$sdk/lib/third_party PYTHONDONTWRITEBYTECODE=1
	"$PYTHON" -c 'import google.auth, google.auth.transport.requests' 2>/dev/null ||
		skip 'SKIPPED, NOT TESTED: the Cloud SDK here has no google.auth that python3 can load'
	start_emu --auth
	URL=http://127.0.0.1:$EMU_PORT
	KEY=$EMU_DIR/service-account.json
}

teardown() {
	end_all
}

good_token() { # TOKEN
	[ "$(curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $1" "$URL/v1/projects/test/topics")" = 200 ]
}

# theirs FILE [self-signed]: the token that Google's library gets with it.
theirs() {
	"$PYTHON" - "$@" <<-'END'
		import os, sys, warnings
		URL = "http://" + os.environ["PUBSUB_EMULATOR_HOST"]
		warnings.simplefilter("ignore")
		import google.auth, google.auth.transport.requests
		from google.auth import external_account, iam
		iam._IAM_ENDPOINT = URL + "/v1/projects/-/serviceAccounts/{}:generateAccessToken" # nor does it honour the file's
		external_account.Credentials.get_project_id = lambda self, request: None # which would ask the real Google
		scopes = ["https://www.googleapis.com/auth/cloud-platform"]
		if sys.argv[1] == "default":
		    creds, _ = google.auth.default(scopes=scopes)
		else:
		    creds, _ = google.auth.load_credentials_from_file(sys.argv[1], scopes=scopes)
		# The library does not honour the token_uri of a log-in's file; it is sent there all the same.
		for c in (creds, getattr(creds, "_source_credentials", None)):
		    if hasattr(c, "_refresh_token") and hasattr(c, "_token_uri"):
		        c._token_uri = URL + "/token"
		if len(sys.argv) > 2:
		    creds = creds.with_always_use_jwt_access(True)
		    creds._create_self_signed_jwt(None)
		creds.refresh(google.auth.transport.requests.Request())
		print(creds.token)
	END
}

both() { # FILE
	good_token "$(theirs "$1")"
	good_token "$(gcp-token --credentials "$1")"
	good_token "$(gcp-token --exchange --credentials "$1")"
}

claims() { cut -d. -f2 | tr -- -_ +/ | base64 -d 2>/dev/null; }

@test "one file each of every kind: Google's library and we both get a token that is good" {
	local impersonate="$URL/v1/projects/-/serviceAccounts/a@b:generateAccessToken"
	both "$KEY"
	both "$EMU_DIR/authorized-user.json"
	both "$EMU_DIR/external-account.json"
	jq '.service_account_impersonation_url = $u' --arg u "$impersonate" "$EMU_DIR/external-account.json" >file
	both file
	jq '{type: "impersonated_service_account", service_account_impersonation_url: $u, delegates: [], source_credentials: .}' \
		--arg u "$impersonate" "$EMU_DIR/authorized-user.json" >file
	both file
	printf '#!/bin/sh\nprintf %%s "{\\"version\\":1,\\"success\\":true,\\"token_type\\":\\"urn:ietf:params:oauth:token-type:jwt\\",%s}"\n' \
		"\\\"expiration_time\\\":$(($(date +%s) + 600)),\\\"id_token\\\":\\\"$(cat "$EMU_DIR/subject-token")\\\"" >program
	chmod +x program
	jq '.credential_source = {executable: {command: $p, timeout_millis: 5000}}' --arg p "$PWD/program" \
		"$EMU_DIR/external-account.json" >file
	export GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1
	both file
}

@test "AWS: STS finds the request right that Google's library signs, and ours" {
	stop_emu
	start_emu --auth --s3-key AKID:SECRET:SESSION
	URL=http://127.0.0.1:$EMU_PORT
	export AWS_ACCESS_KEY_ID=AKID AWS_SECRET_ACCESS_KEY=SECRET AWS_SESSION_TOKEN=SESSION AWS_REGION=eu-west-1
	jq '.subject_token_type = "urn:ietf:params:aws:token-type:aws4_request" | .credential_source = {environment_id: "aws1",
		regional_cred_verification_url: "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}' \
		"$EMU_DIR/external-account.json" >file
	both file
}

@test "the metadata service" {
	export GCE_METADATA_HOST=127.0.0.1:$EMU_PORT GCE_METADATA_IP=127.0.0.1:$EMU_PORT
	good_token "$(theirs default)"
	good_token "$(gcp-token)"
}

@test "a token that the key signs itself has the claims and the header of Google's library's" {
	theirs "$KEY" self-signed >theirs
	gcp-token --credentials "$KEY" >ours
	good_token "$(cat theirs)"
	local shape='to_entries | map(.key) | sort'
	[ "$(claims <theirs | jq -c "$shape")" = "$(claims <ours | jq -c "$shape")" ]
	[ "$(claims <theirs | jq -c '[.iss, .sub, .scope, .exp - .iat]')" = "$(claims <ours | jq -c '[.iss, .sub, .scope, .exp - .iat]')" ]
	[ "$(cut -d. -f1 theirs | tr -- -_ +/ | base64 -d 2>/dev/null | jq -Sc .)" = "$(cut -d. -f1 ours | tr -- -_ +/ | base64 -d 2>/dev/null | jq -Sc .)" ]
}
