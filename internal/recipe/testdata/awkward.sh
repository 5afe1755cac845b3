#!/bin/sh
# pitcrew recipe test, revision 9a8a0368dda0a42007e4c55137f4826eabc938364a9003634d858a961557ddbb. Made by a compiler: change the recipe, not this.
# By hand: sh program.sh --plan, sh program.sh --by-hand.

# Checksums, by whatever this machine has: the words of hasher print that of standard input, and the like of its name.

# find_sha256 sets hasher to what computes SHA-256; it fails where nothing can.
find_sha256() {
	sum=
	for hasher in sha256sum 'shasum -a 256' 'openssl dgst -sha256 -r' 'busybox sha256sum'; do
		digest </dev/null 2>/dev/null
		case $sum in
		e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855) return 0 ;;
		esac
	done
	return 1
}

# find_hasher does the same, and makes do with the checksum of POSIX, which shows damage but no forgery.
find_hasher() {
	find_sha256 && return 0
	hasher=cksum
	digest </dev/null 2>/dev/null
	[ "$sum" = 4294967295:0 ]
}

# digest sets sum to the checksum of standard input; digested does so from what hasher has printed. It is empty if that is nothing.
digest() { digested "$($hasher)"; }
digested() {
	set -- $1
	sum=${1-}
	[ "$hasher" != cksum ] || sum=$sum:${2-}
}

# Room: a private directory in a place that has room.

# make_room makes a directory of our own in place $1, named after $2, and proves that it has room: its file $4 takes $3 KiB for now.
# It sets made to the directory; if it fails, to nothing, with the reason in why.
make_room() {
	made=$(mktemp -d "$1/$2.XXXXXXXXXX" 2>/dev/null) || {
		made=$1/$2.$$.$(date +%s)
		mkdir -m 700 "$made" 2>/dev/null || { made= why='not writable' && return 1; }
	}
	dd if=/dev/zero of="$made/$4" bs=65536 count=$(($3 / 64 + 1)) 2>/dev/null || give_up_room "no room for $3 KiB"
}

# give_up_room removes the directory again, because of $1, and fails.
give_up_room() {
	rm -rf "$made"
	made= why=$1
	return 1
}

# process sets p_process to "pid start" of process $1, which names it for ever on this boot; to nothing if it is gone.
process() {
	p_process=
	if stat_of "$1"; then
		p_id=$1
		set -- $p_stat
		[ "$1" = Z ] || p_process="$p_id ${20}"
	elif [ ! -r /proc/self/stat ]; then
		p_start=$(ps -o lstart= -p "$1" 2>/dev/null) && p_process="$1 $p_start"
	fi
}

# process_space sets p_space to what names the space of process numbers that we count in; to nothing where the kernel knows one only.
process_space() {
	set -- $(ls -Ldi /proc/self/ns/pid 2>/dev/null)
	p_space=${1-}
}

# stat_of sets p_stat to what /proc says of process $1, from its state on; it fails if that is nothing.
stat_of() {
	p_stat=
	{ IFS= read -r p_stat <"/proc/$1/stat"; } 2>/dev/null
	p_stat=${p_stat##*\) }
	# The name may contain anything, a line end and ") " included: what counts comes after the last ") ". It has more
	# characters than fit into a name, whatever that pretends.
	[ "${#p_stat}" -gt 40 ] || p_stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	p_stat=${p_stat##*\) }
}

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

pitcrew_engine() {
	cat <<'PITCREW_ENGINE'
recipe=test
revision=9a8a0368dda0a42007e4c55137f4826eabc938364a9003634d858a961557ddbb
reboot_command='shutdown -r now || reboot'
steps=' 1 2'
cache=no
goals=no

step_1() {
	phase=clean name='{braces} {{twice}} ${A:-{x}}' json='"{braces} {{twice}} ${A:-{x}}"'
	limit=600 tries=1 delay=10
	depth=light on_failure=failed required='' forbidden=''
	goal=no as_root=no ends=no
}
when_1() {
	return 0
}
command_1() {
	in_session "$@" 'A={0} %s <&> " '\'' ]]> '"$(printf '\303\251')" 'sh' "$work/1/script" 9<&-
}
outcome_1() {
	case $1 in
	0) outcome=ok ;;
	*) outcome=retry ;;
	esac
}

step_2() {
	phase=verify name='proof' json='"proof"'
	limit=600 tries=1 delay=10
	depth=light on_failure=failed required='' forbidden=''
	goal=no as_root=no ends=no
}
when_2() {
	return 0
}
command_2() {
	in_session "$@" 'sh' "$work/2/script" 9<&-
}
outcome_2() {
	case $1 in
	0) outcome=ok ;;
	*) outcome=retry ;;
	esac
}

# Checksums, by whatever this machine has: the words of hasher print that of standard input, and the like of its name.

# find_sha256 sets hasher to what computes SHA-256; it fails where nothing can.
find_sha256() {
	sum=
	for hasher in sha256sum 'shasum -a 256' 'openssl dgst -sha256 -r' 'busybox sha256sum'; do
		digest </dev/null 2>/dev/null
		case $sum in
		e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855) return 0 ;;
		esac
	done
	return 1
}

# find_hasher does the same, and makes do with the checksum of POSIX, which shows damage but no forgery.
find_hasher() {
	find_sha256 && return 0
	hasher=cksum
	digest </dev/null 2>/dev/null
	[ "$sum" = 4294967295:0 ]
}

# digest sets sum to the checksum of standard input; digested does so from what hasher has printed. It is empty if that is nothing.
digest() { digested "$($hasher)"; }
digested() {
	set -- $1
	sum=${1-}
	[ "$hasher" != cksum ] || sum=$sum:${2-}
}

# process sets p_process to "pid start" of process $1, which names it for ever on this boot; to nothing if it is gone.
process() {
	p_process=
	if stat_of "$1"; then
		p_id=$1
		set -- $p_stat
		[ "$1" = Z ] || p_process="$p_id ${20}"
	elif [ ! -r /proc/self/stat ]; then
		p_start=$(ps -o lstart= -p "$1" 2>/dev/null) && p_process="$1 $p_start"
	fi
}

# process_space sets p_space to what names the space of process numbers that we count in; to nothing where the kernel knows one only.
process_space() {
	set -- $(ls -Ldi /proc/self/ns/pid 2>/dev/null)
	p_space=${1-}
}

# stat_of sets p_stat to what /proc says of process $1, from its state on; it fails if that is nothing.
stat_of() {
	p_stat=
	{ IFS= read -r p_stat <"/proc/$1/stat"; } 2>/dev/null
	p_stat=${p_stat##*\) }
	# The name may contain anything, a line end and ") " included: what counts comes after the last ") ". It has more
	# characters than fit into a name, whatever that pretends.
	[ "${#p_stat}" -gt 40 ] || p_stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	p_stat=${p_stat##*\) }
}

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

# Facts of the machine, and the conditions that the recipe's steps ask of them.

# Where the files of the system are: at the root, but for tests of this text.
facts_root=

# os_facts sets os to the words that a condition on "os" may use: the kernel, the distribution, those it is like, and
# the distribution with its version, whole and major. It sets arch, hostname and machine too, which the same command tells.
os_facts() {
	set -- ${PITCREW_UNAME:-$(uname -snrm)}
	os_kernel=$1 hostname=$2 os_release=$3 arch=$4 machine="$1 $4"
	case $os_kernel in
	Linux) os_kernel=linux ;;
	*) os_kernel=$(echo "$os_kernel" | tr '[:upper:]' '[:lower:]') ;;
	esac
	case $arch in
	amd64) arch=x86_64 ;;
	arm64) arch=aarch64 ;;
	esac
	os=" $os_kernel "
	os_id= os_like= os_version=
	for os_file in "$facts_root/etc/os-release" "$facts_root/usr/lib/os-release"; do
		[ -r "$os_file" ] || continue
		while IFS='=' read -r os_key os_value; do
			os_value=${os_value#[\"\']} os_value=${os_value%[\"\']}
			case $os_key in
			ID) os_id=$os_value ;;
			ID_LIKE) os_like=$os_value ;;
			VERSION_ID) os_version=$os_value ;;
			esac
		done <"$os_file"
		break
	done
	if [ -z "$os_id" ] && [ -r "$facts_root/etc/redhat-release" ]; then
		read -r os_id _ os_version _ <"$facts_root/etc/redhat-release"
		os_id=$(printf '%s' "$os_id" | tr '[:upper:]' '[:lower:]') os_like='rhel fedora'
	fi
	[ -z "$os_id" ] || os="$os$os_id $os_id$os_version $os_id${os_version%%.*} $os_like "
}

