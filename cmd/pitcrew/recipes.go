// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/carried"
)

func (c *cli) recipeCommand() *cobra.Command {
	return noun("recipe", "Write, check, build, run and render recipes", `Work on recipes, the files that say what is done to an agent. None of these needs a
daemon.`, c.recipeListCommand(), c.recipeNewCommand(), c.recipeCheckCommand(), c.recipePlanCommand(), c.recipeRunCommand(), c.recipeBuildCommand(), c.recipeRenderCommand(),
		c.recipeImportCommand())
}

func (c *cli) recipeCheckCommand() *cobra.Command {
	var dirs []string
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Report everything that is wrong with recipes",
		Long: `Report everything that is wrong with recipes and the scripts that they carry, each with
file, line and column, and say how the program of a recipe without problems is delivered:
embedded in its job, or above 1 MB by file parameter. Ends with code 3 when something is wrong,
and 2 when a file cannot be read.

With --agent-dir, the remote root directory of an agent that the recipe is for, it also
reports steps that would empty it, which is refused on the machine.`,
		Example: "  pitcrew recipe check recipes/*.yaml\n  pitcrew recipe check linux.yaml --agent-dir /home/jenkins",
		Args:    some("recipe"),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, dir := range dirs {
				if !path.IsAbs(dir) {
					return usage("--agent-dir %s: want an absolute path", dir)
				}
			}
			bad, ended := 0, notWell
			for _, path := range args {
				problems := c.checkRecipe(path, dirs)
				bad += len(problems)
				for _, p := range problems {
					if p.Unread {
						ended = exit(exitUsage, errSilent)
					}
					c.problem(p.String(), p.Excerpt)
				}
				if len(problems) > 0 {
					continue
				}
				switch p, err := c.program(path); {
				case errors.Is(err, carried.ErrMissing):
					fmt.Fprintf(c.err, "%s: how it is delivered cannot be told: %v.\n", path, err)
				case err != nil:
					return err
				default:
					fmt.Fprintf(c.err, "%s: delivered %s.\n", path, p.Delivery())
				}
			}
			if bad > 0 {
				fmt.Fprintf(c.err, "%s.\n", count(bad, "problem"))
				return ended
			}
			fmt.Fprintf(c.err, "%s without problems.\n", count(len(args), "recipe"))
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&dirs, "agent-dir", nil, "the remote root directory of an agent that it is for; may be given several times")
	return cmd
}

// checkRecipe returns what is wrong with a recipe, also for agents that have these directories for themselves.
func (c *cli) checkRecipe(path string, dirs []string) []recipe.Problem {
	r, err := recipe.Load(path)
	if err != nil {
		return recipe.Check(path)
	}
	var problems []recipe.Problem
	for _, dir := range dirs {
		for _, why := range r.Endangers(dir) {
			problems = append(problems, recipe.Problem{File: path, Msg: why})
		}
	}
	return problems
}

// program compiles a recipe. What is wrong with it is shown as `recipe check` shows it.
func (c *cli) program(path string) (*recipe.Program, error) {
	r, err := c.loadRecipe(path)
	if err != nil {
		return nil, err
	}
	return c.compile(path, r)
}

func (c *cli) compile(path string, r *recipe.Recipe) (*recipe.Program, error) {
	p, err := r.Compile()
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", path, err)
	}
	for _, note := range p.Notes {
		fmt.Fprintln(c.err, wrap("Note: "+note, helpWidth))
	}
	return p, nil
}

func (c *cli) loadRecipe(path string) (*recipe.Recipe, error) {
	r, err := recipe.Load(path)
	var bad recipe.Problems
	if !errors.As(err, &bad) {
		return r, err
	}
	for _, p := range bad {
		fmt.Fprintln(c.err, p.String())
		if p.Excerpt != "" {
			fmt.Fprintln(c.err, p.Excerpt)
		}
	}
	return nil, exit(exitUsage, fmt.Errorf("%s cannot be used: %s", path, count(len(bad), "problem")))
}

func (c *cli) recipeBuildCommand() *cobra.Command {
	var file string
	var platforms []string
	cmd := &cobra.Command{
		Use:   "build FILE",
		Short: "Write the program that a recipe compiles to",
		Long: `Write the one self-contained shell program that a recipe compiles to. The same recipe
gives the same bytes. "sh PROGRAM --help" says how it is run by hand.

A program of a recipe with goals carries scrub for the platforms that the recipe names,
or for those of --platform, and which these are is said. On any other platform its goals
fail and its scripts run.`,
		Example: "  pitcrew recipe build recipes/linux.yaml > linux.sh\n  pitcrew recipe build linux.yaml --file linux.sh --platform linux/arm64",
		Args:    one("recipe"),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := c.loadRecipe(args[0])
			if err != nil {
				return err
			}
			if r.Platforms, err = chosen(platforms, r.Platforms); err != nil {
				return exit(exitUsage, err)
			}
			p, err := c.compile(args[0], r)
			if err != nil {
				return err
			}
			if err := c.write(file, p.Text); err != nil {
				return err
			}
			fmt.Fprintf(c.err, "Recipe %s: %s, sha256 %s, revision %s\n", p.Recipe, bytesText(int64(len(p.Text))), p.Digest, short(p.Revision))
			for _, s := range p.Carried {
				fmt.Fprintf(c.err, "Carries scrub for %s: %s, %s packed, sha256 %s\n", s.Platform, bytesText(s.Size), bytesText(int64(s.Packed)), s.Digest)
			}
			if len(p.Carried) == 0 {
				fmt.Fprintln(c.err, "Carries no scrub: no step has a goal")
			}
			return nil
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().StringSliceVar(&platforms, "platform", nil,
		"carry scrub for these platforms instead of the recipe's ("+strings.Join(carried.Platforms(), ", ")+")")
	return cmd
}

// chosen returns the platforms that were asked for, or those of the recipe.
func chosen(asked, recipes []string) ([]string, error) {
	for _, platform := range asked {
		if !slices.Contains(carried.Platforms(), platform) {
			return nil, fmt.Errorf("scrub does not exist for platform %q: want some of %s", platform, strings.Join(carried.Platforms(), ", "))
		}
	}
	if len(asked) == 0 {
		return recipes, nil
	}
	slices.Sort(asked)
	return slices.Compact(asked), nil
}

func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "file", "", "write to this file (default: standard output)")
}

