// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// undoWithin bounds one step of the way back.
const undoWithin = 3 * time.Minute

// Undo is what a rehearsal has made and has to take back, the last first. It is safe for use by several goroutines.
type Undo struct {
	mu   sync.Mutex
	todo []*deed
}

type deed struct {
	what string // with where it is, for people
	back func(context.Context) error
	part *Undo // that back runs; nil = it is one thing
	done bool
}

// Push notes what is about to be made; back must take what is not there for success.
func (u *Undo) Push(what string, back func(context.Context) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.todo = append(u.todo, &deed{what: what, back: back})
}

// Part returns a part of u, which can be run before the rest.
func (u *Undo) Part(what string) *Undo {
	part := &Undo{}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.todo = append(u.todo, &deed{what: what, back: part.Run, part: part})
	return part
}

// Run takes everything back, the last first, whatever fails in between, and whether ctx has ended or not.
func (u *Undo) Run(ctx context.Context) error {
	u.mu.Lock()
	todo := slices.Clone(u.todo)
	u.mu.Unlock()
	var errs []error
	for _, d := range slices.Backward(todo) {
		if err := u.undo(context.WithoutCancel(ctx), d); err != nil {
			errs = append(errs, fmt.Errorf("left behind: %s: %w", d.what, err))
		}
	}
	return errors.Join(errs...)
}

func (u *Undo) undo(ctx context.Context, d *deed) (err error) {
	u.mu.Lock()
	done := d.done
	u.mu.Unlock()
	if done {
		return nil
	}
	if d.part == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, undoWithin)
		defer cancel()
	}
	defer func() {
		if cause := recover(); cause != nil { // the rest has to be taken back all the same
			err = fmt.Errorf("panic: %v", cause)
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		d.done = err == nil
	}()
	return d.back(ctx)
}

// Left says what is not taken back yet.
func (u *Undo) Left() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var left []string
	for _, d := range u.todo {
		switch {
		case d.done:
		case d.part != nil:
			left = append(left, d.part.Left()...)
		default:
			left = append(left, d.what)
		}
	}
	return left
}
