// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// plantOvirt leaves what jobs of oVirt leave, beside what is not theirs.
func (s sandbox) plantOvirt() planted {
	s.Helper()
	p := s.plant()
	// The directory of mock is a file system of its own, as on agents whose disk is reformatted at each boot.
	s.sh(`mkdir -p /var/lib/mock /var/lib/mock-of-others/root/proc; mount -t tmpfs disk /var/lib/mock
		mkdir -p /var/lib/mock/epel/root/proc; mount -t tmpfs tmpfs /var/lib/mock/epel/root/proc
		mount -t tmpfs tmpfs /var/lib/mock-of-others/root/proc
		mkdir -p /var/cache/mock /var/lib/lago /var/lib/stdci /var/lib/ovirt-engine/setup /var/lib/ovirt-engine-of-others
		` + twoOf("/var/cache/mock/older", "/var/cache/mock/younger") + `
		echo x >/var/lib/ovirt-engine/setup/file; echo x >/var/lib/lago/template
		mkdir /dev/shm/ost; echo x >/dev/shm/ost/disk; echo x >/dev/shm/a.rpm; echo x >/dev/shm/other
		echo x >/tmp/lago-young
		mkdir /home/gone; echo x >/home/gone/file; chown -R 4999:4999 /home/gone
		mkdir -p /home/jenkins/.ssh; chmod 755 /home/jenkins/.ssh; echo stale >/home/jenkins/.ssh/known_hosts; chown -R 4242:4242 /home/jenkins/.ssh
		echo qemu:x:107:107::/:/bin/false >>/etc/passwd; echo qemu:x:107: >>/etc/group
		mkdir -p /run/systemd/system`)
	return p
}

// standInOvirt has what an agent of oVirt has and the machine of the tests has not.
func (s sandbox) standInOvirt(manager, config string) {
	s.Helper()
	s.sh("rm -f /var/lib/dpkg/status; mkdir -p $(dirname " + config + "); echo '# of the distribution' >" + config)
	s.standInKVM()
	s.standIn("systemctl", systemctl)
	s.standIn("rpm", `[ "$1" != -qa ] || exit 0
shift 2; for n; do grep -qx "$n" $D/have && echo $n-1 || { echo "no package provides $n"; bad=1; }; done; exit ${bad-0}`)
	s.standIn(manager, `order "$*"; shift 2; for n; do echo "$n" >>$D/have; done`)
	s.standIn("mock", `echo 2.2`)
	s.standIn("createrepo_c", `echo 0.17`)
	s.standIn("getenforce", `cat $D/selinux`)
	s.standIn("setenforce", `order "$*"; echo Permissive >$D/selinux`)
	s.standIn("firewall-cmd", `f=$D/ports; [ "$1" != --permanent ] || { f=$D/ports.permanent; shift; }
case $1 in
--query-port=*) grep -qsx "${1#*=}" $f ;;
--add-port=*) order "$*"; echo "${1#*=}" >>$f ;;
esac`)
	s.standIn("iptables", `[ -e $D/chains ]`)
	s.standIn("runuser", `[ "$1 $2 $3" = "-u postgres --" ] && shift 3 && exec "$@"`)
	s.standIn("psql", `case "$*" in *pg_database*) ls $D/databases ;; *) echo 1 ;; esac`)
	s.standIn("dropdb", `order "$*"; rm "$D/databases/$2"`)
	s.sh(`cd /var/lib/stand-in; mkdir databases; touch databases/engine databases/engine_20180301 databases/search-engine databases/postgres
		echo Enforcing >selinux; echo git >have; echo qemu-kvm >>have
		for unit in libvirtd haveged firewalld postfix; do echo active enabled >$unit.unit; done
		echo inactive disabled >docker.unit; echo inactive disabled >podman.socket.unit; echo active enabled >dnf-makecache.timer.unit`)
}

// ovirtChanges are those for a test's machine: caches that are too large at once, homes that are unused at once, no KVM.
var ovirtChanges = append([]string{"older: 2d, size: 20GB", "older: 2d, size: 1MB", "users: {older: 7d}", "users: {older: 1s}"}, emulated...)

// serviced fails if anything that was planted is left, a guard is not, or the setup is not done.
func (s sandbox) serviced(p planted, config string) {
	s.Helper()
	s.survived(p)
	s.gone("/var/lib/mock/epel", "/var/cache/mock/older", "/var/lib/ovirt-engine/setup", "/dev/shm/ost", "/dev/shm/a.rpm", "/home/gone",
		"/var/lib/stand-in/databases/engine", "/var/lib/stand-in/databases/engine_20180301")
	s.there("/var/cache/mock/younger", "/var/lib/lago/template", "/var/lib/ovirt-engine-of-others", "/dev/shm/other", "/tmp/lago-young",
		"/var/lib/stand-in/databases/search-engine", "/var/lib/stand-in/databases/postgres", "/etc/modprobe.d/90-nested-kvm.conf")
	s.sh("mountpoint -q /var/lib/mock; mountpoint -q /var/lib/mock-of-others/root/proc")
	if got := s.sh("echo $(cat /proc/sys/fs/file-max /proc/sys/net/ipv6/conf/all/accept_ra); id -nG qemu; head -n 1 " + config); got != "640000 2\nqemu jenkins\n# Placed by pitcrew. Repositories are in /etc/yum.repos.d." {
		s.Errorf("settings: %q", got)
	}
	const modes = `drwxr-x--- jenkins /home/jenkins
drwx------ jenkins /home/jenkins/.ssh
-rw------- jenkins /home/jenkins/.ssh/known_hosts
drwxr-xr-x jenkins /var/lib/lago
drwxr-xr-x jenkins /var/lib/stdci/shared`
	if diff := cmp.Diff(modes, s.sh("stat -c '%A %U %n' /home/jenkins /home/jenkins/.ssh /home/jenkins/.ssh/known_hosts /var/lib/lago /var/lib/stdci/shared")); diff != "" {
		s.Errorf("modes (-want +got):\n%s", diff)
	}
}

