#!/usr/bin/env bats
# The units, started for real by a systemd of the test's own; where that cannot be, their command lines as they stand.

bats_require_minimum_version 1.5.0
load ../lib
load ../install
load flow
load units

# One tree for the whole file, of which each test has a copy.
setup_file() {
	! sanitized || return 0
	make_install DESTDIR="$BATS_FILE_TMPDIR/tree" PREFIX=/usr UNITDIR=/usr/lib/systemd/evpipe-test
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	plain_build
	case $BATS_TEST_DESCRIPTION in
	'by hand'*) ;;
	*)
		why=$(no_systemd)
		[ -z "$why" ] || skip "$why"
		;;
	esac
	TREE=$BATS_TEST_TMPDIR/tree
	cp -a "$BATS_FILE_TMPDIR/tree" "$TREE"
	start_emu --min-deadline 1
}

teardown() {
	shut_down
	end_all
}

answered() { # PATH-END STATUS: how often
	curl -sf "http://127.0.0.1:$EMU_PORT/emu/requests" | jq --arg p "$1" --argjson s "$2" \
		'[.requests[] | select(.status == $s and (.path | endswith($p))).count] | add // 0'
}

short_leases_of() { # SECONDS: so that a restart need not wait a minute for what was lost
	curl -sf -X PATCH "http://127.0.0.1:$EMU_PORT/v1/projects/test/subscriptions/$SUB" -H 'Content-Type: application/json' \
		-d "{\"subscription\":{\"ackDeadlineSeconds\":$1},\"updateMask\":\"ackDeadlineSeconds\"}" >patched
}

STAGES='ps-pull ev-validate bq-insert gcs-put dlq-push@ev-validate dlq-push@bq-insert'

@test "the chain of units streams the sample, each stage its own user, ev-validate without a network" {
	local stage pid
	make_events 3000
	publish events
	configure stream.conf EVPIPE_ROTATE_SECONDS=2
	mkdir "$TREE/etc/credstore"
	echo '{"is":"a key"}' >"$TREE/etc/credstore/evpipe-ps-pull.json"
	boot
	inside systemctl start evpipe-chain.target
	state evpipe-ps-pull.service active
	tr '\0' '\n' <"/proc/$(main_pid evpipe-ps-pull.service)/environ" >environment
	place=$(sed -n 's/^CLOUDSDK_CONFIG=//p' environment)
	[ "$(inside cat "$place/application_default_credentials.json")" = '{"is":"a key"}' ]
	for stage in $STAGES; do
		pid=$(main_pid "evpipe-$stage.service")
		[ -n "$pid" ]
		awk '/^Uid/ { print $2 }' "/proc/$pid/status" >>uids
		[ "$stage" != ev-validate ] || [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]
		[ "$stage" = ev-validate ] || [ "$(readlink "/proc/$pid/ns/net")" = "$(readlink /proc/self/ns/net)" ]
		grep -q '^Seccomp:.2' "/proc/$pid/status"
	done
	[ "$(sort -u uids | grep -vcx 0)" = 6 ]
	wait_backlog_below 1 30
	inside systemctl stop evpipe-chain.target
	for stage in $STAGES; do state "evpipe-$stage.service" inactive 1; done
	run -1 inside test -e /run/evpipe/ps-pull
	books 0
}

@test "a stage that is killed ends the chain, which comes back by itself and loses nothing" {
	local before stage
	short_leases_of 2
	make_events 20000
	publish events
	configure stream.conf EVPIPE_ROTATE_SECONDS=2 EVPIPE_LEASE=2
	boot
	inside systemctl start evpipe-chain.target
	wait_backlog_below 20000
	for stage in gcs-put ps-pull; do
		before=$(main_pid evpipe-ps-pull.service)
		kill -KILL "$(main_pid "evpipe-$stage.service")"
		wait_until '! kill -0 "$before" 2>/dev/null' 20
		state evpipe-ps-pull.service active 40
	done
	[ "$(property evpipe-ps-pull.service NRestarts)" -ge 2 ]
	for stage in $STAGES; do state "evpipe-$stage.service" active 1; done
	wait_backlog_below 1 60
	inside systemctl stop evpipe-chain.target
	books 20000
	inside grep -q 'pause: waiting 2 s' /run/log
}

