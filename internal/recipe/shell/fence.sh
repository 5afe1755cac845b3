# Fence: no two runs of one agent work on a machine at once. A run whose agent was cut off lives on, unseen by Jenkins: the
# next one ends it before its own first step. Each run writes down whose it is before it looks for others. So of two that
# start at the same instant at least one sees the other, and the numbers of their attempts say which of them gives way.

# alive succeeds if the process that $1 names, as process says it, lives.
alive() {
	[ -n "$1" ] || return 1
	process "${1%% *}"
	[ "$1" = "$p_process" ]
}

# each_run calls function $1 for every directory f_dir of another run of this user in the places that follow.
each_run() {
	f_do=$1
	shift
	process $$
	f_ours=$p_process
	process_space
	for f_place; do
		case $f_place in /*) ;; *) continue ;; esac
		for f_dir in "$f_place"/pitcrew.*; do
			! know_run 2>/dev/null || "$f_do"
		done
	done
}

# know_run reads what the run in f_dir wrote about itself. It fails if there is none, or only this one. Builds of the same user can
# put a pipe there, at which reading would never end.
know_run() {
	f_engine= f_attempt=0 f_controller= f_agent= f_space=
	[ -d "$f_dir" ] && [ ! -L "$f_dir" ] && [ -O "$f_dir" ] && [ -f "$f_dir/lib/process" ] && [ -f "$f_dir/lib/whose" ] || return 1
	read -r f_engine <"$f_dir/lib/process"
	[ -n "$f_engine" ] && [ "$f_engine" != "$f_ours" ] || return 1
	{ read -r f_attempt && IFS= read -r f_controller && IFS= read -r f_agent && read -r f_space; } <"$f_dir/lib/whose"
	know_step
}
know_step() {
	f_step=
	[ ! -s "$f_dir/lib/step" ] || read -r f_step <"$f_dir/lib/step"
	return 0 # between two steps there is none
}

lives() { alive "$f_engine" || alive "$f_step"; }

# unseen succeeds if the run may live where we do not see it: in another container, say, that shares the place.
unseen() { [ -n "$f_space" ] && [ "$f_space" != "$p_space" ]; }

# rival succeeds if the run is of this agent. By hand no controller is known: then the name of the agent is enough.
rival() {
	[ "$f_agent" = "$PITCREW_AGENT" ] || return 1
	[ "$PITCREW_MODE" = hand ] || [ "$f_controller" = "$PITCREW_CONTROLLER" ]
}

# yield_to ends this run if the one in f_dir is of this agent and goes before it: a later attempt, this very attempt, or
# any for a run by hand.
yield_to() {
	rival && lives || return 0
	if [ "$PITCREW_MODE" != hand ]; then
		[ "$f_attempt" -ge "$PITCREW_ATTEMPT" ] || return 0
		# What a dead run of this very attempt left is no run, and is ended.
		[ "$f_attempt" -gt "$PITCREW_ATTEMPT" ] || alive "$f_engine" || return 0
	fi
	say "refused: another run of this agent, attempt $f_attempt, lives here: process ${f_engine%% *}; nothing was touched"
	exit 78
}

# clear_run ends the run in f_dir if it is of this agent, and removes what a dead one left. An agent lives in one place at a time: an
# earlier run of ours that we do not see went with the container that it was in.
clear_run() {
	if lives; then
		yield_to
		rival || return 0
		f_again=yes
		say "ends an earlier run of this agent, attempt $f_attempt, process ${f_engine%% *}"
		if ! end_run; then
			fenced="an earlier run of this agent, attempt $f_attempt, still lives: processes $victims"
			return
		fi
	elif unseen && ! rival; then
		return
	fi
	[ ! -d "$f_dir" ] || remove_work "$f_dir"
}

# end_run ends the run in f_dir: its engine ends its own step and cleans up, within 15 s or so; whatever is left then is
# killed. It fails, with the rest in victims, if something cannot be killed.
end_run() {
	f_round=0
	while alive "$f_engine" && [ "$f_round" -lt 75 ]; do
		[ "$f_round" -gt 0 ] || kill -TERM "${f_engine%% *}" 2>/dev/null
		[ "$f_round" -gt 0 ] || kill -CONT "${f_engine%% *}" 2>/dev/null
		f_round=$((f_round + 1))
		nap
	done
	if alive "$f_engine"; then
		know_step 2>/dev/null
		end_session "${f_engine%% *}" 0 || return 1
	fi
	[ -n "$f_step" ] || return 0
	# Another process with the number of the step's first means that nothing is left of its session.
	process "${f_step%% *}"
	[ "${p_process:-$f_step}" != "$f_step" ] || end_session "${f_step%% *}" 10
}

# fence makes this the only run of its agent in the places $@. If it cannot, fenced says why.
fence() {
	fenced= f_again=yes
	each_run yield_to "$@"
	while [ -n "$f_again" ] && [ -z "$fenced" ]; do
		f_again=
		each_run clear_run "$@"
	done
}
