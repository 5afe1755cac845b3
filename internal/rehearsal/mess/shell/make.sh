# Make: one function for each maker, which sets why if it cannot. It works in $place, which nobody else has.

# place_at makes the place of maker $1: directory $2. It is written down before it is there.
place_at() {
	place=$2
	if there "$place"; then
		why="$place is there already"
		return 1
	fi
	note "place $1 $place"
	mkdir -m 755 "$place" 2>/dev/null || {
		why="cannot make $place"
		return 1
	}
	note "is $1 $(identity "$place")"
}

# give hands the place to whom the mess belongs to.
give() { [ -z "$as" ] || chown -hR "$user" "$place"; }

# settle writes down what there is in the place now: this and no more is ours.
settle() {
	[ -d "$place" ] || return 0
	give
	s_entries=$(find "$place" -xdev -exec stat -c '%d:%i' {} +) || {
		why="cannot read $place"
		return 1
	}
	printf '%s\n' "$s_entries" | sed "s/^/entry $1 /" >>"$ledger"
}

make_files_tree() {
	at=$place level=0 path=$place
	while [ "$level" -lt 40 ]; do
		path=$path/level-$level level=$((level + 1))
	done
	mkdir -p "$path"
	while [ "$level" -gt 0 ]; do
		level=$((level - 1)) at=$at/level-$((39 - level))
		echo "object $level" >"$at/object.o"
	done
	mkdir "$place/module" "$place/module/cache" && echo module >"$place/module/cache/go.mod"
	chmod 444 "$place/module/cache/go.mod"
	chmod 555 "$place/module/cache" "$place/module"
	mkdir "$place/closed" && echo inside >"$place/closed/file" && chmod 0 "$place/closed"
}

# The tree is read before it is closed.
settle_files_tree() {
	chmod 700 "$place/closed"
	settle "$1"
	chmod 0 "$place/closed"
}

make_files_names() {
	for n_each in '-rf' '--' 'a b' "it's" 'a"b' '*' '?' '$HOME' '`id`' 'back\slash' ' leading' 'trailing ' '...' '~' '#' 'mit Ümlaut' \
		"$(printf 'line\nend')" "$(printf 'tab\there')" "$(printf 'no\377utf8')" "$(printf 'escape\033[31m')"; do
		: >"$place/$n_each" || why="cannot make a name"
	done
	mkdir "$place/$(printf 'dir\n-x')" && : >"$place/$(printf 'dir\n-x')/file"
}

make_files_links() {
	echo original >"$place/original"
	ln "$place/original" "$place/hard" && mkdir "$place/far" && ln "$place/original" "$place/far/hard"
	ln -s / "$place/to-root"
	ln -s ../.. "$place/up"
	ln -s /etc/passwd "$place/to-file"
	ln -s "$tmp" "$place/to-tmp"
	ln -s loop "$place/loop"
	ln -s /nonexistent/target "$place/to-nowhere"
}

make_files_sparse() {
	dd if=/dev/zero of="$place/disk.img" bs=1 count=0 seek=8589934592 2>/dev/null ||
		dd if=/dev/zero of="$place/disk.img" bs=1 count=0 seek=1073741824 2>/dev/null || why="no sparse files here"
}

make_files_temporary() {
	mkdir "$place/cc" && echo 'int x;' >"$place/cc/x.s" && : >"$place/.lock" && mkfifo "$place/pipe"
}

make_process_session() { spawn "$1" 'stay "$@"'; }
make_process_stubborn() { spawn "$1" 'trap "" TERM INT HUP; stay "$@"'; }
make_process_bare() { spawn "$1" 'stay "$@" env -i'; }
make_process_open() {
	: >"$place/held" # so that it is there to be given away
	give
	spawn "$1" 'cd "$place" || exit
		exec 9>held
		dd if=/dev/zero bs=65536 count=16 >&9 2>/dev/null
		rm held
		stay "$@"'
}

# mount_here mounts a tmpfs at $place/mount. Its source is its mark.
mount_here() {
	mkdir "$place/mount"
	settle "$1" # before the mount hides what it lies on
	noted "$1" mount -t tmpfs -o size=1m,mode=777 "$mark-$1" "$place/mount" 2>/dev/null || {
		why="may not mount"
		return 1
	}
	mounts_of "$1" | while read -r m_id m_rest; do note "mounted $1 $m_id"; done
	echo inside >"$place/mount/file"
}

make_mount_tmpfs() { mount_here "$1"; }
make_mount_busy() {
	mount_here "$1" || return
	spawn "$1" 'cd "$place/mount" || exit
		exec 9>open
		stay "$@"'
}

