// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
)

func (c *cli) slotsCommand() *cobra.Command {
	return noun("slots", "Look at the jobs that carry cleanups", `Look at the jobs that carry cleanups to agents. pitcrew makes as many as the controller
may run at once, and changes one field of each: the agent that it is for.`, c.slotsListCommand(), c.slotsResetCommand())
}

func (c *cli) slotsListCommand() *cobra.Command {
	var o connection
	var f format
	var controller string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List slots and what they do",
		Args:  none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			found, err := slotsOf(ctx, d, controller)
			if err != nil || f.structured() {
				return orElse(err, func() error { return c.print(f, found) })
			}
			if len(found) == 0 {
				fmt.Fprintln(c.err, "No slot was made yet.")
				return nil
			}
			_, err = io.WriteString(c.out, c.slotTable(found))
			return err
		}),
	}
	cmd.Flags().StringVar(&controller, "controller", "", "only slots of this controller")
	f.flag(cmd, formatTable, formatJSON, formatYAML)
	c.offerScopes(cmd, &o)
	o.flags(cmd, usualTimeout)
	return cmd
}

// slotsOf returns the slots of one controller, or of all for "".
func slotsOf(ctx context.Context, d *daemon, controller string) ([]api.Slot, error) {
	names, err := d.controllersFor(ctx, controller)
	if err != nil {
		return nil, err
	}
	found := []api.Slot{}
	for _, name := range names {
		slots, err := d.Slots(ctx, name)
		if err != nil {
			return nil, err
		}
		found = append(found, slots...)
	}
	return found, nil
}

func (c *cli) slotTable(found []api.Slot) string {
	rows := make([][]string, len(found))
	for i, s := range found {
		use := c.paint(green, "free")
		switch {
		case s.Refused != "":
			use = c.paint(red, "refused")
		case s.Agent != "":
			use = fmt.Sprintf("%s, attempt %d", s.Agent, s.Attempt)
		}
		rows[i] = []string{s.Controller, s.Job, short(s.Content), use, oneLine(s.Refused)}
	}
	head := []string{"CONTROLLER", "JOB", "PROGRAM", "USE", "REASON"}
	spare(head, rows, "USE", c.width())
	return tabular(head, rows, c.width())
}

func (c *cli) slotsResetCommand() *cobra.Command {
	var o connection
	var controller, reason string
	cmd := &cobra.Command{
		Use:   "reset JOB",
		Short: "Use a slot again that was refused",
		Long: `Use a slot again that was refused because somebody changed its job. The job is written
anew before its next use: what was changed there is lost.`,
		Example: "  pitcrew slots reset infra/pitcrew-3 --reason 'JJB does not touch it any more'",
		Args:    one("job"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			name, err := slotController(ctx, d, controller, args[0])
			if err != nil {
				return err
			}
			s, err := d.ResetSlot(ctx, name, args[0], reason)
			if client.IsNotFound(err) {
				return fmt.Errorf("controller %s has no slot %s; \"pitcrew slots list\" lists them", name, args[0])
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(c.err, "Slot %s of controller %s is used again.\n", s.Job, s.Controller)
			return nil
		}),
	}
	cmd.Flags().StringVar(&controller, "controller", "", "controller of the slot, where several have one of that name")
	cmd.Flags().StringVarP(&reason, "reason", "r", "", "why, for the audit trail")
	c.offerScopes(cmd, &o)
	o.flags(cmd, usualTimeout)
	return cmd
}

// slotController finds the controller of a slot, if only one has it.
func slotController(ctx context.Context, d *daemon, controller, job string) (string, error) {
	if controller != "" {
		return controller, nil
	}
	slots, err := slotsOf(ctx, d, "")
	if err != nil {
		return "", err
	}
	var found []string
	for _, s := range slots {
		if s.Job == job {
			found = append(found, s.Controller)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("there is no slot %s; \"pitcrew slots list\" lists them", job)
	case 1:
		return found[0], nil
	}
	return "", usage("several controllers have a slot %s: give --controller, one of %v", job, found)
}
