# gcp-emu for those who start it themselves: the tests of gcp-emu itself, with `up`, and those of one tool, which share one
# for their whole file, with `up_for_file`. `load emu` brings it in; B is the build folder.
# shellcheck shell=bash

BIN=${B:-$BATS_TEST_DIRNAME/../../build}
PATH=$BIN:$PATH
PIDS=() # what down ends

# up [OPTION...]: starts it over ./data, with UP_OPTIONS too; EMU is its pid, URL where it listens.
up() {
	: >hello
	"$BIN/gcp-emu" --port 0 --dir data ${UP_OPTIONS[@]+"${UP_OPTIONS[@]}"} "$@" >hello 2>log 3>&- &
	EMU=$!
	PIDS+=("$EMU")
	for _ in $(seq 200); do
		[ -s hello ] && break
		kill -0 "$EMU" 2>/dev/null || { cat log; return 1; }
		sleep 0.02
	done
	[[ $(head -n 1 hello) =~ ^gcp-emu:\ listening\ on\ 127\.0\.0\.1:[0-9]+$ ]]
	URL=http://$(sed -n '1s/.* on //p' hello)
	export URL
}

crash() {
	kill -KILL "$EMU"
	wait "$EMU" || true
}

down() {
	local pid
	for pid in "${PIDS[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}

# shellcheck disable=SC2034 # body and status are for the caller
# call METHOD PATH [JSON]: the reply in $body, its status in $status.
call() {
	local method=$1 path=$2
	shift 2
	if [ $# -gt 0 ]; then
		status=$(printf %s "$1" | curl -s -o body -w '%{http_code}' -X "$method" "$URL$path" --data-binary @-)
	else
		status=$(curl -s -o body -w '%{http_code}' -X "$method" "$URL$path")
	fi
	body=$(cat body)
}

# up_for_file [OPTION...]: one for all tests of the file, over ./emu; HOST is where it listens.
up_for_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	mkdir emu
	"$BIN/gcp-emu" --port 0 --dir emu --project p "$@" >emu.out 2>emu.err 3>&- &
	echo $! >emu.pid
	for _ in $(seq 200); do
		grep -q 'listening on' emu.out && break
		read -rt 0.05 < <(:) || true
		kill -0 "$(cat emu.pid)" || { cat emu.err; return 1; }
	done
	HOST=$(sed -n 's/^gcp-emu: listening on //p' emu.out)
	export HOST
}

down_for_file() {
	kill "$(cat "$BATS_FILE_TMPDIR/emu.pid")"
}
