// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// checkEvery is how often it is looked whether a controller was restarted since it was checked: it may be another version
// then, with other permissions.
const checkEvery = 10 * time.Second

// mostJobs is how many jobs are looked at when a controller is checked by itself: the list takes a request for each folder.
const mostJobs = 1000

// onConnect calls check a moment after a controller was seen for the first time, and after each of its restarts, until ctx ends.
func onConnect(ctx context.Context, seen func() *reconcile.Look, check func(context.Context)) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	checked, session := false, ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if look := seen(); look != nil && (!checked || look.Session != session) {
			checked, session = true, look.Session
			check(ctx)
		}
	}
}

// check looks whether pitcrew can work with a controller, as doctor does, and tells the log and the metrics.
func (a *App) check(ctx context.Context, r *crewRun) {
	found := examined{r.client, a.Version.Version}.Check(ctx, checkOptions(r.crew.Settings(), r.crew.Owns))
	if ctx.Err() == nil {
		a.tellFindings(ctx, r.config.Name, found)
	}
}

func checkOptions(s *reconcile.Settings, owns func(job string) bool) jenkins.CheckOptions {
	return jenkins.CheckOptions{Names: labelexpr.Names(s.Labels), Folder: s.Jobs.Folder, MostJobs: mostJobs, Owns: owns}
}

func (a *App) tellFindings(ctx context.Context, controller string, found []jenkins.Finding) {
	count := map[jenkins.Level]int{}
	for _, f := range found {
		if f.Level == jenkins.LevelOK {
			continue
		}
		count[f.Level]++
		level := slog.LevelInfo
		switch f.Level {
		case jenkins.LevelOK, jenkins.LevelNote:
		case jenkins.LevelWarn:
			level = slog.LevelWarn
		case jenkins.LevelFail:
			level = slog.LevelError
		}
		a.Log.Log(ctx, level, "controller was checked", "controller", controller, "topic", f.Topic, "finding", f.Message, "remedy", f.Remedy)
	}
	for _, level := range []jenkins.Level{jenkins.LevelWarn, jenkins.LevelFail} {
		a.metrics.findings.WithLabelValues(controller, string(level)).Set(float64(count[level]))
	}
	if count[jenkins.LevelWarn]+count[jenkins.LevelFail] == 0 {
		a.Log.InfoContext(ctx, "controller was checked", "controller", controller, "finding", "pitcrew can work with it")
	}
}
