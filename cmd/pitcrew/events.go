// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func (c *cli) eventsCommand() *cobra.Command {
	var o connection
	var q api.EventQuery
	var f format
	var agent string
	var follow bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show the audit trail",
		Long: `Show the audit trail: who or what did what to which agent, and why. The newest events
come last; --follow goes on with those that happen, until Ctrl-C, and misses none when
the daemon restarts.

With -o json each event is one line.`,
		Example: `  pitcrew events --agent el9-7
  pitcrew events --follow --type agent.quarantined,build.contaminated
  pitcrew events --follow --limit 0 -o json`,
		Args: none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			if err := d.narrowTo(ctx, agent, &q.Controller, &q.Agent); err != nil {
				return err
			}
			return c.showEvents(ctx, d, q, f, follow)
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with events as they happen")
	choosing(cmd, &q.Type, "type", "only events of these types", eventTypes()...)
	cmd.Flags().StringVar(&agent, "agent", "", "only events of this agent")
	cmd.Flags().StringVar(&q.Controller, "controller", "", "only events of this controller")
	cmd.Flags().StringVar(&q.Pool, "pool", "", "only events of this pool")
	limited(cmd, &q.Limit, "most events of the past to show")
	c.offerForAgent(cmd, &o)
	c.offerScopes(cmd, &o)
	f.flag(cmd, formatText, formatJSON)
	o.flags(cmd, usualTimeout)
	return cmd
}

func eventTypes() []string {
	types := hygiene.EventTypes()
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = string(t)
	}
	return out
}

func (c *cli) showEvents(ctx context.Context, d *daemon, q api.EventQuery, f format, follow bool) error {
	past, err := c.pastEvents(ctx, d, q, follow)
	if err == nil && len(past) == 0 {
		err = d.known(ctx, q.Controller, q.Pool)
	}
	if err != nil {
		return err
	}
	var columns eventColumns
	if q.Limit != 0 {
		columns = c.columnsOf(past)
	}
	last := int64(0)
	for _, e := range past {
		last = e.ID
		if q.Limit == 0 {
			break // only to know where to begin
		}
		if err := c.showEvent(e, f, &columns); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	for e, err := range d.Watch(ctx, q.EventSelect, last) {
		if err == nil {
			err = c.showEvent(e, f, &columns)
		}
		if err != nil {
			return err
		}
	}
	return nil // only Ctrl-C ends it otherwise
}

// pastEvents returns the newest events, oldest first. With limit 0 it is the newest one of all, so
// that following begins after it, and none is shown twice.
func (c *cli) pastEvents(ctx context.Context, d *daemon, q api.EventQuery, follow bool) ([]api.Event, error) {
	if q.Limit == 0 {
		if !follow {
			return nil, nil
		}
		q.Limit, q.EventSelect = 1, api.EventSelect{}
	}
	past, err := collect(d.Events(ctx, q))
	slices.Reverse(past)
	return past, err
}

func (c *cli) showEvent(e api.Event, f format, columns *eventColumns) error {
	if f.structured() {
		return c.line(e)
	}
	columns.fit(c, e)
	_, err := io.WriteString(c.out, c.eventLine(e, c.width(), *columns))
	return err
}

// eventColumns are how wide the first columns of events are. They grow with the events that are followed.
type eventColumns struct{ at, kind, subject int }

// widestSubject keeps one long name from taking the room of all reasons.
const widestSubject = 24

func (w *eventColumns) fit(c *cli, e api.Event) {
	w.at, w.kind = max(w.at, len(c.brief(e.At))), max(w.kind, len(e.Type))
	if n := text.StringWidthWithoutEscSequences(e.Subject); n <= widestSubject {
		w.subject = max(w.subject, n)
	}
}

func (c *cli) columnsOf(events []api.Event) (w eventColumns) {
	for _, e := range events {
		w.fit(c, e)
	}
	return w
}

// eventLine is one line, cut at width columns; 0 cuts nothing and leaves nothing out.
func (c *cli) eventLine(e api.Event, width int, w eventColumns) string {
	parts := []string{stamp(e.At), c.paint(eventColours[hygiene.EventType(e.Type)], text.Pad(e.Type, w.kind, ' '))}
	if width > 0 {
		parts[0] = text.Pad(c.brief(e.At), w.at, ' ')
	}
	if w.subject > 0 {
		parts = append(parts, text.Pad(e.Subject, w.subject, ' '))
	}
	if e.Actor != "pitcrew" && e.Actor != "" {
		parts = append(parts, "by "+e.Actor)
	}
	line := strings.Join(parts, "  ")
	if e.Reason != "" {
		line += "  " + oneLine(e.Reason)
	}
	if width > 0 {
		line = snip(line, width)
	}
	return strings.TrimRight(harmless(line), " ") + "\n"
}

// eventColours are for what is good or bad news; most is neither.
var eventColours = map[hygiene.EventType]colour{
	hygiene.EventGranted: green, hygiene.EventAlive: green, hygiene.EventEnough: green, hygiene.EventBreakerShut: green,
	hygiene.EventLost: yellow, hygiene.EventLosing: yellow, hygiene.EventDisputed: yellow, hygiene.EventGivenBack: yellow, hygiene.EventHeld: yellow, hygiene.EventPaused: yellow,
	hygiene.EventFailed: red, hygiene.EventQuarantined: red, hygiene.EventContaminated: red, hygiene.EventDead: red, hygiene.EventShort: red,
	hygiene.EventBuildsBad: red, hygiene.EventBuildsGood: green, hygiene.EventUnread: red, hygiene.EventPoolUnread: red,
	hygiene.EventRead: green, hygiene.EventPoolRead: green,
	hygiene.EventStuck: red, hygiene.EventPoolStuck: red, hygiene.EventUnstuck: green, hygiene.EventPoolUnstuck: green,
	hygiene.EventRolloutDone: green, hygiene.EventRolloutPaused: yellow, hygiene.EventRolloutRolledBack: red, hygiene.EventRolloutBlamed: red,
	hygiene.EventBreakerOpen: red, hygiene.EventRival: red, hygiene.EventConfig: red, hygiene.EventSlot: red,
}
