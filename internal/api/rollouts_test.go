// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// rolloutDesk is one pool whose rollout does what it is told.
type rolloutDesk struct{ status rollout.Status }

var (
	oldRevision = rollout.Revision(strings.Repeat("0a", 32))
	newRevision = rollout.Revision(strings.Repeat("1b", 32))
)

// canaryFails is a desk with a rollout under way, of which two cleanups and an agent are known to be bad.
func canaryFails(t *testing.T) *rolloutDesk {
	t.Helper()
	agents := []rollout.AgentID{"main/a", "main/b", "main/c"}
	p := rollout.Policy{Plan: rollout.Plan{Named: []rollout.AgentID{"main/a"}, Canaries: 1, Shares: []int{50, 100}}, MinCleanups: 3, Baseline: 24 * time.Hour, MaxFailureRate: 0.1}
	pinned := rollout.Rollout{Pool: "linux", From: oldRevision}
	r, err := pinned.Start(newRevision, "salt", p, rollout.Order{By: "pitcrew", Agents: agents, Now: began})
	if err != nil {
		t.Fatal(err)
	}
	e := rollout.Evidence{Cleanups: []rollout.Cleanup{
		{Agent: "main/b", Revision: oldRevision, At: began.Add(-time.Hour)},
		{Agent: "main/a", Revision: oldRevision, Failed: true, Step: "mounts", At: began.Add(-time.Minute)},
		{Agent: "main/a", Revision: newRevision, Failed: true, Step: "mounts", At: began.Add(time.Minute)},
	}}
	d := &rolloutDesk{status: rollout.Status{
		Rollout: r, Offered: newRevision, Decided: began.Add(2 * time.Minute), Decision: rollout.Next(r, e, p, began.Add(2*time.Minute)),
	}}
	for _, id := range agents {
		d.status.Agents = append(d.status.Agents, rollout.Standing{ID: id, Has: oldRevision, Wants: r.RevisionFor(rollout.Agent{ID: id})})
	}
	d.status.Agents[0].Has = newRevision
	return d
}

func (d *rolloutDesk) Pools() []string { return []string{"linux"} }

func (d *rolloutDesk) Status(_ context.Context, pool string) (rollout.Status, error) {
	if pool != "linux" {
		return rollout.Status{}, fmt.Errorf("pool %s: %w", pool, rollout.ErrNotRolledOut)
	}
	return d.status, nil
}

func (d *rolloutDesk) do(ctx context.Context, pool, actor, reason string, f func(rollout.Order) (rollout.Rollout, error)) (rollout.Status, error) {
	if _, err := d.Status(ctx, pool); err != nil {
		return rollout.Status{}, err
	}
	next, err := f(rollout.Order{By: actor, Reason: reason, Now: began.Add(time.Hour)})
	d.status.Rollout = next
	return d.status, err
}

func (d *rolloutDesk) Start(ctx context.Context, pool, revision, actor, reason string) (rollout.Status, error) {
	if revision == "nonsense" {
		return rollout.Status{}, rollout.ErrNoRevision
	}
	return d.do(ctx, pool, actor, reason, func(o rollout.Order) (rollout.Rollout, error) {
		return d.status.Rollout.Start(d.status.Offered, "salt", rollout.Policy{}, o)
	})
}

func (d *rolloutDesk) Promote(ctx context.Context, pool string, seen rollout.Position, actor, reason string) (rollout.Status, error) {
	return d.do(ctx, pool, actor, reason, func(o rollout.Order) (rollout.Rollout, error) { return d.status.Rollout.Promote(seen, o) })
}

func (d *rolloutDesk) Pause(ctx context.Context, pool, actor, reason string) (rollout.Status, error) {
	return d.do(ctx, pool, actor, reason, d.status.Rollout.Pause)
}

func (d *rolloutDesk) Resume(ctx context.Context, pool, actor, reason string) (rollout.Status, error) {
	return d.do(ctx, pool, actor, reason, d.status.Rollout.Resume)
}

func (d *rolloutDesk) Rollback(ctx context.Context, pool, actor, reason string) (rollout.Status, error) {
	return d.do(ctx, pool, actor, reason, d.status.Rollout.Rollback)
}

