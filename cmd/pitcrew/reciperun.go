// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

func (c *cli) recipeRunCommand() *cobra.Command {
	r := recipe.Runner{Phases: "all"}
	var yes bool
	depth := string(recipe.Standard)
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a recipe on this machine",
		Long: `Run a recipe on this machine, now, as the user that you are: it does here what it says.
The output comes as it is made; Ctrl-C stops the step in progress with all its
processes and removes what was unpacked.

It ends with the code of the program: 0 unless the cleanup failed (1), was refused
(78), or found no place to unpack itself (74).`,
		Example: "  pitcrew recipe run recipes/linux.yaml --yes\n  pitcrew recipe run recipes/linux.yaml --labels 'el9 big' --phases verify",
		Args:    one("recipe"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := c.program(args[0])
			if err != nil {
				return err
			}
			if r.Phases == "all" && !yes {
				if err := c.confirm(cmd.Context(), "This cleans this machine as "+args[0]+" says. Go on?"); err != nil {
					return err
				}
			}
			r.Output, r.Depth = c.out, recipe.Depth(depth)
			return c.runRecipe(cmd.Context(), r, p)
		},
	}
	cmd.Flags().StringVar(&r.Agent, "agent", "", "name of the agent that this machine serves (default: the host's name)")
	cmd.Flags().StringSliceVar(&r.Labels, "labels", nil, "labels of the agent, for the conditions of steps")
	choose(cmd, &r.Phases, "phases", "what to run", "all", "verify")
	chooseDepth(cmd, &depth)
	cmd.Flags().StringVar(&r.Shell, "shell", "", "shell to run it with (default: sh)")
	cmd.Flags().BoolVar(&r.Reboot, "reboot", false, "let it reboot this machine when a step asks for it")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// chooseDepth lets people say how deep to clean.
func chooseDepth(cmd *cobra.Command, depth *string) {
	choose(cmd, depth, "depth", "how deep to clean", string(recipe.Light), string(recipe.Standard), string(recipe.Deep))
}

// runRecipe passes the program's output and exit code on.
func (c *cli) runRecipe(ctx context.Context, r recipe.Runner, p *recipe.Program) error {
	r.Labels = words(r.Labels)
	ran, err := r.Run(ctx, p)
	var bad *recipe.ReportError
	switch {
	case errors.As(err, &bad) && ran.Exit > 0:
		return exit(ran.Exit, fmt.Errorf("the program ended with code %d: %w", ran.Exit, err))
	case err != nil:
		return err
	}
	fmt.Fprintf(c.err, "%s in %s%s\n", ran.Report.Outcome, ran.Report.Duration(), because(beside(string(ran.Report.Outcome), ran.Report.Reason)))
	if ran.Exit != 0 {
		return exit(ran.Exit, errSilent)
	}
	return nil
}

// words splits values at blanks as well: labels have none.
func words(values []string) []string { return strings.Fields(strings.Join(values, " ")) }

func (c *cli) recipePlanCommand() *cobra.Command {
	var facts recipe.Facts
	depth := string(recipe.Standard)
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Show what a recipe would do, without doing it",
		Long: `Show which steps of a recipe would run, and why the others would not. Without facts the
program itself looks at this machine, and changes nothing; below each step that has a
goal stands what would go or be changed, as far as you may see it. With any fact it is
told which steps would run on a machine that has these facts and no others.`,
		Example: `  pitcrew recipe plan recipes/linux.yaml --labels 'el9 big'
  pitcrew recipe plan linux.yaml --os linux=3.10,rhel,centos=7.9 --arch s390x`,
		Args: one("recipe"),
		RunE: func(cmd *cobra.Command, args []string) error {
			facts.Labels = words(facts.Labels)
			if slices.ContainsFunc(machineFlags, cmd.Flags().Changed) {
				if err := facts.Complete(); err != nil {
					return usage("--%w", err)
				}
				r, err := c.loadRecipe(args[0])
				if err != nil {
					return err
				}
				for _, word := range r.Misspelt(facts) {
					fmt.Fprintf(c.err, "No step asks for %s\n", word)
				}
				return c.showPlanned(r.Plan(facts, recipe.Depth(depth)))
			}
			p, err := c.program(args[0])
			if err != nil {
				return err
			}
			return p.PlanHere(cmd.Context(), facts.Labels, recipe.Depth(depth), c.out)
		},
	}
	cmd.Flags().StringSliceVar(&facts.Labels, "labels", nil, "labels of the agent")
	chooseDepth(cmd, &depth)
	cmd.Flags().StringSliceVar(&facts.OS, "os", nil, "words for the system, with versions, such as linux=3.10,rhel,centos=7.9")
	cmd.Flags().StringVar(&facts.Arch, "arch", "", "machine, as uname -m names it")
	choosing(cmd, &facts.Virtualisation, "virtualisation", "what the machine is: none, vm, or what kind of vm, such as kvm", recipe.Virtualisations()...)
	choose(cmd, &facts.PackageManager, "package-manager", "what installs packages", recipe.PackageManagers()...)
	cmd.Flags().BoolVar(&facts.Container, "container", false, "the program runs in a container")
	cmd.Flags().StringSliceVar(&facts.Tools, "tools", nil, "commands that are there")
	cmd.Flags().BoolVar(&facts.Root, "root", false, "the program runs as root")
	cmd.Flags().BoolVar(&facts.Sudo, "sudo", false, "sudo works without a password")
	return cmd
}

// machineFlags are the flags that describe another machine than this one.
var machineFlags = []string{"os", "arch", "virtualisation", "package-manager", "container", "tools", "root", "sudo"}

func (c *cli) showPlanned(steps []recipe.Planned) error {
	rows := make([][]string, len(steps))
	for i, s := range steps {
		runs := c.paint(green, "runs")
		switch {
		case s.Fails:
			runs = c.paint(red, "fails")
		case !s.Runs:
			runs = c.paint(faint, "skipped")
		}
		rows[i] = []string{string(s.Phase), s.Name, runs, s.Limits.Timeout.String(), s.Why}
	}
	_, err := fmt.Fprint(c.out, tabular([]string{"PHASE", "STEP", "WOULD BE", "LIMIT", "WHY NOT"}, rows, c.width()))
	return err
}
