#!/usr/bin/env bats
# ev-read: forms and packings, globs, buckets, receipts and the journal, faults, and how it ends.

bats_require_minimum_version 1.5.0
load ../lib

DATA=$ROOT/tests/data
BUCKET=test-events-output

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
}

teardown() {
	exec 8>&- 9>&-
	end_all
}

# put FILE NAME: as an object of the emulator's bucket
put() {
	curl -sSf -X POST --data-binary "@$1" -H 'Content-Type: application/octet-stream' \
		"http://127.0.0.1:$EMU_PORT/upload/storage/v1/b/$BUCKET/o?uploadType=media&name=$(jq -rn --arg n "$2" '$n | @uri')" >stored
}

lines_of() { # FILE of records
	jq -r '.data | @base64d' "$1"
}

# receipts FILE of records: a line each, by id
receipts() {
	jq -c '{msg: {id: .msg.id}}' "$1"
}

# The same by source and count.
receipts_by_source() {
	jq -r .msg.source "$1" | sort | uniq -c | awk '{ printf "{\"msg\":{\"source\":\"%s\"},\"count\":%d}\n", $2, $1 }'
}

@test "a raw record is as records(5) says" {
	printf '{"a":1}\n' >'a "b" é.json'
	touch -d 2025-02-08T13:09:00.5Z 'a "b" é.json'
	ev-read -q 'a "b" é.json' >got
	id='a "b" é.json@1739020140500000000-8'
	[ "$(jq -r .msg.source got)" = "$id" ]
	[ "$(jq -r .msg.id got)" = "$id:1" ]
	[ "$(jq -r .msg.time got)" = 2025-02-08T13:09:00.5Z ]
	[ "$(jq -r .data got)" = eyJhIjoxfQ== ]
	[ "$(head -c 13 got)" = '{"msg":{"id":' ]
}

@test "every line comes as it is, whatever it is packed in" {
	cat "$DATA"/{orders,hostile}.ndjson | LC_ALL=C grep -av $'^[ \t\r]*$' | LC_ALL=C sed $'s/[ \t\r]*$//' >want
	gzip -c want >1.gz
	zstd -q -c want >2.zst
	{ head -n 100 want | gzip -c; tail -n +101 want | gzip -c; head -c 512 /dev/zero; } >3
	{ head -n 100 want | zstd -q -c; tail -n +101 want | zstd -q -c; } >4
	split -l 1 --filter='head -c -1 | base64 -w 0; echo' want >want.base64
	for file in want 1.gz 2.zst 3 4; do
		ev-read -q "$file" | jq -r .data | cmp - want.base64 || { echo "$file"; return 1; }
	done
	ev-read -q - <1.gz | jq -r .data | cmp - want.base64
	cat 2.zst | ev-read -q - | jq -r .data | cmp - want.base64
}

@test "arrays, pretty-printed objects and values after one another are the same events" {
	jq -c . "$DATA/orders.ndjson" >want
	jq -s . want >array.json
	jq -s -c . want >array-line.json
	jq . want >pretty.json
	tr '\n' ' ' <want >spaces.json
	{ jq -s . <(head -n 10 want); jq . <(tail -n +11 want); } >both.json
	{ echo '{}'; jq . want; } >first-short.json
	for file in *.json; do
		ev-read -q "$file" >got
		lines_of got | jq -c 'select(. != {})' | cmp - want || { echo "$file"; return 1; }
		[ "$(jq -r .msg.id got | sed 's/.*://' | sort -n | tail -n 1)" = "$(wc -l <got)" ]
	done
}

@test "line numbers count blank lines, ids are the places in the file" {
	printf '{"a":1}\n\n  \n{"a":2}\r\n{"a":3}' >lines
	ev-read -q lines >got
	[ "$(jq -r .msg.id got | sed 's/.*://' | xargs)" = '1 4 5' ]
	lines_of got | cmp - <(printf '{"a":1}\n{"a":2}\n{"a":3}\n')
}

@test "a broken line takes no other along" {
	printf '{"a":\n{"b":1}\n{"c":"x\n{"d":1}\n[1,\n{"e":1}\n' >lines
	ev-read -q lines >got
	lines_of got | cmp - lines
}

