// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// packages looks after what package managers downloaded, after transactions of theirs that were cut short, and after
// packages that have to be there.
type packages struct {
	goal     spec.Packages
	here     Here
	managers []packager
	now      func() time.Time
	pauses   []time.Duration   // between tries to install
	of       map[string]string // the package manager of what the last look found, by its key
	notes    []string
}

func newPackages(s spec.Spec, here Here) Step {
	return &packages{
		goal: *s.Packages, here: here, now: time.Now, managers: packagers,
		pauses: []time.Duration{2 * time.Second, 10 * time.Second},
	}
}

// Adds reports whether packages have to be there: one that is missing is no residue.
func (p *packages) Adds() bool { return len(p.goal.Present) > 0 }

// Notes returns remarks on what the last look saw and leaves alone.
func (p *packages) Notes() []string { return p.notes }

// present are the package managers of this machine. One that has the tools but no packages is a tool for other machines.
func (p *packages) present() ([]packager, error) {
	var found []packager
	var missing []string
	for _, m := range p.managers {
		if m.usable(p.here) {
			found = append(found, m)
		}
		missing = append(missing, m.name)
	}
	if len(found) == 0 {
		return nil, Absent{"none of the package managers " + strings.Join(missing, ", ") + " is here"}
	}
	return found, nil
}

// Look finds packages that are not there, if some have to be; or else interrupted transactions, then downloaded packages
// that are too many or too old.
func (p *packages) Look(ctx context.Context) ([]Deviation, error) {
	p.notes = nil
	managers, err := p.present()
	if err != nil {
		return nil, err
	}
	if len(p.goal.Present) > 0 {
		return managers[0].lacks(ctx, p.here, p.goal.Present)
	}
	p.of = map[string]string{}
	var found []Deviation
	add := func(m packager, all []Deviation) {
		for _, d := range all {
			if p.of[d.key()] == "" { // several may share the data of rpm
				p.of[d.key()] = m.name
				found = append(found, d)
			}
		}
	}
	for _, m := range managers {
		broken, err := m.interrupted(ctx, p.here)
		if err != nil {
			return nil, err
		}
		if p.goal.Mend {
			add(m, broken)
			continue
		}
		for _, d := range broken {
			p.notes = append(p.notes, fmt.Sprintf("%s: %s is %s; \"mend: true\" would complete it", m.name, d.ID, d.What))
		}
	}
	for _, m := range managers {
		add(m, p.surplus(m))
	}
	return found, nil
}

// Mend completes transactions before it removes what they may need.
func (p *packages) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	managers, err := p.present()
	if err != nil {
		return fill(errs, err)
	}
	if os.Geteuid() != 0 {
		return fill(errs, Final{fmt.Errorf("only root may use %s to change anything", managers[0].name)})
	}
	if len(p.goal.Present) > 0 {
		return fill(errs, p.install(ctx, managers[0], ids(found)))
	}
	for _, m := range managers {
		p.mendOne(ctx, m, found, errs)
	}
	return errs
}

// mendOne mends what was found about one package manager.
func (p *packages) mendOne(ctx context.Context, m packager, found []Deviation, errs []error) {
	var broken []int
	cached := map[string]int{}
	for i, d := range found {
		switch {
		case p.of[d.key()] != m.name:
		case d.Kind == transaction:
			broken = append(broken, i)
		default:
			cached[d.ID] = i
		}
	}
	if len(broken) > 0 {
		err := m.complete(ctx, p.here)
		for _, i := range broken {
			errs[i] = err
		}
	}
	if len(cached) > 0 {
		m.remove(ctx, cached, errs)
	}
}

// transaction is the kind of residue that an interrupted transaction is.
const transaction = "transaction"

func fill(errs []error, err error) []error {
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func ids(found []Deviation) []string {
	all := make([]string, len(found))
	for i, d := range found {
		all[i] = d.ID
	}
	return all
}
