# Binding: what this was issued for, and whether this is that place.

pitcrew_refuse() {
	printf 'pitcrew: refused: %s; nothing was touched\n' "$1"
	exit 78
}

pitcrew_die() {
	printf 'pitcrew: %s\n' "$1"
	exit 74
}

# pitcrew_begin makes this shell known ground, whatever it was started with. Calling it again changes nothing.
pitcrew_begin() {
	set +x +v +e +u
	umask 077
	unset CDPATH ENV BASH_ENV POSIXLY_CORRECT
	PATH=${PATH:-/usr/bin:/bin}
	pitcrew_added=:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	PATH=${PATH%"$pitcrew_added"}$pitcrew_added
	PITCREW_MODE=run PITCREW_NO_REBOOT=
	PITCREW_PHASES=${PITCREW_PHASES:-all} PITCREW_DEPTH=${PITCREW_DEPTH:-standard}
	pitcrew_here=${NODE_NAME-} pitcrew_home=${PITCREW_JOB_CONTROLLER-}
}

# pitcrew_bind compares what this program was issued for with where it is. It creates no file: no here-document, no
# pipe to a temporary name.
pitcrew_bind() {
	case $PITCREW_PHASES in
	all | verify) ;;
	*) pitcrew_refuse "PITCREW_PHASES is '$PITCREW_PHASES', neither all nor verify" ;;
	esac
	case $PITCREW_DEPTH in
	light | standard | deep) ;;
	*) pitcrew_refuse "PITCREW_DEPTH is '$PITCREW_DEPTH', neither light, standard nor deep" ;;
	esac
	[ "$PITCREW_MODE" = run ] || return 0
	[ -n "${PITCREW_AGENT-}" ] || pitcrew_refuse "not issued for any agent (by hand: --by-hand)"
	[ "$PITCREW_AGENT" = "$pitcrew_here" ] ||
		pitcrew_refuse "issued for agent '$PITCREW_AGENT', but this is '$pitcrew_here'"
	[ -n "${PITCREW_CONTROLLER-}" ] || pitcrew_refuse "not issued for any controller"
	[ -z "$pitcrew_home" ] || [ "$PITCREW_CONTROLLER" = "$pitcrew_home" ] ||
		pitcrew_refuse "issued for controller '$PITCREW_CONTROLLER', but this is '$pitcrew_home'"
	case ${PITCREW_ATTEMPT-} in
	'' | 0* | *[!0-9]*) pitcrew_refuse "PITCREW_ATTEMPT is not the number of an attempt" ;;
	esac
	case ${PITCREW_NONCE-} in
	'' | *[!0-9A-Za-z_-]*) pitcrew_refuse "PITCREW_NONCE is not a nonce" ;;
	esac
	[ ${#PITCREW_NONCE} -ge 16 ] || pitcrew_refuse "PITCREW_NONCE is too short"
}
