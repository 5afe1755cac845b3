// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
)

const (
	// watchPause is the shortest time between two looks: events come in bursts.
	watchPause = 300 * time.Millisecond
	// watchPoll is the longest: ages go on, and some changes have no event.
	watchPoll = 3 * time.Second
)

// watchAgents shows agents until ctx ends, which is no failure.
func (c *cli) watchAgents(ctx context.Context, d *daemon, q api.AgentQuery, f format) error {
	if f.value == formatYAML || f.value == formatName {
		return usage("--watch shows table, wide or json, not %s", f.value)
	}
	show := c.changesOf(f)
	if isTerminal(c.out) && f.value != formatJSON {
		show = c.redrawn(f)
	}
	g, watchCtx := errgroup.WithContext(ctx)
	changed := make(chan struct{}, 1)
	g.Go(func() error { return notice(watchCtx, d, q, changed) })
	g.Go(func() error {
		var agents []api.Agent // as they were seen last
		var answered time.Time
		for {
			found, old, err := c.lookAt(watchCtx, d, q)
			switch {
			case err == nil:
				agents, answered = found, time.Now()
			case client.IsPassing(err) && watchCtx.Err() == nil && time.Since(answered) <= restartTime:
				old = []string{"The daemon does not answer; it is asked again."}
			default:
				return err
			}
			if err := show(agents, old); err != nil {
				return err
			}
			if err := nextLook(watchCtx, changed); err != nil {
				return err
			}
		}
	})
	if err := g.Wait(); ctx.Err() == nil {
		return err
	}
	return nil
}

// lookAt returns agents, and of which controllers they are old.
func (c *cli) lookAt(ctx context.Context, d *daemon, q api.AgentQuery) (agents []api.Agent, old []string, err error) {
	if agents, err = collect(d.Agents(ctx, q)); err != nil {
		return nil, nil, err
	}
	old, err = c.unseen(ctx, d, q.Controller)
	return agents, old, err
}

// notice tells of events, of which several may become one.
func notice(ctx context.Context, d *daemon, q api.AgentQuery, changed chan<- struct{}) error {
	for _, err := range d.Watch(ctx, api.EventSelect{Controller: q.Controller}, -1) {
		if err != nil {
			return err
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	return ctx.Err()
}

// nextLook waits until it is worth looking again.
func nextLook(ctx context.Context, changed <-chan struct{}) error {
	if err := pause(ctx, watchPause); err != nil {
		return err
	}
	t := time.NewTimer(watchPoll)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// redrawn shows the whole table in the same place, as much as the terminal has room for.
func (c *cli) redrawn(f format) func([]api.Agent, []string) error {
	return func(agents []api.Agent, old []string) error {
		head := append([]string{fmt.Sprintf("%s, %s. Ctrl-C ends.", c.now().Format("15:04:05"), tally(agents))}, old...)
		lines := strings.SplitAfter(wrap(strings.Join(head, "\n"), c.width())+"\n\n"+c.agentTable(agents, f.wide(), c.tableWidth(f)), "\n")
		if room := c.height() - 1; room > 0 && len(lines) > room {
			hidden := len(lines) - room
			lines = append(lines[:room-1], fmt.Sprintf("and %d more\n", hidden))
		}
		_, err := io.WriteString(c.out, "\x1b[H\x1b[2J"+strings.Join(lines, ""))
		return err
	}
}

// tally counts agents by state.
func tally(agents []api.Agent) string {
	counts := map[string]int{}
	for _, a := range agents {
		counts[a.Hygiene]++
	}
	parts := []string{count(len(agents), "agent")}
	for _, state := range allHygiene {
		if counts[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
		}
	}
	return strings.Join(parts, ", ")
}

// changesOf shows each agent once, and again when it has changed: a line for each, for logs and
// programs.
func (c *cli) changesOf(f format) func([]api.Agent, []string) error {
	type key struct{ controller, name string }
	known := map[key]api.Agent{}
	return func(agents []api.Agent, _ []string) error {
		for _, a := range agents {
			k := key{a.Controller, a.Name}
			before, seen := known[k]
			known[k] = a
			if seen && same(before, a) {
				continue
			}
			if err := c.changeLine(a, f); err != nil {
				return err
			}
		}
		return nil
	}
}

// same reports whether nothing that a person would notice differs.
func same(a, b api.Agent) bool {
	a.Why, b.Why, a.NextLook, b.NextLook = "", "", time.Time{}, time.Time{}
	return reflect.DeepEqual(a, b)
}

func (c *cli) changeLine(a api.Agent, f format) error {
	if f.value == formatJSON {
		return c.line(a)
	}
	_, err := fmt.Fprintf(c.out, "%s  %-20s  %-11s  %-9s  %s\n", stamp(c.now()), fullName(a.Controller, a.Name), a.Hygiene, doing(a), c.why(a))
	return err
}
