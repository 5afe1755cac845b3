# Loans: what a loan of this agent has left is ended before the first step that could suffer from it. A goal that ends
# processes does so itself, and says more about it.

# lent_gone fails, with fenced set, if something stays. It looks once.
lent_gone() {
	[ -z "$ended$lent_looked" ] && [ "$ends" != yes ] && [ "$PITCREW_MODE-$PITCREW_PHASES" = run-all ] || return 0
	lent_looked=yes
	# Within a loan of its own agent, nothing is to be ended: it would be this program.
	[ "${PITCREW_LENT_AGENT-}-${PITCREW_LENT_CONTROLLER-}" != "$PITCREW_AGENT-$PITCREW_CONTROLLER" ] || return 0
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
