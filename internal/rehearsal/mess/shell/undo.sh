# Undo: whatever there still is of what the ledger names. did counts what was removed, left says what could not be.

found() { did="${did:+$did, }$1"; }
stays() { left="${left:+$left; }$1"; }

ended() { [ "$(start_of "$1")" != "$2" ]; }

# end_processes ends what runs of maker $1.
end_processes() {
	[ "$same_boot" = yes ] || return 0
	running=
	while read -r p_pid p_start; do
		case $p_pid$p_start in '' | *[!0-9]*) continue ;; esac
		[ "$p_pid" -gt 1 ] && ! ended "$p_pid" "$p_start" || continue
		kill -9 "$p_pid" 2>/dev/null
		if wait_until ended "$p_pid" "$p_start"; then
			found "process $p_pid"
		else
			stays "process $p_pid does not end"
		fi
	done <<END
$(lines process "$1")
END
}

# mounts_of prints the number and the point, as the kernel escapes it, of every mount of maker $1.
mounts_of() {
	cat /proc/self/mountinfo 2>/dev/null | while read -r m_id m_parent m_device m_root m_point m_rest; do
		case "$m_rest " in
		*" - tmpfs $mark-$1 "*) echo "$m_id $m_point" ;;
		esac
	done
}

# covers says whether another mount lies over mount $1 at $2.
covers() {
	cat /proc/self/mountinfo | while read -r c_id c_parent c_device c_root c_point c_rest; do
		[ "$c_parent $c_point" != "$1 $2" ] || echo "$c_id"
	done
}

mounted_as() { mounts_of "$2" | while read -r m_id m_rest; do [ "$m_id" != "$1" ] || echo yes; done; }

# take_down unmounts what is mounted of maker $1. The number tells a mount of ours from one that somebody made of it;
# without it make was killed in between, and the source must do.
take_down() {
	[ "$same_boot" = yes ] || return 0
	ids=$(lines mounted "$1")
	while read -r t_id t_point; do
		[ -n "$t_id" ] || continue
		if [ -n "$ids" ]; then
			case " $(echo $ids) " in *" $t_id "*) ;; *) continue ;; esac
		fi
		t_path=$(printf '%b.' "$(printf '%s' "$t_point" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')")
		t_path=${t_path%.}
		if [ -n "$(covers "$t_id" "$t_point")" ]; then
			stays "another mount lies over $t_point"
			continue
		fi
		t_says=$(umount "$t_path" 2>&1)
		if [ -z "$(mounted_as "$t_id" "$1")" ]; then
			found "mount at $t_point"
		else
			stays "mount at $t_point: $(one_line "$t_says")"
		fi
	done <<END
$(mounts_of "$1")
END
}

# loops_of prints the loop devices of maker $1: its file may have been deleted meanwhile, which the kernel appends to its name.
loops_of() {
	for l_sys in /sys/block/loop*/loop/backing_file; do
		[ -r "$l_sys" ] || continue
		{ IFS= read -r l_file <"$l_sys"; } 2>/dev/null || continue # gone meanwhile
		case $l_file in
		"$dir/$mark-$1/loop.img" | "$dir/$mark-$1/loop.img (deleted)")
			l_sys=${l_sys#/sys/block/}
			echo "/dev/${l_sys%%/*}"
			;;
		esac
	done
}

detached() { ! loops_of "$2" | grep -qx "$1"; }

detach_loops() {
	[ "$same_boot" = yes ] || return 0
	for d_each in $(loops_of "$1"); do
		losetup -d "$d_each" 2>/dev/null
		if wait_until detached "$d_each" "$1"; then
			found "$d_each"
		else
			stays "$d_each is in use"
		fi
	done
}

containers_of() { bounded 60 "$1" ps --all --quiet --no-trunc --filter "label=$label=$mark" 2>/dev/null; }
volumes_of() { bounded 60 "$1" volume ls --quiet --filter "label=$label=$mark" 2>/dev/null; }

remove_containers() {
	for e_name in $(lines engine "$1" | sort -u); do
		case $e_name in podman | docker) ;; *) continue ;; esac
		if ! bounded 60 "$e_name" ps --quiet >/dev/null 2>&1; then
			stays "$e_name does not answer"
			continue
		fi
		for c_each in $(containers_of "$e_name"); do
			bounded 60 "$e_name" rm --force "$c_each" >/dev/null 2>&1
			found "container $(printf '%.12s' "$c_each")"
		done
		for c_each in $(volumes_of "$e_name"); do
			bounded 60 "$e_name" volume rm --force "$c_each" >/dev/null 2>&1
			found "volume $c_each"
		done
		[ -z "$(containers_of "$e_name")$(volumes_of "$e_name")" ] || stays "$e_name does not remove $mark"
	done
}

