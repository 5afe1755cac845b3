// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/carried"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// scrub is the carried program for one platform.
type scrub struct {
	carried.Binary
	platform string
	// machine is what uname calls the platform: kernel and machine.
	machine string
	cksum   string
}

// machines are the names that "uname -sm" has for platforms.
var machines = map[string]string{
	"linux/amd64": "Linux x86_64", "linux/arm64": "Linux aarch64", "linux/ppc64le": "Linux ppc64le", "linux/s390x": "Linux s390x",
}

// scrubs returns what the program has to carry: nothing if no step has a goal.
func (r *Recipe) scrubs() ([]scrub, error) {
	if !slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Goal != nil }) {
		return nil, nil
	}
	var all []scrub
	for _, platform := range r.Platforms {
		b, err := carried.For(platform)
		if err != nil {
			return nil, err
		}
		program, err := b.Unpack()
		if err != nil {
			return nil, err
		}
		all = append(all, scrub{Binary: b, platform: platform, machine: machines[platform], cksum: cksum(program)})
	}
	return all, nil
}

// scrubs writes the commands that unpack scrub for the platform the program finds itself on. What comes of it is proved, and
// not what it was packed as.
func (p *packer) scrubs(all []scrub) {
	if len(all) == 0 {
		return
	}
	p.script.WriteString("\tcase $pitcrew_machine in\n")
	for _, s := range all {
		fmt.Fprintf(&p.script, "\t%s)\n", ShellQuote(s.machine))
		if p.caches {
			fmt.Fprintf(&p.script, "\tif ! cached %s; then\n", s.Digest)
		}
		p.unpack(packed{path: "lib/scrub.gz", mode: "600", content: s.Packed})
		if p.caches {
			p.script.WriteString("\tfi\n")
		}
		p.script.WriteString("\t;;\n")
		p.size += int(s.Size)
	}
	p.script.WriteString("\tesac\n")
}

// defineScrubs tells the engine what scrub is on this platform, and how to run it.
func defineScrubs(b *strings.Builder, all []scrub) {
	if len(all) == 0 {
		b.WriteString("goals=no\n\n")
		return
	}
	b.WriteString("goals=yes\nscrub_here() {\n\tscrub_sum=none scrub_cksum=none scrub_size=0\n\tcase $machine in\n")
	for _, s := range all {
		fmt.Fprintf(b, "\t%s) scrub_sum=%s scrub_cksum=%s scrub_size=%d ;;\n", ShellQuote(s.machine), s.Digest, s.cksum, s.Size)
	}
	b.WriteString("\tesac\n}\n\n" + scrubPart + "\n")
}

// verb is what scrub is asked to do: what the verify phase finds is judged, not mended.
func (s Step) verb() string {
	if s.Phase == Verify {
		return "verify"
	}
	return "run"
}

// goals are those of the steps that have one, with what is owned.
func (r *Recipe) goals() []spec.Spec {
	var all []spec.Spec
	for _, s := range r.Steps {
		if s.Goal != nil {
			all = append(all, spec.Spec{Version: spec.Version, Name: s.Name, Owned: r.Owned, Goal: *s.Goal})
		}
	}
	return all
}

// Endangers says for each step that may not be done where an agent has dir for itself why, by its name; see spec.Spec.Endangers.
func (r *Recipe) Endangers(dir string) []string { return endangers(r.goals(), dir) }

// Endangers says the same of the recipe that p was made of.
func (p *Program) Endangers(dir string) []string { return endangers(p.goals, dir) }

func endangers(goals []spec.Spec, dir string) []string {
	var all []string
	for _, s := range goals {
		if why := s.Endangers(dir); why != "" {
			all = append(all, fmt.Sprintf("step %q: %s", s.Name, why))
		}
	}
	return all
}
