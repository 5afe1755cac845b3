// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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
		LabelsAt: t0.Add(time.Second), Settled: "s2", Machine: "m", Adopted: t0, Mark: "disk", Depth: hygiene.Deep,
		Stuck: &hygiene.Stuck{Reason: "403", Since: t0}, Host: "h", Boots: hygiene.Boots{{ID: "b", From: t0, To: t0.Add(time.Hour)}},
		Quarantine: &hygiene.Quarantine{Reason: "q", Since: t0, NextLook: t0.Add(time.Minute), By: "pitcrew"},
		Hold:       &hygiene.Hold{Reason: "h", By: "ann", Since: t0, Expires: t0.Add(time.Hour)},
		Used:       &hygiene.Use{URL: "https://ci/1", At: t0},
	}
	attempt := hygiene.Attempt{
		Agent: a1, Number: 1, Nonce: "n", Pool: "el7", Recipe: "r", Revision: "v", Need: hygiene.NeedVerify, Depth: hygiene.Light,
		Delivery: hygiene.BySSH, Session: "s1", Claimed: t0, Handed: t0.Add(time.Second), Started: t0.Add(2 * time.Second),
		Proved: t0.Add(3 * time.Second), Reconnect: 1, Asked: hygiene.Reboot, Outcome: hygiene.Failed, Reason: "r", Step: "s",
		Began: t0, Lost: t0.Add(time.Minute), UsedBy: "https://ci/2",
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
	listed, err := s.Attempts(t.Context(), store.AttemptFilter{})
	if diff := cmp.Diff([]store.AttemptRecord{{ID: 1, Attempt: attempt}}, listed); diff != "" || err != nil {
		t.Errorf("attempts (-want +got): %v\n%s", err, diff)
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

func TestChangeFollowsTheTransitionTable(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for i, from := range hygiene.States {
		for j, end := range hygiene.States {
			id := hygiene.AgentID{Controller: "ci", Name: fmt.Sprintf("agent-%d-%d", i, j)}
			bring(t, s, id, from)
			err := s.Change(t.Context(), id, t0, func(c *store.Change) ([]hygiene.Event, error) {
				c.Agent.State = end
				settle(c)
				return []hygiene.Event{{Type: hygiene.EventRelabelled}}, nil
			})
			var refused *hygiene.StateError
			want := from == end || hygiene.CanGo(from, end)
			if got := err == nil; got != want || !want && !errors.As(err, &refused) {
				t.Errorf("from %s to %s: got %v, permitted is %v", from, end, err, want)
			}
		}
	}
}

// bring leads a new agent to the state along the table.
func bring(t *testing.T, s *store.Store, id hygiene.AgentID, state hygiene.State) {
	t.Helper()
	for _, next := range hygiene.States {
		if next == hygiene.Reconnecting && state != hygiene.Reconnecting {
			continue // a detour
		}
		change(t, s, id, t0, func(c *store.Change) ([]hygiene.Event, error) {
			c.Agent.State = next
			settle(c)
			return []hygiene.Event{{Type: hygiene.EventRelabelled}}, nil
		})
		if next == state {
			return
		}
	}
}

// settle gives the agent the attempt that its state goes with.
func settle(c *store.Change) {
	switch {
	case c.Agent.State.InProgress() && (c.Attempt == nil || !c.Attempt.Ended.IsZero()):
		c.Agent.Attempt++
		c.Attempt = &hygiene.Attempt{Agent: c.Agent.ID, Number: c.Agent.Attempt, Nonce: "n"}
	case !c.Agent.State.InProgress() && c.Attempt != nil:
		c.Attempt.Ended = t0
	}
}

func TestChangeRefusesWhatBreaksARule(t *testing.T) {
	t.Parallel()
	event := []hygiene.Event{{Type: hygiene.EventRelabelled}}
	for _, tc := range []struct {
		name   string
		from   hygiene.State
		change func(*store.Change)
		events []hygiene.Event
		says   string
	}{
		{"a change of state without an event", hygiene.Clean, func(c *store.Change) { c.Agent.State = hygiene.Due }, nil, "every change of state has its event"},
		{"another agent's name", hygiene.Due, func(c *store.Change) { c.Agent.ID = a2 }, event, "not as ci/el7-2"},
		{"a number that goes back", hygiene.Clean, func(c *store.Change) { c.Agent.Attempt, c.Attempt = 0, nil }, event, "the numbers of attempts ascend; got 0 after 1"},
		{"a second open attempt", hygiene.Running, func(c *store.Change) {
			c.Agent.Attempt = 2
			c.Attempt = &hygiene.Attempt{Agent: a1, Number: 2, Nonce: "n"}
		}, event, "at most one attempt is open; number 1 is"},
		{"an attempt without a nonce", hygiene.Due, func(c *store.Change) {
			c.Agent.State, c.Agent.Attempt = hygiene.Claimed, 1
			c.Attempt = &hygiene.Attempt{Agent: a1, Number: 1}
		}, event, "every attempt has a nonce"},
		{"another nonce", hygiene.Running, func(c *store.Change) { c.Attempt.Nonce = "other" }, event, "keeps its nonce"},
		{"an attempt that opens again", hygiene.Clean, func(c *store.Change) { c.Attempt.Ended = time.Time{} }, event, "what ended stays so"},
		{"in progress with an ended attempt", hygiene.Running, func(c *store.Change) { c.Attempt.Ended = t0 }, event, "has an open attempt"},
		{"in progress without an attempt", hygiene.Due, func(c *store.Change) { c.Agent.State = hygiene.Claimed }, event, "must be number 0"},
		{"left with an open attempt", hygiene.Running, func(c *store.Change) { c.Agent.State = hygiene.Due }, event, "number 1 is open, the agent is due"},
		{"the attempt of another agent", hygiene.Running, func(c *store.Change) { c.Attempt.Agent = a2 }, event, "must be number 1 of this agent"},
		{"the attempt lost", hygiene.Running, func(c *store.Change) { c.Attempt = nil }, event, "must be number 1 of this agent"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			bring(t, s, a1, tc.from)
			before, attempt, err := s.Agent(t.Context(), a1)
			if err != nil {
				t.Fatal(err)
			}
			err = s.Change(t.Context(), a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
				tc.change(c)
				return tc.events, nil
			})
			var broken *store.RuleError
			if !errors.As(err, &broken) || broken.Agent != a1 || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want a broken rule that says %q", err, tc.says)
			}
			after, afterwards, err := s.Agent(t.Context(), a1)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, after) + cmp.Diff(attempt, afterwards); diff != "" {
				t.Errorf("it was changed all the same (-before +after):\n%s", diff)
			}
		})
	}
}

