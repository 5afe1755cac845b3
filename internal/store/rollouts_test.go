// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// rolled is a rollout in which no field has its zero value.
func rolled(pool string) store.Rollout {
	return store.Rollout{
		Rollout: rollout.Rollout{
			Pool: pool, Number: 3, From: "old", To: "new", Salt: "salt",
			Plan:  rollout.Plan{Named: []rollout.AgentID{"ci/a"}, Canaries: 2, Shares: []int{10, 100}},
			Stage: rollout.Paused, Step: 1, Before: rollout.Share, Since: t0,
			Canaries: []rollout.AgentID{"ci/a", "ci/b"}, Bound: math.MaxInt64, Started: t0.Add(-time.Hour), By: "ann", Reason: "to look at it",
		},
		Told: map[string]time.Time{"agent ci/a": t0},
	}
}

func TestARolloutIsReadAsItWasStored(t *testing.T) {
	t.Parallel()
	s := setup(t)
	e := hygiene.Event{Type: hygiene.EventBackup, At: t0, Actor: "ann", Subject: "linux"}
	saved, err := s.SaveRollout(t.Context(), rolled("linux"), []store.Program{{Revision: "old", Recipe: "r", Disjoint: true, Body: []byte("text")}}, e)
	if err != nil {
		t.Fatal(err)
	}
	want := rolled("linux")
	want.Version = 1
	all, err := s.Rollouts(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d rollouts, %v", len(all), err)
	}
	for _, got := range []store.Rollout{saved, all[0]} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-stored +read):\n%s", diff)
		}
	}
	if events, err := s.Events(t.Context(), store.EventFilter{Types: []hygiene.EventType{hygiene.EventBackup}}); err != nil || len(events) != 1 {
		t.Errorf("%d events, %v; want the one that was stored with it", len(events), err)
	}
	p, err := s.Program(t.Context(), "old")
	if err != nil || !p.Disjoint || p.Recipe != "r" || string(p.Body) != "text" {
		t.Errorf("program %+v, %v", p, err)
	}
}

func TestARolloutThatSomebodyElseChangedIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, err := s.SaveRollout(t.Context(), rolled("linux"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveRollout(t.Context(), rolled("linux"), nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second first one: %v, want ErrConflict", err)
	}
	second, err := s.SaveRollout(t.Context(), first, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveRollout(t.Context(), first, []store.Program{{Revision: "x"}}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("from an older version: %v, want ErrConflict", err)
	}
	if _, err := s.Program(t.Context(), "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the program of what was refused: %v, want ErrNotFound", err)
	}
	if err := s.DropRollout(t.Context(), first); !errors.Is(err, store.ErrConflict) {
		t.Errorf("drop an older version: %v, want ErrConflict", err)
	}
	if err := s.DropRollout(t.Context(), second); err != nil {
		t.Error(err)
	}
	if all, err := s.Rollouts(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%d rollouts, %v", len(all), err)
	}
}

// TestAProgramIsKeptForAsLongAsSomethingRefersToIt has one that a rollout has, one that an attempt runs, and one of nobody.
func TestAProgramIsKeptForAsLongAsSomethingRefersToIt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := rolled("linux")
	r.To = rollout.Revision(policy.Revision)
	large := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	saved, err := s.SaveRollout(t.Context(), r, []store.Program{{Revision: "old", Body: large}, {Revision: policy.Revision, Body: []byte("b")}, {Revision: "nobody's", Body: []byte("c")}})
	if err != nil {
		t.Fatal(err)
	}
	id := hygiene.AgentID{Controller: "ci", Name: "a"}
	change(t, s, id, t0, to(hygiene.Due, t0))
	change(t, s, id, t0, claim("n1", t0))
	left := func(want int64, revisions ...string) {
		t.Helper()
		if n, err := s.PurgePrograms(t.Context()); n != want || err != nil {
			t.Errorf("%d programs were removed, %v; want %d", n, err, want)
		}
		for _, v := range revisions {
			if _, err := s.Program(t.Context(), v); err != nil {
				t.Error(err)
			}
		}
	}
	left(1, "old", policy.Revision)
	if p, err := s.Program(t.Context(), "old"); err != nil || !bytes.Equal(p.Body, large) {
		t.Errorf("a program of %d bytes comes back with %d, %v", len(large), len(p.Body), err)
	}
	if err := s.DropRollout(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	left(1, policy.Revision) // whose attempt is in progress
}

func TestARevisionIsFoundByItsBeginning(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if _, err := s.SaveRollout(t.Context(), rolled("linux"), []store.Program{{Revision: "ab12"}, {Revision: "ab34"}, {Revision: "c_5"}}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		prefix, want string
		err          error
	}{
		{"ab1", "ab12", nil}, {"ab34", "ab34", nil}, {"ab", "", store.ErrAmbiguous}, {"d", "", store.ErrNotFound}, {"a_", "", store.ErrNotFound}, {"%", "", store.ErrNotFound},
	} {
		if got, err := s.RevisionLike(t.Context(), tt.prefix); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q: got %q, %v; want %q, %v", tt.prefix, got, err, tt.want, tt.err)
		}
	}
}

