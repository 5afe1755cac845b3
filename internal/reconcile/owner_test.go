// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// writes lists the requests that are no GETs.
type writes struct {
	http.RoundTripper
	mu   sync.Mutex
	list []string
}

func (w *writes) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet {
		w.mu.Lock()
		w.list = append(w.list, line(req))
		w.mu.Unlock()
	}
	return w.RoundTripper.RoundTrip(req)
}

func (w *writes) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.list)
}

func TestASecondOwnerIsRefusedByNameAndWritesNothing(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		wire := &writes{RoundTripper: r.jenkins.Transport()}
		client, err := jenkins.New(jenkins.Options{Name: "ci", URL: "http://ci.test/", Transport: wire, RequestsPerSecond: -1})
		must(t, err)
		rival := &rig{spec: r.spec, pit: &pit{
			t: r.t, jenkins: r.jenkins, client: client, program: r.program, watch: &watcher{},
			path: filepath.Join(r.t.TempDir(), "rival.db"), owner: "rival",
		}}
		rival.start()
		defer rival.end()
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "so that there is something to do", ""))
		r.pass(time.Hour)
		if reason := rival.crew.Refused(); !strings.Contains(reason, `serviced by "pit" on pit.test`) {
			t.Errorf("the rival was told %q", reason)
		}
		if got := wire.all(); len(got) > 0 {
			t.Errorf("the rival wrote: %q", got)
		}
		if n := rival.watch.counts()[hygiene.EventRival]; n != 1 {
			t.Errorf("it was said %d times", n)
		}
		r.waitState("linux-7", hygiene.Clean)

		// The first leaves, and a person deletes its mark: the rival takes over.
		r.end()
		must(t, client.DeleteJob(r.t.Context(), "pitcrew-owner"))
		for _, slot := range []string{"pitcrew-slot-01"} {
			must(t, client.DeleteJob(r.t.Context(), slot))
		}
		rival.waitState("linux-7", hygiene.Clean)
		if reason := rival.crew.Refused(); reason != "" {
			t.Errorf("still refused: %s", reason)
		}
	})
}

func TestARestoredBackupMakesEveryAgentDue(t *testing.T) {
	t.Parallel()
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "linux-8", Labels: "cleanable el7"}}
	for _, how := range []string{"a backup", "a copy of the file"} {
		t.Run(how, func(t *testing.T) {
			inRig(t, setup{agents: agents}, func(r *rig) {
				bothClean := func() bool { return r.has("linux-7", isClean) && r.has("linux-8", isClean) }
				r.wait(time.Hour, "both clean", bothClean)
				saved := filepath.Join(r.t.TempDir(), "saved.db")
				if how == "a backup" {
					must(t, r.store.Backup(r.t.Context(), saved))
				} else {
					r.end()
					copyFile(t, r.path, saved)
					r.start()
				}
				r.runBuild("app", "clean&&el7")
				r.pass(time.Hour) // in which the history goes on, and with it the owner's mark
				r.wait(time.Hour, "both clean", bothClean)
				r.end()
				for _, suffix := range []string{"-wal", "-shm"} {
					must(t, os.RemoveAll(r.path+suffix))
				}
				copyFile(t, saved, r.path)
				before := len(r.cleanups())
				r.start()
				r.wait(time.Minute, "a new epoch", func() bool { return len(r.events(hygiene.EventEpoch)) > 0 })
				r.wait(time.Hour, "both clean", bothClean)
				if n := len(r.cleanups()) - before; n != 2 {
					t.Errorf("%d cleanups after the restoration, want one of each agent", n)
				}
			})
		})
	}
}

// The job that bears the mark is only that: what builds take must lose clean, whatever becomes of it.
func TestAMarkThatCannotBeRenewedStopsWhatBeginsAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]jenkinstest.Fault{
		"it may not be written":   {Method: http.MethodPost, Status: http.StatusForbidden},
		"it may not be read":      {Method: http.MethodGet, Status: http.StatusForbidden},
		"it is not to be seen":    {Method: http.MethodGet, Status: http.StatusNotFound},
		"the controller stumbles": {Status: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				fault.Path = "/job/pitcrew-owner/config.xml"
				remove := r.jenkins.Inject(fault)
				r.pass(10 * time.Minute)
				r.runBuild("app", "clean&&el7")
				r.wait(20*time.Second, "clean being taken off", func() bool { return r.labels("linux-7") == "cleanable" })
				_, err := r.jenkins.Schedule("app", nil)
				must(t, err)
				r.pass(time.Hour)
				if n := len(r.jenkins.Builds("app")); n != 1 {
					t.Errorf("%d builds ran on an agent that was not cleaned between them", n)
				}
				if n := len(r.cleanups()); n != 1 {
					t.Errorf("%d cleanups ran, want the one before", n)
				}
				if d, _ := r.crew.Explain("linux-7"); !strings.Contains(d.Reason, "the owner's mark") {
					t.Errorf("the reason is %q", d.Reason)
				}
				if told := r.events(hygiene.EventController); len(told) != 1 || !strings.HasPrefix(told[0].Reason, "nothing begins there") {
					t.Errorf("told %+v", told)
				}
				remove()
				r.wait(10*time.Minute, "the next build on a cleaned agent", func() bool { return len(r.jenkins.Builds("app")) == 2 })
				if bad := r.events(hygiene.EventContaminated); len(bad) > 0 {
					t.Errorf("contaminated: %+v", bad)
				}
			})
		})
	}
}

