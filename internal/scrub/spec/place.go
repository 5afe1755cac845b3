// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Place asks that files are there with their content, mode and owner.
//
// What was there before the first change is kept, once, where only root (or whoever runs scrub) can write. A file that the
// recipe places no longer gets that back, whatever became of any job meanwhile.
type Place struct {
	Files []Placed `json:"files,omitempty"`
	// Recipe is the name of the recipe, All are the paths that any of its steps names: what a recipe of that name has
	// placed before and is not among them gets back what it was.
	Recipe string   `json:"recipe"`
	All    []string `json:"all,omitempty"`
}

// Placed is one file as it has to be. What is not said of it is not judged.
type Placed struct {
	Path    string  `json:"path"` // absolute and clean
	State   Placing `json:"state"`
	Content string  `json:"content,omitempty"` // of a file
	// Template has facts filled in for ${NAME}; see Facts.
	Template bool `json:"template,omitempty"`
	// Mode is the permissions in octal, as 0644; Owner and Group are names or numbers.
	Mode  string `json:"mode,omitempty"`
	Owner string `json:"owner,omitempty"`
	Group string `json:"group,omitempty"`
}

// Placing is what has to be at a path.
type Placing string

// What can have to be at a path.
const (
	PlaceFile      Placing = "file"
	PlaceDirectory Placing = "directory"
	PlaceAbsent    Placing = "absent"   // nothing; what was there is kept
	PlaceRestored  Placing = "restored" // what was there before a recipe came
)

// check refuses what by no recipe could be meant.
func (p Place) check() error {
	for _, f := range p.Files {
		switch states := []Placing{PlaceFile, PlaceDirectory, PlaceAbsent, PlaceRestored}; {
		case !slices.Contains(states, f.State):
			return fmt.Errorf("place %q: state %q; want one of %q", f.Path, f.State, states)
		case !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path:
			return fmt.Errorf("place %q: want an absolute and clean path", f.Path)
		}
	}
	return nil
}

// facts are the names that a template may hold.
var facts = []string{"agent", "arch", "controller", "cpus", "hostname", "kernel", "memoryMB", "os", "osVersion", "user"}

// Facts returns the names of all facts that a template may hold, in order.
func Facts() []string { return slices.Clone(facts) }

// Fill replaces each ${NAME} in text by the value of that fact, and $${ by ${. A name that is no fact is an error.
func Fill(text string, value func(fact string) (string, error)) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String(), nil
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			b.WriteString(literal + "${")
			text = after
			continue
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed || !slices.Contains(facts, name) {
			name, _, _ = strings.Cut(name, "\n")
			if closed {
				name += "}"
			}
			return "", fmt.Errorf("${%.40s is no fact: want one of %s in braces, or $${ for the characters ${", name, strings.Join(facts, ", "))
		}
		v, err := value(name)
		if err != nil {
			return "", fmt.Errorf("fact %s: %w", name, err)
		}
		b.WriteString(before + v)
		text = rest
	}
}
