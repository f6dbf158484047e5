#!/usr/bin/env bats
# gcp-emu's BigQuery, through curl, jq and sqlite3.

load emu

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	UP_OPTIONS=(--project p1)
	SCHEMAS=$BATS_TEST_DIRNAME/../../schemas.json
	DATASETS=/bigquery/v2/projects/p1/datasets
}

teardown() {
	down
}

# is FILTER [VALUE]: jq's answer about the last reply (true where VALUE is left out).
is() {
	local got
	got=$(jq -r "$1" <<<"$body")
	[ "$got" = "${2-true}" ] || { echo "status $status, $1 is '$got', not '${2-true}': $body"; return 1; }
}

failed() { # STATUS REASON
	[ "$status" = "$1" ] || { echo "status $status: $body"; return 1; }
	is .error.code "$1"
	is '.error.errors[0].reason' "$2"
	is '.error.errors[0].message == .error.message'
}

db() { sqlite3 data/bigquery/p1/d.sqlite "$1"; }

# A dataset d with table t of the given fields, each "name type [mode]".
table() {
	local fields
	fields=$(printf '%s\n' "$@" | jq -R 'split(" ") | {name:.[0],type:.[1],mode:(.[2] // "NULLABLE")}' | jq -sc .)
	call POST $DATASETS '{"datasetReference":{"datasetId":"d"}}'
	call POST $DATASETS/d/tables "{\"tableReference\":{\"tableId\":\"t\"},\"schema\":{\"fields\":$fields}}"
	[ "$status" = 200 ] || { echo "$body"; return 1; }
}

# insert JSON...: each argument a row's json
insert() {
	call POST $DATASETS/d/tables/t/insertAll "{\"rows\":[$(printf '{"json":%s},' "$@" | sed 's/,$//')]}"
}

# takes VALUE... for column x, and what SQLite then holds, one a line on standard input
takes() {
	local v
	db 'delete from t'
	for v in "$@"; do
		insert "{\"x\":$v}"
		[ "$status" = 200 ] && is 'has("insertErrors") | not' || { echo "refused: $v"; return 1; }
	done
	diff - <(db 'select x from t order by rowid')
}

refuses() {
	local v
	for v in "$@"; do
		insert "{\"x\":$v}"
		[ "$status" = 200 ] && is '.insertErrors[0].errors[0].reason' invalid || { echo "taken: $v"; return 1; }
		is '.insertErrors[0].errors[0].location | startswith("x")'
	done
}

@test "--schemas makes the dataset and its tables, partitioned and clustered" {
	up --schemas "$SCHEMAS"
	call GET $DATASETS/ecommerce_events
	is .id p1:ecommerce_events
	call GET $DATASETS/ecommerce_events/tables
	is '[.tables[].tableReference.tableId] | join(" ")' "inventory_logs orders user_activity"
	call GET $DATASETS/ecommerce_events/tables/orders
	is '.timePartitioning | "\(.type) \(.field)"' "DAY order_date"
	is '.clustering.fields[0]' customer_id
	is '[.schema.fields[] | "\(.name):\(.type):\(.mode)"] | join(" ")' "order_id:STRING:REQUIRED customer_id:STRING:REQUIRED \
order_date:TIMESTAMP:REQUIRED status:STRING:REQUIRED total_amount:FLOAT:REQUIRED items:RECORD:REPEATED shipping_address:RECORD:REQUIRED"
	is '[.schema.fields[5].fields[].type] | join(" ")' "STRING STRING INTEGER FLOAT"
	is '.schema.fields[0].description' "Primary identifier."
	crash
	up --schemas "$SCHEMAS"
	call GET $DATASETS/ecommerce_events/tables
	is .totalItems 3
}

