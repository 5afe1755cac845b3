// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func TestChangeStoresAgentAttemptAndEvents(t *testing.T) {
	t.Parallel()
	s := setup(t)
	want := hygiene.Agent{
		ID: a1, Pool: "el7", State: hygiene.Claimed, Since: t0, Need: hygiene.NeedVerify, Reason: "because",
		Attempt: 1, Epoch: s.Epoch(), Failures: 3, NextLook: t0.Add(time.Hour), LastServed: t0.Add(1), LastCleaned: t0.Add(-time.Hour),
		LabelsAt: t0.Add(time.Second), Settled: "s2", Machine: "m",
		Quarantine: &hygiene.Quarantine{Reason: "q", Since: t0, NextLook: t0.Add(time.Minute), By: "pitcrew"},
		Hold:       &hygiene.Hold{Reason: "h", By: "ann", Since: t0, Expires: t0.Add(time.Hour)},
		Used:       &hygiene.Use{URL: "https://ci/1", At: t0},
	}
	attempt := hygiene.Attempt{
		Agent: a1, Number: 1, Nonce: "n", Pool: "el7", Recipe: "r", Revision: "v", Need: hygiene.NeedVerify,
		Delivery: hygiene.BySSH, Session: "s1", Claimed: t0, Handed: t0.Add(time.Second), Started: t0.Add(2 * time.Second),
		Proved: t0.Add(3 * time.Second), Reconnect: 1, Asked: hygiene.Reboot, Outcome: hygiene.Failed, Reason: "r", Step: "s",
		Run: hygiene.Run{Job: "j", QueueID: 1, Build: 2, URL: "u", Intent: true, BootID: "b", Process: "p"},
	}
	change(t, s, a1, t0, to(hygiene.Due, t0))
	change(t, s, a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
		c.Agent, c.Attempt = want, &attempt
		return []hygiene.Event{
			{Type: hygiene.EventClaimed, Attempt: 1, Before: hygiene.Due, After: hygiene.Claimed, Reason: "why", Data: map[string]string{"k": "v"}},
			{Type: hygiene.EventMarked, At: t0.Add(time.Second), Actor: "ann", Subject: "x", Pool: "p"},
		}, nil
	})
	got, gotAttempt, err := s.Agent(t.Context(), a1)
	if err != nil {
		t.Fatal(err)
	}
	want.LastServed, want.Version = t0.Add(time.Millisecond), 2 // rounded up
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("agent (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&attempt, gotAttempt); diff != "" {
		t.Errorf("attempt (-want +got):\n%s", diff)
	}
	events, err := s.Events(t.Context(), store.EventFilter{After: 1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]hygiene.Event{
		{
			ID: 2, Type: hygiene.EventClaimed, At: t0, Actor: "pitcrew", Subject: "ci/el7-1", Agent: a1, Pool: "el7", Attempt: 1,
			Before: hygiene.Due, After: hygiene.Claimed, Reason: "why", Data: map[string]string{"k": "v"},
		},
		{ID: 3, Type: hygiene.EventMarked, At: t0.Add(time.Second), Actor: "ann", Subject: "x", Agent: a1, Pool: "p"},
	}, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestChangeThatFailsStoresNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	boom := errors.New("boom")
	for _, refusal := range []error{boom, store.ErrUnchanged} {
		err := s.Change(t.Context(), a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
			c.Agent.State = hygiene.Due
			return []hygiene.Event{{Type: hygiene.EventAdopted}}, refusal
		})
		if want := errors.Is(refusal, boom); errors.Is(err, boom) != want || (err != nil) != want {
			t.Errorf("refused with %v: got %v", refusal, err)
		}
		if _, _, err := s.Agent(t.Context(), a1); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("refused with %v: agent: got %v, want not found", refusal, err)
		}
		if events, err := s.Events(t.Context(), store.EventFilter{}); len(events) > 0 || err != nil {
			t.Errorf("refused with %v: events: got %v, %v", refusal, events, err)
		}
	}
}
