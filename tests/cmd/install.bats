#!/usr/bin/env bats
# What users install: a tree, a source archive, a Debian package; and their shells' completions.

bats_require_minimum_version 1.5.0
load ../lib
load ../install

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	plain_build
}

teardown() {
	end_all
}

installed_stream() { # PREFIX [NAME=VALUE]: the installed script runs a message through, knowing nothing of the source tree
	start_emu
	publish_lines "$(good_order one)" '{"event_type":"order"}'
	env -u EVPIPE_BIN -u EVPIPE_SCHEMAS PATH=/usr/bin:/bin "${@:2}" "$1/bin/evpipe-stream" --project test --idle-exit 1 2>err ||
		{ cat err; false; }
	[ "$(rows_of orders)" = 1 ]
	[ "$(backlog_of backend-events-dlq-topic-sub)" = 1 ]
}

@test "make install: a tree that needs nothing of the source, elsewhere too" {
	make_install PREFIX="$PWD/opt" CONFDIR="$PWD/etc"
	installed_stream "$PWD/opt"
	for page in "$ROOT"/man/*.[157]; do [ -f "opt/share/man/man${page##*.}/${page##*/}" ]; done
	env -u EVPIPE_SCHEMAS opt/bin/ev-validate --check 2>err
	grep -qF "$PWD/opt/share/evpipe/schemas.json" err
	echo EVPIPE_PROJECT=mine >etc/stream.conf
	make_install PREFIX="$PWD/opt" CONFDIR="$PWD/etc"
	grep -qx EVPIPE_PROJECT=mine etc/stream.conf
	run -1 grep -rIlF "$ROOT/" opt
	make_install DESTDIR="$PWD/dest" PREFIX="$PWD/opt"
	[ -x "dest$PWD/opt/bin/ps-pull" ]
	[ -f "dest$PWD/opt/lib/systemd/system/evpipe-stream.service" ]
	[ -f dest/etc/evpipe/stream.conf ]
}

@test "make dist: the same bytes whenever it is made, with what a build needs" {
	git -C "$ROOT" rev-parse HEAD >/dev/null 2>&1 || skip 'this tree is no git repository'
	make -s -C "$ROOT" B="$PWD/one" dist
	TZ=Asia/Tokyo LC_ALL=C make -s -C "$ROOT" B="$PWD/two" dist
	cmp one/evpipe-*.tar.gz two/evpipe-*.tar.gz
	tar -tzf one/evpipe-*.tar.gz >list
	grep -q '/Makefile$' list
	grep -q '/lib/LAYERS$' list
}

@test "make deb: lintian is content, and what was installed runs, and leaves nothing when it is purged" {
	for tool in dpkg-buildpackage dh lintian; do
		command -v "$tool" >/dev/null || skip "there is no $tool here"
	done
	[ "$(sed -n '1s/.*(\(.*\)).*/\1/p' "$ROOT/debian/changelog")" = "$(sed -n 's/^VERSION := //p' "$ROOT/Makefile")" ]
	# Without optimisation: a package for a test.
	DEB_BUILD_OPTIONS="noopt parallel=2" make -s -C "$ROOT" B="$PWD" deb >made 2>&1 || { tail -n 40 made; false; }
	lintian --allow-root --fail-on error,warning deb/evpipe_*.deb >said 2>&1 || { cat said; false; }
	[ ! -s said ] || { cat said; false; }
	dpkg-deb -f deb/evpipe_*.deb Recommends | grep -qx ca-certificates
	dpkg-deb -f deb/evpipe_*.deb Depends | grep -q 'libcurl4.*libyajl2'
	dpkg-deb -I deb/evpipe_*.deb conffiles | grep -qx /etc/evpipe/stream.conf
	dpkg-deb -x deb/evpipe_*.deb root
	installed_stream "$PWD/root/usr" EVPIPE_SCHEMAS="$PWD/root/usr/share/evpipe/schemas.json"
	why=$(no_layer)
	[ -z "$why" ] || skip "it runs from where it was unpacked, and is not installed: $why"
	mkdir -p add/root
	cp deb/evpipe_*_*.deb add/root/evpipe.deb
	# shellcheck disable=SC2016 # evaluated inside
	unshare --mount --pid --fork --kill-child=KILL sh -ec "$LAYER"'
		umount -l run/old
		exec 2>&1
		cd /root
		dpkg -i evpipe.deb
		cd /
		env -u EVPIPE_SCHEMAS -u EVPIPE_BIN PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -ec "
			ev-validate --check
			evpipe-stream --version
			evpipe-stream --project test --check"
		dpkg --purge evpipe
		for left in /usr/bin/evpipe-stream /etc/evpipe /usr/share/evpipe /usr/libexec/evpipe /lib/systemd/system/evpipe-*; do
			[ ! -e "$left" ] || exit 1
		done' \
		sh "$PWD/layer" "$PWD/add" >said || { cat said; false; }
	grep -q "schemas '/usr/share/evpipe/schemas.json' are fine" said
	grep -q 'everything is in its place' said
	run -1 grep -i 'warning\|not removed' said
}