@test "datasets: insert, get, list, delete, and what is refused" {
	up
	call POST $DATASETS '{"datasetReference":{"datasetId":"b","projectId":"p1"},"description":"x","location":"EU"}'
	is '.description + .location' xEU
	call POST $DATASETS '{"datasetReference":{"datasetId":"a"}}'
	call POST $DATASETS '{"datasetReference":{"datasetId":"a"}}'
	failed 409 duplicate
	call POST $DATASETS '{"datasetReference":{"datasetId":"a-b"}}'
	failed 400 invalid
	call POST $DATASETS '{}'
	failed 400 required
	call POST $DATASETS '{"datasetReference":'
	failed 400 parseError
	call POST /bigquery/v2/projects/..%2F..%2Fx/datasets '{"datasetReference":{"datasetId":"a"}}'
	failed 400 invalid
	call GET "$DATASETS?maxResults=1"
	is '.datasets[0].datasetReference.datasetId' a
	call GET "$DATASETS?pageToken=$(jq -r .nextPageToken body)"
	is '.datasets[0].datasetReference.datasetId' b
	is 'has("nextPageToken") | not'
	call GET /projects/p1/datasets/a
	is .id p1:a
	call DELETE $DATASETS/a
	[ "$status" = 204 ]
	call GET $DATASETS/a
	failed 404 notFound
	is .error.message "Not found: Dataset p1:a"
	[ ! -e data/bigquery/p1/a.sqlite ] && [ -e data/bigquery/p1/b.sqlite ]
}

@test "tables: both families of type names, legacy ones returned; what is refused" {
	up
	table 'a INT64' 'b FLOAT64' 'c BOOL' 'd STRING' 'e TIMESTAMP REQUIRED' 'f INTEGER REPEATED'
	call GET $DATASETS/d/tables/t
	is '[.schema.fields[].type] | join(" ")' "INTEGER FLOAT BOOLEAN STRING TIMESTAMP INTEGER"
	call POST $DATASETS/d/tables '{"tableReference":{"tableId":"t"},"schema":{"fields":[]}}'
	failed 409 duplicate
	is .error.message "Already Exists: Table p1:d.t"
	for bad in '[{"name":"a","type":"NOPE"}]' '[{"name":"a b","type":"STRING"}]' '[{"name":"a"}]' '[{"type":"STRING"}]' \
		'[{"name":"a","type":"STRING"},{"name":"A","type":"STRING"}]' '[{"name":"a","type":"RECORD"}]' \
		'[{"name":"a","type":"STRING","mode":"MAYBE"}]' '[{"name":"_PARTITIONDATE","type":"DATE"}]'; do
		call POST $DATASETS/d/tables "{\"tableReference\":{\"tableId\":\"u\"},\"schema\":{\"fields\":$bad}}"
		failed 400 invalid
	done
	for bad in '"timePartitioning":{"type":"DAY","field":"nope"}' '"timePartitioning":{"type":"WEEK"}' \
		'"timePartitioning":{"type":"DAY","field":"a"}' '"clustering":{"fields":["nope"]}' '"clustering":{"fields":[]}'; do
		call POST $DATASETS/d/tables "{\"tableReference\":{\"tableId\":\"u\"},\"schema\":{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]},$bad}"
		failed 400 invalid
	done
	call DELETE $DATASETS/d
	failed 400 resourceInUse
	call DELETE $DATASETS/d/tables/t
	[ "$status" = 204 ]
	call GET $DATASETS/d/tables/t
	failed 404 notFound
	call DELETE $DATASETS/d
	[ "$status" = 204 ]
}

