#!/usr/bin/env bats
# gcp-emu's Cloud Storage, through curl and jq.

load emu

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	UP_OPTIONS=(--project p1)
	LIST=storage/v1/b/bkt/o UP=upload/storage/v1/b/bkt/o
}

teardown() {
	down
}

bucket() {
	[ "$(curl -s -o /dev/null -w '%{http_code}' -d '{"name":"bkt"}' "$URL/storage/v1/b?project=p1")" = 200 ]
}

# http CURL-ARGUMENT...: the reply in ./body, its headers in ./head, its status in $status.
http() {
	status=$(curl -s -o body -D head -w '%{http_code}' "$@")
}

# put NAME CONTENT [CURL-ARGUMENT...]
put() {
	local name
	name=$(jq -rn --arg n "$1" '$n|@uri')
	printf %s "$2" >sent
	http -X POST -H 'Content-Type: text/plain' --data-binary @sent "$URL/$UP?uploadType=media&name=$name${Q-}" "${@:3}"
}

is() {
	local got
	got=$(jq -r "$1" body)
	[ "$got" = "${2-true}" ] || { echo "status $status, $1 is '$got', not '${2-true}': $(cat body)"; return 1; }
}

failed() { # STATUS REASON
	[ "$status" = "$1" ] || { echo "status $status: $(cat body)"; return 1; }
	is .error.code "$1"
	is '.error.errors[0].reason' "$2"
}

header() { # NAME
	tr -d '\r' <head | sed -n "s/^$1: //Ip"
}

md5() { openssl md5 -binary "$1" | base64; }

uri() { jq -rn --arg n "$1" '$n|@uri'; }

@test "--schemas makes the project's bucket; bucket rules" {
	up --schemas "$BATS_TEST_DIRNAME/../../schemas.json"
	http "$URL/storage/v1/b/p1-events-output"
	is '.name + .storageClass' p1-events-outputSTANDARD
	bucket
	http -d '{"name":"bkt"}' "$URL/storage/v1/b?project=p1"
	failed 409 conflict
	for bad in ab Upper -a a- a..b 1.2.3.4 goog-x my-google-x a/b a.b- "$(printf 'x%.0s' $(seq 64))" ..; do
		http -d "{\"name\":\"$bad\"}" "$URL/storage/v1/b?project=p1"
		failed 400 invalid
	done
	http -d '{}' "$URL/storage/v1/b?project=p1"
	failed 400 required
	http -d "{\"name\":\"$(printf 'x%.0s' $(seq 63)).y_z\"}" "$URL/b?project=p1"
	[ "$status" = 200 ]
	http "$URL/storage/v1/b?project=p1&maxResults=2"
	is '[.items[].name] | join(" ")' "bkt p1-events-output"
	http "$URL/storage/v1/b?project=p1&pageToken=$(jq -r .nextPageToken body)"
	is '.items | length' 1
	http "$URL/storage/v1/b/bkt/iam/testPermissions?permissions=storage.objects.create&permissions=storage.objects.get"
	is '.permissions | join(" ")' "storage.objects.create storage.objects.get"
	put a x
	http -X DELETE "$URL/storage/v1/b/bkt"
	failed 409 conflict
	http -X DELETE "$URL/$LIST/a"
	http -X DELETE "$URL/storage/v1/b/bkt"
	[ "$status" = 204 ] && [ ! -e data/storage/bkt ]
	http "$URL/storage/v1/b/bkt"
	failed 404 notFound
	put a x
	failed 404 notFound
}

@test "media upload: the resource, the file, the checksums" {
	up
	bucket
	put output/order/2025/02/08/13/09/order_202502081309_x.json 'hello world'
	[ "$status" = 200 ]
	is .name output/order/2025/02/08/13/09/order_202502081309_x.json
	is '.md5Hash + " " + .crc32c' "XrY7u+Ae7tCTyyK7j1rNww== yZRlqg=="
	is '.size + .contentType + .metageneration' 11text/plain1
	is '(.generation | test("^[0-9]+$")) and .generation == (.id | split("/")[-1])'
	is '[.kind,.bucket,.storageClass] | join(" ")' "storage#object bkt STANDARD"
	is 'has("timeCreated") and has("updated") and has("etag") and has("selfLink")'
	[ "$(cat data/storage/bkt/output/order/2025/02/08/13/09/order_202502081309_x.json)" = 'hello world' ]
	http "$(jq -r .mediaLink body)"
	[ "$(cat body)" = 'hello world' ]
	[ "$(header x-goog-hash)" = "crc32c=yZRlqg==,md5=XrY7u+Ae7tCTyyK7j1rNww==" ]
	[ "$(header content-type)" = text/plain ]
	put empty ''
	is '.size + .md5Hash + .crc32c' 01B2M2Y8AsgTpgAmY7PhCfg==AAAAAA==
	http "$URL/$LIST/empty?alt=media"
	[ "$status" = 200 ] && [ ! -s body ]
}

