# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0

# group_lives GROUP: does a process of the group run? Zombies that nobody has collected do not count.
group_lives() {
	# Asking kill is the second choice, because a kill that dislikes its arguments looks like a group that has ended.
	if ! [ -r /proc/self/stat ]; then
		kill -0 "-$1" 2>/dev/null
		return
	fi
	for stat in /proc/[0-9]*/stat; do
		read -r line 2>/dev/null <"$stat" || continue
		# After the command's name, which may hold anything, come state, parent and group.
		rest=${line##*) }
		state=${rest%% *}
		rest=${rest#* }
		rest=${rest#* }
		[ "${rest%% *}" = "$1" ] && [ "$state" != Z ] && return 0
	done
	return 1
}

# end_group GROUP GRACE: TERM, and after GRACE seconds KILL. Succeeds when no process of the group runs any more.
end_group() {
	for signal in TERM KILL; do
		# The old form, without -s and --: it is the only one that dash and busybox both take for a group.
		kill "-$signal" "-$1" 2>/dev/null
		limit=$(($(date +%s) + $2))
		while group_lives "$1"; do
			[ "$(date +%s)" -lt "$limit" ] || continue 2
			sleep 0.1 2>/dev/null || sleep 1
		done
		return 0
	done
	return 1
}
