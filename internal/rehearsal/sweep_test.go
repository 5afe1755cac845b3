// SPDX-License-Identifier: Apache-2.0

package rehearsal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
)

// A rehearsal that is killed leaves what it has made at somebody else's controller. The next one removes that, and nothing that may be
// in use, or is not of rehearsals.
func TestWhatAKilledRehearsalLeftIsRemovedByTheNext(t *testing.T) {
	day := func(ago time.Duration) string { return time.Now().UTC().Add(-ago).Format("20060102") }
	inWorkshop(t, func(w *workshop) {
		const tail = "abcdefghijklmnopqrstuvwxy"
		made := func(ago time.Duration, one string) string { return "pitcrew-rehearsal-" + day(ago) + "-" + tail + one }
		over, active, unknown, old, oldOnline := made(0, "a"), made(72*time.Hour, "b"), made(0, "c"), made(72*time.Hour, "d"), made(72*time.Hour, "e")
		const foreign = "pitcrew-rehearsal-of-ours"
		w.lent = map[string]bool{over: true, active: false}
		for _, name := range []string{over, active, unknown, old, oldOnline, foreign} {
			w.must(w.client.CreateInboundNode(w.t.Context(), jenkins.NodeSpec{Name: name, RemoteFS: "/tmp/x", Executors: 2}))
			for _, job := range []string{name + "-01-run", name + "x"} {
				w.must(w.client.CreateJob(w.t.Context(), job, recipe.FreeStyle{Agent: name, Shell: "true"}.XML()))
			}
		}
		w.must(w.server.Agent(oldOnline).Connect())
		result, err := w.rehearse(w.t.Context())
		if err != nil || result.Verdict != report.Passed {
			w.t.Errorf("it is %s, %v", result.Verdict, err)
		}
		stay := []string{active, unknown, oldOnline, foreign}
		for _, name := range []string{over, old} {
			if _, err := w.client.Agent(w.t.Context(), name); !jenkins.IsNotFound(err) {
				w.t.Errorf("node %s is there: %v", name, err)
			}
			if !slices.Contains(w.said, "removed what a killed rehearsal has left: node "+name) {
				w.t.Errorf("nobody is told of %s:\n%s", name, strings.Join(w.said, "\n"))
			}
		}
		for j, err := range w.client.Jobs(w.t.Context()) {
			w.must(err)
			if strings.HasPrefix(j.FullName, over+"-") || strings.HasPrefix(j.FullName, old+"-") {
				w.t.Errorf("job %s is left", j.FullName)
			}
		}
		for _, name := range stay {
			if _, err := w.client.JobConfig(w.t.Context(), name+"-01-run"); err != nil {
				w.t.Error(err)
			}
			w.must(w.client.DeleteNode(w.t.Context(), name)) // it is there
		}
		for j, err := range w.client.Jobs(w.t.Context()) {
			w.must(err)
			w.must(w.client.DeleteJob(w.t.Context(), j.FullName))
		}
	})
}

// The controller of others may have any number of jobs: what is removed of one page of them must not hide what is on the next, and that
// there are many nodes is no reason to list them all each time.
func TestAllJobsThatAKilledRehearsalLeftAreRemoved(t *testing.T) {
	inWorkshop(t, func(w *workshop) {
		nodes := []string{"pitcrew-rehearsal-19990101-abcdefghijklmnopqrstuvwxyz", "pitcrew-rehearsal-19990102-abcdefghijklmnopqrstuvwxyz"}
		for _, node := range nodes {
			w.must(w.client.CreateInboundNode(w.t.Context(), jenkins.NodeSpec{Name: node, RemoteFS: "/tmp/x", Executors: 2}))
		}
		for i := range 502 {
			w.must(w.client.CreateJob(w.t.Context(), fmt.Sprintf("%s-%03d", nodes[0], i), recipe.FreeStyle{Agent: nodes[0], Shell: "true"}.XML()))
		}
		result, err := w.rehearse(w.t.Context()) // and inWorkshop looks for what is left
		if err != nil || result.Verdict != report.Passed {
			w.t.Errorf("it is %s, %v", result.Verdict, err)
		}
	})
}

// A desk that does not say what is lent lets nothing be removed, and stops nobody.
func TestWithoutWordOfItsLoansNothingOfARehearsalIsRemoved(t *testing.T) {
	inWorkshop(t, func(w *workshop) {
		const node = "pitcrew-rehearsal-19991231-abcdefghijklmnopqrstuvwxyz"
		w.must(w.client.CreateInboundNode(w.t.Context(), jenkins.NodeSpec{Name: node, RemoteFS: "/tmp/x", Executors: 2}))
		w.silent = true
		result, err := w.rehearse(w.t.Context())
		if err != nil || result.Verdict != report.Passed || !strings.Contains(strings.Join(w.said, "\n"), "leftovers of killed rehearsals: ") {
			w.t.Errorf("it is %s, %v\n%s", result.Verdict, err, strings.Join(w.said, "\n"))
		}
		if _, err := w.client.Agent(w.t.Context(), node); err != nil {
			w.t.Error(err)
		}
		w.must(w.client.DeleteNode(w.t.Context(), node))
	})
}

func (w *workshop) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
