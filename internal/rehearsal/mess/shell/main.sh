# Main: settings are checked before anything is done.

refuse() {
	echo "mess: $*" >&2
	exit 2
}

# plain refuses a path, $2, of the setting $1 that the ledger or the kernel's tables could not hold as it is.
plain() {
	case $2 in
	/*) ;;
	*) refuse "$1 must be an absolute path, and is '$2'" ;;
	esac
	case $2 in *[[:cntrl:]]* | *//* | */ | */. | */.. | */./* | */../*) refuse "$1 must be a plain path, and is '$2'" ;; esac
}

number() {
	case $2 in '' | *[!0-9]*) refuse "$1 must be a number, and is '$2'" ;; esac
}

settings() {
	dir=${MESS_DIR-} tmp=${MESS_TMP-} ledger=${MESS_LEDGER-} life=${MESS_LIFE-3600}
	plain MESS_DIR "$dir"
	plain MESS_TMP "$tmp"
	plain MESS_LEDGER "$ledger"
	case $ledger in "$dir"/* | "$tmp"/*) refuse "MESS_LEDGER must not be in MESS_DIR or MESS_TMP: the candidate may delete it" ;; esac
	fill_limit=${MESS_FILL_LIMIT_KB-524288} fill_margin=${MESS_FILL_MARGIN_KB-256} fill_quota=${MESS_FILL_QUOTA_KB-65536}
	number MESS_LIFE "$life"
	number MESS_FILL_LIMIT_KB "$fill_limit"
	number MESS_FILL_MARGIN_KB "$fill_margin"
	number MESS_FILL_QUOTA_KB "$fill_quota"
	user=${MESS_USER-} as=
	if [ -n "$user" ] && [ "$user" != "$(id -un)" ]; then
		[ "$(id -u)" = 0 ] || refuse "only root can leave a mess that belongs to $user"
		id "$user" >/dev/null 2>&1 || refuse "there is no user $user"
		command -v setpriv >/dev/null || refuse "setpriv is missing: run this as $user"
		as="setpriv --reuid=$(id -u "$user") --regid=$(id -g "$user") --clear-groups"
	fi
	mark=mess-$id label=io.github.pitcrew-ci.mess
	bound=
	if command -v timeout >/dev/null; then bound='timeout 60'; fi
	umask 022
}

bounded() {
	b_seconds=$1
	shift
	if [ -n "$bound" ]; then timeout "$b_seconds" "$@"; else "$@"; fi
}

make() {
	[ -d "$dir" ] && [ -d "$tmp" ] || refuse "MESS_DIR $dir and MESS_TMP $tmp must be directories"
	( umask 077 && set -C && : >"$ledger" ) 2>/dev/null || refuse "cannot make $ledger, or it is there already: undo first, and remove it"
	note "boot - $(boot)"
	if [ -r /proc/self/stat ]; then note "process - $$ $(start_of $$)"; fi
	each_maker make_one
}

undo() {
	failed=0
	if [ ! -f "$ledger" ]; then
		each_maker without_ledger
		return "$failed"
	fi
	same_boot=no
	[ "$(lines boot -)" != "$(boot)" ] || same_boot=yes
	note "closed -"
	left= did=
	end_processes - # a make that still runs
	[ -z "$left" ] || refuse "make still runs: $left"
	each_maker undo_one
	return "$failed"
}

# without_ledger believes that maker $1 has made nothing, unless its place tells otherwise.
without_ledger() {
	for w_each in "$dir/$mark-$1" "$tmp/$mark-$1"; do
		if there "$w_each"; then
			echo "mess $1 LEFT $w_each is there, and the ledger $ledger is not"
			failed=1
			return
		fi
	done
	echo "mess $1 gone"
}

main() {
	settings
	case ${1-} in
	make) make ;;
	undo) undo ;;
	*) refuse "say make or undo" ;;
	esac
}
