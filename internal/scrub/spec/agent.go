// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
)

// AgentWord stands in a spec for the name of the agent, so that one recipe serves several agents of one machine, each of
// which owns a directory of its own.
const AgentWord = "{agent}"

// For returns s with the agent's name wherever AgentWord stands. It refuses a name that would mean something else than
// itself in a path or a pattern, and an ownership that is dangerous with it.
func (s Spec) For(agent string) (Spec, error) {
	text, err := s.Encode()
	if _, there := fill(text, nil); err != nil || !there {
		return s, err
	}
	if why := unfit(agent); why != "" {
		return s, fmt.Errorf("step %s is about the agent's own (%s): %s", s.Name, AgentWord, why)
	}
	quoted, err := json.Marshal(agent)
	if err != nil {
		return s, err
	}
	text, _ = fill(text, bytes.Trim(quoted, `"`))
	filled, err := Read(bytes.NewReader(text))
	if err != nil {
		return s, fmt.Errorf("step %s for agent %s: %w", s.Name, agent, err)
	}
	return filled, nil
}

// fill puts name where AgentWord stands, and reports whether it stands anywhere. After a dollar sign it is a fact in the
// content of a placed file, which is filled in there.
func fill(text, name []byte) (filled []byte, there bool) {
	parts := bytes.Split(text, []byte(AgentWord))
	for _, part := range parts[:len(parts)-1] {
		filled = append(filled, part...)
		if bytes.HasSuffix(part, []byte("$")) {
			filled = append(filled, AgentWord...)
			continue
		}
		filled, there = append(filled, name...), true
	}
	return append(filled, parts[len(parts)-1]...), there
}

// unfit says why an agent's name cannot stand in a path or a pattern.
func unfit(agent string) string {
	switch {
	case agent == "":
		return "nobody said which agent this is"
	case agent == "." || agent == "..":
		return "an agent called " + agent + " would mean another directory"
	case strings.ContainsAny(agent, `/\*?[]{}"`) || strings.ContainsFunc(agent, unicode.IsControl):
		return fmt.Sprintf("the name %q has a character that paths or patterns take for something else", agent)
	}
	return ""
}

// besideOthers reports whether AgentWord stands in p directly below a directory in which others have things: an agent
// that is called as one of these would own it.
func besideOthers(p string) bool {
	before, _, has := strings.Cut(p, AgentWord)
	return has && slices.Contains(shared, path.Dir(before+"x"))
}
