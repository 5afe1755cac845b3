// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options say which database to open, and how.
type Options struct {
	Path   string       // of the database file; it is created, its directory is not
	Owner  string       // who opens it, for those who find it locked
	Now    time.Time    // when it is opened; zero means time.Now()
	Logger *slog.Logger // nil: nothing is logged
}

// Store is an open database. Its methods may be called by many goroutines at once; changes
// happen one after the other, reads beside them.
type Store struct {
	path    string
	log     *slog.Logger
	lock    *os.File
	db      *sql.DB       // the one connection that writes
	turn    chan struct{} // held while it does
	group   group         // what waits for it
	readers *sql.DB
	writes  *rows.Queries
	reads   *rows.Queries

	lists    lists
	book     book
	epoch    atomic.Pointer[string]
	starts   int64
	watchers watchers
	seals    seals
	fault    atomic.Pointer[fault] // of the newest transaction; nil when it was none of the file's
}

// Open opens the database, creates or migrates it where needed, and keeps other processes out.
// A restored backup starts a new epoch. The errors a person can do something about are
// [*LockedError] and [*FileError]; a file that they refuse was not written to.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Path, err)
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	s := &Store{path: path, log: o.Logger, turn: make(chan struct{}, 1)}
	s.book.clear()
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open store: %w", explain(path, errors.Join(err, s.Close())))
		}
	}()
	if s.lock, err = lockFile(path, o); err != nil {
		return nil, err
	}
	if err := inspect(ctx, path); err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	return s, s.begin(ctx, o.Now)
}

// connect opens both handles, brings the schema up to date and prepares every statement once.
func (s *Store) connect(ctx context.Context) (err error) {
	if err := createFile(s.path); err != nil {
		return err
	}
	if s.db, err = sql.Open("sqlite", dsn(s.path, "_txlock=immediate")); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	if err := migrate(ctx, s.db); err != nil {
		return err
	}
	if s.readers, err = sql.Open("sqlite", dsn(s.path, "_query_only=1")); err != nil {
		return err
	}
	s.readers.SetMaxOpenConns(maxReaders)
	s.readers.SetMaxIdleConns(maxReaders)
	if s.writes, err = rows.Prepare(ctx, s.db); err != nil {
		return err
	}
	s.reads, err = rows.Prepare(ctx, s.readers)
	return err
}

const maxReaders = 4

// begin counts the start, and starts an epoch where the file has none of its own.
func (s *Store) begin(ctx context.Context, now time.Time) error {
	self, err := s.reads.Self(ctx)
	if err != nil {
		return fmt.Errorf("read store: %w", err)
	}
	s.epoch.Store(&self.Epoch)
	return s.write(ctx, func(ctx context.Context, t *txn) (err error) {
		if s.starts, err = t.CountStart(ctx); err != nil {
			return fmt.Errorf("count start: %w", err)
		}
		if self.Epoch == "" {
			return t.nameEpoch(ctx)
		}
		if self.Copied != 0 {
			return t.startEpoch(ctx, "a backup was restored", now)
		}
		return nil
	})
}

// Close ends all work on the database and lets others have it. It may be called more than once.
func (s *Store) Close() error {
	s.watchers.close()
	s.lists.close()
	var errs []error
	for _, db := range []*sql.DB{s.readers, s.db} { // the writer last: it empties the log
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, unlockFile(s.lock))
		s.lock = nil
	}
	return errors.Join(errs...)
}

// Epoch identifies the unbroken history that this file belongs to.
func (s *Store) Epoch() string { return *s.epoch.Load() }

// Starts is how often this file was opened. Compared with what was noted elsewhere, it shows
// that the file is an old copy.
func (s *Store) Starts() int64 { return s.starts }

// Path is the absolute path of the database file.
func (s *Store) Path() string { return s.path }

// createFile makes sure that nobody else can read what is stored; SQLite gives its other files
// the same mode.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// dsn holds every setting, so that each new connection of a pool has them.
func dsn(path string, more ...string) string {
	settings := append([]string{
		"_busy_timeout=5000", "_foreign_keys=1", "_journal_mode=WAL", "_synchronous=NORMAL",
		"_defensive=1", "_dqs=0", "_error_rc=1",
		"_pragma=cache_size(-16000)", "_pragma=temp_store(memory)",
		// Checkpoints cost two syncs each: have few of them, and let the log shrink again.
		"_pragma=wal_autocheckpoint(4000)", "_pragma=journal_size_limit(67108864)",
	}, more...)
	return fileURL(path) + "?" + strings.Join(settings, "&")
}

// fileURL lets a path hold the characters that mean something in a URL.
func fileURL(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/...
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

func migrate(ctx context.Context, db *sql.DB) error {
	p, err := migrator(db)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		if part, ok := errors.AsType[*goose.PartialError](err); ok {
			err = cmp.Or(part.Err, err)
		}
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func migrator(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, dir,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
}
