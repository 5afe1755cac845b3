// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
)

func (c *cli) gateCommand() *cobra.Command {
	return noun("gate", "Let Jenkins refuse builds on agents that are not clean",
		`The gate is one Groovy file that runs inside Jenkins and refuses, under the lock of
its queue, to start a build on an agent that is not clean, whatever the label
expression, the number of executors, or somebody's edit of labels. Without it labels
alone keep builds off, and a short build can slip through between two polls.

It needs no plugin. Somebody who may administer Jenkins installs it once; the daemon
goes on without that right, and uses a gate from the first poll that sees it.`,
		c.gateShowCommand(), c.gateInstallCommand(), c.gateStatusCommand(), c.gateCheckCommand(), c.gateRemoveCommand(), c.gateForgetCommand())
}

// place is a controller of the configuration, and who may do something there.
type place struct {
	config, controller, user, token string
}

// flags registers the controller, and with admin who administers it.
func (p *place) flags(cmd *cobra.Command, admin bool) {
	cmd.Flags().StringVarP(&p.config, "config", "c", "", "configuration file ("+envConfig+"; default: "+usualConfig+")")
	cmd.Flags().StringVar(&p.controller, "controller", "", "controller, where the configuration has several")
	if admin {
		cmd.Flags().StringVar(&p.user, "user", "", "user who may administer it (default: pitcrew's own)")
		cmd.Flags().StringVar(&p.token, "token", "", "reference to that user's API token, such as env:ADMIN_TOKEN")
	}
}

// find reads the configuration and picks the controller.
func (p *place) find(c *cli) (*config.Config, *config.Controller, error) {
	found, err := config.Load(cmp.Or(p.config, c.getenv(envConfig), usualConfig))
	if err != nil {
		return nil, nil, badConfig(err)
	}
	names := make([]string, len(found.Controllers))
	for i := range found.Controllers {
		names[i] = found.Controllers[i].Name
	}
	at := slices.Index(names, p.controller)
	switch {
	case p.controller == "" && len(names) == 1:
		at = 0
	case p.controller == "":
		return nil, nil, usage("the configuration has several controllers: say which with --controller: %s", strings.Join(names, ", "))
	case at < 0:
		return nil, nil, usage("the configuration has no controller %q; it has %s", p.controller, strings.Join(names, ", "))
	}
	return found, &found.Controllers[at], nil
}

// reached is the controller of a place, with the labels of its configuration.
type reached struct {
	*jenkins.Client

	name   string
	labels gate.Labels
}

// reach returns a client of the controller, as the user who may administer it. It is to be closed.
func (p *place) reach(c *cli) (*reached, error) {
	found, controller, err := p.find(c)
	if err != nil {
		return nil, err
	}
	j, err := p.connect(controller)
	return &reached{j, controller.Name, gate.Labels(found.Names())}, err
}

func (p *place) connect(controller *config.Controller) (*jenkins.Client, error) {
	o := jenkins.Options{
		Name: controller.Name, URL: controller.URL, User: controller.User,
		RequestTimeout: controller.Requests.Timeout.Std(), TLS: tlsOptions(controller.TLS),
	}
	if !controller.Token.IsZero() {
		o.Token = controller.Token.Read
	}
	if !controller.Password.IsZero() {
		o.Password = controller.Password.Read
	}
	if (p.user == "") != (p.token == "") {
		return nil, usage("say --user and --token, or neither")
	}
	if p.token != "" {
		var token config.Secret
		if err := token.UnmarshalText([]byte(p.token)); err != nil {
			return nil, usage("--token: %w", err)
		}
		o.User, o.Token, o.Password = p.user, token.Read, nil
	}
	j, err := jenkins.New(o)
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	return j, nil
}