@test "patch adds and relaxes columns, and refuses the rest" {
	up
	table 'a STRING REQUIRED' 'b INTEGER'
	insert '{"a":"old"}'
	call PATCH $DATASETS/d/tables/t '{"schema":{"fields":[{"name":"a","type":"STRING"},{"name":"b","type":"INT64"},
		{"name":"c","type":"FLOAT"},{"name":"e","type":"STRING","mode":"REPEATED"}]},"description":"new"}'
	is '.description + .schema.fields[0].mode + .schema.fields[2].type' newNULLABLEFLOAT
	insert '{"c":1.5,"e":["x"]}'
	is 'has("insertErrors") | not'
	[ "$(db 'select a, b, c, e from t')" = $'old|||[]\n||1.5|["x"]' ]
	for bad in '[{"name":"a","type":"STRING"}]' '[{"name":"a","type":"STRING"},{"name":"b","type":"STRING"},{"name":"c","type":"FLOAT"},
		{"name":"e","type":"STRING","mode":"REPEATED"}]' '[{"name":"a","type":"STRING","mode":"REQUIRED"},{"name":"b","type":"INTEGER"},
		{"name":"c","type":"FLOAT"},{"name":"e","type":"STRING","mode":"REPEATED"}]'; do
		call PATCH $DATASETS/d/tables/t "{\"schema\":{\"fields\":$bad}}"
		failed 400 invalid
		is '.error.message | startswith("Provided Schema does not match Table p1:d.t.")'
	done
	call PATCH $DATASETS/d/tables/t '{"friendlyName":"f"}'
	is '.friendlyName + .description' fnew
	crash
	up
	call GET $DATASETS/d/tables/t
	is '[.schema.fields[].name] | join("")' abce
}

@test "INT64: integers and decimal strings, nothing else" {
	up
	table 'x INT64'
	takes 5 '"5"' -3 '"-9223372036854775808"' '"9223372036854775807"' 0 null <<<$'5\n5\n-3\n-9223372036854775808\n9223372036854775807\n0\n'
	refuses 5.0 5e0 '"5.0"' '"9223372036854775808"' 9223372036854775808 true '"x"' '""' '[1]' '{}'
	# a JSON number beyond 2^53 loses digits, as with the service
	takes 9007199254740993 <<<9007199254740992
}

@test "FLOAT64: numbers, numeric strings, NaN and the infinities" {
	up
	table 'x FLOAT64'
	takes 1 '"2.5"' -1e3 '"NaN"' '"Infinity"' '"-Infinity"' 5.0 <<<$'1.0\n2.5\n-1000.0\nNaN\nInf\n-Inf\n5.0'
	refuses true '"x"' '""' '"0x10"' '" 1"' 1e999 '{}'
	call GET $DATASETS/d/tables/t/data
	is '[.rows[].f[0].v] | join(" ")' "1.0 2.5 -1000.0 NaN Infinity -Infinity 5.0"
}

@test "NUMERIC, BOOL, BYTES and STRING" {
	up
	table 'x NUMERIC'
	takes 1.50 '"00012.3"' -0.000000001 1e3 '"99999999999999999999999999999.999999999"' 0.0 \
		<<<$'1.5\n12.3\n-0.000000001\n1000\n99999999999999999999999999999.999999999\n0'
	refuses 0.0000000001 '"100000000000000000000000000000"' '"x"' true '""'
	call DELETE $DATASETS/d/tables/t
	table 'x BOOL'
	takes true false '"true"' '"FALSE"' <<<$'1\n0\n1\n0'
	refuses 1 '"yes"' '""'
	call DELETE $DATASETS/d/tables/t
	table 'x BYTES'
	takes '"aGk="' '""' '"_-8"' <<<$'aGk=\n\n/+8='
	refuses '"?"' 5
	call DELETE $DATASETS/d/tables/t
	table 'x STRING'
	takes '"a\"b\u00e9"' '""' 5 true <<<$'a"bé\n\n5\ntrue'
	refuses '{}' '["a"]'
}

