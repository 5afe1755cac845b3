// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// NewLoopsOf is a step that sees the block devices and swap space of recorded machines.
func NewLoopsOf(owned spec.Ownership, devices, proc string) Step {
	return &loops{owned: owned, proc: procfs.Root(proc), blocks: blocks(devices), known: map[string]device{}}
}

// Removal is what the device mapper is told to remove a device.
func Removal(name string) []byte { order := removal(name); return order[:] }

// RunTool runs a tool found in places, or nil for those of the machine.
func RunTool(ctx context.Context, places []string, name string, args ...string) ([]byte, error) {
	t, err := Here{Tools: places}.tool(name)
	if err != nil {
		return nil, err
	}
	return t.run(ctx, args...)
}
