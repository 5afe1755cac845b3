// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/rtnetlink"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// interfaces removes virtual links. Members of a bridge or a bond that goes are released by the kernel and stay.
type interfaces struct {
	owned  spec.Ownership
	fabric func() (fabric, error)
	known  map[string]int // the numbers of the links that the last look found, by their names
	notes  []string
}

// machineFabric asks the kernel.
func machineFabric() (fabric, error) {
	all, err := rtnetlink.Links()
	if err != nil {
		return fabric{}, err
	}
	routes, err := rtnetlink.Routes()
	if err != nil {
		return fabric{}, err
	}
	hops, err := rtnetlink.Hops()
	if err != nil {
		return fabric{}, err
	}
	return newFabric(all, routes, hops)
}

// Notes returns remarks on what the last look saw and leaves alone.
func (l *interfaces) Notes() []string { return l.notes }

// Look finds the owned links, those that stand on others first.
func (l *interfaces) Look(context.Context) ([]Deviation, error) {
	f, err := l.fabric()
	if err != nil {
		return nil, err
	}
	l.notes = nil
	clear(l.known)
	ours, physical := f.ours(l.owned)
	for _, one := range physical {
		l.notes = append(l.notes, shown(one.Name)+" has an owned name, and is no link that anybody made: it is left alone")
	}
	stays := f.stays(ours)
	var found []Deviation
	for _, one := range ours {
		what := one.Kind
		if master, ok := f.links[one.Master]; ok {
			what += ", a member of " + shown(master.Name)
		}
		l.known[shown(one.Name)] = one.Index
		found = append(found, Deviation{spec.Residue{Kind: "link", ID: shown(one.Name), What: what}, stays[one.Index]})
	}
	return found, nil
}

// Mend removes the links, if what was true of them when they were looked at still is.
func (l *interfaces) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	f, err := l.fabric()
	ours, _ := f.ours(l.owned)
	stays := f.stays(ours)
	for i, d := range found {
		index := l.known[d.ID]
		switch still := slices.ContainsFunc(ours, func(one rtnetlink.Link) bool { return one.Index == index && shown(one.Name) == d.ID }); {
		case ctx.Err() != nil:
			errs[i] = stopped(ctx)
		case err != nil:
			errs[i] = err
		case !still: // it went with another, or is another now
		case stays[index] != "":
			errs[i] = errors.New(stays[index])
		default:
			errs[i] = notRemoved(rtnetlink.Remove(index))
		}
	}
	return errs
}

// notRemoved says in words why the kernel did not remove a link; nil if it did, or there is none.
func notRemoved(err error) error {
	switch {
	case err == nil, errors.Is(err, unix.ENODEV):
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return Final{errors.New("this needs root")}
	case errors.Is(err, unix.EOPNOTSUPP):
		return Final{fmt.Errorf("the kernel removes no link of this kind: %w", err)}
	}
	return err
}
