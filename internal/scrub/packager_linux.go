// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"os"
	"slices"
)

// packager is what is to be known of one package manager.
type packager struct {
	name  string   // its own program, which installs
	tools []string // what else it takes
	data  string   // a file or directory that is there, and not empty, where it manages this machine
	// caches are where it keeps what it downloaded.
	caches []cache
	// locks are files that it locks, pids files in which it writes its process number, while it works.
	locks, pids []string
	// query returns those of the names that are not installed, with what is known of them.
	query func(ctx context.Context, here Here, names []string) (map[string]string, error)
	// broken returns what an interrupted transaction left, by the name of it; repair is the command that completes it.
	broken func(ctx context.Context, here Here) (map[string]string, error)
	repair []string
	// install, and refresh, which looks for what repositories offer now, are arguments.
	install, refresh []string
	env              []string
	// busy are texts by which it says that another holds its lock.
	busy []string
	// fine are exit codes that are no failure beside 0.
	fine []int
}

// packagers are the package managers that we know, in the order in which one is chosen to install: zypper before dnf,
// and dnf before yum, which are installed beside them.
var packagers = []packager{
	{
		name: "apt-get", tools: []string{"dpkg", "dpkg-query"}, data: dpkgStatus,
		caches: []cache{
			{root: "/var/cache/apt/archives", suffix: ".deb", flat: true},
			{root: "/var/cache/apt/archives/partial", flat: true},
		},
		locks: []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/cache/apt/archives/lock"},
		query: dpkgLacks, broken: dpkgBroken,
		repair: []string{"dpkg", "--force-confdef", "--force-confold", "--configure", "-a"},
		install: []string{
			"-qq", "-y", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
			"-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=-1", "install",
		},
		refresh: []string{"-q", "-o", "APT::Update::Error-Mode=any", "update"},
		env:     []string{"DEBIAN_FRONTEND=noninteractive", "APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_SUSPEND=1"},
		busy:    []string{"Could not get lock", "Unable to lock", "Unable to acquire the dpkg frontend lock", "lock was locked by another process"},
	},
	{
		name: "apk", data: "/lib/apk/db/installed",
		caches: []cache{{root: "/etc/apk/cache", suffix: ".apk"}, {root: "/var/cache/apk", suffix: ".apk"}},
		locks:  []string{"/lib/apk/db/lock"},
		query:  oneByOne("apk", []string{"info", "-e"}, nil), broken: nothingBroken,
		install: []string{"add", "--no-progress"}, refresh: []string{"update", "--no-progress"},
		busy: []string{"Unable to lock database"},
	},
	{
		name: "zypper", tools: []string{"rpm"}, data: "/etc/zypp",
		caches: []cache{{root: "/var/cache/zypp/packages", suffix: ".rpm"}},
		locks:  rpmLocks, pids: []string{"/run/zypp.pid", "/var/run/zypp.pid"},
		query: rpmLacks, broken: rpmBroken, repair: rpmRepair,
		install: []string{"--non-interactive", "--no-refresh", "install"}, refresh: []string{"--non-interactive", "refresh"},
		busy: []string{"System management is locked"},
		fine: []int{102, 103}, // a reboot, or a restart of zypper, is suggested
	},
	{
		name: "dnf", tools: []string{"rpm"}, data: "/etc/dnf",
		caches: []cache{{root: "/var/cache/dnf", suffix: ".rpm"}, {root: "/var/cache/libdnf5", suffix: ".rpm"}},
		locks:  rpmLocks, pids: []string{"/var/cache/dnf/download_lock.pid", "/var/cache/dnf/metadata_lock.pid", "/var/lib/dnf/rpmdb_lock.pid"},
		query: rpmLacks, broken: rpmBroken, repair: rpmRepair,
		install: []string{"-y", "install"}, refresh: []string{"makecache"},
	},
	{
		name: "yum", tools: []string{"rpm"}, data: "/etc/yum.conf",
		caches: []cache{{root: "/var/cache/yum", suffix: ".rpm"}},
		locks:  rpmLocks, pids: []string{"/run/yum.pid", "/var/run/yum.pid"},
		query: rpmLacks, broken: rpmBroken, repair: rpmRepair,
		install: []string{"-y", "install"}, refresh: []string{"makecache"},
	},
}

// usable reports whether the package manager manages this machine.
func (m packager) usable(here Here) bool {
	for _, name := range slices.Concat([]string{m.name}, m.tools) {
		if _, err := here.tool(name); err != nil {
			return false
		}
	}
	info, err := os.Stat(m.data)
	return err == nil && (info.IsDir() || info.Size() > 0)
}