# container_facts sets contained. The kernel does not tell: those who make containers leave signs, one in the environment.
container_facts() {
	contained=yes
	case ${container-} in
	podman | oci | docker | lxc | lxc-libvirt | systemd-nspawn) return ;;
	esac
	[ -z "${KUBERNETES_SERVICE_HOST-}" ] || return
	for c_file in "$facts_root/.dockerenv" "$facts_root/run/.containerenv" "$facts_root/run/systemd/container"; do
		[ ! -e "$c_file" ] || return
	done
	! tr '\0' '\n' 2>/dev/null <"$facts_root/proc/1/environ" | grep -Eqs "^container=|$c_groups" - "$facts_root/proc/1/cgroup" || return
	contained=no
}

c_groups='^[0-9]+:[^:]*:.*/(docker|lxc|libpod|kubepods|containerd|machine\.slice/machine)([-./:]|$)'

# virt_facts sets virt to the words for what this machine is.
virt_facts() {
	virt=" $(virt_kind) "
	case $virt in
	' none ' | ' vm ') ;;
	*) virt="$virt vm " ;;
	esac
}
virt_kind() {
	v_kind=
	[ -n "$facts_root" ] || v_kind=$(systemd-detect-virt --vm 2>/dev/null)
	case $v_kind in
	none | kvm | qemu | vmware | microsoft | xen | oracle | amazon | google | zvm | powervm) echo "$v_kind" && return ;;
	?*) echo vm && return ;;
	esac
	v_text=
	for v_file in hypervisor/type class/dmi/id/sys_vendor class/dmi/id/product_name class/dmi/id/bios_vendor; do
		v_text="$v_text $(cat "$facts_root/sys/$v_file" 2>/dev/null)"
	done
	v_text="$v_text $(tr '\0' ' ' 2>/dev/null <"$facts_root/proc/device-tree/hypervisor/compatible")"
	v_text="$v_text $(grep -s '^VM00 Control Program' "$facts_root/proc/sysinfo")"
	case $v_text in
	*'z/VM'*) echo zvm ;;
	*KVM* | *linux,kvm*) echo kvm ;;
	*Xen* | *xen*) echo xen ;;
	*Amazon* | *amazon*) echo amazon ;;
	*'Google Compute'*) echo google ;;
	*QEMU*) echo qemu ;;
	*VMware*) echo vmware ;;
	*'Microsoft Corporation Virtual'*) echo microsoft ;;
	*VirtualBox* | *innotek*) echo oracle ;;
	*)
		if [ -e "$facts_root/proc/device-tree/ibm,partition-name" ]; then
			echo powervm
		elif grep -q '^flags.* hypervisor' "$facts_root/proc/cpuinfo" 2>/dev/null; then
			echo vm
		else
			echo none
		fi
		;;
	esac
}

# package_facts sets packages to what installs packages here. A foreign one may be installed as well: that of the
# distribution goes first.
package_facts() {
	p_order='dnf yum zypper apk pacman apt-get'
	case $os in *' debian '*) p_order="apt-get $p_order" ;; esac
	packages=
	for p_tool in $p_order; do
		command -v "$p_tool" >/dev/null 2>&1 && packages=${p_tool%-get} && return
	done
}

gather_facts() {
	os_facts
	package_facts
	contained= virt=
	find_uid
	labels=" ${NODE_LABELS-} "
}

# find_uid sets uid to the number of our user. The kernel tells it without a process.
find_uid() {
	uid=
	while read -r u_key _ uid _; do
		[ "$u_key" != Uid: ] || return 0
	done 2>/dev/null </proc/self/status
	uid=$(id -u)
}

# Each of these is one part of a condition; on failure why says which.
os_among() {
	for word; do
		! os_is "$word" || return 0
	done
	why="os is none of $*"
	return 1
}
os_is_not() {
	for word; do
		! os_is "$word" || { why="os is $word" && return 1; }
	done
}
# os_is succeeds if the word $1 describes the system; it may compare the version of the kernel or the distribution.
os_is() {
	case $1 in
	*'>='*) version_is "${1%%>*}" "${1#*=}" -ge ;;
	*'<='*) version_is "${1%%<*}" "${1#*=}" -le ;;
	*'>'*) version_is "${1%%>*}" "${1#*>}" -gt ;;
	*'<'*) version_is "${1%%<*}" "${1#*<}" -lt ;;
	*) case $os in *" $1 "*) ;; *) return 1 ;; esac ;;
	esac
}
# version_is succeeds if the version of $1 stands to $2 as test's operator $3 says. Only as many parts count as $2 has.
version_is() {
	case $1 in
	"$os_id") v_have=$os_version ;;
	"$os_kernel") v_have=$os_release ;;
	*) return 1 ;;
	esac
	case $v_have in [0-9]*) ;; *) return 1 ;; esac
	v_want=$2
	while :; do
		version_part "${v_have%%.*}"
		[ "$v_part" -eq "${v_want%%.*}" ] || break
		case $v_want in *.*) v_want=${v_want#*.} ;; *) break ;; esac
		case $v_have in *.*) v_have=${v_have#*.} ;; *) v_have=0 ;; esac
	done
	[ "$v_part" "$3" "${v_want%%.*}" ]
}
# version_part sets v_part to the number that $1 begins with; one of more than nine digits is as large as any.
version_part() {
	v_part=${1%%[!0-9]*}
	[ "${#v_part}" -le 9 ] || v_part=999999999
	v_part=${v_part:-0}
}
arch_among() {
	for word; do
		[ "$arch" != "$word" ] || return 0
	done
	why="arch is none of $*"
	return 1
}
arch_is_not() {
	for word; do
		[ "$arch" != "$word" ] || { why="arch is $word" && return 1; }
	done
}
virt_among() {
	[ -n "$virt" ] || virt_facts
	for word; do
		case $virt in *" $word "*) return 0 ;; esac
	done
	why="virtualisation is none of $*"
	return 1
}
virt_is_not() {
	[ -n "$virt" ] || virt_facts
	for word; do
		case $virt in *" $word "*) why="virtualisation is $word" && return 1 ;; esac
	done
}
packages_among() {
	for word; do
		[ "$packages" != "$word" ] || return 0
	done
	why="package manager is none of $*"
	return 1
}
packages_are_not() {
	for word; do
		[ "$packages" != "$word" ] || { why="package manager is $word" && return 1; }
	done
}
container_is() {
	[ -n "$contained" ] || container_facts
	[ "$1" != "$contained" ] || return 0
	why='in a container'
	[ "$1" = no ] || why='not in a container'
	return 1
}
tools_here() {
	for word; do
		command -v "$word" >/dev/null 2>&1 || { why="no $word here" && return 1; }
	done
}
tools_not_here() {
	for word; do
		! command -v "$word" >/dev/null 2>&1 || { why="$word is here" && return 1; }
	done
}
root_is() {
	case $1$uid in
	yes0) return 0 ;;
	yes*) why='not root' && return 1 ;;
	no0) why='root' && return 1 ;;
	esac
}
sudo_is() {
	if [ "$uid" = 0 ]; then
		sudo=yes
	elif [ -z "${sudo-}" ]; then
		sudo=no
		! sudo -n true </dev/null >/dev/null 2>&1 || sudo=yes
	fi
	[ "$1" = "$sudo" ] && return 0
	why='sudo without a password works' && [ "$1" = no ] || why='sudo without a password does not work'
	return 1
}
label() { case $labels in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

in_phases() { [ "$PITCREW_PHASES" = all ] || [ "$1" = verify ]; }

# deep_enough succeeds if this cleanup runs the current step's depth.
deep_enough() {
	case $PITCREW_DEPTH-$depth in
	deep-* | *-light | standard-standard) return 0 ;;
	esac
	why="runs from depth $depth on; this is $PITCREW_DEPTH"
	return 1
}

