// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package scrub

import (
	"context"
	"runtime"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// missing is a kind that exists on Linux only so far.
type missing struct{ kind spec.Kind }

func (m missing) Look(context.Context) ([]Deviation, error) {
	return nil, Absent{Reason: string(m.kind) + " are not looked after on " + runtime.GOOS + " yet"}
}

func (m missing) Mend(_ context.Context, found []Deviation) []error { return make([]error, len(found)) }

func newProcesses(spec.Spec, Here) Step { return missing{spec.KindProcesses} }

func newMounts(spec.Spec, Here) Step { return missing{spec.KindMounts} }

func newLoops(spec.Spec, Here) Step { return missing{spec.KindLoops} }

// users are not looked after here: names of users own nothing.
type users struct{ names map[int]string }

func (*users) find(context.Context, []string) error { return nil }

func (*users) numbers() []uint32 { return nil }

func listening() []string { return nil }

func agentPaths() []string { return nil }
