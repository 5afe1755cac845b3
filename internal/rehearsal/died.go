// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"context"
	"errors"
)

// Mortal is a controller that is there for one rehearsal: when it has died, all that was made there is gone, too.
type Mortal interface {
	Done() <-chan struct{} // closed when it has ended
	Err() error            // how it died; nil while it lives, and when it was stopped
}

// errDied ends what is done on borrowed agents. How it died is said apart, with its log.
var errDied = errors.New("the controller of the rehearsal died")

// life is a context that ends with the controller.
func (r *Rehearsal) life(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.Controller == nil {
		return context.WithCancel(ctx)
	}
	life, end := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	r.keeping.Go(func() {
		select {
		case <-stop:
		case <-r.Controller.Done():
			if err := r.Controller.Err(); err != nil {
				r.Say(err.Error())
				end(errDied)
			}
		}
	})
	return life, func() {
		close(stop)
		end(nil)
	}
}

// died reports whether the controller has.
func (r *Rehearsal) died() bool {
	if r.Controller == nil {
		return false
	}
	select {
	case <-r.Controller.Done():
		return r.Controller.Err() != nil
	default:
		return false
	}
}

// there is a way back for what was made at the controller.
func (r *Rehearsal) there(back func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if r.died() {
			return nil
		}
		err := back(ctx)
		if err != nil && r.died() { // meanwhile
			return nil
		}
		return err
	}
}