// What a backup says of the slots is as old as what it says of the agents: they were written anew for each recipe since.
func TestARestoredBackupKnowsItsSlotsAgainThoughTheRecipeWasChangedSince(t *testing.T) {
	inRig(t, setup{agents: one, settings: oneSlot}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		saved := filepath.Join(r.t.TempDir(), "saved.db")
		must(t, r.store.Backup(r.t.Context(), saved))
		r.mu.Lock()
		r.program = another(t)
		r.mu.Unlock()
		r.set(func(*reconcile.Settings) {})
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.waitState("linux-7", hygiene.Due)
		r.waitState("linux-7", hygiene.Clean)
		r.end()
		for _, suffix := range []string{"-wal", "-shm"} {
			must(t, os.RemoveAll(r.path+suffix))
		}
		copyFile(t, saved, r.path)
		r.start()
		r.wait(time.Minute, "a new epoch", func() bool { return len(r.events(hygiene.EventEpoch)) > 0 })
		r.waitState("linux-7", hygiene.Clean)
		if refused := r.events(hygiene.EventSlot); len(refused) > 0 {
			t.Errorf("slots that pitcrew itself wrote were refused: %+v", refused)
		}
	})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, data, 0o600))
}

func TestADryRunWritesNothingAnywhere(t *testing.T) {
	agents := []jenkinstest.AgentSpec{
		{Name: "linux-7", Labels: "cleanable el7"},
		{Name: "linux-8", Labels: "el7"},
		{Name: "linux-9", Labels: "cleanable clean dirty el7"},
		{Name: "linux-10", Labels: "clean el7"},
	}
	wire := &writes{}
	spec := setup{agents: agents, client: func(o *jenkins.Options) { wire.RoundTripper = o.Transport; o.Transport = wire }}
	inRig(t, spec, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.waitState("linux-9", hygiene.Clean)
		r.end()
		// Work for a daemon of every kind waits.
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&el7", Script: "make"}))
		_, err := r.jenkins.Schedule("app", nil)
		must(t, err)
		r.jenkins.SaveLabels("linux-8", "cleanable clean el7", "ann")
		r.jenkins.SaveLabels("linux-9", "clean el7", "ann")
		_, err = r.jenkins.AddAgent(jenkinstest.AgentSpec{Name: "linux-11", Labels: "cleanable el7"})
		must(t, err)
		r.pass(10 * time.Minute)

		r.spec.settings = func(s *reconcile.Settings) { s.DryRun = true }
		before, wrote := r.everything(), len(wire.all())
		r.start()
		r.pass(3 * time.Hour)
		would := map[string]hygiene.Kind{}
		for name, d := range r.crew.Decisions() {
			would[name] = d.Action.Kind
		}
		r.end()
		if diff := cmp.Diff(before, r.everything()); diff != "" {
			t.Errorf("a dry run changed:\n%s", diff)
		}
		if got := wire.all()[wrote:]; len(got) > 0 {
			t.Errorf("a dry run wrote: %q", got)
		}
		want := map[string]hygiene.Kind{"linux-7": hygiene.Rest, "linux-8": hygiene.Relabel, "linux-9": hygiene.Withdraw, "linux-11": hygiene.Begin}
		want["linux-7"] = would["linux-7"] // clean or due, by which agent the build took
		if diff := cmp.Diff(want, would); diff != "" {
			t.Errorf("it shows other plans than these (-want +got):\n%s", diff)
		}
	})
}

// everything is the whole state of the controller and the store, as text.
func (r *rig) everything() []string {
	r.t.Helper()
	var all []string
	for _, path := range []string{
		"/computer/api/json?depth=2", "/queue/api/json?depth=1", "/api/json?depth=3",
		"/computer/linux-7/config.xml", "/computer/linux-8/config.xml", "/computer/linux-9/config.xml",
		"/job/pitcrew-owner/config.xml", "/job/pitcrew-slot-01/config.xml", "/job/pitcrew-slot-02/config.xml",
	} {
		all = append(all, r.ask(http.MethodGet, path, ""))
	}
	for _, e := range r.jenkins.Journal() {
		all = append(all, fmt.Sprintf("%+v", e))
	}
	db, err := store.Open(r.t.Context(), store.Options{Path: r.path, Owner: r.owner})
	must(r.t, err)
	defer db.Close()
	ctx := r.t.Context()
	add := func(v any, err error) {
		must(r.t, err)
		all = append(all, fmt.Sprintf("%+v", v))
	}
	add(db.Agents(ctx, ""))
	add(db.Attempts(ctx, store.AttemptFilter{Limit: 1000}))
	add(db.Events(ctx, store.EventFilter{Limit: 10000}))
	add(db.Controllers(ctx))
	add(db.Slots(ctx, "ci"))
	add(db.Builds(ctx, store.BuildFilter{Limit: 1000}))
	add(db.Breakers(ctx))
	add(db.PoolState(ctx, "ci/all"))
	all = append(all, db.Epoch())
	return all
}