@test "globs: within folders, across them, in the order of names" {
	mkdir -p d/a/b d/c
	for f in d/1.json d/2.json d/1.txt d/a/3.json d/a/b/4.json d/c/5.json 'd/*.json'; do echo "{\"f\":\"$f\"}" >"$f"; done
	read_all() { ev-read -q "$@" | jq -r '.data | @base64d | fromjson | .f' | xargs; }
	[ "$(read_all 'd/?.json')" = 'd/1.json d/2.json' ] || [ "$(read_all 'd/?.json')" = 'd/*.json d/1.json d/2.json' ]
	[ "$(read_all 'd/[12].json' 2>/dev/null || true)" = '' ]
	[ "$(read_all 'd/*/*.json')" = 'd/a/3.json d/c/5.json' ]
	[ "$(read_all 'd/**/[0-9].json' 2>/dev/null || true)" = '' ]
	[ "$(read_all 'd/**.json')" = 'd/*.json d/1.json d/2.json d/a/3.json d/a/b/4.json d/c/5.json' ]
	[ "$(read_all 'd/**/*.json')" = 'd/*.json d/1.json d/2.json d/a/3.json d/a/b/4.json d/c/5.json' ]
	[ "$(read_all 'd/*.json')" = 'd/*.json' ] # it is there by that very name
	[ "$(read_all 'd/**/b/*')" = d/a/b/4.json ]
	# what two of them name is read once
	[ "$(read_all 'd/?.json' d/1.json 'd/1*')" = 'd/*.json d/1.json d/2.json d/1.txt' ] ||
		[ "$(read_all 'd/?.json' d/1.json 'd/1*')" = 'd/1.json d/2.json d/1.txt' ]
}

@test "nothing matches, no such file, a folder: named, the rest is read, 66" {
	echo '{"a":1}' >there
	mkdir folder
	run -66 --separate-stderr ev-read 'no*' missing folder there
	[ "${#lines[@]}" = 1 ]
	[[ $stderr == *"cannot read 'no*': nothing matches"* ]]
	[[ $stderr == *"cannot read 'missing': No such file"* ]]
	[[ $stderr == *"'folder/**'"* ]]
}

@test "a cut gzip: its lines, its rest as a record, name and byte, 65" {
	gzip -c "$DATA/orders.ndjson" | head -c 20000 >cut.gz
	zstd -q -c "$DATA/orders.ndjson" | head -c 20000 >cut.zst
	for file in cut.gz cut.zst; do
		rm -f rejects
		run -65 --separate-stderr ev-read --rejects rejects "$file" "$DATA/inventory.ndjson"
		[[ $stderr == *"'$file' cannot be read further than byte "*"stream ends early, after byte 20000"* ]]
		printf '%s\n' "${lines[@]}" >got
		n=$(grep -c "\"source\":\"$file@" got || true)
		[ "$((n + 500))" = "$(wc -l <got)" ] || [ "$(grep -c inventory.ndjson got)" = "$(grep -c . "$DATA/inventory.ndjson")" ]
		[ "$(wc -l <rejects)" = 1 ]
		[ "$(jq -r '.stage + " " + .errors[0].code' rejects)" = 'ev-read unreadable' ]
		{ grep "\"source\":\"$file@" got | jq -r '.data | @base64d'; jq -j '.data | @base64d' rejects; } >text
		head -c "$(stat -c %s text)" "$DATA/orders.ndjson" | cmp - text
	done
	run -65 --separate-stderr ev-read cut.gz
	[[ $stderr == *"give --rejects"* ]]
}

@test "broken in the middle: gzip that is damaged, an array that ends early" {
	gzip -c "$DATA/orders.ndjson" >bad.gz
	printf 'xxxxxxxxxxxxxxxx' | dd of=bad.gz bs=1 seek=30000 conv=notrunc 2>/dev/null
	run -65 --separate-stderr ev-read --rejects r1 bad.gz
	[[ $stderr == *"its gzip stream is broken at byte "* ]]
	[ "${#lines[@]}" -gt 100 ]
	jq -s . "$DATA/orders.ndjson" | head -c 100000 >bad.json
	run -65 --separate-stderr ev-read --rejects r2 bad.json
	[[ $stderr == *"'bad.json' cannot be read further than byte "*"it ends within a value"* ]]
	[ "$(jq -r '.errors[0].code' r2)" = unreadable ]
	gzip -c "$DATA/orders.ndjson" >tail.gz
	echo 'behind it' >>tail.gz
	run -65 --separate-stderr ev-read --rejects r3 tail.gz
	[ "${#lines[@]}" = "$(grep -c . "$DATA/orders.ndjson")" ]
	[[ $stderr == *"what follows it is no gzip"* ]]
}

