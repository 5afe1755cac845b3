// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// needLibvirt skips where machines cannot be made.
func needLibvirt(t *testing.T) {
	t.Helper()
	need(t, "virsh", "libvirt-clients")
	need(t, "libvirtd", "libvirt-daemon")
	need(t, "qemu-system-x86_64", "qemu-system-x86")
	need(t, "qemu-img", "qemu-utils")
}

// libvirtWrites are where libvirt writes while it lives.
var libvirtWrites = []string{"/var/log/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/etc/libvirt"}

// startLibvirt starts libvirtd, whose machines qemu emulates.
func (s sandbox) startLibvirt() {
	s.Helper()
	s.sh(`echo libvirt-qemu:x:64055:64055::/:/bin/false >>/etc/passwd; echo libvirt-qemu:x:64055: >>/etc/group
		rm -rf /var/lib/libvirt /etc/libvirt; mkdir -p /var/lib/libvirt /etc/libvirt /run/libvirt /var/log/libvirt
		printf '%s\n' 'security_driver = "none"' 'user = "root"' 'group = "root"' 'cgroup_controllers = []' 'namespaces = []' 'stdio_handler = "file"' >/etc/libvirt/qemu.conf
		echo 'auth_unix_rw = "none"' >/etc/libvirt/libvirtd.conf`)
	s.serve([]string{"virsh", "--connect", "qemu:///system", "uri"}, "libvirtd", "--config", "/etc/libvirt/libvirtd.conf")
}

// virsh is the test's own way to ask and tell libvirt; xml is a description to it.
func (s sandbox) virsh(args ...string) string {
	s.Helper()
	return s.sh("virsh --quiet --connect qemu:///system '" + strings.Join(args, "' '") + "'")
}

func (s sandbox) xml(format string, args ...any) string {
	s.Helper()
	file := filepath.Join(s.TempDir(), "description.xml")
	check(s.T, os.WriteFile(file, fmt.Appendf(nil, format, args...), 0o600))
	return file
}

func (s sandbox) network(name string) {
	s.Helper()
	s.virsh("net-define", s.xml("<network><name>%s</name><dns enable='no'/></network>", name))
	s.virsh("net-start", name)
	s.virsh("net-autostart", name)
}

// domain describes a machine with a disk and a network, "" for none.
func (s sandbox) domain(name, network, disk string) string {
	s.Helper()
	devices := ""
	if disk != "" {
		s.sh("mkdir -p " + filepath.Dir(disk) + "; qemu-img create -q -f qcow2 " + disk + " 1M")
		devices += "<disk type='file'><driver name='qemu' type='qcow2'/><source file='" + disk + "'/><target dev='vda' bus='virtio'/></disk>"
	}
	if network != "" {
		devices += "<interface type='network'><source network='" + network + "'/></interface>"
	}
	return s.xml("<domain type='qemu'><name>%s</name><memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os><devices>%s</devices></domain>", name, devices)
}

// machines are the machines and networks that libvirt has.
func (s sandbox) machines() []string {
	s.Helper()
	var all []string
	for kind, list := range map[string]string{"vm": "list", "net": "net-list"} {
		for name := range strings.FieldsSeq(s.virsh(list, "--all", "--name")) {
			all = append(all, kind+" "+name)
		}
	}
	slices.Sort(all)
	return all
}

// standInKVM has a machine with a module of kvm that does not nest until it is loaded anew with an option that says so.
func (s sandbox) standInKVM() {
	s.Helper()
	s.sh(`mount -t tmpfs tmpfs /sys/module; mkdir -p /sys/module/kvm_intel/parameters; echo N >/sys/module/kvm_intel/parameters/nested
		[ ! -e /proc/modules ] || mount --bind /dev/null /proc/modules
		mkdir -p /etc/modprobe.d /lib/modules/$(uname -r); : >/lib/modules/$(uname -r)/modules.builtin`)
	s.standIn("modprobe", `order "$*"
for module; do :; done
case $1 in
-r) ;;
*)
	echo kernel/$module.ko >>/lib/modules/$(uname -r)/modules.builtin
	if grep -qs "options $module nested=1" /etc/modprobe.d/*; then echo Y >/sys/module/$module/parameters/nested; fi
	;;
esac`)
}

// emulated has the recipe be content without KVM, as on machines that the tests run on.
var emulated = []string{"    kvm: {nested: true}\n", "    kvm: {nested: true}\n    onFailure: warn\n"}

func TestLibvirtHost(t *testing.T) {
	needLibvirt(t)
	inSandbox(t, func(s sandbox) {
		p := s.plant()
		s.startLibvirt()
		for _, name := range []string{"ci-net", "some-net", "default", "infra-net"} {
			s.network(name)
		}
		s.virsh("create", s.domain("leftover", "ci-net", "/home/jenkins/workspace/app/disk.qcow2"), "--paused") // emulation costs
		s.virsh("define", s.domain("off", "", "/var/lib/ci/off.qcow2"))
		s.virsh("define", s.domain("infra-dns", "infra-net", "/srv/disks/infra.qcow2"))
		s.virsh("start", "infra-dns", "--paused")
		s.sh(`ip link add ci-br type bridge; ip link add mine type bridge; ip netns add ci-space
			echo 0 >/proc/sys/net/ipv4/ip_forward; mkdir -p /run/systemd/system`)
		s.standInKVM()
		s.standIn("systemctl", systemctl)
		s.sh("echo active enabled >/var/lib/stand-in/libvirtd.unit")
		r := s.recipe("libvirt-host", emulated...)

		report := s.steps(r, cleanup)
		if report.Outcome != recipe.Reconnect { // for the new groups
			s.Errorf("outcome %s: %s", report.Outcome, report.Reason)
		}
		s.survived(p)
		if diff := cmp.Diff([]string{"net default", "net infra-net", "vm infra-dns"}, s.machines()); diff != "" {
			s.Errorf("libvirt has (-want +got):\n%s", diff)
		}
		if state := s.virsh("domstate", "infra-dns"); state != "paused" {
			s.Errorf("the machine that is kept is %s", state)
		}
		s.found(report, map[string][]string{"links and firewall": {"link ci-br", "namespace /run/netns/ci-space"}})
		s.there("/srv/disks/infra.qcow2")
		if links := s.sh("ip -o link show type bridge"); !strings.Contains(links, ": mine:") || strings.Contains(links, ": ci-br:") {
			s.Errorf("bridges: %s", links)
		}
		const orders = "modprobe -r kvm_intel\nmodprobe kvm_intel\n"
		if got := s.orders(); got != orders {
			s.Errorf("orders:\n%s", got)
		}
		if got := s.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/accept_ra; id -nG jenkins; stat -c %U /var/lib/ci"); got != "1\n2\njenkins libvirt kvm\njenkins" {
			s.Errorf("settings: %q", got)
		}
		s.idle(r, cleanup, libvirtWrites...)
	})
}
