// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// inspectLimit bounds how long each step may look: who asks waits, and a file system may hang.
const inspectLimit = time.Minute

// inspection is what "scrub inspect" prints.
type inspection struct {
	Version int           `json:"version"`
	Machine scrub.Machine `json:"machine"`
	Steps   []inspected   `json:"steps"`
}

// inspected is what one step would find.
type inspected struct {
	Name string `json:"name"`
	spec.Result
}

// inspection prints machine and residue. That something was found is no failure.
func (c command) inspection(ctx context.Context, in io.Reader, out io.Writer) (int, error) {
	var specs []spec.Spec
	if c.file != "" {
		var err error
		if specs, err = read(c.file, in, spec.ReadAll); err != nil {
			return wrong, err
		}
	}
	report := inspection{Version: spec.Version, Steps: []inspected{}}
	here := scrub.HereFromEnvironment()
	var paths []string
	for _, s := range specs {
		s, err := s.For(here.Agent)
		if err != nil {
			return wrong, err
		}
		step, err := scrub.New(s, here)
		if err != nil {
			return wrong, err
		}
		paths = append(paths, s.Owned.Paths...)
		if s.Disk != nil {
			paths = append(paths, s.Disk.Paths...)
		}
		report.Steps = append(report.Steps, inspected{s.Name, planned(ctx, s, step)})
	}
	report.Machine = scrub.ThisMachine(paths)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(report); err != nil {
		return unmet, fmt.Errorf("print what was found: %w", err)
	}
	return reached, nil
}

func planned(ctx context.Context, s spec.Spec, step scrub.Step) spec.Result {
	ctx, cancel := context.WithTimeout(ctx, inspectLimit)
	defer cancel()
	result, _ := scrub.Reach(ctx, s.Kind(), step, scrub.Plan) // the result says why
	return result
}
