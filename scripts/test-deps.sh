#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test-deps.sh installs the Debian packages that tests talk to: a real sshd, Jenkins' own Python clients, other shells, a JDK, a browser.
#
# Idempotent, and quick when nothing is missing. Where it cannot install (no apt, no root) it says what is missing:
# tests that need it then skip and say so, but with CI=true nothing may be missing.
set -euo pipefail

packages=(
	busybox-static          # the poorest shell and tools that a recipe must work with
	chromium                # loads the live page
	containernetworking-plugins # publishes ports of containers
	curl                    # asks servers with TLS
	dash                    # the plain POSIX shell
	docker.io               # one of two container engines to clean
	e2fsprogs               # disks in files, for scrub to take apart
	fuse3                   # file systems of users
	groovy                  # evaluates the gate and jobs for Job DSL, in the version that Jenkins has
	iproute2                # links and namespaces
	iptables                # chains, of both sorts
	jenkins-job-builder     # a client that we did not write, and the judge of rendered jobs
	ksh93u+m                # the shell that is least like the others
	libvirt-clients         # virsh
	libvirt-daemon          # machines that scrub removes
	mount                   # losetup, swapon
	nftables                # tables and chains
	openjdk-17-jdk-headless # compiles and runs the agent process of the simulated Jenkins
	openssh-client
	openssh-server # the far side of the SSH tests
	podman                  # the other container engine, and the one that ephemeral controllers are tested with
	procps
	python3-jenkins # another client that we did not write; wants /usr/bin/python3
	qemu-system-x86 # emulates such a machine in software
	qemu-user-static # runs scrub for other platforms
	qemu-utils
	runc                    # runs containers where the machine's control groups are of the old kind too
	shellcheck
	sudo                    # raises steps
	systemd # journald and journalctl
	util-linux # setsid
	wget       # asks them where there is no curl
)

missing=()
for package in "${packages[@]}"; do
	status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=absent
	[ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

refuse() {
	echo "test-deps: missing: ${missing[*]} ($1)" >&2
	if [ "${CI-}" = true ]; then exit 1; fi
	echo "test-deps: tests that need them are going to be skipped" >&2
	exit 0
}
command -v apt-get >/dev/null || refuse "no apt-get here: install what matches on this system"
[ "$(id -u)" = 0 ] || refuse "run 'sudo scripts/test-deps.sh' once"

# Installing openssh-server must not open a port on the developer's machine: forbid service starts meanwhile.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq "$@" >/dev/null
}
echo "test-deps: installing ${missing[*]}" >&2
for attempt in 1 2 3; do
	if apt update && apt install -y --no-install-recommends "${missing[@]}"; then exit 0; fi
	echo "test-deps: attempt $attempt did not succeed" >&2
	sleep $((attempt * 5))
done
refuse "apt-get did not install them"