# fate decides what becomes of step $1: it succeeds if the step is to be run; otherwise outcome is skipped or failed and
# why says the reason.
fate() {
	why= outcome=skipped
	deep_enough || return 1
	if ! "when_$1"; then
		missed "$1"
		return 1
	fi
	[ -n "$forbidden" ] || return 0
	"forbidden_$1" || return 0
	outcome=failed why="forbidden ($forbidden)"
	return 1
}

# missed makes it a failure that step $1 is skipped for the reason in why, if the step is required here.
missed() {
	[ -n "$required" ] || return 0
	m_why=$why
	if "required_$1"; then
		outcome=failed why="required ($required), but skipped: $m_why"
	else
		why=$m_why
	fi
}

engine_plan() {
	gather_facts
	echo "recipe $recipe, revision $revision, depth $PITCREW_DEPTH"
	for n in $steps; do
		"step_$n"
		in_phases "$phase" || continue
		p_root=
		[ "$as_root" = no ] || [ "$uid" = 0 ] || p_root=', as root by sudo'
		if fate "$n" && { [ -z "$p_root" ] || sudo_is yes || { outcome=failed why="needs root, and $why" && false; }; }; then
			echo "run   $phase: $name (limit ${limit}s, tries $tries$p_root)"
		elif [ "$outcome" = failed ]; then
			echo "fail  $phase: $name ($why)"
		else
			echo "skip  $phase: $name ($why)"
		fi
	done
}

# Sessions: every try of a step has its own, so that it can be ended whole.

# find_session sets session to the command that starts another in a session of its own; "monitor" means that only a
# process group can be had, by the shell's job control, and "none" that members are found by descent alone.
find_session() {
	if command -v setsid >/dev/null 2>&1; then
		session=setsid
	elif command -v perl >/dev/null 2>&1; then
		session=perl
	elif command -v python3 >/dev/null 2>&1; then
		session=python3
	elif [ -z "$( (set -m) 2>&1)" ]; then
		session=monitor
	else
		session=none
	fi
}

# in_session replaces this process by the command given, in a new session where one can be had. The command begins with
# "env -i" and assignments. What all may read in the list of processes is no place for the password of a proxy: those come
# on standard input, which is empty otherwise.
in_session() {
	i_hidden=
	for i_word; do
		shift
		case $i_word in
		http_proxy=*@* | https_proxy=*@* | HTTP_PROXY=*@* | HTTPS_PROXY=*@*)
			[ -n "$i_hidden" ] || set -- "$@" sh -c "$reveal" sh env
			i_hidden="$i_hidden$i_word
"
			;;
		*) set -- "$@" "$i_word" ;;
		esac
	done
	[ -z "$i_hidden" ] || exec <<EOF
$i_hidden
EOF
	case $session in
	setsid) exec setsid "$@" ;;
	perl) exec perl -MPOSIX -e 'POSIX::setsid(); exec { $ARGV[0] } @ARGV; exit 127' -- "$@" ;;
	python3) exec python3 -c 'import os,sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])' "$@" ;;
	*) exec "$@" ;;
	esac
}
reveal='while IFS= read -r line; do case $line in *=*) export "$line" ;; esac; done; exec "$@" </dev/null'

# processes prints "pid:parent:group:session" of every process that is no zombie.
processes() {
	if [ ! -r /proc/self/stat ]; then
		ps -A -o pid= -o ppid= -o pgid= | while read -r p_pid p_parent p_group; do
			echo "$p_pid:$p_parent:$p_group:$p_group"
		done
		return
	fi
	# Read at once: one by one, the shell takes a system call for each character of what there is to read.
	p_all=$(cat /proc/[0-9]*/stat 2>/dev/null)
	if [ -z "$p_all" ]; then # more of them than fit into a command line
		for p_pid in /proc/[0-9]*; do
			p_pid=${p_pid#/proc/}
			stat_of "$p_pid" || continue
			set -- $p_stat
			[ "$1" = Z ] || echo "$p_pid:$2:$3:$4"
		done
		return
	fi
	p_ifs=$IFS IFS='
'
	set -f
	set -- $p_all
	set +f
	IFS=$p_ifs p_record=
	for p_line; do
		p_record="$p_record$p_line "
		p_stat=${p_record##*\) }
		[ "${#p_stat}" -gt 40 ] || continue # the name has a line end in it; see stat_of
		p_pid=${p_record%% *} p_record=
		set -- $p_stat
		[ "$1" = Z ] || echo "$p_pid:$2:$3:$4"
	done
}

# members prints the living processes of the session or group that $1 leads, and everything that descends from them.
members() {
	m_all=$(processes)
	m_set=" $1 "
	m_size=0
	m_ifs=$IFS
	while [ "${#m_set}" -ne "$m_size" ]; do
		m_size=${#m_set}
		for m_one in $m_all; do
			IFS=:
			set -- $m_one
			IFS=$m_ifs
			case $m_set in *" $1 "*) continue ;; esac
			case $m_set in
			*" $2 "* | *" $3 "* | *" $4 "*) m_set="$m_set$1 " ;;
			esac
		done
	done
	m_alive=
	for m_one in $m_all; do
		case $m_set in *" ${m_one%%:*} "*) m_alive="$m_alive ${m_one%%:*}" ;; esac
	done
	printf '%s' "${m_alive# }"
}

# boot_age sets up to the seconds since boot, to 0 where nobody tells.
boot_age() {
	up=
	{ read -r up _ </proc/uptime; } 2>/dev/null
	up=${up%%.*}
	up=${up:-0}
}

# end_session ends everything that $1 leads: first politely, after $2 fifths of a second for good, however long it takes to
# look at all processes. It fails, with the rest in victims, if something cannot be killed.
end_session() {
	e_round=0 e_kills=0
	boot_age
	e_began=$up
	# Who stayed in the group of the first hears of it at once.
	kill -TERM "-$1" 2>/dev/null
	kill -CONT "-$1" 2>/dev/null
	while victims=$(members "$1") && [ -n "$victims" ]; do
		boot_age
		e_age=$(((up - e_began) * 5))
		[ "$e_age" -ge "$e_round" ] || e_age=$e_round
		if [ "$e_round" -eq 0 ]; then
			kill -TERM $victims 2>/dev/null
			kill -CONT $victims 2>/dev/null
		elif [ "$e_age" -ge "$2" ]; then
			kill -KILL "-$1" 2>/dev/null
			kill -KILL $victims 2>/dev/null
			e_kills=$((e_kills + 1))
		fi
		[ "$e_kills" -lt 4 ] || [ "$e_age" -lt $(($2 + 25)) ] || return 1
		e_round=$((e_round + 1))
		nap
	done
}

