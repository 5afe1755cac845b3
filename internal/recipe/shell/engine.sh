# Engine stage: run the steps, print the report. It is read whole before anything runs ("engine_main" is its last line).

say() { printf 'pitcrew: %s\n' "$1"; }

# find_filter chooses how each line of a step's output is prefixed as it comes. The prefix keeps a step from printing
# a sentinel at the start of a line; carriage returns would start a line too, and escapes could hide one.
find_filter() {
	carriage_return=$(printf '\r') escape=$(printf '\033')
	# mawk waits for a full buffer unless told not to; others do not know the option, and some say so.
	if [ "$(echo x | awk -W interactive "$awk_filter" 2>&1)" = '| x' ]; then
		filter=mawk
	elif [ "$(echo x | awk "$awk_filter" 2>/dev/null)" = '| x' ]; then
		filter=awk
	elif [ "$(echo x | sed -u 's/^/| /' 2>/dev/null)" = '| x' ]; then
		filter=sed
	else
		filter=shell
	fi
}

filter() {
	ulimit -v 1048576 2>/dev/null # a line without end must not eat the machine
	case $filter in
	awk) exec awk "$awk_filter" ;;
	mawk) exec awk -W interactive "$awk_filter" ;;
	sed)
		sed -u -e 's/^/| /' -e "s/$escape/^[/g" -e "s/$carriage_return/\\
| /g"
		echo # the last line may have had no end
		;;
	shell)
		while IFS= read -r line || [ -n "$line" ]; do
			while :; do
				case $line in
				*["$escape$carriage_return"]*) line=${line%%["$escape$carriage_return"]*}' '${line#*["$escape$carriage_return"]} ;;
				*) break ;;
				esac
			done
			printf '| %s\n' "$line"
		done
		;;
	esac
}
awk_filter='{ gsub(/\033/, "^["); gsub(/\r/, "\n| "); print "| " $0; fflush() }'

# launch becomes step $1: a session of its own, an environment of known variables only, nothing on standard input.
# The variables by which Jenkins recognises the processes of a build stay, so that it can end a step whose engine died;
# so do the marks of a loan that this program runs in, by which the lender finds what it left.
launch() {
	set -- "$1" env -i
	for v in HOME USER LOGNAME SHELL PATH LANG TZ HOSTNAME XDG_RUNTIME_DIR http_proxy https_proxy no_proxy \
		HTTP_PROXY HTTPS_PROXY NO_PROXY NODE_NAME NODE_LABELS EXECUTOR_NUMBER WORKSPACE JENKINS_URL JOB_NAME \
		JOB_BASE_NAME BUILD_NUMBER BUILD_ID BUILD_TAG BUILD_URL JENKINS_SERVER_COOKIE HUDSON_SERVER_COOKIE \
		PITCREW_LOAN PITCREW_LENT_AGENT PITCREW_LENT_CONTROLLER; do
		eval "[ -z \"\${$v+x}\" ] || set -- \"\$@\" \"$v=\${$v}\""
	done
	[ -z "$PITCREW_TMPDIR" ] || set -- "$@" "TMPDIR=$PITCREW_TMPDIR"
	set -- "$@" LC_ALL=C "PITCREW_AGENT=$PITCREW_AGENT" "PITCREW_CONTROLLER=$PITCREW_CONTROLLER" "PITCREW_ATTEMPT=$PITCREW_ATTEMPT" "PITCREW_PHASE=$phase" \
		"PITCREW_DEPTH=$PITCREW_DEPTH" \
		"PITCREW_STEP=$name" "PITCREW_TRY=$try" "PITCREW_FILES=$work/$1/files"
	cd "$work/$1/files" || exit 126
	n=$1
	shift
	umask 022
	ulimit -c 0 2>/dev/null
	"command_$n" "$@"
}

# lost succeeds, with fenced set, if our directory has gone, as when a step empties /tmp. Another user can have made one of that name
# since: nothing is read there, or written.
lost() {
	[ -O "$work" ] && [ ! -L "$work" ] && [ -d "$work/lib" ] && return 1
	tail=/dev/null fenced="$work, in which this program works, was removed while '$name' ran"
}

