# Loans: what a loan of this agent has left goes before the first step that could suffer from it. A goal that ends
# processes does that itself, and says more about it.

# lent_gone fails, with fenced set, if a process stays. It looks once.
lent_gone() {
	[ -z "$lent_looked" ] && [ "$ends" != yes ] && [ "$PITCREW_MODE-$PITCREW_PHASES" = run-all ] || return 0
	lent_looked=yes
	# Within a loan of its own agent, nothing is to be ended: it would be this program.
	[ "${PITCREW_LENT_AGENT-}-${PITCREW_LENT_CONTROLLER-}" != "$PITCREW_AGENT-$PITCREW_CONTROLLER" ] || return 0
	[ -n "$ended" ] || lent_ended || return 1
	lent_files
	return 0
}

# lent_ended ends processes.
lent_ended() {
	l_above=' ' parent=$$
	while [ "$parent" -gt 1 ] 2>/dev/null; do
		l_above="$l_above$parent "
		parent "$parent"
	done
	boot_age
	l_began=$up l_rounds=0 l_all=
	while l_left=$(lent) && [ -n "$l_left" ]; do
		[ -n "$l_all" ] || l_all=$l_left
		boot_age
		l_age=$((up - l_began)) l_rounds=$((l_rounds + 1))
		if [ "$l_rounds" -eq 1 ]; then
			kill -TERM $l_left 2>/dev/null
			kill -CONT $l_left 2>/dev/null
		elif [ "$l_age" -ge 5 ] || [ "$l_rounds" -gt 25 ]; then
			kill -KILL $l_left 2>/dev/null
		fi
		[ "$l_age" -lt 10 ] && [ "$l_rounds" -lt 60 ] || break
		nap
	done
	[ -n "$l_all" ] || return 0
	if [ -z "$l_left" ]; then
		say "ended what a loan of this agent left: processes $(echo $l_all)"
		return 0
	fi
	fenced='a loan of this agent has left what cannot be ended:'
	for l_pid in $l_left; do
		fenced="$fenced process $l_pid ($(sed -n 's/^Name:[[:space:]]*//p; s/^State:[[:space:]]*\([A-Z]\).*/state \1/p; s/^Uid:[[:space:]]*\([0-9]*\).*/user \1/p' "/proc/$l_pid/status" 2>/dev/null | tr '\n' ' ' | tr -cd ' -~'))"
	done
	return 1
}

# lent prints the processes that bear the marks of a loan of this agent.
lent() {
	for l_pid in $(bearers "PITCREW_LENT_AGENT=$PITCREW_AGENT" "PITCREW_LENT_CONTROLLER=$PITCREW_CONTROLLER"); do
		case $l_above in *" $l_pid "*) ;; *) echo "$l_pid" ;; esac
	done
}

# lent_files removes what a loan could not whose holder was killed, or its machine: its notes, which lie where only this account may
# write, and the work directory that they name.
lent_files() {
	for l_notes in "${HOME-}/.pitcrew-loans"/* "/tmp/.pitcrew-loans.$(id -u)"/*; do
		l_base=${l_notes%/*}
		[ -O "$l_base" ] && [ ! -L "$l_base" ] && [ -f "$l_notes/whose" ] || continue
		{ read -r _ && IFS= read -r l_controller && IFS= read -r l_agent && IFS= read -r _ && IFS= read -r l_user && IFS= read -r l_dir; } 2>/dev/null <"$l_notes/whose"
		[ "$l_agent-$l_controller" = "$PITCREW_AGENT-$PITCREW_CONTROLLER" ] || continue
		! lent_lives "$l_notes/holder" && ! lent_lives "$l_notes/java" || continue
		case $l_dir in *[!0-9A-Za-z/._+-]*) continue ;; */pitcrew-loan-"${l_notes##*/}") ;; *) continue ;; esac
		[ ! -e "$l_notes/made" ] || lent_remove "$l_dir" "$l_user" || {
			say "a loan of this agent has left $l_dir, which cannot be removed"
			continue
		}
		rm -rf "$l_notes"
		say "removed what a loan of this agent left: $l_dir"
	done
}

# lent_lives succeeds if the process that file $1 names is there.
lent_lives() {
	l_process=
	{ IFS= read -r l_process <"$1"; } 2>/dev/null
	[ -n "$l_process" ] || return 1
	process "${l_process%% *}"
	[ "$l_process" = "$p_process" ]
}

# lent_remove removes directory $1 as the account that it belongs to, this one or $2, so that no link in it leads anywhere else.
lent_remove() {
	for l_as in own setpriv runuser su sudo; do
		[ -e "$1" ] || [ -L "$1" ] || return 0
		if [ "$l_as" = own ]; then
			[ ! -O "$1" ] || rm -rf "$1"
			continue
		fi
		l_uid=$(id -u "$2" 2>/dev/null) && l_gid=$(id -g "$2" 2>/dev/null) || return 1
		case $l_as in
		setpriv) setpriv "--reuid=$l_uid" "--regid=$l_gid" --clear-groups rm -rf "$1" ;;
		runuser) runuser -u "$2" -- rm -rf "$1" ;;
		su) su -s /bin/sh "$2" -c "rm -rf '$1'" ;;
		sudo) sudo -n -u "$2" rm -rf "$1" ;;
		esac >/dev/null 2>&1 </dev/null
	done
	[ ! -e "$1" ] && [ ! -L "$1" ]
}
