// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"fmt"
	"path"
	"sync"
)

// simulatedLink is the connection of an agent whose steps a Go function runs.
type simulatedLink struct {
	execute func(context.Context, Step) StepResult
	done    chan struct{}
	once    sync.Once
}

func newSimulatedLink(execute func(context.Context, Step) StepResult) *simulatedLink {
	return &simulatedLink{execute: execute, done: make(chan struct{})}
}

func (l *simulatedLink) Done() <-chan struct{} { return l.done }
func (l *simulatedLink) Close(string)          { l.once.Do(func() { close(l.done) }) }

// Reap has nothing to kill: simulated steps leave no processes.
func (l *simulatedLink) Reap(context.Context, map[string]string) error { return nil }

func (l *simulatedLink) Run(ctx context.Context, s Step) StepResult {
	args := "/bin/sh -xe"
	if len(s.Args) > 0 {
		args = s.Args[0]
	}
	fmt.Fprintf(s.Out, "[%s] $ %s /tmp/jenkins%d.sh\n", path.Base(s.Workspace), args, mix(hashName(s.Job), hashName(s.Agent))>>1)
	if l.execute == nil {
		return StepResult{}
	}
	stepCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &tap{w: s.Out}
	s.Out = out
	ended := make(chan StepResult, 1)
	go func() { ended <- l.execute(stepCtx, s) }()
	select {
	case r := <-ended:
		select {
		case <-l.done:
			return StepResult{Err: ErrLinkLost}
		default:
			return r
		}
	case <-ctx.Done(): // what it says from now on is lost
		out.close()
		return StepResult{Err: context.Cause(ctx)}
	case <-l.done:
		cancel()
		<-ended
		return StepResult{Err: ErrLinkLost}
	}
}
