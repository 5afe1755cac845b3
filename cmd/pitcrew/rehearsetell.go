// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/mess"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

// tell writes the result wherever it is wanted.
func (r *rehearsing) tell(result *rehearsal.Result) error {
	whole := result.Report(r.ephemeral.kind())
	var errs []error
	for _, f := range []struct {
		file   string
		render func(report.Report) ([]byte, error)
	}{{r.junit, report.JUnit}, {r.report, r.page()}} {
		if f.file == "" {
			continue
		}
		text, err := f.render(whole)
		if err == nil {
			err = os.WriteFile(f.file, text, 0o644) //nolint:gosec // for others of the CI machine to read
		}
		errs = append(errs, err)
	}
	if r.format.structured() {
		return errors.Join(append(errs, r.print(r.format, result))...)
	}
	_, err := fmt.Fprint(r.out, r.text(result))
	return errors.Join(append(errs, err)...)
}

// page is what --report is rendered by.
func (r *rehearsing) page() func(report.Report) ([]byte, error) {
	if filepath.Ext(r.report) == ".json" {
		return report.JSON
	}
	return report.HTML
}

// text is the result for people at a terminal.
func (r *rehearsing) text(result *rehearsal.Result) string {
	var b strings.Builder
	for i := range result.Agents {
		a := &result.Agents[i]
		fmt.Fprintf(&b, "%s (pool %s)\n", a.Name(), a.Pool)
		for _, c := range a.Cases {
			fmt.Fprintf(&b, "  %-8s %s%s\n", c.Outcome, c.Name, because(c.Reason))
		}
		for _, d := range a.Differs {
			fmt.Fprintf(&b, "  against production: %s\n", d)
		}
	}
	for _, g := range result.Gaps {
		fmt.Fprintf(&b, "not covered: %s\n", g)
	}
	fmt.Fprintf(&b, "%s %.12s: %s\n", result.Recipe, result.Revision, result.Outcome())
	return b.String()
}

// ignored reads what the flag --ignore says.
func ignored(rules []string) (state.Ignore, error) {
	var i state.Ignore
	to := map[state.Kind]*[]string{
		state.Package: &i.Packages, state.Service: &i.Services, state.Mount: &i.Mounts, state.User: &i.Users,
		state.Group: &i.Groups, state.File: &i.Files, state.Port: &i.Ports, state.Fact: &i.Facts,
	}
	for _, rule := range rules {
		kind, pattern, ok := strings.Cut(rule, ":")
		list := to[state.Kind(kind)]
		if !ok || list == nil {
			var kinds []string
			for k := range to {
				kinds = append(kinds, string(k))
			}
			slices.Sort(kinds)
			return i, fmt.Errorf("%q: want KIND:PATTERN, the kind one of %s", rule, strings.Join(kinds, ", "))
		}
		*list = append(*list, pattern)
	}
	return i, i.Validate()
}

// messKinds reads what the flag --mess says.
func messKinds(names []string) ([]mess.Kind, error) {
	kinds := make([]mess.Kind, len(names))
	for i, name := range names {
		kinds[i] = mess.Kind(name)
		if !slices.ContainsFunc(mess.All(), func(m mess.Maker) bool { return m.Kind == kinds[i] }) {
			return nil, usage("--mess: no mess is of the kind %q", name)
		}
	}
	return kinds, nil
}