@test "TIMESTAMP: the service's many forms become one" {
	up
	table 'x TIMESTAMP'
	takes '"2025-02-08T13:09:00Z"' '"2025-02-08 13:09:00.500 UTC"' '"2025-02-08T13:09:00+01:00"' '"2025-2-8 3:9:0"' '"2025/02/08 13:09:00Z"' \
		'"2025-02-08"' 1739020140 1739020140.123456 '"1739020140"' 1.73902014E9 '"0001-01-01T00:00:00Z"' '"9999-12-31T23:59:59.999999Z"' -1 <<'EOT'
2025-02-08T13:09:00Z
2025-02-08T13:09:00.5Z
2025-02-08T12:09:00Z
2025-02-08T03:09:00Z
2025-02-08T13:09:00Z
2025-02-08T00:00:00Z
2025-02-08T13:09:00Z
2025-02-08T13:09:00.123456Z
2025-02-08T13:09:00Z
2025-02-08T13:09:00Z
0001-01-01T00:00:00Z
9999-12-31T23:59:59.999999Z
1969-12-31T23:59:59Z
EOT
	refuses '"2025-02-30T00:00:00Z"' '"2025-02-08T24:00:00Z"' '"2025-02-08T13:09:60Z"' '"2025-02-08T13:09:00.1234567Z"' '"yesterday"' \
		'"0001-01-01T00:00:00+01:00"' '"2025-02-08T13:09:00 Mars"' true '""'
	insert '{"x":1739020140000}'
	is '.insertErrors[0].errors[0].message' "Timestamp field value is out of range: 1739020140000"
	call GET "$DATASETS/d/tables/t/data?maxResults=2"
	is '[.rows[].f[0].v] | join(" ")' "1.73902014E9 1.7390201405E9"
	call GET "$DATASETS/d/tables/t/data?startIndex=12"
	is '.rows[0].f[0].v' -1.0
	call GET "$DATASETS/d/tables/t/data?maxResults=2&formatOptions.useInt64Timestamp=true"
	is '[.rows[].f[0].v] | join(" ")' "1739020140000000 1739020140500000"
}

@test "DATE, TIME and DATETIME" {
	up
	table 'x DATE'
	takes '"2024-02-29"' '"2025-1-2"' <<<$'2024-02-29\n2025-01-02'
	refuses '"2023-02-29"' '"2025-02-08T00:00:00Z"' 5
	call DELETE $DATASETS/d/tables/t
	table 'x TIME'
	takes '"13:09:00"' '"1:2:3.5"' <<<$'13:09:00\n01:02:03.5'
	refuses '"24:00:00"' '"13:09"' 5
	call DELETE $DATASETS/d/tables/t
	table 'x DATETIME'
	takes '"2025-02-08 13:09:00"' '"2025-02-08T13:09:00.25"' <<<$'2025-02-08T13:09:00\n2025-02-08T13:09:00.25'
	refuses '"2025-02-08T13:09:00Z"' 5
}

