// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/notify"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// noticed maps the kinds that a configuration names to the events behind them. Events of single
// attempts are in none: people are told of changes of state.
var noticed = map[string][]hygiene.EventType{
	config.OnQuarantined:  {hygiene.EventQuarantined},
	config.OnReleased:     {hygiene.EventReleased},
	config.OnBreaker:      {hygiene.EventBreakerOpen, hygiene.EventBreakerShut},
	config.OnCapacity:     {hygiene.EventShort, hygiene.EventEnough},
	config.OnDeadman:      {hygiene.EventDead, hygiene.EventAlive},
	config.OnController:   {hygiene.EventController},
	config.OnContaminated: {hygiene.EventBuildsBad, hygiene.EventBuildsGood, hygiene.EventPoolUnread, hygiene.EventPoolRead},
	config.OnGate:         {hygiene.EventGateUp, hygiene.EventGateLost, hygiene.EventGateLeft},
	config.OnStuck:        {hygiene.EventPoolStuck, hygiene.EventPoolUnstuck},
	config.OnLoan:         {hygiene.EventLoanOverrun, hygiene.EventLoanLost, hygiene.EventLoanFailed, hygiene.EventLoanOwed, hygiene.EventLoanPaid},
	config.OnRollout: {
		hygiene.EventRolloutStarted, hygiene.EventRolloutStage, hygiene.EventRolloutPaused, hygiene.EventRolloutResumed,
		hygiene.EventRolloutRolledBack, hygiene.EventRolloutDone, hygiene.EventRolloutBlamed,
	},
	config.OnOwnerConflict:  {hygiene.EventRival},
	config.OnConfigRejected: {hygiene.EventConfig},
}

// notify delivers notices until ctx ends. Receivers are those of the configuration at start.
func (a *App) notify(ctx context.Context) error {
	c := a.Config.Current()
	sinks := make([]notify.Sink, 0, len(c.Notifications))
	for i := range c.Notifications {
		sinks = append(sinks, a.sink(&c.Notifications[i]))
	}
	if len(sinks) == 0 || a.DryRun {
		<-ctx.Done()
		return nil
	}
	n, err := notify.New(notify.Options{Outbox: outbox{a.store}, Sinks: sinks, Observe: a.metrics.delivered, Logger: a.Log})
	if err != nil {
		return err
	}
	return n.Run(ctx)
}

func (a *App) sink(n *config.Notification) notify.Sink {
	kinds := n.Events
	if len(kinds) == 0 {
		for kind := range noticed {
			kinds = append(kinds, kind)
		}
	}
	filter := notify.Filter{Controllers: n.Controllers, Pools: n.Pools}
	for _, kind := range kinds {
		for _, t := range noticed[kind] {
			filter.Types = append(filter.Types, string(t))
		}
	}
	source := "pitcrew/" + a.owner()
	if n.Webhook == nil {
		return notify.Sink{Name: n.Name, Filter: filter, Sender: &notify.Exec{Command: n.Exec, Source: source}}
	}
	hook := &notify.Webhook{URL: n.Webhook.URL.Read, Source: source, Client: &http.Client{}, Timeout: n.Webhook.Timeout.Std()}
	if !n.Webhook.Secret.IsZero() {
		hook.Key = n.Webhook.Secret.Read
	}
	return notify.Sink{Name: n.Name, Filter: filter, Sender: hook}
}

// outbox shows the store's events as notices.
type outbox struct{ *store.Store }

var noticedTypes = func() []hygiene.EventType {
	var all []hygiene.EventType
	for _, types := range noticed {
		all = append(all, types...)
	}
	slices.Sort(all)
	return all
}()

// Notices implements [notify.Outbox].
func (o outbox) Notices(ctx context.Context, after int64, limit int) ([]notify.Notice, error) {
	events, err := o.Events(ctx, store.EventFilter{After: max(0, after), Types: noticedTypes, Limit: limit})
	if err != nil {
		return nil, err
	}
	notices := make([]notify.Notice, 0, len(events))
	for _, e := range events {
		notices = append(notices, notify.Notice{
			Position: e.ID, ID: o.Epoch() + "-" + strconv.FormatInt(e.ID, 10), Type: string(e.Type), Time: e.At,
			Subject: notify.Subject{Controller: string(e.Agent.Controller), Agent: e.Agent.Name, Pool: e.Pool},
			Summary: fmt.Sprintf("%s: %s: %s", e.Subject, e.Type, e.Reason),
			Before:  string(e.Before), After: string(e.After), Reason: e.Reason, Data: e.Data,
		})
	}
	return notices, nil
}

// Latest implements [notify.Outbox].
func (o outbox) Latest(ctx context.Context) (int64, error) {
	events, err := o.Events(ctx, store.EventFilter{Newest: true, Limit: 1})
	if err != nil || len(events) == 0 {
		return 0, err
	}
	return events[0].ID, nil
}
