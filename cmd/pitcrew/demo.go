// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pitcrew-ci/pitcrew/internal/demo"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	var output string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the whole scheme live, without Jenkins",
		Long: `Run two simulated controllers with the same agents and the same builds side by side: one
is serviced by pitcrew out of band, on the other each job cleans its agent first. It needs
no network and no root, is reached from this machine only, and leaves no process and no
file. On a terminal it shows the numbers as they grow; docs/demo.md explains them.`,
		Example: "  pitcrew demo\n  pitcrew demo --agents 20 --seed 7 --for 1m\n  pitcrew demo --for 30s -o json",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return usage("output %q: want json, or nothing for text", output)
			}
			if err := o.Check(); err != nil {
				return exit(exitUsage, err)
			}
			level := slog.LevelError
			if verbose {
				level = slog.LevelInfo
			}
			o.Version = version()
			o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			// A terminal that is closed, or a reader that went away, is no reason to leave anything behind.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
			defer stop()
			defer outliveReaders()()
			defer holdOut()()
			if output == "json" {
				return demoJSON(ctx, o, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return demoText(ctx, o, cmd.OutOrStdout())
		},
	}
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "of the builds: the same seed gives the same builds")
	cmd.Flags().IntVar(&o.Agents, "agents", 10, "of each controller, 1 to 200")
	cmd.Flags().DurationVar(&o.For, "for", 0, "end after this time (default: at Ctrl-C)")
	cmd.Flags().StringVar(&o.Listen, "listen", "", "address of the page and the API (default: a free port of 127.0.0.1)")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log every change of state to standard error")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json prints one object at the end and nothing else")
	return cmd
}

// demoJSON prints one object at the end. Where to look meanwhile is told to a terminal only.
func demoJSON(ctx context.Context, o demo.Options, out, errOut io.Writer) error {
	if isTerminal(errOut) {
		o.Begun = func(w demo.Where) { fmt.Fprint(errOut, demoPlaces(w)+demoWithout(w)) }
	}
	sum, err := demo.Run(ctx, o)
	if err != nil {
		return err
	}
	if isTerminal(errOut) && sum.Few() {
		fmt.Fprint(errOut, demoGain(sum))
	}
	return json.NewEncoder(out).Encode(sum)
}

// outliveReaders keeps SIGPIPE from ending the process, until the returned function is called. A write fails all the
// same where nobody reads: that tells standard output from the connection of a browser that was closed.
func outliveReaders() func() {
	unread := make(chan os.Signal, 1)
	signal.Notify(unread, syscall.SIGPIPE)
	return func() { signal.Stop(unread) }
}

func demoText(ctx context.Context, o demo.Options, out io.Writer) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	terminal := isTerminal(out)
	told := &demoOut{to: out, end: end}
	screen := &demoScreen{out: told, live: demoFits(out)}
	o.Begun, o.Tick = screen.begun, screen.tick
	sum, err := demo.Run(ctx, o)
	if err != nil {
		return err
	}
	screen.end(sum)
	if errors.Is(told.err, syscall.EPIPE) || terminal && errors.Is(told.err, syscall.EIO) {
		return nil // whoever read it has seen enough
	}
	return told.err
}

// demoOut ends a demo that can tell nobody how it goes.
type demoOut struct {
	to  io.Writer
	end func()
	err error // of the first write that failed
}

func (d *demoOut) Write(p []byte) (int, error) {
	n, err := d.to.Write(p)
	if err != nil && d.err == nil {
		d.err = err
		d.end()
	}
	return n, err
}

// demoScreen shows a demo: redrawn in place on a terminal, one line now and then elsewhere.
type demoScreen struct {
	out   io.Writer
	live  bool
	lines int       // to go up before the next drawing
	last  time.Time // of a line on something that is no terminal
}

// demoFits reports whether out is a terminal with room for what is redrawn in place.
func demoFits(out io.Writer) bool {
	if !isTerminal(out) || os.Getenv("TERM") == "dumb" {
		return false
	}
	columns, lines, err := term.GetSize(int(out.(*os.File).Fd()))
	return err == nil && columns >= 80 && lines >= 20
}

func (d *demoScreen) begun(w demo.Where) {
	fmt.Fprintf(d.out, `The same builds go to two simulated controllers with %s each. On one
pitcrew cleans between builds; on the other each job cleans its agent first, by
the same recipe.%s

%s
`, demoCount(w.Agents, "agent"), demoTroubles(w), demoPlaces(w)+demoWithout(w))
}

// demoWithout says once what this build lacks.
func demoWithout(w demo.Where) string {
	if !w.Shell {
		return ""
	}
	return "\nThis pitcrew was built without scrub, so shell steps clean in its place; \"make build\"\nmakes one that carries it.\n"
}

