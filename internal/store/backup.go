// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Backup writes a copy of the database, as of one moment, while work goes on. Opening the copy
// starts a new epoch. It refuses to overwrite a file, and leaves nothing behind when it fails.
// Once it returns, the copy is on the disk.
func (s *Store) Backup(ctx context.Context, path string) error {
	if err := s.backup(ctx, path); err != nil {
		return fmt.Errorf("back up to %s: %w", path, explain(path, err))
	}
	return nil
}

func (s *Store) backup(ctx context.Context, path string) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return ErrExists
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".pitcrew-backup-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	part := filepath.Join(dir, "backup.db")
	if err := createFile(part); err != nil {
		return err
	}
	if err := s.copyTo(ctx, part); err != nil {
		return err
	}
	if err := markCopied(ctx, part); err != nil {
		return err
	}
	if err := os.Link(part, path); errors.Is(err, fs.ErrExist) { // unlike a rename, it overwrites nothing
		return ErrExists
	} else if err != nil {
		return err
	}
	return flush(filepath.Dir(path))
}

// copyTo reads through a connection of its own: those of the pool may not write anywhere.
func (s *Store) copyTo(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", fileURL(s.path)+"?_busy_timeout=5000")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "VACUUM INTO $1", path); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	return nil
}

// markCopied also brings the copy to the disk: the commit waits for the whole file.
func markCopied(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", fileURL(path)+"?_synchronous=FULL")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "UPDATE store SET copied = 1"); err != nil {
		return fmt.Errorf("mark the copy: %w", err)
	}
	return nil
}

// flush waits until the names in a directory are on the disk.
func flush(path string) error {
	if runtime.GOOS == "windows" { // it has no such call for directories
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
