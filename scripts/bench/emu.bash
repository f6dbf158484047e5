# What the benchmarks of chains share: builds the tools (into $B, or build), makes $dir, which goes at the end with what was
# started, and runs gcp-emu. Sourced from the top of the tree.
# shellcheck shell=bash

make -s ${B:+B="$B"}
bin=${B:-$PWD/build}
export EVPIPE_BIN=$bin
dir=$(mktemp -d)
emu=
stop_emu() {
	[ -z "$emu" ] || { kill "$emu" && wait "$emu" || true; } 2>/dev/null
	emu=
}
trap 'stop_emu; rm -rf "$dir"' EXIT

start_emu() { # FOLDER
	mkdir -p "$1"
	"$bin/gcp-emu" --port 0 --dir "$1" --project bench --schemas schemas.json >"$1.out" 2>"$1.err" &
	emu=$!
	until grep -qs listening "$1.out"; do kill -0 "$emu"; sleep 0.05; done
	port=$(sed -n 's/.*127\.0\.0\.1://p;q' "$1.out")
	export PUBSUB_EMULATOR_HOST=127.0.0.1:$port BIGQUERY_EMULATOR_HOST=127.0.0.1:$port
	export STORAGE_EMULATOR_HOST=127.0.0.1:$port GOOGLE_CLOUD_PROJECT=bench
}

# Of the subscription: backlog, acked, ...
count() { # NAME
	curl -s "http://127.0.0.1:$port/emu/pubsub/projects/bench/subscriptions/backend-events-topic-sub" | jq ".$1"
}
