# State: what this program writes down about a loan while it lasts, where only this account can: for a second loan of the
# same agent, and for whoever comes over SSH to ask about it, or to end it.

# find_base sets base to the directory that all loans of this account are written down in.
find_base() {
	base=$HOME/.pitcrew-loans
	if [ ! -d "$HOME" ] || [ ! -O "$HOME" ] || [ ! -w "$HOME" ]; then
		base=/tmp/.pitcrew-loans.$(id -u)
	fi
	[ -d "$base" ] || mkdir "$base" 2>/dev/null
	[ -d "$base" ] && [ ! -L "$base" ] && [ -O "$base" ] && chmod 700 "$base" 2>/dev/null
}

lives() {
	[ -n "$1" ] || return 1
	process "${1%% *}"
	[ "$1" = "$p_process" ]
}

# know_loan reads what stands in directory $1.
know_loan() {
	k_holder= k_java= k_attempt= k_controller= k_agent= k_user= k_dir= k_isolation=
	[ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] || return 1
	{ IFS= read -r k_attempt && IFS= read -r k_controller && IFS= read -r k_agent && IFS= read -r k_isolation &&
		IFS= read -r k_user && IFS= read -r k_dir; } 2>/dev/null <"$1/whose" || return 1
	{ IFS= read -r k_holder <"$1/holder"; } 2>/dev/null
	{ IFS= read -r k_java <"$1/java"; } 2>/dev/null
	return 0
}

# begin_state writes this loan down, then looks for others of the agent: of two that begin at once, at least one sees
# the other. It refuses if one is there, of whatever attempt: that one ends by itself, or is ended first.
begin_state() {
	find_base || refuse "nowhere to keep what is known about the loan: $base is not a directory of this account alone"
	mkdir "$base/$loan" 2>/dev/null || refuse "loan $loan has begun here before: $base/$loan is there, or cannot be made"
	state=$base/$loan
	process $$
	printf '%s\n' "$attempt" "$controller" "$agent" "$isolation" "$user" "$dir" >"$state/whose" &&
		printf '%s\n' "$p_process" >"$state/holder" || refuse "cannot write to $state"
	for b_dir in "$base"/*; do
		if [ "$b_dir" = "$state" ] || ! know_loan "$b_dir" || [ "$k_agent" != "$agent" ] || [ "$k_controller" != "$controller" ]; then
			continue
		fi
		if lives "$k_holder" || lives "$k_java"; then
			rm -rf "$state"
			refuse "loan ${b_dir##*/} of this agent, attempt $k_attempt, lives here: process ${k_holder%% *}"
		fi
	done
}

# marked prints the processes of loan $1 that this account can see, or the loan's own. The parameter of the job has the
# name of a mark, so that what else belongs to the build has that one, too, and not the others.
marked() {
	m_as='as_loan'
	[ "$own_uid" != 0 ] || m_as='command'
	"$m_as" sh -c "$bearers_text" marked "PITCREW_LOAN=$1" "PITCREW_LENT_AGENT=$agent" 2>/dev/null </dev/null
}

# victims prints what is left of loan $1, whose agent program, which leads all others, is process $2.
victims() {
	v_all=
	if [ -n "$2" ]; then
		process "${2%% *}"
		# Another process with its number means that nothing is left of its session.
		[ "${p_process:-$2}" != "$2" ] || v_all=$(members "${2%% *}")
	fi
	for v_one in $(marked "$1"); do
		case " $v_all $$ " in *" $v_one "*) ;; *) v_all="$v_all $v_one" ;; esac
	done
	printf '%s' "${v_all# }"
}

# send sends signal $1 to the rest of its arguments.
send() {
	kill "-$1" $2 2>/dev/null
	[ "$account" != sudo ] || as_loan sh -c 'kill "$@"' kill "-$1" $2 2>/dev/null </dev/null
	[ "$1" != TERM ] || send CONT "$2"
}

# end_loan ends what is left of loan $1, whose agent program is process $2: politely, and after five seconds for good.
# It sets left to the number of those that stay nevertheless, and says which.
end_loan() {
	clock
	e_began=$now e_signal=''
	while e_left=$(victims "$1" "$2") && [ -n "$e_left" ]; do
		clock
		e_age=$((now - e_began))
		[ "$e_age" -lt 12 ] || break
		if [ "$e_age" -ge 5 ]; then
			send KILL "$e_left"
		elif [ -z "$e_signal" ]; then
			e_signal=sent
			send TERM "$e_left"
		fi
		nap
	done
	left=0
	for e_one in $e_left; do
		left=$((left + 1))
		say "process $e_one stays: $(sed -n 's/^Name:[[:space:]]*//p; s/^State:[[:space:]]*/state /p; s/^Uid:[[:space:]]*\([0-9]*\).*/user id \1/p' "/proc/$e_one/status" 2>/dev/null | tr '\n' ' ' | tr -cd ' -~')"
	done
}

# clock sets now to seconds that go on evenly.
clock() {
	boot_age
	now=$up
	[ "$up" -gt 0 ] || now=$(date +%s)
}

# remove_dir removes the loan's work directory $1 and sets gone to gone, or to kept if it is still there.
remove_dir() {
	gone=gone
	[ -n "$1" ] || return 0
	as_loan sh -c 'rm -rf "$1"; [ ! -e "$1" ] && [ ! -L "$1" ]' remove "$1" >/dev/null 2>&1 </dev/null || gone=kept
	[ "$gone" = gone ] || say "$1 cannot be removed"
}
