// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"fmt"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// disk judges the room on file systems. It removes nothing: what may go is said by the steps before it.
type disk struct{ goal spec.Disk }

func newDisk(s spec.Spec, _ Here) Step { return disk{*s.Disk} }

func (d disk) Look(context.Context) ([]Deviation, error) {
	var short []Deviation
	for _, path := range d.goal.Paths {
		free, err := roomAt(path)
		if err != nil {
			short = append(short, lack("room", path, fmt.Sprintf("cannot tell its room: %s", err)))
			continue
		}
		if free.bytes < d.goal.BytesFree {
			short = append(short, lack("room", path, fmt.Sprintf("%d MB free; %d MB wanted", free.bytes/1e6, d.goal.BytesFree/1e6)))
		}
		if free.countsInodes && free.inodes < d.goal.InodesFree {
			short = append(short, lack("inodes", path, fmt.Sprintf("%d inodes free; %d wanted", free.inodes, d.goal.InodesFree)))
		}
	}
	return short, nil
}

func lack(kind, path, why string) Deviation {
	return Deviation{Residue: spec.Residue{Kind: kind, ID: path, What: why}, Stays: why}
}

func (d disk) Mend(_ context.Context, found []Deviation) []error { return make([]error, len(found)) }

// room is what a user without privileges may still use of a file system.
type room struct {
	bytes, inodes       int64
	allBytes, allInodes int64 // of the whole file system, whoever may use them
	countsInodes        bool
}
