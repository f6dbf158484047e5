# shellcheck shell=bash
# What the tests of terraform/ share: terraform against the google provider's schema, without a cloud. Sourced after lib.bash.

export TF_CHECK=$ROOT/../shared/tools/tf-provider/tf-check

# tf_check DIR: fmt, validate and test: with the schema that lies beside the tree, else with the provider itself.
tf_check() {
	if [ -x "$TF_CHECK" ]; then
		"$TF_CHECK" "$1"
		return
	fi
	command -v terraform >/dev/null || return 77
	export CHECKPOINT_DISABLE=1 TF_DATA_DIR=$BATS_FILE_TMPDIR/tf TF_PLUGIN_CACHE_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/evpipe-terraform
	mkdir -p "$TF_PLUGIN_CACHE_DIR"
	terraform -chdir="$1" fmt -check -recursive -diff &&
		terraform -chdir="$1" init -backend=false -input=false -no-color >/dev/null &&
		terraform -chdir="$1" validate -no-color && terraform -chdir="$1" test -no-color
}

# Says why terraform cannot be asked here; nothing where it can.
tf_missing() {
	local dir=$BATS_FILE_TMPDIR/probe
	command -v terraform >/dev/null || { echo 'there is no terraform here'; return; }
	mkdir -p "$dir"
	cp "$ROOT/terraform/versions.tf" "$dir"
	timeout 180 bash -c "$(declare -f tf_check)"'; tf_check "$0"' "$dir" >"$dir.log" 2>&1 ||
		echo "there is terraform, but neither the google provider nor its schema: $(grep -m 1 Error "$dir.log" || tail -n 1 "$dir.log")"
}

# tf_states DIR FOLDER [FILE]: runs the tests of DIR, or of its tests/FILE alone, and leaves what each run made in FOLDER/RUN.json.
tf_states() {
	local status=0
	mkdir -p "$2"
	TF_CLI_ARGS_test="-json -verbose${3:+ -filter=tests/$3}" timeout 180 bash -c "$(declare -f tf_check)"'; tf_check "$0"' "$1" >"$2/log" 2>&1 || status=$?
	grep '"type":"test_state"' "$2/log" | jq -c '{run: ."@testrun", resources: [.test_state | .. | objects
		| select(.address? and .type? and .values?) | {address, type, name, index, values}]}' >"$2/states"
	jq -r .run "$2/states" | while read -r run; do
		jq -c --arg run "$run" 'select(.run == $run).resources' "$2/states" >"$2/$run.json"
	done
	return "$status"
}

# What went wrong, from tf_states' log.
tf_errors() {
	{ grep -v '^{' "$1/log" || true; sed -n '/^{/p' "$1/log" | jq -r 'select(.diagnostic?.severity? == "error").diagnostic
		| .summary + ": " + .detail'; } | head -n 40
}

# tf_copy FOLDER: terraform/ there, with schemas.json beside it, as in the tree. init writes into what it works on.
tf_copy() {
	mkdir -p "$1"
	cp "$ROOT/schemas.json" "$1"
	cp -r "$ROOT/terraform" "$1"
}
