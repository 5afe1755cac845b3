// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

func (c *cli) recipeImportCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "import SCRIPT",
		Short: "Wrap a cleanup script into a recipe",
		Long: `Write a recipe that runs an old shell script as its one step, and list the habits of
the script that go wrong on real machines, each with its line and the kind of step that
does the same and looks again. The script stays as it is, and is not run.

The recipe is written beside the script, as SCRIPT.yaml without the script's ending; an
existing file is not overwritten. With "--output -" it is printed instead.`,
		Example: "  pitcrew recipe import cleanup_slave.sh\n  pitcrew recipe import ci/cleanup.sh --output -",
		Args:    one("script"),
		RunE: func(_ *cobra.Command, args []string) error {
			script, err := readScript(args[0])
			if err != nil {
				return exit(exitUsage, err)
			}
			habits, err := recipe.Habits(string(script))
			if err != nil {
				return exit(exitFound, fmt.Errorf("%s is no shell script: %w", args[0], err))
			}
			if output == "" {
				output = strings.TrimSuffix(args[0], filepath.Ext(args[0])) + ".yaml"
			}
			problems, err := c.writeWrapped(args[0], output, script)
			if err != nil {
				return err
			}
			c.showHabits(args[0], habits)
			switch {
			case problems > 0:
				return exit(exitFound, fmt.Errorf("%s is written, and cannot be used yet: %s", output, count(problems, "problem")))
			case output != "-":
				fmt.Fprintf(c.err, "%s is written.\n", output)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write, - for standard output (default: beside the script)")
	return cmd
}

// readScript reads a file that a recipe beside it can carry: no device or named pipe, which might never end.
func readScript(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no shell script: it is no regular file", path)
	}
	script, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	return script, nil
}

// writeWrapped writes the recipe where output says, and checks what it wrote as "recipe check" does.
func (c *cli) writeWrapped(script, output string, text []byte) (problems int, err error) {
	if output == "-" {
		_, err := c.out.Write(recipe.Wrap(filepath.Base(script), text))
		return 0, err
	}
	file, err := filepath.Rel(filepath.Dir(absolute(output)), absolute(script))
	if err != nil || !filepath.IsLocal(file) {
		return 0, exit(exitUsage, fmt.Errorf("a recipe in %s cannot carry %s: the script has to be beside the recipe or below", filepath.Dir(output), script))
	}
	if err := writeNew(output, recipe.Wrap(filepath.ToSlash(file), text)); err != nil {
		return 0, exit(exitUsage, fmt.Errorf("write recipe: %w", err))
	}
	found := recipe.Check(output)
	for _, p := range found {
		c.problem(p.String(), p.Excerpt)
	}
	return len(found), nil
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // a recipe holds no secrets
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Close()
	}
	return err
}

// showHabits lists habits for people: this is advice, and fails nothing.
func (c *cli) showHabits(script string, habits []recipe.Habit) {
	for _, h := range habits {
		fmt.Fprintf(c.err, "%s:%d:%d: %s\n", script, h.Line, h.Column, c.paint(yellow, h.Command))
		fmt.Fprintln(c.err, indented(h))
	}
	if len(habits) == 0 {
		fmt.Fprintln(c.err, "No dangerous habits found: that the script is right is not proved by it.")
		return
	}
	fmt.Fprintf(c.err, "%s. Give these to goals first: docs/recipes.md says how.\n", count(len(habits), "dangerous habit"))
}

// indented says what is wrong with a habit, and what does the same, at most 80 columns wide.
func indented(h recipe.Habit) string {
	text := h.Why
	if h.Instead != "" {
		text += "; instead: a step of kind " + string(h.Instead)
	}
	const indent = "    "
	return indent + strings.ReplaceAll(wrap(text, helpWidth-len(indent)), "\n", "\n"+indent)
}
