// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/mountinfo"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/rtnetlink"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// NewLoopsOf is a step that sees the block devices and swap space of recorded machines.
func NewLoopsOf(owned spec.Ownership, devices, proc string) Step {
	return &loops{owned: owned, proc: procfs.Root(proc), blocks: blocks(devices), known: map[string]device{}}
}

// IsLoanID reports whether a word is reported as the name of a loan.
func IsLoanID(word string) bool { return isLoanID(word) }

// Removal is what the device mapper is told to remove a device.
func Removal(name string) []byte { order := removal(name); return order[:] }

// RunTool runs a tool found in places, or nil for those of the machine.
func RunTool(ctx context.Context, places []string, name string, args ...string) ([]byte, error) {
	t, err := Here{Tools: places}.tool(name)
	if err != nil {
		return nil, err
	}
	return t.run(ctx, args...)
}

// NewPackagesAt is a step at some other time, which does not wait between tries.
func NewPackagesAt(s spec.Spec, here Here, now time.Time) Step {
	p, _ := newPackages(s, here).(*packages)
	p.now, p.pauses = func() time.Time { return now }, make([]time.Duration, len(p.pauses))
	return p
}

// Blame is what a package manager blames in a text.
func Blame(text string) (repositories, packages []string) {
	g := blame(text)
	return g.repositories, g.packages
}

// NewInterfacesOf is a step that sees the links of a described machine, and cannot remove any.
func NewInterfacesOf(owned spec.Ownership, all []rtnetlink.Link, routes []rtnetlink.Route, hops []rtnetlink.Hop) Step {
	there := func() (fabric, error) { return newFabric(all, routes, hops) }
	return &interfaces{owned: owned, fabric: there, known: map[string]int{}}
}

// RemovalOf is what iptables-restore is told to remove chains of a table, by what iptables-save has printed.
func RemovalOf(saved, table string, names ...string) string {
	for _, t := range parseSaved(saved) {
		if t.name == table {
			return t.removal(names)
		}
	}
	return ""
}

// ReadRuleset reads what nft lists, and asks it everything.
func ReadRuleset(text []byte) {
	if r, err := parseRuleset(text); err == nil {
		owned := spec.Ownership{Names: []string{"ci-*"}}
		r.deviations(owned)
		r.removal(owned, map[string]bool{"chain ip f ci-a": true, "table ip ci-a": true})
	}
}

// NewHomesAt is a step at some other time.
func NewHomesAt(s spec.Spec, here Here, now time.Time) Step {
	h, _ := newHomes(s, here).(*homes)
	h.now = func() time.Time { return now }
	return h
}

// NewFilesAt is a step at some other time.
func NewFilesAt(s spec.Spec, now time.Time) Step {
	f, _ := newFiles(s, Here{}).(*files)
	f.now = func() time.Time { return now }
	return f
}

// IsRotated reports whether a name is that of a rotated log.
func IsRotated(name string) bool { return isRotated(name) }

// NewServicesOf is a step on a machine that has its systemctl in tools, and runs systemd if booted is there.
func NewServicesOf(goal spec.Services, tools, booted string) Step {
	return &services{goal, Here{Tools: []string{tools}}, booted}
}

// NewModulesOf is a step on a recorded machine that has its modprobe in root/bin.
func NewModulesOf(goal spec.Modules, root string) Step {
	return modulesAt(goal, Here{Tools: []string{root + "/bin"}}, root)
}

// ParseIdentity reads a status file of /proc.
func ParseIdentity(text string) (uid string, groups []string) { return parseIdentity([]byte(text)) }

// Freeze holds control groups still.
var Freeze = freeze

// VersionIn and Older read and compare versions.
var (
	VersionIn = versionIn
	Older     = older
)

// JudgeMount says what is other than wanted by the table of a recorded machine, "" if nothing is.
func JudgeMount(table string, w spec.WantedMount) string {
	all, err := mountinfo.Parse([]byte(table))
	if err != nil {
		return err.Error()
	}
	d, _ := judgeMount(mountinfo.NewTree(all), w)
	return d.What
}

// NewKVMOf is a step on a recorded machine whose device says what version says, or nil for what it really says.
func NewKVMOf(goal spec.KVM, root string, version func(int) (int, error)) Step {
	if version == nil {
		version = kvmVersion
	}
	return &kvm{goal, Here{}, root, version}
}

// NewKVMFor is one that looks for the user that builds on this machine.
func NewKVMFor(here Here, root string, version func(int) (int, error)) Step {
	return &kvm{spec.KVM{}, here, root, version}
}

// NewClockOf is a step on a machine whose kernel says of its clock what adjtimex says.
func NewClockOf(goal spec.Time, adjtimex func(*unix.Timex) (int, error)) Step {
	return &clock{goal: goal, adjtimex: adjtimex}
}

// ProofLabel is the label of containers that prove something for an agent.
func ProofLabel(here Here) string {
	e, _ := newEngines(spec.Spec{Goal: spec.Goal{Engine: &spec.Engine{}}}, here).(*engines)
	return proofLabel + "=" + e.label
}

// NewEnginesAt is a step on a machine whose usual places of engines are these.
func NewEnginesAt(goal spec.Engine, usual ...string) Step {
	e, _ := newEngines(spec.Spec{Goal: spec.Goal{Engine: &goal}}, Here{}).(*engines)
	e.usual = usual
	return e
}

// RunsAgent reports whether Java with these arguments runs an agent.
func RunsAgent(args ...string) bool { return runsAgent(args) }

// Fusermount unmounts by the program of the machine.
func Fusermount(ctx context.Context, here Here, point string) error {
	return fusermount(ctx, here, point)
}

// DpkgWell is what can be told from dpkg's file.
func DpkgWell(status []byte, names []string) (sound, complete bool) { return dpkgWell(status, names) }

// Guards reports whether a process of a recorded machine is guarded, of which those in listed were there at first.
func Guards(proc string, listed, guarded map[int]bool, pid int) bool {
	j := judge{processes: &processes{proc: procfs.Root(proc)}, guarded: guarded, exes: map[int]string{}}
	for pid := range listed {
		j.exes[pid] = ""
	}
	s, _ := j.proc.Stat(pid)
	return j.guards(s)
}

// IsUserService reports whether a process of a recorded machine is the service manager of a user.
func IsUserService(proc string, pid int) bool {
	j := judge{processes: &processes{proc: procfs.Root(proc)}}
	s, _ := j.proc.Stat(pid)
	return j.userService(suspect{name: s.Name, pid: pid, exe: j.proc.Link(pid, "exe")})
}

// AgentName is the name that an agent with these arguments goes by, "" if it was told none.
func AgentName(args ...string) string { return nameOf(args) }
