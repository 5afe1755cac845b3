// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

func (c *cli) agentCommand() *cobra.Command {
	var o connection
	var f format
	cmd := &cobra.Command{
		Use:   "agent NAME",
		Short: "Show the life of one agent",
		Long: `Show everything that is known of one agent: facts, what happens to it next and why,
its newest attempts and what they found, events and builds.

An agent that several controllers have is named CONTROLLER/NAME.`,
		Example:           "  pitcrew agent el9-7\n  pitcrew agent main/el9-7 -o json",
		Args:              one("agent"),
		ValidArgsFunction: c.offerAgents(&o, false),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			a, err := d.agent(ctx, args[0])
			if err != nil {
				return err
			}
			life, err := d.Agent(ctx, a.Controller, a.Name)
			if err != nil {
				return err
			}
			old, err := c.unseen(ctx, d, a.Controller)
			if err != nil {
				return err
			}
			defer c.note(old)
			if f.structured() {
				return c.print(f, life)
			}
			_, err = io.WriteString(c.out, c.life(life))
			return err
		}),
	}
	f.flag(cmd, formatText, formatJSON, formatYAML)
	o.flags(cmd, usualTimeout)
	return cmd
}

// life tells an agent's life to a person.
func (c *cli) life(a api.AgentDetail) string {
	var b strings.Builder
	b.WriteString(describe(c.agentFacts(a), c.width()))
	if a.Current != nil {
		b.WriteString(c.section("Cleanup in progress", describe(c.attemptFacts(*a.Current), c.narrow())))
	}
	b.WriteString(c.section("Attempts", c.attemptLines(a.Attempts)))
	b.WriteString(c.section("Residue", c.residueLines(a.Residue)))
	b.WriteString(c.section("Events", c.eventLines(a.Events)))
	b.WriteString(c.section("Builds", c.buildLines(a.Builds)))
	return b.String()
}

// narrow is the width inside a section.
func (c *cli) narrow() int {
	if w := c.width(); w > 0 {
		return w - len(gap)
	}
	return 0
}

func (c *cli) agentFacts(a api.AgentDetail) []fact {
	facts := []fact{
		{"Agent", fullName(a.Controller, a.Name)},
		{"Pool", cmp.Or(a.Pool, "none takes it")},
		{"State", c.stateText(a.Agent) + because(a.Reason)},
		{"Doing", a.Occupancy + because(cmp.Or(a.Build, a.Offline))},
		{"Next", a.Next + because(a.Why)},
		{"Next look", c.moment(a.NextLook)},
		{"Hold", c.holdText(a.Hold)},
		{"Quarantine", c.quarantineText(a.Quarantine)},
		{"Stuck", c.stuckText(a.Stuck)},
		{"Asked for", depthText(a.Depth)},
		{"Failures", failuresText(a.Failures)},
		{"Cleaned", cmp.Or(c.moment(a.LastCleaned), "never")},
		{"Labels", strings.Join(a.Labels, " ")},
		{"Machine", a.Machine},
	}
	if a.Used != nil {
		facts = append(facts, fact{"Used", c.moment(a.Used.At) + " by " + cmp.Or(a.Used.URL, "a build that is not known by name")})
	}
	return facts
}

func (c *cli) stateText(a api.Agent) string {
	if a.Since.IsZero() { // nothing is stored about it
		return c.state(a)
	}
	return c.state(a) + " for " + c.since(a.Since)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + oneLine(reason)
}

func depthText(depth string) string {
	if depth == "" {
		return ""
	}
	return "a " + depth + " cleanup"
}

func failuresText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d in a row", n)
}

func (c *cli) holdText(h *api.Hold) string {
	if h == nil {
		return ""
	}
	return fmt.Sprintf("by %s for %s, ends %s: %s", h.By, c.since(h.Since), cmp.Or(c.moment(h.Expires), "when it is released"), oneLine(h.Reason))
}

func (c *cli) quarantineText(q *api.Quarantine) string {
	if q == nil {
		return ""
	}
	until := ""
	if q.NextLook.IsZero() {
		until = ", until it is released"
	}
	return fmt.Sprintf("by %s for %s%s: %s", q.By, c.since(q.Since), until, oneLine(q.Reason))
}

func (c *cli) stuckText(s *api.Stuck) string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("for %s: %s", c.since(s.Since), oneLine(s.Reason))
}

// shownOfAgent is how much of each list a person sees; the lists of their own show the rest.
const shownOfAgent = 8

func (c *cli) attemptLines(attempts []api.Attempt) string {
	if len(attempts) == 0 {
		return ""
	}
	return c.attemptTable(attempts[:min(len(attempts), shownOfAgent)], false, c.narrow())
}

// eventLines are in the order in which they happened.
func (c *cli) eventLines(events []api.Event) string {
	events = slices.Clone(events[:min(len(events), shownOfAgent)])
	slices.Reverse(events)
	for i := range events {
		events[i].Subject = "" // it is this agent
	}
	var b strings.Builder
	for _, e := range events {
		b.WriteString(c.eventLine(e, c.narrow(), c.columnsOf(events)))
	}
	return b.String()
}

func (c *cli) buildLines(builds []api.Build) string {
	if len(builds) == 0 {
		return ""
	}
	return c.buildTable(builds[:min(len(builds), shownOfAgent)], false, c.narrow())
}
