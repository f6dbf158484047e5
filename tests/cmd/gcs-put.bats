#!/usr/bin/env bats
# gcs-put against gcp-emu: layout, rotation, receipts, faults. Nothing here waits by sleeping.

bats_require_minimum_version 1.5.0
load emu

setup_file() {
	up_for_file --schemas "$BATS_TEST_DIRNAME/../../schemas.json"
	export STORAGE_EMULATOR_HOST=$HOST
}

teardown_file() {
	down_for_file
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	lake=$BATS_FILE_TMPDIR/emu/storage/p-events-output/t$BATS_TEST_NUMBER
	url=gs://p-events-output/t$BATS_TEST_NUMBER
}

teardown() {
	curl -sS -X DELETE "http://$HOST/emu/faults" > curl.out
}

faults() {
	curl -sSf -X PUT "http://$HOST/emu/faults" -d "{\"rules\":[$1]}" > curl.out
}

# records N [SOURCE [TYPES]]: N valid records, a minute apart, of the types in turn; a file's with its end
records() {
	awk -v n="$1" -v source="${2:-projects/p/subscriptions/s}" -v types="${3:-order inventory}" 'BEGIN {
		k = split(types, type, " ")
		for (i = 0; i < n; i++) {
			id = source ~ /^projects/ ? 7000 + i : source ":" i + 1
			t = type[i % k + 1]
			minute = sprintf("%02d:%02d", int(i / 60) % 24, i % 60)
			printf "{\"msg\":{\"id\":\"%s\",\"source\":\"%s\",\"time\":\"2025-02-08T%s:07.123Z\"},", id, source, minute
			printf "\"type\":\"%s\",\"table\":\"%ss\",\"time\":\"2025-01-%02dT03:04:05Z\",", t, t, i % 3 + 1
			printf "\"event\":{\"event_type\":\"%s\", \"n\":%d ,\"text\":\"\\u00e9 caf\303\251\"}}\n", t, i
		}
		if (source !~ /^projects/)
			printf "{\"msg\":{\"source\":\"%s\"},\"end\":%d}\n", source, n
	}'
}

# the events of records on standard input
events() {
	LC_ALL=C awk '{ i = index($0, "\"event\":"); print substr($0, i + 8, length($0) - i - 8) }'
}

objects() {
	find "$lake" -type f | sort
}

@test "an object a type, one event a line as it came, the contract's name, a receipt a message" {
	records 10 > in
	run -0 --separate-stderr "$BIN/gcs-put" "$url" < in
	[ "$(objects | wc -l)" = 2 ]
	o=$(objects | grep /order/)
	grep '"type":"order"' in | events | cmp - "$o"
	hash=$(grep '"type":"order"' in | sed 's/.*"id":"\([0-9]*\)".*"event":\(.*\)}$/\1\n\2/' | sha256sum | cut -c 1-32)
	[ "$o" = "$lake/order/2025/02/08/00/00/order_202502080000_$hash.json" ]
	[ "$(objects | grep -c "inventory/2025/02/08/00/01/inventory_202502080001_")" = 1 ]
	sed 's/.*"id":"\([0-9]*\)".*/{"msg":{"id":"\1"}}/' in > want
	sort <<< "$output" | cmp - want
	[[ $stderr == *"in 10, done 10, rejected 0, in flight 0, 2 objects (0 were there already)"* ]]
}

@test "the same again is there already, and receipted all the same" {
	records 10 > in
	"$BIN/gcs-put" "$url" < in > first
	objects > before
	run -0 --separate-stderr "$BIN/gcs-put" "$url" < in
	sort <<< "$output" | cmp - <(sort first)
	objects | cmp - before
	[[ $stderr == *"2 objects (2 were there already)"* ]]
}