func (c *cli) gateShowCommand() *cobra.Command {
	var p place
	var form string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the gate, to put it into an image or a chart",
		Long: `Print the gate as the file that belongs into init.groovy.d of the Jenkins home
directory, with the names of the labels that the configuration has; the usual ones
where there is no configuration. --form helm prints it as a value of the chart
"jenkins".`,
		Example: "  pitcrew gate show > $JENKINS_HOME/init.groovy.d/" + gate.FileName + "\n  pitcrew gate show --form helm > gate-values.yaml",
		Args:    none,
		RunE: func(*cobra.Command, []string) error {
			labels := hygiene.DefaultNames
			found, err := config.Load(cmp.Or(p.config, c.getenv(envConfig), usualConfig))
			switch {
			case err == nil:
				labels = found.Names()
			case p.config != "" || c.getenv(envConfig) != "":
				return badConfig(err)
			}
			text, err := gate.Script(version().Version, gate.Labels(labels))
			if err != nil {
				return exit(exitUsage, err)
			}
			if form == "helm" {
				text = helmValue(text)
			} else if form != "groovy" {
				return usage("--form %s: want groovy or helm", form)
			}
			_, err = io.WriteString(c.out, text)
			return err
		},
	}
	cmd.Flags().StringVarP(&p.config, "config", "c", "", "configuration file ("+envConfig+"; default: "+usualConfig+")")
	cmd.Flags().StringVar(&form, "form", "groovy", "groovy or helm")
	return cmd
}

// helmValue is the gate as a value of the chart that puts its initScripts into init.groovy.d.
func helmValue(text string) string {
	var b strings.Builder
	b.WriteString("controller:\n  initScripts:\n    " + strings.TrimSuffix(gate.FileName, ".groovy") + ": |\n")
	for line := range strings.Lines(text) {
		if line != "\n" {
			b.WriteString("      ")
		}
		b.WriteString(line)
	}
	return b.String()
}

func (c *cli) gateInstallCommand() *cobra.Command {
	var p place
	var noFile bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Register the gate in a running Jenkins, and write its file",
		Long: `Register the gate in a running Jenkins by its script console, and write it into
init.groovy.d, so that it is there when Jenkins starts the next time. What was written
is read back. Installed again, it takes the place of an older one without a gap and
keeps what that one knew.

This needs Overall/Administer, once. From then on no agent that pitcrew manages takes
a build until the daemon has looked at it and grants that it is clean: those that were
clean are verified again first.`,
		Example: "  pitcrew gate install\n  pitcrew gate install --controller main --user admin --token env:ADMIN_TOKEN",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			j, err := p.reach(c)
			if err != nil {
				return err
			}
			defer j.Close()
			return c.installGate(cmd.Context(), j, !noFile)
		},
	}
	p.flags(cmd, true)
	cmd.Flags().BoolVar(&noFile, "no-file", false, "only register it: it is gone after a restart of Jenkins")
	return cmd
}

func (c *cli) installGate(ctx context.Context, j *reached, write bool) error {
	running := version().Version
	script, err := gate.InstallScript(running, j.labels, write)
	if err != nil {
		return exit(exitUsage, err)
	}
	answer, err := j.RunScript(ctx, script)
	if err != nil {
		return adminOnly(err)
	}
	in, err := gate.ReadInstalled(answer, running, j.labels)
	if err != nil {
		return fmt.Errorf("controller %s: %w", j.name, err)
	}
	if _, err := gate.NewClient(j.Client, j.labels).Status(ctx); err != nil {
		return fmt.Errorf("controller %s: it was registered, and does not answer: %w", j.name, err)
	}
	fmt.Fprintf(c.err, "The gate of pitcrew %s is registered on controller %s.\n", running, j.name)
	for _, other := range in.Others {
		fmt.Fprintf(c.err, "warning: %s is a gate as well; of two files the one that runs last is in force: delete it.\n", other)
	}
	switch {
	case in.Same:
		fmt.Fprintf(c.err, "Jenkins runs %s at each start.\n", in.File)
	case write:
		return fmt.Errorf("it could not be written to init.groovy.d, and is gone after a restart of Jenkins: %s", cmp.Or(in.Fault, "what was read back is not what was written"))
	case in.File != "":
		fmt.Fprintf(c.err, "warning: %s is of another version, and is what Jenkins runs at its next start.\n", in.File)
	default:
		fmt.Fprintln(c.err, "warning: it is gone after a restart of Jenkins, and builds start wherever they like then.")
	}
	return nil
}

