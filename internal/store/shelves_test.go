// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// TestTheNewestEventIsThatOfTheFile compares what is kept with what the file has, after all that appends events or removes them.
func TestTheNewestEventIsThatOfTheFile(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx := t.Context()
	check := func(after string, least int64) {
		t.Helper()
		events, err := s.Events(ctx, store.EventFilter{Newest: true, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		var want int64
		if len(events) > 0 {
			want = events[0].ID
		}
		if got, err := s.NewestEvent(ctx); err != nil || got != want || got < least {
			t.Errorf("after %s: got %d, %v, want %d, at least %d", after, got, err, want, least)
		}
	}
	check("opening", 0)
	change(t, s, a1, t0, to(hygiene.Due, t0))
	check("a change", 1)
	if err := s.Append(ctx, t0, hygiene.Event{Type: hygiene.EventHeld}, hygiene.Event{Type: hygiene.EventUnheld}); err != nil {
		t.Fatal(err)
	}
	check("two at once", 3)
	refused := errors.New("refused")
	if err := s.Change(ctx, a1, t0, func(*store.Change) ([]hygiene.Event, error) {
		return []hygiene.Event{{Type: hygiene.EventHeld}}, refused
	}); !errors.Is(err, refused) {
		t.Fatal(err)
	}
	check("one that was refused", 3)
	if err := s.Append(ctx, time.Time{}, hygiene.Event{Type: hygiene.EventHeld, At: t0}, hygiene.Event{Type: hygiene.EventHeld}); err == nil {
		t.Fatal("an event without a time was stored")
	}
	check("some of which one has no time", 3)
	if _, err := s.Purge(ctx, t0.Add(time.Hour), store.Retention{Events: time.Minute}); err != nil {
		t.Fatal(err)
	}
	check("a purge", 3)
	change(t, s, a1, t0, claim("nonce", t0))
	check("one more", 4)
}

func TestResidueIsExplainedWhenAllOfItHasACulprit(t *testing.T) {
	t.Parallel()
	s := setup(t)
	attempted(t, s, a1, hygiene.Failed, t0)
	for _, tt := range []struct {
		name  string
		found []store.Residue
		want  bool
	}{
		{"nothing was found", nil, false},
		{"nobody knows of one", []store.Residue{left("process", "app", 1, 0, t0), left("mount", "", 1, 0, t0)}, true},
		{"all are known by now", []store.Residue{left("process", "app", 1, 0, t0), left("mount", "app", 1, 0, t0)}, false},
	} {
		if tt.found != nil {
			saveResidue(t, s, a1, 1, tt.found...)
		}
		for range 2 { // read, and kept
			if got, err := s.Unexplained(t.Context(), a1, 1); err != nil || got != tt.want {
				t.Errorf("%s: got %t, %v", tt.name, got, err)
			}
		}
	}
	attempted(t, s, a1, hygiene.Failed, t0.Add(time.Hour))
	saveResidue(t, s, a1, 2, left("mount", "", 1, 0, t0))
	if got, err := s.Unexplained(t.Context(), a1, 2); err != nil || !got {
		t.Errorf("the next attempt: got %t, %v", got, err)
	}
	if got, err := s.Unexplained(t.Context(), a1, 1); err != nil || got {
		t.Errorf("the one before: got %t, %v", got, err)
	}
}