@test "an event past 10 MiB is rejected with its place, length and start; its neighbours are not" {
	{ echo '{"a":1}'; printf '{"x":"'; head -c 11000000 /dev/zero | tr '\0' x; echo '"}'; echo '{"b":1}'; } >long
	ev-read -q --rejects rejects long >got
	lines_of got | cmp - <(printf '{"a":1}\n{"b":1}\n')
	[ "$(jq -r '.errors[0].code' rejects)" = bad_json ]
	[[ $(jq -r '.errors[0].detail' rejects) == 'line 2 is 11000008 bytes long, a message at most 10485760; data holds its first 65536' ]]
	[ "$(jq -r '.data | @base64d' rejects | wc -c)" = 65537 ]
	{ echo '['; head -n 1 long; echo ,; sed -n 2p long; echo ,; sed -n 3p long; echo ']'; } >long.json
	rm rejects
	ev-read -q --rejects rejects long.json >got
	lines_of got | cmp - <(printf '{"a":1}\n{"b":1}\n')
	[[ $(jq -r '.errors[0].detail' rejects) == 'value 2 is 11000008 bytes long,'* ]]
}

@test "gs://: a glob over pages of a bucket, gzip in ranges, ids with the generation" {
	start_emu
	mkdir src
	split -l 2 -d -a 4 "$DATA/orders.ndjson" src/part-
	gzip src/part-000*
	for f in src/*; do put "$f" "hist/$(basename "$f")"; done
	put "$DATA/inventory.ndjson" hist/deeper/other
	ev-read -q 'gs://test-events-output/hist/part-*' >got
	lines_of got | cmp - <(grep -v '^[[:space:]]*$' "$DATA/orders.ndjson")
	jq -r .msg.id got | grep -Evq '^gs://test-events-output/hist/part-[0-9]+(\.gz)?@[0-9]+:[12]$' && return 1
	generation=$(curl -sSf "http://127.0.0.1:$EMU_PORT/storage/v1/b/$BUCKET/o/hist%2Fdeeper%2Fother" | jq -r .generation)
	ev-read -q gs://test-events-output/hist/deeper/other >got
	[ "$(jq -r .msg.source got | sort -u)" = "gs://test-events-output/hist/deeper/other@$generation" ]
	[ "$(ev-read -q 'gs://test-events-output/**' | wc -l)" = "$(cat "$DATA"/{orders,inventory}.ndjson | grep -c .)" ]
}

@test "gs://: no such bucket, no such object, nothing matches, one refused: named, the rest goes on" {
	start_emu
	put "$DATA/orders.ndjson" a/1
	put "$DATA/orders.ndjson" a/2
	put "$DATA/orders.ndjson" a/3
	n=$(grep -c . "$DATA/orders.ndjson")
	run -66 --separate-stderr ev-read 'gs://test-events-output/b/*' gs://test-events-output/a/9 gs://test-events-output/a/1
	[ "${#lines[@]}" = "$n" ]
	[[ $stderr == *"'gs://test-events-output/b/*': nothing matches"* ]]
	[[ $stderr == *"cannot read 'gs://test-events-output/a/9': HTTP 404"* ]]
	run -69 --separate-stderr ev-read 'gs://no-such-bucket/*' gs://test-events-output/a/1
	[ "${#lines[@]}" = "$n" ]
	[[ $stderr == *"cannot list 'gs://no-such-bucket': HTTP 404"* ]]
	faults '{"method":"GET","path":"/storage/v1/b/*/o/a%2F2*","status":403}'
	run -77 --separate-stderr ev-read 'gs://test-events-output/a/*'
	[ "${#lines[@]}" = $((2 * n)) ]
	[[ $stderr == *"cannot read 'gs://test-events-output/a/2': HTTP 403"* ]]
	[[ $stderr == *"2 objects read, 2 done, 0 skipped as already done, 1 failed"* ]]
}

