// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// told returns the types of the events after id.
func told(t *testing.T, s *store.Store, id int64) (types []hygiene.EventType) {
	t.Helper()
	events, err := s.Events(t.Context(), store.EventFilter{After: id})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types
}

func TestControllerIsStoredWithItsChangesOfSession(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx := t.Context()
	if c, err := s.Controller(ctx, "ci"); err != nil || c != (store.Controller{ID: "ci"}) {
		t.Errorf("unknown: got %+v, %v", c, err)
	}
	c := store.Controller{
		ID: "ci", URL: "https://ci", Session: "s1", Version: "2.541.3", LastSweep: t0, Problem: "none",
	}
	for _, session := range []string{"s1", "s1", "s2"} {
		c.Session, c.LastSweep = session, c.LastSweep.Add(time.Minute)
		if session == "s2" {
			c.SessionSince = c.LastSweep
		}
		if err := s.SaveController(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Controller(ctx, "ci"); err != nil || got != c {
		t.Errorf("got %+v, %v, want %+v", got, err, c)
	}
	if diff := cmp.Diff([]hygiene.EventType{hygiene.EventController}, told(t, s, 0)); diff != "" {
		t.Errorf("an untold change of session tells of itself (-want +got):\n%s", diff)
	}
	c.Session = "s3"
	if err := s.SaveController(ctx, c, hygiene.Event{Type: hygiene.EventController, At: t0}, hygiene.Event{Type: hygiene.EventMarked, At: t0}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]hygiene.EventType{hygiene.EventController, hygiene.EventMarked}, told(t, s, 1)); diff != "" {
		t.Errorf("a told one does not (-want +got):\n%s", diff)
	}
	if err := s.SaveController(ctx, store.Controller{ID: "b"}); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Controllers(ctx); err != nil || len(all) != 2 || all[0].ID != "b" || all[1] != c {
		t.Errorf("all: got %+v, %v", all, err)
	}
}

func TestAGateIsChangedByWhoSawItAsItIs(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx := t.Context()
	lost := store.Gate{Use: store.Gated, Since: t0, Problem: "404"}
	if err := s.SaveGate(ctx, "ci", store.Gate{}, lost, hygiene.Event{Type: hygiene.EventGateLost, At: t0}); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveController(ctx, store.Controller{ID: "ci", Version: "2.541.3"}); err != nil { // read before it was lost
		t.Fatal(err)
	}
	if err := s.SaveGate(ctx, "ci", store.Gate{}, store.Gate{Use: store.Gated}, hygiene.Event{Type: hygiene.EventGateUp, At: t0}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("changed by who did not see that it is lost: %v", err)
	}
	if got, err := s.Controller(ctx, "ci"); err != nil || got != (store.Controller{ID: "ci", Version: "2.541.3", Gate: lost}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if diff := cmp.Diff([]hygiene.EventType{hygiene.EventGateLost}, told(t, s, 0)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if err := s.SaveGate(ctx, "ci", lost, store.Gate{}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Controller(ctx, "ci"); err != nil || got.Gate != (store.Gate{}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSlotServesOneAttemptAtATime(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx := t.Context()
	jobs := []string{"pitcrew/1", "pitcrew/2", "pitcrew/3"}
	take := func(agent string, attempt int64, want string) {
		t.Helper()
		slot, err := s.TakeSlot(ctx, "ci", agent, attempt, "", jobs)
		if got := slot.Job; got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, store.ErrNoSlot) {
			t.Errorf("%s %d: got %q, %v, want %q", agent, attempt, got, err, want)
		}
	}
	if err := s.SaveSlot(ctx, store.Slot{Controller: "ci", Job: "pitcrew/2", Digest: "d", Refused: "somebody changed it"}); err != nil {
		t.Fatal(err)
	}
	take("a", 1, "pitcrew/1")
	take("a", 1, "pitcrew/1") // the same again
	take("b", 1, "pitcrew/3") // numbers are per agent
	take("c", 1, "")
	for _, attempt := range []int64{7, 1} { // only the owner frees
		if err := s.FreeSlot(ctx, "ci", "a", attempt); err != nil {
			t.Fatal(err)
		}
		if attempt == 7 {
			take("c", 1, "")
		}
	}
	take("c", 1, "pitcrew/1")
	want := []store.Slot{
		{Controller: "ci", Job: "pitcrew/1", Agent: "c", Attempt: 1},
		{Controller: "ci", Job: "pitcrew/2", Digest: "d", Refused: "somebody changed it"},
		{Controller: "ci", Job: "pitcrew/3", Agent: "b", Attempt: 1},
	}
	if got, err := s.Slots(ctx, "ci"); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v (-want +got):\n%s", err, cmp.Diff(want, got))
	}
	jobs = jobs[2:]
	take("c", 1, "pitcrew/1") // it keeps a slot that is one no more
	if other, err := s.TakeSlot(ctx, "b", "c", 1, "", jobs); err != nil || other.Controller != "b" || other.Job != "pitcrew/3" {
		t.Errorf("another controller: got %+v, %v", other, err)
	}
}

func TestAChangeGivesTheSlotOfItsAttemptBack(t *testing.T) {
	t.Parallel()
	s := setup(t)
	jobs := []string{"slot-1", "slot-2"}
	for _, id := range []hygiene.AgentID{a1, a2} {
		change(t, s, id, t0, to(hygiene.Due, t0))
		change(t, s, id, t0, claim("nonce", t0))
		if _, err := s.TakeSlot(t.Context(), id.Controller, id.Name, 1, "", jobs); err != nil {
			t.Fatal(err)
		}
	}
	taken := func() (agents []string) {
		slots, err := s.Slots(t.Context(), "ci")
		if err != nil {
			t.Fatal(err)
		}
		for _, slot := range slots {
			agents = append(agents, slot.Agent)
		}
		return agents
	}
	free := func(err error) step {
		return func(c *store.Change) ([]hygiene.Event, error) {
			c.Agent.Failures, c.FreeSlot = 1, true
			return nil, err
		}
	}
	if err := s.Change(t.Context(), a1, t0, free(store.ErrConflict)); !errors.Is(err, store.ErrConflict) {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{a1.Name, a2.Name}, taken()); diff != "" {
		t.Errorf("after a change that was refused (-want +got):\n%s", diff)
	}
	change(t, s, a1, t0, free(nil))
	if diff := cmp.Diff([]string{"", a2.Name}, taken()); diff != "" {
		t.Errorf("after the change (-want +got):\n%s", diff)
	}
	change(t, s, a1, t0, to(hygiene.Running, t0)) // and no later change does so again
	if _, err := s.TakeSlot(t.Context(), a1.Controller, a1.Name, 1, "", jobs); err != nil {
		t.Fatal(err)
	}
	change(t, s, a1, t0, to(hygiene.Granting, t0))
	if diff := cmp.Diff([]string{a1.Name, a2.Name}, taken()); diff != "" {
		t.Errorf("after other changes (-want +got):\n%s", diff)
	}
}

func TestPausesBreakersAndPoolsAreStoredWithTheirEvents(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx := t.Context()
	event := func(kind hygiene.EventType) hygiene.Event { return hygiene.Event{Type: kind, At: t0, Subject: "el7"} }
	pause := store.Pause{Scope: "pool:el7", Reason: "r", By: "ann", Since: t0, Until: t0.Add(time.Hour)}
	breaker := store.BreakerRow{Pool: "el7", Revision: "r1", Opened: t0, Since: t0.Add(-time.Hour), Reason: "r"}
	pool := store.PoolRow{Pool: "el7", LastCleaned: t0, DeadSince: t0.Add(time.Hour), ShortSince: t0.Add(2 * time.Hour), StuckSince: t0.Add(3 * time.Hour), UnreadSince: t0.Add(4 * time.Hour)}
	for _, err := range []error{
		s.SetPause(ctx, store.Pause{Scope: pause.Scope}, event(hygiene.EventPaused)),
		s.SetPause(ctx, pause), // in its place
		s.SetPause(ctx, store.Pause{Scope: "all", Since: t0}, event(hygiene.EventPaused)),
		s.ClearPause(ctx, "all", event(hygiene.EventResumed)),
		s.SaveBreaker(ctx, store.BreakerRow{Pool: "el7", Revision: "r1"}, event(hygiene.EventBreakerOpen)),
		s.SaveBreaker(ctx, breaker),
		s.SavePoolState(ctx, store.PoolRow{Pool: "el7"}, event(hygiene.EventDead)),
		s.SavePoolState(ctx, pool),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ClearPause(ctx, "all", event(hygiene.EventResumed)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("clear twice: got %v, want not found", err)
	}
	if got, err := s.Pauses(ctx); err != nil || cmp.Diff([]store.Pause{pause}, got) != "" {
		t.Errorf("pauses: got %+v, %v", got, err)
	}
	if got, err := s.Breakers(ctx); err != nil || cmp.Diff([]store.BreakerRow{breaker}, got) != "" {
		t.Errorf("breakers: got %+v, %v", got, err)
	}
	if got, err := s.PoolState(ctx, "el7"); err != nil || got != pool {
		t.Errorf("pool: got %+v, %v", got, err)
	}
	if got, err := s.PoolState(ctx, "el8"); err != nil || got != (store.PoolRow{Pool: "el8"}) {
		t.Errorf("unknown pool: got %+v, %v", got, err)
	}
	want := []hygiene.EventType{
		hygiene.EventPaused, hygiene.EventPaused, hygiene.EventResumed, hygiene.EventBreakerOpen, hygiene.EventDead,
	}
	if diff := cmp.Diff(want, told(t, s, 0)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestRecordingBuildsAgainTellsNothingTwice(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx := t.Context()
	clean := store.Build{Agent: a1, URL: "https://ci/1", Job: "build", Number: 1, At: t0, Attempt: 3}
	dirty := store.Build{Agent: a1, URL: "https://ci/2", Job: "build", Number: 2, At: t0.Add(time.Minute), Contaminated: true, Reason: "second"}
	contaminated := hygiene.Event{Type: hygiene.EventContaminated, Data: map[string]string{"url": dirty.URL}}
	for i := range 2 {
		if _, err := s.RecordBuilds(ctx, a1, t0.Add(time.Hour), []store.Build{clean, dirty}, contaminated); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]hygiene.EventType{hygiene.EventContaminated, hygiene.EventBuildsBad}, told(t, s, 0)); diff != "" {
			t.Errorf("recorded %d times (-want +got):\n%s", i+1, diff)
		}
	}
	better := dirty
	better.Contaminated, better.Reason = false, ""
	if _, err := s.RecordBuilds(ctx, a1, t0, []store.Build{better}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RecordBuilds(ctx, a2, t0, nil); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		filter store.BuildFilter
		want   []store.Build
	}{
		{"all, newest first", store.BuildFilter{}, []store.Build{dirty, clean}},
		{"contaminated", store.BuildFilter{Contaminated: true, Controller: "ci"}, []store.Build{dirty}},
		{"since", store.BuildFilter{Agent: a1, Since: t0.Add(1)}, []store.Build{dirty}},
		{"limited", store.BuildFilter{Limit: 1}, []store.Build{dirty}},
		{"of another agent", store.BuildFilter{Agent: a2}, nil},
	} {
		if got, err := s.Builds(ctx, tc.filter); err != nil || cmp.Diff(tc.want, got) != "" {
			t.Errorf("%s: %v (-want +got):\n%s", tc.name, err, cmp.Diff(tc.want, got))
		}
	}
	for id, want := range map[hygiene.AgentID][2]time.Time{
		a1: {t0.Add(time.Hour), dirty.At}, a2: {t0, {}}, {Controller: "b"}: {},
	} {
		asked, newest, err := s.FeedState(ctx, id)
		if err != nil || !asked.Equal(want[0]) || !newest.Equal(want[1]) {
			t.Errorf("feed of %s: got %v, %v, %v, want %v", id, asked, newest, err, want)
		}
	}
}

func TestTokenIsKnownByItsSecretOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "pitcrew.db"))
	ctx := t.Context()
	secrets := map[string]string{}
	for name, role := range map[string]store.Role{"ann": store.Admin, "bob": store.Viewer, "eve": store.Operator} {
		secret, err := s.CreateToken(ctx, name, role, t0)
		if err != nil {
			t.Fatal(err)
		}
		secrets[name] = secret
		if got, err := s.Authenticate(ctx, secret); err != nil || got != (store.Token{Name: name, Role: role, Created: t0}) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for _, wrong := range []string{"", "x", secrets["ann"] + "x", secrets["ann"][1:]} {
		if got, err := s.Authenticate(ctx, wrong); !errors.Is(err, store.ErrUnauthorized) {
			t.Errorf("wrong secret: got %+v, %v", got, err)
		}
	}
	if _, err := s.CreateToken(ctx, "ann", store.Viewer, t0); !errors.Is(err, store.ErrExists) {
		t.Errorf("same name: got %v, want that it exists", err)
	}
	if _, err := s.CreateToken(ctx, "mallory", "root", t0); err == nil {
		t.Error("a role that does not exist was given")
	}
	if err := s.RevokeToken(ctx, "eve"); err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeToken(ctx, "eve"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoke twice: got %v, want not found", err)
	}
	if _, err := s.Authenticate(ctx, secrets["eve"]); !errors.Is(err, store.ErrUnauthorized) {
		t.Errorf("revoked: got %v", err)
	}
	tokens, err := s.Tokens(ctx)
	if diff := cmp.Diff([]store.Token{{Name: "ann", Role: store.Admin, Created: t0}, {Name: "bob", Role: store.Viewer, Created: t0}}, tokens); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, file := range entries(t, dir) {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for name, secret := range secrets {
			if strings.Contains(string(text), secret) || strings.Contains(string(text), strings.TrimPrefix(secret, "pitcrew_")) {
				t.Errorf("%s holds the secret of %s", file, name)
			}
		}
	}
}

// TestAnAttemptGetsTheSlotThatCarriesItsProgram spares Jenkins the writing of jobs while two revisions are in use.
func TestAnAttemptGetsTheSlotThatCarriesItsProgram(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for job, content := range map[string]string{"j1": "old", "j2": "new", "j3": ""} {
		if err := s.SaveSlot(t.Context(), store.Slot{Controller: "ci", Job: job, Content: content}); err != nil {
			t.Fatal(err)
		}
	}
	for i, tt := range []struct{ content, want string }{{"new", "j2"}, {"new", "j3"}, {"new", "j1"}} {
		slot, err := s.TakeSlot(t.Context(), "ci", "a", int64(i+1), tt.content, []string{"j1", "j2", "j3"})
		if err != nil || slot.Job != tt.want {
			t.Errorf("attempt %d with program %s: slot %s, %v; want %s", i+1, tt.content, slot.Job, err, tt.want)
		}
	}
}