@test "what is wrong for good keeps the chain down; what is wrong for now does not" {
	configure stream.conf EVPIPE_BUCKET=no-such-bucket
	boot
	inside systemctl start evpipe-chain.target
	state evpipe-setup@gcs-put.service failed
	for stage in $STAGES; do state "evpipe-$stage.service" inactive 10; done
	[ "$(property evpipe-setup@gcs-put.service Result)" = exit-code ]
	run -1 inside grep 'ps-pull: in ' /run/log
	inside sed -i 's/^EVPIPE_BUCKET=.*/EVPIPE_BUCKET=test-events-output/' /etc/evpipe/stream.conf
	faults '{"path":"*","times":4,"status":503}'
	inside systemctl start evpipe-chain.target
	state evpipe-ps-pull.service active 60
	[ "$(answered '' 503)" = 4 ]
}

@test "a ps-pull that hangs is ended by the watchdog, and comes back" {
	configure stream.conf
	mkdir "$TREE/usr/lib/systemd/evpipe-test/evpipe-ps-pull.service.d"
	printf '[Service]\nWatchdogSec=2\n' >"$TREE/usr/lib/systemd/evpipe-test/evpipe-ps-pull.service.d/watchdog.conf"
	boot
	inside systemctl start evpipe-ps-pull.service
	started=$SECONDS
	wait_until '[ "$SECONDS" -ge $((started + 4)) ]' # two of its times pass well
	[ "$(property evpipe-ps-pull.service NRestarts)" = 0 ]
	kill -STOP "$(main_pid evpipe-ps-pull.service)"
	wait_until '[ "$(property evpipe-ps-pull.service NRestarts)" = 1 ]' 20
	state evpipe-ps-pull.service active
	inside grep -q 'Watchdog timeout' /dev/kmsg
}

@test "evpipe-stream.service: ready when it pulls, stopped without a loss, not restarted after 78" {
	make_events 1000
	publish events
	configure stream.conf EVPIPE_ROTATE_SECONDS=2
	configure other.conf EVPIPE_UNKNOWN=nonsense
	boot
	inside systemctl start evpipe-stream.service || { journal; false; }
	[ "$(property evpipe-stream.service ActiveState)" = active ]
	[ "$(pgrep -P "$(main_pid evpipe-stream.service)" | wc -l)" -ge 6 ]
	wait_backlog_below 1 30
	inside systemctl stop evpipe-stream.service
	[ "$(property evpipe-stream.service Result)" = success ]
	books 0
	run -1 inside systemctl start evpipe-stream@other.service
	[ "$(property evpipe-stream@other.service ExecMainStatus)" = 78 ]
	[ "$(property evpipe-stream@other.service SubState)" = failed ]
}

@test "75 is no failure of a stop, but one of a run; the credentials of a unit are found" {
	make_events 100
	configure down.conf EVPIPE_DRAIN=1 EVPIPE_CREDENTIALS=default
	configure none.conf EVPIPE_CREDENTIALS=default NO_GCE_CHECK=true
	mkdir "$TREE/etc/credstore"
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out pem 2>/dev/null
	jq -n --rawfile key pem '{type: "service_account", client_email: "stream@test.iam.gserviceaccount.com", private_key: $key,
		private_key_id: "1", token_uri: "https://oauth2.googleapis.com/token"}' >"$TREE/etc/credstore/evpipe-stream.json"
	chmod 0600 "$TREE/etc/credstore/evpipe-stream.json"
	boot
	faults '{"path":"*/insertAll","status":503}'
	publish events
	inside systemctl start evpipe-stream@down.service || { journal; false; }
	inside grep -q "from '/run/credentials/evpipe-stream@down.service/application_default_credentials.json'" /run/log
	run -1 inside grep 'can be read or changed by others' /run/log
	wait_until '[ "$(answered /insertAll 503)" -ge 1 ]'
	kill -TERM "$(main_pid evpipe-stream@down.service)" # nobody's stop
	wait_until '[ "$(property evpipe-stream@down.service NRestarts)" = 1 ]' 20
	state evpipe-stream@down.service active
	before=$(answered /insertAll 503)
	publish events
	wait_until '[ "$(answered /insertAll 503)" -gt "$before" ]'
	inside systemctl stop evpipe-stream@down.service
	[ "$(inside grep -c 'not drained in 1 s' /run/log)" = 2 ]
	[ "$(property evpipe-stream@down.service ActiveState)" = inactive ]
	# Without a file the search goes on, to the metadata service, which is not here.
	inside rm /etc/credstore/evpipe-stream.json
	run -1 inside systemctl start evpipe-stream@none.service
	inside grep -q 'no log-in of gcloud, and no metadata' /run/log
}