@test "gs://: broken connections and failures go on at their byte" {
	start_emu
	for i in 1 2 3 4 5 6 7 8; do sed "s/\"order_id\":\"/&$i-/" "$DATA/orders.ndjson"; done >want
	put want big
	gzip -c want >want.gz
	put want.gz packed
	faults '{"method":"GET","path":"*/o/*","truncate":50000,"times":4},{"method":"GET","path":"*/o/*","status":503,"times":2}'
	ev-read -v gs://test-events-output/big >got 2>err
	lines_of got | cmp - want
	faults '{"method":"GET","path":"*/o/*","truncate":50000,"times":4}'
	ev-read -v gs://test-events-output/packed >got 2>err
	lines_of got | cmp - want
}

@test "gs://: an object that changes while it is read is named, its generation is pinned, 75" {
	start_emu
	put "$DATA/orders.ndjson" a/1
	for i in $(seq 100); do cat "$DATA/orders.ndjson"; done >many
	put many a/2
	# the first connection breaks, the second is put off: meanwhile it is replaced
	faults '{"method":"GET","path":"*/o/a%2F2*","truncate":1000000,"times":1},
		{"method":"GET","path":"*/o/a%2F2*","status":503,"retry_after":2,"times":1}'
	in_background bash -c 'exec ev-read "gs://test-events-output/a/*" >out 2>err'
	wait_until '[ "$(curl -sf "http://127.0.0.1:$EMU_PORT/emu/faults" | jq "[.rules[].applied] | add")" = 2 ]'
	put "$DATA/inventory.ndjson" a/2
	status_of "$PID" 20
	[ "$STATUS" = 75 ]
	grep "a/2': it is gone, at byte 1000000 of" err
	[ "$(grep -c 'a/1@' out)" = "$(grep -c . "$DATA/orders.ndjson")" ]
	[ "$(grep -c 'a/2@' out)" -gt 0 ]
	grep '1 objects read, .* 1 failed' err
}

@test "a local file that changes while it is read: named, not done, 75" {
	for i in $(seq 400); do cat "$DATA/orders.ndjson"; done >many
	mkfifo out acks
	in_background bash -c 'exec ev-read --acks acks --journal j many >out 2>err'
	exec 9<out 8>acks
	read -r first <&9
	echo '{"a":1}' >>many
	cat <&9 >rest
	{ echo "$first"; cat rest; } | jq -c '{msg: {id: .msg.id}}' >&8
	exec 8>&-
	status_of "$PID" 20
	[ "$STATUS" = 75 ]
	grep -q "'many': it changed while it was being read" err
	[ "$(wc -l <j)" = 1 ]
}

@test "receipts by id and by count, the journal, and what is done is skipped" {
	split -l 100 "$DATA/orders.ndjson" part-
	n=$(find . -name 'part-*' | wc -l)
	mkfifo acks
	in_background bash -c 'exec ev-read --acks acks --journal j "part-*" >got 2>err'
	exec 8>acks
	wait_until '[ "$(wc -l <got)" = "$(grep -c . "$DATA/orders.ndjson")" ]'
	grep part-aa got | receipts /dev/stdin >&8
	grep -v part-aa got >others
	receipts_by_source others | sed 's/"count":100/"count":60/' >&8
	wait_until '[ "$(wc -l <j)" = 2 ]' # the settings, part-aa
	receipts_by_source others | sed 's/"count":100/"count":40/' >&8
	exec 8>&-
	status_of "$PID" 10
	[ "$STATUS" = 0 ]
	[ "$(wc -l <j)" = $((n + 1)) ]
	grep -q "$n objects read, $n done, 0 skipped" err
	run -0 --separate-stderr ev-read --acks acks --journal j 'part-*'
	[ -z "$output" ]
	[[ $stderr == *"0 objects read, 0 done, $n skipped as already done"* ]]
}

@test "a chain that ends without all receipts: what has them is journaled, 75, and the next run reads the rest" {
	split -l 100 "$DATA/orders.ndjson" part-
	mkfifo acks
	in_background bash -c 'exec ev-read --acks acks --journal j "part-*" >got 2>err'
	exec 8>acks
	wait_until '[ "$(wc -l <got)" = "$(grep -c . "$DATA/orders.ndjson")" ]'
	grep -E 'part-(aa|ac)' got | receipts /dev/stdin >&8
	exec 8>&-
	status_of "$PID" 10
	[ "$STATUS" = 75 ]
	grep -q 'cannot finish: not all that was read had its receipt' err
	ev-read --dry-run --journal j 'part-*' >plan
	grep -q 'part-ab@' plan
	! grep -q 'part-aa@' plan || return 1
	grep -q '; 2 are done already' plan
	[ "$(wc -l <j)" = 3 ]
}

