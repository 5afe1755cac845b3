# Holding: from here on this program's environment shows nothing that was given to it.

# kept are the variables that stay in it. Those of Jenkins' are the ones by which its process killer knows a build's
# processes (hudson.util.ProcessTree): it compares all of them, and HUDSON_COOKIE when a step is interrupted.
kept='PATH HOME USER LOGNAME SHELL LANG LC_ALL LC_CTYPE TZ TMPDIR JAVA_HOME XDG_RUNTIME_DIR http_proxy https_proxy no_proxy
HTTP_PROXY HTTPS_PROXY NO_PROXY'
cookies='JENKINS_SERVER_COOKIE HUDSON_SERVER_COOKIE JOB_NAME JOB_BASE_NAME BUILD_NUMBER BUILD_ID BUILD_TAG HUDSON_COOKIE'

# become replaces this process by one that holds the loan, by $@, which is exec or does it. That also replaces the environment that
# /proc shows: what was given goes through a pipe, and stands in no environment and no argument from here on.
become() {
	b_nonce=$PITCREW_NONCE b_secret=$PITCREW_LOAN_SECRET b_cert=${PITCREW_LOAN_CERT-}
	b_rest="$PITCREW_AGENT
$PITCREW_CONTROLLER
$PITCREW_ATTEMPT
$PITCREW_LOAN
$PITCREW_LOAN_URL
$PITCREW_LOAN_NODE
$PITCREW_LOAN_DIR
${PITCREW_LOAN_USER-}
$PITCREW_LOAN_ISOLATION
$PITCREW_LOAN_JAR_SHA256
$PITCREW_LOAN_LIMIT
$PITCREW_LOAN_ATTACH"
	b_keep=" $(echo $kept $cookies) "
	for b_name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
		case "$b_keep PWD SHELLOPTS BASHOPTS PPID UID EUID " in
		*" $b_name "*) ;;
		*) command unset "$b_name" ;;
		esac
	done 2>/dev/null
	"$@" sh "$program" hold 3<<PITCREW_VALUES
$b_nonce
$b_secret
$proof
$hasher
$mask
$detached
$state
$workspace
$jar
$b_rest
$b_cert
PITCREW_VALUES
}

# take reads what become has written.
take() {
	for t_name in nonce secret proof hasher mask detached state workspace jar agent controller attempt loan url node dir \
		user isolation jar_sum limit attach; do
		IFS= read -r "$t_name" <&3 || refuse 'this program was called in a way that is its own'
	done
	cert=
	while IFS= read -r t_line; do
		[ -z "$t_line" ] || cert="$cert$t_line
"
	done <&3
	exec 3<&-
}

# hold holds the loan until its end.
hold() {
	take
	stop=
	trap '' PIPE # a console that is gone does not end this program, the end of the agent does
	trap 'stop=yes' TERM INT HUP
	[ -n "$state" ] || begin_state
	know_lender
	{ [ ! -L "$jar" ] && [ -f "$jar" ]; } || refuse 'the agent program did not arrive'
	digest <"$jar"
	[ "$sum" = "$jar_sum" ] || refuse "the agent program has the digest $sum, and was to have $jar_sum"
	choose_account
	find_java || refuse "no Java here that $loan_user may run"
	furnish
	start_agent
	watch
	conclude
}

# know_lender sets lender to the process whose end is the end of the loan: the lender's agent. A detached loan has none.
know_lender() {
	lender= agent_pid=0
	[ -z "$detached" ] || return 0
	find_agent || agent_pid=$PPID
	process "$agent_pid"
	lender=$p_process lender_image=$(image "$agent_pid") looks=0
	[ -n "$lender" ] || refuse 'the process that this program was started by cannot be seen'
}

# lender_gone succeeds if the agent has ended, or has begun anew in its own place, as it does when it has lost its
# connection: the build that holds the loan is lost then, too.
lender_gone() {
	[ -n "$lender" ] || return 1
	lives "$lender" || return 0
	looks=$(((looks + 1) % 5))
	[ "$looks" -ne 0 ] || [ "$(image "$agent_pid")" = "$lender_image" ] || return 0
	return 1
}

# furnish makes the work directory with what the agent program needs.
furnish() {
	f_said=$(as_loan sh -c 'umask 077; mkdir "$1"' make "$dir" 2>&1 </dev/null) || refuse "$loan_user cannot make $dir: $(plain "$f_said")"
	: >"$state/made"
	[ "$isolated" = no ] || note_keys "$state" || say "keys of $loan_user: they cannot be read, and are not put back"
	put agent.jar <"$jar"
	digested "$(as_loan cat "$dir/agent.jar" </dev/null | $hasher)"
	[ "$sum" = "$jar_sum" ] || fail "the agent program was changed on its way to $dir"
	rm -f "$jar"
	print_line "$secret" | put secret || leave 74
	secret=
}

# put writes standard input to file $1 of the work directory.
put() {
	p_said=$(as_loan sh -c 'umask 077; set -C; cat >"$1"' put "$dir/$1" 2>&1) || fail "cannot write $dir/$1: $(plain "$p_said")"
}

# fail undoes what was done so far. It may be called in a subshell, at the end of a pipe.
fail() {
	remove_dir "$dir"
	sentinel "failed dir=$gone $1"
	leave 74
}

