# process prints "pid start" of process $1, which names it for ever on this boot; nothing if it is gone.
process() {
	if [ -r "/proc/$1/stat" ]; then
		p_line=$(cat "/proc/$1/stat" 2>/dev/null)
		p_id=$1
		set -- ${p_line##*) }
		[ $# -lt 20 ] || [ "$1" = Z ] || echo "$p_id ${20}"
	elif [ ! -r /proc/self/stat ]; then
		p_start=$(ps -o lstart= -p "$1" 2>/dev/null) && echo "$1 $p_start"
	fi
}