@test "equal events without an id are as many in the lake; the same input again makes the same objects" {
	for i in 1 2 3; do
		echo '{"msg":{"time":"2025-02-08T13:09:00Z"},"type":"order","table":"orders","time":"2025-02-08T13:09:00Z","event":{"n":1}}'
	done > in
	"$BIN/gcs-put" -q --rotate-bytes 1 "$url" < in
	[ "$(objects | wc -l)" = 3 ]
	"$BIN/gcs-put" -q --rotate-bytes 1 "$url" < in
	[ "$(objects | wc -l)" = 3 ]
}

@test "another order is another object: its name is its content's" {
	records 10 | "$BIN/gcs-put" "$url" > out
	records 10 | tac | "$BIN/gcs-put" "$url" > out
	[ "$(objects | wc -l)" = 4 ]
	# whatever the order, the minute is the earliest record's
	[ "$(objects | grep -c /02/08/00/00/order_202502080000_)" = 2 ]
}

@test "--by event: an object a type and UTC day, named by the event's time" {
	records 12 > in
	"$BIN/gcs-put" --by event "$url" < in > out
	[ "$(objects | wc -l)" = 6 ]
	[ "$(objects | grep -c '/order/2025/01/02/03/04/order_202501020304_')" = 1 ]
	objects | xargs cat | sort | cmp - <(events < in | sort)
}

@test "--compress gzip: a gzip object by name and type, not by encoding" {
	records 1000 > in
	run -0 --separate-stderr "$BIN/gcs-put" --compress gzip --objects "$url" < in
	o=$(objects | grep /order/)
	[[ $o == *.json.gz ]]
	gzip -t "$o"
	zcat "$o" | cmp - <(grep '"type":"order"' in | events)
	meta=$(curl -sSf "http://$HOST/storage/v1/b/p-events-output/o/$(sed "s|.*/t$BATS_TEST_NUMBER/|t$BATS_TEST_NUMBER/|; s|/|%2F|g" <<< "$o")")
	[[ $meta == *'"application/gzip"'* ]]
	[[ $meta != *contentEncoding* ]]
	[[ $output == *"\"bytes\":$(stat -c %s "$o"),\"md5\":\"$(md5sum < "$o" | cut -c 1-32 | xxd -r -p | base64)\""* ]]
}

@test "--pass writes the records, as they came" {
	records 100 > in
	"$BIN/gcs-put" --pass "$url" < in > out
	sort out | cmp - <(sort in)
	grep order out | cmp - <(grep order in)
}

@test "--objects writes a line for each object" {
	records 10 > in
	run -0 --separate-stderr "$BIN/gcs-put" --objects "$url" < in
	[ "${#lines[@]}" = 2 ]
	o=$(objects | grep /order/)
	generation=$(sed -n 's/.*order_.*"generation":"\([0-9]*\)".*/\1/p' <<< "$output")
	[ -n "$generation" ]
	md5=$(md5sum < "$o" | cut -c 1-32 | xxd -r -p | base64)
	want="{\"object\":\"$url/${o#"$lake"/}\",\"generation\":\"$generation\",\"table\":\"orders\",\"rows\":5,"
	want+="\"bytes\":$(stat -c %s "$o"),\"md5\":\"$md5\"}"
	grep -qxF "$want" <<< "$output"
}

