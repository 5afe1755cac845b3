// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/dockerapi"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// engines proves that the container engines of the machine run containers.
//
// What it makes bears a label of this agent, and what bears that goes before and after: so what a run left that was killed
// is gone after the next one.
type engines struct {
	goal  spec.Engine
	usual []string
	label string
	// ready are the engines that have the image, as the last look saw them.
	ready []readyEngine
}

type readyEngine struct {
	*dockerapi.Engine
	socket, image string
}

func newEngines(s spec.Spec, here Here) Step {
	e := &engines{goal: *s.Engine, usual: usualSockets()}
	if e.goal.Wait == 0 {
		e.goal.Wait = 60
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(here.Agent + "\n" + strings.TrimSuffix(here.Controller, "/"))) // never fails
	e.label = fmt.Sprintf("%x", h.Sum64())
	return e
}

// proofLabel is the label of containers that prove something; its value stands for the agent.
const proofLabel = "pitcrew.proof"

// Look finds engines that do not answer or do not have the image.
func (e *engines) Look(ctx context.Context) ([]Deviation, error) {
	e.ready = nil
	sockets := e.goal.Sockets
	if len(sockets) == 0 {
		var err error
		sockets, err = (&containers{usual: e.usual}).sockets()
		if absent, none := errors.AsType[Absent](err); none {
			return []Deviation{lack("engine", "container engine", absent.Reason)}, nil
		}
		if err != nil {
			return nil, err
		}
	}
	var found, barred []Deviation
	for _, socket := range sockets {
		d, err := e.lookAt(ctx, socket)
		switch {
		case ctx.Err() != nil:
			return nil, stopped(ctx)
		case errors.Is(err, fs.ErrPermission) && len(e.goal.Sockets) == 0: // that of somebody else, unless it is all there is
			barred = append(barred, lack("engine", socket, "it does not serve this user: "+err.Error()))
		case err != nil:
			found = append(found, lack("engine", socket, err.Error()))
		case d.ID != "":
			found = append(found, d)
		}
	}
	if len(found)+len(e.ready) == 0 {
		found = barred
	}
	return found, nil
}

func (e *engines) lookAt(ctx context.Context, socket string) (d Deviation, err error) {
	engine, err := dockerapi.Open(ctx, socket)
	if err != nil {
		return d, err
	}
	name, wanted, err := e.goal.Wanted()
	if err != nil {
		return d, err
	}
	images, err := engine.Images(ctx)
	if err != nil {
		return d, err
	}
	for _, i := range images {
		if "sha256:"+i.ID == wanted.Digest() && name == wanted.Digest() || slices.ContainsFunc(slices.Concat(i.Tags, i.Digests), wanted.Matches) {
			e.ready = append(e.ready, readyEngine{engine, socket, i.ID})
			return d, nil
		}
	}
	d = Deviation{Residue: spec.Residue{Kind: "image", ID: socket, What: "it has no image " + name}}
	if !e.goal.Pull {
		d.Stays = d.What + "; let a step of the setup phase pull it"
	}
	return d, nil
}

// Mend pulls the image where that is wanted.
func (e *engines) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	name, _, _ := e.goal.Wanted() // Look has read it
	for i, d := range found {
		engine, err := dockerapi.Open(ctx, d.ID)
		if err == nil {
			err = engine.Pull(ctx, name)
		}
		errs[i] = err
	}
	return errs
}

// Prove has each engine run a container.
func (e *engines) Prove(ctx context.Context) ([]Deviation, error) {
	var found []Deviation
	for _, engine := range e.ready {
		if err := e.try(ctx, engine); err != nil {
			found = append(found, lack("engine", engine.socket, err.Error()))
		}
		if ctx.Err() != nil {
			return found, stopped(ctx)
		}
	}
	return found, nil
}

// try runs a container and takes it away, whatever became of it.
func (e *engines) try(ctx context.Context, engine readyEngine) error {
	if err := engine.RemoveLabelled(ctx, proofLabel, e.label); err != nil {
		return fmt.Errorf("remove what an earlier proof left: %w", err)
	}
	failed := e.run(ctx, engine)
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearing-time.Second)
	defer cancel()
	if err := engine.RemoveLabelled(late, proofLabel, e.label); err != nil {
		return errors.Join(failed, fmt.Errorf("the container of the proof (label %s=%s) is still there: %w", proofLabel, e.label, err))
	}
	return failed
}

func (e *engines) run(ctx context.Context, engine readyEngine) error {
	short, cancel := context.WithTimeout(ctx, e.goal.Wait.Duration())
	defer cancel()
	wish := dockerapi.Wish{Image: engine.image, Run: e.goal.Run, Network: e.goal.Network, LabelKey: proofLabel, LabelValue: e.label}
	if wish.Network == "" {
		wish.Network = "none"
	}
	id, err := engine.Create(short, wish)
	if err != nil {
		return e.late(ctx, short, fmt.Errorf("create a container: %w", err))
	}
	if err := engine.Start(short, id); err != nil {
		return e.late(ctx, short, fmt.Errorf("start a container: %w", err))
	}
	code, err := engine.Wait(short, id)
	if err != nil {
		return e.late(ctx, short, fmt.Errorf("wait for a container: %w", err))
	}
	said, err := engine.Output(short, id)
	switch {
	case code != 0:
		return fmt.Errorf("a container ran and exited with %d: %s", code, oneLine([]byte(said)))
	case e.goal.Says == "":
		return nil
	case err != nil:
		return e.late(ctx, short, fmt.Errorf("read what a container said: %w", err))
	case !strings.Contains(said, e.goal.Says):
		return fmt.Errorf("a container ran, and did not say %q: %s", e.goal.Says, oneLine([]byte(said)))
	}
	return nil
}

// late says so if it is for its own time that something failed.
func (e *engines) late(ctx, short context.Context, err error) error {
	if short.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("it has not run a container to its end within %s (%w)", e.goal.Wait.Duration(), err)
	}
	return err
}