expire() {
	# Without its directory and its engine the run is over, and the number of its step may be another's by now.
	if lost; then
		! alive "$f_ours" || end_session "$1" 25
		return
	fi
	: >"$work/expired" || return
	end_session "$1" 25 || printf '%s' "$victims" >"$work/unkillable"
}

# forget removes those of its arguments that are there.
forget() {
	f_left=$#
	while [ "$f_left" -gt 0 ]; do
		[ ! -e "$1" ] || set -- "$@" "$1"
		shift
		f_left=$((f_left - 1))
	done
	[ $# -eq 0 ] || rm -f "$@"
}

# run_try runs step $1 once: sets code to its exit code, expired to yes if its limit passed, and tail to the file with the end
# of its output.
run_try() {
	forget "$work/expired" "$work/unkillable" "$work/$1/result" "$work/$1/reason" "$work/$1/tail"
	tail=$work/$1/tail expired=no leftovers= stays= grace=0 direct=no
	[ "$goal" = no ] || { [ "$as_root" = yes ] && [ "$uid" != 0 ]; } || direct=yes
	if [ "$direct" = yes ]; then
		serve "$1"
		[ -z "$stays" ] || return 0
		grace=25
	else
		end_server # it may remember what this step changes
		run_alone "$1"
	fi
	if [ "$expired" = yes ]; then
		end_rest "$grace" && wait "$step_pid" 2>/dev/null
		code=$?
	elif kill -0 "-$step_pid" 2>/dev/null; then
		count_leftovers $(members "$step_pid")
		end_rest 10
	fi
	step_pid= limiter=
	lost || { true >"$work/lib/step"; } 2>/dev/null # ":" would end this shell if the directory had gone
	[ "$direct" = yes ] || drain
}

count_leftovers() { [ $# -eq 0 ] || leftovers=$#; }

# end_rest ends what is left of the step, after $1 fifths of a second for good. It fails if something cannot be ended, and notes it.
end_rest() {
	end_session "$step_pid" "$1" && return
	lost || printf '%s' "$victims" >"$work/unkillable"
	return 1
}

# run_alone runs step $1 in a process of its own, which is left for the caller to look after; its output is passed on.
run_alone() {
	hold
	filtered "$1"
	[ "$session" != monitor ] || set -m
	launch "$1" >"$work/out" 2>&1 </dev/null &
	step_pid=$!
	process "$step_pid"
	printf '%s\n' "$p_process" >"$work/lib/step"
	set +m
	after "$limit" expire "$step_pid"
	limiter=$after
	release
	wait "$step_pid" 2>/dev/null
	code=$?
	if lost || [ ! -e "$work/expired" ]; then
		calm $limiter
	else
		expired=yes
		wait "${limiter% *}"
	fi
}

# filtered starts what passes on the output of step $1 with a prefix, and keeps its end.
filtered() {
	[ -n "$filter" ] || find_filter
	rm -f "$work/out" "$work/copy" "$work/lines"
	mkfifo "$work/out" "$work/copy" "$work/lines"
	tail -c 4096 <"$work/copy" >"$work/$1/tail" 2>/dev/null &
	tail_pid=$!
	tee "$work/copy" <"$work/out" >"$work/lines" &
	tee_pid=$!
	filter <"$work/lines" &
	filter_pid=$!
}

# drain waits until all output is passed on. Whoever left the session and still holds the output must not hold us.
drain() {
	hold
	set -- "$tee_pid"
	[ -z "$fenced" ] || set -- "$@" "$filter_pid" "$tail_pid" # which may wait for what it has not opened yet, and cannot any more
	after 5 kill "$@"
	limiter=$after
	release
	wait "$filter_pid" "$tail_pid" 2>/dev/null
	calm $limiter
	limiter=
	kill "$tee_pid" 2>/dev/null
	wait "$tee_pid" 2>/dev/null
	tee_pid=
}

# judge sets outcome and reason from the last try of step $1.
judge() {
	reason=
	if [ "$expired" = yes ]; then
		outcome=timeout reason="no end after $limit s"
	else
		"outcome_$1" "$code"
		case $outcome in
		failed | retry) reason="exit code $code" ;;
		esac
		case $outcome-$stays in
		ok-*) ;;
		*-yes) IFS= read -r reason <"$work/$1/reason" ;; # by scrub: one short line
		*) [ ! -s "$work/$1/reason" ] || reason=$(head -c 500 "$work/$1/reason") ;;
		esac
	fi
	[ -z "$leftovers" ] || reason="${reason:+$reason; }ended $leftovers processes it left behind"
	if [ -s "$work/unkillable" ]; then
		outcome=failed reason="cannot kill processes $(cat "$work/unkillable")"
	fi
	[ -z "$fenced" ] || outcome=failed reason=$fenced
}