@test "RECORD and REPEATED: nesting, nulls, and where the fault is" {
	up
	call POST $DATASETS '{"datasetReference":{"datasetId":"d"}}'
	call POST $DATASETS/d/tables '{"tableReference":{"tableId":"t"},"schema":{"fields":[
		{"name":"x","type":"RECORD","mode":"REPEATED","fields":[{"name":"n","type":"INTEGER","mode":"REQUIRED"},
			{"name":"at","type":"TIMESTAMP"},{"name":"s","type":"STRING","mode":"REPEATED"}]},
		{"name":"r","type":"RECORD","fields":[{"name":"f","type":"FLOAT"},{"name":"b","type":"BOOLEAN"}]}]}}'
	insert '{"x":[{"n":"1","at":0,"s":["a\"\u00e9"]},{"N":2}],"r":{"f":"NaN","b":"true"}}' '{}' '{"r":null}' '{"r":{"f":2}}'
	is 'has("insertErrors") | not' || false
	[ "$(db 'select * from t' | head -n 1)" = '[{"n":1,"at":"1970-01-01T00:00:00Z","s":["a\"\u00e9"]},{"n":2}]|{"f":"NaN","b":true}' ]
	[ "$(db 'select * from t' | sed -n '2,$p')" = $'[]|\n[]|\n[]|{"f":2.0}' ]
	[ "$(db "select x ->> '\$[0].s[0]' from t limit 1")" = 'a"é' ]
	call GET $DATASETS/d/tables/t/data
	is '.rows[0].f | tojson' '[{"v":[{"v":{"f":[{"v":"1"},{"v":"0.0"},{"v":[{"v":"a\"é"}]}]}},{"v":{"f":[{"v":"2"},{"v":null},{"v":[]}]}}]},{"v":{"f":[{"v":"NaN"},{"v":"true"}]}}]'
	is '.rows[1].f | tojson' '[{"v":[]},{"v":null}]'
	while read -r row location; do
		insert "$row"
		is '.insertErrors[0].errors[0] | .reason + " " + .location' "invalid $location"
	done <<'EOT'
{"x":[{"n":1},{"n":"z"}]} x[1].n
{"x":[{"n":1,"s":[null]}]} x[0].s[0]
{"x":[{"n":1,"q":5}]} x[0].q
{"x":[{}]} x[0].n
{"x":[{"n":null}]} x[0].n
{"x":[null]} x[0]
{"x":null} x
{"x":{"n":1}} x
{"x":[[{"n":1}]]} x[0]
{"x":[{"n":1,"at":{}}]} x[0].at
{"r":[]} r
{"r":"s"} r
{"r":{"f":1,"F":2}} r.f
{"nope":1} nope
EOT
}

@test "one bad row stops all, unless skipInvalidRows" {
	up
	table 'a STRING REQUIRED' 'n INTEGER'
	rows='{"json":{"a":"1"}},{"json":{"a":"2","n":"x"}},{"json":{"n":1}},{"json":{"a":"4"}}'
	call POST $DATASETS/d/tables/t/insertAll "{\"rows\":[$rows]}"
	[ "$status" = 200 ]
	is '[.insertErrors | sort_by(.index)[] | "\(.index)\(.errors[0].reason)"] | join(" ")' "0stopped 1invalid 2invalid 3stopped"
	is '[.insertErrors[] | select(.index == 2) | .errors[0].message][0]' "Missing required field: a."
	[ "$(db 'select count(*) from t')" = 0 ]
	call POST $DATASETS/d/tables/t/insertAll "{\"skipInvalidRows\":true,\"rows\":[$rows]}"
	is '[.insertErrors[].index] | join(" ")' "1 2"
	[ "$(db 'select group_concat(a) from t')" = 1,4 ]
	call POST $DATASETS/d/tables/t/insertAll '{"rows":[{"json":{"a":"5","zz":1}}]}'
	is '.insertErrors[0].errors[0] | "\(.message) \(.location)"' "no such field: zz. zz"
	call POST $DATASETS/d/tables/t/insertAll '{"ignoreUnknownValues":true,"skipInvalidRows":null,"rows":[{"json":{"A":"5","zz":[1]}}]}'
	is 'keys | join("")' kind
	[ "$(db 'select group_concat(a) from t')" = 1,4,5 ]
	call GET $DATASETS/d/tables/t
	is .numRows 3
}

