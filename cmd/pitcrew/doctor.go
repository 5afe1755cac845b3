// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/config"
)

// diagnosis is everything that a support engineer would ask for. It holds no secrets.
type diagnosis struct {
	Program  api.Version `json:"program"`
	Platform string      `json:"platform"`
	Config   string      `json:"config"`
	Problems []string    `json:"config_problems"`
	Server   string      `json:"server"`
	Token    string      `json:"token" doc:"Where it came from"`
	Identity string      `json:"identity,omitempty" doc:"Who the daemon takes us for"`
	Health   *api.Health `json:"health,omitempty" doc:"What the daemon says of itself to everybody"`
	Trouble  string      `json:"trouble,omitempty" doc:"Why the daemon could not be asked"`
	Daemon   *api.Doctor `json:"daemon,omitempty"`
}

func (c *cli) doctorCommand() *cobra.Command {
	var o connection
	var f format
	var controller string
	var jobs bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what is wrong",
		Long: `Look at everything that a support engineer would ask for: this program, the
configuration, the way to the daemon, the daemon, its database, its controllers with
permissions and settings. It changes nothing, and shows no secret: attach its output
to a request for help.

A bad configuration file is reported, and the daemon asked all the same: it runs on with
what it read before.

Ends with code 3 when something is wrong, 4 or 5 when the daemon cannot be asked.`,
		Example: "  pitcrew doctor\n  pitcrew doctor --jobs -o json > doctor.json",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := c.diagnose(cmd.Context(), &o, controller, jobs)
			if shown := c.showDiagnosis(d, f); shown != nil {
				return shown
			}
			if err == nil && d.sick() {
				return notWell
			}
			return err
		},
	}
	cmd.Flags().StringVar(&controller, "controller", "", "only look at this controller")
	cmd.Flags().BoolVar(&jobs, "jobs", false, "also look at all jobs, which takes long")
	f.flag(cmd, formatText, formatJSON, formatYAML)
	c.offerScopes(cmd, &o)
	o.flags(cmd, patientTimeout)
	return cmd
}

