# shellcheck shell=bash disable=SC2154 # the script brings what is not assigned here
# chain: what the scripts that run a whole chain share: messages, options, finding tools, starting stages, watching them, and
# ending with all of them. Sourced; the script brings:
#
#	prog, here            its name and folder
#	opt, kind             defaults and kinds of its options; usage()
#	more_option ARG...    if it likes: takes an option of its own ways: `taken` arguments; 1 where it is none
#	early                 its status when it is stopped before anything was taken (75)
#	own_env               names of the environment that mean something to it besides its options
#	source_name           the stage that takes from outside and gives back what is not receipted
#	lost                  what becomes of what is on its way, for messages
#
# Every stage is a job of its own, so that its death is seen and its status known. The pipes between them are FIFOs, opened once,
# each job getting only the ends it needs: an end held by anybody else would hide an EOF.

declare -A given=() # options of the command line
declare -F more_option >/dev/null || more_option() { return 1; }

exec {err}>&2 # also where bash's own notices of dead jobs are kept out

say() { # LEVEL TEXT: 0 error, 1 warning, 2 information, 3 detail
	(($1 <= 2 + opt[verbose] - opt[quiet])) || (($1 == 0)) || return 0
	local text=$2 severity=(ERROR WARNING INFO DEBUG) now
	if [[ ${opt[log-format]} == json ]]; then
		text=${text//\\/\\\\} text=${text//\"/\\\"} text=${text//[[:cntrl:]]/ }
		TZ=UTC printf -v now '%(%Y-%m-%dT%H:%M:%SZ)T' -1
		printf '{"severity":"%s","time":"%s","prog":"%s","message":"%s"}\n' "${severity[$1]}" "$now" "$prog" "$text" >&"$err"
	else
		(($1 != 1)) || text="warning: $text"
		[[ -z ${EVPIPE_PROGRESS-} || ! -t $err ]] || printf '\r\033[K' >&"$err" # the line that ev-read redraws
		printf '%s: %s\n' "$prog" "$text" >&"$err"
	fi
}

die() { # STATUS TEXT
	say 0 "$2"
	exit "$1"
}

refuse() {
	die 64 "$1; see $prog --help"
}

# ---- options: the command line, then the environment file, then the environment, then the defaults ------------------

valid() { # NAME VALUE: sets why where it is not
	local k=${kind[$1]} v=$2
	why=
	case $k in
	any) ;;
	text) [[ -n $v ]] || why='it is empty' ;;
	count) [[ $v =~ ^[0-9]{1,12}$ ]] || why='it is no whole number' ;;
	seconds) [[ $v =~ ^[0-9]{1,9}(\.[0-9]{1,6})?$ ]] || why='it is no number of seconds' ;;
	size) [[ $v =~ ^[0-9]{1,12}([KMG](i?B)?)?$ ]] || why='it is no size such as 1000, 64M or 16MiB' ;;
	*) [[ -n $v && $v != *'|'* && "|$k|" == *"|$v|"* ]] || why="it is one of $k" ;;
	esac
	[[ -z $why ]]
}

take() { # NAME VALUE
	[[ -z ${given[$1]-} ]] || refuse "cannot take --$1 twice"
	valid "$1" "$2" || refuse "cannot take '$2' for --$1: $why"
	given[$1]=1
	opt[$1]=$2
}

