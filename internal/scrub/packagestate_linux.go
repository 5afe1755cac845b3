// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// interrupted returns what transactions that were cut short have left. One that is under way is waited for when it comes
// to mending: it may leave nothing.
func (m packager) interrupted(ctx context.Context, here Here) ([]Deviation, error) {
	broken, err := m.broken(ctx, here)
	if err != nil || len(broken) == 0 {
		return nil, err
	}
	if who := m.holder(); who != "" {
		return []Deviation{{Residue: spec.Residue{Kind: transaction, ID: m.name, What: "under way: " + who}}}, nil
	}
	var found []Deviation
	for _, id := range slices.Sorted(maps.Keys(broken)) {
		found = append(found, Deviation{Residue: spec.Residue{Kind: transaction, ID: id, What: broken[id]}})
	}
	return found, nil
}

// complete waits until nobody works with the package manager, and has it complete what was cut short.
func (m packager) complete(ctx context.Context, here Here) error {
	release, err := m.hold(ctx)
	if err != nil {
		return err
	}
	release()
	broken, err := m.broken(ctx, here)
	if err != nil || len(broken) == 0 {
		return err
	}
	_, err = m.patient(ctx, here, m.repair[0], m.repair[1:])
	return err
}

// patient runs a program of the package manager, and runs it again as long as another holds the lock.
func (m packager) patient(ctx context.Context, here Here, name string, args []string) (said string, err error) {
	program, err := here.tool(name)
	if err != nil {
		return "", err
	}
	for {
		out, err := program.with(m.env...).run(ctx, args...)
		exit, failed := errors.AsType[Exit](err)
		switch {
		case failed && slices.Contains(m.fine, exit.Code):
			return string(out), nil
		case !failed:
			return string(out), m.late(ctx, err)
		case !slices.ContainsFunc(m.busy, func(text string) bool { return strings.Contains(exit.Text, text) }):
			return exit.Text, err
		}
		release, waited := m.hold(ctx)
		if waited != nil {
			return exit.Text, fmt.Errorf("%w (%w)", waited, err)
		}
		release()
		first := true
		if waited := waitFor(ctx, func() string { // the lock may be one that we do not know
			if first {
				first = false
				return exit.Error()
			}
			return ""
		}); waited != nil {
			return exit.Text, waited
		}
	}
}

// late has an error after the end of a step's time say who holds a lock: apt-get waits for it itself, and says nothing of that.
func (m packager) late(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if why := m.holder(); why != "" {
		return fmt.Errorf("%s (%w)", why, err)
	}
	return err
}

func nothingBroken(context.Context, Here) (map[string]string, error) { return map[string]string{}, nil }

// dpkgStates are states of packages, by the second letter of the abbreviation, that only a transaction that was cut
// short leaves; dpkg-query(1).
var dpkgStates = map[byte]string{'H': "half-installed", 'U': "unpacked", 'F': "half-configured", 'W': "waiting for triggers", 't': "to be triggered"}

// dpkgBroken asks dpkg for packages in states that do not last, and for a journal that it has not worked in.
func dpkgBroken(ctx context.Context, here Here) (map[string]string, error) {
	if sound, _ := dpkgSays(nil); sound {
		return map[string]string{}, nil
	}
	out, err := ask(ctx, here, "dpkg-query", "-W", "-f", `${db:Status-Abbrev}\t${binary:Package}\n`)
	if err != nil {
		return nil, err
	}
	broken := map[string]string{}
	for line := range strings.Lines(out) {
		state, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if len(state) < 2 {
			continue
		}
		if what := dpkgStates[state[1]]; what != "" {
			broken[name] = what
		}
		if strings.HasSuffix(state, "R") {
			broken[name] = "to be installed again"
		}
	}
	if parts, _ := filepath.Glob(dpkgJournal); len(parts) > 0 {
		broken["dpkg"] = "interrupted"
	}
	return broken, nil
}

