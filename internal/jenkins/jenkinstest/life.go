// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

// phase is where the controller is between starting and dying.
type phase int

const (
	phaseUp      phase = iota
	phaseDown          // process is gone: connections are refused
	phaseBooting       // 503 "getting ready"
	phaseReload        // 503 while configuration is read again
	phaseFailed        // boot failed: 503
	phaseAborted       // boot aborted by an Error: 500
	phaseClosed
)

var errControllerDied = errors.New("controller died")

// life is one incarnation of the controller process.
type life struct {
	number   uint64
	phase    phase
	loaded   bool   // the queue is maintained, though requests may still be refused
	session  string // X-Jenkins-Session
	started  time.Time
	quieting bool
	reason   string
	ctx      context.Context //nolint:containedctx // parent of all executors of this incarnation
	cancel   context.CancelCauseFunc
}

// begin starts the next incarnation.
func (l *life) begin(j *Jenkins) {
	l.number++
	l.phase, l.loaded, l.quieting, l.reason = phaseUp, true, false, ""
	l.started = time.Now()
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %d %d %s", j.opts.Version, l.started.UnixNano(), l.number, j.secretKey)
	l.session = fmt.Sprintf("%08x", h.Sum32())
	l.ctx, l.cancel = context.WithCancelCause(j.ctx)
}

// kill ends all executors' threads.
func (l *life) kill() { l.cancel(errControllerDied) }

// Session is the value of X-Jenkins-Session: it changes with each restart.
func (j *Jenkins) Session() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.life.session
}
