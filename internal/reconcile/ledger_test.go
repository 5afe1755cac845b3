// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// attempted stores an attempt of an agent that ended at a time, with success or without.
func attempted(t *testing.T, db *store.Store, id hygiene.AgentID, failed bool, at time.Time) {
	t.Helper()
	outcome := hygiene.Cleaned
	if failed {
		outcome = hygiene.Failed
	}
	policy := hygiene.Policy{Pool: "el7", Recipe: "el7", Revision: "r1", Delivery: hygiene.ByJob}
	for _, step := range []func(*store.Change) error{
		func(c *store.Change) (err error) {
			if !c.Agent.Managed() {
				c.Agent, err = c.Agent.To(hygiene.Due, "", at)
			}
			return err
		},
		func(c *store.Change) (err error) {
			var attempt hygiene.Attempt
			c.Agent, attempt, err = hygiene.Claim(c.Agent, policy, "s", "nonce", at)
			c.Attempt = &attempt
			return err
		},
		func(c *store.Change) (err error) {
			c.Agent, err = c.Agent.To(hygiene.Due, "", at)
			c.Attempt.Ended, c.Attempt.Outcome = at, outcome
			return err
		},
	} {
		err := db.Change(t.Context(), id, at, func(c *store.Change) ([]hygiene.Event, error) {
			return []hygiene.Event{{Type: hygiene.EventMarked}}, step(c)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// emptyStore is closed at the end of the test.
func emptyStore(t *testing.T) *store.Store {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "pitcrew.db"), Owner: "pit"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestALedgerHoldsWhatReadingAllOfItWould moves a window over attempts of two controllers that end, some of them stored late.
func TestALedgerHoldsWhatReadingAllOfItWould(t *testing.T) {
	t.Parallel()
	db := emptyStore(t)
	const within = 10 * time.Minute
	ledgers := map[hygiene.ControllerID]ledger{"": {}, "a": {}, "b": {}}
	look := func(what string, since, now time.Time) {
		t.Helper()
		for of, l := range ledgers {
			l, err := l.read(t.Context(), db, "el7", of, since, now)
			if err != nil {
				t.Fatal(err)
			}
			want, err := db.EndedSince(t.Context(), "el7", since)
			if err != nil {
				t.Fatal(err)
			}
			want = slices.DeleteFunc(want, func(e hygiene.Ended) bool { return of != "" && e.Agent.Controller != of || e.At.Before(since) })
			got := slices.DeleteFunc(slices.Clone(l.ended), func(e hygiene.Ended) bool { return e.At.Before(since) })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s, of controller %q (-want +got):\n%s", what, of, diff)
			}
			ledgers[of] = l
		}
	}
	now := noon.Add(123456 * time.Microsecond) // finer than what is stored
	for round := range 40 {
		now = now.Add(30 * time.Second)
		for n, of := range []hygiene.ControllerID{"a", "b"} {
			id := hygiene.AgentID{Controller: of, Name: fmt.Sprint("agent-", round%3)}
			late := time.Duration(round%4) * 15 * time.Second // up to 45 seconds
			attempted(t, db, id, (round+n)%5 == 0, now.Add(-late))
		}
		look(fmt.Sprint("round ", round), now.Add(-within), now)
	}
	if n := len(ledgers["a"].ended); n < 15 || n > 25 {
		t.Errorf("a ledger of ten minutes holds %d attempts, want some 20", n)
	}
	look("from earlier on", noon, now)
	attempted(t, db, hygiene.AgentID{Controller: "a", Name: "other"}, true, now.Add(-5*time.Minute))
	look("after our clock was set back", noon, now.Add(-5*time.Minute))
	look("from later on", now.Add(-time.Minute), now)
}

// TestALedgerStandsAClockThatIsSetForth reads it again a second later, by a clock that is two hours ahead by then.
func TestALedgerStandsAClockThatIsSetForth(t *testing.T) {
	t.Parallel()
	db := emptyStore(t)
	const jump, within = 2 * time.Hour, time.Hour
	now := time.Now()
	for _, ago := range []time.Duration{3 * time.Minute, 2 * time.Minute, time.Second} {
		attempted(t, db, hygiene.AgentID{Controller: "a", Name: "agent" + ago.String()}, false, now.Add(-ago))
	}
	l, err := ledger{}.read(t.Context(), db, "el7", "a", now.Add(-within), now)
	if err != nil || len(l.ended) != 3 {
		t.Fatalf("got %+v, %v", l, err)
	}
	now = setForth(now.Add(time.Second), jump)
	if l, err = l.read(t.Context(), db, "el7", "a", now.Add(-within), now); err != nil || len(l.ended) > 0 {
		t.Errorf("got %+v, %v; want none of two hours ago", l, err)
	}
}

// setForth is the same moment by a clock that was set forth: only the program's own clock has gone on as before.
func setForth(at time.Time, by time.Duration) time.Time {
	at = at.Add(by)
	parts := (*struct { // as in package time
		wall uint64
		own  int64
		loc  *time.Location
	})(unsafe.Pointer(&at))
	parts.own -= int64(by)
	return at
}

// TestALedgerReadsWhatIsNew holds that the breaker of a pool which spans controllers costs each of them what ended lately, and
// not what ended in its window.
func TestALedgerReadsWhatIsNew(t *testing.T) {
	t.Parallel()
	db := emptyStore(t)
	id := hygiene.AgentID{Controller: "a", Name: "agent"}
	attempted(t, db, id, false, noon)
	l, err := ledger{}.read(t.Context(), db, "el7", "a", noon.Add(-time.Hour), noon.Add(2*time.Minute))
	if err != nil || len(l.ended) != 1 {
		t.Fatalf("got %+v, %v", l, err)
	}
	l.ended[0].Step = "as it was read first"
	attempted(t, db, id, true, noon.Add(5*time.Minute))
	l, err = l.read(t.Context(), db, "el7", "a", noon.Add(-time.Hour), noon.Add(6*time.Minute))
	if err != nil || len(l.ended) != 2 || l.ended[0].Step != "as it was read first" {
		t.Errorf("what is known was read again: %+v, %v", l, err)
	}
}