make_loop() {
	dd if=/dev/zero of="$place/loop.img" bs=65536 count=16 2>/dev/null
	noted "$1" losetup -f "$place/loop.img" 2>/dev/null
	[ -n "$(loops_of "$1")" ] || why="may not make a loop device"
}

make_container() {
	for e_name in podman docker; do
		command -v "$e_name" >/dev/null || continue
		image=${MESS_IMAGE-}
		[ -n "$image" ] || image=$(bounded 30 "$e_name" images -q 2>/dev/null | head -n 1)
		[ -n "$image" ] || continue
		note "engine $1 $e_name"
		noted "$1" $bound "$e_name" volume create --label "$label=$mark" "$mark" >/dev/null 2>&1
		noted "$1" $bound "$e_name" run --detach --pull never --network none --label "$label=$mark" --name "$mark" \
			--volume "$mark:/mess" "$image" sleep "$life" >/dev/null 2>&1
		[ -z "$(containers_of "$e_name")" ] || return 0
	done
	why="no engine answers that has an image to run"
}

make_ipc_sysv() {
	noted "$1" $as ipcmk -M "$segment" >/dev/null 2>&1
	[ -n "$(segments_of "$1")" ] || why="may not make a memory segment"
}

make_ipc_posix() {
	place=/dev/shm/$mark
	if there "$place"; then
		why="$place is there already"
		return
	fi
	note "place $1 $place"
	( set -C && echo shared >"$place" ) 2>/dev/null || { why="cannot write there"; return; }
	give
	note "is $1 $(identity "$place")"
	note "entry $1 $(identity "$place")"
}

# room_of sets r_device, r_size, r_used and r_free of the file system that holds $1, in KiB.
room_of() {
	read -r r_device r_size r_used r_free r_rest <<END
$(df -Pk "$1" 2>/dev/null | tail -n 1)
END
	case $r_size$r_used$r_free in '' | *[!0-9]*) return 1 ;; esac
}

make_disk_full() {
	room_of / && root_device=$r_device && room_of "$place" || {
		why="df does not say how large the file system is"
		return
	}
	if [ "$r_size" -le "$fill_limit" ] && [ "$r_device" != "$root_device" ]; then
		want=$((r_free - fill_margin))
	else
		# Up to 90 % of what there is for everybody: other builds go on.
		want=$((r_free - (r_used + r_free) / 10))
		[ "$want" -le "$fill_quota" ] || want=$fill_quota
	fi
	if [ "$want" -le 0 ]; then
		why="the file system is full enough"
		return
	fi
	noted "$1" dd if=/dev/zero of="$place/full" bs=1024 count="$want" 2>/dev/null
	[ -s "$place/full" ] || why="cannot write there"
}

# missing prints why maker $1 cannot do what it has to, by the needs of it that follow.
missing() {
	shift
	for n_each in "$@"; do
		case $n_each in
		root) [ "$(id -u)" = 0 ] || echo "needs root" ;;
		proc) [ -r /proc/self/stat ] && [ -r /proc/self/mountinfo ] || echo "needs /proc" ;;
		setsid) command -v setsid >/dev/null || echo "needs setsid" ;;
		loop) command -v losetup >/dev/null && [ -e /dev/loop-control ] || echo "needs losetup and /dev/loop-control" ;;
		engine) command -v podman >/dev/null || command -v docker >/dev/null || echo "needs podman or docker" ;;
		sysv) command -v ipcmk >/dev/null && command -v ipcrm >/dev/null && [ -r /proc/sysvipc/shm ] || echo "needs ipcmk, ipcrm and /proc/sysvipc" ;;
		shm) [ -d /dev/shm ] && [ -w /dev/shm ] || echo "needs a /dev/shm that may be written to" ;;
		esac
	done | head -n 1
}

# make_one runs maker $1, whose needs follow.
make_one() {
	name=$1 place='' function=$(echo "$1" | tr - _)
	why=$(missing "$@")
	case $name in
	ipc-* | container) ;;
	files-temporary) [ -n "$why" ] || place_at "$name" "$tmp/$mark-$name" ;;
	*) [ -n "$why" ] || place_at "$name" "$dir/$mark-$name" ;;
	esac
	[ -n "$why" ] || "make_$function" "$name"
	case $name in
	files-tree) [ -n "$why" ] || settle_files_tree "$name" ;;
	ipc-* | mount-*) ;;
	*) [ -n "$why" ] || settle "$name" ;;
	esac
	if [ -n "$why" ]; then
		echo "mess $name skipped $why"
	else
		note "made $name"
		echo "mess $name made"
	fi
}