nap() { sleep 0.2 2>/dev/null || sleep 1; }

# rest sleeps $1 seconds and, unlike plain sleep, lets a signal through at once.
rest() {
	hold
	sleep "$1" &
	rest_pid=$!
	release
	wait "$rest_pid"
	rest_pid=
}

# after runs the rest of its arguments $1 seconds from now, in the background, unless calm is called first with "$after".
# It waits until the sleep is under way: a signal to a process that has only just been forked can be lost. The pipe through which it
# hears of that is open before, so that it hears even if the step removes our directory meanwhile.
after() {
	after_pipe=no after_sleep=
	{ [ -z "${fenced-}" ] && [ -p "$work/ready" ] && command exec 6<>"$work/ready" && after_pipe=yes; } 2>/dev/null
	[ "$after_pipe" = yes ] || exec 6>/dev/null
	(
		sleep "$1" 6>&- &
		echo "$!" >&6
		exec 6>&-
		wait "$!"
		shift
		"$@"
	) >/dev/null 2>&1 </dev/null &
	after=$!
	[ "$after_pipe" = no ] || until read -r after_sleep <&6; do :; done 2>/dev/null # some shells let a signal end the wait
	exec 6>&-
	after="$after $after_sleep"
}

# calm calls off what after has set up: $1 the process, $2 its sleep. Where our directory is lost, no mark tells what that has begun already.
calm() {
	[ -z "${fenced-}" ] || end_session "$1" 0
	kill -KILL "$1" 2>/dev/null
	kill -KILL "$2" 2>/dev/null
	wait "$1" 2>/dev/null
}

# print_line prints $1 and a line end by a builtin of the shell, in no process of its own and without an argument that
# others could see or that could be too long.
case $(command -v printf) in
printf) print_line() { printf '%s\n' "$1"; } ;;
*) print_line() { print -r -- "$1"; } ;;
esac

# The report: facts before and after, and JSON that is pure ASCII whatever the bytes.

# json_string prints standard input as a JSON string: UTF-8 where it is that, U+FFFD for each byte where it is not.
json_string() {
	if [ "$json_tool" = awk ]; then
		od -An -v -tu1 | awk "$json_awk"
	else
		printf '"%s"\n' "$(tr -c ' -~' ' ' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g')"
	fi
}
# json_of sets j to the same for $1; mostly there is nothing in it to change.
json_of() {
	case $1 in
	*[!\ -~]* | *[\"\\]*)
		find_json
		j=$(printf '%s' "$1" | json_string)
		;;
	*) j="\"$1\"" ;;
	esac
}

json_awk='
function u(n) { if (n > 65535) { n -= 65536; return u(55296 + int(n / 1024)) u(56320 + n % 1024) } return sprintf("\\u%04x", n) }
function flush_bad() { while (got-- > 0) out = out "\\ufffd"; need = got = 0 }
function byte(b) {
  if (need > 0) {
    if (b >= low && b <= high) {
      low = 128; high = 191; code = code * 64 + b - 128; got++
      if (got == need) { out = out u(code); need = got = 0 }
      return
    }
    flush_bad()
  }
  if (b == 10) out = out "\\n"
  else if (b == 9) out = out "\\t"
  else if (b == 34) out = out "\\\""
  else if (b == 92) out = out "\\\\"
  else if (b < 32 || b == 127) out = out u(b)
  else if (b < 127) out = out sprintf("%c", b)
  else if (b >= 194 && b <= 244) {
    got = 1; low = 128; high = 191
    if (b < 224) { need = 2; code = b - 192 }
    else if (b < 240) { need = 3; code = b - 224; if (b == 224) low = 160; if (b == 237) high = 159 }
    else { need = 4; code = b - 240; if (b == 240) low = 144; if (b == 244) high = 143 }
  }
  else out = out "\\ufffd"
}
{ for (i = 1; i <= NF; i++) byte($i + 0) }
END { flush_bad(); print "\"" out "\"" }'

# find_json chooses what json_string works by, once.
find_json() {
	[ -z "$json_tool" ] || return 0
	json_tool=awk
	[ "$(printf 'a"\303\251\377' | json_string 2>/dev/null)" = '"a\"\u00e9\ufffd"' ] || json_tool=sed
}

# disk sets free to the free bytes and inodes of the file system that the agent works on, as JSON. Not every stat can tell.
disk() {
	d_where=${WORKSPACE:-${HOME:-/}}
	[ -d "$d_where" ] || d_where=/
	set -- $(stat -f -c '%a %S %d' "$d_where" 2>/dev/null)
	case $#$* in
	3*[!0-9\ ]* | [!3]*)
		disk_column "$(df -Pk "$d_where" 2>/dev/null)"
		set -- "$d_free" 1024
		disk_column "$(df -Pi "$d_where" 2>/dev/null)"
		set -- "$@" "$d_free"
		;;
	esac
	free="{\"bytesFree\":$(($1 * $2)),\"inodesFree\":$3}"
}
# disk_column sets d_free to the number in the fourth column of the last line of $1, 0 if there is none.
disk_column() {
	set -- ${1##*"$line_end"}
	d_free=${4-}
	case $d_free in '' | *[!0-9]*) d_free=0 ;; esac
}
line_end='
'

# agent_process sets agent to the process of the agent as JSON.
agent_process() {
	agent='{"pid":0,"start":""}'
	find_agent || return 0
	process "$agent_pid"
	json_of "${p_process#* }"
	agent="{\"pid\":$agent_pid,\"start\":$j,\"image\":\"$(image "$agent_pid")\"}"
}

# machine_id sets id to what names this machine.
machine_id() {
	id=
	for m_file in /etc/machine-id /var/lib/dbus/machine-id /sys/class/dmi/id/product_uuid; do
		{ IFS= read -r id <"$m_file"; } 2>/dev/null
		[ -z "$id" ] || return 0
	done
	id=$(sysctl -n kern.hostuuid 2>/dev/null || hostid 2>/dev/null)
}

# report_begin notes the time of day, once: until the end, the clock counts.
report_begin() {
	find_clock
	started=$(date +%s)
	clock
	r_clock=$now
	disk
	before=$free
}

# add_json adds to the report what stands before a value, and the value, $2, as JSON.
add_json() {
	json_of "$2"
	report=$report$1$j
}

# report_end prints the report. The nonce goes out by a builtin of the shell: an argument could be seen by others.
report_end() {
	boot_age
	report="{\"version\":1,\"attempt\":$PITCREW_ATTEMPT"
	add_json ',"agent":' "$PITCREW_AGENT"
	add_json ',"controller":' "$PITCREW_CONTROLLER"
	report="$report,
\"recipe\":\"$recipe\",\"revision\":\"$revision\",\"phases\":\"$PITCREW_PHASES\",\"depth\":\"$PITCREW_DEPTH\",
\"outcome\":\"$outcome\",\"verified\":$verified"
	add_json ',"reason":' "$reason"
	clock
	disk
	report="$report,
\"started\":$started,\"ended\":$((started + now - r_clock)),
\"steps\":[
$report_steps
],
\"disk\":{\"before\":$before,\"after\":$free}"
	machine_id
	add_json ',
