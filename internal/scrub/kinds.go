// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"fmt"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// New returns the step of s on this machine.
func New(s spec.Spec, here Here) (Step, error) {
	make, ok := kinds[s.Kind()]
	if !ok {
		return nil, fmt.Errorf("step %s: this scrub knows no kind %q", s.Name, s.Kind())
	}
	return make(s, here), nil
}

// kinds makes a step of each kind.
var kinds = map[spec.Kind]func(spec.Spec, Here) Step{
	spec.KindProcesses: newProcesses,
	spec.KindMounts:    newMounts,
	spec.KindLoops:     newLoops,
	spec.KindFiles:     newFiles,
	spec.KindDisk:      newDisk,
}
