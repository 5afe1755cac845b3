// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// holder is what the owner of a database file writes into the lock file beside it.
type holder struct {
	Owner string    `json:"owner"`
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// errHeld means that another process, or another Store of this one, has the lock.
var errHeld = errors.New("held")

// lockFile locks path for this process. The lock is the operating system's: it ends with its
// owner, however that dies. The file stays, since removing it would race with the next owner.
func lockFile(path string, o Options) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); errors.Is(err, errHeld) {
		return nil, errors.Join(heldBy(path, f), f.Close())
	} else if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	if err := sign(f, o); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", f.Name(), err), unlockFile(f))
	}
	return f, nil
}

func sign(f *os.File, o Options) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	text, err := json.Marshal(holder{Owner: cmp.Or(o.Owner, "pitcrew"), PID: os.Getpid(), Host: host, Since: o.Now.UTC()})
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(append(text, '\n'), 0)
	return err
}

// heldBy reads who holds the lock. The owner may be just about to write that down.
func heldBy(path string, f *os.File) *LockedError {
	locked := &LockedError{Path: path}
	var h holder
	if text, err := io.ReadAll(io.LimitReader(f, 1<<16)); err == nil && json.Unmarshal(text, &h) == nil {
		locked.Owner, locked.PID, locked.Host, locked.Since = h.Owner, h.PID, h.Host, h.Since
	}
	return locked
}

// unlockFile empties the file first: nobody holds it from here on. To close it would not be enough: a
// process that is just being started has a copy of the handle until it runs its own program.
func unlockFile(f *os.File) error {
	return errors.Join(f.Truncate(0), unlock(f), f.Close())
}
