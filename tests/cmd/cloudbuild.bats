#!/usr/bin/env bats
# cloudbuild.yaml, offline: that it is what Cloud Build takes, and that lint and tests stand before the image, the image before the
# registry, and the registry before the machines.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	file=${CLOUDBUILD:-$ROOT/cloudbuild.yaml}
	sed -E 's/(^|[[:space:]])#.*//' "$file" >plain
}

# steps: a line for each, ID IMAGE WAITS-FOR...
steps() {
	awk '/^[a-z]/ { inside = $1 == "steps:" }
		!inside { next }
		/^  - id: / { if (id != "") print id, name, waits; id = $3; name = "-"; waits = "nothing-said" }
		/^    name: / { name = $2 }
		/^    waitFor: / { waits = $0; sub(/.*: /, "", waits); gsub(/[][,'\'']/, " ", waits) }
		END { print id, name, waits }' plain
}

# before STEP: what must have ended well before it starts, near or far
before() {
	local todo=("$1") seen=' ' step wait
	while ((${#todo[@]} > 0)); do
		step=${todo[0]} todo=("${todo[@]:1}")
		for wait in $(steps | awk -v id="$step" '$1 == id { $1 = $2 = ""; print }'); do
			[[ $wait == - || $seen == *" $wait "* ]] || { seen+="$wait " && todo+=("$wait"); }
		done
	done
	echo "$seen"
}

runs() { # STEP PATTERN: in its part of the file
	awk -v id="$1" '/^  - id: / { inside = $3 == id } /^[a-z]/ { inside = 0 } inside' plain | grep -qE -- "$2"
}

@test "every step says what it waits for, and that exists; builders are of a named version" {
	steps >all
	cat all
	[ "$(cut -d ' ' -f 1 all | paste -sd ' ')" = 'test image try push plan rehearse deploy settled' ]
	while read -r id name waits; do
		[[ $name =~ :[0-9]+[0-9.]*(-[a-z]+)?$ ]] || { echo "$id: $name is no named version"; return 1; }
		for wait in $waits; do
			[ "$wait" = - ] || cut -d ' ' -f 1 all | sed "/^$id\$/,\$d" | grep -qx -- "$wait" || { echo "$id waits for $wait"; return 1; }
		done
	done <all
}

@test "tests gate the image, the image what is pushed, the push what is deployed" {
	runs test 'scripts/check$'
	grep -q 'scripts/lint' "$ROOT/scripts/check" # which lints, too
	runs image 'docker build .*VERSION=.*REVISION='
	runs push '- push$'
	runs deploy 'terraform apply'
	[[ $(before image) == *' test '* ]]
	[[ $(before test) == ' ' ]]
	[[ $(before try) == *' image '* ]]
	[[ $(before push) == *' try '* ]]
	[[ $(before plan) == *' push '* ]]
	[[ $(before rehearse) == *' plan '* ]]
	[[ $(before deploy) == *' rehearse '* ]]
	[[ $(before settled) == *' deploy '* ]]
	for step in test image try push plan rehearse deploy settled; do
		run -1 runs "$step" 'allowFailure|allowExitCodes'
	done
	# what is tried, pushed and deployed is what was built
	[ "$(grep -oE '\$\{_REGION\}-docker[^ ]*' plain | sort | uniq -c | awk '{ print $1, $2 }')" = \
		'4 ${_REGION}-docker.pkg.dev/$PROJECT_ID/${_REPOSITORY}/evpipe:$COMMIT_SHA
3 ${_REGION}-docker.pkg.dev/$PROJECT_ID/${_REPOSITORY}/evpipe:deployed-$COMMIT_SHA' ]
	runs rehearse 'docker tag "\$\$BUILT" "\$\$IMAGE"'
	grep -q 'tag_prefixes = \["deployed-"\]' "$ROOT/terraform/main.tf" # what runs is never cleaned up
	# an `images:` list would be pushed behind everything, whatever happened before
	run -1 grep -q '^images:' plain
}

# script STEP: what its shell gets
script() {
	awk -v id="$1" '/^  - id: / { inside = $3 == id; text = 0 } /^[a-z]/ { inside = 0 } inside && text; inside && /^      - \|$/ { text = 1 }' "$file" |
		sed 's/^        //; s/\$\$/$/g'
}

# planned ACTIONS [TYPE]: the plan's step with a terraform of our own, whose plan does ACTIONS to something of TYPE
planned() {
	export ACTIONS=$1 TYPE=${2:-google_compute_region_instance_group_manager}
	mkdir -p bin
	cat >bin/terraform <<-'END'
		#!/bin/sh
		echo "$*" >>asked
		case "$1 $2" in
		'state list') [ -z "$STATE" ] || echo module.fleet ;;
		'plan '*) exit "$STATUS" ;;
		'show -json') # a template is always replaced
			change='{"address":"a","type":"%s","change":{"actions":[%s],"before":{}}}'
			printf '{"planned_values":{},"resource_changes":['"$change,$change"'],"output_changes":{"image":{"actions":["delete"]}}}\n' \
				google_compute_region_instance_template '"create","delete"' "$TYPE" "$ACTIONS"
			;;
		'output -raw') echo EVPIPE_PROJECT=p ;;
		esac
	END
	chmod +x bin/terraform
	rm -f asked stream.env
	script plan >plan.sh
	[ -s plan.sh ]
	PATH=$PWD/bin:$PATH BRANCH=${BRANCH-main} DEPLOY_BRANCH=main STATE_BUCKET=${BUCKET-b} VAR_FILE=v PROJECT=p REGION=r IMAGE=i \
		STATUS=${STATUS-2} STATE=${STATE-1} sh -eu plan.sh
}

