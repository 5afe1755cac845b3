// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

func (c *cli) rolloutCommand() *cobra.Command {
	return noun("rollout", "Look after new revisions of recipes", `Look after the way of new recipe revisions to the agents of pools that roll out: to a
few agents first, then to shares of the pool, as long as the evidence is good. A new
revision starts by itself. See docs/rollout.md.`,
		c.rolloutStatusCommand(), c.rolloutStartCommand(),
		c.rolloutPromoteCommand(),
		c.rolloutOrder("pause", "Keep further agents from getting the new revision", `Keep further agents from getting the new revision. Those that have it keep it, so that
they can be looked at.`, (*daemon).PauseRollout),
		c.rolloutOrder("resume", "Go on where it was paused", `Go on where it was paused. The stage begins anew: what was held against the revision
before is forgotten.`, (*daemon).ResumeRollout),
		c.rolloutOrder("rollback", "Give all agents the old revision again", `Give all agents the old revision again, each with its next cleanup. Also after the
rollout is done, as long as no newer one was started.`, (*daemon).RollBackRollout),
		c.rolloutRehearsedCommand())
}

func (c *cli) rolloutStatusCommand() *cobra.Command {
	var o connection
	var f format
	cmd := &cobra.Command{
		Use:   "status [POOL]",
		Short: "Show stage, evidence and blames",
		Long: `Show the newest rollout of each pool that rolls out; of one pool with the evidence, with
what failures are blamed on, and with what the next decision waits for.`,
		Example: "  pitcrew rollout status\n  pitcrew rollout status el9",
		Args:    atMostOne("pool"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			if len(args) == 1 {
				r, err := d.Rollout(ctx, args[0])
				return orElse(err, func() error { return c.showRollout(f, r) })
			}
			all, err := d.Rollouts(ctx)
			if err != nil || f.structured() {
				return orElse(err, func() error { return c.print(f, all) })
			}
			if len(all) == 0 {
				fmt.Fprintln(c.err, "No pool rolls out; the section rollout of a pool in the configuration makes it do so.")
				return nil
			}
			_, err = io.WriteString(c.out, c.rolloutTable(all))
			return err
		}),
	}
	f.flag(cmd, formatTable, formatJSON, formatYAML)
	o.flags(cmd, usualTimeout)
	return cmd
}

func atMostOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("want one %s or none, got %d", what, len(args))
		}
		return nil
	}
}

func (c *cli) rolloutStartCommand() *cobra.Command {
	var o connection
	var f format
	var revision, reason string
	cmd := &cobra.Command{
		Use:   "start POOL",
		Short: "Begin to roll a revision out",
		Long: `Begin to roll a revision out: one that was rolled back, or one of before. Revisions that
are new begin by themselves.`,
		Example: "  pitcrew rollout start el9\n  pitcrew rollout start el9 --revision 4591526002aa -r 'the mirror is back'",
		Args:    one("pool"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			r, err := d.StartRollout(ctx, args[0], revision, reason)
			return orElse(err, func() error { return c.showRollout(f, r) })
		}),
	}
	cmd.Flags().StringVar(&revision, "revision", "", "which, or how it begins; what the recipe is now if not given")
	c.rolloutFlags(cmd, &o, &f, &reason)
	return cmd
}

func (c *cli) rolloutPromoteCommand() *cobra.Command {
	var o connection
	var f format
	var p api.Promotion
	cmd := &cobra.Command{
		Use:   "promote POOL",
		Short: "Go on by one stage or share",
		Long: `Go on by one stage or share, whatever the evidence says. A rollout that is paused is
resumed first, or rolled back.

It goes on from what you have seen, and from nothing else: where the evidence has
promoted it meanwhile, nothing happens. On a terminal it is shown, and you are asked.
A script says with --revision and --from what it has seen.`,
		Example: "  pitcrew rollout promote el9\n  pitcrew rollout promote el9 --revision 4591526002aa --from 'share 10%'",
		Args:    one("pool"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			if err := c.seen(ctx, d, args[0], &p); err != nil {
				return err
			}
			r, err := d.PromoteRollout(ctx, args[0], p)
			return orElse(err, func() error { return c.showRollout(f, r) })
		}),
	}
	cmd.Flags().StringVar(&p.Revision, "revision", "", "that is promoted, or how it begins")
	cmd.Flags().StringVar(&p.Where, "from", "", "the stage that it is promoted from, with its share, as rollout status shows it")
	c.rolloutFlags(cmd, &o, &f, &p.Reason)
	return cmd
}

