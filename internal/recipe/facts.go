// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// Facts are what conditions ask about: a machine and the agent on it. The program gathers them itself; Plan takes them
// from the caller.
type Facts struct {
	// Labels are the labels of the agent, its name among them.
	Labels []string
	// OS holds every word that describes the system: kernel (linux), distribution (centos), those it is like (rhel,
	// fedora), and distribution with version (centos7, alpine3.19, alpine3).
	OS []string
	// Versions are what comparisons go by: the version of the kernel by its name, and of the distribution by its name.
	Versions map[string]string
	// Arch is the machine's name as uname -m tells it, with x86_64 for amd64 and aarch64 for arm64.
	Arch string
	// Virtualisation is "none", or "vm" and, where it can be told, what kind of one.
	Virtualisation []string
	// PackageManager is what installs packages, "" if there is none.
	PackageManager string
	// Container is whether this is a container.
	Container bool
	// Tools are the commands that can be found.
	Tools []string
	// Root is whether the program runs as root, Sudo whether sudo works without a password, which root does not need.
	Root, Sudo bool
}

// Holds reports whether w holds for f, and if not, why.
func (w When) Holds(f Facts) (holds bool, why string) {
	if !w.Labels.IsZero() && !w.Labels.Matches(labelexpr.Has(f.Labels...)) {
		return false, "labels do not match " + w.Labels.String()
	}
	for _, why := range []string{
		among("os", w.OS, f.system), among("arch", w.Arch, one(f.Arch)),
		among("virtualisation", w.Virtualisation, one(f.Virtualisation...)),
		among("package manager", w.PackageManager, one(f.PackageManager)),
	} {
		if why != "" {
			return false, why
		}
	}
	wanted, refused := split(w.Tools)
	for _, tool := range wanted {
		if !slices.Contains(f.Tools, tool) {
			return false, "no " + tool + " here"
		}
	}
	for _, tool := range refused {
		if slices.Contains(f.Tools, tool) {
			return false, tool + " is here"
		}
	}
	return w.rightsHold(f)
}

// system reports whether word describes the system.
func (f Facts) system(word string) bool {
	if c, compares := comparisonOf(word); compares {
		return c.holds(f.Versions[c.name])
	}
	return slices.Contains(f.OS, word)
}

// one returns what says of a word whether it is one of there.
func one(there ...string) func(word string) bool {
	return func(word string) bool { return slices.Contains(there, word) }
}

func (w When) rightsHold(f Facts) (bool, string) {
	switch {
	case w.Container != nil && *w.Container && !f.Container:
		return false, "not in a container"
	case w.Container != nil && !*w.Container && f.Container:
		return false, "in a container"
	case w.Root != nil && *w.Root && !f.Root:
		return false, "not root"
	case w.Root != nil && !*w.Root && f.Root:
		return false, "root"
	case w.Sudo != nil && *w.Sudo && !f.Sudo && !f.Root:
		return false, "sudo without a password does not work"
	case w.Sudo != nil && !*w.Sudo && (f.Sudo || f.Root):
		return false, "sudo without a password works"
	}
	return true, ""
}

// among returns why words do not accept what there is, which is says of each word: "" if they do.
func among(what string, words []string, is func(word string) bool) string {
	wanted, refused := split(words)
	if len(wanted) > 0 && !slices.ContainsFunc(wanted, is) {
		return what + " is none of " + strings.Join(wanted, " ")
	}
	for _, word := range refused {
		if is(word) {
			return what + " is " + word
		}
	}
	return ""
}

// Planned is what would become of a step.
type Planned struct {
	Phase Phase
	Name  string
	// Runs is whether the step would be run; Why is the reason if not.
	Runs bool
	Why  string
	// Fails is whether that it is not run is a failure: it is required here, or forbidden.
	Fails  bool
	Limits Limits
}

// Plan returns what a cleanup of that depth would run on a machine with facts f, in order. Whether a later phase is
// reached depends on how the steps before it end, which a plan cannot know.
func (r *Recipe) Plan(f Facts, depth Depth) []Planned {
	plan := make([]Planned, len(r.Steps))
	for i, s := range r.Steps {
		runs, fails, why := s.fate(f, depth)
		if runs && s.AsRoot && !f.Root && !f.Sudo {
			runs, fails, why = false, true, "needs root, and sudo without a password does not work"
		}
		plan[i] = Planned{Phase: s.Phase, Name: s.Name, Runs: runs, Fails: fails, Why: why, Limits: s.Limits}
	}
	return plan
}