func TestTheNewestRehearsalOfARevisionCounts(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if got, err := s.Rehearsal(t.Context(), "linux", "new"); err != nil || !got.At.IsZero() {
		t.Errorf("before any: %+v, %v", got, err)
	}
	want := store.Rehearsal{Pool: "linux", Revision: "new", Passed: true, Report: "all well", By: "ci", At: t0.Add(time.Hour)}
	for _, r := range []store.Rehearsal{{Pool: "linux", Revision: "new", Report: "step a fails", By: "ci", At: t0}, want} {
		if err := s.SaveRehearsal(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Rehearsal(t.Context(), "linux", "new"); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if n, err := s.PurgeRehearsals(t.Context(), t0.Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("%d were removed that are young enough, %v", n, err)
	}
	if _, err := s.SaveRollout(t.Context(), rolled("linux"), nil); err != nil {
		t.Fatal(err)
	}
	if n, err := s.PurgeRehearsals(t.Context(), t0.Add(2*time.Hour)); n != 0 || err != nil {
		t.Errorf("%d were removed that a rollout rests on, %v", n, err)
	}
}

// TestABuildCountsForTheRevisionThatCleanedItsAgent has an agent cleaned by one revision, then verified by another, and used.
func TestABuildCountsForTheRevisionThatCleanedItsAgent(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := hygiene.AgentID{Controller: "ci", Name: "a"}
	now := t0
	change(t, s, id, now, to(hygiene.Due, now))
	grant := func(revision string, need hygiene.Need) {
		t.Helper()
		change(t, s, id, now, func(c *store.Change) ([]hygiene.Event, error) {
			p := policy
			p.Revision = revision
			c.Agent.Need = need
			a, attempt, err := hygiene.Claim(c.Agent, p, "session", "n"+revision, now)
			c.Agent, c.Attempt = a, &attempt
			return []hygiene.Event{{Type: hygiene.EventClaimed}}, err
		})
		for _, state := range []hygiene.State{hygiene.Running, hygiene.Granting, hygiene.Clean} {
			now = now.Add(time.Minute)
			change(t, s, id, now, func(c *store.Change) (_ []hygiene.Event, err error) {
				c.Agent, err = c.Agent.To(state, "test", now)
				attempt := *c.Attempt
				if c.Attempt = &attempt; state == hygiene.Clean {
					attempt.Proved, attempt.Ended, attempt.Outcome = now, now, hygiene.Cleaned
				}
				return []hygiene.Event{{Type: hygiene.EventGranted}}, err
			})
		}
	}
	lose := func(url string) {
		t.Helper()
		now = now.Add(time.Minute)
		change(t, s, id, now, func(c *store.Change) (_ []hygiene.Event, err error) {
			c.Agent, err = c.Agent.To(hygiene.Due, "test", now)
			c.Attempt.Lose(now, url)
			return []hygiene.Event{{Type: hygiene.EventUncleaned}}, err
		})
	}
	grant("old", hygiene.NeedCleanup)
	lose("")
	grant("new", hygiene.NeedVerify)
	lose("http://ci/job/app/1/")
	if v, err := s.CleanedWith(t.Context(), id, 2); v != "old" || err != nil {
		t.Errorf("cleaned with %q, %v; want old", v, err)
	}
	open, err := s.OpenUses(t.Context(), "ci", policy.Pool, t0, now.Add(time.Second), 10)
	if err != nil || len(open) != 1 || open[0].Revision != "old" || open[0].Attempt != 2 {
		t.Fatalf("builds without a result: %+v, %v", open, err)
	}
	if err := s.SaveUseResult(t.Context(), policy.Pool, store.UseResult{OpenUse: open[0], Result: "FAILURE", At: now}); err != nil {
		t.Fatal(err)
	}
	if open, err = s.OpenUses(t.Context(), "ci", policy.Pool, t0, now.Add(time.Second), 10); err != nil || len(open) != 0 {
		t.Errorf("its result is known and it is asked for again: %+v, %v", open, err)
	}
	known, err := s.UseResults(t.Context(), policy.Pool, now)
	if err != nil || len(known) != 1 || known[0].Result != "FAILURE" || known[0].Revision != "old" || !known[0].At.Equal(now) {
		t.Errorf("results: %+v, %v", known, err)
	}
	if ended, err := s.EndedSince(t.Context(), policy.Pool, t0); err != nil || len(ended) != 2 || ended[0].Need != hygiene.NeedCleanup || ended[1].Need != hygiene.NeedVerify {
		t.Errorf("what attempts were for: %+v, %v", ended, err)
	}
}
