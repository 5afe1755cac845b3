# Boot stage: prove that this is the right place, unpack privately, become the engine. Nothing runs anything but the braces at the
# very end, which no shell enters before it has read the last of them: a program cut short in transport does nothing at all. What
# is unpacked stands there and in no function, of which shells keep a copy.

pitcrew_usage() {
	cat <<'PITCREW_USAGE'
usage: sh program.sh [--plan | --by-hand | --remove] [--agent NAME] [--controller NAME] [--labels LIST]
                     [--phases all|verify] [--depth light|standard|deep] [--no-reboot]
  --plan        print what would run here and do nothing
  --by-hand     run for a person: no controller, no report
  --remove      remove what programs like this keep on this machine, and do nothing else
  --agent       the agent this machine serves (default: $NODE_NAME, with --by-hand the host's name)
  --controller  the controller it belongs to (default: $PITCREW_JOB_CONTROLLER)
  --labels      the labels of the agent (default: $NODE_LABELS)
  --phases      verify runs the verify phase alone (default: $PITCREW_PHASES, else all)
  --depth       how deep to clean (default: $PITCREW_DEPTH, else standard)
  --no-reboot   report that a reboot is needed, but leave it to the caller
Without the first three it must be issued: PITCREW_AGENT, PITCREW_CONTROLLER, PITCREW_ATTEMPT, PITCREW_NONCE.
PITCREW_USAGE
}

pitcrew_options() {
	while [ $# -gt 0 ]; do
		case $1 in
		--plan) PITCREW_MODE=plan ;;
		--by-hand) PITCREW_MODE=hand ;;
		--remove) PITCREW_MODE=remove ;;
		--no-reboot) PITCREW_NO_REBOOT=1 ;;
		--agent | --controller | --labels | --phases | --depth)
			[ $# -gt 1 ] || pitcrew_refuse "$1 needs a value"
			case $1 in
			--agent) pitcrew_here=$2 ;;
			--controller) pitcrew_home=$2 ;;
			--labels) NODE_LABELS=$2 ;;
			--phases) PITCREW_PHASES=$2 ;;
			--depth) PITCREW_DEPTH=$2 ;;
			esac
			shift
			;;
		-h | --help)
			pitcrew_usage
			exit 0
			;;
		*) pitcrew_refuse "unknown argument $1" ;;
		esac
		shift
	done
}

