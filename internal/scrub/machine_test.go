// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// machineOf makes a machine of files.
func machineOf(t *testing.T, files map[string]string) Machine {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return machineBelow(root)
}

func TestAMachineIsWhatItsFilesTell(t *testing.T) {
	t.Parallel()
	plain := Machine{System: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU()}
	for name, tc := range map[string]struct {
		files map[string]string
		want  func(*Machine)
	}{
		"nothing is there": {nil, func(*Machine) {}},
		"CentOS 7": {
			map[string]string{
				"etc/os-release": "NAME=\"CentOS Linux\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\n", "etc/machine-id": "abc\n",
				"proc/sys/kernel/random/boot_id": "b-1\n", "proc/sys/kernel/osrelease": "3.10.0-1160.el7.x86_64\n", "proc/loadavg": "0.20 1.50 12.00 1/345 6789\n",
				"proc/meminfo": "MemTotal:       1024 kB\nMemFree:   1 kB\nMemAvailable:    512 kB\n",
			},
			func(m *Machine) {
				m.OS, m.Version, m.ID, m.BootID, m.Kernel = "centos", "7", "abc", "b-1", "3.10.0-1160.el7.x86_64"
				m.Load, m.Memory = []float64{0.2, 1.5, 12}, Memory{Bytes: 1 << 20, BytesFree: 512 << 10}
			},
		},
		"a container of podman, without an id": {
			map[string]string{"usr/lib/os-release": "ID=alpine\nVERSION_ID=3.19.1\n", "etc/machine-id": "\n", "run/.containerenv": "engine=\"podman-4.3.1\"\n", "run/systemd/container": "podman\n"},
			func(m *Machine) { m.OS, m.Version, m.Container = "alpine", "3.19.1", "podman" },
		},
		"a container of docker": {map[string]string{".dockerenv": ""}, func(m *Machine) { m.Container = "docker" }},
		"a container of lxc":    {map[string]string{"run/systemd/container": "lxc\n"}, func(m *Machine) { m.Container = "lxc" }},
		"files that are damaged": {
			map[string]string{"etc/os-release": "\x00=\nID\n==", "proc/loadavg": "NaN 1 1", "proc/meminfo": "MemTotal: many kB\nMemAvailable\nMemAvailable: -4 kB"},
			func(*Machine) {},
		},
	} {
		want := plain
		tc.want(&want)
		if diff := cmp.Diff(want, machineOf(t, tc.files)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTheRoomOfEachPathIsToldOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := ThisMachine([]string{dir, dir, filepath.Join(dir, "absent")})
	var paths []string
	for _, v := range m.Disks {
		paths = append(paths, v.Path)
		if v.Bytes <= 0 || v.BytesFree < 0 || v.BytesFree > v.Bytes || v.InodesFree > v.Inodes {
			t.Errorf("room %+v", v)
		}
	}
	if diff := cmp.Diff([]string{string(filepath.Separator), dir}, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if m.Hostname == "" || m.UID != os.Getuid() || m.Root != (os.Getuid() == 0) {
		t.Errorf("machine %+v", m)
	}
}

func FuzzFactsOfAMachine(f *testing.F) {
	f.Add("ID=debian\n", "0.1 0.2 0.3 1/2 3", "MemTotal: 1 kB\n")
	f.Add("VERSION_ID='12", "1e400 - +", "MemAvailable: 9223372036854775807 kB")
	f.Fuzz(func(t *testing.T, release, average, mem string) {
		idAndVersion(release)
		for _, v := range load(average) {
			if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
				t.Errorf("load %v of %q cannot be written as JSON", v, average)
			}
		}
		if m := memory(mem); m.Bytes < 0 || m.BytesFree < 0 {
			t.Errorf("memory %+v of %q", m, mem)
		}
	})
}