func TestErrorsDoNotTellTheNonce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	change(t, s, a1, t0, to(hygiene.Due, t0))
	change(t, s, a1, t0, claim("c4n4ry", t0))
	for _, spoil := range []func(*store.Change){
		func(c *store.Change) { c.Attempt.Nonce = "c4n4ry2" },
		func(c *store.Change) { c.Attempt.Number = 7 },
		func(c *store.Change) { c.Agent.State = hygiene.Clean },
	} {
		err := s.Change(t.Context(), a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
			spoil(c)
			return []hygiene.Event{{Type: hygiene.EventRelabelled}}, nil
		})
		if err == nil || strings.Contains(err.Error(), "c4n4ry") {
			t.Errorf("got %v, want an error without the nonce", err)
		}
	}
}

// TestConcurrentChangesLoseNothing counts with many goroutines on few agents, and watches that
// readers never see an agent apart from its events.
func TestConcurrentChangesLoseNothing(t *testing.T) {
	t.Parallel()
	const writers, rounds = 8, 15
	s := setup(t)
	var work sync.WaitGroup
	for w := range writers {
		id := []hygiene.AgentID{a1, a2}[w%2]
		work.Go(func() {
			for range rounds {
				if err := s.Change(t.Context(), id, t0, func(c *store.Change) ([]hygiene.Event, error) {
					c.Agent.Failures++
					return []hygiene.Event{{Type: hygiene.EventFailed}, {Type: hygiene.EventMarked}}, nil
				}); err != nil {
					t.Errorf("change: %v", err)
				}
			}
		})
		work.Go(func() {
			for range rounds {
				a, _, err := s.Agent(t.Context(), id)
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("read: %v", err)
				}
				events, err := s.Events(t.Context(), store.EventFilter{Agent: id, Limit: 10_000})
				if err != nil || len(events) < 2*a.Failures || len(events)%2 != 0 {
					t.Errorf("read %d events, %v, after %d changes", len(events), err, a.Failures)
				}
			}
		})
	}
	work.Wait()
	for _, id := range []hygiene.AgentID{a1, a2} {
		a, _, err := s.Agent(t.Context(), id)
		if want := writers / 2 * rounds; err != nil || a.Failures != want || a.Version != int64(want) {
			t.Errorf("%s: got %d changes and version %d, %v, want %d", id, a.Failures, a.Version, err, want)
		}
	}
}

func TestChangeWaitsForItsTurnNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	s := setup(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- s.Change(t.Context(), a1, t0, func(*store.Change) ([]hygiene.Event, error) {
			close(entered)
			<-leave
			return nil, nil
		})
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	err := s.Change(ctx, a2, t0, func(*store.Change) ([]hygiene.Event, error) { return nil, nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("the change that was at work: %v", err)
	}
}

func TestAPanicInAChangeLeavesTheStoreUsable(t *testing.T) {
	t.Parallel()
	s := setup(t)
	func() {
		defer func() { _ = recover() }()
		_ = s.Change(t.Context(), a1, t0, func(*store.Change) ([]hygiene.Event, error) { panic("boom") })
	}()
	change(t, s, a1, t0, to(hygiene.Due, t0))
}

func TestStoreWorksInVirtualTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "pitcrew.db")})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var work sync.WaitGroup
		for _, id := range []hygiene.AgentID{a1, a2} {
			work.Go(func() {
				for range 60 {
					time.Sleep(time.Minute)
					change(t, s, id, time.Now(), func(c *store.Change) ([]hygiene.Event, error) {
						c.Agent.LabelsAt = time.Now()
						return []hygiene.Event{{Type: hygiene.EventRelabelled}}, nil
					})
				}
			})
		}
		work.Wait()
		a, _, err := s.Agent(t.Context(), a1)
		if want := began.Add(time.Hour); err != nil || !a.LabelsAt.Equal(want) {
			t.Errorf("got %v, %v, want %v", a.LabelsAt, err, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
