// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// purgeEvery is how often history that is too old is removed.
const purgeEvery = time.Hour

// purge removes old history until ctx ends.
func (a *App) purge(ctx context.Context) error {
	ticker := time.NewTicker(purgeEvery)
	defer ticker.Stop()
	for {
		r := a.Config.Current().Retention
		removed, err := a.store.Purge(ctx, time.Now(), store.Retention{
			Events: r.Events.Std(), Attempts: r.Attempts.Std(), Logs: r.Logs.Std(), Builds: r.Attempts.Std(),
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			a.Log.ErrorContext(ctx, "old history could not be removed", "err", err)
		case removed != store.Purged{}:
			a.Log.InfoContext(ctx, "old history was removed", "events", removed.Events, "attempts", removed.Attempts, "logs", removed.Logs, "builds", removed.Builds)
		}
		if err := a.purgeRollouts(ctx, time.Now().Add(-r.Events.Std())); err != nil && ctx.Err() == nil {
			a.Log.ErrorContext(ctx, "programs that nothing refers to could not be removed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// TokenFile is the name of the file, in the data directory, with the token that the first start
// makes, so that the command line on the same machine can speak to the daemon.
const TokenFile = "admin.token"

// bootstrapToken makes an admin token at the first start, and leaves it where only the daemon's
// user can read it. A dry run takes the one that lies there.
func (a *App) bootstrapToken(ctx context.Context) error {
	if a.DryRun {
		return a.borrowToken(ctx)
	}
	tokens, err := a.store.Tokens(ctx)
	if err != nil || len(tokens) > 0 {
		return err
	}
	now := time.Now()
	secret, err := a.store.CreateToken(ctx, "local-admin", store.Admin, now, hygiene.Event{
		Type: hygiene.EventTokenMade, At: now, Actor: "pitcrew", Subject: "local-admin", Reason: "as admin, at the first start",
	})
	if err != nil {
		return err
	}
	path := filepath.Join(a.Config.Current().Data, TokenFile)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("leave the first token: %w", err)
	}
	err = f.Chmod(0o600) // one that lay there may be open to others
	if err == nil {
		_, err = f.WriteString(secret + "\n")
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("leave the first token in %s: %w", path, err)
	}
	a.Log.InfoContext(ctx, "the first admin token is made", "file", path)
	return nil
}

// borrowToken lets the token that an earlier start left count in a dry run, whose store is a new one:
// the command line on this machine sends it.
func (a *App) borrowToken(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(a.Config.Current().Data, TokenFile))
	if secret := strings.TrimSpace(string(text)); err == nil && secret != "" {
		return a.store.AdoptToken(ctx, "local-admin", store.Admin, secret, time.Now())
	}
	return nil // there is none that the command line could read either
}
