#!/bin/sh
# Kills the program that runs on this agent, as a machine that is out of memory would: without a word, and alone. It is
# told by its command line and by whom it descends from: the agent program that this was started by, too.
agent=$PPID
[ -r /proc/self/stat ] || { echo 'kill skipped: there is no /proc here'; exit 0; }

parent() {
	k_stat=
	read -r k_stat <"/proc/$1/stat" || return 1
	set -- ${k_stat##*) }
	parent=$2
}

descends() {
	parent=$1
	while [ "$parent" -gt 1 ] 2>/dev/null; do
		[ "$parent" != "$agent" ] || return 0
		parent "$parent" || return 1
	done 2>/dev/null
	return 1
}

# hunt sets victims to the programs that are at a step. Words of a command line come without what stands between them: no
# shell reads that, and a process for each look would take too long.
hunt() {
	victims=
	for command in /proc/[0-9]*/cmdline; do
		words=
		IFS= read -r words <"$command"
		case $words in
		sh/*/pitcrew.*/lib/engine/*) ;;
		*) continue ;;
		esac
		pid=${command#/proc/}
		pid=${pid%/cmdline}
		dir=${words#sh}
		set -- "${dir%%/lib/engine/*}"/[0-9]*/tail
		[ ! -e "$1" ] || ! descends "$pid" || victims="$victims $pid"
	done 2>/dev/null
}

echo 'kill ready'
rounds=0
until hunt && [ -n "$victims" ]; do
	rounds=$((rounds + 1))
	[ "$rounds" -lt 6000 ] || { echo 'kill missed: no program came to a step'; exit 0; }
	sleep 0.1 2>/dev/null || sleep 1
done
kill -KILL $victims
echo "kill done:$victims"