@test "a checksum that does not match stores nothing" {
	up
	bucket
	for h in 'x-goog-hash: md5=XrY7u+Ae7tCTyyK7j1rNwA==' 'x-goog-hash: crc32c=AAAAAA==' 'x-goog-hash: crc32c=yZRlqg==,md5=AAAA' 'Content-MD5: AAAA'; do
		put bad 'hello world' -H "$h"
		failed 400 invalid
	done
	put good 'hello world' -H 'x-goog-hash: crc32c=yZRlqg==,md5=XrY7u+Ae7tCTyyK7j1rNww=='
	[ "$status" = 200 ]
	for m in '"md5Hash":"AAAA"' '"crc32c":"AAAAAA=="'; do
		printf -- '--b\r\nContent-Type: application/json\r\n\r\n{"name":"bad",%s}\r\n--b\r\n\r\nhello world\r\n--b--' "$m" >mp
		http -X POST -H 'Content-Type: multipart/related; boundary=b' --data-binary @mp "$URL/$UP?uploadType=multipart"
		failed 400 invalid
	done
	http "$URL/$LIST"
	is '[.items[].name] | join(" ")' good
	[ -z "$(ls data/storage/.uploads)" ]
}

@test "multipart: every client's way of writing it" {
	up
	bucket
	send() { # BOUNDARY-AS-SENT, body in mp
		http -X POST -H "Content-Type: multipart/related; boundary=$1" --data-binary @mp "$URL/$UP?uploadType=multipart${Q-}"
	}
	content() { curl -s "$URL/$LIST/$1?alt=media" >got; printf -- "$2" | cmp - got; }
	printf -- '--B1\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{"name":"crlf","metadata":{"k":"v"}}\r\n--B1\r\nContent-Type: text/csv\r\n\r\nda\nta\r\n\r\n--B1--\r\n' >mp
	send B1
	is '.contentType + .metadata.k + .size' text/csvv7
	content crlf 'da\nta\r\n'
	send '"B1"'
	[ "$status" = 200 ]
	# gcloud: single quotes, bare LF, content that ends in CR or LF stays
	printf -- "--===1==\nContent-Type: application/json\nMIME-Version: 1.0\n\n{\"name\":\"lf\",\"contentType\":\"a/b\"}\n--===1==\nContent-Type: text/plain\nContent-Transfer-Encoding: binary\n\ndata\r\n--===1==--" >mp
	send "'===1=='"
	is .contentType a/b
	content lf 'data\r'
	# rclone: a second part without any header; JSON that ends in a newline
	printf -- '--B2\r\nContent-Type: application/json\r\n\r\n{"name":"bare"}\n\r\n--B2\r\n\r\ndata\r\n--B2--\r\n' >mp
	send B2
	is '.contentType + .size' application/octet-stream4
	# the name in the query; a preamble; boundary-like lines inside; an empty content
	printf -- 'preamble\r\n--B3\r\n\r\n{}\r\n--B3\r\n\r\n--B3x\r\n-- B3\r\n--B\r\n--B3--' >mp
	Q='&name=q' send B3
	content q '--B3x\r\n-- B3\r\n--B'
	printf -- '--B\r\n\r\n{"name":"none"}\r\n--B\r\n\r\n\r\n--B--' >mp
	send B
	is .size 0
	# broken ones
	for bad in '' '--B\r\n\r\n{}\r\n--B--' '--B\r\n\r\n{"name":"x"}\r\n--B\r\n\r\ncut of' '--B\r\n\r\n{"name":"x"}\r\n--B\r\n\r\na\r\n--B\r\n\r\nb\r\n--B--' '--C\r\n\r\n{}'; do
		printf -- "$bad" >mp
		send B
		failed 400 badContent
	done
	printf -- '--B\r\n\r\n{"name":\r\n--B\r\n\r\na\r\n--B--' >mp
	send B
	failed 400 parseError
	printf -- '--B\r\n\r\n{}\r\n--B\r\n\r\na\r\n--B--' >mp
	send B
	failed 400 required
	http -X POST -H 'Content-Type: text/plain' --data-binary @mp "$URL/$UP?uploadType=multipart"
	failed 400 badContent
}

