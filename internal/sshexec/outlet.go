// SPDX-License-Identifier: Apache-2.0

package sshexec

import (
	"io"
	"sync"
)

// outlet passes a program's output on until it is detached, so that whatever still writes on the far side reaches nobody's memory. It
// never fails: output that nobody takes must not stop the program.
type outlet struct {
	wrote chan struct{} // gets a token when there was output

	mu  sync.Mutex
	to  io.Writer // nil: detached
	err error     // of the first write that failed
}

func newOutlet(to io.Writer) *outlet { return &outlet{to: to, wrote: make(chan struct{}, 1)} }

func (o *outlet) Write(p []byte) (int, error) {
	select {
	case o.wrote <- struct{}{}:
	default:
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to != nil && o.err == nil {
		_, o.err = o.to.Write(p)
	}
	return len(p), nil
}

// detach ends all writing and returns the error that there was.
func (o *outlet) detach() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to = nil
	return o.err
}
