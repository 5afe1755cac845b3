// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// began is when the cleanups of these tests begin.
var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ran(job string, number int64, ago time.Duration) store.Build {
	return store.Build{Job: job, Number: number, At: began.Add(-ago), URL: fmt.Sprint(job, number)}
}

func TestSuspectsAreTheBuildsThatCanHaveDoneIt(t *testing.T) {
	t.Parallel()
	h := history{
		builds:  []store.Build{ran("late", 4, 10*time.Minute), ran("app", 3, 30*time.Minute), ran("web", 2, 2*time.Hour), ran("old", 1, 26*time.Hour)},
		cleaned: []time.Time{began.Add(-90 * time.Minute), began.Add(-25 * time.Hour)},
	}
	for name, tc := range map[string]struct {
		age  time.Duration // 0 = unknown
		want []store.Suspect
	}{
		"made while a build ran":                       {25 * time.Minute, []store.Suspect{{Job: "app", Build: 3}}},
		"made after the newest build began":            {time.Minute, []store.Suspect{{Job: "late", Build: 4}}},
		"made when a build began, as near as clocks":   {10*time.Minute + 3*time.Second, []store.Suspect{{Job: "late", Build: 4}, {Job: "app", Build: 3}}},
		"made shortly after, as near as clocks":        {10*time.Minute - 3*time.Second, []store.Suspect{{Job: "late", Build: 4}, {Job: "app", Build: 3}}},
		"made in the time between cleaning and build":  {60 * time.Minute, nil},
		"left over from before an earlier cleaning":    {100 * time.Minute, []store.Suspect{{Job: "web", Build: 2}}},
		"older than every cleaning that is known":      {25*time.Hour + 30*time.Minute, []store.Suspect{{Job: "old", Build: 1}}},
		"older than every build that is known":         {30 * time.Hour, nil},
		"of unknown age: all since the last cleaning":  {0, []store.Suspect{{Job: "late", Build: 4}, {Job: "app", Build: 3}}},
		"made within the last seconds":                 {time.Second, []store.Suspect{{Job: "late", Build: 4}}},
		"made long ago, when no build since was known": {24 * time.Hour, nil},
	} {
		var made time.Time
		until := began
		if tc.age > 0 {
			made = began.Add(-tc.age)
			until = made
		}
		if diff := cmp.Diff(tc.want, h.suspects(made, until)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A build may have filled what another made: the directory's own time is that of its names alone.
func TestADirectoryIsOfAllThatCanHaveWrittenInIt(t *testing.T) {
	t.Parallel()
	known := history{
		builds:  []store.Build{ran("late", 4, 10*time.Minute), ran("app", 3, 30*time.Minute), ran("web", 2, 2*time.Hour)},
		cleaned: []time.Time{began.Add(-90 * time.Minute)},
	}
	for name, tc := range map[string]struct {
		kind string
		age  time.Duration
		want store.Residue
	}{
		"a file":                                {"file", 25 * time.Minute, store.Residue{Culprit: store.Suspect{Job: "app", Build: 3}}},
		"a directory":                           {"directory", 25 * time.Minute, store.Residue{Suspects: []store.Suspect{{Job: "late", Build: 4}, {Job: "app", Build: 3}}}},
		"one that only the newest can have had": {"directory", 5 * time.Minute, store.Residue{Culprit: store.Suspect{Job: "late", Build: 4}}},
		"one that outlived a cleaning": {
			"directory", 100 * time.Minute,
			store.Residue{Suspects: []store.Suspect{{Job: "late", Build: 4}, {Job: "app", Build: 3}, {Job: "web", Build: 2}}},
		},
	} {
		// The agent's clock may be wrong: of it only the difference between two of its moments is told.
		got := thing(spec.Residue{Kind: tc.kind, ID: "/ci/x", Age: spec.Seconds(tc.age / time.Second)}, began, known)
		if diff := cmp.Diff(tc.want, store.Residue{Culprit: got.Culprit, Suspects: got.Suspects}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func cleanStep(seconds int64, r spec.Result) recipe.StepReport {
	return recipe.StepReport{Phase: recipe.Clean, Seconds: seconds, Scrub: &r}
}

func TestResidueIsGatheredByKindAndCulprit(t *testing.T) {
	t.Parallel()
	env := &spec.Culprit{Job: "app", Build: 3, By: "environment"}
	r := recipe.Report{Steps: []recipe.StepReport{
		{Phase: recipe.Clean, Seconds: 600}, // a script, which lasts: what follows is found later
		cleanStep(0, spec.Result{Kind: spec.KindProcesses, Found: []spec.Residue{
			{Kind: "process", ID: "10", What: "sleep", Age: 60, Culprit: env},
			{Kind: "process", ID: "11", What: "make", Age: 90, Culprit: env},
			{Kind: "process", ID: "12", Age: spec.Seconds(15 * 60)}, // 5 minutes before the program began
		}}),
		cleanStep(0, spec.Result{Kind: spec.KindFiles, Bytes: 700, More: 4, Found: []spec.Residue{
			{Kind: "directory", ID: "/ci/a", Bytes: 500, Culprit: &spec.Culprit{Job: "web", By: "workspace"}},
		}}),
		cleanStep(0, spec.Result{Kind: spec.KindDisk, Found: []spec.Residue{{Kind: "room", ID: "/"}}}),
		{Phase: recipe.Verify, Scrub: &spec.Result{Kind: spec.KindProcesses, Found: []spec.Residue{{Kind: "process", ID: "12"}}}},
	}}
	known := history{builds: []store.Build{ran("late", 4, 6*time.Minute), ran("app", 3, 30*time.Minute)}}
	got := residueOf(r, place{"el9", began, began}, known)
	both := []store.Suspect{{Job: "late", Build: 4}, {Job: "app", Build: 3}}
	want := []store.Residue{
		{Pool: "el9", At: began, Kind: "directory", By: "history", Suspects: both, Things: 4, Bytes: 200},
		{Pool: "el9", At: began, Kind: "process", Culprit: store.Suspect{Job: "app", Build: 3}, By: "environment", Things: 2, Oldest: 90 * time.Second, Example: "10 sleep"},
		{Pool: "el9", At: began, Kind: "directory", Culprit: store.Suspect{Job: "web"}, By: "workspace", Things: 1, Bytes: 500, Example: "/ci/a"},
		{Pool: "el9", At: began, Kind: "process", Culprit: store.Suspect{Job: "late", Build: 4}, By: "history", Things: 1, Oldest: 15 * time.Minute, Example: "12"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSuspectsOfOneJobMakeItTheCulprit(t *testing.T) {
	t.Parallel()
	r := recipe.Report{Steps: []recipe.StepReport{cleanStep(0, spec.Result{Kind: spec.KindMounts, Found: []spec.Residue{{Kind: "mount", ID: "/ci/m"}}})}}
	known := history{builds: []store.Build{ran("app", 4, 10*time.Minute), ran("app", 3, 30*time.Minute)}}
	got := residueOf(r, place{at: began, theirs: began}, known)
	if len(got) != 1 || got[0].Culprit != (store.Suspect{Job: "app"}) || got[0].Suspects != nil || got[0].By != "history" {
		t.Errorf("got %+v, want the job without a build", got)
	}
}

// Of a job in a folder the machine sees a workspace that is called as the folder.
func TestTheWorkspaceOfAFolderIsOfTheJobsInIt(t *testing.T) {
	t.Parallel()
	r := recipe.Report{Steps: []recipe.StepReport{cleanStep(0, spec.Result{Kind: spec.KindFiles, Found: []spec.Residue{
		{Kind: "directory", ID: "/ci/workspace/infra", Culprit: &spec.Culprit{Job: "infra", By: spec.ByWorkspace}},
	}})}}
	one, other, beside := ran("infra/deploy", 4, 10*time.Minute), ran("infra/sub/test", 1, 20*time.Minute), ran("infrared", 3, 30*time.Minute)
	for name, c := range map[string]struct {
		builds  []store.Build
		culprit store.Suspect
		among   []store.Suspect
	}{
		"one job in it":      {[]store.Build{one, beside, ran("infra/deploy", 3, time.Hour)}, store.Suspect{Job: "infra/deploy"}, nil},
		"two jobs":           {[]store.Build{one, other, beside}, store.Suspect{}, []store.Suspect{{Job: "infra/deploy"}, {Job: "infra/sub/test"}}},
		"none that is known": {[]store.Build{beside}, store.Suspect{Job: "infra"}, nil},
	} {
		got := residueOf(r, place{at: began, theirs: began}, history{builds: c.builds})
		if len(got) != 1 || got[0].Culprit != c.culprit || !slices.Equal(got[0].Suspects, c.among) || got[0].By != spec.ByWorkspace {
			t.Errorf("%s: got %+v, want %+v or among %+v", name, got, c.culprit, c.among)
		}
	}
}

// A report comes from a machine that may be anybody's: what is stored of it is bounded.
func TestWhatAReportCanMakeUsStoreIsBounded(t *testing.T) {
	t.Parallel()
	var steps []recipe.StepReport
	const n = 500
	for i := range n {
		steps = append(steps, cleanStep(-5, spec.Result{Kind: "made up", More: -3, Bytes: -1, Found: []spec.Residue{{
			Kind: strings.Repeat("k", i+1), ID: strings.Repeat("é", 1000), Age: -1, Bytes: -7,
			Culprit: &spec.Culprit{Job: fmt.Sprint("job", i) + strings.Repeat("j", 1000), Build: -1, By: "it said\nso"},
		}}}))
	}
	got := residueOf(recipe.Report{Steps: steps}, place{at: began, theirs: began}, history{})
	things := int64(0)
	for _, r := range got {
		things += r.Things
		if len(r.Kind) > 32 || len(r.Culprit.Job) > maxWord || len(r.Example) > maxWord || r.Bytes != 0 || r.Oldest != 0 || r.Culprit.Build != 0 || strings.Contains(r.By, "\n") {
			t.Errorf("stored %+v", r)
		}
	}
	if len(got) > maxResidue || things != n {
		t.Errorf("%d rows of %d things, want at most %d of %d", len(got), things, maxResidue, n)
	}
	if k := knownKind("made up"); k != "other" {
		t.Errorf("a metric would have the label %q", k)
	}
}
