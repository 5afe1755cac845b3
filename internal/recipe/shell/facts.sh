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
