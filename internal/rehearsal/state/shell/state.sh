#!/bin/sh
# Prints the state of this machine. Made by pitcrew: change it there, not here.

LC_ALL=C
export LC_ALL
tab=$(printf '\t')
most_lines=20000

# section puts its name before each line; a line that is too long is no part of any format here.
section() { cut -b 1-8192 | sed "s/^/$1$tab/" | head -n "$most_lines"; }

fact() { [ -z "$2" ] || printf 'fact\t%s=%s\n' "$1" "$(printf '%s' "$2" | tr -c '[:print:]' ' ' | cut -b 1-2000)"; }

unread() { printf 'unread\t%s %s\n' "$1" "$2"; }

has() { command -v "$1" >/dev/null 2>&1; }

packages() {
	any=
	# A tool without a database is a guest here.
	if has dpkg-query && [ -s /var/lib/dpkg/status ]; then
		dpkg-query -W -f '${binary:Package} ${Version} ${db:Status-Abbrev}\n' 2>/dev/null | section dpkg
		any=dpkg
	fi
	if has rpm && { [ -d /var/lib/rpm ] || [ -d /usr/lib/sysimage/rpm ]; }; then
		rpm -qa --qf '%{NAME}.%{ARCH} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n' 2>/dev/null | section rpm
		any=rpm
	fi
	if [ -r /lib/apk/db/installed ]; then
		grep '^[PV]:' /lib/apk/db/installed | section apk
		any=apk
	fi
	if has pacman; then
		pacman -Q 2>/dev/null | section pacman
		any=pacman
	fi
	[ -n "$any" ] || unread package "no dpkg, rpm, apk or pacman here"
}

services() {
	if has systemctl && units=$(systemctl list-units --all --full --no-legend --no-pager --plain 2>/dev/null) && [ -n "$units" ]; then
		printf '%s\n' "$units" | section units
		systemctl list-unit-files --full --no-legend --no-pager 2>/dev/null | section unitfiles
	elif has rc-status; then
		rc-status --all --nocolor 2>/dev/null | section openrc
	else
		unread service "neither systemd nor OpenRC runs here"
	fi
}

mounts() {
	if [ -r /proc/self/mountinfo ]; then
		section mountinfo </proc/self/mountinfo
	else
		unread mount "there is no /proc/self/mountinfo"
	fi
}

# accounts prints a database without its passwords.
accounts() {
	{ getent "$1" 2>/dev/null || cat "/etc/$1"; } | sed 's/^\([^:]*\):[^:]*:/\1::/' | section "$1"
}

ports() {
	for p_table in tcp tcp6 udp udp6; do
		case $p_table in tcp*) p_state=0A ;; *) p_state=07 ;; esac
		if [ -r "/proc/net/$p_table" ]; then
			# shellcheck disable=SC2016 # of sed
			sed -n "/^ *[0-9]*: [0-9A-F:]* [0-9A-F:]* $p_state /p" "/proc/net/$p_table" | section "$p_table"
		elif [ "$p_table" = tcp ]; then
			unread port "there is no /proc/net/tcp"
		fi
	done
	[ ! -r /proc/net/unix ] || grep ' 00010000 ' /proc/net/unix | sort -u | section unix
}

facts() {
	fact kernel "$(uname -s) $(uname -r)"
	fact machine "$(uname -m)"
	fact user "$(id -un)"
	fact host "$(uname -n)"
	if [ -r /etc/os-release ]; then
		fact os "$(sed -n 's/^PRETTY_NAME=//p' /etc/os-release | tr -d '"')"
	fi
	fact timezone "$(readlink /etc/localtime 2>/dev/null)"
	fact path "$PATH"
	fact umask "$(umask)"
	fact open-files "$(ulimit -n 2>/dev/null)"
	fact swap "$(sed 1d /proc/swaps 2>/dev/null | cut -d ' ' -f 1 | sort | tr '\n' ' ')"
	fact resolver "$(sed -n 's/^nameserver *//p' /etc/resolv.conf 2>/dev/null | tr '\n' ' ')"
	fact selinux "$(cat /sys/fs/selinux/enforce 2>/dev/null)"
}

# files prints the file at $1, or below it, without what is mounted there. A name that a line cannot hold, and one with
# %, goes byte by byte as %xx.
files() {
	if [ ! -e "$1" ] && [ ! -L "$1" ]; then
		return
	fi
	if ! stat -c %n / >/dev/null 2>&1; then
		unread file "there is no stat with -c"
		return
	fi
	find "$1" -xdev -exec sh -c '
		hex() { printf %s "$1" | od -An -v -tx1 | tr -d " \n" | sed "s/../%&/g"; }
		mode="%f %u:%g %s"
		n=$#
		while [ "$n" -gt 0 ]; do
			n=$((n - 1)) name=$1
			shift
			case $name in
			*[!\ -~]* | *%*) printf "file\t%s %s\n" "$(stat -c "$mode" -- "$name")" "$(hex "$name")" ;;
			*) set -- "$@" "$name" ;;
			esac
		done
		[ "$#" = 0 ] || stat -c "file	$mode %n" -- "$@"
	' state {} + 2>/dev/null | head -n "$most_lines"
	find "$1" -xdev -type l -exec sh -c '
		hex() { printf %s "$1" | od -An -v -tx1 | tr -d " \n" | sed "s/../%&/g"; }
		for name; do printf "link\t%s %s\n" "$(hex "$(readlink -- "$name")")" "$(hex "$name")"; done
	' state {} + 2>/dev/null | head -n "$most_lines"
	if has sha256sum; then
		find "$1" -xdev -type f -size -65k -exec sh -c '
			hex() { printf %s "$1" | od -An -v -tx1 | tr -d " \n" | sed "s/../%&/g"; }
			n=$#
			while [ "$n" -gt 0 ]; do
				n=$((n - 1)) name=$1
				shift
				case $name in
				*[!\ -~]* | *%* | *\\*) sum=$(sha256sum <"$name") && printf "digest\t%s  %s\n" "${sum%% *}" "$(hex "$name")" ;;
				*) set -- "$@" "$name" ;;
				esac
			done
			[ "$#" = 0 ] || sha256sum -- "$@" | sed "s/^/digest	/"
		' state {} + 2>/dev/null | head -n "$most_lines"
	fi
	# Who may not look says so.
	s_closed=$(find "$1" -xdev 2>&1 >/dev/null | head -n 1)
	[ -z "$s_closed" ] || unread file "$(printf '%s' "$s_closed" | tr -c '[:print:]' ' ')"
}

collect() {
	facts
	packages
	services
	mounts
	accounts passwd
	accounts group
	ports
	printf '%s\n' "${STATE_PATHS-}" | while IFS= read -r path; do
		case $path in /*) files "$path" ;; esac
	done
}

main() {
	case ${STATE_NONCE-} in
	'' | *[!a-z0-9]*)
		echo "state: STATE_NONCE must be of a-z and 0-9" >&2
		exit 2
		;;
	esac
	body=$(collect)
	echo "PITCREW-STATE-BEGIN $STATE_NONCE"
	printf '%s\n' "$body"
	echo "PITCREW-STATE-END $STATE_NONCE $(printf '%s\n' "$body" | wc -l | tr -d ' ')"
}

{
	main
	exit
}
