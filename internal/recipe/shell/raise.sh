# Raising: a step that needs root where the program is not root gets it from sudo, for itself alone. Root takes nothing
# from a file that the user could change: sudo is given a text (prove.sh) which takes all that the step needs from a pipe,
# to where only root can write, and proves it there.

# may_raise fails, with why set, until a goal has ended the processes of this user that are ours to end. Where only the
# verify phase runs, that goal is judged.
may_raise() {
	why="nothing is raised before the goal 'processes' is reached as this user"
	[ -n "$enders" ] && [ -z "$ended" ] || return 0
	[ "$PITCREW_PHASES" = verify ] || return 1
	for e in $enders; do
		"when_$e" || continue
		why='nothing is raised while processes of earlier builds are there'
		(proved_scrub && "$@" "PITCREW_ENGINE=$$" "$s_program" verify "$work/$e/script")
		return
	done
	return 1
}

# unraised gives up step r_n for reason $1.
unraised() {
	echo "$1"
	printf '%s' "$1" >"$work/$r_n/reason"
	exit 125
}

# raise becomes step $1 as root. $2 is the function of the raised stage that runs it, $3 the end of its command, in the
# words of the shell; then follows the command that sets its environment.
raise() {
	r_n=$1 r_entry=$2 r_tail=$3
	shift 3
	may_raise "$@" || unraised "$why"
	command -v sudo >/dev/null 2>&1 || unraised 'it needs root, and there is no sudo here'
	[ "$hasher" != cksum ] || unraised 'it needs root, and nothing here computes the SHA-256 by which root proves what it runs'
	stage="$raise_stage
" r_total=0
	"raised_$r_n" hand_line
	stage=$stage$r_entry
	shift 2 # env -i
	for r_word; do
		case $r_word in
		HOME=* | USER=* | LOGNAME=* | SHELL=* | PATH=* | TMPDIR=* | XDG_RUNTIME_DIR=*) continue ;;
		esac
		quote "$r_word"
		stage="$stage $quoted"
	done
	stage=$stage$r_tail
	r_size=$(print_line "$stage" | wc -c)
	r_size=$((r_size)) r_total=$((r_total + r_size))
	r_dir=$work/$r_n/raised
	rm -rf "$r_dir"
	mkdir "$r_dir" && mkfifo "$r_dir/in" "$r_dir/said" "$r_dir/code" || exit 126
	digested "$(print_line "$stage" | $hasher)"
	attend &
	with_places in_session env -i "PATH=$PATH" LC_ALL=C sh -c "$raise_wait" raise "$r_dir" \
		sudo -n -- /bin/sh -c "$raise_prove" pitcrew "$r_total" "$r_size" "$sum"
}

# The first process of the step: it ends with the code that the attendant makes of what root's side said. It has the pipe for
# that open from the beginning, in both directions: the attendant of a process that was ended finds nobody, and does not wait.
raise_wait='d=$1; shift; exec 7<>"$d/code"; "$@" <"$d/in" 2>"$d/said" 7>&-; IFS= read -r code <&7; exit "${code:-125}"'

# hand_line adds to the stage that part $1 comes next: size $2, digest $3, mode $4; hand_bytes prints so many bytes, from
# file $5, whatever has become of that.
hand_line() {
	quote "$1"
	stage="${stage}part $quoted $2 $3 $4
" r_total=$((r_total + $2))
}
hand_bytes() { { cat "$5"; cat /dev/zero; } | head -c "$2"; }

# hand_scrub does with scrub what $1 does: it comes as a part, unless root can take it from the cache.
hand_scrub() {
	case $1-$scrub in
	*"-$work/"*) "$1" scrub "$scrub_size" "$scrub_sum" 500 "$scrub" ;;
	hand_line-*)
		stage="${stage}from_cache $scrub_sum
"
		return
		;;
	*) return ;;
	esac
	[ "$cache-$1" != yes-hand_line ] || stage="${stage}keep_scrub scrub $scrub_sum
"
}

# quote sets quoted to $1 as one word of the shell.
quote() {
	q_rest=$1 quoted=
	while :; do
		case $q_rest in *\'*) ;; *) break ;; esac
		quoted="$quoted${q_rest%%\'*}'\\''" q_rest=${q_rest#*\'}
	done
	quoted="'$quoted$q_rest'"
}

# attend hands root's side what it needs, and holds the pipe open for it until it has nothing more to say. When this
# process is ended, as all of a step's are when its limit has passed, root's side ends the step.
attend() {
	trap '' PIPE
	trap - EXIT TERM INT HUP
	exec 8>"$r_dir/code"
	{
		print_line "$stage"
		"raised_$r_n" hand_bytes
		r_said=$(cat <&6)
	} 2>/dev/null >"$r_dir/in" 6<"$r_dir/said"
	r_began= r_code= r_words=
	while IFS= read -r r_line; do
		r_rest=${r_line#pitcrew * }
		case $r_line in
		'pitcrew began') r_began=yes ;;
		'pitcrew exit '*) r_code=$r_rest ;;
		'pitcrew deny '* | 'pitcrew reason '*) printf '%s' "$r_rest" >"$work/$r_n/reason" ;;
		'pitcrew result '*) print_line "$r_rest" >"$work/$r_n/result" ;;
		'pitcrew unkillable '*) printf '%s' "$r_rest" >"$work/unkillable" ;;
		?*)
			print_line "$r_line"
			r_words=${r_words:-${r_line#sudo: }}
			;;
		esac
	done <<SAID
$r_said
SAID
	if [ -z "$r_began" ]; then
		printf '%s' "it needs root, and $(sudo_refusal "$r_words")" >"$work/$r_n/reason"
	elif [ -z "$r_code" ] && [ ! -s "$work/$r_n/reason" ]; then
		printf 'its raised part ended without a word' >"$work/$r_n/reason"
	fi
	echo "${r_code:-125}" 2>/dev/null >&8
}

# sudo_refusal says why sudo, which said $1, does not raise.
sudo_refusal() {
	if sudo -n -l >/dev/null 2>&1 </dev/null; then
		echo "the sudoers of this machine allow this user only certain commands without a password; raising needs /bin/sh, or a rule such as: $(id -un) ALL=(root) NOPASSWD: ALL"
	else
		echo "sudo refuses: ${1:-it says no reason}"
	fi
}
