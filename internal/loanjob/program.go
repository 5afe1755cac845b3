// SPDX-License-Identifier: Apache-2.0

package loanjob

import (
	_ "embed"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

//go:embed shell/bind.sh
var bindPart string

//go:embed shell/account.sh
var accountPart string

//go:embed shell/keys.sh
var keysPart string

//go:embed shell/state.sh
var statePart string

//go:embed shell/hold.sh
var holdPart string

//go:embed shell/remote.sh
var remotePart string

//go:embed shell/person.sh
var personPart string

//go:embed shell/main.sh
var mainPart string

// Program returns the program: pure ASCII, to be run by sh from a file. It is the same for every loan.
func Program() []byte {
	// The braces keep a program that was cut short from doing anything, and one whose file is removed from missing its rest.
	return []byte("#!/bin/sh\n# Holds a loan of this agent. Made by pitcrew: change it there, not here.\n\n" + recipe.ShellParts() + "\n" +
		bindPart + "\n" + accountPart + "\n" + keysPart + "\n" + statePart + "\n" + holdPart + "\n" + remotePart + "\n" + personPart + "\n" + mainPart +
		"\n{\n\tmain \"$@\"\n\texit\n}\n")
}
