#!/usr/bin/env bats
# The image, without an engine to build it: the Dockerfile's shape; and its contents, put together here as it says from `make
# install` and this machine's libraries, run for real: its entry as process 1, nobody's user, no capabilities, a read-only root.

bats_require_minimum_version 1.5.0
load ../lib

TOOLS=(ps-pull ev-validate bq-insert gcs-put dlq-push ps-push ev-read bq-load)
# What the scripts call, besides the tools; the image has them because Debian marks their packages essential.
COMMANDS=(bash sh env cat mkdir mkfifo mktemp readlink rm setpriv sha256sum sleep)
NOBODY=65532

# the image's root, made once for the whole file
setup_file() {
	! sanitized || return 0
	export CONTEXT=$BATS_FILE_TMPDIR/context IMAGE=$BATS_FILE_TMPDIR/image
	local name command
	mkdir -p "$CONTEXT" "$IMAGE"/{usr/local/share,usr/bin,dev,proc,tmp,etc}
	# COPY . . takes what .dockerignore lets through
	sed -n 's/^!//p' "$ROOT/.dockerignore" >"$BATS_FILE_TMPDIR/allowed"
	while IFS= read -r name; do cp -a "$ROOT/$name" "$CONTEXT/"; done <"$BATS_FILE_TMPDIR/allowed"
	make -s -C "$CONTEXT" install B="$B" DESTDIR="$BATS_FILE_TMPDIR/installed" >"$BATS_FILE_TMPDIR/install.log" 2>&1
	cp -a "$BATS_FILE_TMPDIR/installed/usr/local/bin" "$IMAGE/usr/local/"
	cp -a "$BATS_FILE_TMPDIR/installed/usr/local/share/evpipe" "$IMAGE/usr/local/share/"
	install -m 0755 "$CONTEXT/scripts/docker/entry" "$IMAGE/usr/local/bin/evpipe-entry"
	rm "$IMAGE/usr/local/bin/gcp-emu"
	for command in "${COMMANDS[@]}"; do cp -L "$(command -v "$command")" "$IMAGE/usr/bin/"; done
	ln -s usr/bin "$IMAGE/bin"
	ldd "$IMAGE"/usr/bin/* "${TOOLS[@]/#/$IMAGE/usr/local/bin/}" | sed -nE 's/.*(=> |^\t)(\/[^ ]*) \(.*/\2/p' | sort -u >"$BATS_FILE_TMPDIR/libraries"
	while IFS= read -r name; do
		mkdir -p "$IMAGE${name%/*}"
		cp -L "$name" "$IMAGE$name"
	done <"$BATS_FILE_TMPDIR/libraries"
	ln -s /proc/self/fd "$IMAGE/dev/fd"
	touch "$IMAGE/dev/null"
	printf 'nobody:x:%d:%d::/:/bin/sh\n' $NOBODY $NOBODY >"$IMAGE/etc/passwd"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	plain_build
}

teardown() {
	end_all
}

# the Dockerfile without comments, an instruction a line
instructions() {
	sed -e '/^[[:space:]]*#/d' "$ROOT/Dockerfile" | sed -e ':a' -e '/\\$/{N; s/\\\n[[:space:]]*//; ba}' -e '/^$/d'
}

# image COMMAND...: as a runtime would, with docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges
# The shell becomes it: for run and in_background only.
image() {
	# shellcheck disable=SC2016
	exec unshare --mount --pid --fork --kill-child=KILL bash -c '
		mount --bind "$IMAGE" "$IMAGE" && mount -o remount,ro,bind "$IMAGE" && mount -t tmpfs tmpfs "$IMAGE/tmp" &&
			chmod 1777 "$IMAGE/tmp" && mount -t proc proc "$IMAGE/proc" && mount --bind /dev/null "$IMAGE/dev/null" &&
			cd / && exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			GOOGLE_CLOUD_PROJECT=test PUBSUB_EMULATOR_HOST="$PUBSUB_EMULATOR_HOST" \
			BIGQUERY_EMULATOR_HOST="$BIGQUERY_EMULATOR_HOST" STORAGE_EMULATOR_HOST="$STORAGE_EMULATOR_HOST" \
			chroot "$IMAGE" setpriv --reuid '$NOBODY' --regid '$NOBODY' --clear-groups --no-new-privs \
			--bounding-set=-all --inh-caps=-all evpipe-entry "$@"' image "$@"
}

# its process 1, seen from here; PID is the unshare's
first_process() {
	pgrep -P "$PID"
}

# its processes into the file `inside`, their ids being those seen from here
processes_of_image() {
	pgrep --ns "$(first_process)" --nslist pid -u $NOBODY >inside
}

all_gone() {
	local pid
	while IFS= read -r pid; do ! kill -0 "$pid" 2>/dev/null || return 1; done <inside
}

needs_namespaces() {
	[ "$(id -u)" = 0 ] && unshare --mount --pid --fork true 2>/dev/null ||
		skip 'mount and process namespaces need root, and a system that lets it make them'
}

