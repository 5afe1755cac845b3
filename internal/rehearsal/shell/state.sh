#!/bin/sh
# Says what is on this machine, a line for each thing: state, kind, name and what it is like, between tabs. It changes nothing.
LC_ALL=C
export LC_ALL
PATH=$PATH:/usr/sbin:/sbin

tell() { sed "s/^/state	$1	/"; }

packages() {
	if command -v rpm >/dev/null && [ -d /var/lib/rpm ] || [ -d /usr/lib/sysimage/rpm ]; then
		rpm -qa --qf '%{NAME}.%{ARCH}\t%{EVR}\n' 2>/dev/null
	fi
	[ ! -d /var/lib/dpkg ] || dpkg-query -W -f '${binary:Package}\t${Version}\n' 2>/dev/null
	! command -v apk >/dev/null || apk info -v 2>/dev/null | sed 's/$/	installed/'
}

services() {
	[ -d /run/systemd/system ] || return 0
	systemctl list-unit-files --type=service --no-legend --no-pager 2>/dev/null | awk '{ print "enabled " $1 "\t" $2 }'
	systemctl list-units --type=service --state=running --plain --no-legend --no-pager 2>/dev/null | awk '{ print "running " $1 "\tyes" }'
}

mounts() {
	[ ! -r /proc/self/mounts ] || awk '$2 !~ "^/proc/" { print $2 "\t" $3 " " $1 }' /proc/self/mounts
}

users() { awk -F : '{ print $1 "\t" $3 ":" $4 ":" $6 ":" $7 }' /etc/passwd; }

# Names are cut at a line end: one that has it shows as two, which is no less a difference.
files() {
	for path; do
		[ ! -e "$path" ] || find "$path" -xdev -exec ls -ldn {} + 2>/dev/null |
			awk '{ name = $0; for (i = 0; i < 8; i++) sub("^ *[^ ]+ +", "", name)
				size = $1 ~ "^d" ? "" : " " $5; print name "\t" $1 " " $3 ":" $4 size }'
	done
}

ports() {
	for table in tcp tcp6; do
		[ ! -r "/proc/net/$table" ] || awk -v table="$table" '$4 == "0A" { print table " " $2 "\tuser " $8 }' "/proc/net/$table"
	done
	for table in udp udp6; do
		[ ! -r "/proc/net/$table" ] || awk -v table="$table" '$4 == "07" { print table " " $2 "\tuser " $8 }' "/proc/net/$table"
	done
}

main() {
	for kind in packages services mounts users ports; do
		$kind | tell $kind
	done
	files "$@" | tell files
	echo 'state end'
}
