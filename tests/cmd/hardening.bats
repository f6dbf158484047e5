# What the tools are made of: position-independent, read-only after relocation, with canaries and checked copies.
load ../lib

setup() {
	plain_build
	command -v readelf >/dev/null || skip 'no readelf here'
}

tools() {
	find "$ROOT/cmd" -mindepth 1 -maxdepth 1 \( -name '*.c' -o -type d \) -printf '%f\n' | sed 's/\.c$//'
}

# each COMMAND...: for every tool; prints the names of those for which it fails.
each() {
	local tool bad=()
	for tool in $(tools); do
		"$@" "$B/$tool" || bad+=("$tool")
	done
	[[ ${#bad[@]} == 0 ]] || { printf 'not so: %s\n' "${bad[*]}" && return 1; }
}

is_pie() { readelf -hd "$1" | grep -q 'Type: *DYN' && readelf -d "$1" | grep -q 'FLAGS_1.*PIE'; }

has_full_relro() {
	readelf -lW "$1" | grep -q GNU_RELRO && readelf -d "$1" | grep -qE 'BIND_NOW|FLAGS_1.*NOW' &&
		! readelf -d "$1" | grep -q TEXTREL
}

has_plain_stack() { readelf -lW "$1" | grep -qE 'GNU_STACK.* RW +0x'; }

has_no_writable_code() { ! readelf -lW "$1" | grep -qE '^ *LOAD.* RWE '; }

has_no_path() { ! readelf -d "$1" | grep -qE 'RPATH|RUNPATH'; }

calls() { # FUNCTION TOOL
	readelf -sW "$2" | grep -qE "UND $1(@|\$)"
}

begins_with_endbr() { objdump -d --disassemble=main "$1" | grep -A 1 '<main>:' | grep -q endbr64; }

@test 'every tool is position-independent' { each is_pie; }

@test 'relocations are done at the start and then read-only' { each has_full_relro; }

@test 'no stack is executable, no code writable' {
	each has_plain_stack
	each has_no_writable_code
}

@test 'no tool looks for libraries in folders of its own' { each has_no_path; }

@test 'functions with buffers have canaries' { each calls __stack_chk_fail; }

@test 'copies are checked (_FORTIFY_SOURCE)' { each calls '__(v?snprintf|memcpy|v?asprintf|read|poll)_chk'; }

@test 'jumps land where they may (CET)' {
	[[ $(uname -m) == x86_64 ]] || skip 'this processor has something else'
	command -v objdump >/dev/null || skip 'no objdump here'
	each begins_with_endbr
}
