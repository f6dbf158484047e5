# shellcheck shell=bash
# Google's own programs, found by way of gcloud: the Pub/Sub emulator as a server, the command line tools as clients. Sourced
# after ../lib.bash; each skips, loudly, where it is not on the machine.

sdk() {
	dirname "$(dirname "$(readlink -f "$(command -v gcloud || echo /nowhere/bin/gcloud)")")"
}

google_emulator() {
	local jar
	jar=$(ls "$(sdk)"/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar 2>/dev/null) || skip "SKIPPED, NOT TESTED: Google's Pub/Sub emulator is not here"
	command -v java >/dev/null || skip "SKIPPED, NOT TESTED: no java here for Google's Pub/Sub emulator"
	GOOGLE_PORT=$(port_of_nobody)
	java -Xmx4g -jar "$jar" --host=127.0.0.1 --port="$GOOGLE_PORT" >google.log 2>&1 3>&- &
	GOOGLE_PID=$!
	# shellcheck disable=SC2016 # evaluated there
	wait_until 'curl -sf "http://127.0.0.1:$GOOGLE_PORT/" >/dev/null' 30
}

# A port that the kernel has free: Google's emulator takes no 0.
port_of_nobody() {
	local in_use port
	in_use=$(awk 'NR > 1 { split($2, a, ":"); print a[2] }' /proc/net/tcp)
	while :; do
		port=$((20000 + RANDOM))
		grep -qi "$(printf '^%04X$' "$port")" <<<"$in_use" || break
	done
	echo "$port"
}

create() { # TOPIC SUBSCRIPTION
	local base=http://127.0.0.1:$GOOGLE_PORT/v1/projects/test
	curl -sf -X PUT "$base/topics/$1" >/dev/null
	curl -sf -X PUT "$base/subscriptions/$2" -H 'Content-Type: application/json' \
		-d "{\"topic\":\"projects/test/topics/$1\",\"ackDeadlineSeconds\":60}" >/dev/null
}

end_google() {
	[ -n "${GOOGLE_PID:-}" ] || return 0
	kill "$GOOGLE_PID" 2>/dev/null || true
	wait "$GOOGLE_PID" 2>/dev/null || true
	GOOGLE_PID=
}

# gcloud and bq as clients of gcp-emu: no account, no configuration of the user's, no questions.
google_clients() {
	command -v gcloud >/dev/null || skip "SKIPPED, NOT TESTED: no gcloud here"
	mkdir -p sdk
	printf 'fake-token' >sdk/token
	export CLOUDSDK_CONFIG=$PWD/sdk CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true CLOUDSDK_CORE_PROJECT=test CLOUDSDK_CORE_DISABLE_PROMPTS=1
	export CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=true
	export CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB=http://127.0.0.1:$EMU_PORT/
	export CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=http://127.0.0.1:$EMU_PORT/storage/v1/
}