// seen is what is to be promoted, as the flags say, or else as a person on the terminal is shown it.
func (c *cli) seen(ctx context.Context, d *daemon, pool string, p *api.Promotion) error {
	switch {
	case p.Revision != "" && p.Where != "":
		return nil
	case p.Revision != "" || p.Where != "":
		return usage("give both --revision and --from, or neither")
	}
	r, err := d.Rollout(ctx, pool)
	switch {
	case err != nil:
		return err
	case r.Number == 0:
		return exit(exitFailed, fmt.Errorf("promote rollout of pool %s: it has had none", pool))
	case !c.interactive():
		return usage("nobody can be asked here: say with --revision and --from what is promoted, as rollout status shows it")
	}
	p.Revision, p.Where = r.To, r.Where
	return c.confirm(ctx, fmt.Sprintf("Revision %s of pool %s is at %s: %s. Promote it from there?", short(r.To), pool, r.Where, waits(&r)))
}

// rolloutOrder makes the command of an order that takes a pool and no more.
func (c *cli) rolloutOrder(verb, short, long string, give func(*daemon, context.Context, string, string) (api.Rollout, error)) *cobra.Command {
	var o connection
	var f format
	var reason string
	cmd := &cobra.Command{
		Use: verb + " POOL", Short: short, Long: long,
		Example: "  pitcrew rollout " + verb + " el9 --reason 'seen by the team'",
		Args:    one("pool"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			r, err := give(d, ctx, args[0], reason)
			return orElse(err, func() error { return c.showRollout(f, r) })
		}),
	}
	c.rolloutFlags(cmd, &o, &f, &reason)
	return cmd
}

func (c *cli) rolloutFlags(cmd *cobra.Command, o *connection, f *format, reason *string) {
	cmd.Flags().StringVarP(reason, "reason", "r", "", "why, for the audit trail")
	f.flag(cmd, formatText, formatJSON, formatYAML)
	o.flags(cmd, usualTimeout)
}

func (c *cli) rolloutRehearsedCommand() *cobra.Command {
	var o connection
	var f format
	var result api.RehearsalResult
	var failed bool
	cmd := &cobra.Command{
		Use:   "rehearsed POOL",
		Short: "Tell what a rehearsal of a revision came to",
		Long: `Tell what a rehearsal of a revision came to. Where the pool's policy wants one, the
revision goes to no agent before it has passed. It may be told before the pool's recipe
has come to that revision: then give the whole of it.`,
		Example: "  pitcrew rollout rehearsed el9 --revision 4591526002aa --passed",
		Args:    one("pool"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			switch {
			case result.Revision == "":
				return usage("--revision is required: of what was it a rehearsal?")
			case result.Passed == failed:
				return usage("give --passed or --failed")
			}
			r, err := d.ReportRehearsal(ctx, args[0], result)
			return orElse(err, func() error { return c.showRollout(f, r) })
		}),
	}
	cmd.Flags().StringVar(&result.Revision, "revision", "", "that was rehearsed (required)")
	cmd.Flags().BoolVar(&result.Passed, "passed", false, "it passed")
	cmd.Flags().BoolVar(&failed, "failed", false, "it failed")
	cmd.Flags().StringVar(&result.Report, "report", "", "what it found, or where that is")
	f.flag(cmd, formatText, formatJSON, formatYAML)
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) rolloutTable(all []api.Rollout) string {
	rows := make([][]string, len(all))
	for i := range all {
		r := &all[i]
		got := fmt.Sprintf("%d/%d", r.Agents.New, r.Agents.Total)
		why := waits(r)
		if r.Number == 0 {
			got, why = "-", ""
		}
		rows[i] = []string{r.Pool, c.paintStage(r.Stage, r.Where), dash(short(r.From)), dash(short(r.To)), got, c.since(r.Since), oneLine(why)}
	}
	return tabular([]string{"POOL", "STAGE", "FROM", "TO", "HAVE", "FOR", "WHY"}, rows, c.width())
}

