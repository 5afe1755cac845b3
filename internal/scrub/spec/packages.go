// SPDX-License-Identifier: Apache-2.0

package spec

import "strings"

// Packages asks of the machine's package managers that what they downloaded stays within a policy, that no transaction
// of theirs was interrupted, and that packages are there.
type Packages struct {
	// Older has downloaded packages removed that are older; 0 removes none for its age.
	Older Seconds `json:"older,omitempty"`
	// Size is how many bytes of downloaded packages each package manager may keep, the newest; nil is any number.
	Size *int64 `json:"size,omitempty"`
	// Mend has interrupted transactions completed; without it they are only remarked on.
	Mend bool `json:"mend,omitempty"`
	// Present are names of packages that are to be installed. With it nothing else is looked at.
	Present []string `json:"present,omitempty"`
}

// PackageName says what is wrong with the name of a package, "" if nothing: it has to be one that no package manager
// takes for an option, a version, a pattern or an order to remove.
func PackageName(name string) string {
	odd := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("+-._:/()", r)
	}
	switch {
	case name == "" || strings.IndexAny(name, "+-.:()") == 0 || strings.HasSuffix(name, "-"):
		return "want the name of a package"
	case strings.ContainsFunc(name, odd), name[0] != '/' && strings.Contains(name, "/"):
		return "want the name of a package, without a version, release or pattern"
	}
	return ""
}
