// SPDX-License-Identifier: Apache-2.0

package state

import (
	_ "embed"
	"slices"
)

//go:embed shell/state.sh
var script string

// Script returns the program that prints the state of the machine it runs on.
func Script() []byte { return []byte(script) }

// Kind is what sort of thing an item of a state is.
type Kind string

// The kinds of items.
const (
	Package Kind = "package" // key: name, with the architecture where the tool tells; value: version and status
	Service Kind = "service" // key: unit; value: whether it runs, and whether it is enabled
	Mount   Kind = "mount"   // key: point; value: type, source and options
	User    Kind = "user"    // key: name; value: numbers, home and shell
	Group   Kind = "group"   // key: name; value: number and members
	File    Kind = "file"    // key: path; value: type, mode, owner, size, and digest or target
	Port    Kind = "port"    // key: protocol and address; value: the owner
	Fact    Kind = "fact"    // key: its name
)

// Kinds returns all kinds, in the order in which differences are told.
func Kinds() []Kind { return slices.Clone(kinds) }

var kinds = []Kind{Package, Service, Mount, User, Group, File, Port, Fact}

// Item is one thing that is so on a machine. Of two that are called the same, such as two versions of a kernel, the
// values are joined.
type Item struct {
	Kind  Kind   `json:"kind"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

// State is what was seen of a machine.
type State struct {
	Items  []Item          `json:"items"`  // by kind and key
	Unread map[Kind]string `json:"unread"` // what could not be read, or not as a whole, and why
}
