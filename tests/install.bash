# shellcheck shell=bash
# Installing what was built, without touching the build: other folders are compiled in, so a copy of the objects is linked anew.
# Sourced after ../lib.bash.

# make_install VARIABLE=VALUE...
make_install() {
	local copy=$BATS_FILE_TMPDIR/build log=$BATS_FILE_TMPDIR/install.log
	if [ ! -d "$copy" ]; then
		mkdir "$copy"
		cp -a "$B/lib" "$B/cmd" "$copy"
	fi
	env -u MAKEFLAGS -u MAKELEVEL make -s -j2 -C "$ROOT" B="$copy" "$@" install >"$log" 2>&1 || { cat "$log"; return 1; }
}

# Why nothing can be laid over this machine's root, or nothing. A layer is in memory, and gone with its last process.
no_layer() {
	if [ "$(id -u)" != 0 ] || ! command -v unshare pivot_root findmnt >/dev/null; then
		echo 'laying something over this root needs root and util-linux'
	elif ! mkdir -p layer || ! unshare --mount sh -ec "$LAYER" sh "$PWD/layer" 2>/dev/null; then
		echo 'no overlay may be mounted here'
	fi
}

# For sh in a mount namespace of its own, $1 an empty folder: goes to a new root in memory over this one; what is in $2 is in it.
LAYER='
mount -t tmpfs -o mode=755 tmpfs "$1"
cd "$1"
mkdir upper work root
[ -z "${2-}" ] || cp -a "$2/." upper
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
cd root
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/shm dev/pts run/old
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
for d in null zero full random urandom tty; do touch dev/$d; mount --bind /dev/$d dev/$d; done
pivot_root . run/old
'
