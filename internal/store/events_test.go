// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func TestEventsAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	s := setup(t)
	other := hygiene.AgentID{Controller: "b", Name: a1.Name}
	for _, e := range []hygiene.Event{
		{Type: hygiene.EventAdopted, Agent: a1, Pool: "el7"},
		{Type: hygiene.EventClaimed, Agent: a1, Pool: "el7"},
		{Type: hygiene.EventAdopted, Agent: other, Pool: "el8"},
		{Type: hygiene.EventDead, Pool: "el8"},
		{Type: hygiene.EventController, Agent: hygiene.AgentID{Controller: "b"}},
		{Type: hygiene.EventGranted, Agent: a1, Pool: "el7"},
	} {
		if err := s.Append(t.Context(), t0, e); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name   string
		filter store.EventFilter
		want   []int64
	}{
		{"all, oldest first", store.EventFilter{}, []int64{1, 2, 3, 4, 5, 6}},
		{"newest first", store.EventFilter{Newest: true, Limit: 2}, []int64{6, 5}},
		{"the next page", store.EventFilter{After: 2, Limit: 3}, []int64{3, 4, 5}},
		{"the page before", store.EventFilter{Newest: true, Before: 5, Limit: 2}, []int64{4, 3}},
		{"between two", store.EventFilter{After: 2, Before: 5}, []int64{3, 4}},
		{"of an agent", store.EventFilter{Agent: a1}, []int64{1, 2, 6}},
		{"of a pool", store.EventFilter{Pool: "el8"}, []int64{3, 4}},
		{"of a controller", store.EventFilter{Controller: "b"}, []int64{3, 5}},
		{"of some types", store.EventFilter{Types: []hygiene.EventType{hygiene.EventAdopted, hygiene.EventDead}}, []int64{1, 3, 4}},
		{"of a type on an agent", store.EventFilter{Agent: a1, Types: []hygiene.EventType{hygiene.EventClaimed}, Newest: true}, []int64{2}},
		{"of nobody", store.EventFilter{Agent: a2}, nil},
	} {
		events, err := s.Events(t.Context(), tc.filter)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		var got []int64
		for _, e := range events {
			got = append(got, e.ID)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestEventWithoutATimeIsRefused(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.SetPause(t.Context(), store.Pause{Scope: "all"}, hygiene.Event{Type: hygiene.EventPaused}); err == nil {
		t.Error("got no error")
	}
	if pauses, err := s.Pauses(t.Context()); len(pauses) != 0 || err != nil {
		t.Errorf("got %v, %v: the pause was stored without its event", pauses, err)
	}
}

func TestWatchersArePokedAfterCommits(t *testing.T) {
	t.Parallel()
	s := setup(t)
	poked, stop := s.WatchEvents()
	other, stopOther := s.WatchEvents()
	stopOther()
	stopOther() // twice does no harm
	if _, ok := <-other; ok {
		t.Error("a stopped watcher was poked")
	}
	quiet := func(what string) {
		t.Helper()
		select {
		case <-poked:
			t.Errorf("%s: poked", what)
		default:
		}
	}
	quiet("before anything")
	change(t, s, a1, t0, func(*store.Change) ([]hygiene.Event, error) { return nil, nil })
	quiet("a change without events")
	_ = s.Change(t.Context(), a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
		return []hygiene.Event{{Type: hygiene.EventMarked}}, store.ErrUnchanged
	})
	quiet("a change that was not made")
	for range 3 { // nobody listens meanwhile
		if err := s.Append(t.Context(), t0, hygiene.Event{Type: hygiene.EventMarked}); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := <-poked; !ok {
		t.Error("not poked after commits")
	}
	quiet("after one poke for three commits")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-poked; ok {
		t.Error("poked by the end of the store")
	}
	stop()
	late, _ := s.WatchEvents()
	if _, ok := <-late; ok {
		t.Error("poked by a closed store")
	}
}

func TestCursorsOutliveTheStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pitcrew.db")
	s := open(t, path)
	for i, reader := range []string{"chat", "mail", "chat"} {
		if err := s.SaveCursor(t.Context(), reader, int64(i+5)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	for reader, want := range map[string]int64{"chat": 7, "mail": 6, "new": 0} {
		if got, err := s.Cursor(t.Context(), reader); got != want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", reader, got, err, want)
		}
	}
}

func TestPurgeRemovesWhatIsOldButNotTheNewestAttempt(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	s := setup(t)
	ctx := t.Context()
	for i := range 4 { // days 0 to 3
		now := t0.Add(time.Duration(i) * day)
		attempted(t, s, a1, hygiene.Failed, now)
		if err := s.SaveReport(ctx, a1, int64(i+1), []byte(`{}`), []byte("log")); err != nil {
			t.Fatal(err)
		}
		url := fmt.Sprintf("https://ci/%d", i)
		if _, err := s.RecordBuilds(ctx, a1, now, []store.Build{{URL: url, At: now}}); err != nil {
			t.Fatal(err)
		}
	}
	attempted(t, s, a2, hygiene.Failed, t0)
	now := t0.Add(10 * day)
	keep := store.Retention{Events: 8 * day, Attempts: 8 * day, Logs: 7 * day, Builds: 8 * day}
	got, err := s.Purge(ctx, now, keep)
	// The events of a2 are old too, but younger ones came before them.
	if want := (store.Purged{Events: 6, Attempts: 2, Logs: 3, Builds: 2}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if got, err := s.Purge(ctx, now, keep); err != nil || got != (store.Purged{}) {
		t.Errorf("again: got %+v, %v, want nothing", got, err)
	}
	for number, want := range map[int64]string{3: "", 4: "log"} {
		if r, err := s.Attempt(ctx, a1, number); err != nil || string(r.Report) != "{}" || string(r.Log) != want {
			t.Errorf("attempt %d: got report %q and log %q, %v, want log %q", number, r.Report, r.Log, err, want)
		}
	}
	everything := store.Retention{Events: 1, Attempts: 1, Logs: 1, Builds: 1}
	if _, err := s.Purge(ctx, now.Add(1000*day), everything); err != nil {
		t.Fatal(err)
	}
	for _, id := range []hygiene.AgentID{a1, a2} {
		a, attempt, err := s.Agent(ctx, id)
		if err != nil || attempt == nil || attempt.Number != a.Attempt {
			t.Errorf("%s: its newest attempt is gone: %v, %v", id, attempt, err)
		}
	}
	events, err := s.Events(ctx, store.EventFilter{})
	if err != nil || len(events) != 1 {
		t.Fatalf("got %d events, %v, want the newest", len(events), err)
	}
	last := events[0].ID
	if err := s.Append(ctx, now, hygiene.Event{Type: hygiene.EventMarked}); err != nil {
		t.Fatal(err)
	}
	if events, _ := s.Events(ctx, store.EventFilter{Newest: true}); events[0].ID != last+1 {
		t.Errorf("the next event is %d, want %d", events[0].ID, last+1)
	}
}

// TestPurgeKeepsTheAttemptsThatBuildsAreJudgedBy has the cleanliness of an old attempt last until lately.
func TestPurgeKeepsTheAttemptsThatBuildsAreJudgedBy(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	s := setup(t)
	for i, lost := range []time.Duration{2 * day, 9 * day, 0} {
		now := t0.Add(time.Duration(i) * day)
		attempted(t, s, a1, hygiene.Failed, now)
		err := s.Change(t.Context(), a1, now, func(ch *store.Change) ([]hygiene.Event, error) {
			if lost > 0 {
				ch.Attempt.Lost = t0.Add(lost)
			}
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		now  time.Duration
		want int64
	}{{10 * day, 1}, {15 * day, 0}, {20 * day, 1}} {
		got, err := s.Purge(t.Context(), t0.Add(step.now), store.Retention{Attempts: 7 * day})
		if err != nil || got.Attempts != step.want {
			t.Errorf("on day %d: %d attempts were forgotten, %v; want %d", step.now/day, got.Attempts, err, step.want)
		}
	}
}

func TestPurgeTakesManySmallSteps(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := make([]hygiene.Event, 1700)
	for i := range events {
		events[i].Type = hygiene.EventMarked
	}
	if err := s.Append(t.Context(), t0, events...); err != nil {
		t.Fatal(err)
	}
	got, err := s.Purge(t.Context(), t0.Add(time.Hour), store.Retention{Events: time.Minute})
	if err != nil || got.Events != 1699 {
		t.Errorf("got %+v, %v, want all events but the newest", got, err)
	}
}
