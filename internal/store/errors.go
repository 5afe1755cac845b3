// SPDX-License-Identifier: Apache-2.0

package store

import (
	"database/sql"
	"errors"
	"fmt"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What a caller can find out about an error by [errors.Is].
var (
	// ErrNotFound: the store holds no such thing.
	ErrNotFound = errors.New("not found")
	// ErrUnchanged, returned by the function given to [Store.Change], leaves everything as it is.
	ErrUnchanged = errors.New("unchanged")
	// ErrConflict: somebody else changed the row meanwhile; load it again and decide anew.
	ErrConflict = errors.New("changed by somebody else meanwhile")
	// ErrExists: the name is taken.
	ErrExists = errors.New("exists already")
	// ErrNoSlot: every slot is taken.
	ErrNoSlot = errors.New("every slot is taken")
	// ErrUnauthorized: no token has this secret.
	ErrUnauthorized = errors.New("unknown token")
)

// What can be wrong with a database file; a [FileError] wraps one of them.
var (
	ErrCorrupt  = errors.New("the file is damaged")
	ErrForeign  = errors.New("the file is not a pitcrew database")
	ErrNewer    = errors.New("the file was written by a newer pitcrew")
	ErrReadOnly = errors.New("the file cannot be written")
	ErrFull     = errors.New("the disk is full")
)

// FileError is a database file that cannot be used, with what a person can do about it.
type FileError struct {
	Path    string
	Problem error // ErrCorrupt, ErrForeign, ErrNewer, ErrReadOnly or ErrFull
	Remedy  string
	Err     error // what the database said; may be nil
}

func (e *FileError) Error() string {
	said := ""
	if e.Err != nil {
		said = fmt.Sprintf(" (%v)", e.Err)
	}
	return fmt.Sprintf("%s: %v%s: %s", e.Path, e.Problem, said, e.Remedy)
}

// Unwrap gives the problem and its cause.
func (e *FileError) Unwrap() []error { return []error{e.Problem, e.Err} }

// remedies says what to do, by problem.
var remedies = map[error]string{
	ErrCorrupt:  "keep it as it is for inspection, and start from the newest backup",
	ErrForeign:  "it was left as it is; give another path",
	ErrNewer:    "it was left as it is; run that version, or start from a backup that this one wrote",
	ErrReadOnly: "let this user write to the file and its directory, and see whether the file system is mounted read-only",
	ErrFull:     "free some space; nothing was lost, the change that failed was not made",
}

// LockedError means that another process owns the database file.
type LockedError struct {
	Path  string
	Owner string // who it says it is
	PID   int    // 0 when it could not be read
	Host  string
	Since time.Time
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s: in use by another process", e.Path)
	}
	return fmt.Sprintf("%s: in use by %s, process %d on %s, since %s",
		e.Path, e.Owner, e.PID, e.Host, e.Since.Format(time.RFC3339))
}

// explain turns what the driver says into one of our errors where a caller or a person can do
// something about it. It is the only place that knows the driver's codes.
func explain(path string, err error) error {
	var own *FileError
	if err == nil || errors.As(err, &own) {
		return err
	}
	if isNoRow(err) {
		return ErrNotFound
	}
	if problem := problemOf(err); problem != nil {
		return &FileError{Path: path, Problem: problem, Remedy: remedies[problem], Err: err}
	}
	return err
}

func problemOf(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ErrFull
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES):
		return ErrReadOnly
	}
	var said *sqlite.Error
	if !errors.As(err, &said) {
		return nil
	}
	switch said.Code() & 0xff { // the low byte is the primary code
	case sqlite3.SQLITE_CORRUPT:
		return ErrCorrupt
	case sqlite3.SQLITE_NOTADB:
		return ErrForeign
	case sqlite3.SQLITE_FULL:
		return ErrFull
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return ErrReadOnly
	}
	return nil
}

func isNoRow(err error) bool { return errors.Is(err, sql.ErrNoRows) }
