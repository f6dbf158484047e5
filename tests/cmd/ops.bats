#!/usr/bin/env bats
# evpipe-ops(7) and evpipe-scaling(7): their examples run, and what they name is what there is.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	page=$ROOT/man/evpipe-ops.7
	for script in stream backfill replay; do
		mkdir -p bin
		ln -sf "$ROOT/scripts/$script" "bin/evpipe-$script"
	done
	PATH=$PWD/bin:$PATH
}

teardown() {
	end_all
}

# part TITLE: a section or subsection of the page
part() {
	awk -v title="$1" '/^\.S[sh] / { inside = $0 == ".Ss " title || $0 == ".Sh " title; next } inside' "$page"
}

# commands: of what part prints, as a shell script: displays' lines without their prompts, and waits of a second
commands() {
	sed -n 's/^\.Dl \(\$ .*\)/\1/p; /^\.Bd -literal/,/^\.Ed/{/^\.[BE]d/d; p}' |
		sed -E ':more; /\\e$/{N; s/ *\\e\n */ /; b more}; s/\\e/\\/g; s/^\$ //; s/--(idle|quiet)-exit [0-9]+/--\1-exit 1/g; s/^evpipe-replay/& --idle-exit 1/'
}

died() { # CODE LINE
	printf '{"msg":{"id":"1","source":"projects/p/subscriptions/s"},"data":"%s","stage":"ev-validate","errors":[{"code":"%s","path":"/p","detail":"d"}]}\n' \
		"$(printf %s "$2" | base64 -w 0)" "$1" | dlq-push -q backend-events-dlq-topic
}

@test "the examples of replaying run as they stand, in their order" {
	start_emu
	local n
	for n in $(seq 13); do died bad_json "first $n"; done >receipts
	part 'Replaying dead letters' | commands >all
	[ "$(grep -c . all)" -ge 12 ]
	# those that only look, and the replay of all
	sed -n '/^mkfifo/q; p' all >some
	run -0 --separate-stderr bash -euo pipefail some
	[[ $output == *'13 ev-validate'*bad_json*/p* ]]
	[[ $output == *'"first '* ]]
	[ "$(backlog_of backend-events-dlq-topic-sub)" = 0 ]
	[ "$(backlog_of)" = 13 ]
	# by fault; then the rest into a file; then from the file
	{ died not_in_enum chosen && died bad_json other; } >receipts
	sed -n '/^mkfifo/,$p' all | sed -n '/^rm/q; p' >some
	bash -euo pipefail some
	[ "$(backlog_of)" = 14 ]
	[ "$(backlog_of backend-events-dlq-topic-sub)" = 1 ]
	sed -n '/^rm/,$p' all >some
	bash -euo pipefail some
	[ "$(jq -r '.data | @base64d' dead-letters.ndjson)" = other ]
	[ "$(backlog_of backend-events-dlq-topic-sub)" = 0 ]
	[ "$(backlog_of)" = 15 ]
}

@test "the checks before an upgrade and a schema change run as they stand" {
	start_emu
	cp "$ROOT/schemas.json" .
	{ part Upgrade && part 'A schema change'; } | commands | grep -v '^terraform ' >all
	[ "$(grep -c . all)" = 3 ]
	bash -euo pipefail all
}

@test "a field is added in the order that is written there" {
	start_emu
	jq '.tables.orders.fields += [{"name":"coupon","type":"STRING","mode":"NULLABLE"}]' "$ROOT/schemas.json" >schemas.json
	ev-validate --check --schemas schemas.json
	# a tool that knows a column which the table lacks does not start
	run -78 bq-insert --check --schemas schemas.json ecommerce_events
	# the table with it suits old and new
	curl -sf "http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/datasets/ecommerce_events/tables/orders" |
		jq '{schema: (.schema | .fields += [{"name":"coupon","type":"STRING","mode":"NULLABLE"}])}' >'patch'
	curl -sf -X PATCH -H 'Content-Type: application/json' --data @patch \
		"http://127.0.0.1:$EMU_PORT/bigquery/v2/projects/test/datasets/ecommerce_events/tables/orders" >patched
	run -0 bq-insert --check --schemas schemas.json ecommerce_events
	run -0 bq-insert --check --schemas "$ROOT/schemas.json" ecommerce_events
}

@test "a first deployment is ten commands, and what they name is there" {
	part 'First deployment' | sed '/^The second is/,$d' | commands >all
	cat all
	[ "$(grep -c . all)" = 10 ]
	local name
	{ part 'First deployment' && part 'A deployment on every push'; } | commands >both
	{ grep -oE "'[a-z_]+ = " both && grep -oE -- '-var .?[a-z]+=' both; } | sed 's/-var//' | grep -oE '[a-z_]{4,}' | sort -u >variables
	[ "$(paste -sd ' ' variables)" = 'alert_emails build fleet image project region' ]
	for name in $(<variables); do
		grep -q "^variable \"$name\"" "$ROOT/terraform/variables.tf" || { echo "no variable $name"; return 1; }
	done
	for name in $(grep -oE 'output -raw [a-z_]+' "$page" | sed 's/.* //'); do
		grep -q "^output \"$name\"" "$ROOT/terraform/outputs.tf" || { echo "no output $name"; return 1; }
	done
	[ -f "$ROOT/Dockerfile" ]
	head -n 1 "$ROOT/tests/data/orders.ndjson" | ev-validate --events-only >valid
	[ -s valid ]
}

