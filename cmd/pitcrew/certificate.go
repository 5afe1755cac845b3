// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

func (c *cli) certificateCommand() *cobra.Command {
	var o connection
	var f format
	cmd := &cobra.Command{
		Use:   "certificate BUILD-URL",
		Short: "Say how clean the agent was that a build got",
		Long: `Say how clean the agent was when a build took it: cleaned when, by which revision of
which recipe, in which attempt, and how that was proved. The address of any page of
the build will do.

Ends with code 3 where there is no certificate, or where it is void: something is
known by now to have run on the agent before the build.`,
		Example: "  pitcrew certificate https://jenkins.example.org/job/app/17/",
		Args:    one("address of a build"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			found, err := d.Certificates(ctx, args[0])
			if err != nil {
				return err
			}
			if f.structured() {
				err = c.print(f, found)
			} else if len(found) == 0 {
				fmt.Fprintln(c.err, "There is no certificate: the build took no agent that was clean, or it is older than the retention.")
			} else {
				_, err = io.WriteString(c.out, c.certificates(found))
			}
			if err != nil {
				return err
			}
			if len(found) == 0 || slices.ContainsFunc(found, func(x api.Certificate) bool { return x.Contaminated != "" }) {
				return notWell
			}
			return nil
		}),
	}
	f.flag(cmd, formatText, formatJSON, formatYAML)
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) certificates(found []api.Certificate) string {
	parts := make([]string, len(found))
	for i, x := range found {
		void := ""
		if x.Contaminated != "" {
			void = c.paint(red, "void: "+x.Contaminated)
		}
		parts[i] = describe([]fact{
			{"Build", x.Build},
			{"Agent", x.Controller + "/" + x.Agent},
			{"Cleaned", c.moment(x.Cleaned)},
			{"Used", c.moment(x.Used)},
			{"Recipe", x.Recipe + " " + short(x.Revision)},
			{"Attempt", fmt.Sprintf("%d of the agent, id %d", x.Attempt, x.AttemptID)},
			{"Ran", strings.TrimSpace(x.Ran + " " + x.Depth + " by " + x.Delivery + " " + x.By)},
			{"Proof", x.Proof},
			{"But", void},
		}, c.width())
	}
	return strings.Join(parts, "\n")
}
