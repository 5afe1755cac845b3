// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

// inEach is a rollout in each stage.
func inEach(t *testing.T) map[rollout.Stage]rollout.Rollout {
	t.Helper()
	p, agents := policy(), fleet(10)
	p.RehearsalRequired = true
	all := map[rollout.Stage]rollout.Rollout{rollout.Pinned: {Pool: "el7", From: oldRev}}
	for _, stage := range []rollout.Stage{rollout.Rehearsing, rollout.Canary, rollout.Share} {
		all[stage] = at(t, p, agents, stage, 0)
	}
	all[rollout.Done] = at(t, p, agents, rollout.Done, 2)
	o := order(nil)
	o.Reason = "the mirror is down"
	var err error
	if all[rollout.Paused], err = all[rollout.Share].Pause(o); err != nil {
		t.Fatal(err)
	}
	if all[rollout.RolledBack], err = all[rollout.Share].Rollback(o); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCommandsInEachStage(t *testing.T) {
	t.Parallel()
	type answer struct {
		stage rollout.Stage
		err   error
		says  string
	}
	refused := func(err error, says string) answer { return answer{err: err, says: says} }
	commands := map[string]func(rollout.Rollout, rollout.Order) (rollout.Rollout, error){
		"promote": promote, "pause": rollout.Rollout.Pause, "resume": rollout.Rollout.Resume, "rollback": rollout.Rollout.Rollback,
		"start": func(r rollout.Rollout, o rollout.Order) (rollout.Rollout, error) {
			return r.Start("newer", "salt", policy(), o)
		},
	}
	none, over := rollout.ErrNoRollout, rollout.ErrOver
	why := "paused because the mirror is down: resume it or roll it back"
	table := map[rollout.Stage]map[string]answer{
		rollout.Pinned: {
			"promote": refused(none, "promote rollout of pool el7: it has had none"), "pause": refused(none, "none"), "resume": refused(none, "none"),
			"rollback": refused(none, "none"), "start": {stage: rollout.Canary},
		},
		rollout.Rehearsing: {
			"promote": {stage: rollout.Canary}, "pause": {stage: rollout.Paused}, "resume": refused(none, "rehearsing, not paused"),
			"rollback": {stage: rollout.RolledBack}, "start": refused(rollout.ErrUnderWay, "revision new is rehearsing: roll it back first"),
		},
		rollout.Canary: {
			"promote": {stage: rollout.Share}, "pause": {stage: rollout.Paused}, "resume": refused(none, "canary, not paused"),
			"rollback": {stage: rollout.RolledBack}, "start": refused(rollout.ErrUnderWay, "canary"),
		},
		rollout.Share: {
			"promote": {stage: rollout.Share}, "pause": {stage: rollout.Paused}, "resume": refused(none, "share 10%, not paused"),
			"rollback": {stage: rollout.RolledBack}, "start": refused(rollout.ErrUnderWay, "share 10%"),
		},
		rollout.Paused: {
			"promote": refused(rollout.ErrPaused, "revision new is "+why), "pause": refused(rollout.ErrPaused, why), "resume": {stage: rollout.Share},
			"rollback": {stage: rollout.RolledBack}, "start": refused(rollout.ErrUnderWay, "paused at share 10%"),
		},
		rollout.Done: {
			"promote": refused(over, "revision new is done since 2026-03-01T12:00:00Z"), "pause": refused(over, "done"), "resume": refused(none, "done, not paused"),
			"rollback": {stage: rollout.RolledBack}, "start": {stage: rollout.Canary},
		},
		rollout.RolledBack: {
			"promote": refused(over, "rolled back since"), "pause": refused(over, "rolled back"), "resume": refused(none, "rolled back, not paused"),
			"rollback": refused(over, "rolled back already: the mirror is down"), "start": {stage: rollout.Canary},
		},
	}
	rollouts := inEach(t)
	for _, stage := range rollout.Stages {
		for name, command := range commands {
			want, ok := table[stage][name]
			if !ok {
				t.Fatalf("%s of a rollout that is %q: the table has no answer", name, stage)
			}
			before := rollouts[stage]
			after, err := command(before, order(fleet(10)))
			var refusal *rollout.RefusedError
			switch {
			case want.err == nil && (err != nil || after.Stage != want.stage):
				t.Errorf("%s of a rollout that is %q: %s, %v, want %s", name, stage, after.Stage, err, want.stage)
			case want.err != nil && (!errors.Is(err, want.err) || !errors.As(err, &refusal) || refusal.Pool != "el7"):
				t.Errorf("%s of a rollout that is %q: %v, want %v", name, stage, err, want.err)
			case want.err != nil && !strings.Contains(err.Error(), want.says):
				t.Errorf("%s of a rollout that is %q says %q, want %q", name, stage, err, want.says)
			case want.err != nil && (after.Stage != before.Stage || after.Since != before.Since):
				t.Errorf("%s of a rollout that is %q was refused and changed it", name, stage)
			}
		}
	}
}

func TestStartRefusesWhatIsNoNews(t *testing.T) {
	t.Parallel()
	if _, err := (rollout.Rollout{Pool: "el7"}).Start(newRev, "s", policy(), order(nil)); !errors.Is(err, rollout.ErrUnpinned) {
		t.Errorf("a pool without a revision: %v", err)
	}
	if _, err := (rollout.Rollout{Pool: "el7", From: oldRev}).Start(oldRev, "s", policy(), order(nil)); !errors.Is(err, rollout.ErrSameRevision) {
		t.Errorf("its own revision: %v", err)
	}
	done := inEach(t)[rollout.Done]
	if _, err := done.Start(newRev, "s", policy(), order(nil)); !errors.Is(err, rollout.ErrSameRevision) {
		t.Errorf("the revision that was rolled out: %v", err)
	}
	back, err := done.Start(oldRev, "s", policy(), order(fleet(10)))
	if err != nil || back.From != newRev || back.To != oldRev || back.Number != done.Number+1 {
		t.Errorf("back to the old revision: %+v, %v", back, err)
	}
}

// TestANewerRevisionIsComparedWithThePinnedOne: never with a candidate whose place it takes.
func TestANewerRevisionIsComparedWithThePinnedOne(t *testing.T) {
	t.Parallel()
	agents := fleet(10)
	r := at(t, policy(), agents, rollout.Share, 1)
	had := rollout.Agent{ID: reached(r, agents)[0], Has: newRev, Got: base}
	back, err := r.Rollback(order(nil))
	if err != nil {
		t.Fatal(err)
	}
	next, err := back.Start("newest", "another salt", policy(), order(agents))
	if err != nil || next.From != oldRev || next.Number != r.Number+1 || next.Stage != rollout.Canary {
		t.Fatalf("%+v, %v", next, err)
	}
	for _, id := range agents {
		had.ID = id
		if got := next.RevisionFor(had); got == newRev {
			t.Errorf("%s gets the revision that was rolled back", id)
		}
	}
}

func TestRolloutKeepsThePlanItWasStartedWith(t *testing.T) {
	t.Parallel()
	p := policy()
	r := started(t, p, fleet(10))
	p.Plan.Shares[0] = 99
	if r.Plan.Shares[0] != 10 {
		t.Errorf("the first share became %d%%", r.Plan.Shares[0])
	}
}

func TestResumeGoesOnWhereThePauseCameFrom(t *testing.T) {
	t.Parallel()
	agents := fleet(10)
	r := at(t, policy(), agents, rollout.Share, 1)
	paused, err := r.Pause(order(nil))
	if err != nil || paused.Where() != "paused at share 50%" {
		t.Fatalf("%s, %v", paused.Where(), err)
	}
	o := order(agents)
	o.Now = base.Add(time.Hour)
	resumed, err := paused.Resume(o)
	if err != nil || resumed.Where() != "share 50%" || resumed.Before != "" || !resumed.Since.Equal(o.Now) || resumed.By != "ann" {
		t.Errorf("resumed: %+v, %v", resumed, err)
	}
	if got := len(reached(resumed, agents)); got != 5 {
		t.Errorf("%d agents get it, want those of before", got)
	}
}

func TestEdgesAreOneForEachChange(t *testing.T) {
	t.Parallel()
	seen := map[[2]rollout.Stage]bool{}
	for _, e := range rollout.Edges {
		if seen[[2]rollout.Stage{e.From, e.To}] {
			t.Errorf("%q to %q stands twice in the table", e.From, e.To)
		}
		seen[[2]rollout.Stage{e.From, e.To}] = true
		if e.Why == "" || e.Who != rollout.ByEither && e.Who != rollout.ByHand {
			t.Errorf("%q to %q: says not why, or by whom: %+v", e.From, e.To, e)
		}
	}
	if rollout.CanGo(rollout.Paused, rollout.Share, false) || !rollout.CanGo(rollout.Paused, rollout.Share, true) || rollout.CanGo(rollout.Done, rollout.Canary, true) {
		t.Error("only a person ends a pause, and nobody goes back from done to canary")
	}
	err := &rollout.StageError{Pool: "el7", From: rollout.Pinned, To: rollout.Done}
	if err.Error() != "rollout of pool el7: no way from pinned to done" {
		t.Error(err)
	}
}
