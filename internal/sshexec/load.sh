# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
#
# Takes a program from standard input and runs it in a process group of its own. What it reads, one value a line: the word that opens
# the answer, seconds of grace, number of variables, the variables, the program's size; then the program itself.
# Its first line of output is the word, the process group and the directory. Afterwards standard input is a lease: the end of it ends
# the group, so that a program does not outlive the connection it came through.
# Exit status 125 before that first line: the program was not started.

set -u
umask 077
IFS= read -r PITCREW_SSH_WORD && IFS= read -r grace && IFS= read -r count || exit 125
while [ "$count" -gt 0 ]; do
	IFS= read -r pair || exit 125
	export "${pair?}"
	count=$((count - 1))
done
IFS= read -r size || exit 125

PITCREW_SSH_DIR=$(mktemp -d "${TMPDIR:-/tmp}/pitcrew.XXXXXXXXXX") || exit 125
dir=$PITCREW_SSH_DIR
trap 'rm -rf "$dir"' EXIT
trap 'exit 143' HUP INT TERM
head -c "$size" >"$dir/program"
if [ "$(($(wc -c <"$dir/program")))" -ne "$size" ]; then
	echo "the program did not arrive whole" >&2
	exit 125
fi
exec 3<&0 </dev/null

# The announcement is printed from inside the new group, so that whoever reads it can already end the group.
export PITCREW_SSH_WORD PITCREW_SSH_DIR PITCREW_SSH_GROUP
# shellcheck disable=SC2016 # expanded by the inner shell
run='echo "$PITCREW_SSH_WORD ${PITCREW_SSH_GROUP:-$$} $PITCREW_SSH_DIR"
unset PITCREW_SSH_WORD PITCREW_SSH_DIR PITCREW_SSH_GROUP
exec sh "$0"'
if command -v setsid >/dev/null 2>&1; then
	PITCREW_SSH_GROUP=
	setsid sh -c "$run" "$dir/program" 3<&- 2>&1 &
	program=$! group=$!
else
	# sshd makes each command a session of its own, so its group holds us and the program only.
	if read -r line 2>/dev/null </proc/$$/stat; then
		group=${line##*) }
		group=${group#* }
		group=${group#* }
		group=${group%% *}
	else
		group=$(ps -o pgid= -p $$ | tr -d ' ') || exit 125
	fi
	PITCREW_SSH_GROUP=$group
	sh -c "$run" "$dir/program" 3<&- 2>&1 &
	program=$!
fi

{
	trap '' TERM # it may be in the group that it ends
	read -r _ <&3
	end_group "$group" "$grace"
	rm -rf "$dir"
} >/dev/null 2>&1 &
lease=$!
exec 3<&-

wait "$program"
status=$?
kill -s KILL "$lease" 2>/dev/null
exit "$status"