@test "more receipts than events is a bug of somebody's: 70" {
	echo '{"a":1}' >one
	mkfifo acks
	in_background bash -c 'exec ev-read --acks acks one >got 2>err'
	exec 8>acks
	wait_until '[ -s got ]'
	jq -c '{msg: {source: .msg.source}, count: 2}' got >&8
	status_of "$PID" 10
	[ "$STATUS" = 70 ]
	grep -q 'cannot account for' err
}

@test "the journal: its torn last line, other settings, something else, two runs at once" {
	split -l 250 "$DATA/orders.ndjson" part-
	mkfifo acks
	run_all() { # OPTION...
		ev-read -q --acks acks --journal j "$@" 'part-*' | tee -a got | jq -c --unbuffered '{msg: {id: .msg.id}}' >acks
	}
	run_all --settings 'dataset=d'
	[ "$(wc -l <j)" = 3 ]
	head -c -20 j >torn && mv torn j
	: >got
	run_all --settings 'dataset=d' 2>err
	grep -q 'ends in a torn line; it is cut off' err
	[ "$(wc -l <j)" = 3 ]
	[ "$(jq -r .msg.source got | sort -u | wc -l)" = 1 ]
	run -78 ev-read --acks acks --journal j --settings dataset=other 'part-*'
	[[ $output == *"begun with other settings"*"dataset=d"* ]]
	printf 'something' >notes
	run -65 ev-read --acks acks --journal notes 'part-*'
	[[ $output == *"something else is in it"* ]]
	[ "$(cat notes)" = something ]
	flock j bash -c '! ev-read --acks acks --journal j --settings dataset=d part-aa 2>err || false'
	grep -q 'another run holds it' err
	run -64 ev-read --journal j 'part-*'
	[[ $output == *"without --acks"* ]]
}

@test "a journal in Cloud Storage: for tasks without a disk" {
	start_emu
	split -l 100 "$DATA/orders.ndjson" part-
	n=$(find . -name 'part-*' | wc -l)
	for f in part-*; do put "$f" "in/$f"; done
	mkfifo acks
	run_all() { # OPTION...
		ev-read --acks acks --journal gs://test-events-output/journal --settings s "$@" 'gs://test-events-output/in/*' 2>err |
			tee got | jq -c --unbuffered '{msg: {id: .msg.id}}' >acks
	}
	run_all --shard 0/2
	first=$(jq -r .msg.source got | sort -u | wc -l)
	[ "$first" -lt "$n" ]
	CLOUD_RUN_TASK_INDEX=1 CLOUD_RUN_TASK_COUNT=2 run_all
	second=$(jq -r .msg.source got | sort -u | wc -l)
	[ $((first + second)) = "$n" ]
	run_all
	[ ! -s got ]
	grep -q "0 objects read, 0 done, $n skipped" err
	run -78 ev-read --acks acks --journal gs://test-events-output/journal --settings t 'gs://test-events-output/in/*'
	[[ $output == *"begun with other settings"* ]]
}

@test "a full output does not keep receipts waiting" {
	for i in $(seq 200); do cat "$DATA/orders.ndjson"; done >many
	head -n 10 "$DATA/orders.ndjson" >aa
	mkfifo out acks
	in_background bash -c 'exec ev-read --acks acks --journal j aa many >out 2>err'
	exec 9<out 8>acks
	for i in 1 2 3 4 5 6 7 8 9 10; do read -r line <&9; echo "$line"; done >first
	receipts first >&8
	wait_until '[ "$(wc -l <j)" = 2 ]' # though nobody reads on
	kill -TERM "$PID"
	kill -TERM "$PID"
	cat <&9 >rest
	exec 8>&-
	status_of "$PID" 10
	[ "$STATUS" = 75 ]
	grep -q 'cannot finish' err
}