func demoPlaces(w demo.Where) string {
	return fmt.Sprintf("  Live page of the fleet   %s\n  Simulated controller     %s (its API; it has no pages)\n  Files                    %s\n  End                      Ctrl-C\n",
		w.Page, w.Jenkins, w.Dir)
}

// demoTroubles says what is wrong with the fleet from the beginning.
func demoTroubles(w demo.Where) string {
	if w.Sick+w.Flaky == 0 {
		return ""
	}
	return fmt.Sprintf(" Of each fleet %d cannot be cleaned, %d may fail now and then.", w.Sick, w.Flaky)
}

const lineEvery = 5 * time.Second

func (d *demoScreen) tick(s demo.Summary) {
	if d.live {
		d.draw(demoTable(s))
		return
	}
	if time.Since(d.last) < lineEvery {
		return
	}
	d.last = time.Now()
	fmt.Fprintf(d.out, "%4d s: wait %s, without pitcrew %s; builds failed %d, without %d\n",
		s.Seconds, demoTime(s.WaitOutOfBand), demoTime(s.WaitInBand), s.UserBuildsFailedByCleaning, s.InBand.UserBuildsFailedByCleaning)
}

// draw puts text in the place of what was drawn last, line by line and in one write, so that
// nothing flickers.
func (d *demoScreen) draw(text string) {
	var b strings.Builder
	if d.lines > 0 {
		fmt.Fprintf(&b, "\r\x1b[%dA", d.lines)
	}
	b.WriteString(strings.ReplaceAll(text, "\n", "\x1b[K\n"))
	b.WriteString("\x1b[J")
	d.lines = strings.Count(text, "\n")
	fmt.Fprint(d.out, b.String())
}

func (d *demoScreen) end(s demo.Summary) {
	text := demoTable(s) + "\n" + demoGain(s) + "No process and no file of the demo is left.\n"
	if d.live {
		d.draw(text)
		return
	}
	fmt.Fprint(d.out, "\n"+text)
}

// demoTable fits into 80 columns.
func demoTable(s demo.Summary) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-40s %14s %14s\n", fmt.Sprintf("After %d s", s.Seconds), "with pitcrew", "without")
	row := func(what string, with, without any) { fmt.Fprintf(&b, "  %-38s %14v %14v\n", what, with, without) }
	row("wait until a build begins (median)", demoTime(s.WaitOutOfBand), demoTime(s.WaitInBand))
	row("builds that ended", s.RealBuilds, s.InBand.RealBuilds)
	row("  of them failed by cleaning", s.UserBuildsFailedByCleaning, s.InBand.UserBuildsFailedByCleaning)
	row("builds begun on an unclean agent", s.Contaminated, "-")
	row("cleanups out of band", s.Cleanups, "-")
	row("  of them failed, failing no build", s.CleanupFailures, "-")
	row("agents now clean, in quarantine", fmt.Sprintf("%d of %d, %d", s.Clean, s.Agents, s.Quarantined), "-")
	row("from used to clean, beside the recipe", demoTime(s.TurnaroundOverhead), "-")
	requests := "-"
	if s.RequestsPerCleanup != nil {
		requests = fmt.Sprint(*s.RequestsPerCleanup)
	}
	row("requests to Jenkins per cleanup", requests, "-")
	return b.String()
}

// demoGain says in words what the numbers mean for those who wait for builds.
func demoGain(s demo.Summary) string {
	if s.Few() {
		return fmt.Sprintf("Too few builds to compare: %s ended with pitcrew, %d without. Give it\nlonger, or a machine that has less to do.\n",
			demoCount(s.RealBuilds, "build"), s.InBand.RealBuilds)
	}
	return fmt.Sprintf("With pitcrew half of the builds began within %s, without within %s.\nCleaning failed %s with pitcrew, and %d of %d without.\n",
		demoTime(s.WaitOutOfBand), demoTime(s.WaitInBand),
		demoCount(s.UserBuildsFailedByCleaning, "build"), s.InBand.UserBuildsFailedByCleaning, s.InBand.RealBuilds)
}

// demoCount is a number of things in words.
func demoCount(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// demoTime is a time in milliseconds for people.
func demoTime(ms *int64) string {
	switch {
	case ms == nil:
		return "-"
	case *ms < 1000:
		return fmt.Sprintf("%d ms", *ms)
	case *ms >= 100_000:
		return fmt.Sprintf("%d s", *ms/1000)
	}
	return fmt.Sprintf("%.1f s", float64(*ms)/1000)
}
