#!/bin/sh
# Drops the databases whose whole name matches one of the patterns in DATABASES, and believes it only after looking again.
set -eu

as_postgres() { runuser -u postgres -- "$@" </dev/null; }

# matching prints the names of the databases that are to go, one a line.
matching() {
	names=$(as_postgres psql -X -q -A -t -d postgres -c 'select datname from pg_database where not datistemplate') || return
	printf '%s\n' "$names" | while IFS= read -r name; do
		for pattern in $DATABASES; do
			# shellcheck disable=SC2254 # it is a pattern
			case $name in
			$pattern) printf '%s\n' "$name" && break ;;
			esac
		done
	done
}

set -f # the patterns are not of files
going=$(matching)
printf '%s' "${going:+$going
}" | while IFS= read -r name; do
	as_postgres dropdb -- "$name"
	echo "dropped $name"
done
left=$(matching)
[ -z "$left" ] || { echo "still there: $left" >&2 && exit 1; }
