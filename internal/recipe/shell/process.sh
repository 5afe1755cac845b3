# process sets p_process to "pid start" of process $1, which names it for ever on this boot; to nothing if it is gone.
process() {
	p_process=
	if stat_of "$1"; then
		p_id=$1
		set -- $p_stat
		[ "$1" = Z ] || p_process="$p_id ${20}"
	elif [ ! -r /proc/self/stat ]; then
		p_start=$(ps -o lstart= -p "$1" 2>/dev/null) && p_process="$1 $p_start"
	fi
}

# process_space sets p_space to what names the space of process numbers that we count in; to nothing where the kernel knows one only.
process_space() {
	set -- $(ls -Ldi /proc/self/ns/pid 2>/dev/null)
	p_space=${1-}
}

# stat_of sets p_stat to what /proc says of process $1, from its state on; it fails if that is nothing.
stat_of() {
	p_stat=
	{ IFS= read -r p_stat <"/proc/$1/stat"; } 2>/dev/null
	p_stat=${p_stat##*\) }
	# The name may contain anything, a line end and ") " included: what counts comes after the last ") ". It has more
	# characters than fit into a name, whatever that pretends.
	[ "${#p_stat}" -gt 40 ] || p_stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	p_stat=${p_stat##*\) }
}