// rpmLocks are where rpm locks its database; rpmRepair is how it is made anew.
var (
	rpmLocks  = []string{"/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"}
	rpmRepair = []string{"rpm", "--rebuilddb"}
)

// rpmBroken has rpm read all of its database.
func rpmBroken(ctx context.Context, here Here) (map[string]string, error) {
	rpm, err := here.tool("rpm")
	if err != nil {
		return nil, err
	}
	_, err = rpm.run(ctx, "-qa", "--qf", "x")
	if exit, failed := errors.AsType[Exit](err); failed {
		return map[string]string{"rpmdb": "damaged: " + exit.Said}, nil
	}
	return map[string]string{}, err
}

// lacks returns the packages of those names that are not installed. Nothing but the data of what is installed is asked.
func (m packager) lacks(ctx context.Context, here Here, names []string) ([]Deviation, error) {
	for _, name := range names {
		if why := spec.PackageName(name); why != "" {
			return nil, fmt.Errorf("package %q: %s", name, why)
		}
	}
	missing, err := m.query(ctx, here, names)
	if err != nil {
		return nil, err
	}
	var found []Deviation
	for _, name := range names {
		if what, ok := missing[name]; ok {
			found = append(found, Deviation{Residue: spec.Residue{Kind: "package", ID: name, What: what}})
		}
	}
	return found, nil
}

// ask runs a program that only answers.
func ask(ctx context.Context, here Here, name string, args ...string) (string, error) {
	t, err := here.tool(name)
	if err != nil {
		return "", err
	}
	out, err := t.run(ctx, args...)
	return string(out), err
}

// dpkgLacks compares with all packages: one that is not installed may be provided by another.
func dpkgLacks(ctx context.Context, here Here, names []string) (map[string]string, error) {
	if _, complete := dpkgSays(names); complete {
		return map[string]string{}, nil
	}
	out, err := ask(ctx, here, "dpkg-query", "-W", "-f", `${db:Status-Status}\t${Package}\t${Architecture}\t${Provides}\n`)
	if err != nil {
		return nil, err
	}
	states := map[string]string{}
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(fields) < 4 {
			return nil, fmt.Errorf("dpkg-query answers %q", line)
		}
		note := func(name string) {
			if states[name] != "installed" {
				states[name] = fields[0]
			}
		}
		note(fields[1])
		note(fields[1] + ":" + fields[2])
		if fields[0] != "installed" {
			continue
		}
		for provided := range strings.SplitSeq(fields[3], ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(provided), " ")
			note(name)
		}
	}
	missing := map[string]string{}
	for _, name := range names {
		switch state := states[name]; state {
		case "installed":
		case "", "not-installed":
			missing[name] = "not installed"
		default:
			missing[name] = state
		}
	}
	return missing, nil
}

// oneByOne asks for all names at once, which is enough where they are all there, and otherwise for each. unknown are
// texts by which the program says that a package is not there, rather than that it could not tell; nil is any failure
// without a word on standard error.
func oneByOne(name string, args, unknown []string) func(context.Context, Here, []string) (map[string]string, error) {
	return func(ctx context.Context, here Here, names []string) (map[string]string, error) {
		missing := map[string]string{}
		_, err := ask(ctx, here, name, slices.Concat(args, names)...)
		if err == nil {
			return missing, nil
		}
		for _, one := range names {
			_, err := ask(ctx, here, name, append(slices.Clone(args), one)...)
			exit, failed := errors.AsType[Exit](err)
			absent := failed && (exit.Text == "" && unknown == nil ||
				slices.ContainsFunc(unknown, func(text string) bool { return strings.Contains(exit.Text, text) }))
			switch {
			case err == nil:
			case absent:
				missing[one] = "not installed"
			default:
				return nil, err
			}
		}
		return missing, nil
	}
}

var rpmLacks = oneByOne("rpm", []string{"-q", "--whatprovides"}, []string{"no package provides ", "No such file or directory"})
