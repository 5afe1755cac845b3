// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/mess"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

// tell writes what was found wherever it is wanted.
func (r *rehearsing) tell(found report.Report) error {
	var errs []error
	for _, f := range []struct {
		file   string
		render func(report.Report) ([]byte, error)
	}{{r.junit, report.JUnit}, {r.report, r.page()}} {
		if f.file == "" {
			continue
		}
		text, err := f.render(found)
		if err == nil {
			err = os.WriteFile(f.file, text, 0o644) //nolint:gosec // for others of the CI machine to read
		}
		errs = append(errs, err)
	}
	text, err := []byte(report.Text(found, r.width())), error(nil)
	if r.format.structured() {
		text, err = report.JSON(found)
	}
	_, failed := r.out.Write(text)
	return errors.Join(append(errs, err, failed)...)
}

// page is what --report is rendered by.
func (r *rehearsing) page() func(report.Report) ([]byte, error) {
	if filepath.Ext(r.report) == ".json" {
		return report.JSON
	}
	return report.HTML
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
