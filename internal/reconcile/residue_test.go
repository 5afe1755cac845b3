// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// finding makes programs report that their first step found something that was made so long ago.
func finding(age time.Duration) func(recipe.Report) recipe.Report {
	return func(r recipe.Report) recipe.Report {
		if r.Steps[0].Phase == recipe.Clean {
			r.Steps[0].Scrub = &spec.Result{
				Kind: spec.KindFiles, State: spec.Changed, Removed: 1, Bytes: 4096,
				Found: []spec.Residue{{Kind: "directory", ID: "/ci/x", Bytes: 4096, Age: spec.Seconds(age / time.Second)}},
			}
		}
		return r
	}
}

func (r *rig) residue() []store.Residue {
	r.t.Helper()
	found, err := r.store.Residue(r.t.Context(), store.ResidueFilter{Agent: hygiene.AgentID{Controller: "ci", Name: "linux-7"}})
	must(r.t, err)
	return found
}

// The feed is read after the report of the cleanup that finds what its build left.
func TestWhatABuildLeftIsLaidToItOnceItIsKnown(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		if got := r.residue(); len(got) != 0 {
			t.Fatalf("nothing was found, and %+v is stored", got)
		}
		r.bend(finding(50 * time.Second)) // 30 of them the cleanup itself takes to tell
		r.runBuild("app", "clean&&el7")
		r.wait(time.Hour, "a cleanup", func() bool { return r.agent("linux-7").Attempt > 1 && r.has("linux-7", isClean) })
		got := r.residue()
		if len(got) != 1 {
			t.Fatalf("got %+v, want one row", got)
		}
		want := store.Residue{
			ID: got[0].ID, Agent: got[0].Agent, Attempt: 2, Pool: "all", At: got[0].At, Kind: "directory", Culprit: store.Suspect{Job: "app", Build: 1},
			By: "history", Things: 1, Bytes: 4096, Oldest: 50 * time.Second, Example: "/ci/x",
		}
		if got[0].At.IsZero() || !cmp.Equal(got[0], want) {
			t.Errorf("got %+v, want %+v", got[0], want)
		}
		if n := r.watch.found(spec.KindFiles); n != 1 {
			t.Errorf("%d things were counted, want 1", n)
		}
	})
}

func TestWhatNoBuildCanHaveLeftIsNobodys(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.bend(finding(100 * time.Hour))
		r.waitState("linux-7", hygiene.Clean)
		if got := r.residue(); len(got) != 1 || got[0].Culprit.Job != "" || got[0].By != "" || got[0].Suspects != nil {
			t.Errorf("got %+v, want a row without a culprit", got)
		}
	})
}
