// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// RolloutDesk is where rollouts are looked after.
type RolloutDesk interface {
	Pools() []string
	Status(ctx context.Context, pool string) (rollout.Status, error)
	Start(ctx context.Context, pool, revision, actor, reason string) (rollout.Status, error)
	Promote(ctx context.Context, pool string, seen rollout.Position, actor, reason string) (rollout.Status, error)
	Pause(ctx context.Context, pool, actor, reason string) (rollout.Status, error)
	Resume(ctx context.Context, pool, actor, reason string) (rollout.Status, error)
	Rollback(ctx context.Context, pool, actor, reason string) (rollout.Status, error)
	Rehearsed(ctx context.Context, pool, revision string, passed bool, report, actor string) (rollout.Status, error)
}

// RolloutPath names the pool of a rollout.
type RolloutPath struct {
	Pool string `path:"pool" maxLength:"63"`
}

type rolloutInput struct {
	strict
	RolloutPath
}

type rolloutOrderInput struct {
	strict
	RolloutPath
	Body *Order // optional
}

// RolloutStart says which revision to roll out.
type RolloutStart struct {
	Revision string `json:"revision,omitempty" maxLength:"64" doc:"Its beginning is enough; absent: what the pool's recipe is now"`
	Reason   string `json:"reason,omitempty" maxLength:"1000"`
}

type rolloutStartInput struct {
	strict
	RolloutPath
	Body *RolloutStart // optional
}

// Promotion says what is promoted, as it was looked at.
type Promotion struct {
	Revision string `json:"revision" minLength:"6" maxLength:"64" doc:"That the rollout is to; its beginning is enough"`
	Where    string `json:"where" minLength:"1" maxLength:"63" doc:"How far it has got, as the rollout says it" example:"share 10%"`
	Reason   string `json:"reason,omitempty" maxLength:"1000"`
}

type promotionInput struct {
	strict
	RolloutPath
	Body Promotion
}

// RehearsalResult is what a rehearsal came to.
type RehearsalResult struct {
	Revision string `json:"revision" maxLength:"64" doc:"That was rehearsed; of one that the pool has its beginning is enough"`
	Passed   bool   `json:"passed"`
	Report   string `json:"report,omitempty" maxLength:"10000" doc:"What it found, or where that is"`
}

type rehearsalInput struct {
	strict
	RolloutPath
	Body RehearsalResult
}

