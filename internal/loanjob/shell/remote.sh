# Remote: the same loan without a build, for who comes over SSH. It goes on when the connection has ended.

# values sets what is known about the loan from the parameters.
values() {
	loan=$PITCREW_LOAN agent=$PITCREW_AGENT controller=$PITCREW_CONTROLLER attempt=$PITCREW_ATTEMPT nonce=$PITCREW_NONCE
	dir=${PITCREW_LOAN_DIR-} user=${PITCREW_LOAN_USER-} isolation=${PITCREW_LOAN_ISOLATION-} workspace=
}

# start begins a loan, and returns when the agent program is connected, or the loan is over.
start() {
	bind_loan
	values
	jar=${PITCREW_LOAN_JAR-}
	case $jar in /*) ;; *) jar=$PWD/$jar ;; esac
	begin_state
	detached=yes
	find_session
	: >"$state/log"
	become in_session >"$state/log" 2>&1 </dev/null &
	holder=$!
	process "$holder"
	s_holder=$p_process
	[ -z "$s_holder" ] || printf '%s\n' "$s_holder" >"$state/holder"
	until grep -q "^pitcrew-loan [^ ]* \(refused\|failed\|connected\|ended\)" "$state/log"; do
		lives "$s_holder" || break
		nap
	done
	cat "$state/log"
	if lives "$s_holder" && grep -q "^pitcrew-loan [^ ]* connected\$" "$state/log"; then
		exit 0
	fi
	wait "$holder"
	code=$?
	rm -rf "$state"
	exit "$code"
}

# status says whether the loan lives here: 0 if it does, 3 if not. What it has said comes first.
status() {
	values
	find_base && know_loan "$base/$loan" || {
		sentinel 'status known=no alive=no'
		exit 3
	}
	[ ! -f "$base/$loan/log" ] || cat "$base/$loan/log"
	if lives "$k_holder" || lives "$k_java"; then
		sentinel 'status known=yes alive=yes'
		exit 0
	fi
	sentinel 'status known=yes alive=no'
	exit 3
}

# end ends the loan, whoever holds it, and proves it. Ended already is success.
end() {
	values
	find_base || refuse "nowhere to look for what is known about the loan: $base is not a directory of this account alone"
	k_java= k_dir=
	if know_loan "$base/$loan"; then
		isolation=$k_isolation user=$k_user
		[ -e "$base/$loan/made" ] || k_dir=
		end_holder
		[ ! -f "$base/$loan/log" ] || sed 's/^/| /' "$base/$loan/log"
	fi
	[ "$isolation" != none ] || user=
	find_account "$user" || true
	end_loan "$loan" "$k_java"
	put_keys_back "$base/$loan"
	remove_dir "$k_dir"
	sentinel "ended reason=asked code=none left=$left dir=$gone nonce=$nonce"
	[ "$left-$gone" = 0-gone ] || exit 70
	rm -rf "${base:?}/$loan"
	exit 0
}

# end_holder ends the program that holds the loan, which ends the loan itself, within half a minute.
end_holder() {
	clock
	h_began=$now
	! lives "$k_holder" || kill -TERM "${k_holder%% *}" 2>/dev/null
	while lives "$k_holder"; do
		clock
		if [ $((now - h_began)) -ge 30 ]; then
			kill -KILL "${k_holder%% *}" 2>/dev/null
			nap
			return
		fi
		nap
	done
}