"machine":{"id":' "$id"
	boot_id
	add_json ',"bootId":' "$id"
	add_json ',"hostname":' "$hostname"
	report="$report,\"uptime\":$up"
	set -f
	set -- $os
	set +f
	add_json ',"os":' "$*"
	add_json ',"arch":' "$arch"
	add_json ',"user":' "$(id -un)"
	agent_process
	report="$report},
\"agentProcess\":$agent}"
	if [ "$PITCREW_MODE" = hand ]; then
		say "outcome: $outcome${reason:+ ($reason)}"
		return
	fi
	print_line "PITCREW-REPORT-BEGIN $PITCREW_ATTEMPT $nonce"
	print_line "$report"
	digested "$(print_line "$report" | $hasher)"
	print_line "PITCREW-REPORT-END $PITCREW_ATTEMPT $nonce $sum"
}

# Fence: no two runs of one agent work on a machine at once. A run whose agent was cut off lives on, unseen by Jenkins: the
# next one ends it before its own first step. Each run writes down whose it is before it looks for others. So of two that
# start at the same instant at least one sees the other, and the numbers of their attempts say which of them gives way.

# alive succeeds if the process that $1 names, as process says it, lives.
alive() {
	[ -n "$1" ] || return 1
	process "${1%% *}"
	[ "$1" = "$p_process" ]
}

# each_run calls function $1 for every directory f_dir of another run of this user in the places that follow.
each_run() {
	f_do=$1
	shift
	process $$
	f_ours=$p_process
	process_space
	for f_place; do
		case $f_place in /*) ;; *) continue ;; esac
		for f_dir in "$f_place"/pitcrew.*; do
			! know_run 2>/dev/null || "$f_do"
		done
	done
}

# know_run reads what the run in f_dir wrote about itself. It fails if there is none, or only this one. Builds of the same user can
# put a pipe there, at which reading would never end.
know_run() {
	f_engine= f_attempt=0 f_controller= f_agent= f_space=
	[ -d "$f_dir" ] && [ ! -L "$f_dir" ] && [ -O "$f_dir" ] && [ -f "$f_dir/lib/process" ] && [ -f "$f_dir/lib/whose" ] || return 1
	read -r f_engine <"$f_dir/lib/process"
	[ -n "$f_engine" ] && [ "$f_engine" != "$f_ours" ] || return 1
	{ read -r f_attempt && IFS= read -r f_controller && IFS= read -r f_agent && read -r f_space; } <"$f_dir/lib/whose"
	know_step
}
know_step() {
	f_step=
	[ ! -s "$f_dir/lib/step" ] || read -r f_step <"$f_dir/lib/step"
	return 0 # between two steps there is none
}

lives() { alive "$f_engine" || alive "$f_step"; }

# unseen succeeds if the run may live where we do not see it: in another container, say, that shares the place.
unseen() { [ -n "$f_space" ] && [ "$f_space" != "$p_space" ]; }

# rival succeeds if the run is of this agent. By hand no controller is known: then the name of the agent is enough.
rival() {
	[ "$f_agent" = "$PITCREW_AGENT" ] || return 1
	[ "$PITCREW_MODE" = hand ] || [ "$f_controller" = "$PITCREW_CONTROLLER" ]
}

# yield_to ends this run if the one in f_dir is of this agent and goes before it: a later attempt, this very attempt, or
# any for a run by hand.
yield_to() {
	rival && lives || return 0
	if [ "$PITCREW_MODE" != hand ]; then
		[ "$f_attempt" -ge "$PITCREW_ATTEMPT" ] || return 0
		# What a dead run of this very attempt left is no run, and is ended.
		[ "$f_attempt" -gt "$PITCREW_ATTEMPT" ] || alive "$f_engine" || return 0
	fi
	say "refused: another run of this agent, attempt $f_attempt, lives here: process ${f_engine%% *}; nothing was touched"
	exit 78
}

# clear_run ends the run in f_dir if it is of this agent, and removes what a dead one left. An agent lives in one place at a time: an
# earlier run of ours that we do not see went with the container that it was in.
clear_run() {
	if lives; then
		yield_to
		rival || return 0
		f_again=yes
		say "ends an earlier run of this agent, attempt $f_attempt, process ${f_engine%% *}"
		if ! end_run; then
			fenced="an earlier run of this agent, attempt $f_attempt, still lives: processes $victims"
			return
		fi
	elif unseen && ! rival; then
		return
	fi
	[ ! -d "$f_dir" ] || remove_work "$f_dir"
}

# end_run ends the run in f_dir: its engine ends its own step and cleans up, within 15 s or so; whatever is left then is
# killed. It fails, with the rest in victims, if something cannot be killed.
end_run() {
	f_round=0
	while alive "$f_engine" && [ "$f_round" -lt 75 ]; do
		[ "$f_round" -gt 0 ] || kill -TERM "${f_engine%% *}" 2>/dev/null
		[ "$f_round" -gt 0 ] || kill -CONT "${f_engine%% *}" 2>/dev/null
		f_round=$((f_round + 1))
		nap
	done
	if alive "$f_engine"; then
		know_step 2>/dev/null
		end_session "${f_engine%% *}" 0 || return 1
	fi
	[ -n "$f_step" ] || return 0
	# Another process with the number of the step's first means that nothing is left of its session.
	process "${f_step%% *}"
	[ "${p_process:-$f_step}" != "$f_step" ] || end_session "${f_step%% *}" 10
}

# fence makes this the only run of its agent in the places $@. If it cannot, fenced says why.
fence() {
	fenced= f_again=yes
	each_run yield_to "$@"
	while [ -n "$f_again" ] && [ -z "$fenced" ]; do
		f_again=
		each_run clear_run "$@"
	done
}

# The server: scrub does all goals of this user that follow one another, for as long as each ends plainly well. It is asked
# by descriptor 4 and answers by 5. As nobody but this shell holds 4, the server ends when this shell does.

# serve has the server do step $1, and sets code. If stays is set, it can do another. Otherwise it has ended, or its limit has
# passed, which sets expired.
serve() {
	hold
	[ -n "$server" ] || begin_server "$1"
	if [ -z "$server" ]; then
		release
		code=126
		return
	fi
	step_pid=$server
	print_line "$1 $try $limit $phase $name" >&4
	release
	while :; do
		if IFS= read -r s_said <&5; then
			case $s_said in
			.) ;; # it is at work
			'stays '*)
				stays=yes code=${s_said#stays } step_pid=
				return
				;;
			expired)
				expired=yes
				break
				;;
			*) print_line "$s_said" >>"$tail" ;; # why there is no server, or no more
			esac
		elif ! stat_of "$server" || [ "${p_stat%% *}" = Z ]; then # some shells let a signal end what they read
			wait "$server" 2>/dev/null
			code=$?
			break
		fi
	done
	exec 4>&- 5>&-
	server=
}

# begin_server starts the server, in the place of step $1. Of the ends of its pipes this shell keeps one each: it is to see that
# the server has gone, and the server that this shell has.
begin_server() {
	{ command exec 4<>"$work/ask" 5<>"$work/answer"; } 2>/dev/null || return # "command", so that a failure does not end this shell
	launch "$1" <"$work/ask" 2>&5 4>&- 5>&- &
	server=$!
	{ command exec 5<"$work/answer"; } 2>/dev/null || exec 5>&-
	process "$server"
	printf '%s\n' "$p_process" >"$work/lib/step"
}

# end_server ends the server, which has nothing to do. Whoever has stopped it does not hold that up.
end_server() {
	[ -n "$server" ] || return 0
	exec 4>&- 5>&-
	kill -KILL "$server" 2>/dev/null
	wait "$server" 2>/dev/null
	server=
}

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

# Loans: what a loan of this agent has left goes before the first step that could suffer from it. A goal that ends
# processes does that itself, and says more about it.

# lent_gone fails, with fenced set, if a process stays. It looks once.
lent_gone() {
	[ -z "$lent_looked" ] && [ "$ends" != yes ] && [ "$PITCREW_MODE-$PITCREW_PHASES" = run-all ] || return 0
	lent_looked=yes
	# Within a loan of its own agent, nothing is to be ended: it would be this program.
	[ "${PITCREW_LENT_AGENT-}-${PITCREW_LENT_CONTROLLER-}" != "$PITCREW_AGENT-$PITCREW_CONTROLLER" ] || return 0
	[ -n "$ended" ] || lent_ended || return 1
	lent_files
	return 0
}

# lent_ended ends processes.
lent_ended() {
	l_above=' ' parent=$$
	while [ "$parent" -gt 1 ] 2>/dev/null; do
		l_above="$l_above$parent "
		parent "$parent"
	done
	boot_age
	l_began=$up l_rounds=0 l_all=
	while l_left=$(lent) && [ -n "$l_left" ]; do
		[ -n "$l_all" ] || l_all=$l_left
		boot_age
		l_age=$((up - l_began)) l_rounds=$((l_rounds + 1))
		if [ "$l_rounds" -eq 1 ]; then
			kill -TERM $l_left 2>/dev/null
			kill -CONT $l_left 2>/dev/null
		elif [ "$l_age" -ge 5 ] || [ "$l_rounds" -gt 25 ]; then
			kill -KILL $l_left 2>/dev/null
		fi
		[ "$l_age" -lt 10 ] && [ "$l_rounds" -lt 60 ] || break
		nap
	done
	[ -n "$l_all" ] || return 0
	if [ -z "$l_left" ]; then
		say "ended what a loan of this agent left: processes $(echo $l_all)"
		return 0
	fi
	fenced='a loan of this agent has left what cannot be ended:'
	for l_pid in $l_left; do
		fenced="$fenced process $l_pid ($(sed -n 's/^Name:[[:space:]]*//p; s/^State:[[:space:]]*\([A-Z]\).*/state \1/p; s/^Uid:[[:space:]]*\([0-9]*\).*/user \1/p' "/proc/$l_pid/status" 2>/dev/null | tr '\n' ' ' | tr -cd ' -~'))"
	done
	return 1
}

