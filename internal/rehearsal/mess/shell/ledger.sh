# The ledger: what was made, in lines "WHAT NAME ...". Only appended to, by single writes, so that no writer tears another's.

# note writes the line $* down. What cannot be written down is not made.
note() { printf '%s\n' "$*" >>"$ledger" || refuse "cannot write to $ledger"; }

# noted_as says whether the ledger has the line $*.
noted_as() { grep -qxF -e "$*" "$ledger"; }

# lines prints the rest of the ledger's lines that begin with $1 $2.
lines() { sed -n "s/^$1 $2 //p" "$ledger"; }

# enter is what a process of ours does first, in a shell of its own with the arguments ledger, name: it writes itself
# down by number and start, and ends if undo has begun. Of the two, at least one sees the other's line.
enter='
	IFS= read -r e_stat <"/proc/$$/stat" || exit 120
	e_stat=${e_stat##*\) } e_ledger=$1 e_name=$2
	shift 2
	e_arguments=$#
	set -- $e_stat "$@"
	printf "process %s %s %s\n" "$e_name" "$$" "${20}" >>"$e_ledger" || exit 120
	shift $(($# - e_arguments))
	! grep -qx "closed -" "$e_ledger" || exit 121
'

# noted runs the command $2... in a process that is written down as one of maker $1.
noted() {
	n_name=$1
	shift
	if [ -r /proc/self/stat ]; then
		sh -c "$enter"'
			exec "$@"' noted "$ledger" "$n_name" "$@"
	else
		"$@"
	fi
}

# spawn starts a process of maker $1 that stays, in a session of its own: the shell text $2, in which $1 is the place of
# the maker and stay ends in what stays. It returns when that is reached.
spawn() {
	(
		cd / && exec setsid sh -c "$enter"'
			e_place=$1 e_life=$2
			shift 2
			stay() { printf "ready %s\n" "$e_name" >>"$e_ledger"; exec "$@" sleep "$e_life"; }
			place=$e_place
			'"$2" mess "$ledger" "$1" "$place" "$life" $as >/dev/null 2>&1 </dev/null &
	)
	wait_until noted_as "ready $1" || why="the process has not started"
}

# wait_until waits ten seconds at most for the command $* to succeed.
wait_until() {
	w_turns=0
	until "$@"; do
		w_turns=$((w_turns + 1))
		[ "$w_turns" -le 200 ] || return 1
		sleep 0.05 2>/dev/null || { sleep 1 && w_turns=$((w_turns + 19)); }
	done
}

# identity prints the device and inode of $1 itself, which a link is not followed for.
identity() { stat -c %d:%i -- "$1" 2>/dev/null; }

there() { [ -e "$1" ] || [ -L "$1" ]; }

# start_of prints the start of process $1 in ticks since the boot; nothing if it is gone or only waits to be reaped.
start_of() {
	# The name may hold anything, a line end included: what counts comes after the last ")".
	s_stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	set -- ${s_stat##*\) }
	[ "$1" = Z ] || [ "$1" = X ] || printf '%s\n' "${20}"
}

boot() { cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown; }
