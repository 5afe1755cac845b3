// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

func (c *cli) configCommand() *cobra.Command {
	return noun("config", "Check and show the configuration file",
		"Check and show the configuration file. \"pitcrew init\" writes one to start from.",
		c.configCheckCommand(), c.configShowCommand(), c.configSchemaCommand())
}

func (c *cli) configCheckCommand() *cobra.Command {
	var named string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Report everything that is wrong with it",
		Long: `Report everything that is wrong with a configuration file and with the recipes that
it names, each with file, line and column, and other files that cannot be read; it warns of secrets whose file is not there. No daemon and no controller is asked. Ends
with code 3 when something is wrong, and 2 when the file cannot be read; what merely
deserves a look does not count.`,
		Example: "  pitcrew config check\n  pitcrew config check ./pitcrew.yaml",
		Args:    atMostOne("file"),
		RunE: func(_ *cobra.Command, args []string) error {
			if named != "" && len(args) > 0 {
				return usage("--config names a file already: %s is one too many", args[0])
			}
			return c.checkConfig(cmp.Or(named, c.configPath(args)))
		},
	}
	cmd.Flags().StringVarP(&named, "config", "c", "", "configuration file, as serve and init take it ("+envConfig+"; default: "+usualConfig+")")
	return cmd
}

// configPath is the configuration file that is meant.
func (c *cli) configPath(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return cmp.Or(c.getenv(envConfig), usualConfig)
}

func (c *cli) checkConfig(path string) error {
	found, err := config.Load(path)
	if err != nil {
		return c.configProblems(err)
	}
	for _, w := range slices.Concat(found.Warnings(), found.Absent(path)) {
		c.problem("warning: "+w.String(), w.Excerpt)
	}
	missing := found.Missing(path)
	for _, p := range missing {
		c.problem(p.String(), p.Excerpt)
	}
	bad := 0
	for _, r := range found.Recipes {
		for _, p := range recipe.Check(r.File) {
			bad++
			c.problem(p.String(), p.Excerpt)
		}
	}
	if len(missing) > 0 {
		fmt.Fprintf(c.err, "%s is good, but there is %s with files that it names.\n", path, count(len(missing)+bad, "problem"))
		return notWell
	}
	if bad > 0 {
		fmt.Fprintf(c.err, "%s is good, but there is %s in its recipes.\n", path, count(bad, "problem"))
		return notWell
	}
	fmt.Fprintf(c.err, "%s is good: %s, %s, %s.\n", path,
		count(len(found.Controllers), "controller"), count(len(found.Pools), "pool"), count(len(found.Recipes), "recipe"))
	return nil
}

// badConfig is the end of a command whose configuration file cannot be read, or is wrong.
func badConfig(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return usage("%w\nWrite one with \"pitcrew init\", or name one with -c.", err)
	}
	return exit(exitUsage, err)
}

// configProblems shows what is wrong with a file; that it cannot be read is no finding.
func (c *cli) configProblems(err error) error {
	var bad *config.Error
	if !errors.As(err, &bad) {
		return badConfig(err)
	}
	for _, p := range bad.Problems {
		c.problem(p.String(), p.Excerpt)
	}
	fmt.Fprintf(c.err, "%s.\n", count(len(bad.Problems), "problem"))
	return notWell
}

// problem shows one finding on standard output: it is what was asked for.
func (c *cli) problem(text, excerpt string) {
	fmt.Fprintln(c.out, text)
	if excerpt != "" {
		fmt.Fprintln(c.out, excerpt)
	}
}

func (c *cli) configShowCommand() *cobra.Command {
	var o connection
	var running bool
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Print it with all defaults",
		Long: `Print a configuration with all its defaults, as YAML. Secrets appear as the references
that they are. --running asks the daemon for the one in force, which needs the role
admin.`,
		Example: "  pitcrew config show ./pitcrew.yaml\n  pitcrew config show --running",
		Args:    atMostOne("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if running {
				return c.asking(&o, c.showRunning)(cmd, args)
			}
			found, err := config.Load(cmp.Or(o.config, c.configPath(args)))
			if err != nil {
				return badConfig(err)
			}
			text, err := found.Show()
			if err != nil {
				return err
			}
			_, err = c.out.Write(text)
			return err
		},
	}
	cmd.Flags().BoolVar(&running, "running", false, "ask the daemon for the one in force")
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) showRunning(ctx context.Context, d *daemon, args []string) error {
	if len(args) > 0 {
		return usage("--running asks the daemon: it takes no file")
	}
	text, err := d.Config(ctx)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.out, text)
	return err
}

func (c *cli) configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print its JSON Schema, for editors",
		Example: "  pitcrew config schema > pitcrew.schema.json",
		Args:    none,
		RunE: func(*cobra.Command, []string) error {
			_, err := c.out.Write(config.Schema())
			return err
		},
	}
}