// diagnose goes on as far as it can; the error is why it could not go on.
func (c *cli) diagnose(ctx context.Context, o *connection, controller string, jobs bool) (diagnosis, error) {
	d := diagnosis{Program: version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	d.Config, d.Problems = c.lookAtConfig(o)
	here, _ := c.local(o) // what is wrong with it was just found
	daemon, err := c.reach(o, here)
	if err != nil {
		d.Trouble = err.Error()
		return d, err
	}
	d.Server, d.Token = daemon.url, daemon.token
	if d.Token == "" {
		d.Token = "none"
	}
	report, err := daemon.examine(ctx, &d, controller, jobs)
	if err = daemon.explain(err); err != nil {
		d.Trouble = err.Error()
		return d, err
	}
	d.Daemon = &report
	return d, nil
}

func (d *daemon) examine(ctx context.Context, found *diagnosis, controller string, jobs bool) (api.Doctor, error) {
	if health, err := d.Health(ctx); err == nil {
		found.Health = &health
	}
	who, err := d.WhoAmI(ctx)
	if err != nil {
		return api.Doctor{}, err
	}
	found.Identity = fmt.Sprintf("%s, role %s", who.Name, who.Role)
	return d.Doctor(ctx, controller, jobs)
}

// lookAtConfig tells where the configuration is, and what is wrong with it.
func (c *cli) lookAtConfig(o *connection) (path string, problems []string) {
	named := cmp.Or(o.config, c.getenv(envConfig))
	path = cmp.Or(named, usualConfig)
	found, err := config.Load(path)
	var bad *config.Error
	switch {
	case errors.Is(err, os.ErrNotExist) && named == "":
		return path + " (not there)", nil
	case errors.As(err, &bad):
		for _, p := range bad.Problems {
			problems = append(problems, p.String())
		}
		return path, problems
	case err != nil:
		return path, []string{err.Error()}
	}
	for _, w := range found.Warnings() {
		problems = append(problems, "warning: "+w.String())
	}
	return path, problems
}

// sick reports whether anything is wrong; warnings do not count.
func (d diagnosis) sick() bool {
	for _, p := range d.Problems {
		if !strings.HasPrefix(p, "warning: ") {
			return true
		}
	}
	if d.Health == nil || d.Health.Status != "ok" {
		return true
	}
	if d.Daemon == nil {
		return false
	}
	for _, a := range d.Daemon.Alerts {
		if a.Level == "fail" {
			return true
		}
	}
	for _, controller := range d.Daemon.Controllers {
		for _, f := range controller.Findings {
			if f.Level == "fail" {
				return true
			}
		}
	}
	return false
}

func (c *cli) showDiagnosis(d diagnosis, f format) error {
	if f.structured() {
		return c.print(f, d)
	}
	var b strings.Builder
	b.WriteString(describe([]fact{
		{"Program", strings.TrimSpace(fmt.Sprintf("pitcrew %s %s", d.Program.Version, short(d.Program.Commit))) + ", " + d.Platform + ", " + d.Program.Go},
		{"Config", d.Config},
		{"Server", d.Server},
		{"Token", d.Token},
		{"Identity", d.Identity},
		{"Health", healthText(d.Health)},
	}, c.width()))
	for _, p := range d.Problems {
		level := "fail"
		if text, warning := strings.CutPrefix(p, "warning: "); warning {
			level, p = "warn", text
		}
		b.WriteString(c.findingText(level, "config", p, ""))
	}
	if d.Daemon != nil {
		b.WriteString(c.daemonText(d.Daemon))
	}
	_, err := io.WriteString(c.out, b.String())
	return err
}

func healthText(h *api.Health) string {
	if h == nil {
		return ""
	}
	return strings.TrimSpace(h.Status + " " + strings.Join(h.Reasons, "; "))
}

// daemonText shows what the daemon found out about itself and its controllers.
func (c *cli) daemonText(d *api.Doctor) string {
	var b strings.Builder
	b.WriteString(c.section("Daemon", describe([]fact{
		{"Version", strings.TrimSpace(d.Version.Version + " " + short(d.Version.Commit))},
		{"Started", c.moment(d.Started)},
		{"Process", fmt.Sprintf("%d as user %d on %s (%s), %s, heap %s, %d goroutines", d.Process.PID, d.Process.UID, d.Process.Host, d.Platform, count(d.Process.CPUs, "CPU"), bytesText(int64(d.Process.HeapBytes)), d.Process.Goroutines)}, //nolint:gosec // a heap fits
		{"Database", fmt.Sprintf("%s, %s, epoch %s, opened %s", d.Store.Path, bytesText(d.Store.Bytes), d.Store.Epoch, count(int(d.Store.Starts), "time"))},
		{"Agents", countsText(d.Counts)},
	}, c.narrow())))
	for _, p := range d.Pauses {
		b.WriteString(c.findingText("warn", "pause", fmt.Sprintf("%s by %s: %s", p.Scope, p.By, p.Reason), ""))
	}
	for _, a := range d.Alerts {
		b.WriteString(c.findingText(a.Level, a.About, a.Text, ""))
	}
	for _, controller := range d.Controllers {
		b.WriteString(c.controllerText(controller))
	}
	return b.String()
}

func countsText(n api.Counts) string {
	return fmt.Sprintf("%d managed: %d clean, %d cleaning, %d due, %d quarantined; %d held, %d busy, %d offline",
		n.Managed, n.Clean, n.Cleaning, n.Due, n.Quarantined, n.Held, n.Busy, n.Offline)
}

func (c *cli) controllerText(d api.DoctorController) string {
	var b strings.Builder
	b.WriteString(c.section("Controller "+d.Name, describe([]fact{
		{"Address", d.URL},
		{"Jenkins", d.Version},
		{"Last look", c.moment(d.LastSweep)},
		{"Problem", d.Problem},
		{"Agents", countsText(d.Counts)},
		{"Queue", count(d.Queue, "item")},
		{"Slots", count(len(d.Slots), "job")},
	}, c.narrow())))
	for _, f := range d.Findings {
		b.WriteString(c.findingText(f.Level, f.Topic, f.Message, f.Remedy))
	}
	return b.String()
}
