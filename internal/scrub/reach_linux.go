// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// surroundings judges whether names are known and servers answer. It makes nothing.
type surroundings struct {
	goal spec.Reach
	here Here
	// pause is how long to wait before another try.
	pause time.Duration
}

func newReach(s spec.Spec, here Here) Step {
	r := &surroundings{*s.Reach, here, time.Second}
	if r.goal.Wait == 0 {
		r.goal.Wait = 10
	}
	if r.goal.Tries == 0 {
		r.goal.Tries = 3
	}
	return r
}

// Look asks for all at once.
func (r *surroundings) Look(ctx context.Context) ([]Deviation, error) {
	all := make([]Deviation, len(r.goal.Names)+len(r.goal.Servers))
	var group sync.WaitGroup
	free := make(chan struct{}, hands)
	ask := func(i int, kind, id string, try func(context.Context) error) {
		group.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			if err := r.repeat(ctx, try); err != nil {
				all[i] = lack(kind, id, err.Error())
			}
		})
	}
	for i, name := range r.goal.Names {
		ask(i, "name", name, func(ctx context.Context) error {
			_, err := r.here.lookUp(ctx, name)
			return err
		})
	}
	for i, server := range r.goal.Servers {
		ask(len(r.goal.Names)+i, "server", server.URL, func(ctx context.Context) error { return r.answers(ctx, server) })
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil, stopped(ctx)
	}
	return slices.DeleteFunc(all, func(d Deviation) bool { return d.ID == "" }), nil
}

func (r *surroundings) Mend(_ context.Context, found []Deviation) []error {
	return make([]error, len(found))
}

// repeat tries until it succeeds, as often as wanted, and returns why the last try did not.
func (r *surroundings) repeat(ctx context.Context, try func(context.Context) error) (err error) {
	for n := range r.goal.Tries {
		if n > 0 {
			select {
			case <-time.After(r.pause):
			case <-ctx.Done():
				return stopped(ctx)
			}
		}
		short, cancel := context.WithTimeout(ctx, r.goal.Wait.Duration())
		err = try(short)
		late := short.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			return nil
		case late:
			err = fmt.Errorf("no answer within %s", r.goal.Wait.Duration())
		}
	}
	if r.goal.Tries > 1 {
		err = fmt.Errorf("%w (tried %d times)", err, r.goal.Tries)
	}
	return err
}

// answers returns why a server does not answer as it has to.
func (r *surroundings) answers(ctx context.Context, e spec.Endpoint) error {
	a, err := spec.ParseAddress(e.URL)
	if err != nil {
		return err
	}
	if a.Scheme == "tcp" {
		conn, err := r.here.dial(ctx, unix.SOCK_STREAM, a.Host, a.Port)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	answer, err := r.here.askHead(ctx, e.URL, r.goal.Direct)
	switch right := slices.Contains(e.Status, answer.status); {
	case err != nil:
		return err
	case len(e.Status) > 0 && !right:
		return fmt.Errorf("it answers with status %d; want %d", answer.status, e.Status)
	case len(e.Status) == 0 && (answer.status < 200 || answer.status > 399):
		return fmt.Errorf("it answers with status %d", answer.status)
	}
	return nil
}