# lent prints the processes that bear the marks of a loan of this agent.
lent() {
	for l_pid in $(bearers "PITCREW_LENT_AGENT=$PITCREW_AGENT" "PITCREW_LENT_CONTROLLER=$PITCREW_CONTROLLER"); do
		case $l_above in *" $l_pid "*) ;; *) echo "$l_pid" ;; esac
	done
}

# lent_files removes what a loan could not whose holder was killed, or its machine: its notes, which lie where only this account may
# write, and the work directory that they name.
lent_files() {
	for l_notes in "${HOME-}/.pitcrew-loans"/* "/tmp/.pitcrew-loans.$(id -u)"/*; do
		l_base=${l_notes%/*}
		[ -O "$l_base" ] && [ ! -L "$l_base" ] && [ -f "$l_notes/whose" ] || continue
		{ read -r _ && IFS= read -r l_controller && IFS= read -r l_agent && IFS= read -r _ && IFS= read -r l_user && IFS= read -r l_dir; } 2>/dev/null <"$l_notes/whose"
		[ "$l_agent-$l_controller" = "$PITCREW_AGENT-$PITCREW_CONTROLLER" ] || continue
		! lent_lives "$l_notes/holder" && ! lent_lives "$l_notes/java" || continue
		case $l_dir in *[!0-9A-Za-z/._+-]*) continue ;; */pitcrew-loan-"${l_notes##*/}") ;; *) continue ;; esac
		[ ! -e "$l_notes/made" ] || lent_remove "$l_dir" "$l_user" || {
			say "a loan of this agent has left $l_dir, which cannot be removed"
			continue
		}
		rm -rf "$l_notes"
		say "removed what a loan of this agent left: $l_dir"
	done
}

# lent_lives succeeds if the process that file $1 names is there.
lent_lives() {
	l_process=
	{ IFS= read -r l_process <"$1"; } 2>/dev/null
	[ -n "$l_process" ] || return 1
	process "${l_process%% *}"
	[ "$l_process" = "$p_process" ]
}

# lent_remove removes directory $1 as the account that it belongs to, this one or $2, so that no link in it leads anywhere else.
lent_remove() {
	for l_as in own setpriv runuser su sudo; do
		[ -e "$1" ] || [ -L "$1" ] || return 0
		if [ "$l_as" = own ]; then
			[ ! -O "$1" ] || rm -rf "$1"
			continue
		fi
		l_uid=$(id -u "$2" 2>/dev/null) && l_gid=$(id -g "$2" 2>/dev/null) || return 1
		case $l_as in
		setpriv) setpriv "--reuid=$l_uid" "--regid=$l_gid" --clear-groups rm -rf "$1" ;;
		runuser) runuser -u "$2" -- rm -rf "$1" ;;
		su) su -s /bin/sh "$2" -c "rm -rf '$1'" ;;
		sudo) sudo -n -u "$2" rm -rf "$1" ;;
		esac >/dev/null 2>&1 </dev/null
	done
	[ ! -e "$1" ] && [ ! -L "$1" ]
}

# Engine stage: run the steps, print the report. It is read whole before anything runs ("engine_main" is its last line).

say() { printf 'pitcrew: %s\n' "$1"; }

# find_filter chooses how each line of a step's output is prefixed as it comes. The prefix keeps a step from printing
# a sentinel at the start of a line; carriage returns would start a line too, and escapes could hide one.
find_filter() {
	carriage_return=$(printf '\r') escape=$(printf '\033')
	# mawk waits for a full buffer unless told not to; others do not know the option, and some say so.
	if [ "$(echo x | awk -W interactive "$awk_filter" 2>&1)" = '| x' ]; then
		filter=mawk
	elif [ "$(echo x | awk "$awk_filter" 2>/dev/null)" = '| x' ]; then
		filter=awk
	elif [ "$(echo x | sed -u 's/^/| /' 2>/dev/null)" = '| x' ]; then
		filter=sed
	else
		filter=shell
	fi
}

filter() {
	ulimit -v 1048576 2>/dev/null # a line without end must not eat the machine
	case $filter in
	awk) exec awk "$awk_filter" ;;
	mawk) exec awk -W interactive "$awk_filter" ;;
	sed)
		sed -u -e 's/^/| /' -e "s/$escape/^[/g" -e "s/$carriage_return/\\
| /g"
		echo # the last line may have had no end
		;;
	shell)
		while IFS= read -r line || [ -n "$line" ]; do
			while :; do
				case $line in
				*["$escape$carriage_return"]*) line=${line%%["$escape$carriage_return"]*}' '${line#*["$escape$carriage_return"]} ;;
				*) break ;;
				esac
			done
			printf '| %s\n' "$line"
		done
		;;
	esac
}
awk_filter='{ gsub(/\033/, "^["); gsub(/\r/, "\n| "); print "| " $0; fflush() }'