# run_step runs step $1 as often as it may and records it.
run_step() {
	try=1
	clock
	began=$now
	while :; do
		run_try "$1"
		judge "$1"
		case $outcome in
		retry | timeout) [ "$try" -lt "$tries" ] || break ;;
		*) break ;;
		esac
		say "try $try of $tries of '$name': $reason"
		try=$((try + 1))
		[ "$delay" -eq 0 ] || rest "$delay"
	done
	case $outcome in
	retry | failed | timeout) pardon ;;
	skipped)
		why=${reason:-there is nothing here to look after}
		missed "$1"
		reason=$why
		;;
	reconnect | reboot)
		[ -s "$work/$1/reason" ] || reason=
		reason="asked for a $outcome${reason:+: $reason}"
		wanted "$outcome"
		outcome=ok
		;;
	esac
	clock
	record "$code" $((now - began)) "$try"
}

# pardon does what the step says about its own failure. What it left behind and cannot be killed is no mere warning; and
# where the agent has only just come back for its verification, coming back once more is no help.
pardon() {
	[ "$outcome" != retry ] || outcome=failed
	case $on_failure in
	warned)
		[ ! -s "$work/unkillable" ] || return 0
		;;
	reconnect | reboot)
		if [ "$PITCREW_PHASES" = verify ]; then
			reason="$reason; a $on_failure does not help: only the verify phase is run"
			return 0
		fi
		reason="$reason; asks for a $on_failure"
		wanted "$on_failure"
		;;
	*) return 0 ;;
	esac
	outcome=warned pardoned=yes
}

# wanted notes that a step asks for a reconnect or a reboot; the latter brings the former with it.
wanted() { [ "$want" = reboot ] || want=$1; }

# find_clock chooses what clock reads: the time since boot, which nobody sets, or that of day, which takes a process.
find_clock() {
	clock=date
	[ ! -r /proc/uptime ] || clock=uptime
}
# clock sets now to a number of seconds.
clock() {
	now=
	case $clock in
	uptime) { read -r now _ </proc/uptime; } 2>/dev/null && now=${now%%.*} ;;
	date) now=$(date +%s) ;;
	esac
	now=${now:-${began-0}} # whoever took /proc away did not take time back
}

# record appends the current step to the report: exit code, seconds, tries.
record() {
	r_tail='""' r_scrub= r_show=$pardoned
	[ "$goals" = no ] || [ -n "$fenced" ] || [ "$3" -eq 0 ] || scrub_result "$n"
	case $outcome in
	failed | timeout)
		failed="${failed:+$failed, }$name"
		[ "$phase" != clean ] || clean_failed=yes
		[ "$phase" != setup ] || setup_failed=yes
		[ "$3" -eq 0 ] || r_show=yes
		;;
	esac
	if [ -n "$r_show" ] && [ "$tails" -lt 20 ] && [ -s "$tail" ]; then
		find_json
		tails=$((tails + 1)) r_tail=$(tail -c 4096 "$tail" | json_string)
	fi
	json_of "$reason"
	report_steps="$report_steps${report_steps:+,
}{\"name\":$json,\"phase\":\"$phase\",\"outcome\":\"$outcome\",\"exit\":$1,\"seconds\":$2,\"tries\":$3,\"reason\":$j,\"tail\":$r_tail$r_scrub}"
	say "$phase '$name': $outcome${reason:+ ($reason)}, $2 s"
}