# complete_with WORD...: what bash would offer for the last word
complete_with() {
	bash -c '
		. "$1"
		shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		"$(complete -p "$1" | sed "s/.*-F \([^ ]*\) .*/\1/")"
		printf "%s\n" "${COMPREPLY[@]}"' bash "completion/$1" "$@"
}

commands() {
	find "$ROOT/cmd" -mindepth 1 -maxdepth 1 | sed 's,.*/,,; s,\.c$,,'
	find "$ROOT/scripts" -maxdepth 1 \( -name stream -o -name backfill -o -name replay \) -printf 'evpipe-%f\n'
}

# Each command's completions, made as the Makefile makes them; and its --help.
make_completions() {
	mkdir completion
	for name in $(commands); do
		command=$B/$name
		[[ $name != evpipe-* ]] || command=$ROOT/scripts/${name#evpipe-}
		"$ROOT/scripts/completion" bash "$name" "$command" >"completion/$name"
		"$ROOT/scripts/completion" zsh "$name" "$command" >"completion/_$name"
		"$command" --help >"completion/$name.help"
	done
	[ "$(find completion -name '*.help' | wc -l)" -ge 11 ]
}

@test "bash completes every option of every command, choices, files and nothing where the value is one's own" {
	make_completions
	for help in completion/*.help; do
		name=$(basename "$help" .help)
		grep -oE '^ +(-[a-zA-Z], )?--[a-z0-9-]+' "$help" | grep -oE -- '--[a-z0-9-]+' | sort >want
		complete_with "$name" -- | grep '^--' | sort >got
		diff want got
	done
	[ "$(complete_with ps-pull --ac)" = "$(printf '%s\n' --acks --ack-on-write --access-token-file)" ]
	[ "$(complete_with ps-pull --log-format '')" = "$(printf '%s\n' text json)" ]
	[ "$(complete_with ps-pull --log-format = j)" = json ]
	[ "$(complete_with evpipe-stream --first l)" = lake ]
	touch 'a file.json'
	mkdir 'a folder'
	[ "$(complete_with ev-validate --schemas 'a f' | sort)" = "$(printf '%s\n' 'a file.json' 'a folder')" ]
	[ "$(complete_with ev-validate 'a fi')" = 'a file.json' ]
	[ "$(complete_with gcp-emu --dir 'a f')" = 'a folder' ]
	[ -z "$(complete_with ps-pull --max-messages '')" ]
	command -v shellcheck >/dev/null || return 0
	for name in $(commands); do shellcheck -s bash "completion/$name"; done
}

@test "zsh reads its completions, every option of every command among them" {
	command -v zsh >/dev/null || skip 'there is no zsh here'
	make_completions
	for help in completion/*.help; do
		name=$(basename "$help" .help)
		[ "$(head -n 1 "completion/_$name")" = "#compdef $name" ]
		grep -oE '^ +(-[a-zA-Z], )?--[a-z0-9-]+' "$help" | grep -oE -- '--[a-z0-9-]+' | sort >want
		zsh -f -c '_arguments() { print -rl -- "$@" }; . "$1"' zsh "completion/_$name" >specs
		grep -oE '^[^[]*\[' specs | grep -oE -- '--[a-z0-9-]+(=?\[)' | tr -d '=[' | sort >got
		diff want got
	done
	grep -qxF -- '--log-format=[how messages look]:text|json:(text json)' specs
	# And zsh itself offers them.
	cat >drive <<-'END'
		zmodload zsh/zpty
		zpty shell zsh -f -i
		say() { zpty -w shell "$1"; }
		say "PS1=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -d $1/dump; print rea''dy"
		zpty -r shell out '*ready*'
		zpty -w -n shell $'ps-pull --log-format=js\t'
		zpty -r shell out '*--log-format=json*' && print complete
		zpty -d shell
	END
	[ "$(timeout 20 zsh -f drive "$PWD/completion" | tail -n 1)" = complete ]
}