# launch becomes step $1: a session of its own, an environment of known variables only, nothing on standard input.
# The variables by which Jenkins recognises the processes of a build stay, so that it can end a step whose engine died;
# so do the marks of a loan that this program runs in, by which the lender finds what it left.
launch() {
	set -- "$1" env -i
	for v in HOME USER LOGNAME SHELL PATH LANG TZ HOSTNAME XDG_RUNTIME_DIR http_proxy https_proxy no_proxy \
		HTTP_PROXY HTTPS_PROXY NO_PROXY NODE_NAME NODE_LABELS EXECUTOR_NUMBER WORKSPACE JENKINS_URL JOB_NAME \
		JOB_BASE_NAME BUILD_NUMBER BUILD_ID BUILD_TAG BUILD_URL JENKINS_SERVER_COOKIE HUDSON_SERVER_COOKIE \
		PITCREW_LOAN PITCREW_LENT_AGENT PITCREW_LENT_CONTROLLER; do
		eval "[ -z \"\${$v+x}\" ] || set -- \"\$@\" \"$v=\${$v}\""
	done
	[ -z "$PITCREW_TMPDIR" ] || set -- "$@" "TMPDIR=$PITCREW_TMPDIR"
	set -- "$@" LC_ALL=C "PITCREW_AGENT=$PITCREW_AGENT" "PITCREW_CONTROLLER=$PITCREW_CONTROLLER" "PITCREW_ATTEMPT=$PITCREW_ATTEMPT" "PITCREW_PHASE=$phase" \
		"PITCREW_DEPTH=$PITCREW_DEPTH" \
		"PITCREW_STEP=$name" "PITCREW_TRY=$try" "PITCREW_FILES=$work/$1/files"
	cd "$work/$1/files" || exit 126
	n=$1
	shift
	umask 022
	ulimit -c 0 2>/dev/null
	"command_$n" "$@"
}

# lost succeeds, with fenced set, if our directory has gone, as when a step empties /tmp. Another user can have made one of that name
# since: nothing is read there, or written.
lost() {
	[ -O "$work" ] && [ ! -L "$work" ] && [ -d "$work/lib" ] && return 1
	tail=/dev/null fenced="$work, in which this program works, was removed while '$name' ran"
}

expire() {
	# Without its directory and its engine the run is over, and the number of its step may be another's by now.
	if lost; then
		! alive "$f_ours" || end_session "$1" 25
		return
	fi
	: >"$work/expired" || return
	end_session "$1" 25 || printf '%s' "$victims" >"$work/unkillable"
}

# forget removes those of its arguments that are there.
forget() {
	f_left=$#
	while [ "$f_left" -gt 0 ]; do
		[ ! -e "$1" ] || set -- "$@" "$1"
		shift
		f_left=$((f_left - 1))
	done
	[ $# -eq 0 ] || rm -f "$@"
}

# run_try runs step $1 once: sets code to its exit code, expired to yes if its limit passed, and tail to the file with the end
# of its output.
run_try() {
	forget "$work/expired" "$work/unkillable" "$work/$1/result" "$work/$1/reason" "$work/$1/tail"
	tail=$work/$1/tail expired=no leftovers= stays= grace=0 direct=no
	[ "$goal" = no ] || { [ "$as_root" = yes ] && [ "$uid" != 0 ]; } || direct=yes
	if [ "$direct" = yes ]; then
		serve "$1"
		[ -z "$stays" ] || return 0
		grace=25
	else
		end_server # it may remember what this step changes
		run_alone "$1"
	fi
	if [ "$expired" = yes ]; then
		end_rest "$grace" && wait "$step_pid" 2>/dev/null
		code=$?
	elif kill -0 "-$step_pid" 2>/dev/null; then
		count_leftovers $(members "$step_pid")
		end_rest 10
	fi
	step_pid= limiter=
	lost || { true >"$work/lib/step"; } 2>/dev/null # ":" would end this shell if the directory had gone
	[ "$direct" = yes ] || drain
}

count_leftovers() { [ $# -eq 0 ] || leftovers=$#; }

# end_rest ends what is left of the step, after $1 fifths of a second for good. It fails if something cannot be ended, and notes it.
end_rest() {
	end_session "$step_pid" "$1" && return
	lost || printf '%s' "$victims" >"$work/unkillable"
	return 1
}

# run_alone runs step $1 in a process of its own, which is left for the caller to look after; its output is passed on.
run_alone() {
	hold
	filtered "$1"
	[ "$session" != monitor ] || set -m
	launch "$1" >"$work/out" 2>&1 </dev/null &
	step_pid=$!
	process "$step_pid"
	printf '%s\n' "$p_process" >"$work/lib/step"
	set +m
	after "$limit" expire "$step_pid"
	limiter=$after
	release
	wait "$step_pid" 2>/dev/null
	code=$?
	if lost || [ ! -e "$work/expired" ]; then
		calm $limiter
	else
		expired=yes
		wait "${limiter% *}"
	fi
}

# filtered starts what passes on the output of step $1 with a prefix, and keeps its end.
filtered() {
	[ -n "$filter" ] || find_filter
	rm -f "$work/out" "$work/copy" "$work/lines"
	mkfifo "$work/out" "$work/copy" "$work/lines"
	tail -c 4096 <"$work/copy" >"$work/$1/tail" 2>/dev/null &
	tail_pid=$!
	tee "$work/copy" <"$work/out" >"$work/lines" &
	tee_pid=$!
	filter <"$work/lines" &
	filter_pid=$!
}

# drain waits until all output is passed on. Whoever left the session and still holds the output must not hold us.
drain() {
	hold
	set -- "$tee_pid"
	[ -z "$fenced" ] || set -- "$@" "$filter_pid" "$tail_pid" # which may wait for what it has not opened yet, and cannot any more
	after 5 kill "$@"
	limiter=$after
	release
	wait "$filter_pid" "$tail_pid" 2>/dev/null
	calm $limiter
	limiter=
	kill "$tee_pid" 2>/dev/null
	wait "$tee_pid" 2>/dev/null
	tee_pid=
}

# judge sets outcome and reason from the last try of step $1.
judge() {
	reason=
	if [ "$expired" = yes ]; then
		outcome=timeout reason="no end after $limit s"
	else
		"outcome_$1" "$code"
		case $outcome in
		failed | retry) reason="exit code $code" ;;
		esac
		case $outcome-$stays in
		ok-*) ;;
		*-yes) IFS= read -r reason <"$work/$1/reason" ;; # by scrub: one short line
		*) [ ! -s "$work/$1/reason" ] || reason=$(head -c 500 "$work/$1/reason") ;;
		esac
	fi
	[ -z "$leftovers" ] || reason="${reason:+$reason; }ended $leftovers processes it left behind"
	if [ -s "$work/unkillable" ]; then
		outcome=failed reason="cannot kill processes $(cat "$work/unkillable")"
	fi
	[ -z "$fenced" ] || outcome=failed reason=$fenced
}

# run_step runs step $1 as often as it may and records it.
run_step() {
	try=1
	clock
	began=$now
	while :; do
		run_try "$1"
		judge "$1"
		case $outcome in
		retry | timeout) [ "$try" -lt "$tries" ] || break ;;
		*) break ;;
		esac
		say "try $try of $tries of '$name': $reason"
		try=$((try + 1))
		[ "$delay" -eq 0 ] || rest "$delay"
	done
	case $outcome in
	retry | failed | timeout) pardon ;;
	skipped)
		why=${reason:-there is nothing here to look after}
		missed "$1"
		reason=$why
		;;
	reconnect | reboot)
		[ -s "$work/$1/reason" ] || reason=
		reason="asked for a $outcome${reason:+: $reason}"
		wanted "$outcome"
		outcome=ok
		;;
	esac
	clock
	record "$code" $((now - began)) "$try"
}

# pardon does what the step says about its own failure. What it left behind and cannot be killed is no mere warning; and
# where the agent has only just come back for its verification, coming back once more is no help.
pardon() {
	[ "$outcome" != retry ] || outcome=failed
	case $on_failure in
	warned)
		[ ! -s "$work/unkillable" ] || return 0
		;;
	reconnect | reboot)
		if [ "$PITCREW_PHASES" = verify ]; then
			reason="$reason; a $on_failure does not help: only the verify phase is run"
			return 0
		fi
		reason="$reason; asks for a $on_failure"
		wanted "$on_failure"
		;;
	*) return 0 ;;
	esac
	outcome=warned pardoned=yes
}