# barrier succeeds, with reason set, if the current phase must not be begun or continued.
barrier() {
	reason=$fenced
	[ -z "$fenced" ] || return 0
	case $phase in
	clean) return 1 ;;
	setup) [ -z "$clean_failed$setup_failed" ] || reason='an earlier step failed' ;;
	verify)
		[ -z "$clean_failed$setup_failed" ] || reason='an earlier step failed'
		[ -n "$reason" ] || [ -z "$want" ] || [ "$PITCREW_PHASES" = verify ] || reason="comes after the $want"
		;;
	esac
	[ -n "$reason" ]
}

run_steps() {
	for n in $steps; do
		"step_$n"
		in_phases "$phase" || continue
		outcome=skipped pardoned=
		if barrier; then
			record 0 0 0
		elif ! fate "$n"; then
			reason=$why
			record 0 0 0
		elif ! lent_gone; then
			reason=$fenced
			record 0 0 0
		else
			say "$phase '$name' begins"
			run_step "$n"
			[ "$ends-$outcome" != yes-ok ] || ended=yes
			# A failure that its step makes light of proves nothing, nor does what was not there.
			case $phase-$outcome-$pardoned in verify-ok- | verify-warned-) proved=yes ;; esac
		fi
	done
}

# conclude sets outcome, verified and reason of the whole cleanup.
conclude() {
	verified=false reason=
	if [ -n "$fenced" ]; then
		outcome=failed reason=$fenced
	elif [ -n "$failed" ]; then
		outcome=failed reason="failed: $failed"
	elif [ -n "$want" ]; then
		outcome=$want
	elif [ -z "$proved" ]; then
		outcome=failed reason='no verify step applies here, so nothing is proved'
	else
		outcome=cleaned verified=true
	fi
}

# hold puts signals off until release: one that came between the start of a process and the note of its number would
# leave that process behind.
hold() { held=yes; }
release() {
	held=
	[ -z "$caught" ] || stop $caught
}

# stop ends the cleanup because of signal $1, with exit code $2.
stop() {
	if [ -n "$held" ]; then
		caught="$1 $2"
		return
	fi
	trap '' TERM INT HUP PIPE
	say "stopped by SIG$1"
	if [ -n "$step_pid" ]; then
		end_session "$step_pid" 10
	else
		end_server
	fi
	[ -z "$limiter" ] || calm $limiter
	kill $tee_pid $rest_pid 2>/dev/null
	exit "$2"
}

# remove_work removes private directory $1, unless a step mounted something there: removing would reach into it.
remove_work() {
	if [ -r /proc/mounts ] && grep -qF " $1/" /proc/mounts; then
		say "$1 stays: something is mounted in it"
		return 1
	fi
	rm -rf -- "$1" || say "$1 could not be removed"
}

reboot_later() {
	say "reboots: $reboot_command"
	(in_session env -i "PATH=$PATH" LC_ALL=C sh -c 'sleep 2; eval "$1"' reboot "$reboot_command") \
		</dev/null >/dev/null 2>&1 &
}

# engine_main runs the program that was unpacked in directory $1; the rest are the recipe's places.
engine_main() {
	work=$1
	shift
	IFS= read -r nonce <&3
	exec 3<&-
	cd /
	step_pid= limiter= tee_pid= rest_pid= held= caught= server= filter= json_tool= tails=0
	failed= clean_failed= setup_failed= want= proved= ended= lent_looked= report_steps=
	trap 'remove_work "$work"' EXIT
	trap 'stop TERM 143' TERM
	trap 'stop INT 130' INT
	trap 'stop HUP 129' HUP
	trap 'stop PIPE 141' PIPE # nobody reads any more: the agent is gone
	fence "$@"
	gather_facts
	hasher=$PITCREW_HASHER
	find_session
	if [ "$goals" = yes ]; then
		scrub_here
		find_scrub
	fi
	say "recipe $recipe, revision $revision, on $PITCREW_AGENT"
	report_begin
	run_steps
	end_server
	conclude
	report_end
	trap - EXIT
	remove_work "$work"
	[ "$outcome$PITCREW_NO_REBOOT" != reboot ] || [ "$PITCREW_MODE" = hand ] || reboot_later
	[ "$outcome" != failed ]
	exit
}
