# shellcheck shell=bash
# A systemd of one's own: process 1 of new namespaces, with evpipe installed. Its root is this machine's with a layer in memory over it,
# so that nothing it does is seen outside, and its units are evpipe's alone. The network is the machine's: units reach the tests' gcp-emu.
# Sourced after ../lib.bash and ../install.bash.

# Where it is in the machine's cgroups, or nothing where no version 2 of them is mounted.
cgroup_of_test() {
	findmnt -n -o TARGET -t cgroup2 | sed -n "1s,\$,/evpipe-test.$$,p"
}

# Why it cannot be had here, or nothing.
no_systemd() {
	local group
	group=$(cgroup_of_test)
	if ! [ -x /lib/systemd/systemd ] || ! command -v systemctl nsenter >/dev/null; then
		echo 'there is no systemd here'
	elif [ -z "$group" ] || ! mkdir "$group" 2>/dev/null; then
		echo 'no cgroup may be made here'
	else
		rmdir "$group"
		no_layer
	fi
}

# configure FILE NAME=VALUE...: settings, and where the emulator is.
configure() {
	{
		printf '%s_EMULATOR_HOST=127.0.0.1:%s\n' PUBSUB "$EMU_PORT" BIGQUERY "$EMU_PORT" STORAGE "$EMU_PORT"
		printf '%s\n' EVPIPE_PROJECT=test EVPIPE_BUCKET=test-events-output "${@:2}"
	} >"$TREE/etc/evpipe/$1"
}

# Boots it. What the units want of a whole system is there in name only; they log to /run/log in it.
boot() {
	local units=$TREE/usr/lib/systemd/evpipe-test name old
	for name in sysinit basic network-online shutdown test; do printf '[Unit]\nDefaultDependencies=no\n' >"$units/$name.target"; done
	printf '[Service]\nStandardError=append:/run/log\n' >"$units/evpipe-.service.d/test.conf"
	CGROUP=$(cgroup_of_test)
	for old in "${CGROUP%.*}".*; do # of tests that were killed
		kill -0 "${old##*.}" 2>/dev/null || find "$old" -depth -type d -exec rmdir {} + 2>/dev/null || true
	done
	mkdir -p "$CGROUP"
	{
		printf 'set -e\n%s\n' "$LAYER"
		cat <<-'END'
			: >dev/kmsg # what systemd itself has to say
			mount -t sysfs -o ro sysfs sys
			mount -t cgroup2 cgroup2 sys/fs/cgroup
			umount -l /run/old
			mount --make-rshared / # credentials are mounted in a namespace below, and seen here
			mkdir run/none # instead of the machine's generators
			exec setpriv --bounding-set=-sys_module,-sys_boot,-sys_time,-sys_rawio,-syslog env -i PATH="$PATH" container=evpipe \
				SYSTEMD_UNIT_PATH=/usr/lib/systemd/evpipe-test SYSTEMD_GENERATOR_PATH=/run/none \
				SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/none /lib/systemd/systemd --system --unit=test.target \
				--show-status=no --log-target=kmsg
		END
	} >init
	mkdir -p layer
	(
		echo "$BASHPID" >"$CGROUP/cgroup.procs" || exit
		exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child=KILL --uts --ipc --cgroup sh init "$PWD/layer" "$TREE"
	) >console 2>&1 </dev/null 3>&- &
	UNSHARE_PID=$!
	# shellcheck disable=SC2016 # evaluated later
	wait_until 'INIT_PID=$(pgrep -P "$UNSHARE_PID") && inside systemctl is-active -q test.target 2>/dev/null' 20 || { cat console; return 1; }
}

inside() {
	nsenter -t "$INIT_PID" -m -p -- "$@"
}

shut_down() {
	[ -n "${UNSHARE_PID:-}" ] || return 0
	kill -KILL "$UNSHARE_PID" 2>/dev/null || true
	wait "$UNSHARE_PID" 2>/dev/null || true
	UNSHARE_PID=
	wait_until 'find "$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null' 10
}

property() { # UNIT NAME
	inside systemctl show -P "$2" "$1"
}

state() { # UNIT STATE [SECONDS]
	wait_until "[ \"\$(property '$1' ActiveState)\" = '$2' ]" "${3:-20}" || { journal; inside systemctl --no-pager status "$1"; return 1; }
}

journal() {
	inside tail -n 40 /dev/kmsg /run/log || true
}

# The process id, here, of a unit's main process.
main_pid() { # UNIT
	local group
	group=$(property "$1" ControlGroup)
	head -n 1 "$CGROUP$group/cgroup.procs"
}