@test "a signal: no new object, the one at hand to its end, 75" {
	for i in 1 2 3 4 5 6; do sed "s/^/ /" "$DATA/orders.ndjson" >"f$i"; done
	mkfifo out acks
	in_background bash -c 'exec ev-read --acks acks --journal j "f?" >out 2>err'
	exec 9<out 8>acks
	read -r first <&9
	kill -TERM "$PID"
	wait_until 'grep -q "beginning no more" err'
	{ echo "$first"; cat <&9; } >got
	receipts got >&8
	exec 8>&-
	status_of "$PID" 10
	[ "$STATUS" = 75 ]
	jq -r .msg.source got | sort | uniq -c >counts
	[ "$(awk '{ print $1 }' counts | sort -u)" = "$(grep -c . "$DATA/orders.ndjson")" ]
	[ "$(wc -l <j)" = $(($(wc -l <counts) + 1)) ]
	[ "$(wc -l <counts)" -lt 6 ]
}

@test "a reader that leaves ends it: 74" {
	for i in $(seq 50); do cat "$DATA/orders.ndjson"; done >many
	run -74 bash -c 'set -o pipefail; ev-read many | head -n 1 >first'
	[[ $output == *"its reader has gone"* ]]
}

@test "--mark-ends says where a source ends, and with how many events" {
	head -n 3 "$DATA/orders.ndjson" >aa
	: >bb
	ev-read -q --mark-ends aa bb >got
	[ "$(jq -r 'select(.end != null) | "\(.msg.source | split("@")[0]) \(.end)"' got | xargs)" = 'aa 3 bb 0' ]
	[ "$(tail -n 1 got | jq -r .msg.source)" = "$(jq -r 'select(.msg.source | startswith("bb@")) | .msg.source' got)" ]
}

@test "--dry-run lists, prices, and writes no record" {
	gzip -c "$DATA/orders.ndjson" >a.gz
	run -0 --separate-stderr ev-read --dry-run a.gz "$DATA/inventory.ndjson"
	[[ ${lines[0]} == "$(stat -c %s a.gz)"$'\t'a.gz@* ]]
	[[ ${lines[2]} == '2 objects to read, '*'; 0 are done already' ]]
	[[ ${lines[3]} == 'streaming inserts: less than $0.01, for about 2000 events of 2.'?' MB as billed (each 1 KB at least), judged by 2000 events of 2 objects' ]]
	[ "${lines[4]}" = 'load jobs: $0.00' ]
	# 2,000,000 KB at $0.01 for each 200 MiB; files of another kind before it are not taken for all
	yes '{"a":1}' | head -n 2000000 | gzip -1 >many.gz
	mkdir small
	for i in $(seq 100); do echo '{}' >"small/$i"; done
	run -0 --separate-stderr ev-read --dry-run 'small/*' many.gz
	[[ ${lines[-2]} =~ ^streaming\ inserts:\ about\ \$0\.(09|10),\ for\ about\ (19|20)[0-9]{5}\ events ]] || { echo "${lines[-2]}"; false; }
	run -66 --separate-stderr ev-read --dry-run 'none/*'
	[ -z "$output" ]
}

@test "shards are disjoint and together all" {
	for i in $(seq 40); do echo "{\"i\":$i}" >"f$i"; done
	for i in 0 1 2; do ev-read -q --shard $i/3 'f*' | jq -r .data; done | sort >got
	ev-read -q 'f*' | jq -r .data | sort | cmp - got
	[ "$(ev-read -q --shard 0/3 'f*' | wc -l)" -gt 3 ]
}

@test "usage errors: 64" {
	run -64 ev-read
	run -64 ev-read gs://bucket
	run -64 ev-read gs://bucket/dir/
	run -64 ev-read 'gs://buck*/x'
	run -64 ev-read ftp://x/y
	run -64 ev-read --shard 3/3 x
	run -64 ev-read --shard 1 x
	run -64 ev-read ''
	mkfifo acks
	run -64 ev-read --acks acks --journal j -
	[[ $output == *"cannot be read again"* ]]
}

@test "--check: the bucket may be listed and read" {
	start_emu
	run -0 ev-read --check 'gs://test-events-output/*'
	run -69 ev-read --check 'gs://no-such-bucket/*'
}