@test "a deployment is refused without a state, and where it would delete what runs" {
	run -0 planned '"update"'
	[ -s stream.env ]
	grep -e '-out=plan .*-target=module.fleet' asked
	STATUS=0 run -0 planned '"no-op"'
	[ -s stream.env ]
	STATUS=1 run -1 planned '"update"'
	STATE='' run -1 planned '"create"'
	[[ $output == *'there is no state'* ]]
	run -1 grep '^plan' asked
	for actions in '"delete"' '"delete","create"' '"create","delete"'; do
		run -1 planned "$actions"
		[[ $output == *'deletes what runs'* ]]
		[ ! -e stream.env ]
	done
	run -1 planned '"delete"' google_cloud_run_v2_job
	# another branch, or no deployments at all: nothing is asked, and the steps behind have nothing to do
	for setting in BRANCH=other BUCKET=; do
		(export "${setting?}" && planned '"update"')
		[ ! -e asked ]
		[ ! -e stream.env ]
	done
	for step in rehearse deploy settled; do
		script "$step" >"$step.sh"
		PATH=$PWD/bin:$PATH bash -eu "$step.sh"
	done
	[ ! -e asked ]
}

@test "nothing is deployed that would not start, and what does not stay up fails the build" {
	mkdir bin
	cat >bin/docker <<-'END'
		#!/bin/sh
		echo "$*" >>asked
		[ "$1" != run ] || { [ "$TOKEN" = secret ] && exit "$CHECK"; }
	END
	cat >bin/gcloud <<-'END'
		#!/bin/sh
		echo "$*" >>asked
		case "$*" in
		'auth print-access-token '*) echo secret ;;
		*' managed list '*) echo evpipe-stream ;;
		'logging read '*) echo "$STARTED" ;;
		*' list-instances '*) printf '%s\n' RUNNING $STATES ;;
		esac
	END
	ln -s /bin/true bin/sleep
	chmod +x bin/*
	for step in rehearse settled; do script "$step" >"$step.sh"; done
	echo EVPIPE_PROJECT=p >stream.env
	export PATH=$PWD/bin:$PATH BUILT=built IMAGE=deployed ACCOUNT=a CLOUDSDK_COMPUTE_REGION=r
	CHECK=78 run -78 bash -eu rehearse.sh
	run -1 grep '^push' asked
	CHECK=0 run -0 bash -eu rehearse.sh
	grep -x 'tag built deployed' asked
	grep -x 'push deployed' asked
	run -1 grep secret asked # a token is on no command line
	STARTED=id STATES=RUNNING run -0 bash -eu settled.sh
	grep -e '--stable' asked
	STARTED='' STATES=RUNNING run -1 bash -eu settled.sh
	[[ $output == *'no machine has logged'* ]]
	STARTED=id STATES='RUNNING TERMINATED' run -1 bash -eu settled.sh
}

@test "every substitution has a default and a use; an account of its own, an end, logs it may write" {
	awk '/^[a-z]/ { inside = $1 == "substitutions:"; next } inside && NF { sub(":", "", $1); print $1 }' plain | sort >defaults
	sed '/^substitutions:/,/^[a-rt-z]/d' plain | grep -oE '(^|[^$])\$\{?_[A-Z_]+' | grep -oE '_[A-Z_]+' | sort -u >used
	diff defaults used
	# of Cloud Build's own, those that a push gives a value
	run -1 grep -vxE 'PROJECT_ID|COMMIT_SHA|BRANCH_NAME' <(grep -oE '(^|[^$])\$\{?[A-Z]+_[A-Z]+' plain | grep -oE '[A-Z]+_[A-Z]+')
	grep -qE '^serviceAccount: projects/\$PROJECT_ID/serviceAccounts/.+@\$PROJECT_ID\.iam\.gserviceaccount\.com$' plain
	grep -qE '^timeout: [0-9]+s$' plain
	grep -qE '^  logging: (CLOUD_LOGGING_ONLY|GCS_ONLY|NONE)$' plain # the ones that an account of its own allows
}

@test "what its steps name is there: scripts, the repository, the modules and variables of terraform" {
	for name in scripts/lint scripts/check; do [ -x "$ROOT/$name" ]; done
	grep -q 'repository_id = "evpipe"' "$ROOT/terraform/main.tf"
	for name in $(grep -oE -- '-target=module\.[a-z]+' plain | sed 's/.*\.//'); do grep -q "^module \"$name\"" "$ROOT"/terraform/*.tf; done
	for name in $(grep -oE -- '-var="[a-z]+' plain | sed 's/.*"//'); do grep -q "^variable \"$name\"" "$ROOT"/terraform/*.tf; done
	grep -q 'name *= "evpipe-stream"' "$ROOT/terraform/modules/fleet/main.tf"
	runs settled 'dead letters to' # what says that the chain runs is what scripts/stream says, to whom it is not told to be quiet
	grep -qE "^	say 2 .*dead letters to" "$ROOT/scripts/stream"
}

@test "it is YAML, and has no key that Cloud Build does not know" {
	python3 -c 'import yaml' 2>/dev/null || skip 'there is no python3 with yaml here'
	python3 - "$file" <<-'END'
		import sys, yaml
		build = yaml.safe_load(open(sys.argv[1]))
		strange = set(build) - set("steps timeout queueTtl logsBucket options substitutions tags serviceAccount secrets availableSecrets artifacts images".split())
		strange |= set(build["options"]) - set("env machineType diskSizeGb substitutionOption dynamicSubstitutions logging pool".split())
		for step in build["steps"]:
		    strange |= set(step) - set("name args env dir id waitFor entrypoint secretEnv volumes timeout script".split())
		    assert not ("script" in step and ("args" in step or "entrypoint" in step)), step["id"]
		    assert all(isinstance(s, str) for key in ("args", "env", "waitFor") for s in step.get(key, [])), step["id"]
		assert not strange, strange
		assert all(isinstance(v, str) for v in build["substitutions"].values())
	END
}
