// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Ownership is what on a machine belongs to continuous integration. Nothing outside of it is deleted, ended or
// unmounted.
type Ownership struct {
	// Paths are absolute and clean. What they hold is owned; a path of the same beginning, as /srv/ci-data beside
	// /srv/ci, is not. AgentWord stands for the agent's name, here as everywhere in a spec.
	Paths []string `json:"paths,omitempty"`
	// Users are names of users, all of whose processes are owned. SystemUsers may also be accounts of the system, such as a service runs as.
	Users       []string `json:"users,omitempty"`
	SystemUsers []string `json:"systemUsers,omitempty"`
	// Names are patterns (as in path.Match) for the whole name of a thing without a path: a virtual machine, a
	// network, a link.
	Names []string `json:"names,omitempty"`
	// Labels are labels of containers, volumes and networks: key, or key=value.
	Labels []string `json:"labels,omitempty"`
	// Cgroups are paths of control groups, as in /proc/PID/cgroup.
	Cgroups []string `json:"cgroups,omitempty"`
}

// Within reports whether p, which is absolute and clean, is root or lies below it.
func Within(root, p string) bool {
	rest, ok := strings.CutPrefix(p, root)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(root, "/"))
}

// Below reports whether p lies below one of the owned paths and is none of them.
func (o Ownership) Below(p string) bool {
	return slices.ContainsFunc(o.Paths, func(root string) bool { return p != root && Within(root, p) })
}

// Holds reports whether p is one of the owned paths or lies below one.
func (o Ownership) Holds(p string) bool {
	return slices.ContainsFunc(o.Paths, func(root string) bool { return Within(root, p) })
}

// InCgroup reports whether the control group is owned, or stands below one that is.
func (o Ownership) InCgroup(group string) bool {
	return slices.ContainsFunc(o.Cgroups, func(root string) bool { return Within(root, group) })
}

// Named reports whether name as a whole matches one of the owned patterns.
func (o Ownership) Named(name string) bool { return Matches(o.Names, name) }

// Matches reports whether name as a whole matches one of the patterns; a malformed pattern matches nothing.
func Matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return err == nil && ok
	})
}

// shared are directories that no agent can own as a whole: others' things are in them on every machine.
var shared = []string{
	"/", "/Applications", "/Library", "/Users", "/Volumes", "/private", "/private/tmp", "/private/var", // these on macOS
	"/bin", "/boot", "/dev", "/dev/hugepages", "/dev/pts", "/dev/shm", "/etc", "/home", "/lib", "/lib32", "/lib64", "/media", "/mnt", "/opt",
	"/proc", "/root", "/run", "/run/user", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/local",
	"/usr/sbin", "/usr/share", "/var", "/var/cache", "/var/lib", "/var/lib/docker", "/var/lib/containers", "/var/lib/libvirt", "/var/lib/systemd",
	"/var/log", "/var/mail", "/var/run", "/var/spool", "/var/tmp",
}

// forbidden are trees that belong to the kernel or the system, or in which a program of it keeps what it alone understands;
// nothing below them can be owned by its path.
var forbidden = []string{
	"/System", "/bin", "/boot", "/dev", "/efi", "/etc", "/gnu", "/lib", "/lib32", "/lib64", "/nix", "/proc", "/sbin", "/snap", "/sys", "/usr",
	"/run/containerd", "/run/dbus", "/run/docker", "/run/libvirt", "/run/log", "/run/lvm", "/run/netns", "/run/systemd", "/run/udev",
	"/var/lib/containerd", "/var/lib/containers", "/var/lib/dbus", "/var/lib/docker", "/var/lib/dpkg", "/var/lib/etcd", "/var/lib/kubelet",
	"/var/lib/pacman", "/var/lib/rpm", "/var/lib/snapd",
}

// except are trees in forbidden ones that are there for everybody's files.
var except = []string{"/dev/shm", "/dev/hugepages"}

// vital are users whose processes keep the machine alive.
var vital = []string{"root", "daemon", "dbus", "messagebus", "polkitd", "sshd", "systemd-network", "systemd-resolve", "systemd-timesync"}