@test "evpipe-backfill@: no two at once, its journal is kept, and a second run does nothing" {
	make_events 2000
	mkdir -p "$TREE/srv"
	head -n 1000 events >"$TREE/srv/one.ndjson"
	tail -n 1000 events >"$TREE/srv/two.ndjson"
	configure shop.conf 'EVPIPE_FROM=/srv/one.ndjson /srv/tw*.ndjson' EVPIPE_LINGER=1
	boot
	inside systemctl start --no-block evpipe-backfill@shop.service
	state evpipe-backfill@shop.service activating
	inside systemctl start evpipe-backfill@shop.service || { journal; false; } # joins the run under way
	[ "$(property evpipe-backfill@shop.service Result)" = success ] || { journal; false; }
	inside grep -q 'objects: 2 read' /run/log
	[ "$(inside grep -c 'it adds up' /run/log)" = 1 ]
	inside systemctl start evpipe-backfill@shop.service
	inside grep -q 'objects: 0 read.* 2 skipped' /run/log
	inside systemctl start evpipe-backfill@shop.timer
	[ "$(property evpipe-backfill@shop.timer ActiveState)" = active ]
}

# by_hand UNIT INSTANCE: becomes its ExecStart= lines, with its environment and standard streams, the paths being those of the test.
by_hand() {
	local text dir=$ROOT/scripts/systemd run i
	text=$(cat "$dir/$1" "$dir/${1/@/@$2}.d/"*.conf 2>/dev/null |
		sed -e ':a' -e '/\\$/{N;s/\\\n//;ba}' -e "s,%i,$2,g; s,/usr/bin/\([a-z]*-\),$B/\1,; s,/run/evpipe,$PWD/run,g; s,%t,$PWD/run,")
	setting() { sed -n "s/^$1=\\(file:\\)\\?//p" <<<"$text"; }
	set -a
	eval "$(setting Environment)"
	. "$TREE/etc/evpipe/stream.conf"
	run=$(setting StandardInput) && exec <"${run:-/dev/null}" 3>&- 2>>err
	run=$(setting StandardOutput) && exec >"${run:-/dev/null}"
	run=$(setting WorkingDirectory) && cd "${run:-.}" || exit
	mapfile -t run < <(setting ExecStart)
	for ((i = 0; i < ${#run[@]} - 1; i++)); do eval "${run[i]}" || exit; done
	eval "exec ${run[-1]}"
}

@test "by hand: the command lines of the chain's units, as they stand, stream the sample" {
	local stage pids=()
	make_events 3000
	publish events
	configure stream.conf EVPIPE_ROTATE_SECONDS=2
	for stage in ps-pull ev-validate bq-insert gcs-put dlq-push; do
		mkdir -p "run/evpipe/$stage"
		ln -sfn "evpipe/$stage" "run/$stage"
		(by_hand evpipe-setup@.service "$stage") || { cat err; false; }
	done
	for stage in $STAGES; do
		case $stage in
		*@*) by_hand "evpipe-${stage%@*}@.service" "${stage#*@}" & ;;
		*) by_hand "evpipe-$stage.service" '' & ;;
		esac
		STARTED+=($!)
	done
	wait_backlog_below 1 30
	kill -TERM "${STARTED[0]}"
	for stage in "${STARTED[@]}"; do
		status_of "$stage" 20
		[ "$STATUS" = 0 ] || { cat err; false; }
	done
	books 0
}