@test "on a terminal the progress is one line redrawn; dead letters' receipts count as rejected" {
	command -v script >/dev/null || skip "script(1) is not here"
	split -n l/4 "$DATA/orders.ndjson" part-
	mkfifo acks out
	in_background script -qefc "stty cols 68; ev-read --acks acks --journal j 'part-*' >out" typescript
	exec 9<out 8>acks
	wc -l <"$DATA/orders.ndjson" >all
	head -n "$(cat all)" <&9 >got
	jq -c --slurp 'group_by(.msg.source)[] | {msg: {source: .[0].msg.source}, count: length}' got >paid
	head -n 1 paid | jq -c '.rejected = true' >&8
	wait_until 'grep -q " [1-9][0-9.]* % rejected" typescript'
	tail -n +2 paid >&8
	exec 8>&-
	cat <&9 >rest
	status_of "$PID" 10
	[ "$STATUS" = 0 ]
	tr '\r' '\n' <typescript >drawn
	grep -q '4/4 objects, [0-9.]* kB/[0-9.]* kB, [0-9]* events/s, [0-9.]* %' drawn || { cat -A typescript; false; }
	[ "$(grep -c 'events/s' typescript)" -le 1 ] # no line of its own
	sed 's/.*\[K//' drawn | awk '/events.s/ && length >= 68 { exit 1 }' # cut, or each would leave a row behind
}

@test "a listing of several pages" {
	start_emu
	for i in $(seq 1100); do good_order "o$i"; done | ev-validate --schemas "$EVPIPE_SCHEMAS" | gcs-put -q --rotate-bytes 1 gs://test-events-output/many >out
	run -0 --separate-stderr ev-read 'gs://test-events-output/many/**'
	[ "${#lines[@]}" = 1100 ]
	[[ $stderr == *"1100 objects read"* ]]
	curl -sf "http://127.0.0.1:$EMU_PORT/emu/requests" | jq -e '.. | objects | select(.path == "/storage/v1/b/*/o" and .method == "GET") | .count >= 2'
}

@test "bug: more receipts by id than events of a file that is done were passed over" {
	head -n 3 "$DATA/orders.ndjson" >aa
	head -n 3 "$DATA/inventory.ndjson" >bb
	mkfifo acks
	in_background bash -c 'exec ev-read --acks acks --journal j aa bb >got 2>err'
	exec 8>acks
	wait_until '[ "$(wc -l <got)" = 6 ]'
	grep '"aa@' got | receipts /dev/stdin >&8
	wait_until '[ "$(wc -l <j)" = 2 ]' # aa is done
	grep '"aa@' got | head -n 1 | receipts /dev/stdin >&8
	status_of "$PID" 10
	exec 8>&-
	[ "$STATUS" = 70 ]
	grep 'all its events had their receipts, and one more came' err
}

@test "bug: a file under two spellings was read as two" {
	mkdir d
	head -n 3 "$DATA/orders.ndjson" >d/a
	run -0 --separate-stderr ev-read ./d/a d//a d/./a 'd/*' ././d//a
	[ "${#lines[@]}" = 3 ]
	[ "$(jq -r .msg.source <<<"${lines[0]}" | cut -d@ -f1)" = d/a ]
	run -66 ev-read d/
	[[ $output == *"give 'd/**'"* ]]
}

@test "bug: a reply that was not the object was joined to it" {
	start_emu
	put "$DATA/orders.ndjson" in/o
	garbage='{"path":"/storage/v1/b/*/o/in%2Fo","garbage":true,"times":1}'
	# the first reply, and one that goes on
	for faults in "$garbage" '{"path":"/storage/v1/b/*/o/in%2Fo","truncate":100,"times":1},'"$garbage"; do
		faults "$faults"
		ev-read 'gs://test-events-output/in/*' 2>err >got || { cat err; head -c 600 got; false; }
		jq -r '.data | @base64d' got | cmp - "$DATA/orders.ndjson"
	done
	faults ''
	# whole replies of other bytes: what came cannot be taken back, but the object is not done
	printf X | dd of="$EMU_DIR/storage/test-events-output/in/o" bs=1 seek=5000 conv=notrunc status=none
	mkfifo acks
	in_background bash -c 'exec ev-read --acks acks --journal j "gs://test-events-output/in/*" >got 2>err'
	exec 8>acks
	wait_until 'grep -q "what came is not the object, whose crc32c is" err'
	exec 8>&-
	status_of "$PID" 10
	[ "$STATUS" = 75 ]
	[ "$(wc -l <j)" = 1 ]
}

@test "bug: a file of lines that had lost its beginning was one event" {
	head -n 50 "$DATA/orders.ndjson" >whole
	n=$(head -n 1 whole | wc -c)
	for ((i = 2; i <= n; i++)); do tail -c +$i whole >"cut$(printf %04d "$i")"; done
	ev-read -q --rejects rejects 'cut*' >got
	[ ! -s rejects ]
	# 49 whole lines of each, and what is left of the first
	[ "$(wc -l <got)" = $((50 * (n - 1) - 1)) ]
	jq -r 'select(.msg.id | endswith(":1") | not) | .data' got | sort | uniq -c | awk '{ print $1 }' | sort -u >times
	[ "$(cat times)" = $((n - 1)) ]
}