# wanted notes that a step asks for a reconnect or a reboot; the latter brings the former with it.
wanted() { [ "$want" = reboot ] || want=$1; }

# find_clock chooses what clock reads: the time since boot, which nobody sets, or that of day, which takes a process.
find_clock() {
	clock=date
	[ ! -r /proc/uptime ] || clock=uptime
}
# clock sets now to a number of seconds.
clock() {
	now=
	case $clock in
	uptime) { read -r now _ </proc/uptime; } 2>/dev/null && now=${now%%.*} ;;
	date) now=$(date +%s) ;;
	esac
	now=${now:-${began-0}} # whoever took /proc away did not take time back
}

# record appends the current step to the report: exit code, seconds, tries.
record() {
	r_tail='""' r_scrub= r_show=$pardoned
	[ "$goals" = no ] || [ -n "$fenced" ] || [ "$3" -eq 0 ] || scrub_result "$n"
	case $outcome in
	failed | timeout)
		failed="${failed:+$failed, }$name"
		[ "$phase" != clean ] || clean_failed=yes
		[ "$phase" != setup ] || setup_failed=yes
		[ "$3" -eq 0 ] || r_show=yes
		;;
	esac
	if [ -n "$r_show" ] && [ "$tails" -lt 20 ] && [ -s "$tail" ]; then
		find_json
		tails=$((tails + 1)) r_tail=$(tail -c 4096 "$tail" | json_string)
	fi
	json_of "$reason"
	report_steps="$report_steps${report_steps:+,
}{\"name\":$json,\"phase\":\"$phase\",\"outcome\":\"$outcome\",\"exit\":$1,\"seconds\":$2,\"tries\":$3,\"reason\":$j,\"tail\":$r_tail$r_scrub}"
	say "$phase '$name': $outcome${reason:+ ($reason)}, $2 s"
}

# barrier succeeds, with reason set, if the current phase must not be begun or continued.
barrier() {
	reason=$fenced
	[ -z "$fenced" ] || return 0
	case $phase in
	clean) return 1 ;;
	setup) [ -z "$clean_failed$setup_failed" ] || reason='an earlier step failed' ;;
	verify)
		[ -z "$clean_failed$setup_failed" ] || reason='an earlier step failed'
		[ -n "$reason" ] || [ -z "$want" ] || [ "$PITCREW_PHASES" = verify ] || reason="comes after the $want"
		;;
	esac
	[ -n "$reason" ]
}

run_steps() {
	for n in $steps; do
		"step_$n"
		in_phases "$phase" || continue
		outcome=skipped pardoned=
		if barrier; then
			record 0 0 0
		elif ! fate "$n"; then
			reason=$why
			record 0 0 0
		elif ! lent_gone; then
			reason=$fenced
			record 0 0 0
		else
			say "$phase '$name' begins"
			run_step "$n"
			[ "$ends-$outcome" != yes-ok ] || ended=yes
			# A failure that its step makes light of proves nothing, nor does what was not there.
			case $phase-$outcome-$pardoned in verify-ok- | verify-warned-) proved=yes ;; esac
		fi
	done
}

# conclude sets outcome, verified and reason of the whole cleanup.
conclude() {
	verified=false reason=
	if [ -n "$fenced" ]; then
		outcome=failed reason=$fenced
	elif [ -n "$failed" ]; then
		outcome=failed reason="failed: $failed"
	elif [ -n "$want" ]; then
		outcome=$want
	elif [ -z "$proved" ]; then
		outcome=failed reason='no verify step applies here, so nothing is proved'
	else
		outcome=cleaned verified=true
	fi
}

# hold puts signals off until release: one that came between the start of a process and the note of its number would
# leave that process behind.
hold() { held=yes; }
release() {
	held=
	[ -z "$caught" ] || stop $caught
}

# stop ends the cleanup because of signal $1, with exit code $2.
stop() {
	if [ -n "$held" ]; then
		caught="$1 $2"
		return
	fi
	trap '' TERM INT HUP PIPE
	say "stopped by SIG$1"
	if [ -n "$step_pid" ]; then
		end_session "$step_pid" 10
	else
		end_server
	fi
	[ -z "$limiter" ] || calm $limiter
	kill $tee_pid $rest_pid 2>/dev/null
	exit "$2"
}

# remove_work removes private directory $1, unless a step mounted something there: removing would reach into it.
remove_work() {
	if [ -r /proc/mounts ] && grep -qF " $1/" /proc/mounts; then
		say "$1 stays: something is mounted in it"
		return 1
	fi
	rm -rf -- "$1" || say "$1 could not be removed"
}

reboot_later() {
	say "reboots: $reboot_command"
	(in_session env -i "PATH=$PATH" LC_ALL=C sh -c 'sleep 2; eval "$1"' reboot "$reboot_command") \
		</dev/null >/dev/null 2>&1 &
}

# engine_main runs the program that was unpacked in directory $1; the rest are the recipe's places.
engine_main() {
	work=$1
	shift
	IFS= read -r nonce <&3
	exec 3<&-
	cd /
	step_pid= limiter= tee_pid= rest_pid= held= caught= server= filter= json_tool= tails=0
	failed= clean_failed= setup_failed= want= proved= ended= lent_looked= report_steps=
	trap 'remove_work "$work"' EXIT
	trap 'stop TERM 143' TERM
	trap 'stop INT 130' INT
	trap 'stop HUP 129' HUP
	trap 'stop PIPE 141' PIPE # nobody reads any more: the agent is gone
	fence "$@"
	gather_facts
	hasher=$PITCREW_HASHER
	find_session
	if [ "$goals" = yes ]; then
		scrub_here
		find_scrub
	fi
	say "recipe $recipe, revision $revision, on $PITCREW_AGENT"
	report_begin
	run_steps
	end_server
	conclude
	report_end
	trap - EXIT
	remove_work "$work"
	[ "$outcome$PITCREW_NO_REBOOT" != reboot ] || [ "$PITCREW_MODE" = hand ] || reboot_later
	[ "$outcome" != failed ]
	exit
}

PITCREW_ENGINE
}

PITCREW_KIB=402
pitcrew_places() { "$@" "${TMPDIR-}" '/tmp' '/var/tmp' "${WORKSPACE-}" '/dev/shm'; }

pitcrew_dirs() { dirs 'lib' '1/files' '2/files'; }

{
	pitcrew_main "$@"
	pitcrew_engine >"$pitcrew_work/"'lib/engine' && echo 'engine_main "$@"' >>"$pitcrew_work/"'lib/engine' || pitcrew_die 'cannot unpack the engine'
	put '1/script' <<'PITCREW_FILE'
echo "{}" '{{' '}}' "${A:-{}}" | awk '{ print $1 "{obj:x}" }'   
echo '<!-- & -->' "]]>" '{x|y}' '\{' '\n' $(printf %s x)

true
PITCREW_FILE
	put64 '1/files/blob' <<'PITCREW_FILE'
AAEC/w==
PITCREW_FILE
	chmod 644 "$pitcrew_work/"'1/files/blob'
	put_line '2/script' 'true'
	check 4486efadd936a9150270dead08c6376f936b85c8c6fc896ab15be650b1b25b53 '2981675306:49961' 'lib/engine' '1/script' '1/files/blob' '2/script'
	pitcrew_become
}
