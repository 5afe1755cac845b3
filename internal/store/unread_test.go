// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// TestUnreadFeedsOfAPoolAreToldOnce adds an event of the pool to that of the first agent, and to that of
// the last which can be read again.
func TestUnreadFeedsOfAPoolAreToldOnce(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "pitcrew.db"))
	ctx := t.Context()
	for _, id := range []hygiene.AgentID{a1, a2} {
		err := s.Change(ctx, id, t0, func(ch *store.Change) ([]hygiene.Event, error) {
			ch.Agent.Pool, ch.Agent.State = "all", hygiene.Due
			return []hygiene.Event{{Type: hygiene.EventAdopted}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	save := func(id hygiene.AgentID, u hygiene.Unread, kinds ...hygiene.EventType) (types []hygiene.EventType) {
		var events []hygiene.Event
		for _, kind := range kinds {
			events = append(events, hygiene.Event{Type: kind, At: t0, Actor: "pitcrew", Subject: id.String(), Agent: id, Pool: "all", Reason: "500"})
		}
		told, err := s.SaveUnread(ctx, id, u, events...)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range told {
			types = append(types, e.Type)
			if ofPool := e.Type == hygiene.EventPoolUnread || e.Type == hygiene.EventPoolRead; ofPool != (e.Subject == string(a1.Controller)+"/all") {
				t.Errorf("%s has subject %s", e.Type, e.Subject)
			}
		}
		return types
	}
	passing := hygiene.Unread{Since: t0, Last: t0.Add(time.Minute)}
	lasting := hygiene.Unread{Since: t0, Last: t0.Add(time.Hour), Told: true}
	steps := []struct {
		id   hygiene.AgentID
		u    hygiene.Unread
		says []hygiene.EventType
		want []hygiene.EventType
	}{
		{a1, passing, nil, nil},
		{a1, lasting, []hygiene.EventType{hygiene.EventUnread}, []hygiene.EventType{hygiene.EventUnread, hygiene.EventPoolUnread}},
		{a2, lasting, []hygiene.EventType{hygiene.EventUnread}, []hygiene.EventType{hygiene.EventUnread}},
		{a1, hygiene.Unread{}, []hygiene.EventType{hygiene.EventRead}, []hygiene.EventType{hygiene.EventRead}},
		{a2, hygiene.Unread{}, []hygiene.EventType{hygiene.EventRead}, []hygiene.EventType{hygiene.EventRead, hygiene.EventPoolRead}},
	}
	stored := map[string]hygiene.Unread{}
	for i, step := range steps {
		if diff := cmp.Diff(step.want, save(step.id, step.u, step.says...)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
		if stored[step.id.Name] = step.u; step.u.Since.IsZero() {
			delete(stored, step.id.Name)
		}
		got, err := s.UnreadFeeds(ctx, a1.Controller)
		if diff := cmp.Diff(stored, got); err != nil || diff != "" {
			t.Errorf("step %d: %v (-want +got):\n%s", i, err, diff)
		}
	}
	if _, err := s.RecordBuilds(ctx, a1, t0, nil); err != nil {
		t.Fatal(err)
	}
}
