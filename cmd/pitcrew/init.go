// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// initiation is what `pitcrew init` is told.
type initiation struct {
	config.Answers
	file    string
	force   bool
	noCheck bool
	asked   []*string // answers that a person gave
}

func (c *cli) initCommand() *cobra.Command {
	var i initiation
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a first configuration",
		Long: `Write a commented configuration to start from. On a terminal it asks for what no flag
says. It looks whether pitcrew can work with the controller, changes nothing there,
and overwrites no file without --force.

The API token of the Jenkins user is given as a reference to where it is kept, never
itself: env:NAME, file:/path, credential:NAME (systemd) or exec:/program arguments.`,
		Example: `  pitcrew init
  pitcrew init --config ./pitcrew.yaml --url https://jenkins.example.org/ \
    --user pitcrew --token file:/etc/pitcrew/main.token --agents 'el9 || el8'`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			i.file = cmp.Or(i.file, c.getenv(envConfig), usualConfig)
			return c.initiate(cmd.Context(), &i)
		},
	}
	cmd.Flags().StringVarP(&i.file, "config", "c", "", "file to write ("+envConfig+"; default: "+usualConfig+")")
	cmd.Flags().StringVar(&i.Controller, "controller", "", "what to call the controller (default: main)")
	cmd.Flags().StringVar(&i.URL, "url", "", "address of the controller")
	cmd.Flags().StringVar(&i.CA, "ca", "", "file with the certificate authority of the controller (default: the system's)")
	cmd.Flags().StringVar(&i.User, "user", "", "user on the controller")
	cmd.Flags().StringVar(&i.Token, "token", "", "reference to the user's API token, such as file:/etc/pitcrew/main.token")
	cmd.Flags().StringVar(&i.Agents, "agents", "", "label expression of the agents to service (default: linux)")
	cmd.Flags().StringVar(&i.Recipe, "recipe", "", "file of the recipe (default: generic-linux.yaml, beside the configuration)")
	cmd.Flags().StringVar(&i.Data, "data", "", "directory for the database (default: "+usualData+")")
	cmd.Flags().BoolVar(&i.force, "force", false, "overwrite the file, and write it even if the controller is not as it should be")
	cmd.Flags().BoolVar(&i.noCheck, "no-check", false, "do not ask the controller")
	return cmd
}

func (c *cli) initiate(ctx context.Context, i *initiation) error {
	if _, err := os.Lstat(i.file); err == nil && !i.force {
		return fmt.Errorf("%s exists: it is overwritten with --force only; --config names another file", i.file)
	}
	text, err := c.answered(ctx, i)
	if err != nil {
		return err
	}
	parsed, err := config.Parse(i.file, text)
	if err != nil {
		return err
	}
	for _, w := range parsed.Warnings() { // before the token goes anywhere
		fmt.Fprintf(c.err, "warning: %s: %s\n", w.Path, w.Msg)
	}
	if !i.noCheck {
		if err := c.checkController(ctx, i, &parsed.Controllers[0]); err != nil {
			return err
		}
	}
	return c.writeConfig(i, text, parsed.Recipes[0].File)
}

// answered returns the configuration by what flags and a person said. Who gave a wrong answer is asked again, for that alone.
func (c *cli) answered(ctx context.Context, i *initiation) ([]byte, error) {
	ask := func() error { return nil }
	if c.interactive() {
		q := newQuestioner(c.in, c.err)
		ask = func() error { return i.complete(ctx, q) }
	}
	for {
		if err := ask(); err != nil {
			return nil, err
		}
		if missing := i.missing(); len(missing) > 0 {
			return nil, usage("nobody can be asked here: say %s", strings.Join(missing, ", "))
		}
		i.Token, i.CA = rooted(i.Token), absolute(i.CA)
		text, err := config.Example(i.Answers)
		if err == nil {
			return text, nil
		}
		if !i.forget(err) {
			return nil, exit(exitUsage, i.blame(err))
		}
		fmt.Fprintln(c.err, i.blame(err))
	}
}

// answer is what a setting is made of.
type answer struct {
	flag string
	to   *string
}

// answers has the answer to each setting.
func (i *initiation) answers() map[string]answer {
	return map[string]answer{
		"controllers[0].name": {"--controller", &i.Controller}, "controllers[0].url": {"--url", &i.URL}, "controllers[0].user": {"--user", &i.User},
		"controllers[0].token": {"--token", &i.Token}, "pools[0].agents": {"--agents", &i.Agents}, "recipes[0].file": {"--recipe", &i.Recipe},
		"data": {"--data", &i.Data},
	}
}

// forget empties the answers that are wrong; it reports whether a person gave all of them.
func (i *initiation) forget(err error) bool {
	var bad *config.Error
	if !errors.As(err, &bad) {
		return false
	}
	for _, p := range bad.Problems {
		to := i.answers()[p.Path].to
		if to == nil || !slices.Contains(i.asked, to) {
			return false
		}
		*to = ""
	}
	return true
}

// missing lists the flags without which nothing can be written.
func (i *initiation) missing() (flags []string) {
	for _, f := range []struct{ flag, value string }{{"--url", i.URL}, {"--user", i.User}, {"--token", i.Token}} {
		if f.value == "" {
			flags = append(flags, f.flag)
		}
	}
	return flags
}

// rooted makes a relative path in a reference to a token start here: one in the file would start
// wherever the daemon is started.
func rooted(token string) string {
	path, ok := strings.CutPrefix(token, "file:")
	if !ok {
		return token
	}
	return "file:" + absolute(path)
}

// absolute makes a path start at the root; "" stays.
func absolute(path string) string {
	if full, err := filepath.Abs(path); path != "" && err == nil {
		return full
	}
	return path
}

