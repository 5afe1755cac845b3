// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"time"
)

// fault is why the newest transaction that wrote could not.
type fault struct {
	err *FileError
	at  time.Time
}

// faultFor is how long a fault is believed. What waits to be written is tried again more often.
const faultFor = 5 * time.Minute

// Fault returns why the newest change could not be written, such as a full disk, and when that was, or nil.
// Only a change tells that it is over: where none is due it is believed for some minutes.
func (s *Store) Fault(now time.Time) (at time.Time, err error) {
	if f := s.fault.Load(); f != nil && now.Sub(f.at) < faultFor {
		return f.at, f.err
	}
	return time.Time{}, nil
}

// noteFault keeps what the end of a transaction says about the file, and logs it when it changes.
// Other errors say nothing about the file.
func (s *Store) noteFault(ctx context.Context, err error, now time.Time) {
	old := s.fault.Load()
	var bad *FileError
	switch {
	case err == nil && old != nil:
		s.fault.Store(nil)
		s.log.InfoContext(ctx, "the database can be written again", "path", s.path)
	case errors.As(err, &bad):
		s.fault.Store(&fault{bad, now})
		if old == nil || !errors.Is(old.err.Problem, bad.Problem) {
			s.log.ErrorContext(ctx, "the database cannot be written", "err", err)
		}
	}
}
