# The server: scrub does all goals of this user that follow one another, for as long as each ends plainly well. It is asked
# by descriptor 4 and answers by 5. As nobody but this shell holds 4, the server ends when this shell does.

# serve has the server do step $1, and sets code. If stays is set, it can do another. Otherwise it has ended, or its limit has
# passed, which sets expired.
serve() {
	hold
	[ -n "$server" ] || begin_server "$1"
	if [ -z "$server" ]; then
		release
		code=126
		return
	fi
	step_pid=$server
	print_line "$1 $try $limit $phase $name" >&4
	release
	while :; do
		if IFS= read -r s_said <&5; then
			case $s_said in
			.) ;; # it is at work
			'stays '*)
				stays=yes code=${s_said#stays } step_pid=
				return
				;;
			expired)
				expired=yes
				break
				;;
			*) print_line "$s_said" >>"$tail" ;; # why there is no server, or no more
			esac
		elif ! stat_of "$server" || [ "${p_stat%% *}" = Z ]; then # some shells let a signal end what they read
			wait "$server" 2>/dev/null
			code=$?
			break
		fi
	done
	exec 4>&- 5>&-
	server=
}

# begin_server starts the server, in the place of step $1. Of the ends of its pipes this shell keeps one each: it is to see that
# the server has gone, and the server that this shell has.
begin_server() {
	{ command exec 4<>"$work/ask" 5<>"$work/answer"; } 2>/dev/null || return # "command", so that a failure does not end this shell
	launch "$1" <"$work/ask" 2>&5 4>&- 5>&- &
	server=$!
	{ command exec 5<"$work/answer"; } 2>/dev/null || exec 5>&-
	process "$server"
	printf '%s\n' "$p_process" >"$work/lib/step"
}

# end_server ends the server, which has nothing to do. Whoever has stopped it does not hold that up.
end_server() {
	[ -n "$server" ] || return 0
	exec 4>&- 5>&-
	kill -KILL "$server" 2>/dev/null
	wait "$server" 2>/dev/null
	server=
}