func (d *rolloutDesk) Rehearsed(ctx context.Context, pool, revision string, passed bool, report, actor string) (rollout.Status, error) {
	d.status.Rehearsal = rollout.Rehearsal{Result: rollout.RehearsalFailed, Reason: report + " says " + actor + " of " + revision}
	if passed {
		d.status.Rehearsal.Result = rollout.RehearsalPassed
	}
	return d.Status(ctx, pool)
}

func TestARolloutIsShownWithItsEvidenceAndBlames(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *api.Options) { o.Rollouts = canaryFails(t) })
	w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/rollouts/linux", "")
	status(t, w, http.StatusOK)
	goldenJSON(t, "rollout", w.Body.Bytes())
	w = h.ask(t, store.Viewer, http.MethodGet, "/api/v1/rollouts", "")
	status(t, w, http.StatusOK)
	if text := w.Body.String(); !strings.Contains(text, `"pool":"linux"`) || strings.Contains(text, "standings") {
		t.Errorf("the list is %s", text)
	}
	if strings.Contains(strings.ToLower(w.Body.String()), "bound") {
		t.Error("it shows a number that JavaScript cannot hold")
	}
}

func TestOrdersOfPeopleReachTheRollout(t *testing.T) {
	t.Parallel()
	desk := canaryFails(t)
	h := setup(t, func(o *api.Options) { o.Rollouts = desk })
	canary := fmt.Sprintf(`{"revision":%q,"where":"canary"}`, desk.status.Rollout.To)
	for _, tt := range []struct {
		target, body string
		code         int
		says         string
	}{
		{"linux/resume", `{}`, http.StatusConflict, "not paused"},
		{"linux/pause", `{"reason":"to look"}`, http.StatusOK, `"reason":"to look"`},
		{"linux/promote", canary, http.StatusConflict, "is paused because to look"},
		{"linux/resume", ``, http.StatusOK, `"by":"the operator"`},
		{"linux/promote", ``, http.StatusBadRequest, "required"},
		{"linux/promote", `{"reason":"good"}`, http.StatusUnprocessableEntity, "where"},
		{"linux/promote", canary, http.StatusOK, `"where":"share 50%"`},
		{"linux/promote", canary, http.StatusConflict, "is at share 50% now, not "},
		{"linux/rollback", `{"reason":"bad"}`, http.StatusOK, `"stage":"rolled back"`},
		{"linux/start", `{"revision":"nonsense"}`, http.StatusUnprocessableEntity, "no such revision"},
		{"linux/start", ``, http.StatusOK, `"number":2`},
		{"linux/start", ``, http.StatusConflict, "roll it back first"},
		{"linux/rehearsal", `{"revision":"1b1b1b","passed":true,"report":"all well"}`, http.StatusOK, `"report":"all well says the operator of 1b1b1b"`},
		{"linux/rehearsal", `{"passed":true}`, http.StatusUnprocessableEntity, "revision"},
		{"other/promote", canary, http.StatusNotFound, "it needs the section rollout in the configuration"},
	} {
		w := h.ask(t, store.Operator, http.MethodPost, "/api/v1/rollouts/"+tt.target, tt.body)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s %s: status %d, %s; want %d and %q", tt.target, tt.body, w.Code, w.Body, tt.code, tt.says)
		}
	}
}

func TestARolloutThatWaitsForAPersonIsAnAlert(t *testing.T) {
	t.Parallel()
	desk := canaryFails(t)
	h := setup(t, func(o *api.Options) { o.Rollouts = desk })
	for _, tt := range []struct{ verb, want string }{
		{"pause", "paused at canary by the operator: to look"},
		{"rollback", "which was rolled back by the operator: to look"},
	} {
		status(t, h.ask(t, store.Operator, http.MethodPost, "/api/v1/rollouts/linux/"+tt.verb, `{"reason":"to look"}`), http.StatusOK)
		w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/overview", "")
		status(t, w, http.StatusOK)
		if !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("after %s there is no alert %q: %s", tt.verb, tt.want, w.Body)
		}
	}
}

func TestADaemonThatRollsNothingOutSaysSo(t *testing.T) {
	t.Parallel()
	h := setup(t)
	if w := h.ask(t, store.Operator, http.MethodPost, "/api/v1/rollouts/linux/pause", ""); w.Code != http.StatusConflict {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	if w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/rollouts", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"items":[]`) {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
}
