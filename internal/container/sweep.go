// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/client"
)

// Leftovers say where to look for what the dead have left.
type Leftovers struct {
	Engine string // as in [Image]; default: the same search
	Dir    string // as in [War]; default: the same
	// AnswerWithin is as in [Image].
	AnswerWithin time.Duration
	// Abandoned is the age at which things go whose owner cannot be judged, because it is of another machine or PID namespace. Zero: never.
	Abandoned time.Duration
}

// Sweep removes controllers of ours whose owner is dead, and says which. What belongs to a living owner stays, and so does what cannot be judged.
// Where no engine answers, the error is [ErrNoEngine], and homes of wars were swept all the same.
func Sweep(ctx context.Context, l Leftovers) (removed []string, err error) {
	now, me := time.Now(), self()
	boxes, err := sweepBoxes(ctx, l, me, now)
	homes, failed := sweepHomes(ctx, l, me, now)
	return append(boxes, homes...), errors.Join(err, failed)
}

func sweepBoxes(ctx context.Context, l Leftovers, me process, now time.Time) (removed []string, err error) {
	e, err := openEngine(ctx, l.Engine, l.AnswerWithin)
	if err != nil {
		return nil, fmt.Errorf("sweep ephemeral controllers: %w", err)
	}
	defer e.Close()
	all, cancel := e.bound(ctx)
	defer cancel()
	found, err := e.ContainerList(all, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", ownerLabel)})
	if err != nil {
		return nil, fmt.Errorf("list ephemeral controllers: %w", err)
	}
	for _, box := range found.Items {
		label, ours := box.Labels[ownerLabel]
		age := now.Sub(time.Unix(box.Created, 0))
		if !ours || !l.goes(me.fateOf(parseProcess(label), e.here), age) {
			continue
		}
		if failed := e.removeLeft(ctx, box.ID); failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		name := box.ID
		if len(box.Names) > 0 {
			name = box.Names[0]
		}
		removed = append(removed, "container "+trimName(name))
	}
	volumes, failed := e.sweepVolumes(ctx, l, me, now)
	return append(removed, volumes...), errors.Join(err, failed)
}

func (e *engine) removeLeft(ctx context.Context, id string) error {
	ctx, cancel := e.bound(ctx)
	defer cancel()
	return e.remove(ctx, id)
}

// goes decides.
func (l Leftovers) goes(f fate, age time.Duration) bool {
	return f == dead || f == unknown && l.Abandoned > 0 && age >= l.Abandoned
}

// trimName takes away the slash that engines put before names.
func trimName(name string) string {
	if name != "" && name[0] == '/' {
		return name[1:]
	}
	return name
}
