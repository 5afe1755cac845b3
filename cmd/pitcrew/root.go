// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// streams are where a command reads and writes; tests give their own.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// cli is what the commands share: where they read and write, and what surrounds them.
type cli struct {
	streams
	getenv func(string) string
	now    func() time.Time // what ages are counted from
}

// run is the whole command; it returns the exit code.
func run(ctx context.Context, args []string, s streams) int {
	c := &cli{streams: s, getenv: os.Getenv, now: time.Now}
	return c.run(ctx, args)
}

func (c *cli) run(ctx context.Context, args []string) int {
	root := c.root() //nolint:contextcheck // commands get the context from cobra
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	switch told, ok := errors.AsType[*exitError](err); {
	case ok && told.code == exitInterrupted:
		err = told // what an interrupted command has to say, without that it was interrupted
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = exit(exitInterrupted, errSilent)
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(c.err, "pitcrew: "+harmless(text))
	}
	return codeOf(err)
}

// The groups of commands, in the order of help.
const (
	groupStart   = "start"
	groupAgents  = "agents"
	groupFleet   = "fleet"
	groupRecipes = "recipes"
	groupDaemon  = "daemon"
)

// root assembles the command line.
func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "pitcrew",
		Short: "Service Jenkins agents out of band",
		Long: `pitcrew cleans and sets up Jenkins agents between builds, proves the result, and
only then lets jobs have them. A failing cleanup fails nobody's build.

  See it without a Jenkins:  pitcrew demo
  Use it with yours:         pitcrew init, then pitcrew serve`,
		SilenceErrors: true, SilenceUsage: true,
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.AddGroup(
		&cobra.Group{ID: groupStart, Title: "Begin:"},
		&cobra.Group{ID: groupAgents, Title: "Agents:"},
		&cobra.Group{ID: groupFleet, Title: "Fleet:"},
		&cobra.Group{ID: groupRecipes, Title: "Recipes:"},
		&cobra.Group{ID: groupDaemon, Title: "The daemon and this program:"},
	)
	grouped(root, groupStart, demoCommand(), c.initCommand(), c.configCommand(), c.serveCommand())
	grouped(root, groupAgents, c.agentsCommand(), c.agentCommand(), c.cleanCommand(), c.holdCommand(), c.releaseCommand(),
		c.quarantineCommand(), c.exclusiveCommand(), c.attemptsCommand(), c.attemptCommand())
	grouped(root, groupFleet, c.eventsCommand(), c.buildsCommand(), c.certificateCommand(), c.residueCommand(), c.jobsCommand(), c.planCommand(), c.pauseCommand(), c.resumeCommand(),
		c.pausesCommand(), c.slotsCommand(), c.gateCommand(), c.loanCommand())
	grouped(root, groupRecipes, c.recipeCommand(), c.rehearseCommand(), c.rolloutCommand())
	grouped(root, groupDaemon, c.doctorCommand(), c.tokenCommand(), c.backupCommand(), c.versionCommand(), c.completionCommand(), c.manCommand())
	root.AddCommand(exitCodesTopic())
	helpful(root)
	strictUsage(root)
	return root
}

func grouped(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.GroupID = group
	}
	root.AddCommand(commands...)
}

// strictUsage makes every mistake on the command line end with the same code, and say where help is.
func strictUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w\nSee %s --help", inWords(err), cmd.CommandPath())
	})
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usage("%w\nSee %s --help", err, cmd.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		strictUsage(sub)
	}
}

// inWords has an error of a flag say what a number looks like, not which function of Go did not like it.
func inWords(err error) error {
	wrong, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok || !errors.As(err, new(*strconv.NumError)) {
		return err
	}
	want := "a whole number"
	if errors.Is(err, strconv.ErrRange) {
		want = "a smaller number"
	} else if strings.HasPrefix(wrong.GetFlag().Value.Type(), "uint") {
		want += ", 0 or more"
	}
	return fmt.Errorf("invalid argument %q for \"--%s\" flag: want %s", wrong.GetValue(), wrong.GetFlag().Name, want)
}

// noun is a command that only groups others.
func noun(name, short, long string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long,
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// onlyCommands refuses what is no command, and says which may be meant.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("%q is no command of %s", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; do you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(text)
}

// one, some and none check the number of arguments, and name what is missing.

func one(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("want one %s, got %d", what, len(args))
		}
		return nil
	}
}

func some(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("want at least one %s", what)
		}
		return nil
	}
}

func none(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("want no argument, got %q", args[0])
	}
	return nil
}
