// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// New returns the step of s on this machine, for this agent.
func New(s spec.Spec, here Here) (Step, error) {
	s, err := s.For(here.Agent)
	if err != nil {
		return nil, err
	}
	kind := s.Kind()
	if !slices.Contains(spec.Kinds(), kind) {
		return nil, fmt.Errorf("step %s: this scrub knows no kind %q", s.Name, kind)
	}
	make := everywhere[kind]
	if make == nil {
		make = ofPlatform[kind]
	}
	if make == nil {
		return missing{kind}, nil
	}
	if err := sight(kind); err != nil {
		return unable{err}, nil //nolint:nilerr // it is for the look to say
	}
	return make(s, here), nil
}

// maker makes a step of one kind.
type maker = func(spec.Spec, Here) Step

// everywhere are the kinds of all platforms; ofPlatform has those of this one.
var everywhere = map[spec.Kind]maker{
	spec.KindFiles: newFiles,
	spec.KindDisk:  newDisk,
}

// unable is a step that could look only where something is missing: that it sees nothing would prove nothing.
type unable struct{ why error }

func (u unable) Look(context.Context) ([]Deviation, error) { return nil, u.why }

func (u unable) Mend(_ context.Context, found []Deviation) []error { return make([]error, len(found)) }

// missing is a kind that does not exist on this platform.
type missing struct{ kind spec.Kind }

func (m missing) Look(context.Context) ([]Deviation, error) {
	return nil, Absent{Reason: string(m.kind) + " are not looked after on " + runtime.GOOS + " yet"}
}

func (m missing) Mend(_ context.Context, found []Deviation) []error { return make([]error, len(found)) }