// adminOnly says what is missing where Jenkins does not let a user use the script console.
func adminOnly(err error) error {
	if jenkins.IsForbidden(err) {
		return fmt.Errorf("the script console needs Overall/Administer, this once: say --user and --token of somebody who has it, "+
			"or put what \"pitcrew gate show\" prints into init.groovy.d: %w", err)
	}
	return err
}

func (c *cli) gateStatusCommand() *cobra.Command {
	var o connection
	var f format
	var controller string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what keeps builds off agents, per controller",
		Long: `Show what keeps builds off agents that are not clean, per controller, as the daemon
saw it last: labels alone, a gate, or a gate that is lost. DRIFTED are agents that the
gate has as clean and lets nothing onto, because something changed: they are cleaned
again.`,
		Args: none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			names, err := d.controllersFor(ctx, controller)
			if err != nil {
				return err
			}
			found := make([]api.Gate, len(names))
			for i, name := range names {
				if found[i], err = d.Gate(ctx, name); err != nil {
					return err
				}
			}
			if f.structured() {
				return c.print(f, found)
			}
			_, err = io.WriteString(c.out, c.gateTable(found))
			return err
		}),
	}
	cmd.Flags().StringVar(&controller, "controller", "", "only this controller")
	f.flag(cmd, formatTable, formatJSON, formatYAML)
	c.offerScopes(cmd, &o)
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) gateTable(found []api.Gate) string {
	rows := make([][]string, len(found))
	var notes strings.Builder
	for i, g := range found {
		mode := g.Mode
		switch g.Mode {
		case "gate":
			mode = c.paint(green, mode)
		case "gate lost":
			mode = c.paint(red, mode)
			fmt.Fprintf(&notes, "%s: lost since %s: %s\n", g.Controller, stamp(g.Since), g.Problem)
		}
		rows[i] = []string{g.Controller, mode, "", "", "", "", "", ""}
		if g.Version != "" {
			n := g.States
			rows[i] = []string{
				g.Controller, mode, g.Version, g.Hook, fmt.Sprint(n.Clean - len(g.Drifted)), fmt.Sprint(n.Claimed),
				fmt.Sprint(n.Used + n.Unknown + n.Held), fmt.Sprint(len(g.Drifted)),
			}
		}
		for _, a := range g.Drifted {
			fmt.Fprintf(&notes, "%s: %s has drifted: %s\n", g.Controller, a.Agent, a.Drift)
		}
	}
	return tabular([]string{"CONTROLLER", "MODE", "VERSION", "BY", "CLEAN", "CLAIMED", "SHUT", "DRIFTED"}, rows, c.width()) + harmless(notes.String())
}

func (c *cli) gateCheckCommand() *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find out whether a gate does what it is there for",
		Long: `Ask a controller's gate itself, as pitcrew's user: whether there is one, for the right
labels, of this version, there at the next start; whether it failed; and which agents
can be given a build before it is up. It changes nothing. Ends with code 3 unless a
gate answers that can be used: also where there is none, or where it could not be asked.`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			j, err := p.reach(c)
			if err != nil {
				return err
			}
			defer j.Close()
			found, holds := gate.Check(cmd.Context(), j.Client, version().Version, j.labels)
			if c.showFindings(found) || !holds {
				return notWell
			}
			return nil
		},
	}
	p.flags(cmd, false)
	return cmd
}

func (c *cli) gateRemoveCommand() *cobra.Command {
	var p place
	var o connection
	var alone, yes bool
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "Take the gate out of a running Jenkins, and delete its file",
		Long: `Take the gate out of a running Jenkins by its script console, and delete its file. The
daemon is told first, and waits are made until agents that labels alone cannot keep
clean are clean no more: those with several executors, or that take jobs without a
label. Labels alone keep builds off from then on.

This needs Overall/Administer.`,
		Example: "  pitcrew gate remove --user admin --token env:ADMIN_TOKEN",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p.config = o.config
			j, err := p.reach(c)
			if err != nil {
				return err
			}
			defer j.Close()
			if !yes {
				if err := c.confirm(cmd.Context(), "This takes the gate out of controller "+j.name+". Go on?"); err != nil {
					return err
				}
			}
			if !alone {
				if err := c.announceRemoval(cmd.Context(), &o, j.name); err != nil {
					return err
				}
			}
			return c.removeGate(cmd.Context(), j)
		},
	}
	cmd.Flags().StringVar(&p.controller, "controller", "", "controller, where the configuration has several")
	cmd.Flags().StringVar(&p.user, "user", "", "user who may administer it (default: pitcrew's own)")
	cmd.Flags().StringVar(&p.token, "token", "", "reference to that user's API token, such as env:ADMIN_TOKEN")
	cmd.Flags().BoolVar(&alone, "without-daemon", false, "do not tell the daemon: it takes clean off everywhere, with an alarm, until \"pitcrew gate forget\"")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	o.flags(cmd, usualTimeout)
	return cmd
}

