// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// inspect refuses a file that is not to be written to: damaged, of somebody else, or of a newer
// version. It only reads. A file that does not exist or is empty is fine.
func inspect(ctx context.Context, path string) (err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", fileURL(path)+"?mode=ro&_busy_timeout=5000&_error_rc=1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if err := sound(ctx, db, path); err != nil {
		return err
	}
	return known(ctx, db, path)
}

// sound looks at every page: a damaged file that is written to is harder to save.
func sound(ctx context.Context, db *sql.DB, path string) error {
	var said string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&said); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if said != "ok" {
		return &FileError{Path: path, Problem: ErrCorrupt, Remedy: remedies[ErrCorrupt], Err: errors.New(said)}
	}
	return nil
}

// known tells our schema, up to the version that this program has, from everything else.
func known(ctx context.Context, db *sql.DB, path string) error {
	var tables, ours int
	err := db.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(name IN ('goose_db_version', 'attempt')), 0)
		FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`).Scan(&tables, &ours)
	if err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	switch {
	case tables == 0:
		return nil
	case ours == 0, ours == 1 && tables > 1:
		return &FileError{Path: path, Problem: ErrForeign, Remedy: remedies[ErrForeign]}
	case ours == 1:
		return nil // killed between creating the table of versions and the first migration
	}
	var version, newest int64
	if err := db.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version").Scan(&version); err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	p, err := migrator(db)
	if err != nil {
		return err
	}
	for _, m := range p.ListSources() {
		newest = max(newest, m.Version)
	}
	if version > newest {
		return &FileError{
			Path: path, Problem: ErrNewer, Remedy: remedies[ErrNewer],
			Err: fmt.Errorf("schema %d, this program knows %d", version, newest),
		}
	}
	return nil
}