// waits is what the next decision waits for, or why there is none, without the stage that is shown beside it.
func waits(r *api.Rollout) string {
	why := strings.TrimPrefix(r.Waits, r.Where)
	return strings.TrimPrefix(strings.TrimPrefix(why, " by "+r.By), ": ")
}

func (c *cli) paintStage(stage, where string) string {
	switch stage {
	case "paused":
		return c.paint(yellow, where)
	case "rolled back":
		return c.paint(red, where)
	case "done":
		return c.paint(green, where)
	}
	return where
}

// showRollout shows one rollout with its evidence.
func (c *cli) showRollout(f format, r api.Rollout) error {
	if f.structured() {
		return c.print(f, r)
	}
	var b strings.Builder
	facts := []fact{{"Pool", r.Pool}, {"Stage", c.paintStage(r.Stage, r.Where)}}
	if r.Number == 0 {
		facts = append(facts, fact{"Pins", short(r.Pinned)})
	} else {
		decision := waits(&r)
		if decision == r.Reason { // a decision that was carried out, or a person's word
			decision = ""
		}
		facts = append(facts,
			fact{"Rollout", fmt.Sprintf("%d, from %s to %s", r.Number, short(r.From), short(r.To))},
			fact{"Started", c.moment(r.Started)}, fact{"In stage", "for " + c.since(r.Since) + ", by " + r.By}, fact{"Reason", r.Reason},
			fact{"Decision", decision},
			fact{"Canaries", strings.Join(r.Canaries, ", ")}, fact{"Shares", percents(r.Shares)},
			fact{"Agents", fmt.Sprintf("%d of %d have it, and %d are to", r.Agents.New, r.Agents.Total, r.Agents.Wants)},
			fact{"Rehearsal", strings.TrimSuffix(r.Rehearsal+": "+r.Report, ": ")})
	}
	if r.Offered != r.Pinned && r.Offered != r.To {
		facts = append(facts, fact{"Recipe", "is revision " + short(r.Offered) + " now"})
	}
	b.WriteString(describe(facts, c.width()))
	if r.Cleanups.New.Ran+r.Cleanups.Old.Ran+r.Builds.New.Ran+r.Builds.Old.Ran > 0 {
		b.WriteString(c.section("Evidence of this stage", tabular([]string{"", "NEW", "OLD", "FAILED ON"}, [][]string{
			{"cleanups", ranText(r.Cleanups.New), ranText(r.Cleanups.Old), few(r.Cleanups.New.On)},
			{"builds", ranText(r.Builds.New), ranText(r.Builds.Old), few(r.Builds.New.On)},
		}, c.narrow())))
	}
	for i := range r.Blames {
		b.WriteString(c.blameText(&r.Blames[i]))
	}
	_, err := io.WriteString(c.out, b.String())
	return err
}

func percents(shares []int) string {
	var all []string
	for _, s := range shares {
		all = append(all, fmt.Sprintf("%d%%", s))
	}
	return strings.Join(all, ", ")
}

func ranText(n api.RolloutCount) string {
	if n.Ran == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d failed", n.Failed, n.Ran)
}

// few names some of the agents.
func few(names []string) string {
	const most = 3
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// mostFailures is how many failures of a blame are shown: the newest.
const mostFailures = 5

func (c *cli) blameText(b *api.RolloutBlame) string {
	title := "Blamed: " + b.Culprit
	switch b.Culprit {
	case "revision":
		title += " " + short(b.Revision)
	case "agent":
		title += " " + b.Agent
	case "nobody":
		title = "Nobody is blamed yet"
	case "surroundings":
		title = "Blamed: what agents share"
	}
	rows := [][]string{}
	for _, f := range b.Failures[max(0, len(b.Failures)-mostFailures):] {
		rows = append(rows, []string{c.since(f.At) + " ago", f.Agent, short(f.Revision), dash(f.Step)})
	}
	body := describe([]fact{{"Why", b.Reason}, {"Follows", b.Then}}, c.narrow())
	if more := len(b.Failures) - len(rows); more > 0 {
		body += describe([]fact{{"Failures", fmt.Sprintf("%d, the newest:", len(b.Failures))}}, c.narrow())
	}
	return c.section(title, body+tabular([]string{"FAILED", "AGENT", "REVISION", "STEP"}, rows, c.narrow()))
}