@test "two stages of one named release; nobody's user; one entry; nothing fetched but packages" {
	instructions >lines
	[ "$(grep -c '^FROM ' lines)" = 2 ]
	grep -qx 'ARG DEBIAN=debian:1[2-9]-slim' lines
	run -1 grep -vxE 'FROM \$\{DEBIAN\}( AS build)?' <(grep '^FROM ' lines)
	run -1 grep -E '^ADD |:latest|https?://|curl |wget |sudo' lines
	# of the last stage
	awk '/^FROM / { stage++ } stage == 2' lines >final
	[ "$(grep '^USER ' final)" = "USER $NOBODY:$NOBODY" ]
	[ "$(grep '^ENTRYPOINT ' final)" = 'ENTRYPOINT ["/usr/local/bin/evpipe-entry"]' ]
	run -1 grep -E '^COPY ' <(grep -v -- '--from=build' final)
	run -1 grep -E 'build-essential|-dev\b|gcc|make' final
	[ "$(grep -c 'apt-get install' lines)" = "$(grep -c 'apt-get update && apt-get install --yes --no-install-recommends' lines)" ]
	grep -q 'rm -rf /var/lib/apt/lists' final
	# the user comes after the last thing that needs root
	[ "$(sed -n '/^USER /,$p' final | grep -cE '^(RUN|COPY) ')" = 0 ]
	for label in title description licenses version revision; do grep -q "org.opencontainers.image.$label=" final; done
}

@test ".dockerignore lets through what exists, and that is enough for make install" {
	[ "$(grep -v '^#' "$ROOT/.dockerignore" | head -n 1)" = '*' ]
	[ -s "$BATS_FILE_TMPDIR/allowed" ]
	while IFS= read -r name; do [ -e "$ROOT/$name" ]; done <"$BATS_FILE_TMPDIR/allowed"
	for name in "${TOOLS[@]}" evpipe-stream evpipe-backfill evpipe-replay evpipe-entry; do [ -x "$IMAGE/usr/local/bin/$name" ]; done
	[ -r "$IMAGE/usr/local/share/evpipe/schemas.json" ]
	[ -r "$IMAGE/usr/local/share/evpipe/chain.bash" ]
}

@test "the image has the packages of every library that a tool asks for, and essential ones for the rest" {
	command -v dpkg-query objdump >/dev/null && [ "$(. /etc/os-release && echo "$ID$VERSION_ID")" = debian12 ] ||
		skip 'package names are those of Debian 12, and this is not it'
	local packages library name package
	packages=" libc6 $(instructions | grep 'apt-get install' | tail -n 1) "
	for library in $(objdump -p "${TOOLS[@]/#/$IMAGE/usr/local/bin/}" | awk '$1 == "NEEDED" { print $2 }' | sort -u); do
		package=$(dpkg-query -S "*/$library" | head -n 1)
		[[ $packages == *" ${package%%:*} "* ]] || { echo "a tool needs $library of ${package%%:*}"; return 1; }
	done
	[[ $packages == *' ca-certificates '* ]]
	for name in "${COMMANDS[@]}"; do
		package=$(dpkg-query -S "*bin/$name" | grep -v '^diversion' | sed -n "s,: .*bin/$name\$,,p" | head -n 1)
		[ "$(dpkg-query -W -f '${Essential}' "$package")" = yes ] || { echo "$name is of $package"; return 1; }
	done
}

@test "the entry: stream by default, scripts by their short names, any tool by its own" {
	needs_namespaces
	run -0 image stream --version
	[[ $output == 'evpipe-stream (evpipe) '* ]]
	run -0 image --version
	[[ $output == 'evpipe-stream (evpipe) '* ]]
	run -0 image backfill --help
	[[ $output == 'usage: evpipe-backfill'* ]]
	run -0 image replay --version
	[[ $output == 'evpipe-replay (evpipe) '* ]]
	for name in "${TOOLS[@]}"; do
		run -0 image "$name" --version
		[[ $output == "$name (evpipe) "* ]]
	done
	run -0 image ev-validate --check
	run -127 image no-such-tool
	run -0 image setpriv --dump
	[[ $output == *"uid: $NOBODY"* && $output == *'no_new_privs: 1'* && $output == *'Capability bounding set: [none]'* ]]
	run image mkdir /x
	[[ $output == *'Read-only file system'* ]]
}

@test "the stream runs in it as process 1; SIGTERM drains it to 0, and no process is left" {
	needs_namespaces
	start_emu
	for n in $(seq 500); do good_order "$n"; done | ps-push -q --input bare backend-events-topic
	in_background image stream --rotate-seconds 60
	wait_until '[ "$(rows_of orders)" = 500 ]' 30
	processes_of_image
	[ "$(wc -l <inside)" -ge 7 ]
	kill -TERM "$(first_process)"
	status_of "$PID" 20
	[ "$STATUS" = 0 ] || { cat err; false; }
	[ "$(backlog_of)" = 0 ]
	[ "$(find "$EMU_DIR/storage/test-events-output" -name '*.json' -exec cat {} + | wc -l)" = 500 ]
	all_gone
}

@test "SIGKILL to its process 1 ends all of it" {
	needs_namespaces
	start_emu
	in_background image stream
	wait_until 'processes_of_image && [ "$(ps -o comm= -p "$(paste -sd , inside)" | grep -cx "gcs-put\|ps-pull")" = 2 ]' 20
	kill -KILL "$(first_process)"
	status_of "$PID" 10
	wait_until all_gone
}

@test "the backfill runs in it, with a journal in a bucket" {
	needs_namespaces
	start_emu
	for n in $(seq 100); do good_order "$n"; done >history.ndjson
	curl -sf "http://127.0.0.1:$EMU_PORT/upload/storage/v1/b/test-events-output/o?uploadType=media&name=history/1.ndjson" \
		--data-binary @history.ndjson >uploaded
	run -0 image backfill --from 'gs://test-events-output/history/*' --journal gs://test-events-output/journal/0-of-1 --shard 0/1 --linger 1
	[[ $output == *'100 loaded, 0 dead: it adds up'* ]]
	[ "$(rows_of orders)" = 100 ]
	# nowhere to keep a journal of its own: said, not lost with the container
	run -74 image backfill --from 'gs://test-events-output/history/*'
	[[ $output == *'give --journal FILE'* ]]
}
