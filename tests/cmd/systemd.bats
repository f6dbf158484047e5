#!/usr/bin/env bats
# The units as systemd reads them, and what they share. tests/flow/units.bats starts them.

bats_require_minimum_version 1.5.0
load ../lib
load ../install

UNITS=$ROOT/scripts/systemd

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	plain_build
}

installed() {
	command -v systemd-analyze >/dev/null || skip 'there is no systemd-analyze here'
	local opt=$BATS_FILE_TMPDIR/opt
	[ -d "$opt" ] || make_install PREFIX="$opt" CONFDIR="$opt/etc" UNITDIR="$opt/units"
	cp -a "$opt/units" units
	export MANPATH=$opt/share/man:
}

@test "systemd-analyze verify has nothing to say" {
	installed
	# -o shows what it says even where it succeeds; man -w wants man-db.
	man=yes
	command -v man >/dev/null || man=no
	systemd-analyze verify --man="$man" units/*.service units/*.timer units/*.target >said 2>&1 || { cat said; false; }
	[ ! -s said ] || { cat said; false; }
	run -1 grep -rnE '/usr/(bin|libexec)/(evpipe|ps-|ev-|bq-|gcs-|dlq-)|/etc/evpipe' units/*.service units/*/*.conf
	# It would notice.
	sed -i 's/^Type=notify/Type=notfy/' units/evpipe-stream.service
	systemd-analyze verify --man=no units/evpipe-stream.service >said 2>&1 || true
	grep -q notfy said
}

@test "systemd-analyze security: an exposure of 2.0 or below for each" {
	installed
	for unit in units/*.service units/evpipe-setup@{ps-pull,ev-validate,bq-insert,gcs-put,dlq-push}.service; do
		[ -e "$unit" ] || cp units/evpipe-setup@.service "$unit"
		systemd-analyze security --offline=yes --threshold=20 --no-pager "$unit" >said || { cat said; false; }
		echo "# $(grep -o 'Overall exposure.*' said)" >&3
	done
	run -1 systemd-analyze security --offline=yes --threshold=2 --no-pager units/evpipe-stream.service
}

@test "what is restarted grows slower, and not after 64, 77 and 78" {
	for unit in "$UNITS"/*.service; do
		grep -q '^Restart=' "$unit" || continue
		grep -qx 'Restart=on-failure' "$unit"
		grep -qx 'RestartPreventExitStatus=64 77 78' "$unit"
		grep -qx 'StartLimitIntervalSec=0' "$unit"
		grep -q '/libexec/evpipe/pause' "$unit" || [ "${unit##*/}" = evpipe-ps-pull.service ]
		echo "${unit##*/}" >>restarted
	done
	[ "$(sort restarted | paste -sd ' ')" = 'evpipe-backfill@.service evpipe-ps-pull.service evpipe-stream@.service' ]
}

@test "ev-validate has no network, the others no more than they need; each that calls Google has its own credentials" {
	grep -qx PrivateNetwork=yes "$UNITS/evpipe-ev-validate.service"
	grep -qx RestrictAddressFamilies=none "$UNITS/evpipe-ev-validate.service"
	run -1 grep LoadCredential "$UNITS/evpipe-ev-validate.service"
	for unit in stream@ backfill@ ps-pull bq-insert gcs-put dlq-push@ setup@; do
		grep -q '^LoadCredential=application_default_credentials.json:\(evpipe-%i\|%p\).json$' "$UNITS/evpipe-$unit.service"
		grep -qx 'Environment=CLOUDSDK_CONFIG=%d' "$UNITS/evpipe-$unit.service"
	done
	for unit in "$UNITS"/*.service; do
		grep -q '^SystemCallFilter=' "$unit"
		grep -q '^RestrictAddressFamilies=' "$unit"
	done
}

@test "evpipe-stream.service is evpipe-stream@ with the settings of stream.conf" {
	installed
	run diff units/evpipe-stream@.service units/evpipe-stream.service
	[ "$(grep '^>' <<<"$output")" = "> Description=Pub/Sub to BigQuery and Cloud Storage
> EnvironmentFile=$BATS_FILE_TMPDIR/opt/etc/stream.conf" ]
	run -1 grep '%i' units/evpipe-stream.service
}

@test "every setting in stream.conf is an option of the stream, with its default, and the chain's" {
	"$ROOT/scripts/stream" --help >help
	while IFS='=' read -r name value; do
		option=${name#\#EVPIPE_}
		option=${option,,}
		grep -q -- "^      --${option//_/-} " help
		case $name in
		*PROJECT | *BUCKET | *DATASET | *SCHEMAS) ;;
		*) grep -- "^      --${option//_/-} " help | grep -qF "($value)" ;;
		esac
		[ "$name" = '#EVPIPE_SCHEMAS' ] || grep -q "\${${name#\#}}" "$UNITS"/evpipe-*.service
	done < <(grep '^#EVPIPE_' "$UNITS/stream.conf")
}

@test "pause: nothing before the first start, then longer and longer, and anew after a good run" {
	mkdir bin run
	printf '#!/bin/sh\necho "$1" >>slept\n' >bin/sleep
	chmod +x bin/sleep
	for _ in $(seq 12); do PATH=$PWD/bin:$PATH RUNTIME_DIRECTORY=$PWD/run "$UNITS/pause" 2>>err; done
	[ "$(paste -sd ' ' slept)" = '1 2 4 8 16 32 64 128 256 300 300' ]
	touch -d '11 minutes ago' run/starts
	rm slept
	for _ in 1 2; do PATH=$PWD/bin:$PATH RUNTIME_DIRECTORY=$PWD/run "$UNITS/pause" 2>>err; done
	[ "$(cat slept)" = 1 ]
	run env -u RUNTIME_DIRECTORY "$UNITS/pause"
	[ "$status" != 0 ]
	[[ $output == *RuntimeDirectory=* ]]
}