@test "records of files: objects never cross them, one receipt with a count each" {
	{ records 10 gs://b/one@1; records 7 gs://b/two@2; } > in
	run -0 --separate-stderr "$BIN/gcs-put" "$url" < in
	[ "$(objects | wc -l)" = 4 ]
	sort <<< "$output" | cmp - <(sort <<- 'END'
		{"msg":{"source":"gs://b/one@1"},"count":5}
		{"msg":{"source":"gs://b/one@1"},"count":5}
		{"msg":{"source":"gs://b/two@2"},"count":4}
		{"msg":{"source":"gs://b/two@2"},"count":3}
	END
	)
	run -0 --separate-stderr "$BIN/gcs-put" --objects "$url" < in
	[ "$(grep -c '"source":"gs://b/one@1"}$' <<< "$output")" = 2 ]
}

@test "records of files: neither clocks nor what is held make other objects of them" {
	records 50 a.ndjson@1 > in
	"$BIN/gcs-put" "$url" < in > out
	objects > before
	while read -r line; do echo "$line"; done < in |
	    "$BIN/gcs-put" --rotate-seconds 0.001 --idle-seconds 0.001 --max-held 1 --max-held-bytes 1 "$url" > out
	objects | cmp - before
}

@test "a file that was cut off: its whole objects are kept, the rest is not, and reading it again makes the same" {
	records 40 gs://b/one@1 > whole
	"$BIN/gcs-put" --rotate-bytes 800 "$url" < whole > out
	objects > want
	rm -r "$lake"
	curl -sf "http://$HOST/storage/v1/b/p-events-output/o?prefix=t$BATS_TEST_NUMBER/" | jq -r '.items[].name' |
	    while read -r name; do curl -sf -X DELETE "http://$HOST/storage/v1/b/p-events-output/o/${name//\//%2F}"; done
	for n in 1 7 19 33 40; do
		run -75 --separate-stderr "$BIN/gcs-put" --rotate-bytes 800 --objects "$url" < <(head -n "$n" whole)
		[[ $stderr == *"cannot store the rest of 'gs://b/one@1': the stream was cut off before its end, which ev-read --mark-ends tells"* ]]
		objects | comm -13 want - | { run -1 grep .; }
	done
	# the next file begins without the end of this one
	run -75 --separate-stderr "$BIN/gcs-put" "$url/other" < <(head -n 3 whole; records 4 gs://b/two@2)
	[ "$output" = '{"msg":{"source":"gs://b/two@2"},"count":2}
{"msg":{"source":"gs://b/two@2"},"count":2}' ]
	run -0 --separate-stderr "$BIN/gcs-put" --rotate-bytes 800 --objects "$url" < whole
	objects | grep -v /other/ | cmp - want
	# what was there already has a line, without a generation
	[ "$(jq -s 'map(.rows) | add' <<< "$output")" = 40 ]
	[ "$(jq -s 'map(select(.generation == "")) | length == 2' <<< "$output")" = true ]
	# a file without any record is a file
	run -0 --separate-stderr "$BIN/gcs-put" "$url" <<< '{"msg":{"source":"gs://b/empty@1"},"end":0}'
	[ "$output" = "" ]
}

@test "--by event: files make the same objects by type and day again" {
	{ records 20 gs://b/one@1; records 9 gs://b/two@2; } > in
	"$BIN/gcs-put" --by event --objects "$url" < in > first
	[ "$(wc -l < first)" = 12 ]
	objects > before
	"$BIN/gcs-put" --by event --objects --rotate-seconds 0.001 --max-held 1 "$url" < in > second
	objects | cmp - before
	[ "$(jq -r .generation second | sort -u)" = "" ]
	cmp <(jq -c 'del(.generation)' first | sort) <(jq -c 'del(.generation)' second | sort)
}

@test "no object is larger than --rotate-bytes, but for a single event" {
	records 100 > in
	"$BIN/gcs-put" --rotate-bytes 500 "$url" < in > out
	[ "$(objects | wc -l)" -gt 8 ]
	[ "$(find "$lake" -type f -size +500c | wc -l)" = 0 ]
	objects | xargs cat | sort | cmp - <(events < in | sort)
	"$BIN/gcs-put" --rotate-bytes 1 "$url/single" < in > out
	[ "$(find "$lake/single" -type f | wc -l)" = 100 ]
	[ "$(wc -l < out)" = 100 ]
}

# held CHECK OPTION...: with input that stays open, the receipts that the test names must come
held() {
	local want=$1
	shift
	mkfifo pipe
	timeout 20 "$BIN/gcs-put" "$@" "$url" < pipe > out 2> err 3>&- &
	local pid=$!
	exec 9> pipe
	cat in >&9
	timeout 15 bash -c "until [ \$(wc -l < out) -ge $want ]; do :; done"
	[ "$(wc -l < out)" = "$want" ]
	exec 9>&-
	wait $pid
}

@test "--rotate-seconds closes what is open while input goes on" {
	records 10 > in
	held 10 --rotate-seconds 0.2 --idle-seconds 0
}

@test "--idle-seconds closes what is open when input stops" {
	records 10 > in
	held 10 --rotate-seconds 0 --idle-seconds 0.2
}

@test "--max-held closes the oldest" {
	{ records 6 projects/p/subscriptions/s order; records 5 projects/p/subscriptions/s inventory; } > in
	held 6 --rotate-seconds 0 --idle-seconds 0 --max-held 10
	[ "$(wc -l < out)" = 11 ]
}

@test "--max-held-bytes closes the oldest" {
	{ records 6 projects/p/subscriptions/s order; records 5 projects/p/subscriptions/s inventory; } > in
	held 6 --rotate-seconds 0 --idle-seconds 0 --max-held-bytes 500
}

@test "64 objects may be open" {
	records 200 projects/p/subscriptions/s "$(seq -s ' ' -f 't%g' 100)" > in
	"$BIN/gcs-put" "$url" < in > out
	[ "$(wc -l < out)" = 200 ]
	[ "$(objects | wc -l)" = 200 ]
	records 128 projects/p/subscriptions/s "$(seq -s ' ' -f 't%g' 64)" > in
	"$BIN/gcs-put" "$url/x" < in > out
	[ "$(find "$lake/x" -type f | wc -l)" = 64 ]
}

@test "no type leaves its prefix" {
	for type in '../../../x' '..' 'a/b' 'a%2Fb' '.hidden' 'x y'; do
		records 1 projects/p/subscriptions/s T | sed "s|\"type\":\"T\"|\"type\":\"$type\"|"
	done > in
	records 1 projects/p/subscriptions/s T | sed 's|"type":"T"|"type":"n\\u0000l"|' >> in
	run -0 --separate-stderr "$BIN/gcs-put" --objects "$url" < in
	[ "${#lines[@]}" = 7 ]
	[ "$(grep -cF "\"object\":\"$url/" <<< "$output")" = 7 ]
	for name in '%2E.%2F..%2F..%2Fx' '%2E.' 'a%2Fb' 'a%252Fb' '%2Ehidden' 'x%20y' 'n%00l'; do
		grep -qF "\"object\":\"$url/$name/2025/02/08/00/00/${name}_202502080000_" <<< "$output"
	done
	records 1 projects/p/subscriptions/s T | sed 's|"type":"T"|"type":""|' > in
	run -65 "$BIN/gcs-put" "$url" < in
	[[ $output == *"line 1: its type is empty"* ]]
}

@test "a message without time counts as published now" {
	records 2 | sed 's/,"time":"2025-02-08[^"]*"//' > in
	day=$(date -u +%Y/%m/%d)
	"$BIN/gcs-put" "$url" < in > out
	[ "$(objects | grep -c "/order/$day/")" = 1 ] || [ "$(objects | grep -c "/order/$(date -u +%Y/%m/%d)/")" = 1 ]
}

@test "what is no valid record ends it: 65, its line named, nothing receipted" {
	records 3 > good
	for bad in '{"event_type":"order"}' '{"msg":{"id":"1"},"data":"e30="}' '{"msg":{"id":"1"}}' 'not json' '' '[]' \
	    '{"msg":{"id":"1"},"event":{}}' '{"msg":{"id":"1"},"type":"a","event":[]}' \
	    '{"msg":{"id":"1","time":"yesterday"},"type":"a","event":{}}' '{"msg":{"id":1},"type":"a","event":{}}'; do
		{ cat good; echo "$bad"; cat good; } > in
		run -65 --separate-stderr "$BIN/gcs-put" "$url" < in
		[ -z "$output" ]
		[[ $stderr == *"gcs-put: cannot read 'standard input': line 4: "* ]]
		[[ $stderr == *"in 3, done 0, rejected 0, in flight 3"* ]]
	done
}

@test "a line over 16 MiB is no record" {
	{ printf '{"msg":{"id":"1"},"type":"a","event":{"x":"'; head -c 17000000 /dev/zero | tr '\0' x; echo '"}}'; } > in
	run -65 "$BIN/gcs-put" "$url" < in
	[[ $output == *"line 1: it is longer than 16777216 bytes"* ]]
}

@test "a torn last line is dropped: the rest is stored, 65" {
	{ records 4; printf '{"msg":{"id":"9"},"type":"order","event":{}}'; } > in
	run -65 --separate-stderr "$BIN/gcs-put" "$url" < in
	[ "${#lines[@]}" = 4 ]
	[[ $stderr == *"line 5, the last, is torn"* ]]
}

@test "no input: nothing stored, 0" {
	run -0 --separate-stderr "$BIN/gcs-put" "$url" < /dev/null
	[ -z "$output" ]
	[[ $stderr == *"in 0, done 0, rejected 0, in flight 0, 0 objects"* ]]
}

@test "usage errors: 64" {
	run -64 "$BIN/gcs-put"
	run -64 "$BIN/gcs-put" s3://bucket/x
	run -64 "$BIN/gcs-put" gs://bucket/../x
	run -64 "$BIN/gcs-put" --rotate-bytes 0 "$url"
	run -64 "$BIN/gcs-put" --max-held 0 "$url"
	run -64 "$BIN/gcs-put" --compress zstd "$url"
	run -64 "$BIN/gcs-put" --pass --objects "$url"
	[[ $output == *"--pass and --objects"* ]]
}

@test "a bucket that is not there: 69, and how to make it, before any input" {
	run -69 "$BIN/gcs-put" --check gs://no-such-bucket < /dev/null
	[[ $output == *"'gs://no-such-bucket'"*"gcloud storage buckets create gs://no-such-bucket"* ]]
	run -0 "$BIN/gcs-put" --check "$url" < /dev/null
}

@test "a service that is not there: 75 after --retry-for" {
	STORAGE_EMULATOR_HOST=127.0.0.1:1 run -75 "$BIN/gcs-put" --retry-for 0.3 "$url" < /dev/null
	[[ $output == *"127.0.0.1"*"gave up"* ]]
}

@test "failed and lost uploads are tried again, and nothing is doubled" {
	faults '{"method":"POST","path":"/upload/*","status":503,"retry_after":0,"times":2},
	    {"method":"POST","path":"/upload/*","lose":true,"times":2}, {"method":"POST","path":"/upload/*","garbage":true,"times":1}'
	records 1000 > in
	run -0 --separate-stderr "$BIN/gcs-put" --rotate-bytes 8000 "$url" < in
	[ "${#lines[@]}" = 1000 ]
	objects | xargs cat | sort | cmp - <(events < in | sort)
	[[ $stderr != *" 0 retries"* ]]
}

@test "an upload that is refused: 77, and no receipt" {
	faults '{"method":"POST","path":"/upload/*","status":403,"reason":"forbidden","message":"no create"}'
	records 10 > in
	run -77 --separate-stderr "$BIN/gcs-put" "$url" < in
	[ -z "$output" ]
	[[ $stderr == *"cannot store '$url/"*"no create"* ]]
	[[ $stderr == *"in flight 10"* ]]
}

@test "an upload that is refused: what is stored is still owed for, and no line is torn" {
	faults '{"method":"POST","path":"/upload/*","status":403,"after":2}'
	records 4000 "" order > in
	"$BIN/gcs-put" -q --pass --rotate-bytes 60K "$url" < in 2> err | (read -rt 0.5 < <(:); cat) > out || true
	[ "$(objects | wc -l)" = 2 ]
	objects | xargs cat | sort | cmp - <(events < out | sort)
}

@test "an upload that keeps failing: 75 after --retry-for, and no receipt" {
	faults '{"method":"POST","path":"/upload/*","status":500}'
	records 10 > in
	run -75 --separate-stderr "$BIN/gcs-put" --retry-for 0.5 "$url" < in
	[ -z "$output" ]
	[[ $stderr == *"cannot store '$url/"*"HTTP 500"*"gave up"* ]]
}

# 30 records of 1 MB that hardly compress
large() {
	head -c 22500000 /dev/urandom | base64 -w 1000000 | awk '{
		printf "{\"msg\":{\"id\":\"%d\",\"source\":\"projects/p/subscriptions/s\",\"time\":\"2025-02-08T00:00:00Z\"},", NR
		printf "\"type\":\"order\",\"table\":\"orders\",\"time\":\"2025-01-01T00:00:00Z\",\"event\":{\"x\":\"%s\"}}\n", $0 }'
}

@test "a large object goes in chunks, whatever happens to them" {
	large > in
	faults '{"method":"PUT","path":"/upload/*","status":503,"times":1}, {"method":"PUT","path":"/upload/*","reset":true,"times":2},
	    {"method":"PUT","path":"/upload/*","lose":true,"after":1,"times":3}, {"method":"PUT","path":"/upload/*","truncate":5,"after":7,"times":1}'
	run -0 --separate-stderr "$BIN/gcs-put" "$url" < in
	[ "${#lines[@]}" = 30 ]
	[ "$(objects | wc -l)" = 1 ]
	events < in | cmp - "$(objects)"
	[[ $stderr != *" 0 retries"* ]]
	run -0 --separate-stderr "$BIN/gcs-put" --compress gzip "$url/gz" < in
	events < in | cmp - <(find "$lake/gz" -type f -exec zcat {} +)
}

@test "a large object's session is lost: a new one" {
	large > in
	faults '{"method":"PUT","path":"/upload/*","status":410,"after":2,"times":1}'
	"$BIN/gcs-put" "$url" < in > out
	[ "$(wc -l < out)" = 30 ]
	events < in | cmp - "$(objects)"
}

@test "what is held moves to temporary files, which leave nothing behind" {
	mkdir tmp
	{ large; large | sed 's/"id":"/"id":"1/'; } > in
	TMPDIR=$PWD/tmp "$BIN/gcs-put" "$url" < in > out
	[ "$(wc -l < out)" = 60 ]
	objects | xargs cat | sort | cmp - <(events < in | sort)
	[ -z "$(ls -A tmp)" ]
}

@test "no room for temporary files: 74, and no receipt" {
	{ large; large | sed 's/"id":"/"id":"1/'; } > in
	# a limit on file sizes fails the same write that a full disk does
	run -74 --separate-stderr bash -c "trap '' XFSZ; ulimit -f 2000; exec \"\$@\"" - "$BIN/gcs-put" "$url" < in
	[ -z "$output" ]
	[[ $stderr == *"cannot write a temporary file in"*"set TMPDIR"* ]]
}

@test "an event of 7 MB is an object" {
	{ printf '{"msg":{"id":"1","time":"2025-02-08T00:00:00Z"},"type":"order","event":{"x":"'; head -c 7000000 /dev/zero | tr '\0' x
	    echo '"}}'; } > in
	"$BIN/gcs-put" "$url" < in > out
	[ "$(cat out)" = '{"msg":{"id":"1"}}' ]
	events < in | cmp - "$(objects)"
}

@test "a reader of the receipts that leaves ends it: 74" {
	records 20000 > in
	run -74 --separate-stderr bash -c 'set -o pipefail; "$0" --rotate-bytes 1000 "$1" < in | head -n 1' "$BIN/gcs-put" "$url"
	[[ $stderr == *"cannot write 'standard output'"* ]]
}
