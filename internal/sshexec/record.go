// SPDX-License-Identifier: Apache-2.0

package sshexec

import (
	"fmt"
	"slices"
	"sync"
)

// Record is a bounded memory of a program's output: its beginning and its end, each up to half the limit, and between them a line that
// says how much was left out. The report at the end of a log survives whatever stands before it. It is safe for concurrent use.
type Record struct {
	half int

	mu   sync.Mutex
	head []byte
	tail []byte // up to twice half, so that it is seldom moved
	cut  int64  // bytes between head and tail
}

// NewRecord returns a Record that keeps at most limit bytes.
func NewRecord(limit int) *Record { return &Record{half: max(limit/2, 1)} }

// Write never fails.
func (r *Record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(p)
	if free := r.half - len(r.head); free > 0 {
		free = min(free, len(p))
		r.head, p = append(r.head, p[:free]...), p[free:]
	}
	if over := len(p) - r.half; over > 0 { // so that one large write does not grow the tail
		r.cut += int64(over + len(r.tail))
		r.tail, p = r.tail[:0], p[over:]
	}
	r.tail = append(r.tail, p...)
	if len(r.tail) >= 2*r.half {
		r.trim()
	}
	return n, nil
}

func (r *Record) trim() {
	if over := len(r.tail) - r.half; over > 0 {
		r.cut += int64(over)
		r.tail = slices.Delete(r.tail, 0, over)
	}
}

// Bytes returns what is kept, and whether that is all.
func (r *Record) Bytes() (text []byte, whole bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim()
	if r.cut == 0 {
		return slices.Concat(r.head, r.tail), true
	}
	return slices.Concat(r.head, fmt.Appendf(nil, "\n[%d bytes left out]\n", r.cut), r.tail), false
}
