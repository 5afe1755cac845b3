// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
)

const gitInstalled = "Package: git\nStatus: install ok installed\nArchitecture: amd64\nDescription: fast\n Package: of lies\n Status: install ok unpacked\n"

func TestOnlyWhatDpkgHasWrittenDownIsTakenForWell(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status          string
		names           []string
		sound, complete bool
	}{
		"nothing":             {"", nil, true, true},
		"a package":           {gitInstalled, []string{"git", "git:amd64"}, true, true},
		"of another machine":  {gitInstalled, []string{"git:arm64"}, true, false},
		"one of two":          {gitInstalled + "\nPackage: vim\nStatus: deinstall ok config-files\n", []string{"git", "vim"}, true, false},
		"the last of two":     {"Package: vim\nStatus: install ok installed\n\n" + gitInstalled, []string{"git"}, true, true},
		"provided":            {gitInstalled + "Provides: git-core (= 1:2), git-any\n", []string{"git-core", "git-any"}, true, true},
		"provided by nothing": {"Package: vim\nStatus: deinstall ok config-files\nProvides: editor\n", []string{"editor"}, true, false},
		"not installed":       {"Package: vim\nStatus: unknown ok not-installed\n", []string{"vim"}, true, false},
		"half-configured":     {gitInstalled + "\nPackage: vim\nStatus: install ok half-configured\n", []string{"git"}, false, true},
		"half-installed":      {"Package: vim\nStatus: install ok half-installed\n", []string{"vim"}, false, false},
		"unpacked":            {"Package: vim\nStatus: install ok unpacked\n", []string{"vim"}, false, false},
		"triggers":            {"Package: vim\nStatus: install ok triggers-pending\n\n" + gitInstalled, []string{"git"}, false, true},
		"to be installed":     {"Package: vim\nStatus: install reinstreq installed\n", []string{"vim"}, false, true},
		"no state":            {"Package: vim\nVersion: 1\n", []string{"vim"}, false, false},
		"half a state":        {"Package: vim\nStatus: installed\n", []string{"vim"}, false, false},
	} {
		if sound, complete := scrub.DpkgWell([]byte(c.status), c.names); sound != c.sound || complete != c.complete {
			t.Errorf("%s: sound %t, complete %t; want %t, %t", name, sound, complete, c.sound, c.complete)
		}
	}
}
