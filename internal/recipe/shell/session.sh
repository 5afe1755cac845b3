# Sessions: every try of a step has its own, so that it can be ended whole.

# find_session sets session to the command that starts another in a session of its own; "monitor" means that only a
# process group can be had, by the shell's job control, and "none" that members are found by descent alone.
find_session() {
	if command -v setsid >/dev/null 2>&1; then
		session=setsid
	elif command -v perl >/dev/null 2>&1; then
		session=perl
	elif command -v python3 >/dev/null 2>&1; then
		session=python3
	elif [ -z "$( (set -m) 2>&1)" ]; then
		session=monitor
	else
		session=none
	fi
}

# in_session replaces this process by the command given, in a new session where one can be had. The command begins with
# "env -i" and assignments. What all may read in the list of processes is no place for the password of a proxy: those come
# on standard input, which is empty otherwise.
in_session() {
	i_hidden=
	for i_word; do
		shift
		case $i_word in
		http_proxy=*@* | https_proxy=*@* | HTTP_PROXY=*@* | HTTPS_PROXY=*@*)
			[ -n "$i_hidden" ] || set -- "$@" sh -c "$reveal" sh env
			i_hidden="$i_hidden$i_word
"
			;;
		*) set -- "$@" "$i_word" ;;
		esac
	done
	[ -z "$i_hidden" ] || exec <<EOF
$i_hidden
EOF
	case $session in
	setsid) exec setsid "$@" ;;
	perl) exec perl -MPOSIX -e 'POSIX::setsid(); exec { $ARGV[0] } @ARGV; exit 127' -- "$@" ;;
	python3) exec python3 -c 'import os,sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])' "$@" ;;
	*) exec "$@" ;;
	esac
}
reveal='while IFS= read -r line; do case $line in *=*) export "$line" ;; esac; done; exec "$@" </dev/null'

# processes prints "pid:parent:group:session" of every process that is no zombie.
processes() {
	if [ ! -r /proc/self/stat ]; then
		ps -A -o pid= -o ppid= -o pgid= | while read -r p_pid p_parent p_group; do
			echo "$p_pid:$p_parent:$p_group:$p_group"
		done
		return
	fi
	# Read at once: one by one, the shell takes a system call for each character of what there is to read.
	p_all=$(cat /proc/[0-9]*/stat 2>/dev/null)
	if [ -z "$p_all" ]; then # more of them than fit into a command line
		for p_pid in /proc/[0-9]*; do
			p_pid=${p_pid#/proc/}
			stat_of "$p_pid" || continue
			set -- $p_stat
			[ "$1" = Z ] || echo "$p_pid:$2:$3:$4"
		done
		return
	fi
	p_ifs=$IFS IFS='
'
	set -f
	set -- $p_all
	set +f
	IFS=$p_ifs p_record=
	for p_line; do
		p_record="$p_record$p_line "
		p_stat=${p_record##*\) }
		[ "${#p_stat}" -gt 40 ] || continue # the name has a line end in it; see stat_of
		p_pid=${p_record%% *} p_record=
		set -- $p_stat
		[ "$1" = Z ] || echo "$p_pid:$2:$3:$4"
	done
}

# members prints the living processes of the session or group that $1 leads, and everything that descends from them.
members() {
	m_all=$(processes)
	m_set=" $1 "
	m_size=0
	m_ifs=$IFS
	while [ "${#m_set}" -ne "$m_size" ]; do
		m_size=${#m_set}
		for m_one in $m_all; do
			IFS=:
			set -- $m_one
			IFS=$m_ifs
			case $m_set in *" $1 "*) continue ;; esac
			case $m_set in
			*" $2 "* | *" $3 "* | *" $4 "*) m_set="$m_set$1 " ;;
			esac
		done
	done
	m_alive=
	for m_one in $m_all; do
		case $m_set in *" ${m_one%%:*} "*) m_alive="$m_alive ${m_one%%:*}" ;; esac
	done
	printf '%s' "${m_alive# }"
}

# boot_age sets up to the seconds since boot, to 0 where nobody tells.
boot_age() {
	up=
	{ read -r up _ </proc/uptime; } 2>/dev/null
	up=${up%%.*}
	up=${up:-0}
}

# end_session ends everything that $1 leads: first politely, after $2 fifths of a second for good, however long it takes to
# look at all processes. It fails, with the rest in victims, if something cannot be killed.
end_session() {
	e_round=0 e_kills=0
	boot_age
	e_began=$up
	# Who stayed in the group of the first hears of it at once.
	kill -TERM "-$1" 2>/dev/null
	kill -CONT "-$1" 2>/dev/null
	while victims=$(members "$1") && [ -n "$victims" ]; do
		boot_age
		e_age=$(((up - e_began) * 5))
		[ "$e_age" -ge "$e_round" ] || e_age=$e_round
		if [ "$e_round" -eq 0 ]; then
			kill -TERM $victims 2>/dev/null
			kill -CONT $victims 2>/dev/null
		elif [ "$e_age" -ge "$2" ]; then
			kill -KILL "-$1" 2>/dev/null
			kill -KILL $victims 2>/dev/null
			e_kills=$((e_kills + 1))
		fi
		[ "$e_kills" -lt 4 ] || [ "$e_age" -lt $(($2 + 25)) ] || return 1
		e_round=$((e_round + 1))
		nap
	done
}

nap() { sleep 0.2 2>/dev/null || sleep 1; }

# rest sleeps $1 seconds and, unlike plain sleep, lets a signal through at once.
rest() {
	hold
	sleep "$1" &
	rest_pid=$!
	release
	wait "$rest_pid"
	rest_pid=
}

# after runs the rest of its arguments $1 seconds from now, in the background, unless calm is called first with "$after".
# It waits until the sleep is under way: a signal to a process that has only just been forked can be lost. The pipe through which it
# hears of that is open before, so that it hears even if the step removes our directory meanwhile.
after() {
	after_pipe=no after_sleep=
	{ [ -z "${fenced-}" ] && [ -p "$work/ready" ] && command exec 6<>"$work/ready" && after_pipe=yes; } 2>/dev/null
	[ "$after_pipe" = yes ] || exec 6>/dev/null
	(
		sleep "$1" 6>&- &
		echo "$!" >&6
		exec 6>&-
		wait "$!"
		shift
		"$@"
	) >/dev/null 2>&1 </dev/null &
	after=$!
	[ "$after_pipe" = no ] || until read -r after_sleep <&6; do :; done 2>/dev/null # some shells let a signal end the wait
	exec 6>&-
	after="$after $after_sleep"
}

# calm calls off what after has set up: $1 the process, $2 its sleep. Where our directory is lost, no mark tells what that has begun already.
calm() {
	[ -z "${fenced-}" ] || end_session "$1" 0
	kill -KILL "$1" 2>/dev/null
	kill -KILL "$2" 2>/dev/null
	wait "$1" 2>/dev/null
}