// write writes to a file, or to standard output for "".
func (c *cli) write(file string, text []byte) error {
	if file == "" {
		_, err := c.out.Write(text)
		return err
	}
	return os.WriteFile(file, text, 0o644) //nolint:gosec // programs and jobs hold no secrets and are for others to read
}

func (c *cli) recipeRenderCommand() *cobra.Command {
	file, kind := "", "xml"
	var spec recipe.JobSpec
	cmd := &cobra.Command{
		Use:   "render FILE",
		Short: "Write the Jenkins job that carries a recipe",
		Long: `Write the Jenkins job that carries a recipe's program, for people who keep their jobs
as code: as config.xml (xml), for Jenkins Job Builder (jjb) or for the Job DSL plugin
(jobdsl).

With --node-parameter it is one job for all agents and needs the nodelabelparameter
plugin; with --agent it is a slot, tied to that agent at first.`,
		Example: `  pitcrew recipe render linux.yaml --format jjb --name infra/pitcrew-clean \
    --controller main --owner ci-lab --node-parameter NODE`,
		Args: one("recipe"),
		RunE: func(_ *cobra.Command, args []string) error {
			if spec.Agent != "" && spec.NodeParameter != "" {
				return usage("give either --node-parameter, for one job for all agents, or --agent, for a slot")
			}
			var err error
			if spec.Program, err = c.program(args[0]); err != nil {
				return err
			}
			text, err := renderings[kind](spec)
			if err != nil {
				return exit(exitUsage, err)
			}
			return c.write(file, text)
		},
	}
	choose(cmd, &kind, "format", "what to write", "xml", "jjb", "jobdsl")
	cmd.Flags().StringVar(&spec.Name, "name", "pitcrew-clean", "full name of the job, with its folders")
	cmd.Flags().StringVar(&spec.Controller, "controller", "", "name of the controller, as in the configuration (required)")
	cmd.Flags().StringVar(&spec.Owner, "owner", "", "owner of the installation, as in the configuration (required)")
	cmd.Flags().StringVar(&spec.NodeParameter, "node-parameter", "", "make one job for all agents; name of the parameter that chooses one")
	cmd.Flags().StringVar(&spec.Agent, "agent", "", "make a slot that is tied to this agent at first")
	cmd.Flags().IntVar(&spec.KeepBuilds, "keep-builds", 0, "how many builds Jenkins keeps (default 50; of a slot whose program goes by file parameter 5)")
	requireFlags(cmd, "--controller", "--owner", "--node-parameter or --agent")
	fileFlag(cmd, &file)
	return cmd
}

var renderings = map[string]func(recipe.JobSpec) ([]byte, error){
	"xml": recipe.RenderXML, "jjb": recipe.RenderJJB, "jobdsl": recipe.RenderJobDSL,
}

// requiredFlags is the annotation of a command with the flags that it cannot do without.
const requiredFlags = "pitcrew_required_flags"

// requireFlags refuses a command without these flags, as a mistake on the command line that says all that
// is missing. Of flags joined by " or " one is enough.
func requireFlags(cmd *cobra.Command, flags ...string) {
	cmd.Annotations = map[string]string{requiredFlags: strings.Join(flags, ", ")}
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if missing := missingFlags(cmd); len(missing) > 0 {
			return usage("missing: %s\nSee %s --help", strings.Join(missing, ", "), cmd.CommandPath())
		}
		return run(cmd, args)
	}
}

// refuseEmpty refuses flags that are given and say nothing, which is what a variable that nobody has set makes of them in a script: the
// command would not be the one that was meant.
func refuseEmpty(cmd *cobra.Command) {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var empty []string
		cmd.Flags().Visit(func(f *pflag.Flag) {
			if f.Value.Type() == "string" && f.Value.String() == "" {
				empty = append(empty, "--"+f.Name)
			}
		})
		if len(empty) > 0 {
			return usage("nothing is given with %s: give a value, or leave it out", strings.Join(empty, ", "))
		}
		return run(cmd, args)
	}
}

func missingFlags(cmd *cobra.Command) (missing []string) {
	for flags := range strings.SplitSeq(cmd.Annotations[requiredFlags], ", ") {
		given := func(flag string) bool {
			f := cmd.Flag(strings.TrimPrefix(flag, "--"))
			return f != nil && f.Changed && f.Value.String() != ""
		}
		if flags != "" && !slices.ContainsFunc(strings.Split(flags, " or "), given) {
			missing = append(missing, flags)
		}
	}
	return missing
}