// removalLimit bounds the wait for the daemon to need its gate no more.
const removalLimit = 5 * time.Minute

// announceRemoval tells the daemon, and waits until nothing relies on the gate any more.
func (c *cli) announceRemoval(ctx context.Context, o *connection, controller string) error {
	d, err := c.connect(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, removalLimit)
	defer cancel()
	g, err := d.LeaveGate(ctx, controller, "pitcrew gate remove")
	if client.IsConflict(err) {
		return nil // the daemon does not know that there is one
	}
	for err == nil && !g.Ready {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the daemon still relies on the gate after %s; nothing was removed: %w", removalLimit, ctx.Err())
		case <-time.After(time.Second):
		}
		g, err = d.Gate(ctx, controller)
	}
	if err != nil {
		return fmt.Errorf("%w\nNothing was removed. Without a daemon say --without-daemon", d.explain(err))
	}
	return nil
}

func (c *cli) removeGate(ctx context.Context, j *reached) error {
	answer, err := j.RunScript(ctx, gate.RemoveScript())
	if err != nil {
		return adminOnly(err)
	}
	out, err := gate.ReadRemoved(answer)
	if err != nil {
		return fmt.Errorf("controller %s: %w", j.name, err)
	}
	var unusable *gate.UnusableError
	// No gate is for no labels: whatever answers is heard, and unusable.
	if _, err := gate.NewClient(j.Client, gate.Labels{}).Status(ctx); errors.As(err, &unusable) && unusable.Heard {
		return fmt.Errorf("controller %s: the gate still answers: %w", j.name, err)
	}
	switch {
	case out.Parts == 0 && out.File == "":
		fmt.Fprintf(c.err, "Controller %s has no gate.\n", j.name)
	case out.File == "":
		fmt.Fprintf(c.err, "The gate is taken out of controller %s; there was no file of it.\n", j.name)
	default:
		fmt.Fprintf(c.err, "The gate is taken out of controller %s, and %s is deleted.\n", j.name, out.File)
	}
	for _, other := range out.Others {
		fmt.Fprintf(c.err, "warning: %s is a gate as well and comes back at the next start of Jenkins: delete it.\n", other)
	}
	return nil
}

func (c *cli) gateForgetCommand() *cobra.Command {
	var o connection
	var reason string
	cmd := &cobra.Command{
		Use:   "forget CONTROLLER",
		Short: "Go on with labels alone after a gate was lost",
		Long: `Tell the daemon that a gate which is lost does not come back: labels alone keep builds
off agents from then on. While a gate is lost nothing on its controller is clean.`,
		Args: one("controller"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			g, err := d.Gate(ctx, args[0])
			if err != nil {
				return err
			}
			if g.Mode != "gate lost" {
				return fmt.Errorf("the gate of controller %s is not lost: its mode is %q; \"pitcrew gate remove\" takes one out", args[0], g.Mode)
			}
			if _, err := d.LeaveGate(ctx, args[0], cmp.Or(reason, "it does not come back")); err != nil {
				return err
			}
			fmt.Fprintf(c.err, "Labels alone keep builds off the agents of controller %s, from the poll on that finds no gate there.\n", args[0])
			return nil
		}),
	}
	cmd.Flags().StringVarP(&reason, "reason", "r", "", "why, for the audit trail")
	o.flags(cmd, usualTimeout)
	return cmd
}