# session [JSON] [CURL-ARGUMENT...]: starts one, its address in $LOCATION
session() {
	http -X POST -H 'Content-Type: application/json' -d "${1-"{\"name\":\"r\"}"}" "${BASE-$URL/$UP}?uploadType=resumable${Q-}" "${@:2}"
	LOCATION=$(header location)
}

chunk() { # FILE CONTENT-RANGE [CURL-ARGUMENT...]
	http -X PUT --data-binary @"$1" -H "Content-Range: $2" "$LOCATION" "${@:3}"
}

@test "resumable: chunks of 256 KiB, status, the last one" {
	up
	bucket
	head -c 700000 /dev/urandom >all
	head -c 262144 all >c1
	tail -c +262145 all | head -c 262144 >c2
	tail -c +524289 all >c3
	for BASE in "$URL/$UP" "$URL/resumable/upload/storage/v1/b/bkt/o"; do
		session '{"name":"big","metadata":{"a":"b"}}' -H 'X-Upload-Content-Type: x/y'
		[ "$status" = 200 ] && [[ $LOCATION == "$BASE"?* ]] && [ ! -s body ]
		http -X PUT -H 'Content-Range: bytes */*' -d '' "$LOCATION"
		[ "$status" = 308 ] && [ -z "$(header range)" ]
		chunk c1 'bytes 0-262143/*'
		[ "$status" = 308 ] && [ "$(header range)" = bytes=0-262143 ]
		http -X PUT -H 'Content-Range: bytes */700000' -d '' "$LOCATION"
		[ "$status" = 308 ] && [ "$(header range)" = bytes=0-262143 ]
		http "$URL/$LIST/big"
		[ "$BASE" != "$URL/$UP" ] || failed 404 notFound
		chunk c2 'bytes 262144-524287/700000'
		[ "$status" = 308 ] && [ "$(header range)" = bytes=0-524287 ]
		# a chunk sent twice is ignored, a gap is not
		chunk c2 'bytes 262144-524287/700000'
		[ "$status" = 308 ] && [ "$(header range)" = bytes=0-524287 ]
		chunk c3 'bytes 600000-775711/800000'
		failed 400 invalid
		chunk c3 'bytes 524288-699999/700000'
		[ "$status" = 200 ]
		is .md5Hash "$(md5 all)"
		is '.contentType + .metadata.a + .size' x/yb700000
		cmp all data/storage/bkt/big
		# the reply was lost: asking again gives the object
		http -X PUT -H 'Content-Range: bytes */700000' -d '' "$LOCATION"
		[ "$status" = 200 ]
		is .size 700000
	done
	[ -z "$(ls data/storage/.uploads)" ]
}

@test "resumable: one request, with and without a known end" {
	up
	bucket
	printf 'some content' >f
	session
	http -X PUT --data-binary @f "$LOCATION"
	is .size 12
	session
	chunk f 'bytes 0-11/12'
	is .size 12
	session
	chunk f 'bytes 0-*/*' -H 'Transfer-Encoding: chunked'
	is .md5Hash "$(md5 f)"
	session
	chunk f 'bytes 0-*/12'
	is .size 12
	: >nothing
	session '{"name":"zero"}'
	chunk nothing 'bytes */0'
	is '.name + .size' zero0
	Q='&name=by%2Fquery&ifGenerationMatch=0' session ''
	chunk f 'bytes 0-11/12'
	is .name by/query
	Q='&name=by%2Fquery&ifGenerationMatch=0' session ''
	failed 412 conditionNotMet
}

