// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// network removes links, namespaces and rules by their names. Each is a step of its own, and they do not know each other.
type network struct {
	parts []networkPart
	of    map[string]int // the part that each deviation of the last look is from
}

// networkPart is a step that is one of several.
type networkPart struct {
	Step
	name string
}

func newNetwork(s spec.Spec, here Here) Step {
	return &network{
		parts: []networkPart{
			{&spaces{owned: s.Owned, proc: procfs.Machine, known: map[string]space{}}, "namespaces"},
			{&interfaces{owned: s.Owned, fabric: machineFabric, known: map[string]int{}}, "links"},
			{&nftables{owned: s.Owned, here: here}, "nftables"},
			{&iptables{owned: s.Owned, here: here, proc: procfs.Machine}, "iptables"},
		},
		of: map[string]int{},
	}
}

// Notes returns remarks on what the last look saw and leaves alone.
func (n *network) Notes() []string {
	var all []string
	for _, part := range n.parts {
		if p, ok := part.Step.(noter); ok {
			all = append(all, p.Notes()...)
		}
	}
	return all
}

// Look gathers what the parts find. What a machine does not have holds nothing that is owned; what cannot be looked at
// is a deviation that stays, so that it does not keep the others from being mended.
func (n *network) Look(ctx context.Context) ([]Deviation, error) {
	var all []Deviation
	clear(n.of)
	for i, part := range n.parts {
		found, err := part.Look(ctx)
		if ctx.Err() != nil {
			return nil, stopped(ctx)
		}
		if _, absent := errors.AsType[Absent](err); err != nil && !absent {
			found = append(found, unseen(part.name, err.Error()))
		}
		for _, d := range found {
			n.of[d.key()] = i
		}
		all = append(all, found...)
	}
	return all, nil
}

// Mend hands each part what it found.
func (n *network) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	for i, part := range n.parts {
		var at []int
		var its []Deviation
		for k, d := range found {
			if n.of[d.key()] == i {
				at, its = append(at, k), append(its, d)
			}
		}
		if len(its) == 0 {
			continue
		}
		for k, err := range part.Mend(ctx, its) {
			errs[at[k]] = err
		}
	}
	return errs
}
