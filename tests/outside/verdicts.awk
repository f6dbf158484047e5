# Compares what ev-validate's linter says with a list of expected verdicts, line by line. Run under LC_ALL=C.
#
#	awk -f verdicts.awk NAME.expected.tsv lint.txt
#
# The list: line number, table (or -), then "ok" or all faults as code@path, comma-separated. The linter gives an
# event's first 32 in the order of path, then code, so the list is brought into that order and cut there.
# Prints "N lines, N differences" and the first ten.
function in_order(list,   n, part, key, i, k, out) {
	n = split(list, part, ",")
	for (i = 1; i <= n; i++) {
		k = index(part[i], "@") ? substr(part[i], index(part[i], "@")) "\001" part[i] : part[i]
		for (j = i - 1; j > 0 && key[j] > k; j--)
			key[j + 1] = key[j]
		key[j + 1] = k
	}
	for (i = 1; i <= n && i <= 32; i++) {
		sub(/^.*\001/, "", key[i])
		out = out (i > 1 ? "," : "") key[i]
	}
	return out
}
FNR == 1 { file++ }
file == 1 {
	split($0, column, "\t")
	want[column[1]] = in_order(column[3])
	lines++
	next
}
match($0, /^stdin:[0-9]+: [a-z_]+/) {
	head = substr($0, 7, RLENGTH - 6)
	rest = substr($0, RLENGTH + 1)
	line = head + 0
	sub(/^[0-9]+: /, "", head)
	if (rest ~ /^ at \//) {
		sub(/^ at /, "@", rest)
		sub(/: .*/, "", rest)
		head = head rest
	}
	got[line] = got[line] (got[line] == "" ? "" : ",") head
}
END {
	for (i = 1; i <= lines; i++) {
		verdict = i in got ? got[i] : "ok"
		if (verdict == want[i])
			continue
		if (differences++ < 10)
			printf "line %d\n  want %s\n  got  %s\n", i, want[i], verdict
	}
	printf "%d lines, %d differences\n", lines, differences
	exit differences > 0
}
