# What sudo is told to run, word for word: nobody can change it on its way. It takes the $1 bytes on standard input to a
# directory that is root's alone, proves the first $2 of them (the raised stage) by their digest $3, and becomes them. The
# rest of the arguments are the recipe's places. On standard error it talks to the user's side, in lines of "pitcrew".
echo 'pitcrew began' >&2
deny() {
	printf 'pitcrew deny %s\n' "$1" >&2
	exit 125
}

[ "$(id -u)" = 0 ] || deny "it needs root, and sudo leads to user $(id -un)"
umask 077
unset CDPATH ENV BASH_ENV
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL

# guarded prints directory $1 as it really is called. It fails if anybody but root could put another one in its place:
# where others may write, on the way there, only root's sticky directories keep them from it.
guarded() (
	cd -P "$1" 2>/dev/null || exit 1
	pwd -P
	while :; do
		set -- $(ls -ldn .)
		case $3-$1 in
		0-d????[!w]??[!w]* | 0-d????????[tT]*) ;;
		*) exit 1 ;;
		esac
		[ "$(pwd -P)" != / ] || exit 0
		cd -P .. || exit 1
	done
)

# space prints what names the space of process numbers that we count in.
space() {
	set -- $(ls -Ldi /proc/self/ns/pid 2>/dev/null)
	echo "${1-}"
}

# clear removes from place $1 what raised steps that are dead, process and all, have left there, but for those of other containers,
# whose processes we do not see.
clear() {
	[ -d /proc/self ] || return 0
	for old in "$1/pitcrew-root.$space".*; do
		pid=${old#"$1/pitcrew-root.$space".} pid=${pid%%.*}
		[ ! -L "$old" ] && [ -d "$old" ] && [ -O "$old" ] && [ ! -e "/proc/$pid" ] || continue
		grep -qsF " $old/" /proc/mounts || rm -rf "$old"
	done
}

# room makes root's directory in place $1, and fails if it has no room for $2 KiB, or does not allow what $3 asks.
room() {
	room_at=$(guarded "$1") || { why='others could change it' && return 1; }
	clear "${room_at%/}"
	make_room "${room_at%/}" "pitcrew-root.$space.$$" "$2" all || return
	root_dir=$made
	[ "$3" = exec ] || return 0
	printf '#!/bin/sh\nexit 0\n' >"$root_dir/all" && chmod 700 "$root_dir/all"
	"$root_dir/all" 2>/dev/null || { root_dir= && give_up_room 'does not allow execution'; }
}

# places sets root_dir to root's directory in the first place that will do.
places() {
	whys= kib=$1 space=$(space)
	shift
	for wish in exec any; do
		for place; do
			case $place in /*) ;; *) continue ;; esac
			! room "$place" "$kib" "$wish" || return 0
			whys="$whys $place: $why;"
		done
	done
	deny "root has no place to unpack:$whys"
}

leave() {
	cd /
	! grep -qsF " $made/" /proc/mounts || return 0
	rm -rf "$made"
}

find_sha256 || deny 'root has no way to compute SHA-256 here'
total=$1 stage_size=$2 stage_sum=$3
shift 3
root_dir= made=
trap '[ -z "$made" ] || leave' EXIT
trap 'exit 143' TERM INT HUP
trap : PIPE
places $((total / 512 + 64)) "$@"
cd "$root_dir" || deny "$root_dir is gone"
head -c "$total" >all
head -c "$stage_size" all >stage
digest <stage && [ "$sum" = "$stage_sum" ] || deny 'what was to be raised did not arrive as it was sent'
. ./stage
