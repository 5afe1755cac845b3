// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// full makes every write of the store fail, as on a full disk, until the function that it returns is called.
func (r *rig) full() (empty func()) {
	r.t.Helper()
	ctx := context.WithoutCancel(r.t.Context())
	db, err := sql.Open("sqlite", r.path)
	must(r.t, err)
	defer db.Close()
	var lift []string
	for _, table := range []string{"agent", "attempt", "event", "build", "feed", "controller"} {
		for _, verb := range []string{"INSERT", "UPDATE"} {
			name := fmt.Sprintf("full_%s_%s", verb, table)
			lift = append(lift, "DROP TRIGGER "+name)
			_, err := db.ExecContext(ctx, fmt.Sprintf("CREATE TRIGGER %s BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END", name, verb, table))
			must(r.t, err)
		}
	}
	return func() {
		r.t.Helper()
		db, err := sql.Open("sqlite", r.path)
		must(r.t, err)
		defer db.Close()
		_, err = db.ExecContext(ctx, strings.Join(lift, ";"))
		must(r.t, err)
	}
}

func TestAUsedAgentLosesItsLabelAlthoughNothingCanBeStored(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		empty := r.full()
		r.runBuild("app", "clean&&el7")
		r.wait(20*time.Second, "clean being taken off", func() bool { return r.labels("linux-7") == "cleanable" })
		_, err := r.jenkins.Schedule("app", nil)
		must(t, err)
		r.pass(time.Hour)
		if n := len(r.jenkins.Builds("app")); n != 1 {
			t.Errorf("%d builds ran on an agent that was not cleaned between them", n)
		}
		empty()
		r.wait(10*time.Minute, "the next build on a cleaned agent", func() bool { return len(r.jenkins.Builds("app")) == 2 })
		lost := r.events(hygiene.EventUncleaned)
		if first := r.jenkins.Builds("app")[0]; len(lost) == 0 || !strings.HasPrefix(lost[0].Reason, "used by http") || r.attempt("linux-7", 1).UsedBy == "" {
			t.Errorf("the loss to %+v was not stored when it could be: %+v", first, lost)
		}
		if bad := r.events(hygiene.EventContaminated); len(bad) > 0 {
			t.Errorf("contaminated: %+v", bad)
		}
	})
}

func TestAnAgentUsedBetweenTwoPollsLosesItsLabelAlthoughNothingCanBeStored(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.pass(10 * time.Minute)
		empty := r.full()
		remove := r.jenkins.Inject(jenkinstest.Fault{Path: "/computer/api/json", Status: 500})
		r.runBuild("app", "clean&&el7")
		r.pass(2 * time.Minute)
		remove()
		r.wait(15*time.Minute, "clean being taken off", func() bool { return r.labels("linux-7") == "cleanable dirty" })
		empty()
		r.wait(10*time.Minute, "a cleanup", func() bool {
			return r.has("linux-7", func(a hygiene.Agent) bool { return isClean(a) && a.Attempt == 2 })
		})
		if lost := r.events(hygiene.EventUncleaned); len(lost) == 0 || !strings.HasSuffix(lost[0].Reason, "which no poll saw") {
			t.Errorf("the loss was not stored as what it was: %+v", lost)
		}
	})
}

func TestCleanIsNotShownWhileItCannotBeStored(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		var empty atomic.Pointer[func()]
		r.at(1, false, func(req *http.Request) bool { return strings.HasSuffix(req.URL.Path, "/rssAll") }, func() {
			f := r.full()
			empty.Store(&f)
		})
		r.wait(time.Hour, "a proof", func() bool { return empty.Load() != nil })
		r.pass(5 * time.Minute)
		shown := 0
		for _, e := range r.jenkins.Journal() {
			if e.Kind == jenkinstest.EntryLabels && granted(e) {
				shown++
			}
		}
		if shown > 1 || r.labels("linux-7") != "cleanable dirty" {
			t.Errorf("labelled clean %d times, and %s now", shown, r.labels("linux-7"))
		}
		(*empty.Load())()
		r.waitState("linux-7", hygiene.Clean)
	})
}