@test "resumable: what is refused, and what ends a session" {
	up
	bucket
	printf 'some content' >f
	head -c 300000 /dev/zero >odd
	session
	chunk f 'bytes 0-11/*'
	failed 400 invalid
	is '.error.message | contains("262144")'
	# more than a unit: whole units are kept
	chunk odd 'bytes 0-299999/*'
	[ "$status" = 308 ] && [ "$(header range)" = bytes=0-262143 ]
	chunk f 'bytes 262144-262200/262201'
	failed 400 invalid
	for bad in 'bytes 5-1/10' 'bytes x/10' '0-11/12' 'bytes 0-11' 'bytes 0-11/5' 'bytes -1-11/12'; do
		chunk f "$bad"
		failed 400 invalid
	done
	chunk f 'bytes */*'
	failed 400 invalid
	http -X DELETE "$LOCATION"
	[ "$status" = 499 ]
	chunk odd 'bytes 0-299999/300000'
	failed 410 gone
	session '' -H 'X-Upload-Content-Length: 5'
	[ "$status" = 400 ]
	session '{"name":"r"}' -H 'X-Upload-Content-Length: 5'
	chunk f 'bytes 0-11/12'
	failed 400 invalid
	http -X DELETE "$LOCATION"
	http -X PUT --data-binary @f "$URL/$UP?uploadType=resumable&upload_id=s-nope"
	failed 404 notFound
	# a checksum promised at the start or the end
	session '{"name":"r","md5Hash":"AAAA"}'
	chunk f 'bytes 0-11/12'
	failed 400 invalid
	session
	chunk f 'bytes 0-11/12' -H 'x-goog-hash: crc32c=AAAAAA=='
	failed 400 invalid
	chunk f 'bytes 0-11/12'
	failed 410 gone
	http "$URL/$LIST"
	is 'has("items") | not'
	# a precondition is looked at again when the object is made
	Q='&ifGenerationMatch=0' session
	put r other
	chunk f 'bytes 0-11/12'
	failed 412 conditionNotMet
	[ "$(cat data/storage/bkt/r)" = other ]
	[ -z "$(ls data/storage/.uploads)" ]
}

