// SPDX-License-Identifier: Apache-2.0

package sshexec

import (
	"errors"
	"fmt"
)

// Kind is a class of trouble, as far as the caller's next step depends on it.
type Kind string

// The kinds of trouble.
const (
	Misconfigured   Kind = "misconfigured"     // a person must mend the target, a key or a known_hosts file
	Unreachable     Kind = "unreachable"       // no connection, or none in time
	HostKeyUnknown  Kind = "host key unknown"  // no pin for this host: Error.Line is the line to add, after checking the fingerprint
	HostKeyMismatch Kind = "host key mismatch" // the host is pinned and shows another key, or its key is revoked
	AuthRefused     Kind = "auth refused"      // the host does not take our keys for this user
	NotStarted      Kind = "not started"       // connected, but the far side could not take the program
	Lost            Kind = "lost connection"   // the outcome is unknown
	Unfinished      Kind = "unfinished"        // ended by us, because the context or the time limit said so
)

// ErrRunTimeout is the cause of an Unfinished error when Options.RunTimeout has passed.
var ErrRunTimeout = errors.New("run time limit has passed")

// ErrClosed says that the Executor was closed.
var ErrClosed = errors.New("executor is closed")

// Error is what Run returns when there is no exit status.
type Error struct {
	Kind Kind
	Addr string // the host that the trouble is with: the target or one of its jump hosts
	Line string // HostKeyUnknown: the known_hosts line for the key that the host showed
	Err  error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("ssh to %s: %s: %v", e.Addr, e.Kind, e.Err)
	if e.Line != "" {
		text += "; to trust it, add to known_hosts: " + e.Line
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// MayHaveRun says whether the program can have done anything on the far side. For every other kind of trouble nothing has been started.
func (e *Error) MayHaveRun() bool { return e.Kind == Lost || e.Kind == Unfinished }
