// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed shell/state.sh
var stateProgram string

// thing is one thing on a machine.
type thing struct{ kind, name string }

// snapshot is the state of a machine: what each thing is like.
type snapshot map[thing]string

// stateScript tells the state of a machine, with the files below some paths.
func stateScript(owned []string) string {
	var b strings.Builder
	b.WriteString(stateProgram + "\nmain")
	for _, p := range owned {
		b.WriteString(" " + shellWord(p))
	}
	return b.String() + "\n"
}

// readState reads what the program printed.
func readState(log []byte) (snapshot, error) {
	s, whole := snapshot{}, false
	for line := range bytes.Lines(log) {
		text := strings.TrimRight(string(line), "\r\n")
		if text == "state end" {
			whole = true
		}
		parts := strings.SplitN(text, "\t", 4)
		if len(parts) == 4 && parts[0] == "state" {
			s[thing{parts[1], strings.ToValidUTF8(parts[2], "?")}] = strings.ToValidUTF8(parts[3], "?")
		}
	}
	if !whole {
		return nil, errors.New("the state of the machine was not told to its end")
	}
	return s, nil
}

// Difference is one thing that is otherwise in one state than in another.
type Difference struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Before string `json:"before,omitempty"` // "" = it was not there
	After  string `json:"after,omitempty"`  // "" = it is not there
}

func (d Difference) String() string {
	switch {
	case d.Before == "":
		return fmt.Sprintf("%s: %s is there, %s", d.Kind, d.Name, d.After)
	case d.After == "":
		return fmt.Sprintf("%s: %s is gone, which was %s", d.Kind, d.Name, d.Before)
	}
	return fmt.Sprintf("%s: %s is %s, and was %s", d.Kind, d.Name, d.After, d.Before)
}

// Ignore says which differences do not matter: KIND:PATTERN, the pattern as in [path.Match] for the name, or for the
// beginning of it that ends at a slash; * for any kind.
type Ignore []string

// Check says what is wrong with a list.
func (i Ignore) Check() error {
	for _, rule := range i {
		kind, pattern, ok := strings.Cut(rule, ":")
		if _, err := path.Match(pattern, ""); !ok || kind == "" || pattern == "" || err != nil {
			return fmt.Errorf("ignore %q: want KIND:PATTERN, such as files:/var/cache/*", rule)
		}
	}
	return nil
}

func (i Ignore) covers(t thing) bool {
	return slices.ContainsFunc(i, func(rule string) bool {
		kind, pattern, _ := strings.Cut(rule, ":")
		if kind != "*" && kind != t.kind {
			return false
		}
		for name := t.name; ; name = path.Dir(name) {
			if ok, err := path.Match(pattern, name); err == nil && ok {
				return true
			}
			if !strings.HasPrefix(name, "/") || name == "/" {
				return false
			}
		}
	})
}

// compare tells the differences of two states by kind and name.
func compare(before, after snapshot, ignore Ignore) []Difference {
	var all []Difference
	for t, was := range before {
		if is := after[t]; is != was && !ignore.covers(t) {
			all = append(all, Difference{t.kind, t.name, was, is})
		}
	}
	for t, is := range after {
		if _, there := before[t]; !there && !ignore.covers(t) {
			all = append(all, Difference{t.kind, t.name, "", is})
		}
	}
	slices.SortFunc(all, func(a, b Difference) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return all
}
