# scrub: the carried program that reaches goals. It exists for the platforms that the recipe names.

# find_scrub sets scrub to where scrub is: in the cache, or unpacked afresh if this platform has one. If it cannot be had,
# scrub_why says why. It sets sealed if only root can change it from now on: then it is proved here, once for all steps.
find_scrub() {
	scrub_why= scrub=$work/scrub sealed=
	if [ "$cache" = yes ] && cached "$scrub_sum"; then
		scrub=$cache_file
		! proved_scrub || ! runs_scrub || sealed=yes
		return
	fi
	if [ ! -e "$work/lib/scrub.gz" ]; then
		scrub_why="this program carries no scrub for $machine"
		return
	fi
	for unpacker in by_gzip by_busybox by_python3 by_python by_perl none; do
		if [ "$unpacker" = none ]; then
			scrub_why='scrub cannot be unpacked here: neither gzip nor busybox, python or perl does it, or it was damaged on its way'
			return
		fi
		"$unpacker" <"$work/lib/scrub.gz" >"$scrub" 2>/dev/null && proved_scrub && break
	done
	runs_scrub || case $s_code in
	126) scrub_why="$work does not allow execution, nor does any other place of the recipe" ;;
	*) scrub_why="scrub does not start here: ${s_said:-exit code $s_code}" ;;
	esac
	[ "$uid" != 0 ] || sealed=yes
	[ "$cache$uid" != yes0 ] || [ -n "$scrub_why" ] || keep_scrub "$scrub" "$scrub_sum"
}
by_gzip() { gzip -dc; }
by_busybox() { busybox gunzip -c; }
by_python3() { python3 -c 'import sys,zlib; sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read(), 31))'; }
# python may be of version 2 or 3.
by_python() { python -c 'import sys,zlib; getattr(sys.stdout, "buffer", sys.stdout).write(zlib.decompress(getattr(sys.stdin, "buffer", sys.stdin).read(), 31))'; }
by_perl() { perl -MCompress::Zlib -e 'binmode STDIN; binmode STDOUT; print Compress::Zlib::memGunzip(join("", <STDIN>))'; }

# is_scrub succeeds if standard input is what was carried.
is_scrub() {
	digest
	case $sum in
	"$scrub_sum" | "$scrub_cksum") ;;
	*) return 1 ;;
	esac
}

# proved_scrub proves that scrub is what was carried. Descriptor 9 is what was proved.
proved_scrub() {
	command exec 9<"$scrub" || return 1 # "command", so that a failure does not end the shell
	is_scrub <&9
}

# runs_scrub sets s_program to what was proved, which has to run. That is its open descriptor, not its name, which a process
# of the same user may have given to another file meanwhile. Only with no /proc, or a shell that keeps 9 to itself, it is the name.
# If it does not run, s_code is the exit code, and s_said the first line of what it says.
runs_scrub() {
	s_program=/proc/self/fd/9 s_code=0
	s_said=$(env "$s_program" --version 2>&1 >/dev/null) || s_code=$? # by another program, as run_scrub does it
	if [ "$s_code" != 0 ] && ! sh -c '[ -r /proc/self/fd/9 ]' 2>/dev/null; then
		s_program=$scrub s_code=0
		s_said=$("$s_program" --version 2>&1 >/dev/null) || s_code=$?
	fi
	s_said=${s_said%%"
"*}
	return "$s_code"
}

# run_scrub becomes the server, whose first step is $1; the rest of its arguments begins the command. The server is in a
# session of its own, and its output has the prefix of a step's.
run_scrub() {
	s_step=$1
	shift
	[ -n "$sealed$scrub_why" ] || proved_scrub || scrub_why='scrub was changed after it was unpacked'
	if [ -n "$scrub_why" ]; then
		echo "| $scrub_why"
		printf '%s' "$scrub_why" >"$work/$s_step/reason"
		exit 125
	fi
	exec "$@" "PITCREW_ENGINE=$$" "$s_program" serve "$work"
}

# scrub_result sets r_scrub to the part of the report that scrub made for step $1, if it is one line of JSON.
scrub_result() {
	[ -s "$work/$1/result" ] && { IFS= read -r s_line && ! IFS= read -r s_more && [ -z "$s_more" ]; } <"$work/$1/result" || return 0
	case $s_line in
	'{'*'}') r_scrub=",\"scrub\":$s_line" ;;
	esac
}
