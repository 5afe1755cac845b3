// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// services brings units of systemd into the states that are asked for.
type services struct {
	goal spec.Services
	here Here
	// booted is a directory that is there only where systemd runs the machine (sd_booted(3)).
	booted string
}

func newServices(s spec.Spec, here Here) Step {
	return &services{*s.Services, here, "/run/systemd/system"}
}

// unit is what systemd says of a unit.
type unit struct{ load, active, file string }

// demand is one state that is asked of units: the order that brings it about, and what keeps a unit from having it.
type demand struct {
	order string
	units []string
	// lacks says what is other than asked for, "" if nothing is; stays says why no order helps.
	lacks, stays func(u unit) string
}

func (s *services) demands() []demand {
	nothing := func(unit) string { return "" }
	usable := func(u unit) string {
		switch u.load {
		case "not-found":
			return "systemd knows no such unit"
		case "masked":
			return "it is masked, and only a person should undo that"
		}
		return ""
	}
	is := func(state func(u unit) string, text string, allowed ...string) func(u unit) string {
		return func(u unit) string {
			if slices.Contains(allowed, state(u)) || u.load == "not-found" && slices.Contains(allowed, "not-found") {
				return ""
			}
			return fmt.Sprintf("it is %s, not %s", state(u), text)
		}
	}
	file, active := func(u unit) string { return u.file }, func(u unit) string { return u.active }
	return []demand{
		{"disable", s.goal.Disabled, is(file, "disabled", "disabled", "static", "masked", "indirect", "generated", "transient", "", "not-found"), nothing},
		{"stop", s.goal.Stopped, is(active, "stopped", "inactive", "failed", "not-found"), nothing},
		{"mask", s.goal.Masked, is(file, "masked", "masked"), nothing},
		{"enable", s.goal.Enabled, is(file, "enabled", "enabled", "static", "alias", "indirect", "generated"), usable},
		{"start", s.goal.Running, is(active, "running", "active", "reloading"), usable},
	}
}

// Look finds the units that are in other states, in the order in which they are brought out of them.
func (s *services) Look(ctx context.Context) ([]Deviation, error) {
	if _, err := os.Stat(s.booted); err != nil {
		return nil, Absent{"systemd does not run this machine"}
	}
	systemctl, err := s.here.tool("systemctl")
	if err != nil {
		return nil, err
	}
	var found []Deviation
	for _, d := range s.demands() {
		for _, name := range d.units {
			u, err := askUnit(ctx, systemctl, name)
			if err != nil {
				return nil, err
			}
			if what := d.lacks(u); what != "" {
				found = append(found, Deviation{spec.Residue{Kind: d.order, ID: name, What: what}, d.stays(u)})
			}
		}
	}
	return found, nil
}

// askUnit asks for the state of one unit.
func askUnit(ctx context.Context, systemctl tool, name string) (unit, error) {
	text, err := systemctl.run(ctx, "show", "--property=LoadState,ActiveState,UnitFileState", "--", name)
	if err != nil {
		return unit{}, err
	}
	var u unit
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "LoadState":
			u.load = value
		case "ActiveState":
			u.active = value
		case "UnitFileState":
			u.file = value
		}
	}
	if u.load == "" || u.active == "" {
		return unit{}, fmt.Errorf("systemctl says of %s only %q", name, oneLine(text))
	}
	return u, nil
}

// Mend gives systemd the orders.
func (s *services) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	for i, d := range found {
		systemctl, err := s.here.tool("systemctl")
		if err == nil {
			_, err = systemctl.run(ctx, "--no-ask-password", d.Kind, "--", d.ID)
		}
		errs[i] = err
	}
	return errs
}