# pitcrew_try makes the private directory pitcrew_work inside $1 and proves that it can hold what is to be unpacked: what takes the
# room for now is to become scrub. It fails if not, with the reason in why.
pitcrew_try() {
	pitcrew_work=
	case $1 in
	/*) ;;
	*) why='not set' && return 1 ;;
	esac
	[ -d "$1" ] || { why='no such directory' && return 1; }
	make_room "$1" pitcrew "$PITCREW_KIB" scrub || return
	mkfifo "$made/ready" "$made/ask" "$made/answer" 2>/dev/null || give_up_room 'cannot hold named pipes' || return
	pitcrew_work=$made
}

# pitcrew_executes succeeds if files in directory $1 may be executed. Scripts do not need it (they are read by their
# interpreter), carried tools do. A process of the same user may give the name to another file at any time: what is run is
# the descriptor of what has been read. Only with no /proc it is the name.
pitcrew_executes() {
	printf '#!/bin/sh\nexit 0\n' >"$1/scrub" && chmod 700 "$1/scrub" && sh -c "$pitcrew_probe" probe "$1/scrub" 9<"$1/scrub" 2>/dev/null
	set -- "$1" $?
	: >"$1/scrub"
	return "$2"
}
pitcrew_probe='f=/proc/self/fd/9
IFS= read -r first <&9 && IFS= read -r second <&9 && [ "$first, $second" = "#!/bin/sh, exit 0" ] || exit
[ -r $f ] || f=$1
exec $f'

# pitcrew_place sets pitcrew_work: in the first place that has room and allows execution, else in the first with room.
pitcrew_place() {
	pitcrew_whys= pitcrew_second=
	for pitcrew_p; do
		if ! pitcrew_try "$pitcrew_p"; then
			pitcrew_whys="$pitcrew_whys $pitcrew_p: $why;"
		elif pitcrew_executes "$pitcrew_work"; then
			[ -z "$pitcrew_second" ] || rm -rf "$pitcrew_second"
			return 0
		elif [ -z "$pitcrew_second" ]; then
			pitcrew_second=$pitcrew_work
		else
			rm -rf "$pitcrew_work"
		fi
	done
	pitcrew_work=$pitcrew_second
	[ -n "$pitcrew_work" ] || pitcrew_die "no place to unpack:$pitcrew_whys"
}

# dirs makes directories below the private directory.
dirs() {
	(cd "$pitcrew_work" && mkdir -p "$@") || pitcrew_die "cannot make directories in $pitcrew_work"
}

# put writes standard input to file $1 below the private directory.
put() {
	cat >"$pitcrew_work/$1" || pitcrew_die "cannot unpack $1"
}

# put_line does the same with a line given, which takes no process.
put_line() {
	printf '%s\n' "$2" >"$pitcrew_work/$1" || pitcrew_die "cannot unpack $1"
}

# put64 does what put does with base64 on standard input, by whatever decoder this machine has.
put64() {
	[ -n "$pitcrew_decoder" ] || pitcrew_find_decoder
	"$pitcrew_decoder" >"$pitcrew_work/$1" || pitcrew_die "cannot unpack $1"
}

pitcrew_find_decoder() {
	for pitcrew_decoder in by_base64 by_base64_D by_openssl by_perl by_python3 by_python by_uudecode by_awk; do
		"$pitcrew_decoder" >"$pitcrew_work/decoded" 2>/dev/null <<'PITCREW_WORD'
cGl0Y3Jldwo=
PITCREW_WORD
		pitcrew_word=
		read -r pitcrew_word <"$pitcrew_work/decoded"
		[ "$pitcrew_word" != pitcrew ] || return 0
	done
	pitcrew_die 'no way to decode base64 here'
}
by_base64() { base64 -d; }
by_base64_D() { base64 -D; }
by_openssl() { openssl base64 -d; }
by_perl() { perl -MMIME::Base64 -e 'print decode_base64(join("", <STDIN>))'; }
by_python3() { python3 -c 'import base64,sys; sys.stdout.buffer.write(base64.b64decode(sys.stdin.read()))'; }
by_python() { python -c 'import base64,sys; getattr(sys.stdout, "buffer", sys.stdout).write(base64.b64decode(sys.stdin.read()))'; }
by_uudecode() { { echo 'begin-base64 600 x' && cat && echo '===='; } | uudecode -o /dev/stdout; }
# The last resort: awk turns the text into octal escapes, printf into bytes. Slow, but always there.
by_awk() {
	awk 'BEGIN { for (i = 0; i < 64; i++) v[substr(a "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", i + 1, 1)] = i }
	{ out = ""
	  for (i = 1; i <= length($0); i += 4) {
	    c = substr($0, i + 2, 1); d = substr($0, i + 3, 1)
	    n = v[substr($0, i, 1)] * 262144 + v[substr($0, i + 1, 1)] * 4096
	    if (c != "=") n += v[c] * 64
	    if (d != "=") n += v[d]
	    out = out sprintf("\\%03o", int(n / 65536))
	    if (c != "=") out = out sprintf("\\%03o", int(n / 256) % 256)
	    if (d != "=") out = out sprintf("\\%03o", n % 256)
	  }
	  print out }' | while read -r pitcrew_octal; do
		printf "$pitcrew_octal"
	done
}

# check proves all that the rest of its arguments name, one after the other: $1 SHA-256, $2 POSIX checksum and size, for
# machines that cannot compute the former.
check() {
	pitcrew_sums="$1 $2"
	shift 2
	digested "$(cd "$pitcrew_work" && cat "$@" | $hasher)"
	case " $pitcrew_sums " in
	*" ${sum:-none} "*) ;;
	*) pitcrew_die "damaged while unpacking: $*" ;;
	esac
}

pitcrew_main() {
	pitcrew_begin
	pitcrew_options "$@"
	pitcrew_bind
	LC_ALL=C
	PITCREW_UNAME=$(uname -snrm)
	set -- $PITCREW_UNAME
	pitcrew_machine="$1 $4"
	export PATH LC_ALL NODE_LABELS PITCREW_MODE PITCREW_NO_REBOOT PITCREW_PHASES PITCREW_DEPTH PITCREW_UNAME
	if [ "$PITCREW_MODE" = plan ]; then
		eval "$(pitcrew_engine)"
		engine_plan
		exit 0
	fi
	if [ "$PITCREW_MODE" = remove ]; then
		eval "$(pitcrew_engine)"
		pitcrew_places engine_remove
		exit
	fi
	if [ "$PITCREW_MODE" = hand ]; then
		PITCREW_AGENT=${pitcrew_here:-$2} PITCREW_CONTROLLER=none PITCREW_ATTEMPT=0 PITCREW_NONCE=by-hand
		export PITCREW_AGENT PITCREW_CONTROLLER PITCREW_ATTEMPT
	fi
	pitcrew_places pitcrew_boot
}

# pitcrew_boot makes ready to unpack in one of the places $@.
pitcrew_boot() {
	pitcrew_decoder= pitcrew_work= pitcrew_second= made=
	find_hasher || pitcrew_die 'no way to compute a checksum here'
	trap 'rm -rf "$pitcrew_work" "$pitcrew_second" "$made"' EXIT
	trap 'exit 143' TERM
	trap 'exit 130' INT
	trap 'exit 129' HUP
	pitcrew_place "$@"
	pitcrew_dirs
	# Whose directory this is, for the fence of a later run; the engine keeps the process.
	process $$
	process_space
	printf '%s\n' "$PITCREW_ATTEMPT" "$PITCREW_CONTROLLER" "$PITCREW_AGENT" "$p_space" >"$pitcrew_work/lib/whose" &&
		printf '%s\n' "$p_process" >"$pitcrew_work/lib/process"
	# Shells that keep here-documents in files shall keep them here; the steps see the TMPDIR of the agent.
	PITCREW_TMPDIR=${TMPDIR-} TMPDIR=$pitcrew_work
	export PITCREW_TMPDIR TMPDIR
}

# pitcrew_become replaces this process by the engine, now that it is unpacked. That also replaces the environment that /proc
# shows of it: the nonce reaches the engine through a pipe and stands in no environment and no argument from here on.
pitcrew_become() {
	pitcrew_nonce=$PITCREW_NONCE
	unset PITCREW_NONCE
	PITCREW_HASHER=$hasher
	export PITCREW_HASHER
	TMPDIR=$PITCREW_TMPDIR # as it was when the places were made out
	pitcrew_places pitcrew_engage
}
pitcrew_engage() {
	TMPDIR=$pitcrew_work
	exec sh "$pitcrew_work/lib/engine" "$pitcrew_work" "$@" 3<<PITCREW_NONCE
$pitcrew_nonce
PITCREW_NONCE
}
