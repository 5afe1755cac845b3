// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/mess"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
)

// tell writes what was found wherever it is wanted.
func (r *rehearsing) tell(found report.Report) error {
	text, err := []byte(report.Text(found, r.width())), error(nil)
	if r.format.structured() {
		text, err = report.JSON(found)
	}
	_, failed := r.out.Write(text)
	return errors.Join(r.write(found), err, failed)
}

// tellOfNone tells programs and files of a rehearsal that came to nothing, and why. People read the error.
func (r *rehearsing) tellOfNone(found report.Report, why error) error {
	found.Verdict, found.Controller, found.Duration = report.Broken, r.ephemeral.kind(), r.now().Sub(found.StartedAt)
	found.Gaps = append(found.Gaps, "everything: "+why.Error())
	if r.format.structured() {
		return errors.Join(r.tell(found), why)
	}
	return errors.Join(r.write(found), why)
}

// write writes what was found to the files that were named.
func (r *rehearsing) write(found report.Report) error {
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
	return errors.Join(errs...)
}

// page is what --report is rendered by.
func (r *rehearsing) page() func(report.Report) ([]byte, error) {
	if filepath.Ext(r.report) == ".json" {
		return report.JSON
	}
	return report.HTML
}

// tellRollouts tells the rollout of each pool what the candidate came to on its agents. One on which it could not be tried to its end
// makes no result, and a pool that rolls nothing out wants none.
func (r *rehearsing) tellRollouts(ctx context.Context, d *daemon, found report.Report, say func(string)) error {
	worst, agents := map[string]report.Verdict{}, map[string][]string{}
	for _, a := range found.Agents {
		agents[a.Pool] = append(agents[a.Pool], fmt.Sprintf("%s %s", a.Name, a.Verdict))
		if was, seen := worst[a.Pool]; !seen || a.Verdict == report.Failed || was == report.Passed {
			worst[a.Pool] = a.Verdict
		}
	}
	var errs []error
	for _, pool := range slices.Sorted(maps.Keys(worst)) {
		if worst[pool] == report.Broken {
			say(fmt.Sprintf("pool %s: its rollout is told nothing: the candidate could not be tried to the end", pool))
			continue
		}
		_, err := d.ReportRehearsal(ctx, pool, api.RehearsalResult{
			Revision: found.Recipe.Revision, Passed: worst[pool] == report.Passed,
			Report: fmt.Sprintf("rehearsal %s: %s", found.ID, strings.Join(agents[pool], ", ")),
		})
		if refused, ok := errors.AsType[*client.Error](err); ok && refused.Status == http.StatusNotFound {
			say(fmt.Sprintf("pool %s: nothing is rolled out in stages there: nobody is told", pool))
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("tell the rollout of pool %s: %w", pool, err))
			continue
		}
		say(fmt.Sprintf("pool %s: its rollout knows", pool))
	}
	return errors.Join(errs...)
}

// messKinds reads what the flag --mess says.
func messKinds(names []string) ([]mess.Kind, error) {
	var known []string
	for _, m := range mess.All() {
		if !slices.Contains(known, string(m.Kind)) {
			known = append(known, string(m.Kind))
		}
	}
	kinds := make([]mess.Kind, len(names))
	for i, name := range names {
		if !slices.Contains(known, name) {
			return nil, usage("--mess: no mess is of the kind %q: want some of %s", name, strings.Join(known, ", "))
		}
		kinds[i] = mess.Kind(name)
	}
	return kinds, nil
}