# segments_of prints the memory segments that a process of maker $1 has made, in the size that only it asks for.
segments_of() {
	creators=" $(lines process "$1" | while read -r s_pid s_rest; do printf '%s ' "$s_pid"; done)"
	cat /proc/sysvipc/shm 2>/dev/null | while read -r s_key s_id s_perms s_size s_cpid s_rest; do
		[ "$s_size" = "$segment" ] || continue
		case $creators in *" $s_cpid "*) echo "$s_id" ;; esac
	done
}

remove_segments() {
	[ "$same_boot" = yes ] || return 0
	for s_each in $(segments_of "$1"); do
		ipcrm -m "$s_each" 2>/dev/null
		found "memory segment $s_each"
	done
	[ -z "$(segments_of "$1")" ] || stays "memory segments $(echo $(segments_of "$1"))"
}

# remove_places removes what there is of the place of maker $1. What is in it, but is not ours, stays, and the place with it.
remove_places() {
	while IFS= read -r r_place; do
		case $r_place in "$dir/$mark-$1" | "$tmp/$mark-$1" | "/dev/shm/$mark") ;; *) continue ;; esac
		there "$r_place" || continue
		r_is=$(lines is "$1")
		[ -z "$r_is" ] || [ "$r_is" = "$(identity "$r_place")" ] || continue # somebody else's by now
		ours=
		if noted_as "made $1"; then
			ours=" $(echo $(lines entry "$1")) "
		fi
		export ours
		r_before=$(find "$r_place" -xdev 2>/dev/null | grep -c .)
		# Each directory is opened before it is looked into, if it is ours.
		find "$r_place" -xdev -type d ! -perm -700 -exec sh -c '
			is=$(stat -c %d:%i -- "$1")
			case ${ours:- $is } in *" $is "*) chmod u+rwx "$1" ;; esac' mess {} \; 2>/dev/null
		if all_ours "$r_place"; then
			find "$r_place" -xdev ! -type d -exec rm -f {} + 2>/dev/null
			find "$r_place" -xdev -depth -type d -exec rmdir {} + 2>/dev/null
		else
			find "$r_place" -xdev -depth -exec sh -c '
				for each; do
					is=$(stat -c %d:%i -- "$each") || continue
					case $ours in *" $is "*) ;; *) continue ;; esac
					if [ -d "$each" ] && [ ! -L "$each" ]; then rmdir "$each"; else rm -f "$each"; fi
				done' mess {} + 2>/dev/null
		fi
		if there "$r_place"; then
			stays "$r_place: $(reason_of "$r_place")"
		else
			found "$r_place with $r_before entries"
		fi
	done <<END
$(lines place "$1")
END
}

# all_ours says whether there is nothing in $1 but what is in ours; an empty one says that make did not come to its end
# here, and then the whole place is ours.
all_ours() {
	[ -n "$ours" ] || return 0
	a_ids=$(find "$1" -xdev -exec stat -c %d:%i {} + 2>/dev/null) || return 1
	for a_each in $a_ids; do
		case $ours in *" $a_each "*) ;; *) return 1 ;; esac
	done
}

# reason_of says why $1 could not be removed.
reason_of() {
	if [ -d "$1" ] && [ ! -L "$1" ]; then
		r_rest=$(find "$1" -xdev ! -path "$1" ! -type d 2>/dev/null | head -n 1)
		r_says=$(rmdir "$1" 2>&1)
		one_line "${r_says:-stays}${r_rest:+, there is $r_rest}"
	else
		one_line "$(rm -f "$1" 2>&1)"
	fi
}

one_line() { printf '%s' "$*" | tr -c '[:print:]' ' '; }

# undo_one undoes maker $1, in the order in which one thing holds another.
undo_one() {
	did= left=
	end_processes "$1"
	case $1 in
	mount-*) take_down "$1" ;;
	loop) detach_loops "$1" ;;
	container) remove_containers "$1" ;;
	ipc-sysv) remove_segments "$1" ;;
	esac
	remove_places "$1"
	if [ -n "$left" ]; then
		echo "mess $1 LEFT $left"
		failed=1
	elif [ -n "$did" ]; then
		echo "mess $1 removed $did"
	else
		echo "mess $1 gone"
	fi
}
