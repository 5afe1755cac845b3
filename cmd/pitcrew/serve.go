// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/app"
	"github.com/pitcrew-ci/pitcrew/internal/config"
)

func (c *cli) serveCommand() *cobra.Command {
	var path string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Long: `Run the daemon until it is told to stop by SIGINT or SIGTERM. SIGHUP reloads the
configuration; a bad one is refused, and the old one stays in force.

With --dry-run nothing is written anywhere, neither to Jenkins nor to the database. The
log and "pitcrew plan" show what would be done, as for a first start. On a loopback
address everybody on the machine may look then, without a token.`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), cmp.Or(path, c.getenv(envConfig), usualConfig), dryRun, c.err, c.colours(c.err))
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file ("+envConfig+"; default: "+usualConfig+")")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be done and write nothing anywhere")
	return cmd
}

func serve(ctx context.Context, path string, dryRun bool, stderr io.Writer, colours bool) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // before anything that takes time: one that comes meanwhile would end the daemon
	defer signal.Stop(hangup)
	holder, err := config.NewHolder(path)
	if err != nil {
		return badConfig(err)
	}
	c := holder.Current()
	log := newLogger(c.Log, stderr, colours)
	for _, w := range c.Warnings() {
		log.WarnContext(ctx, "configuration", "warning", w.String())
	}
	a, err := app.New(ctx, app.Options{Config: holder, Log: log, Version: version(), DryRun: dryRun})
	if err != nil {
		return err
	}
	stop := reloadOnHangup(ctx, a, hangup)
	defer stop()
	return a.Run(ctx)
}

// reloadOnHangup reloads the configuration at each signal, until the returned function is called.
func reloadOnHangup(ctx context.Context, a *app.App, hangup chan os.Signal) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hangup {
			_ = a.Reload(ctx, "SIGHUP") // it has logged what is wrong, and the old configuration stays
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
		<-done
	}
}

// newLogger logs text to a terminal, coloured if it may be, and JSON to anything else, unless told otherwise.
func newLogger(c config.Log, w io.Writer, colours bool) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	if c.Format == "json" || c.Format == "auto" && !isTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: "15:04:05", NoColor: !colours}))
}
