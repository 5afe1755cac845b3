# The cache: scrub by its digest, in a directory in which only root can have put anything.
cache_dir=/var/cache/pitcrew

# cached sets cache_file to what the cache has for digest $1. It fails if there is nothing, if anybody but root could have
# put it there, or if it is something else or cannot be executed.
cached() {
	cache_file=$cache_dir/scrub-$1
	[ -r "$cache_file" ] && roots "$cache_file" && digest <"$cache_file" && [ "$sum" = "$1" ] &&
		"$cache_file" --version >/dev/null 2>&1
}

# roots succeeds if nobody but root can change the cache's directory, what leads there, and the file $1 in it, if given.
roots() {
	ls -ldn / /var /var/cache "$cache_dir" "$@" 2>/dev/null | {
		c_count=0
		while read -r c_mode c_links c_user c_rest; do
			case $c_user-$c_mode in
			0-[d-]????[!w]??[!w]*) c_count=$((c_count + 1)) ;;
			esac
		done
		[ "$c_count" -eq $((4 + $#)) ]
	}
}

# keep_scrub puts file $1, which has the digest $2, into the cache, and removes what is older than 30 days from it.
keep_scrub() (
	umask 022
	[ -d "$cache_dir" ] || mkdir "$cache_dir" 2>/dev/null
	if ! roots; then
		echo "scrub is not kept: $cache_dir cannot be made, or others than root can write there"
		exit 0
	fi
	c_new=$cache_dir/.scrub-$2.$$
	if cp "$1" "$c_new" && chmod 755 "$c_new" && digest <"$c_new" && [ "$sum" = "$2" ] && mv -f "$c_new" "$cache_dir/scrub-$2"; then
		find "$cache_dir" -type f -name '*scrub-*' -mtime +30 -exec rm -f {} \;
	else
		rm -f "$c_new"
		echo "scrub is not kept: $cache_dir has no room, or does not take it"
	fi 2>/dev/null
)

# empty_cache removes the cache. What is in it that is not ours stays.
empty_cache="rm -f $cache_dir/scrub-* $cache_dir/.scrub-* && rmdir $cache_dir"

# engine_remove removes what this machine keeps for programs like this: the cache, and what runs of this user that are dead
# have left in the places $@.
engine_remove() {
	each_run remove_dead "$@"
	if [ -d "$cache_dir" ]; then
		if [ "$(id -u)" = 0 ]; then
			sh -c "$empty_cache"
		else
			sudo -n -- /bin/sh -c "$empty_cache" </dev/null
		fi
	fi
	if [ -e "$cache_dir" ]; then
		say "$cache_dir stays: removing it needs root"
		exit 1
	fi
	say 'nothing stays'
}
remove_dead() { lives || unseen || remove_work "$f_dir"; }