@test "a deployment on every push gives the roles that cloudbuild.yaml names; the image is run as the Dockerfile says" {
	part 'A deployment on every push' | commands >all
	sed '/^steps:/,$d' "$ROOT/cloudbuild.yaml" >head
	grep -oE 'roles/[A-Za-z0-9.]+' head | sed 's,.*/,,' | grep -vxE 'logging.logWriter|artifactregistry.writer' | sort >wanted # terraform grants these two
	[ "$(wc -l <wanted)" = 7 ]
	{ sed -n 's/^for role in \(.*\); do$/\1/p' all | tr ' ' '\n'; grep -oE 'role=roles/[a-zA-Z.]+' all | sed 's,.*/,,'; } | sort | diff wanted -
	grep -q '^  _STATE_BUCKET:' "$ROOT/cloudbuild.yaml"
	grep -q -- '--substitutions=_STATE_BUCKET=' all
	bash -n all
	# the backend that the second command's printf writes is one
	grep '^printf .*backend' all | sed 's, > .*,,' | bash >backend.tf
	! command -v terraform || terraform fmt -check .
	# how the image is run is told once
	sed -n 's/^#.*docker run \(.*\) --env-file.*/\1/p' "$ROOT/Dockerfile" >options
	[ -s options ]
	part 'First deployment' | grep -qF -- "docker run $(<options) --env-file"
}

@test "every alert of terraform is explained, by its title and name, and no other" {
	local tf=$ROOT/terraform/monitoring.tf
	awk '/^  alerts = \{/ { inside = 1; next } /^  \}/ { inside = 0 }
		inside && /^    [a-z-]+ = \{/ { name = $1 } inside && /^      title / { sub(/^[^"]*"/, ""); sub(/"$/, ""); print $0 " Pq Va " name }' \
		"$tf" | sort >made
	[ "$(wc -l <made)" -ge 5 ]
	part Alerts | sed -n 's/^\.It //p' | sort >explained
	diff made explained
}

@test "every exit status of evpipe(7) is explained" {
	awk '/^\.Sh EXIT STATUS/ { inside = 1; next } /^\.S/ { inside = 0 } inside && /^\.It/ { print $2 }' "$ROOT/man/evpipe.7" >wanted
	[ "$(wc -l <wanted)" -ge 10 ]
	part 'Exit status' | sed -n 's/^\.It \([0-9]*\)$/\1/p' >got
	run -1 grep -vxFf got wanted
}

@test "the scaling page's sums are right, and its defaults are terraform's" {
	page=$ROOT/man/evpipe-scaling.7
	part 'What a billion events cost' | awk -F ' Ta ' '
		/^\.It Em together/ {
			for (i = 2; i <= 3; i++)
				if (sum[i] - $i > 0.02 || $i - sum[i] > 0.02) { print $0 ": it is " sum[i]; bad = 1 }
			n++; sum[2] = sum[3] = 0; next }
		/^\.It [^E]/ && NF == 3 { sum[2] += $2; sum[3] += $3 }
		END { exit bad || n != 3 }'
	# instances by their rate, their processors, and what they cost, row by row
	awk -F ' Ta ' '
		function ceil(x) { return int(x) + (x > int(x)) }
		function near(x, y) { return x - y < 0.006 && y - x < 0.006 }
		/^\.It instances of 2 cores/ { for (i = 2; i <= 3; i++) { gsub(",", "", $i); split($i, of, " "); rate[i] = of[3]; n[i] = of[5]
			if (n[i] != ceil(of[1] / rate[i])) { print $0; bad = 1 } rows++ } }
		/^\.It their vCPUs/ { for (i = 2; i <= 3; i++) { if ($i != 2 * n[i]) { print $0; bad = 1 } rows++ } }
		/^\.It e2-standard-2/ { for (i = 2; i <= 3; i++) { if (!near($i, 1e9 / rate[i] / 3600 * 0.067)) { print $0; bad = 1 } rows++ } }
		END { exit bad || rows != 6 }' "$page"
	grep -q "the $(sed -n 's/^\.It their vCPUs.* //p' "$page") of $(sed -n 's/^\.It instances of 2 cores.* //p' "$page") e2-standard-2" "$page"
	grep -q '22,500 of 400, or 13,000 of 1 KiB' "$page" # the rates that the rows divide by
	grep -q 'max_instances *= optional(number, 10)' "$ROOT/terraform/variables.tf"
	grep -q '^(10)\.$' "$page"
	grep -q 'messages_per_instance *= optional(number, 300000)' "$ROOT/terraform/variables.tf"
	grep -q '^is 300,000' "$page"
}
