// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// attempted leads an agent through a whole attempt that ends so.
func attempted(t *testing.T, s *store.Store, id hygiene.AgentID, outcome hygiene.Outcome, now time.Time) {
	t.Helper()
	change(t, s, id, now, func(c *store.Change) ([]hygiene.Event, error) {
		c.Agent.State = hygiene.Due
		return []hygiene.Event{{Type: hygiene.EventAdopted}}, nil
	})
	change(t, s, id, now, claim("nonce", now))
	change(t, s, id, now.Add(time.Minute), func(c *store.Change) (_ []hygiene.Event, err error) {
		attempt := *c.Attempt
		c.Agent, attempt, err = hygiene.End(c.Agent, attempt, hygiene.Verdict{Outcome: outcome, Step: "wipe"}, policy, now.Add(time.Minute))
		c.Attempt = &attempt
		return []hygiene.Event{{Type: hygiene.EventFailed, Attempt: attempt.Number}}, err
	})
}

func TestAgentsAreListedByController(t *testing.T) {
	t.Parallel()
	s := setup(t)
	other := hygiene.AgentID{Controller: "b", Name: "x"}
	for _, id := range []hygiene.AgentID{a2, other, a1} {
		change(t, s, id, t0, to(hygiene.Due, t0))
	}
	for controller, want := range map[hygiene.ControllerID][]hygiene.AgentID{
		"ci": {a1, a2}, "b": {other}, "": {other, a1, a2}, "none": nil,
	} {
		agents, err := s.Agents(t.Context(), controller)
		if err != nil {
			t.Fatal(err)
		}
		var got []hygiene.AgentID
		for _, a := range agents {
			got = append(got, a.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("controller %q (-want +got):\n%s", controller, diff)
		}
	}
}

func TestUnprovenAttemptsAreCountedByPool(t *testing.T) {
	t.Parallel()
	s := setup(t)
	other := hygiene.AgentID{Controller: "b", Name: "x"}
	attempted(t, s, a1, hygiene.Failed, t0)
	attempted(t, s, a2, hygiene.Lost, t0)
	change(t, s, other, t0, to(hygiene.Due, t0))
	for i, id := range []hygiene.AgentID{a2, other, a1} {
		change(t, s, id, t0, claim("nonce-2", t0))
		unproven, err := s.Unproven(t.Context())
		if err != nil || len(unproven) != 1 || unproven[policy.Pool] != i+1 {
			t.Errorf("after %d claims: got %v, %v", i+1, unproven, err)
		}
	}
	change(t, s, a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
		c.Attempt.Proved = t0
		return nil, nil
	})
	if unproven, err := s.Unproven(t.Context()); err != nil || unproven[policy.Pool] != 2 {
		t.Errorf("after a proof: got %v, %v", unproven, err)
	}
}

func TestAttemptsAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for i, outcome := range []hygiene.Outcome{hygiene.Failed, hygiene.Lost, hygiene.Failed} {
		attempted(t, s, a1, outcome, t0.Add(time.Duration(i)*time.Hour))
		attempted(t, s, a2, outcome, t0.Add(time.Duration(i)*time.Hour))
	}
	change(t, s, a1, t0, claim("n", t0))
	for _, tc := range []struct {
		name   string
		filter store.AttemptFilter
		want   []int64
	}{
		{"all, newest first", store.AttemptFilter{}, []int64{7, 6, 5, 4, 3, 2, 1}},
		{"of an agent", store.AttemptFilter{Agent: a2}, []int64{6, 4, 2}},
		{"of a controller", store.AttemptFilter{Controller: "ci", Limit: 2}, []int64{7, 6}},
		{"of a controller without any", store.AttemptFilter{Controller: "b"}, nil},
		{"of a pool", store.AttemptFilter{Pool: "el7", Before: 3}, []int64{2, 1}},
		{"of another pool", store.AttemptFilter{Pool: "el8"}, nil},
		{"by outcome", store.AttemptFilter{Outcome: hygiene.Lost}, []int64{4, 3}},
		{"in progress", store.AttemptFilter{Open: true}, []int64{7}},
		{"the next page", store.AttemptFilter{Before: 5, Limit: 3}, []int64{4, 3, 2}},
	} {
		records, err := s.Attempts(t.Context(), tc.filter)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		var got []int64
		for _, r := range records {
			got = append(got, r.ID)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestProofsAreTheNewestThatSayAnything(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, id := range []hygiene.AgentID{a1, a2} {
		change(t, s, id, t0, to(hygiene.Due, t0))
		for range 3 { // each ends in clean, and is used up
			for _, step := range cleanup() {
				change(t, s, id, t0, step(t0))
			}
		}
	}
	attempted(t, s, a1, hygiene.Failed, t0) // number 4
	attempted(t, s, a1, hygiene.Lost, t0)   // never proven
	for _, step := range cleanup()[:3] {    // 6 is proven, and lost
		change(t, s, a1, t0, step(t0))
	}
	change(t, s, a1, t0, func(c *store.Change) (_ []hygiene.Event, err error) {
		attempt := *c.Attempt
		c.Agent, attempt, err = hygiene.End(c.Agent, attempt, hygiene.Verdict{Outcome: hygiene.Lost}, policy, t0)
		c.Attempt = &attempt
		return []hygiene.Event{{Type: hygiene.EventLost}}, err
	})
	for _, step := range cleanup()[:3] { // 7 is not over
		change(t, s, a1, t0, step(t0))
	}
	for most, want := range map[int][]int64{2: {6, 3}, 40: {6, 3, 2, 1}} {
		proofs, err := s.Proofs(t.Context(), a1, most)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, p := range proofs {
			got = append(got, p.Number)
			if p.Agent != a1 || p.Proved.IsZero() {
				t.Errorf("%+v is no proof of %s", p, a1)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("at most %d (-want +got):\n%s", most, diff)
		}
	}
}

func TestABuildIsFoundByWhatItUsed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const build = "https://ci.test/job/x/7/"
	lose := func(usedBy string) {
		t.Helper()
		change(t, s, a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
			c.Attempt.Lose(t0.Add(time.Hour), usedBy)
			return nil, nil
		})
	}
	name := func(number int64) {
		t.Helper()
		if err := s.NameUse(t.Context(), a1, number, build); err != nil {
			t.Fatal(err)
		}
	}
	used := func(want ...int64) {
		t.Helper()
		found, err := s.UsedBy(t.Context(), build)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, r := range found {
			got = append(got, r.Number)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("used (-want +got):\n%s", diff)
		}
	}
	attempted(t, s, a1, hygiene.Failed, t0)
	lose("")
	name(1) // the newest is the door's business
	used()
	change(t, s, a1, t0, claim("nonce-2", t0))
	name(1)
	used(1)
	lose("https://ci.test/job/y/1/")
	change(t, s, a1, t0, func(c *store.Change) (_ []hygiene.Event, err error) {
		attempt := *c.Attempt
		c.Agent, attempt, err = hygiene.End(c.Agent, attempt, hygiene.Verdict{Outcome: hygiene.Lost}, policy, t0)
		c.Attempt = &attempt
		return []hygiene.Event{{Type: hygiene.EventLost, Attempt: 2}}, err
	})
	change(t, s, a1, t0, claim("nonce-3", t0))
	name(2) // another build did
	name(3) // nothing took it
	used(1)
}

func TestReportAndLogBelongToTheirAttempt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	attempted(t, s, a1, hygiene.Failed, t0)
	if r, err := s.Attempt(t.Context(), a1, 1); err != nil || r.Report != nil || r.Log != nil || r.Outcome != hygiene.Failed {
		t.Errorf("before: got %+v, %v", r, err)
	}
	long := append(bytes.Repeat([]byte("noise\n"), 100_000), "the end"...)
	for _, tc := range []struct{ report, log string }{
		{`{"outcome":"failed"}`, "first\x00\xff log"}, {`{}`, string(long)}, {"", "no report"},
	} {
		if err := s.SaveReport(t.Context(), a1, 1, []byte(tc.report), []byte(tc.log)); err != nil {
			t.Fatal(err)
		}
		r, err := s.Attempt(t.Context(), a1, 1)
		if err != nil {
			t.Fatal(err)
		}
		const bound = 256 << 10
		if want := tc.log[max(0, len(tc.log)-bound):]; string(r.Report) != tc.report || string(r.Log) != want {
			t.Errorf("got report %q and %d bytes of log, want %q and %d", r.Report, len(r.Log), tc.report, len(want))
		}
	}
	said, err := store.NewSaid([]byte(`{"outcome":"cleaned"}`), []byte("a later log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, refused := range []bool{true, false} { // with the change, or not at all
		err := s.Change(t.Context(), a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
			c.Said, c.Agent.Failures = said, 7
			if refused {
				c.Agent.Attempt += 2
			}
			return nil, nil
		})
		r, readErr := s.Attempt(t.Context(), a1, 1)
		if stored := string(r.Report) == `{"outcome":"cleaned"}` && string(r.Log) == "a later log"; readErr != nil || stored == refused || (err != nil) != refused {
			t.Errorf("a change that is refused (%v): got %v, report %q, log %q, %v", refused, err, r.Report, r.Log, readErr)
		}
	}
	if err := s.SaveReport(t.Context(), a1, 1, []byte("{"), nil); err == nil {
		t.Error("a report that is not JSON was stored")
	}
	for _, number := range []int64{0, 2} {
		if err := s.SaveReport(t.Context(), a1, number, nil, nil); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("save for attempt %d: got %v, want not found", number, err)
		}
		if _, err := s.Attempt(t.Context(), a1, number); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("read attempt %d: got %v, want not found", number, err)
		}
	}
}

func TestBreakerCountsSuccessesAndFailuresOnly(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for i, outcome := range []hygiene.Outcome{hygiene.Failed, hygiene.Lost, hygiene.GivenBack, hygiene.Failed} {
		attempted(t, s, a1, outcome, t0.Add(time.Duration(i)*time.Hour))
	}
	cleaned := t0.Add(5 * time.Hour)
	for _, f := range cleanup()[:4] {
		change(t, s, a1, cleaned, f(cleaned))
	}
	ended := func(since time.Time, pool string) []hygiene.Ended {
		t.Helper()
		got, err := s.EndedSince(t.Context(), pool, since)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	third := t0.Add(3 * time.Hour)
	want := []hygiene.Ended{
		{Agent: a1, Revision: "r1", Need: hygiene.NeedCleanup, Step: "wipe", Failed: true, Claimed: third, At: third.Add(time.Minute)},
		{Agent: a1, Revision: "r1", Need: hygiene.NeedCleanup, Claimed: cleaned, At: cleaned},
	}
	if diff := cmp.Diff(want, ended(third.Add(time.Minute), "el7")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := ended(t0, "el7"); len(got) != 3 {
		t.Errorf("got %d attempts, want two failures and a success", len(got))
	}
	if got := ended(t0, "el8"); len(got) != 0 {
		t.Errorf("got %v of another pool", got)
	}
}