parse() {
	local name
	for name in "$@"; do
		case $name in
		-h | --help) usage && exit 0 ;;
		-V | --version)
			name=$(version) || exit
			printf '%s (evpipe) %s\n' "$prog" "$name"
			exit 0
			;;
		esac
	done
	while (($# > 0)); do
		case $1 in
		--verbose) opt[verbose]=$((opt[verbose] + 1)) && shift && continue ;;
		--quiet) opt[quiet]=$((opt[quiet] + 1)) && shift && continue ;;
		--?*) ;;
		'' | - | [!-]*) refuse "cannot take '$1': it takes no operands" ;;
		-*[!vq]* | --) refuse "cannot take '$1': no such option" ;;
		*)
			local v=${1//[!v]/} q=${1//[!q]/}
			opt[verbose]=$((opt[verbose] + ${#v})) opt[quiet]=$((opt[quiet] + ${#q}))
			shift && continue
			;;
		esac
		name=${1#--} name=${name%%=*}
		taken=0
		if more_option "$@"; then
			shift "$taken"
			continue
		fi
		[[ -n ${kind[$name]-} ]] || refuse "cannot take '$1': no such option"
		if [[ ${kind[$name]} == flag ]]; then
			[[ $1 != *=* ]] || refuse "cannot take '$1': --$name takes no value"
			opt[$name]=1
			shift
		elif [[ $1 == *=* ]]; then
			take "$name" "${1#*=}"
			shift
		else
			(($# > 1)) || refuse "cannot take --$name: it wants a value"
			take "$name" "$2"
			shift 2
		fi
	done
}

# Whether EVPIPE_ROTATE_SECONDS and the like mean anything to us.
known() { # KEY
	local name=${1#EVPIPE_}
	name=${name,,} name=${name//_/-}
	[[ " EVPIPE_BIN EVPIPE_DATADIR ${own_env-} " == *" $1 "* || ( $1 != *[a-z]* && -n ${kind[$name]-} && ${kind[$name]} != flag && $name != env-file ) ]]
}

# EVPIPE_ROTATE_SECONDS=60 is --rotate-seconds 60; other names go into the environment of the stages as they are.
read_env_file() {
	local file=${opt[env-file]} line n=0 key value
	[[ -n $file ]] || return 0
	[[ -f $file && -r $file ]] || die 66 "cannot read '$file': there is no such file, or it may not be read"
	while IFS= read -r line || [[ -n $line ]]; do
		n=$((n + 1))
		[[ $line =~ ^[[:space:]]*(#.*)?$ ]] && continue
		[[ $line =~ ^[[:space:]]*([A-Za-z_][A-Za-z0-9_]*)=(.*[^[:space:]]|)[[:space:]]*$ ]] ||
			die 78 "cannot read '$file': line $n is not KEY=VALUE"
		key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
		if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then
			value=${BASH_REMATCH[1]}
		fi
		case $key in
		PATH | IFS | ENV | SHELL | SHELLOPTS | BASH* | LD_*) die 78 "cannot read '$file': line $n sets $key, which is not this file's to set" ;;
		esac
		[[ $key != EVPIPE_* ]] || known "$key" || strangers+=("'$key' in line $n of '$file' is no option of $prog")
		export "$key=$value"
	done <"$file"
}

from_environment() {
	local name key
	for name in "${!kind[@]}"; do
		key=${name^^} key=EVPIPE_${key//-/_}
		[[ -z ${given[$name]-} && -n ${!key-} && ${kind[$name]} != flag && $name != env-file ]] || continue
		valid "$name" "${!key}" || die 78 "cannot take '${!key}' for $key: $why"
		opt[$name]=${!key}
	done
	for name in "${strangers[@]}"; do say 1 "$name"; done
}

bytes() { # SIZE
	local n=${1%%[KMG]*}
	case $1 in
	*K*) echo $((10#$n * 1024)) ;;
	*M*) echo $((10#$n * 1024 * 1024)) ;;
	*G*) echo $((10#$n * 1024 * 1024 * 1024)) ;;
	*) echo $((10#$n)) ;;
	esac
}

# Half in an emulator, half in the real project: somebody's test rows would end up in somebody's report.
check_endpoints() {
	local name set=() unset=()
	for name in PUBSUB_EMULATOR_HOST BIGQUERY_EMULATOR_HOST STORAGE_EMULATOR_HOST; do
		if [[ -n ${!name-} ]]; then set+=("$name"); else unset+=("$name"); fi
	done
	((${#set[@]} == 0 || ${#unset[@]} == 0)) ||
		die 78 "cannot start: emulated and real services are mixed: ${set[*]} set, ${unset[*]} not; set all or none"
}

# ---- finding things --------------------------------------------------------------------------------------------------

find_tools() {
	local place
	for place in "${EVPIPE_BIN-}" "$here/../build" "$here"; do
		if [[ -n $place && -x $place/$source_name ]]; then
			bin=$(cd "$place" && pwd)/
			return
		fi
	done
	bin=
	command -v "$source_name" >/dev/null || die 69 "cannot find '$source_name': it is not built; run make in $(dirname "$here")"
}

find_schemas() {
	if [[ -n ${opt[schemas]} ]]; then
		export EVPIPE_SCHEMAS=${opt[schemas]}
	elif [[ -z ${EVPIPE_SCHEMAS-} && ! -e schemas.json && -r $here/../schemas.json ]]; then
		EVPIPE_SCHEMAS=$(cd "$here/.." && pwd)/schemas.json
		export EVPIPE_SCHEMAS
	fi
}

version() {
	find_tools
	local v
	v=$("$bin$source_name" --version) && printf '%s\n' "${v##* }"
}

needs() {
	((BASH_VERSINFO[0] > 5 || (BASH_VERSINFO[0] == 5 && BASH_VERSINFO[1] >= 1))) ||
		die 69 "cannot start: bash $BASH_VERSION is too old; 5.1 or newer is needed"
	command -v setpriv >/dev/null || die 69 "cannot find 'setpriv': install util-linux"
}

# ---- the stages ------------------------------------------------------------------------------------------------------

common=() network=() # options of every stage, and of those with a network

common_options() { # [RETRY-FOR]
	local i retry=${1-${opt[retry-for]}}
	common=(--log-format "${opt[log-format]}")
	for ((i = 0; i < opt[verbose]; i++)); do common+=(-v); done
	for ((i = 0; i < opt[quiet]; i++)); do common+=(-q); done
	network=("${common[@]}" --project "${opt[project]}")
	[[ -z ${opt[credentials]} ]] || network+=(--credentials "${opt[credentials]}")
	[[ -z ${opt[access-token-file]} ]] || network+=(--access-token-file "${opt[access-token-file]}")
	[[ -z $retry ]] || network+=(--retry-for "$retry")
}

# Runs "$@" as a job that dies with this script, in a process group of its own: a terminal's ^C is for the script alone.
# (PDEATHSIG is set after the fork: should the script have died in between, the parent is another.)
ends=()
start() { # STDIN STDOUT "FD..." COMMAND...
	local in=$1 out=$2 keep=$3
	shift 3
	set -m
	(
		trap - TERM INT HUP PIPE
		exec <&"$in" >&"$out" {err}>&-
		for fd in "${ends[@]}"; do
			[[ " $keep " == *" $fd "* ]] || exec {fd}>&-
		done
		# shellcheck disable=SC2016
		exec setpriv --pdeathsig KILL sh -c '[ "$PPID" = "$0" ] && exec "$@"' "$$" "$@"
	) &
	set +m
}

# A stage's --check, in the background; what it says is kept. check_end waits for all: a wrong bucket is found before a row is
# stored.
declare -A checking=()
checked=()
check_begin() { # NAME COMMAND...
	local null name=$1
	exec {null}<>/dev/null
	start "$null" "$null" '' "${@:2}" --check 2>"${dir:?}/check.$name"
	checking[$name]=$!
	checked+=("$name")
	exec {null}>&-
}

check_end() {
	local name failed=0 status
	for name in "${checked[@]}"; do
		wait "${checking[$name]}" 2>/dev/null
		status=$?
		((status != 0 || opt[verbose] > 0)) && cat "$dir/check.$name" >&2
		((status == 0)) && continue
		[[ -s $dir/check.$name ]] || say 0 "cannot check '$name': it $(ended_how "$status")"
		((failed != 0)) || failed=$status
	done
	return "$failed"
}

# A FIFO NAME: the descriptors NAME_r and NAME_w. Opening it both ways first keeps the two from waiting for each other.
pipe() {
	local fifo=${dir:?}/$1 both r w
	mkfifo -m 0600 "$fifo" || exit 74
	exec {both}<>"$fifo"
	exec {r}<"$fifo"
	exec {w}>"$fifo"
	exec {both}>&-
	printf -v "$1_r" %d "$r"
	printf -v "$1_w" %d "$w"
	ends+=("$r" "$w")
}

declare -A name_of=() # of the stages that run, by process id
source_pid=

launch() { # NAME STDIN STDOUT "FD..." COMMAND...
	start "${@:2}"
	name_of[$!]=$1
	say 3 "started $1 as process $!"
}

# Behind the last launch, which is the source's.
launched() {
	local fd
	source_pid=$!
	for fd in "${ends[@]}"; do exec {fd}>&-; done
	ends=()
}

# ---- watching, and ending ----------------------------------------------------------------------------------------------

ended_how() { # STATUS
	if (($1 > 128)) && kill -l $(($1 - 128)) >/dev/null 2>&1; then
		echo "was killed by signal $(($1 - 128)) ($(kill -l $(($1 - 128))))"
	else
		echo "ended with $1"
	fi
}

phase=running # running, draining, ending (the sinks got one TERM), ended (two), killed (KILL), over (the source too)
deadline=     # of the phase, by uptime
ticker=       # a sleep that wakes `wait -n`, and how long it is
ticker_every=

uptime() { # hundredths of a second; it does not jump when somebody sets the clock
	local up
	read -r up _ </proc/uptime
	now=${up/./}
}

set_deadline() { # SECONDS
	uptime
	deadline=$((now + 100 * 10#${1%.*}))
	[[ $1 != *.* ]] || deadline=$((deadline + 10#$(printf '%.2s' "${1#*.}0")))
	doze 0.1
}

# A job that only ends. A signal's handler can run just before a `wait -n` that knows nothing of the new deadline: what it
# starts wakes that one too.
doze() { # SECONDS
	exec {null}<>/dev/null
	start "$null" "$null" '' sleep "$1"
	exec {null}>&-
}

tick() {
	local every=0.1
	[[ $phase != running ]] || every=30
	if [[ -n $ticker && $every == "$ticker_every" ]] && kill -0 "$ticker" 2>/dev/null; then
		return
	fi
	stop_ticker
	doze "$every"
	ticker=$! ticker_every=$every
}

stop_ticker() {
	if [[ -n $ticker ]]; then
		disown "$ticker"
		kill -KILL "$ticker"
	fi
	ticker=
}

signal_sinks() { # SIGNAL
	local pid
	for pid in "${!name_of[@]}"; do
		[[ $pid == "$source_pid" ]] || tell "$1" "$pid"
	done
}

declare -A told=() # the statuses that are our own doing

# So that what a process ends with because of us is not taken for a failure of its own.
tell() { # SIGNAL PID
	kill -"$1" "$2" 2>/dev/null || return 0
	told[$2]="${told[$2]-} 75 $((128 + $(kill -l "$1"))) "
}

# The source takes no more; EOF runs down the chain behind it.
begin_drain() {
	[[ $phase == running ]] || return 0
	phase=draining
	[[ -z ${name_of[$source_pid]-} ]] || tell TERM "$source_pid"
	set_deadline "${opt[drain]}"
}

# Time is up: first the sinks, so that the source sees its acks end.
escalate() {
	case $phase in
	draining)
		say 1 "not drained in ${opt[drain]} s: ending the sinks; $lost"
		end_now
		;;
	ending) signal_sinks TERM && phase=ended && set_deadline 1 ;;
	ended)
		# The source's second signal: it ends without waiting for anybody.
		signal_sinks KILL && phase=killed && set_deadline 6
		kill -TERM "$source_pid" 2>/dev/null
		;;
	killed)
		phase=over
		say 0 "cannot end $source_name in time: killing it; $lost"
		tell KILL "$source_pid"
		;;
	esac
}

end_now() {
	phase=ending
	signal_sinks TERM
	set_deadline 0.2
}

# Stopped before anything was taken: what the checks have said so far tells why it took so long.
leave_checks() { # SIGNAL
	cat "$dir"/check.* >&2 2>/dev/null
	say 2 "got SIG$1 before anything was read"
	[[ -z ${opt[check]} ]] || exit 75
	exit "${early:-75}"
}

first_signal=
on_signal() { # NAME
	local now=${EPOCHREALTIME/[.,]/}
	if [[ -z $source_pid ]]; then
		leave_checks "$1"
	elif [[ -z $first_signal ]]; then
		first_signal=$now
		say 2 "got SIG$1: stopping; what is on its way is finished first"
		begin_drain
	elif ((now - first_signal >= 2000000)) && [[ $phase == draining ]]; then
		say 2 "got SIG$1 again: ending at once"
		end_now
	fi
}

killed='' failed='' pipes='' source_status=0
record() { # PID STATUS
	local pid=$1 status=$2 name=${name_of[$1]} level=0
	unset "name_of[$pid]"
	[[ $pid != "$source_pid" ]] || source_status=$status
	# Our signal came before it had begun.
	[[ $pid != "$source_pid" || ${told[$pid]-} != *" $status "* || $status -le 128 ]] || source_status=75 pipes=75
	if ((status == 0)); then
		say 3 "$name ended well"
		return
	fi
	if [[ ${told[$pid]-} == *" $status "* ]]; then
		level=3
	elif ((status == 74 || status == 141)) && [[ $phase == ending || $phase == ended || $phase == killed ]]; then
		level=3 # its neighbour was ended by us
	elif ((status == 74 || status == 141)); then
		: "${pipes:=$status}"
		[[ -z $killed$failed && (-n ${name_of[$source_pid]-} || $source_status != 0) ]] || level=3
	elif [[ $pid == "$source_pid" ]] && ((status == 75)); then
		: # not all had its receipt: whoever ended before that says why
	elif ((status > 128)); then
		: "${killed:=$status}"
	else
		: "${failed:=$status}"
	fi
	say $level "$name $(ended_how "$status")"
	[[ $phase != running || $level == 3 ]] || say 2 "ending the chain; $lost"
	begin_drain
}

# The first failure other than a broken pipe; then a broken pipe, unless the source has a receipt for everything; then what the
# source says.
verdict() {
	if [[ -n $killed$failed ]]; then
		return "${killed:-$failed}"
	fi
	((source_status != 0)) || return 0
	return "${pipes:-$source_status}"
}

# `wait -n` tells of one job; others that died meanwhile it may never tell of, for bash has ticked them off as notified.
# So it only wakes us: whoever is gone is then asked for by name, and a ticker bounds what one may sleep through.
watch() {
	local pid status
	while ((${#name_of[@]} > 0)); do
		sweep
		((${#name_of[@]} > 0)) || break
		tick
		pid=
		wait -n -p pid
		status=$?
		if [[ -n ${pid-} && -n ${name_of[$pid]-} ]]; then
			[[ $pid == "$source_pid" ]] || collect "$source_pid"
			record "$pid" "$status"
		fi
		uptime
		if [[ -n $deadline ]] && ((now >= deadline)); then
			deadline=
			escalate
		fi
	done
	stop_ticker
}

collect() { # PID: if it is gone
	[[ -n ${name_of[$1]-} ]] && ! kill -0 "$1" 2>/dev/null || return 0
	wait "$1" 2>/dev/null
	record "$1" $?
}

# The source first: if it has ended well, a broken pipe elsewhere is no failure.
sweep() {
	local pid
	for pid in "$source_pid" "${!name_of[@]}"; do collect "$pid"; done
}

cleanup() {
	local pid
	[[ -z ${dir-} ]] || rm -rf "$dir"
	for pid in "${!name_of[@]}" $ticker; do kill -KILL "$pid" 2>/dev/null; done
}

# The run's folder, and what becomes of signals from here on.
set_up() {
	trap '' PIPE # a reader of our messages that leaves must not end us
	dir= # not the environment's, which cleanup would remove
	trap cleanup EXIT
	dir=$(mktemp -d "${TMPDIR:-/tmp}/evpipe-${prog#evpipe-}.XXXXXXXX") || exit 74
	trap 'on_signal TERM' TERM
	trap 'on_signal INT' INT
	trap 'on_signal HUP' HUP
}
