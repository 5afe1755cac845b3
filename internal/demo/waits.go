// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// placed is an order that was given to a controller.
type placed struct {
	order
	id    string
	since time.Time
	// settled orders need no further look: their build has begun after wait, or has failed before
	// it could.
	settled, failed bool
	wait            time.Duration
}

// failedFirst stands in the place of the first line's time when the build was failed before.
const failedFirst = "failed"

// look reads what the build wrote down: the time of its own first line, in nanoseconds.
func (p *placed) look(dir string) {
	text, err := os.ReadFile(filepath.Join(dir, "first", p.id))
	if err != nil {
		return // it has not begun
	}
	first, whole := strings.CutSuffix(string(text), "\n")
	if !whole {
		return // it is just being written
	}
	if first == failedFirst {
		p.settled, p.failed = true, true
		return
	}
	if ns, err := strconv.ParseInt(first, 10, 64); err == nil {
		p.settled, p.wait = true, time.Unix(0, ns).Sub(p.since)
	}
}

// waits are the times from each order to the first line of its own build, in milliseconds: what the
// user's script says first, after whatever cleans the agent in the same build. An order whose build
// has not begun counts with the time that it has waited so far, so that orders which wait for ever
// are seen. One whose build was failed before its first line is left out: it counts as failed.
func (t *track) waits(now time.Time) []int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []int64
	for _, p := range t.orders {
		if !p.settled {
			p.look(t.dir)
		}
		switch {
		case p.failed:
		case p.settled:
			out = append(out, p.wait.Milliseconds())
		default:
			out = append(out, now.Sub(p.since).Milliseconds())
		}
	}
	return out
}

// median is the middle value, the higher one of two; nil without any value. It sorts the values.
func median(values []int64) *int64 {
	if len(values) == 0 {
		return nil
	}
	slices.Sort(values)
	return new(values[len(values)/2])
}