@test "bug: two files whose names differ only in bytes that are no UTF-8 were one" {
	printf '{"a":1}\n' | tee $'a\xff' $'a\xfe' >$'a\xef\xbf\xbd'
	touch -d 2025-02-08T13:09:00Z a*
	run -0 --separate-stderr ev-read 'a*'
	[ "${#lines[@]}" = 3 ]
	printf '%s\n' "${lines[@]}" | jq -r .msg.source >sources
	[ "$(sort -u sources | wc -l)" = 3 ]
	[ "$(grep -Ec '^sha256:[0-9a-f]{64}$' sources)" = 2 ]
	[[ $stderr == *"3 objects read"*" 0 skipped"* ]]
	mkfifo receipts # its name is none of a*
	ev-read -q --acks receipts --journal j 'a*' | jq -c --unbuffered '{msg: {id: .msg.id}}' >receipts
	ev-read --dry-run --journal j 'a*' | grep '; 3 are done already'
}

@test "bug: an event file given as a journal was shown; other settings are shown by the word" {
	mkfifo acks
	printf '{"card":"secret"}\n' >events
	run -65 ev-read --acks acks --journal events x
	[[ $output == *"cannot use 'events' as a journal: something else is in it"* ]]
	[[ $output != *secret* ]]
	start_emu
	echo '{"a":1}' >one
	for journal in j gs://test-events-output/j; do
		ev-read -q --acks acks --journal "$journal" --settings 'dataset=d lake=gs://a/x by=event' one | receipts /dev/stdin >acks
		run -78 ev-read --acks acks --journal "$journal" --settings 'dataset=d lake=gs://b/x by=event' one
		[[ $output == *"'$journal': it was begun with other settings: lake=gs://a/x, and this run has lake=gs://b/x; give"* ]]
	done
	put events j/settings.json
	run -65 ev-read --acks acks --journal gs://test-events-output/j one
	[[ $output == *"something else is in it"* && $output != *secret* ]]
}

@test "bug: an empty bucket was a wildcard's fault; what ./ and / are" {
	for url in gs:// gs:///x s3:///x; do
		run -64 ev-read "$url"
		[[ $output == *"cannot read '$url': it names no bucket"* ]]
	done
	run -66 ev-read /
	[[ $output == *"give '/**'"* ]]
	run -66 ev-read ./
	[[ $output == *"give './**'"* ]]
}

@test "bug: a folder for receipts was found after records were written" {
	echo '{"a":1}' >one
	run -64 --separate-stderr ev-read --acks . one
	[ -z "$output" ]
	[[ $stderr == *"cannot read receipts from '.': it is a folder"* ]]
}

@test "bug: a dry run took the journal's lock and mended it" {
	echo '{"a":1}' >one
	echo '{"a":2}' >two
	mkfifo acks
	ev-read -q --acks acks --journal j one | receipts /dev/stdin >acks
	printf '{"source":"tw' >>j
	cp j before
	flock j ev-read --dry-run --journal j one two >plan 2>err
	grep '; 1 are done already' plan
	cmp j before
	run -0 ev-read --dry-run --journal none one
	[ ! -e none ]
}

@test "bug: a deleted object had changed" {
	start_emu
	for i in $(seq 20); do cat "$DATA/orders.ndjson"; done >many
	put many a/1
	for i in 2 3 4 5 6 7 8 9 z; do put "$DATA/inventory.ndjson" "a/$i"; done
	mkfifo out
	in_background bash -c 'exec ev-read "gs://test-events-output/a/*" >out 2>err'
	exec 9<out
	read -r first <&9
	curl -sSf -X DELETE "http://127.0.0.1:$EMU_PORT/storage/v1/b/$BUCKET/o/a%2Fz"
	cat <&9 >rest
	status_of "$PID" 20
	[ "$STATUS" = 75 ]
	[ -n "$first" ]
	grep "cannot read 'gs://test-events-output/a/z': it is gone, at byte 0 of" err
	grep '9 objects read, 9 done, 0 skipped as already done, 1 failed' err
}