func TestOvirtEL7(t *testing.T) {
	need(t, "java", "openjdk-17-jdk-headless")
	needLibvirt(t)
	need(t, "docker", "docker.io") // only to be found: no engine runs here
	inSandbox(t, func(s sandbox) {
		p := s.plantOvirt()
		s.startLibvirt()
		s.network("default")
		s.network("mydefault")
		s.network("vdsm-test-network")
		s.virsh("create", s.domain("lago-suite-engine", "vdsm-test-network", "/home/jenkins/workspace/app/lago/engine.qcow2"), "--paused")
		s.virsh("define", s.domain("by-hand", "mydefault", ""))
		s.sh(`ip link add dummy_1 type bridge; ip link add xdummy_1 type bridge`)
		s.standInOvirt("yum", "/etc/yum.conf")
		r := s.recipe("ovirt-el7", ovirtChanges...)

		report := s.steps(r, cleanup)
		if report.Outcome != recipe.Reconnect { // for new groups and limits
			s.Errorf("outcome %s: %s", report.Outcome, report.Reason)
		}
		s.serviced(p, "/etc/yum.conf")
		if diff := cmp.Diff([]string{"net default"}, s.machines()); diff != "" {
			s.Errorf("libvirt has (-want +got):\n%s", diff)
		}
		if links := s.sh("ip -o link show type bridge"); !strings.Contains(links, ": xdummy_1:") || strings.Contains(links, ": dummy_1:") {
			s.Errorf("bridges: %s", links)
		}
		const orders = `dropdb -- engine
dropdb -- engine_20180301
modprobe -r kvm_intel
modprobe kvm_intel
modprobe -- openvswitch
setenforce 0
yum -y install mock createrepo_c libvirt firewalld haveged PyYAML postfix docker java-1.8.0-openjdk-headless
systemctl --no-ask-password enable -- docker
systemctl --no-ask-password start -- docker
systemctl restart docker
firewall-cmd --add-port=8585/tcp
firewall-cmd --add-port=8585/tcp
`
		if diff := cmp.Diff(orders, s.orders()); diff != "" {
			s.Errorf("orders (-want +got):\n%s", diff)
		}
		s.idle(r, cleanup, libvirtWrites...)
	})
}

func TestOvirtEL8(t *testing.T) {
	need(t, "java", "openjdk-17-jdk-headless")
	need(t, "podman", "podman")
	need(t, "runc", "runc")
	inSandbox(t, func(s sandbox) {
		p := s.plantOvirt()
		s.standIn("virsh", "") // that of el7 is real: here libvirt has nothing
		s.sh(`mkdir -p /run/podman /etc/containers; echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json
			printf '%s\n' '[containers]' 'default_ulimits=["nofile=1024:1024"]' '[engine]' 'runtime="runc"' 'cgroup_manager="cgroupfs"' 'events_logger="none"' >/etc/containers.conf`)
		e := engine{s, []string{"podman", "--storage-driver", "vfs"}}
		s.serve([]string{"podman", "--url", "unix:///run/podman/podman.sock", "version"}, append(e.program, "system", "service", "--time=0", "unix:///run/podman/podman.sock")...)
		e.fill()
		e.do("tag", "alpine:3", "quay.io/centos/centos:stream8")
		e.do("rmi", "alpine:3")
		s.standInOvirt("dnf", "/etc/dnf/dnf.conf")
		r := s.recipe("ovirt-el8", append([]string{"size: 30GB", "size: 1MB"}, ovirtChanges...)...)

		report := s.steps(r, cleanup)
		if report.Outcome != recipe.Reconnect { // for new groups and limits
			s.Errorf("outcome %s: %s", report.Outcome, report.Reason)
		}
		s.serviced(p, "/etc/dnf/dnf.conf")
		if diff := cmp.Diff([]string{"image quay.io/centos/centos:stream8"}, e.has()); diff != "" {
			s.Errorf("the engine has (-want +got):\n%s", diff)
		}
		const orders = `dropdb -- engine
dropdb -- engine_20180301
modprobe -r kvm_intel
modprobe kvm_intel
modprobe -- openvswitch
setenforce 0
dnf -y install mock createrepo_c libvirt firewalld python3-pyyaml podman java-11-openjdk-headless
systemctl --no-ask-password mask -- dnf-makecache.timer
systemctl --no-ask-password enable -- podman.socket
systemctl --no-ask-password start -- podman.socket
firewall-cmd --add-port=8585/tcp
firewall-cmd --add-port=8585/tcp
`
		if diff := cmp.Diff(orders, s.orders()); diff != "" {
			s.Errorf("orders (-want +got):\n%s", diff)
		}
		s.idle(r, cleanup, "/var/lib/containers", "/var/tmp")
	})
}