@test "what is wrong with a request: rows, sizes, names" {
	up
	table 'a STRING'
	for bad in '{}' '{"rows":[]}' '{"rows":{}}' '{"rows":[5]}' '{"rows":[{"insertId":5,"json":{}}]}'; do
		call POST $DATASETS/d/tables/t/insertAll "$bad"
		failed 400 invalid
	done
	call POST $DATASETS/d/tables/t/insertAll '{"rows":['
	failed 400 parseError
	call POST $DATASETS/d/tables/nope/insertAll '{"rows":[{"json":{}}]}'
	failed 404 notFound
	is .error.message "Not found: Table p1:d.nope"
	jq -nc '{rows:[range(50000)|{json:{}}]}' >many
	jq -nc '{rows:[range(50001)|{json:{}}]}' >more
	status=$(curl -s -o body -w '%{http_code}' --data-binary @more "$URL$DATASETS/d/tables/t/insertAll"); body=$(cat body)
	failed 400 invalid
	status=$(curl -s -o body -w '%{http_code}' --data-binary @many "$URL$DATASETS/d/tables/t/insertAll"); body=$(cat body)
	[ "$status" = 200 ] && [ "$(db 'select count(*) from t')" = 50000 ]
	# 10,485,760 bytes are taken, one more is not
	{ printf '{"rows":[{"json":{"a":"'; head -c $((10485760 - 28)) /dev/zero | tr '\0' x; printf '"}}]}'; } >big
	[ "$(wc -c <big)" = 10485760 ]
	status=$(curl -s -o body -w '%{http_code}' --data-binary @big "$URL$DATASETS/d/tables/t/insertAll"); body=$(cat body)
	[ "$status" = 200 ]
	printf ' ' >>big
	status=$(curl -s -o body -w '%{http_code}' --data-binary @big "$URL$DATASETS/d/tables/t/insertAll"); body=$(cat body)
	failed 413 requestTooLarge
	# gzip, and a path without /bigquery/v2
	printf '{"rows":[{"json":{"a":"gz"}}]}' | gzip >gz
	status=$(curl -s -o body -w '%{http_code}' -H 'Content-Encoding: gzip' --data-binary @gz "$URL/projects/p1/datasets/d/tables/t/insertAll")
	[ "$status" = 200 ] && [ "$(db "select count(*) from t where a = 'gz'")" = 1 ]
}

