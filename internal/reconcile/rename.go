// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// dropSpellings takes the labels off that this daemon wrote under earlier names: nobody else would, and jobs
// that ask for the old clean would go on getting agents that nobody cleans. It returns the names that may
// still be in use, the present ones last: the owner's mark keeps them until no agent bears the others.
func (c *Crew) dropSpellings(ctx context.Context, s *Settings, written []hygiene.Names, look *Look) ([]hygiene.Names, error) {
	var kept []hygiene.Names
	for _, old := range written {
		if old == s.Labels {
			continue
		}
		done, err := c.dropSpelling(ctx, s, old, look)
		if err != nil {
			return nil, err
		}
		if !done {
			kept = append(kept, old)
		}
	}
	return append(kept, s.Labels), nil
}

// dropSpelling takes our labels in an old spelling off, and reports whether no agent bore them: what was written
// is looked at again, since a cleanup under the old names may just have been ending. An agent that cannot be
// written to now keeps none of the others waiting.
func (c *Crew) dropSpelling(ctx context.Context, s *Settings, old hygiene.Names, look *Look) (done bool, err error) {
	done = true
	for name, seen := range look.Agents {
		if seen.BuiltIn || len(respelt(seen.Labels, old, s.Labels)) == len(seen.Labels) {
			continue
		}
		done = false
		if !seen.Idle && seen.Hidden && len(seen.Running) == 0 {
			continue // something is starting there, which the edit could break
		}
		if err := c.respell(ctx, name, old, s.Labels); err != nil {
			if ctx.Err() != nil {
				return false, err
			}
			c.Log.WarnContext(ctx, "labels of an earlier spelling could not be taken off", "agent", name, "err", err)
		}
	}
	return done, nil
}

// respelt returns labels without the old clean and dirty, if the old cleanable is among them: that is a
// person's, and stays.
func respelt(labels []string, old, now hygiene.Names) []string {
	if !slices.Contains(labels, old.Cleanable) {
		return labels
	}
	return slices.DeleteFunc(slices.Clone(labels), func(l string) bool {
		return (l == old.Clean || l == old.Dirty) && l != now.Clean && l != now.Dirty
	})
}

// respell writes what respelt says for the labels as they are at that moment.
func (c *Crew) respell(ctx context.Context, name string, old, now hygiene.Names) error {
	wrote := false
	_, err := c.Jenkins.EditLabels(ctx, name, func(n jenkins.NodeConfig) ([]string, error) {
		left := respelt(n.Labels, old, now)
		if wrote = len(left) < len(n.Labels); !wrote {
			return nil, jenkins.ErrNoChange
		}
		return left, nil
	})
	switch {
	case jenkins.IsNotFound(err):
		return nil
	case err != nil || !wrote:
		return err
	}
	return c.tellRespelt(ctx, name, old, now)
}

func (c *Crew) tellRespelt(ctx context.Context, name string, old, now hygiene.Names) error {
	a, _, err := c.Store.Agent(ctx, c.agentID(name))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	a.ID = c.agentID(name)
	at := time.Now()
	e := event(hygiene.EventRelabelled, a, fmt.Sprintf("the configuration's labels are %s, %s, %s now: %s and %s were taken off",
		now.Cleanable, now.Dirty, now.Clean, old.Dirty, old.Clean))
	e.At, e.Before, e.After = at, a.State, a.State
	c.Log.InfoContext(ctx, "labels of an earlier spelling taken off", "agent", name)
	c.Watch.Changed(e)
	return c.Store.Append(ctx, at, e)
}
