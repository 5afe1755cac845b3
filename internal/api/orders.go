// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Order is a request to do something to one agent.
type Order struct {
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"Why, for the audit trail"`
}

func (o *Order) reason() string {
	if o == nil {
		return ""
	}
	return o.Reason
}

// CleanOrder is an order to clean.
type CleanOrder struct {
	Order
	Depth string `json:"depth,omitempty" enum:"light,standard,deep" doc:"How deep to clean, until a cleanup of that depth succeeded; absent: as was asked for before, or else as its pool has it"`
}

// ReasonedOrder is an order that others must be able to understand later, until it ends.
type ReasonedOrder struct {
	Reason string `json:"reason" maxLength:"500" pattern:"\\S" patternDescription:"words, not only blanks" doc:"Why, for the audit trail and for everybody who wonders"`
	For    string `json:"for,omitempty" doc:"How long, such as 90m or 36h; absent: until somebody ends it" example:"2h"`
}

// until is when the order ends by itself; zero if it does not.
func (o ReasonedOrder) until(now time.Time) (time.Time, error) {
	if o.For == "" {
		return time.Time{}, nil
	}
	d, err := time.ParseDuration(o.For)
	if err != nil || d <= 0 {
		return time.Time{}, invalid("body.for", "want a time like 90m or 36h, greater than 0", o.For)
	}
	return now.Add(d), nil
}

type orderInput struct {
	strict
	AgentPath
	Body *Order // optional
}

type cleanInput struct {
	strict
	AgentPath
	Body *CleanOrder // optional
}

type reasonedInput struct {
	strict
	AgentPath
	Body ReasonedOrder
}

func (s *Server) orderRoutes() {
	order := func(id, verb, summary, detail string) operation {
		return operation{
			id: id, method: http.MethodPost, path: "/agents/{controller}/{agent}/" + verb, role: store.Operator,
			tag: "agents", summary: summary, detail: detail + " Answers with the agent as it is now.",
		}
	}
	register(s, order("cleanAgent", "clean", "Clean an agent soon",
		"Back-off and quarantine are passed over; a clean agent becomes due; a cleanup in progress is left to end, and followed by another if it only verifies or is lighter than asked for."), s.orderClean)
	register(s, order("holdAgent", "hold", "Keep an agent out",
		"No cleanup starts there and no build gets it until it is released or the time is up."), s.orderHold)
	register(s, order("releaseAgent", "release", "End hold and quarantine",
		"The agent is cleaned before it is used again."), s.orderRelease)
	register(s, order("quarantineAgent", "quarantine", "Put an agent in quarantine",
		"One cleanup is tried when the time is up."), s.orderQuarantine)
	register(s, order("exclusiveAgent", "exclusive", "Make an agent fit to be kept clean",
		"Sets its usage to EXCLUSIVE and its executors to one, in its configuration on the controller."), s.orderExclusive)
}

func (s *Server) orderExclusive(ctx context.Context, in *orderInput) (*answer[Agent], error) {
	return s.order(ctx, in.AgentPath, func(o Orders, actor string) error {
		return o.OrderExclusive(ctx, in.Agent, actor, in.Body.reason())
	})
}

func (s *Server) orderClean(ctx context.Context, in *cleanInput) (*answer[Agent], error) {
	var what CleanOrder
	if in.Body != nil {
		what = *in.Body
	}
	return s.order(ctx, in.AgentPath, func(o Orders, actor string) error {
		return o.OrderClean(ctx, in.Agent, actor, what.Reason, hygiene.Depth(what.Depth))
	})
}

func (s *Server) orderHold(ctx context.Context, in *reasonedInput) (*answer[Agent], error) {
	until, err := in.Body.until(time.Now())
	if err != nil {
		return nil, err
	}
	return s.order(ctx, in.AgentPath, func(o Orders, actor string) error {
		return o.OrderHold(ctx, in.Agent, actor, in.Body.Reason, until)
	})
}

func (s *Server) orderRelease(ctx context.Context, in *orderInput) (*answer[Agent], error) {
	return s.order(ctx, in.AgentPath, func(o Orders, actor string) error {
		return o.OrderRelease(ctx, in.Agent, actor, in.Body.reason())
	})
}

func (s *Server) orderQuarantine(ctx context.Context, in *reasonedInput) (*answer[Agent], error) {
	until, err := in.Body.until(time.Now())
	if err != nil {
		return nil, err
	}
	return s.order(ctx, in.AgentPath, func(o Orders, actor string) error {
		return o.OrderQuarantine(ctx, in.Agent, actor, in.Body.Reason, until)
	})
}

// order gives an order about a managed agent and answers with the agent as it is then.
func (s *Server) order(ctx context.Context, p AgentPath, give func(Orders, string) error) (*answer[Agent], error) {
	if _, err := s.orderable(ctx, p); err != nil {
		return nil, err
	}
	c, serviced := s.controller(p.Controller)
	if !serviced {
		return nil, refusal(http.StatusConflict, fmt.Sprintf("controller %s is not in the configuration any more", p.Controller))
	}
	given := give(c.Orders, caller(ctx).Name)
	v, err := s.orderable(ctx, p)
	if err != nil {
		return nil, err // it left our care meanwhile, which says more than what the crew said of it
	}
	return answered(v.wire(), given)
}

// orderable returns an agent to which something may be done.
func (s *Server) orderable(ctx context.Context, p AgentPath) (sight, error) {
	v, err := s.find(ctx, p.id())
	switch {
	case err != nil:
		return v, err
	case v.view.DryRun:
		return v, refusal(http.StatusConflict, "this is a dry run: nothing is done to any agent of controller "+p.Controller)
	case !v.agent.Managed():
		return v, refusal(http.StatusConflict, "the agent is not managed: it does not carry the label "+v.view.Labels.Cleanable)
	}
	return v, nil
}