func (s *Server) rolloutRoutes() {
	register(s, operation{
		id: "listRollouts", method: http.MethodGet, path: "/rollouts", role: store.Viewer, tag: "rollouts",
		summary: "List the newest rollout of each pool that rolls out",
	}, s.listRollouts)
	register(s, operation{
		id: "getRollout", method: http.MethodGet, path: "/rollouts/{pool}", role: store.Viewer, tag: "rollouts",
		summary: "Show a pool's newest rollout", detail: "With its evidence, its blames, and each agent.",
	}, func(ctx context.Context, in *rolloutInput) (*answer[Rollout], error) {
		return s.aboutRollout(func(d RolloutDesk) (rollout.Status, error) { return d.Status(ctx, in.Pool) })
	})
	register(s, operation{
		id: "startRollout", method: http.MethodPost, path: "/rollouts/{pool}/start", role: store.Operator, tag: "rollouts",
		summary: "Begin to roll a revision out", detail: "One that was rolled back, or one of before; new ones begin by themselves.",
	}, func(ctx context.Context, in *rolloutStartInput) (*answer[Rollout], error) {
		var what RolloutStart
		if in.Body != nil {
			what = *in.Body
		}
		return s.aboutRollout(func(d RolloutDesk) (rollout.Status, error) {
			return d.Start(ctx, in.Pool, what.Revision, caller(ctx).Name, what.Reason)
		})
	})
	register(s, operation{
		id: "promoteRollout", method: http.MethodPost, path: "/rollouts/{pool}/promote", role: store.Operator, tag: "rollouts",
		summary: "Go on by one stage or share", detail: "Whatever the evidence says. Not while it is paused, and only from where it is: 409 where it has gone on since it was looked at.",
	}, func(ctx context.Context, in *promotionInput) (*answer[Rollout], error) {
		b := &in.Body
		return s.aboutRollout(func(d RolloutDesk) (rollout.Status, error) {
			return d.Promote(ctx, in.Pool, rollout.Position{Revision: rollout.Revision(b.Revision), Where: b.Where}, caller(ctx).Name, b.Reason)
		})
	})
	for _, c := range []struct {
		verb, id, summary, detail string
		do                        func(RolloutDesk) func(context.Context, string, string, string) (rollout.Status, error)
	}{
		{"pause", "pauseRollout", "Keep further agents from getting the new revision", "Those that have it keep it.", func(d RolloutDesk) func(context.Context, string, string, string) (rollout.Status, error) {
			return d.Pause
		}},
		{"resume", "resumeRollout", "Go on where it was paused", "The stage begins anew.", func(d RolloutDesk) func(context.Context, string, string, string) (rollout.Status, error) {
			return d.Resume
		}},
		{"rollback", "rollBackRollout", "Give all agents the old revision again", "Also after it is done, as long as no newer one was started.", func(d RolloutDesk) func(context.Context, string, string, string) (rollout.Status, error) {
			return d.Rollback
		}},
	} {
		register(s, operation{
			id: c.id, method: http.MethodPost, path: "/rollouts/{pool}/" + c.verb, role: store.Operator, tag: "rollouts",
			summary: c.summary, detail: c.detail,
		}, func(ctx context.Context, in *rolloutOrderInput) (*answer[Rollout], error) {
			return s.aboutRollout(func(d RolloutDesk) (rollout.Status, error) {
				return c.do(d)(ctx, in.Pool, caller(ctx).Name, in.Body.reason())
			})
		})
	}
	register(s, operation{
		id: "reportRehearsal", method: http.MethodPost, path: "/rollouts/{pool}/rehearsal", role: store.Operator, tag: "rollouts",
		summary: "Tell what a rehearsal came to", detail: "Also of a revision that the pool has not come to yet. The newest of a revision counts.",
	}, func(ctx context.Context, in *rehearsalInput) (*answer[Rollout], error) {
		b := &in.Body
		return s.aboutRollout(func(d RolloutDesk) (rollout.Status, error) {
			return d.Rehearsed(ctx, in.Pool, b.Revision, b.Passed, b.Report, caller(ctx).Name)
		})
	})
}

func (s *Server) listRollouts(ctx context.Context, _ *none) (*answer[Page[Rollout]], error) {
	all, err := s.rolloutStates(ctx)
	return answered(Page[Rollout]{Items: each(all, func(r rollout.Status) Rollout { return rolloutOf(&r, false) })}, err)
}

// rolloutStates are those of all pools that roll out.
func (s *Server) rolloutStates(ctx context.Context) ([]rollout.Status, error) {
	if s.Rollouts == nil {
		return nil, nil
	}
	var all []rollout.Status
	for _, pool := range s.Rollouts.Pools() {
		one, err := s.Rollouts.Status(ctx, pool)
		if errors.Is(err, rollout.ErrNotRolledOut) {
			continue // taken out of the configuration a moment ago
		}
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// aboutRollout answers with how a rollout stands after f.
func (s *Server) aboutRollout(f func(RolloutDesk) (rollout.Status, error)) (*answer[Rollout], error) {
	if s.Rollouts == nil {
		return nil, refusal(http.StatusConflict, "this daemon rolls nothing out")
	}
	status, err := f(s.Rollouts)
	switch {
	case errors.Is(err, rollout.ErrNotRolledOut):
		return nil, refusal(http.StatusNotFound, err.Error())
	case errors.Is(err, rollout.ErrNoRevision):
		return nil, invalid("body.revision", err.Error(), nil)
	}
	return answered(rolloutOf(&status, true), err)
}

// rolloutAlerts tell of rollouts that wait for a person.
func rolloutAlerts(all []rollout.Status) []Alert {
	var out []Alert
	for i := range all {
		r := &all[i].Rollout
		switch {
		case r.Stage == rollout.Paused:
			out = append(out, Alert{Level: "warn", About: "pool " + r.Pool, Text: fmt.Sprintf("rollout of revision %s %s by %s: %s", r.To.Short(), r.Where(), r.By, r.Reason), Since: utc(r.Since)})
		case r.Stage == rollout.RolledBack && all[i].Offered == r.To:
			out = append(out, Alert{Level: "warn", About: "pool " + r.Pool, Text: fmt.Sprintf("its recipe is revision %s, which was rolled back by %s: %s", r.To.Short(), r.By, r.Reason), Since: utc(r.Since)})
		}
	}
	return out
}
