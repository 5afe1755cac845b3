# Lineage: whose child this is.

# find_agent sets agent_pid to the process of the agent, the nearest ancestor that is a Java machine; it fails if there is none.
find_agent() {
	agent_pid=$PPID
	while [ "$agent_pid" -gt 1 ] 2>/dev/null; do
		a_name=
		{ IFS= read -r a_name <"/proc/$agent_pid/comm"; } 2>/dev/null || a_name=$(ps -o comm= -p "$agent_pid" 2>/dev/null)
		case ${a_name##*/} in
		java*) return 0 ;;
		esac
		parent "$agent_pid"
		agent_pid=$parent
	done
	agent_pid=0
	return 1
}

# image prints a number that process $1 keeps until it begins a program anew in its place (exec), as an agent without
# -noReconnect does: the kernel tells each program where it has laid it out, at random. Nothing where that is not shown.
image() {
	{ cksum <"/proc/$1/auxv"; } 2>/dev/null | { read -r i_image _ && printf '%s' "$i_image"; }
}
# parent sets parent to the process number of the parent of $1, 0 if it has none.
parent() {
	if stat_of "$1"; then
		set -- $p_stat
	else
		set -- - $(ps -o ppid= -p "$1" 2>/dev/null)
	fi
	parent=${2-0}
}

# boot_id sets id to what names this boot of the machine.
boot_id() {
	id=
	{ IFS= read -r id </proc/sys/kernel/random/boot_id; } 2>/dev/null
	[ -n "$id" ] || id=$(sed -n 's/^btime /boot-/p' /proc/stat 2>/dev/null || sysctl -n kern.boottime 2>/dev/null)
}

# bearers prints the processes whose environment has all of the variables $@, NAME=VALUE, as far as this user sees them. The
# text is that of another shell, so that another user can run it. Not every grep ends a line at a zero.
bearers() { sh -c "$bearers_text" bearers "$@" 2>/dev/null </dev/null; }
bearers_text='has() { grep -lszxF -e "$@"; }
printf "a\0b\0" | grep -qzxF b || has() {
	entry=$1
	shift
	for file; do tr "\0" "\n" <"$file" | grep -qxF -e "$entry" && echo "$file"; done
}
first=$1
shift
has "$first" /proc/[0-9]*/environ | while read -r found; do
	for entry; do [ -n "$(has "$entry" "$found")" ] || continue 2; done
	found=${found#/proc/}
	echo "${found%/environ}"
done'