@test "an insertId is known for a while, across a crash too, but not when its row was not stored" {
	up
	table 'n INTEGER'
	ins() { call POST $DATASETS/d/tables/t/insertAll "{\"rows\":[$(for a; do printf '{"insertId":"%s","json":{"n":%s}},' "${a%=*}" "${a#*=}"; done | sed 's/,$//')]}"; }
	ins a=1 b=2 a=3
	ins b=4 c=5
	is 'has("insertErrors") | not'
	[ "$(db 'select group_concat(n) from t')" = 1,2,5 ]
	call GET /emu/bigquery
	is .stored 3
	is .repeated 2
	ins d=6 'e="x"'
	is '.insertErrors | length' 2
	ins d=7
	[ "$(db 'select group_concat(n) from t')" = 1,2,5,7 ]
	crash
	up
	ins a=8 e=9
	[ "$(db 'select group_concat(n) from t')" = 1,2,5,7,9 ]
	call POST $DATASETS/d/tables '{"tableReference":{"tableId":"u"},"schema":{"fields":[{"name":"n","type":"INTEGER"}]}}'
	call POST $DATASETS/d/tables/u/insertAll '{"rows":[{"insertId":"a","json":{"n":1}},{"insertId":"","json":{"n":2}},{"insertId":"","json":{"n":3}}]}'
	[ "$(db 'select group_concat(n) from u')" = 1,2,3 ]
}

@test "what a reply confirmed is there after SIGKILL" {
	up
	table 'n INTEGER'
	for i in 1 2 3 4 5; do
		insert "{\"n\":$i}"
	done
	crash
	up
	call GET $DATASETS/d/tables/t/data
	is '[.rows[].f[0].v] | join("")' 12345
	is .totalRows 5
}

@test "the partition window is enforced when asked for" {
	export GCP_EMU_PARTITION_WINDOW=1
	up --schemas "$SCHEMAS"
	row() { printf '{"json":{"inventory_id":"i","product_id":"p","warehouse_id":"w","quantity_change":1,"reason":"sale","timestamp":"%s"}}' "$1"; }
	call POST $DATASETS/ecommerce_events/tables/inventory_logs/insertAll "{\"skipInvalidRows\":true,\"rows\":[$(row 2010-01-01T00:00:00Z),$(row "$(date -u +%FT%TZ)"),$(row 2099-01-01T00:00:00Z)]}"
	is '[.insertErrors[] | "\(.index)\(.errors[0].reason)"] | join(" ")' "0invalid 2invalid"
	is '.insertErrors[0].errors[0].message | contains("outside the allowed bounds")'
}

@test "tabledata.list pages" {
	up
	table 'n INTEGER'
	call POST $DATASETS/d/tables/t/insertAll "$(jq -nc '{rows:[range(25)|{json:{n:.}}]}')"
	token= all=
	for pages in 1 2 3 4; do
		call GET "$DATASETS/d/tables/t/data?maxResults=10&pageToken=$token"
		all+=" $(jq -r '[.rows[].f[0].v] | join(" ")' body)"
		token=$(jq -r '.pageToken // ""' body)
		[ -n "$token" ] || break
	done
	[ "$pages" = 3 ] && [ "$all" = " $(seq -s ' ' 0 24)" ]
	call GET "$DATASETS/d/tables/t/data?maxResults=0"
	is '.totalRows + (.rows | length | tostring)' 250
	call GET "$DATASETS/d/tables/t/data?maxResults=x"
	failed 400 invalid
}

@test "queries: count, where, group, order, limit; names in every spelling" {
	up
	table 'k STRING' 'n INTEGER' 'at TIMESTAMP' 'tags STRING REPEATED'
	insert '{"k":"a","n":1,"at":"2025-02-08T13:09:00Z","tags":["x","y"]}' '{"k":"a","n":2,"at":"2025-02-09T00:00:00Z"}' '{"k":"b","n":3}'
	query() { call POST /bigquery/v2/projects/p1/queries "$(jq -nc --arg q "$1" '{query:$q,useLegacySql:false}')"; }
	for from in d.t p1.d.t '`p1.d.t`' '`p1`.`d`.`t`' '`d.t`' '`d`.t AS x' '(SELECT * FROM d.t)' "d.t # it's" 'd.t -- it'"'"'s' '/* " */ d.t'; do
		query "SELECT COUNT(*) FROM $from"
		is '.rows[0].f[0].v' 3
		is '.schema.fields[0] | .name + .type' f0_INTEGER
	done
	query "SELECT k, SUM(n) AS total, AVG(n) a FROM d.t WHERE n < 10 GROUP BY k ORDER BY total DESC, k LIMIT 1;"
	is '[.rows[0].f[].v] | join(" ")' "a 3 1.5"
	is '[.schema.fields[] | .name + ":" + .type] | join(" ")' "k:STRING total:INTEGER a:FLOAT"
	query 'SELECT at, tags, "it''s \"q\"" AS s FROM d.t WHERE at >= TIMESTAMP "2025-02-08 13:09:00 UTC" AND k = '"'a' ORDER BY at"
	is '.rows[0].f | tojson' '[{"v":"1.73902014E9"},{"v":[{"v":"x"},{"v":"y"}]},{"v":"its \"q\""}]'
	is '[.schema.fields[] | .type + .mode] | join(" ")' "TIMESTAMPNULLABLE STRINGREPEATED STRINGNULLABLE"
	is .totalRows 2
	query 'WITH w AS (SELECT n FROM d.t) SELECT IF(COUNTIF(t.n > 1) = 2, "yes", "no") x FROM w, d.t t WHERE t.n = w.n'
	is '.rows[0].f[0].v' yes
	call POST /projects/p1/queries '{"query":"SELECT n FROM t ORDER BY n","defaultDataset":{"datasetId":"d"},"maxResults":2}'
	is '[.rows[].f[0].v] | join("")' 12
	call GET "/bigquery/v2/projects/p1/queries/$(jq -r .jobReference.jobId body)?pageToken=$(jq -r .pageToken body)"
	is '[.rows[].f[0].v] | join("")' 3
}

@test "queries that are refused change nothing" {
	up
	table 'n INTEGER'
	insert '{"n":1}'
	query() { call POST /bigquery/v2/projects/p1/queries "$(jq -nc --arg q "$1" '{query:$q}')"; }
	for bad in 'DELETE FROM d.t WHERE true' 'DROP TABLE d.t' 'SELECT 1; DROP TABLE d.t' 'WITH x AS (SELECT 1) DELETE FROM d.t' "ATTACH 'x' AS y" \
		'PRAGMA user_version' 'SELECT nope FROM d.t' 'SELECT * FROM d.t WHERE' 'SELECT "open FROM d.t' 'SELECT @p' "SELECT load_extension('x')" \
		'SELECT * FROM pragma_table_list' ')' ''; do
		query "$bad"
		[ "$status" = 400 ] || { echo "$bad: $status $body"; false; }
	done
	query 'SELECT * FROM t'
	failed 400 invalid
	is .error.message 'Table "t" must be qualified with a dataset (e.g. dataset.table).'
	query 'SELECT nope FROM d.t'
	is .error.message "Unrecognized name: nope"
	query 'SELECT * FROM d.nope'
	failed 404 notFound
	query 'SELECT * FROM d._tables'
	failed 404 notFound
	query 'SELECT * FROM d.sqlite_master'
	failed 404 notFound
	[ "$(db 'select count(*) from t')" = 1 ]
}

@test "jobs.insert runs a query and keeps its results" {
	up
	table 'n INTEGER'
	insert '{"n":1}' '{"n":2}'
	job='{"jobReference":{"projectId":"p1","jobId":"j1"},"configuration":{"query":{"query":"SELECT n FROM d.t ORDER BY n","useLegacySql":false}}}'
	call POST /bigquery/v2/projects/p1/jobs "$job"
	is '.status.state + .jobReference.jobId' DONEj1
	call POST /bigquery/v2/projects/p1/jobs "$job"
	failed 409 duplicate
	call GET /bigquery/v2/projects/p1/jobs/j1
	is .status.state DONE
	call GET "/bigquery/v2/projects/p1/queries/j1?maxResults=1&startIndex=1&timeoutMs=0"
	is '.totalRows + .rows[0].f[0].v' 22
	call POST /bigquery/v2/projects/p1/jobs '{"jobReference":{"jobId":"j2"},"configuration":{"query":{"query":"SELECT nope FROM d.t"}}}'
	is '.status.errorResult.reason' invalidQuery
	call GET /bigquery/v2/projects/p1/queries/j2
	failed 400 invalidQuery
	call GET /bigquery/v2/projects/p1/jobs/nope
	failed 404 notFound
	call POST /bigquery/v2/projects/p1/jobs '{"configuration":{"extract":{}}}'
	failed 501 notImplemented
}

@test "testIamPermissions gives what was asked" {
	up
	table 'n INTEGER'
	call POST $DATASETS/d/tables/t:testIamPermissions '{"permissions":["bigquery.tables.get","bigquery.tables.updateData"]}'
	is '.permissions | length' 2
}

@test "faults asked for a table's rows come out as row errors, the rest is stored" {
	up --schemas "$SCHEMAS"
	call PUT /emu/faults '{"rules":[{"row":"backendError","table":"inventory_logs","times":1}]}'
	[ "$status" -lt 300 ] || { echo "$body"; false; }
	row='{"json":{"inventory_id":"i","product_id":"p","warehouse_id":"w","quantity_change":1,"reason":"sale","timestamp":"2025-02-08T00:00:00Z"}}'
	call POST $DATASETS/ecommerce_events/tables/inventory_logs/insertAll "{\"skipInvalidRows\":true,\"rows\":[$row,$row,$row]}"
	is '[.insertErrors[].errors[0].reason] | join("")' backendError
	[ "$(sqlite3 data/bigquery/p1/ecommerce_events.sqlite 'select count(*) from inventory_logs')" = 2 ]
}
