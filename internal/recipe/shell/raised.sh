# Raised stage: the root's side of a raised step. It stands in root's own directory, from which it takes what was sent
# along with it. Standard input stays open as long as the step may run: its end ends the step.
exec 7<&0 8>&2 </dev/null 2>&1
at=$stage_size scrub=$root_dir/scrub

# part takes the next $2 bytes for file $1, proves them by their digest $3 on the descriptor 9, which stays open, and
# gives the file mode $4.
part() {
	case $1 in */*) mkdir -p "${1%/*}" ;; esac
	tail -c "+$((at + 1))" all | head -c "$2" >"$1"
	at=$((at + $2))
	exec 9<"$1"
	digest <&9 && [ "$sum" = "$3" ] || refuse "$1 was changed before root had it"
	chmod "$4" "$1"
}

# from_cache does the same with scrub of digest $1 from the cache.
from_cache() {
	cached "$1" && exec 9<"$cache_file" && digest <&9 && [ "$sum" = "$1" ] || refuse 'scrub has gone from the cache, or was changed there'
	scrub=$cache_file
}

refuse() {
	printf 'pitcrew deny %s\n' "$1" >&8
	exit 125
}

raised_script() {
	exec 9<&-
	raised_run "$@"
}

# raised_goal runs scrub, which is what descriptor 9 has, with the verb $1 and the environment after it.
raised_goal() {
	verb=$1 program=/proc/self/fd/9
	shift
	sh -c '[ -r /proc/self/fd/9 ]' 2>/dev/null || program=$scrub
	"$program" --version >/dev/null 2>&1 || refuse "no place of the recipe that is root's alone allows execution"
	raised_run "$@" "$program" "$verb" "$root_dir/spec" --result "$root_dir"
	[ ! -s result ] || [ "$(wc -l <result)" -ne 1 ] || { printf 'pitcrew result ' && cat result; } >&8
	[ ! -s reason ] || printf 'pitcrew reason %s\n' "$(head -c 500 reason | tr '\n' ' ')" >&8
}

# raised_run runs a command with the environment given before it, in a session of its own.
raised_run() {
	rm -f all
	find_session
	home=~root
	[ -d "$home" ] || home=/
	mkdir -p files
	[ "$session" != monitor ] || set -m
	(
		exec 7<&- 8>&-
		umask 022
		ulimit -c 0 2>/dev/null
		cd files && in_session env -i "HOME=$home" USER=root LOGNAME=root SHELL=/bin/sh "PATH=$PATH" \
			"SUDO_UID=${SUDO_UID-}" "SUDO_GID=${SUDO_GID-}" "SUDO_USER=${SUDO_USER-}" "$@"
	) &
	step=$!
	set +m
	(
		exec 8>&-
		while read -r beat <&7; do :; done
		end_session "$step" 15
	) >/dev/null 2>&1 &
	watcher=$!
	exec 7<&-
	wait "$step"
	code=$?
	kill -KILL "$watcher" 2>/dev/null
	wait "$watcher" 2>/dev/null
	left=$(members "$step" | wc -w | tr -d ' ')
	if [ "$left" -gt 0 ]; then
		echo "ended $left processes it left behind"
		end_session "$step" 10 || printf 'pitcrew unkillable %s\n' "$victims" >&8
	fi
	printf 'pitcrew exit %s\n' "$code" >&8
}
