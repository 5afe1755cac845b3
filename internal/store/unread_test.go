// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func TestUnreadFeedsAreStoredWithTheirEvents(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "pitcrew.db"))
	ctx := t.Context()
	lasting := hygiene.Unread{Since: t0, Last: t0.Add(time.Hour), Told: true}
	steps := []struct {
		id   hygiene.AgentID
		u    hygiene.Unread
		says []hygiene.EventType
	}{
		{a1, hygiene.Unread{Since: t0, Last: t0.Add(time.Minute)}, nil},
		{a1, lasting, []hygiene.EventType{hygiene.EventUnread}},
		{a2, lasting, []hygiene.EventType{hygiene.EventUnread}},
		{a1, hygiene.Unread{}, []hygiene.EventType{hygiene.EventRead}},
	}
	stored, want := map[string]hygiene.Unread{}, []hygiene.EventType{}
	for i, step := range steps {
		var events []hygiene.Event
		for _, kind := range step.says {
			events = append(events, hygiene.Event{Type: kind, At: t0, Subject: step.id.String(), Agent: step.id})
		}
		want = append(want, step.says...)
		if err := s.SaveUnread(ctx, step.id, step.u, events...); err != nil {
			t.Fatal(err)
		}
		if stored[step.id.Name] = step.u; step.u.Since.IsZero() {
			delete(stored, step.id.Name)
		}
		got, err := s.UnreadFeeds(ctx, a1.Controller)
		if diff := cmp.Diff(stored, got); err != nil || diff != "" {
			t.Errorf("step %d: %v (-want +got):\n%s", i, err, diff)
		}
	}
	if diff := cmp.Diff(want, told(t, s, 0)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if _, err := s.RecordBuilds(ctx, a1, t0, nil); err != nil {
		t.Fatal(err)
	}
}
