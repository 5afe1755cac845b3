// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
)

// scope is what a pause is about: all, unless one of the two is given.
type scope struct{ controller, pool string }

func (s *scope) flags(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&s.controller, "controller", "", what+" of this controller only")
	cmd.Flags().StringVar(&s.pool, "pool", "", what+" of this pool only")
}

// check refuses two scopes at once.
func (s *scope) check() error {
	if s.controller != "" && s.pool != "" {
		return usage("give --controller or --pool, not both")
	}
	return nil
}

// String spells the scope as the API does.
func (s *scope) String() string {
	switch {
	case s.controller != "":
		return "controller:" + s.controller
	case s.pool != "":
		return "pool:" + s.pool
	}
	return "all"
}

// spoken is the scope for people.
func (s *scope) spoken() string {
	if s.controller+s.pool == "" {
		return "everything"
	}
	return s.String()
}

func (c *cli) pauseCommand() *cobra.Command {
	var o connection
	var s scope
	var reason string
	var l lasting
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Start no new cleanups",
		Long: `Start no new cleanups, anywhere or in one controller or pool, until "pitcrew resume"
or until the time is up. Cleanups in progress go on; agents that are clean stay in
service.`,
		Example: "  pitcrew pause --reason 'mirror is down' --for 2h\n  pitcrew pause --pool el7 --reason 'recipe is being mended'",
		Args:    none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			if err := s.check(); err != nil {
				return err
			}
			if oneLine(reason) == "" {
				return errNoReason
			}
			p, err := d.Pause(ctx, s.String(), reason, l.Std())
			if err != nil {
				return cmp.Or(d.known(ctx, s.controller, s.pool), err)
			}
			until := `until "pitcrew resume"`
			if !p.Until.IsZero() {
				until = "until " + stamp(p.Until)
			}
			fmt.Fprintf(c.err, "Paused %s %s.\n", p.Scope, until)
			return nil
		}),
	}
	s.flags(cmd, "pause cleanups")
	cmd.Flags().StringVarP(&reason, "reason", "r", "", "why (required)")
	cmd.Flags().Var(&l, "for", "end by itself after this time, such as 90m, 36h or 7d")
	c.offerScopes(cmd, &o)
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) resumeCommand() *cobra.Command {
	var o connection
	var s scope
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Start cleanups again",
		Long: `End a pause. Each is ended as it was begun: "pitcrew resume" ends the pause of
everything and no other; "pitcrew pauses" lists them.`,
		Example: "  pitcrew resume\n  pitcrew resume --pool el7",
		Args:    none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			if err := s.check(); err != nil {
				return err
			}
			err := d.Resume(ctx, s.String())
			if client.IsNotFound(err) {
				return cmp.Or(d.known(ctx, s.controller, s.pool), fmt.Errorf("there is no pause of %s; \"pitcrew pauses\" lists those that there are", s.spoken()))
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(c.err, "Resumed %s.\n", s.String())
			return nil
		}),
	}
	s.flags(cmd, "resume cleanups")
	c.offerScopes(cmd, &o)
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) pausesCommand() *cobra.Command {
	var o connection
	var f format
	cmd := &cobra.Command{
		Use:   "pauses",
		Short: "List pauses in force",
		Args:  none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			found, err := d.Pauses(ctx)
			if err != nil || f.structured() {
				return orElse(err, func() error { return c.print(f, found) })
			}
			if len(found) == 0 {
				fmt.Fprintln(c.err, "Nothing is paused.")
				return nil
			}
			_, err = io.WriteString(c.out, c.pauseTable(found))
			return err
		}),
	}
	f.flag(cmd, formatTable, formatJSON, formatYAML)
	c.offerScopes(cmd, &o)
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) pauseTable(found []api.Pause) string {
	rows := make([][]string, len(found))
	for i, p := range found {
		left := "resume"
		if !p.Until.IsZero() {
			left = remaining(p.Until.Sub(c.now()))
		}
		rows[i] = []string{p.Scope, c.since(p.Since), left, p.By, oneLine(p.Reason)}
	}
	return tabular([]string{"SCOPE", "FOR", "UNTIL", "BY", "REASON"}, rows, c.width())
}

// orElse goes on with f unless there is an error already.
func orElse(err error, f func() error) error {
	if err != nil {
		return err
	}
	return f()
}