// blame says which answer is wrong: there is no file yet to whose lines the problems could point.
func (i *initiation) blame(err error) error {
	var bad *config.Error
	if !errors.As(err, &bad) {
		return err
	}
	var all []error
	for _, p := range bad.Problems {
		all = append(all, fmt.Errorf("%s: %s", cmp.Or(i.answers()[p.Path].flag, p.Path), p.Msg))
	}
	return errors.Join(all...)
}

// complete asks for what no flag said.
func (i *initiation) complete(ctx context.Context, q *questioner) error {
	for _, question := range []struct {
		to            *string
		text, offered string
	}{
		{&i.URL, "Address of the Jenkins controller, such as https://jenkins.example.org/:", ""},
		{&i.Controller, "What to call it:", "main"},
		{&i.User, "User of pitcrew there:", "pitcrew"},
		{&i.Token, "Where that user's API token is kept (env:NAME, file:/path, exec:/program):", "file:/etc/pitcrew/main.token"},
		{&i.Agents, "Label expression of the agents to service:", "linux"},
		{&i.Recipe, "File of their recipe:", "generic-linux.yaml"},
		{&i.Data, "Directory for the database:", usualData},
	} {
		for *question.to == "" {
			answer, err := q.ask(ctx, question.text, question.offered)
			if err != nil {
				return err
			}
			*question.to = answer
			i.asked = append(i.asked, question.to)
		}
	}
	return nil
}

// checkController looks at a controller as the daemon would.
func (c *cli) checkController(ctx context.Context, i *initiation, controller *config.Controller) error {
	findings, err := examine(ctx, controller, jenkins.CheckOptions{
		Owns: func(job string) bool { return strings.HasPrefix(job, controller.Jobs.Prefix) }, // a daemon of before has left them
	})
	if err != nil {
		return err
	}
	failed := c.showFindings(findings)
	agentsOnly := !slices.ContainsFunc(findings, func(f jenkins.Finding) bool { return f.Level == jenkins.LevelFail && f.Topic != "agents" })
	if failed && agentsOnly {
		fmt.Fprintln(c.err, "What failed about agents is no obstacle: once the daemon runs, \"pitcrew exclusive AGENT\" mends it.")
		return nil
	}
	if failed && !i.force {
		return exit(exitFound, fmt.Errorf("%s is not written: mend what failed, or say --force or --no-check", i.file))
	}
	return nil
}

// examineLimit bounds a look at a controller.
const examineLimit = 2 * time.Minute

func examine(ctx context.Context, controller *config.Controller, o jenkins.CheckOptions) ([]jenkins.Finding, error) {
	client, err := jenkins.New(jenkins.Options{ //nolint:contextcheck // its breaker outlives each request
		Name: controller.Name, URL: controller.URL, User: controller.User, Token: controller.Token.Read,
		RequestTimeout: controller.Requests.Timeout.Std(), TLS: tlsOptions(controller.TLS),
	})
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, examineLimit)
	defer cancel()
	return client.Check(ctx, o), ctx.Err()
}

func tlsOptions(tls *config.ClientTLS) jenkins.TLSOptions {
	if tls == nil {
		return jenkins.TLSOptions{}
	}
	return jenkins.TLSOptions{CAFile: tls.CA, CertFile: tls.Cert, KeyFile: tls.Key}
}

// showFindings reports whether there is one that pitcrew cannot work with.
func (c *cli) showFindings(findings []jenkins.Finding) (failed bool) {
	for _, f := range findings {
		failed = failed || f.Level == jenkins.LevelFail
		_, _ = io.WriteString(c.out, c.findingText(string(f.Level), f.Topic, f.Message, f.Remedy))
	}
	return failed
}

// findingText is a finding with what to do about it, at most 80 columns wide.
func (c *cli) findingText(level, topic, message, remedy string) string {
	const indent = 6
	text := topic + ": " + message
	if remedy != "" {
		text += "\n" + remedy
	}
	colours := map[string]colour{"ok": green, "note": faint, "warn": yellow, "fail": red}
	lines := strings.Split(wrap(harmless(text), helpWidth-indent), "\n")
	return c.paint(colours[level], fmt.Sprintf("%-*s", indent, level)) + strings.Join(lines, "\n"+strings.Repeat(" ", indent)) + "\n"
}

func (c *cli) writeConfig(i *initiation, text []byte, recipe string) error {
	if err := os.MkdirAll(filepath.Dir(i.file), 0o755); err != nil { //nolint:gosec // it holds no secrets
		return fmt.Errorf("write configuration: %w", err)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if i.force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(i.file, flags, 0o644) //nolint:gosec // it holds references to secrets, and no secret
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if _, err = f.Write(text); err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	fmt.Fprintf(c.err, `%s is written. Next:
  1. %s
     and check both:                                 pitcrew config check %[1]s
  2. look what would be done, without doing it:      pitcrew serve --dry-run -c %[1]s
  3. start the daemon:                               pitcrew serve -c %[1]s
  4. put the label cleanable on an agent
`, i.file, recipeStep(recipe))
	return nil
}

// recipeStep says what is to be done about the file of the recipe.
func recipeStep(file string) string {
	name := strings.TrimSuffix(filepath.Base(file), ".yaml")
	switch _, err := os.Stat(file); {
	case err == nil:
		return fmt.Sprintf("see that %s owns what it should,", file)
	case slices.Contains(libraryNames(), name):
		return fmt.Sprintf("write the recipe and edit what stands first in it: pitcrew recipe new %s %s", name, filepath.Dir(file))
	default:
		return fmt.Sprintf(`write the recipe %s ("pitcrew recipe list" has some to start from),`, file)
	}
}