// Check returns what is dangerous or contradictory in o, each with the reason and what to do.
func (o Ownership) Check() []error {
	var problems []error
	fail := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for i, p := range o.Paths {
		if why := dangerous(p); why != "" {
			fail("owned path %q: %s", p, why)
			continue
		}
		for _, other := range o.Paths[:i] {
			switch {
			case other == p:
				fail("owned path %q is there twice", p)
			case Within(other, p) || Within(p, other):
				fail("owned paths %q and %q overlap; name the outer one only", other, p)
			}
		}
	}
	for i, u := range slices.Concat(o.Users, o.SystemUsers) {
		switch {
		case u == "":
			fail("an owned user has no name")
		case i >= len(o.Users) && slices.Contains(o.Users, u):
			fail("owned user %q is in users and in systemUsers", u)
		case slices.Contains(vital, u):
			fail("owned user %q: its processes keep the machine alive; own paths or control groups instead", u)
		case isPattern(u):
			fail("owned user %q: patterns are for names; say each user", u)
		case strings.TrimSpace(u) != u || strings.ContainsAny(u, ":/\n"):
			fail("owned user %q: that is no name of a user", u)
		}
	}
	for _, p := range o.Names {
		if why := loose(p); why != "" {
			fail("owned name %q: %s", p, why)
		}
	}
	for _, l := range o.Labels {
		if key, _, _ := strings.Cut(l, "="); key == "" {
			fail("owned label %q has no key", l)
		} else if isPattern(l) {
			fail("owned label %q: patterns are for names; say each label, or the key alone for any value", l)
		}
	}
	for _, g := range o.Cgroups {
		switch {
		case isPattern(g):
			fail("owned control group %q: patterns are for names; say each group, or one above them", g)
		case !path.IsAbs(g) || path.Clean(g) != g:
			fail("owned control group %q: want a clean path that begins with a slash", g)
		case slices.Contains([]string{"/", "/system.slice", "/init.scope", "/user.slice", "/machine.slice"}, g):
			fail("owned control group %q holds other people's processes; name one below it", g)
		case slices.ContainsFunc(strings.Split(g, "/"), systemUnit):
			fail("owned control group %q: its processes keep the machine alive, or let people in", g)
		}
	}
	return problems
}

// isPattern reports whether s looks like a pattern, where only the thing itself is meant: it would own nothing, and nobody would notice.
func isPattern(s string) bool { return strings.ContainsAny(s, "*?[") }

// systemUnit reports whether name is a unit of systemd that no machine can do without.
func systemUnit(name string) bool {
	unit, ok := strings.CutSuffix(name, ".service")
	return ok && (strings.HasPrefix(unit, "systemd-") || slices.Contains([]string{"dbus", "dbus-broker", "ssh", "sshd"}, unit))
}

func dangerous(p string) string {
	switch {
	case !path.IsAbs(p) && len(p) > 1 && p[1] == ':':
		return "paths of Windows cannot be owned yet"
	case !path.IsAbs(p):
		return "want an absolute path"
	case path.Clean(p) != p:
		return fmt.Sprintf("want it clean, as %q", path.Clean(p))
	case isPattern(p):
		return "patterns are for names; own the directory, and say in the step what of it goes"
	case strings.ContainsRune(p, 0):
		return "it has a zero byte"
	case slices.Contains(shared, p):
		return "others have things there on every machine; own a directory below it"
	case besideOthers(p):
		return "an agent could be called as what others have there; put a directory of your own in between, as in /srv/ci/" + AgentWord
	}
	if root := systems(p); root != "" {
		return "all of " + root + " belongs to the system"
	}
	if slices.Contains(strings.Split(p, "/"), ".ssh") {
		return "it holds the keys by which people and controllers get in"
	}
	return ""
}

// systems returns the tree of the system that p is in, "" if it is in none.
func systems(p string) string {
	if Within("/var/run", p) { // another name of the same on most machines
		p = strings.TrimPrefix(p, "/var")
	}
	within := func(root string) bool { return Within(root, p) }
	at := slices.IndexFunc(forbidden, within)
	if at < 0 || slices.ContainsFunc(except, within) {
		return ""
	}
	return forbidden[at]
}

// loose says why a pattern is no name: it has to begin with two characters that are meant, or name one thing exactly.
func loose(pattern string) string {
	if _, err := path.Match(pattern, ""); err != nil {
		return "it is no pattern: " + err.Error()
	}
	fixed := strings.IndexAny(pattern, "*?[\\")
	switch {
	case pattern == "":
		return "it is empty"
	case fixed >= 0 && fixed < 2:
		return "it would match things of others; begin it with at least two characters that are meant"
	}
	return ""
}
