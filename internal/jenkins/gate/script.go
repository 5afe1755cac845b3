// SPDX-License-Identifier: Apache-2.0

package gate

import (
	_ "embed"
	"fmt"
	"strings"
)

// Protocol is the version of the requests and answers of the gate's address. Either side refuses what it does not know.
const Protocol = 1

//go:embed gate.groovy
var source string

// Labels are the names of pitcrew's three labels on a controller.
type Labels struct {
	Cleanable, Dirty, Clean string
}

// Script is the gate for these labels, as text that Jenkins evaluates: as a file in init.groovy.d or in the script console.
// It says which version of pitcrew it comes from. An error says which name cannot be written into it.
func Script(version string, labels Labels) (string, error) {
	for _, v := range []struct{ what, value string }{
		{"version", version},
		{"label cleanable", labels.Cleanable},
		{"label dirty", labels.Dirty},
		{"label clean", labels.Clean},
	} {
		// What Jenkins allows in a word of a label that needs no quotes, less what ends a text of Groovy or begins a comment's end.
		if v.value == "" || strings.ContainsFunc(v.value, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`'"\$*/`, r) }) {
			return "", fmt.Errorf("%s: %q cannot be used by the gate: want printable ASCII without blanks and any of ' \" \\ $ * /", v.what, v.value)
		}
	}
	return strings.NewReplacer("@VERSION@", version, "@CLEANABLE@", labels.Cleanable, "@DIRTY@", labels.Dirty, "@CLEAN@", labels.Clean).Replace(source), nil
}
