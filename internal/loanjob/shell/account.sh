# The account: a loan runs as an account of its own where one is given and can be had, so that what the borrower sends reads
# nothing of the lender's agent.

# with_account calls $1 with the words that have the rest of its arguments run by the loan's account.
with_account() {
	w_do=$1
	shift
	case $account in
	own) "$w_do" "$@" ;;
	setpriv) "$w_do" setpriv "--reuid=$loan_uid" "--regid=$loan_gid" --init-groups -- "$@" ;;
	runuser) "$w_do" runuser -u "$loan_user" -- "$@" ;;
	su)
		w_words='exec'
		for w_word; do
			quote "$w_word"
			w_words="$w_words $quoted"
		done
		"$w_do" su -s /bin/sh "$loan_user" -c "$w_words"
		;;
	sudo) "$w_do" sudo -n -u "$loan_user" -- "$@" ;;
	esac
}

# as_loan runs a program as the loan's account. It gets nothing of this one's environment but the PATH.
as_loan() { with_account command env -i "PATH=$PATH" LC_ALL=C "$@"; }

# quote sets quoted to $1 as one word of the shell.
quote() {
	q_rest=$1 quoted=
	while :; do
		case $q_rest in *\'*) ;; *) break ;; esac
		quoted="$quoted${q_rest%%\'*}'\\''" q_rest=${q_rest#*\'}
	done
	quoted="'$quoted$q_rest'"
}

# find_account sets account to the way to user $1, and loan_user to whose account it is then. It fails where that is this
# program's own, with the reason in why.
find_account() {
	own_uid=$(id -u) account=own loan_user=$(id -un 2>/dev/null) why='no account is given'
	loan_user=${loan_user:-$own_uid} loan_uid=$own_uid
	[ -n "$1" ] || return 1
	why="there is no account $1 here"
	a_uid=$(id -u "$1" 2>/dev/null) && a_gid=$(id -g "$1" 2>/dev/null) || return 1
	why="$1 is root"
	[ "$a_uid" != 0 ] || return 1
	why="$1 is the account of the agent itself"
	[ "$a_uid" != "$own_uid" ] || return 1
	a_ways='sudo' a_own=$loan_user
	[ "$own_uid" != 0 ] || a_ways='setpriv runuser su'
	loan_user=$1 loan_uid=$a_uid loan_gid=$a_gid
	for account in $a_ways; do
		[ "$(as_loan id -u 2>/dev/null </dev/null)" != "$a_uid" ] || return 0
	done
	why="this program cannot become $1: $(echo $a_ways | sed 's/ /, /g') does not let $a_own"
	account=own loan_user=$a_own loan_uid=$own_uid
	return 1
}

# choose_account does what isolation asks for. It sets isolated, and files to whether the account can look into
# the place that the agent works in.
choose_account() {
	isolated=no
	if [ "$isolation" != none ] && find_account "$user"; then
		isolated=yes
	elif [ "$isolation" = required ]; then
		refuse "a separate account is required, and $why"
	elif [ "$isolation" = preferred ]; then
		say "no separate account: $why"
	else
		find_account ''
	fi
	files=closed
	for c_place in "$workspace" "$HOME"; do
		[ -z "$c_place" ] || ! as_loan sh -c '[ -r "$1" ] && [ -x "$1" ]' look "$c_place" 2>/dev/null </dev/null || files=open
	done
}

# find_java sets java to one that the loan's account may run, that of the lender's agent first. Its name is kept short of
# what would let it pass for another part of a line.
find_java() {
	for java in "$(readlink "/proc/$agent_pid/exe" 2>/dev/null)" "${JAVA_HOME-}/bin/java" "$(command -v java)"; do
		case $java in /*/java) ;; *) continue ;; esac
		! one_line "$java" || ! as_loan sh -c '[ -f "$1" ] && [ -x "$1" ]' look "$java" 2>/dev/null </dev/null || return 0
	done
	return 1
}