# start_agent starts the agent program in a session of its own.
start_agent() {
	mkfifo "$state/out" || fail "cannot make a pipe in $state"
	pass_on <"$state/out" &
	passer=$!
	environment
	find_session
	set -- "$java" "-Djava.io.tmpdir=$dir" -jar "$dir/agent.jar" -url "$url" -secret "@$dir/secret" -name "$node" \
		-webSocket -noReconnect -workDir "$dir"
	# Each certificate by its text: a value @FILE is replaced by the lines of the file, each an argument of its own, which is
	# right for the secret alone (org.kohsuke.args4j.CmdLineParser).
	one=
	while IFS= read -r line; do
		one="$one${one:+
}$line"
		case $line in '-----END CERTIFICATE-----'*) set -- "$@" -cert "$one" && one= ;; esac
	done <<PITCREW_CERTIFICATES
$cert
PITCREW_CERTIFICATES
	launch "$@" >"$state/out" 2>&1 <<PITCREW_ENVIRONMENT &
$assignments
PITCREW_ENVIRONMENT
	java_pid=$!
	process "$java_pid"
	java_process=$p_process
	printf '%s\n' "$java_process" >"$state/java"
	clock
	began=$now
	sentinel "started user=$loan_user isolated=$isolated files=$files dir=$dir java=$java"
}

# environment sets assignments to the loan's: nothing of Jenkins', but for the variables of its process killer, where
# that could end the loan at all. What a build of the borrower starts inherits the marks.
environment() {
	assignments="PITCREW_LOAN=$loan
PITCREW_LENT_AGENT=$agent
PITCREW_LENT_CONTROLLER=$controller"
	e_names=$kept
	[ "$account" = sudo ] || e_names="$kept $cookies"
	for e_name in $e_names; do
		case $isolated-$e_name in
		*-TMPDIR | *-JAVA_HOME | yes-HOME | yes-USER | yes-LOGNAME | yes-SHELL | yes-XDG_RUNTIME_DIR) continue ;;
		esac
		eval "e_value=\${$e_name-}"
		[ -z "$e_value" ] || ! one_line "$e_value" || assignments="$assignments
$e_name=$e_value"
	done
	[ "$isolated" = no ] || assignments="$assignments
HOME=$(eval "echo ~$loan_user")
USER=$loan_user
LOGNAME=$loan_user
SHELL=/bin/sh"
}

# launch becomes its arguments, as the loan's account. The environment comes by standard input: words of a command can
# be seen by everybody.
launch() {
	trap - PIPE TERM INT HUP
	ulimit -c 0 2>/dev/null
	with_account in_session env -i "PATH=$PATH" sh -c "$launch_text" pitcrew-loan "$mask" "$dir" "$@"
}
launch_text='while IFS= read -r line && [ -n "$line" ]; do export "$line"; done
umask "$1" && cd "$2" || exit 126; shift 2; exec "$@" </dev/null'

# pass_on passes on what the agent program prints, each line with a prefix, and notices that it is connected. A line is cut
# so that it is written at once, and a borrower that prints without end fills no disk.
pass_on() {
	trap '' TERM INT HUP # it ends when what it reads does
	ulimit -v 1048576 2>/dev/null
	bad=$(printf '\r\033') room=1000000
	while IFS= read -r line || [ -n "$line" ]; do
		case $line in *': Connected') : >"$state/connected" ;; esac
		[ "$room" -gt 0 ] || continue
		[ ${#line} -le 1000 ] || line=$(printf '%.1000s' "$line")
		while :; do
			case $line in
			*["$bad"]*) line=${line%%["$bad"]*}' '${line#*["$bad"]} ;;
			*) break ;;
			esac
		done
		print_line "| $line"
		room=$((room - ${#line} - 3))
		[ "$room" -gt 0 ] || print_line '| and more, which is left out'
		[ "$room" -gt 0 ] || [ ! -e "$state/connected" ] || cat >/dev/null
	done
}

# watch returns when the loan is to end, with the reason.
watch() {
	connected=
	while :; do
		clock
		age=$((now - began))
		if [ -n "$stop" ]; then
			reason=stopped
		elif lender_gone; then
			reason='lender-gone'
		elif ! lives "$java_process"; then
			reason='agent-ended'
			[ -e "$state/connected" ] || reason='not-connected'
		elif [ "$age" -ge "$limit" ]; then
			reason=limit
		elif [ -z "$connected" ] && [ -e "$state/connected" ]; then
			connected=yes
			remove_secret
			sentinel connected
			continue
		elif [ -z "$connected" ] && [ "$age" -ge "$attach" ]; then
			reason='not-connected'
		else
			doze
			continue
		fi
		return
	done
}

# remove_secret: the program has read it when it began.
remove_secret() { as_loan rm -f "$dir/secret" 2>/dev/null </dev/null; }

# doze waits a little, or until a signal comes.
doze() {
	d_for=0.5
	[ -n "$connected" ] || d_for=0.2
	{ sleep "$d_for" || sleep 1; } >/dev/null 2>&1 &
	wait "$!"
}

# conclude ends the loan, looks again, and says what came of it.
conclude() {
	trap '' TERM INT HUP
	end_loan "$loan" "$java_process"
	code=none
	if ! lives "$java_process"; then
		wait "$java_pid" 2>/dev/null
		code=$?
	fi
	kill -KILL "$passer" 2>/dev/null
	wait "$passer" 2>/dev/null
	put_keys_back "$state"
	remove_dir "$dir"
	[ -z "$connected" ] && [ -e "$state/connected" ] && sentinel connected
	sentinel "ended reason=$reason code=$code left=$left dir=$gone nonce=$nonce"
	[ "$left-$gone" = 0-gone ] || leave 70
	[ "$reason" != not-connected ] || leave 69
	leave 0
}