@test "a session lives on after SIGKILL, whole objects too" {
	up
	bucket
	head -c 600000 /dev/urandom >all
	head -c 262144 all >c1
	tail -c +262145 all >c2
	put whole kept
	session
	chunk c1 'bytes 0-262143/600000'
	id=${LOCATION#*upload_id=}
	crash
	printf 'half a chunk that no reply confirmed' >>"data/storage/.uploads/$id"
	echo orphan >data/storage/.uploads/t-1-1
	up
	LOCATION="$URL/$UP?uploadType=resumable&upload_id=$id"
	http -X PUT -H 'Content-Range: bytes */600000' -d '' "$LOCATION"
	[ "$status" = 308 ] && [ "$(header range)" = bytes=0-262143 ]
	chunk c2 'bytes 262144-599999/600000'
	is .md5Hash "$(md5 all)"
	http "$URL/$LIST/whole?alt=media"
	[ "$(cat body)" = kept ]
	[ -z "$(ls data/storage/.uploads)" ]
}

@test "a put that died between its commit and its rename is finished at the next start" {
	up
	bucket
	put dir/a old
	put dir/a new
	staged=$(sqlite3 data/storage/.meta.sqlite "select staged from objects where name = 'dir/a'")
	crash
	mv data/storage/bkt/dir/a "data/storage/.uploads/$staged"
	up
	http "$URL/$LIST/dir%2Fa?alt=media"
	[ "$(cat body)" = new ]
	# and a removal between its commit and its unlink
	crash
	sqlite3 data/storage/.meta.sqlite "delete from objects; insert into doomed values('bkt', 'dir/a')"
	up
	[ ! -e data/storage/bkt/dir ]
	http "$URL/$LIST"
	is 'has("items") | not'
}

@test "preconditions and generations" {
	up
	bucket
	Q='&ifGenerationMatch=0' put a one
	[ "$status" = 200 ]
	g1=$(jq -r .generation body)
	Q='&ifGenerationMatch=0' put a two
	failed 412 conditionNotMet
	Q="&ifGenerationMatch=$g1" put a two
	g2=$(jq -r .generation body)
	[ "$g2" -gt "$g1" ]
	Q="&ifGenerationNotMatch=$g2" put a three
	failed 412 conditionNotMet
	Q='&ifMetagenerationMatch=2' put a three
	failed 412 conditionNotMet
	Q='&ifGenerationMatch=x' put a three
	failed 400 invalid
	http "$URL/$LIST/a?generation=$g1"
	failed 404 notFound
	is .error.message "No such object: bkt/a"
	http "$URL/$LIST/a?ifGenerationNotMatch=$g2"
	[ "$status" = 304 ]
	http "$URL/$LIST/a?ifGenerationMatch=$g1"
	failed 412 conditionNotMet
	http -X DELETE "$URL/$LIST/a?ifGenerationMatch=$g1"
	failed 412 conditionNotMet
	http "$URL/$LIST/a?alt=media&generation=$g2"
	[ "$(cat body)" = two ]
	http -X DELETE "$URL/$LIST/a?ifGenerationMatch=$g2"
	[ "$status" = 204 ]
	http -X DELETE "$URL/$LIST/a"
	failed 404 notFound
}

@test "downloads: ranges, every path, HEAD" {
	up
	bucket
	put dir/f '0123456789'
	while read -r range status_wanted text content_range; do
		for u in "$URL/$LIST/dir%2Ff?alt=media" "$URL/download/storage/v1/b/bkt/o/dir%2Ff?alt=media" "$URL/b/bkt/o/dir%2Ff?alt=media" "$URL/bkt/dir/f"; do
			http -H "Range: bytes=$range" "$u"
			[ "$status" = "$status_wanted" ] || { echo "$range: $status"; false; }
			[ "$status" = 416 ] || [ "$(cat body)" = "$text" ]
			[ "$(header content-range)" = "${content_range:+bytes $content_range}" ]
		done
	done <<'EOT'
0-3 206 0123 0-3/10
4- 206 456789 4-9/10
-3 206 789 7-9/10
8-100 206 89 8-9/10
-100 206 0123456789 0-9/10
9-9 206 9 9-9/10
10-20 416 - */10
5-2 200 0123456789
0-1,4-5 200 0123456789
EOT
	http -I "$URL/bkt/dir/f"
	[ "$status" = 200 ] && [ "$(header content-length)" = 10 ]
	http "$URL/bkt/nope"
	[ "$status" = 404 ] && grep -q '<Code>NoSuchKey</Code>' body
	http "$URL/no-bucket/nope"
	[ "$status" = 404 ] && grep -q '<Code>NoSuchBucket</Code>' body
}

@test "Content-Encoding: gzip is undone for those who do not take it" {
	up
	bucket
	printf 'plain text' | gzip >z
	printf -- '--B\r\n\r\n{"name":"z","contentEncoding":"gzip","cacheControl":"no-cache"}\r\n--B\r\nContent-Type: text/plain\r\n\r\n' >mp
	cat z >>mp
	printf '\r\n--B--' >>mp
	http -X POST -H 'Content-Type: multipart/related; boundary=B' --data-binary @mp "$URL/$UP?uploadType=multipart"
	is '.contentEncoding + .size' "gzip$(wc -c <z)"
	http "$URL/$LIST/z?alt=media"
	[ "$(cat body)" = 'plain text' ] && [ -z "$(header content-encoding)" ] && [ "$(header cache-control)" = no-cache ]
	http -H 'Accept-Encoding: gzip' "$URL/$LIST/z?alt=media"
	cmp body z && [ "$(header content-encoding)" = gzip ]
}

@test "list: prefix, delimiter, offsets, pages" {
	up
	bucket
	for n in a a/1 a/2 a/b/1 b/1 c é/x; do put "$n" x; done
	list() { http "$URL/$LIST?$1"; jq -r '[(.items // [])[].name] + ["|"] + (.prefixes // []) | join(" ")' body; }
	[ "$(list '')" = 'a a/1 a/2 a/b/1 b/1 c é/x |' ]
	[ "$(list 'delimiter=/')" = 'a c | a/ b/ é/' ]
	[ "$(list 'prefix=a/&delimiter=/')" = 'a/1 a/2 | a/b/' ]
	[ "$(list 'prefix=a')" = 'a a/1 a/2 a/b/1 |' ]
	[ "$(list 'startOffset=a/2&endOffset=c')" = 'a/2 a/b/1 b/1 |' ]
	[ "$(list 'prefix=zzz')" = '|' ]
	[ "$(list 'prefix=%C3%A9%2F')" = 'é/x |' ]
	for page in 'maxResults=1' 'maxResults=2' 'maxResults=1&delimiter=/' 'maxResults=2&prefix=a/&delimiter=/'; do
		token= all=
		for _ in 1 2 3 4 5 6 7 8; do
			http "$URL/$LIST?$page&pageToken=$token"
			all+=" $(jq -r '[(.items // [])[].name] + (.prefixes // []) | join(" ")' body)"
			token=$(jq -r '.nextPageToken // ""' body)
			[ -n "$token" ] || break
		done
		[ "$(tr ' ' '\n' <<<"$all" | sed '/^$/d' | sort)" = "$(http "$URL/$LIST?${page#maxResults=?}"; jq -r '(.items // [])[].name, (.prefixes // [])[]' body | sort)" ]
	done
	http "$URL/$LIST?maxResults=0"
	failed 400 invalid
	http "$URL/$LIST?pageToken=zz"
	failed 400 invalid
	http "$URL/storage/v1/b/nope/o"
	failed 404 notFound
}

@test "names: everything UTF-8 stays apart and inside the folder" {
	up
	bucket
	long=$(printf 'n%.0s' $(seq 300))
	longest=$(printf 'x%.0s' $(seq 1024))
	names=(a a/b a/b/c a/b/ / // a//b ../../../escape ./x .. x/.. '%2e%2e' 'a%d' $'tab\there' 'sp ace' 'é/ü' "$long" "$long/y" "${long}z" "$longest"
		"$(printf '%%/%.0s' $(seq 300))" .meta.sqlite .uploads -rf 'a\b' "q'\"\$x")
	stored=()
	for n in "${names[@]}"; do
		put "$n" "content of $n"
		case $n in
		..) failed 400 invalid ;;
		*) [ "$status" = 200 ] || { echo "$n"; cat body; false; }; stored+=("$n") ;;
		esac
	done
	for n in "${stored[@]}"; do
		http "$URL/$LIST/$(uri "$n")?alt=media"
		[ "$(cat body)" = "content of $n" ] || { echo "$n: $(cat body)"; false; }
	done
	http "$URL/$LIST"
	is '.items | length' "${#stored[@]}"
	[ "$(find data/storage/bkt -type f | wc -l)" = "${#stored[@]}" ]
	[ "$(cat data/storage/bkt/a)" = 'content of a' ]
	[ -z "$(find . -name 'escape*' -not -path './data/storage/bkt/*')" ]
	for bad in "$(uri "${longest}x")" 'a%0Ab' 'a%0D' '%FF' '%C0%80' . .well-known%2Facme-challenge%2Fx ''; do
		http -X POST -d x "$URL/$UP?uploadType=media&name=$bad"
		[ "$status" = 400 ] || { echo "$bad: $status"; false; }
	done
	for n in "${stored[@]}"; do
		http -X DELETE "$URL/$LIST/$(uri "$n")"
		[ "$status" = 204 ] || { echo "$n: $status"; false; }
	done
	[ -z "$(ls -A data/storage/bkt)" ]
}

@test "overwriting and removing in every order keeps files and directories apart" {
	up
	bucket
	put a/b 1
	put a 2
	put a/c 3
	http -X DELETE "$URL/$LIST/a%2Fb"
	http -X DELETE "$URL/$LIST/a%2Fc"
	put a/b 4
	put a 5
	put a/b/c 6
	for pair in a=5 a/b=4 a/b/c=6; do
		http "$URL/$LIST/$(uri "${pair%=*}")?alt=media"
		[ "$(cat body)" = "${pair#*=}" ]
	done
	for n in a a/b a/b/c; do http -X DELETE "$URL/$LIST/$(uri "$n")"; done
	[ -z "$(ls -A data/storage/bkt)" ]
}

@test "what it does not know is said in Google's words" {
	up
	bucket
	put a x
	http -X PATCH -d '{}' "$URL/$LIST/a"
	failed 501 notImplemented
	http -X POST "$URL/$LIST/a/rewriteTo/b/bkt/o/c"
	[ "$status" = 501 ] || [ "$status" = 404 ]
	http -X POST -d x "$URL/$UP?uploadType=what&name=a"
	failed 400 invalid
	http "$URL/storage/v1/nope"
	failed 404 notFound
}
