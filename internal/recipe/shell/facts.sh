# Facts of the machine, and the conditions that the recipe's steps ask of them.

# os_facts sets os to the words that a condition on "os" may use: the kernel, the distribution, those it is like, and
# the distribution with its version, whole and major.
os_facts() {
	os=" $(uname -s | tr '[:upper:]' '[:lower:]') "
	os_id= os_like= os_version=
	for os_file in /etc/os-release /usr/lib/os-release; do
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
	if [ -z "$os_id" ] && [ -r /etc/redhat-release ]; then
		read -r os_id _ os_version _ </etc/redhat-release
		os_id=$(printf '%s' "$os_id" | tr '[:upper:]' '[:lower:]') os_like='rhel fedora'
	fi
	[ -z "$os_id" ] || os="$os$os_id $os_id$os_version $os_id${os_version%%.*} $os_like "
}

arch_facts() {
	arch=$(uname -m)
	case $arch in
	amd64) arch=x86_64 ;;
	arm64) arch=aarch64 ;;
	esac
}

gather_facts() {
	os_facts
	arch_facts
	uid=$(id -u)
	labels=" ${NODE_LABELS-} "
}

# Each of these is one part of a condition; on failure why says which.
os_among() {
	for word; do
		case $os in *" $word "*) return 0 ;; esac
	done
	why="os is none of $*"
	return 1
}
os_is_not() {
	for word; do
		case $os in *" $word "*) why="os is $word" && return 1 ;; esac
	done
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
	if [ -z "${sudo-}" ]; then
		sudo=no
		! sudo -n true </dev/null >/dev/null 2>&1 || sudo=yes
	fi
	[ "$1" = "$sudo" ] && return 0
	why='sudo without a password works' && [ "$1" = no ] || why='sudo without a password does not work'
	return 1
}
label() { case $labels in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

in_phases() { [ "$PITCREW_PHASES" = all ] || [ "$1" = verify ]; }

engine_plan() {
	gather_facts
	echo "recipe $recipe, revision $revision"
	for n in $steps; do
		"step_$n"
		in_phases "$phase" || continue
		why=
		if "when_$n"; then
			echo "run   $phase: $name (limit ${limit}s, tries $tries)"
		else
			echo "skip  $phase: $name ($why)"
		fi
	done
}
