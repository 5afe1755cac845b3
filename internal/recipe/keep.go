// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// kept is a program as it is stored, so that a revision can be used when its recipe is there no more.
type kept struct {
	Recipe   string
	Text     []byte
	Digest   string
	Revision string
	Carried  []Carried
	Steps    []StepName
	Goals    []spec.Spec
	Limits   map[string]time.Duration `json:",omitempty"`
}

// Pack returns p as it can be stored; its notes are for whoever compiles it, and are left out.
func (p *Program) Pack() ([]byte, error) {
	body, err := json.Marshal(kept{p.Recipe, p.Text, p.Digest, p.Revision, p.Carried, p.Steps, p.goals, p.limits})
	if err != nil {
		return nil, fmt.Errorf("pack program of recipe %s: %w", p.Recipe, err)
	}
	return body, nil
}

// Unpack returns the program that [Program.Pack] packed. One whose text is not what its digest says is an error: it would
// be run as root.
func Unpack(body []byte) (*Program, error) {
	var k kept
	if err := json.Unmarshal(body, &k); err != nil {
		return nil, fmt.Errorf("unpack program: %w", err)
	}
	if sum := sha256Hex(k.Text); sum != k.Digest {
		return nil, fmt.Errorf("unpack program of recipe %s, revision %.12s: its digest is %.12s, not %.12s: it was changed where it is stored", k.Recipe, k.Revision, sum, k.Digest)
	}
	return &Program{Recipe: k.Recipe, Text: k.Text, Digest: k.Digest, Revision: k.Revision, Carried: k.Carried, Steps: k.Steps, goals: k.Goals, limits: k.Limits}, nil
}
