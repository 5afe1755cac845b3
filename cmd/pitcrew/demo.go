// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
no network and no root, listens on 127.0.0.1 only, and leaves no process and no file.`,
		Example: "  pitcrew demo\n  pitcrew demo --agents 20 --seed 7 --for 1m\n  pitcrew demo --for 30s -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return exit(exitUsage, fmt.Errorf("output %q: want json, or nothing for text", output))
			}
			level := slog.LevelError
			if verbose {
				level = slog.LevelInfo
			}
			o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			return runDemo(cmd.Context(), o, output == "json", cmd.OutOrStdout())
		},
	}
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "of the builds: the same seed gives the same builds")
	cmd.Flags().IntVar(&o.Agents, "agents", 10, "of each controller")
	cmd.Flags().DurationVar(&o.For, "for", 0, "end after this time (default: at Ctrl-C)")
	cmd.Flags().StringVar(&o.Listen, "listen", "", "address of the page and the API (default: a free port of 127.0.0.1)")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log every change of state to standard error")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json prints one object at the end and nothing else")
	return cmd
}

func runDemo(ctx context.Context, o demo.Options, asJSON bool, out io.Writer) error {
	o.Version = version()
	if asJSON {
		sum, err := demo.Run(ctx, o)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(sum)
	}
	screen := &demoScreen{out: out, live: isTerminal(out)}
	o.Begun, o.Tick = screen.begun, screen.tick
	sum, err := demo.Run(ctx, o)
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	screen.end(sum)
	return nil
}

// demoScreen shows a demo: redrawn in place on a terminal, one line now and then elsewhere.
type demoScreen struct {
	out   io.Writer
	live  bool
	lines int       // to go up before the next drawing
	last  time.Time // of a line on something that is no terminal
}

func (d *demoScreen) begun(w demo.Where) {
	fmt.Fprintf(d.out, "Live page of the fleet:  %s\nSimulated controller:    %s\nFiles of the demo:       %s\nEnd with Ctrl-C.\n\n", w.Page, w.Jenkins, w.Dir)
}

const lineEvery = 5 * time.Second

func (d *demoScreen) tick(s demo.Summary) {
	if d.live {
		text := demoTable(s)
		if d.lines > 0 {
			fmt.Fprintf(d.out, "\x1b[%dA\x1b[J", d.lines)
		}
		d.lines = strings.Count(text, "\n")
		fmt.Fprint(d.out, text)
		return
	}
	if time.Since(d.last) < lineEvery {
		return
	}
	d.last = time.Now()
	fmt.Fprintf(d.out, "%3ds  %d of %d clean, %d builds, %d cleanups (%d failed), wait %s with pitcrew, %s without\n",
		s.Seconds, s.Clean, s.Agents, s.RealBuilds, s.Cleanups, s.CleanupFailures, seconds(s.WaitOutOfBand), seconds(s.WaitInBand))
}

func (d *demoScreen) end(s demo.Summary) {
	if d.live && d.lines > 0 {
		fmt.Fprintf(d.out, "\x1b[%dA\x1b[J", d.lines)
	}
	fmt.Fprint(d.out, "\n"+demoTable(s)+"\nNo process and no file of the demo is left.\n")
}

// demoTable fits into 80 columns.
func demoTable(s demo.Summary) string {
	var b strings.Builder
	fmt.Fprintf(&b, "After %d s with %d agents        with pitcrew    cleaning in each job\n", s.Seconds, s.Agents)
	row := func(what string, with, without any) { fmt.Fprintf(&b, "  %-32s %11v    %11v\n", what, with, without) }
	row("builds ended", s.RealBuilds, s.InBand.RealBuilds)
	row("builds failed by cleaning", s.UserBuildsFailedByCleaning, s.InBand.UserBuildsFailedByCleaning)
	row("wait for a build's first line", seconds(s.WaitOutOfBand), seconds(s.WaitInBand))
	row("builds on a used agent", s.Contaminated, "-")
	row("cleanups", s.Cleanups, "-")
	row("  of them failed", s.CleanupFailures, "-")
	row("agents in quarantine", s.Quarantined, "-")
	row("overhead from used to clean", seconds(s.TurnaroundOverhead), "-")
	row("requests to Jenkins per cleanup", s.RequestsPerCleanup, "-")
	return b.String()
}

func seconds(ms int64) string { return fmt.Sprintf("%.1f s", float64(ms)/1000) }
