# Persons: a loan to a person is one key for the loan's account, until a time that sshd itself keeps. Agents of one machine may share
# the account: what other loans started as it is left to their own ends, and no second person gets it meanwhile.

# bind_person looks at whose account it is. The agent's own is never lent to a person.
bind_person() {
	PITCREW_LOAN_ISOLATION=required
	bind_account
	values
	find_account "$user" || refuse "a loan to a person needs an account of its own, and $why"
	home=$(eval "echo ~$loan_user")
	case $home in /*) ;; *) refuse "$loan_user has no home" ;; esac
	find_base || refuse "nowhere to keep what is known about the loan: $base is not a directory of this account alone"
}

# grant_ssh lets the key in.
grant_ssh() {
	bind_person
	number "${PITCREW_LOAN_LIMIT-}" || refuse 'PITCREW_LOAN_LIMIT is not a number of seconds'
	set -f
	set -- ${PITCREW_LOAN_KEY-}
	set +f
	case ${1-} in
	ssh-ed25519 | ssh-rsa | ecdsa-sha2-nistp256 | ecdsa-sha2-nistp384 | ecdsa-sha2-nistp521 | sk-ssh-ed25519@openssh.com | sk-ecdsa-sha2-nistp256@openssh.com) ;;
	*) refuse 'PITCREW_LOAN_KEY is not a public key' ;;
	esac
	case ${2-} in
	'' | *[!0-9A-Za-z+/=]*) refuse 'PITCREW_LOAN_KEY is not a public key' ;;
	esac
	# In the time of this machine, as sshd reads it; its name for UTC is known since OpenSSH 9.1 only.
	g_end=$(($(date +%s) + PITCREW_LOAN_LIMIT))
	g_until=$(unset TZ; date -d "@$g_end" +%Y%m%d%H%M%S 2>/dev/null || date -r "$g_end" +%Y%m%d%H%M%S 2>/dev/null)
	case $g_until in *[!0-9]*) g_until= ;; esac
	[ ${#g_until} -eq 14 ] || refuse 'no way to compute a date here'
	mkdir -p "$base/$loan" && process $$ && boot_id && printf '%s\n' "$p_process" "$id" "$g_end $user" >"$base/$loan/granted" && note_keys "$base/$loan" ||
		refuse "cannot write to $base/$loan"
	g_other=$(granted_besides)
	[ -z "$g_other" ] || {
		rm -rf "${base:?}/$loan"
		refuse "$loan_user is lent to another person here, by loan $g_other: what two of them begin cannot be told apart"
	}
	g_said=$(rewrite_keys "restrict,pty,expiry-time=\"$g_until\" $1 $2 pitcrew-loan-$loan") || {
		sentinel "failed dir=gone cannot write the keys of $loan_user: $(plain "$g_said")"
		exit 74
	}
	sentinel "granted user=$loan_user until=$g_until"
	exit 0
}

# granted_besides prints another loan that has let somebody into the account, on this boot of the machine, and not longer than it may.
# Of two that begin at once, at least one sees the other.
granted_besides() {
	for g_dir in "$base"/*; do
		g_boot= g_user=
		[ "$g_dir" != "$base/$loan" ] || continue
		{ IFS= read -r _ && IFS= read -r g_boot && read -r g_end g_user; } 2>/dev/null <"$g_dir/granted"
		[ "$g_user-$g_boot" = "$user-$id" ] && [ "$g_end" -gt "$(date +%s)" ] || continue
		printf '%s' "${g_dir##*/}"
		return
	done
}

# revoke_ssh takes the key away, with every other that was let in since, and ends what the account has begun since it was.
# What still ran may have let another in: the keys are looked at again when nothing does.
revoke_ssh() {
	bind_person
	left=0 r_rounds=0
	while :; do
		r_said=$(restore_keys "$base/$loan") || {
			sentinel "failed dir=gone cannot write the keys of $loan_user: $(plain "$r_said")"
			exit 74
		}
		[ "$r_rounds" -eq 0 ] || [ -n "$r_said" ] || break
		r_rounds=$((r_rounds + 1))
		if [ "$r_rounds" -gt 3 ]; then
			left=$((left + 1))
			break
		fi
		[ ! -f "$base/$loan/granted" ] || end_since
	done
	sentinel "ended reason=asked code=none left=$left dir=gone nonce=$nonce"
	[ "$left" -eq 0 ] || exit 70
	rm -rf "${base:?}/$loan"
	exit 0
}

# end_since ends the processes of the account that began after the key was let in; on another boot, all have.
end_since() {
	{ IFS=' ' read -r s_pid s_since && IFS= read -r s_boot; } <"$base/$loan/granted"
	boot_id
	[ "$id" = "$s_boot" ] || s_since=0
	clock
	e_began=$now
	while e_left=$(begun_since "$loan_uid" "$s_since") && [ -n "$e_left" ]; do
		clock
		e_age=$((now - e_began))
		[ "$e_age" -lt 12 ] || break
		if [ "$e_age" -ge 5 ]; then send KILL "$e_left"; else send TERM "$e_left"; fi
		nap
	done
	left=$(echo "$e_left" | wc -w)
	left=$((left))
}

# begun_since prints the living processes of user id $1 that began after the instant $2, in the kernel's ticks, and are of no other loan.
begun_since() {
	b_all= b_theirs=
	for b_pid in /proc/[0-9]*; do
		b_pid=${b_pid#/proc/}
		b_uids=
		{ while read -r b_key b_rest; do
			[ "$b_key" != Uid: ] || { b_uids=$b_rest && break; }
		done <"/proc/$b_pid/status"; } 2>/dev/null
		case "$b_uids	" in
		*"$1	"*) ;;
		*) continue ;;
		esac
		process "$b_pid"
		[ -z "$p_process" ] || [ "${p_process#* }" -le "$2" ] || b_all="$b_all $b_pid"
	done
	[ -z "$b_all" ] || b_theirs=" $(theirs | tr '\n' ' ') " # looked for afterwards, so that none of them is too young for it
	for b_pid in $b_all; do
		case $b_theirs in *" $b_pid "*) ;; *) echo "$b_pid" ;; esac
	done
}

# theirs prints the processes of other loans that live here.
theirs() {
	for t_dir in "$base"/*; do
		[ "$t_dir" != "$base/$loan" ] && know_loan "$t_dir" || continue
		! lives "$k_holder" || { members "${k_holder%% *}" && echo; }
		! lives "$k_java" || { (agent=$k_agent && victims "${t_dir##*/}" "$k_java") && echo; }
	done
}
