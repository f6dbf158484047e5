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
	[ "$(cut -d ' ' -f 1 all | paste -sd ' ')" = 'lint test image try push deploy settled' ]
	while read -r id name waits; do
		[[ $name =~ :[0-9]+[0-9.]*(-[a-z]+)?$ ]] || { echo "$id: $name is no named version"; return 1; }
		for wait in $waits; do
			[ "$wait" = - ] || cut -d ' ' -f 1 all | sed "/^$id\$/,\$d" | grep -qx -- "$wait" || { echo "$id waits for $wait"; return 1; }
		done
	done <all
}

@test "tests gate the image, the image what is pushed, the push what is deployed" {
	runs lint 'scripts/lint'
	runs test 'scripts/check$'
	runs image '- build$'
	runs push '- push$'
	runs deploy 'terraform apply'
	for step in lint test; do
		[[ $(before image) == *" $step "* ]]
		[[ $(before "$step") == ' ' ]]
	done
	[[ $(before try) == *' image '* ]]
	[[ $(before push) == *' try '* ]]
	[[ $(before deploy) == *' push '* ]]
	[[ $(before settled) == *' deploy '* ]]
	for step in lint test image try push deploy settled; do
		run -1 runs "$step" 'allowFailure|allowExitCodes'
	done
	# what is tried, pushed and deployed is what was built
	[ "$(grep -oE '\$\{_REGION\}-docker[^ ]*' plain | sort | uniq -c | awk '{ print $1, $2 }')" = \
		'4 ${_REGION}-docker.pkg.dev/$PROJECT_ID/${_REPOSITORY}/evpipe:$COMMIT_SHA' ]
	# an `images:` list would be pushed behind everything, whatever happened before
	run -1 grep -q '^images:' plain
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
	for name in scripts/setup scripts/lint scripts/check; do [ -x "$ROOT/$name" ]; done
	grep -q 'repository_id = "evpipe"' "$ROOT/terraform/main.tf"
	for name in $(grep -oE -- '-target=module\.[a-z]+' plain | sed 's/.*\.//'); do grep -q "^module \"$name\"" "$ROOT"/terraform/*.tf; done
	for name in $(grep -oE -- '-var="[a-z]+' plain | sed 's/.*"//'); do grep -q "^variable \"$name\"" "$ROOT"/terraform/*.tf; done
	grep -q 'name *= "evpipe-stream"' "$ROOT/terraform/modules/fleet/main.tf"
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
