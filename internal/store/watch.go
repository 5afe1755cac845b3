// SPDX-License-Identifier: Apache-2.0

package store

import "sync"

// watchers are told that there may be new events. They are not told which: a watcher that was
// slow, or missed a poke, finds everything by reading on from the last event it has seen.
type watchers struct {
	mu     sync.Mutex
	all    map[chan struct{}]bool
	closed bool
}

// WatchEvents returns a channel that receives a value after events were committed; many commits
// may give one value. It is closed by stop, and when the store is.
func (s *Store) WatchEvents() (ch <-chan struct{}, stop func()) {
	w := &s.watchers
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		close(c)
		return c, func() {}
	}
	if w.all == nil {
		w.all = map[chan struct{}]bool{}
	}
	w.all[c] = true
	return c, func() { w.drop(c) }
}

func (w *watchers) drop(c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all[c] {
		delete(w.all, c)
		close(c)
	}
}

func (w *watchers) poke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.all {
		select {
		case c <- struct{}{}:
		default: // it has not yet taken the last one
		}
	}
}

func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for c := range w.all {
		delete(w.all, c)
		close(c)
	}
}
