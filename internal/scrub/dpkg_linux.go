// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dpkgStatus is where dpkg keeps the state of all packages, dpkgJournal the changes that it has yet to work in there.
const dpkgStatus, dpkgJournal = "/var/lib/dpkg/status", "/var/lib/dpkg/updates/[0-9]*"

// dpkgSays reads what dpkg has written down, which is a fraction of the work that dpkg-query makes of it. It can only tell that all
// is well: sound, that every package is in a state that lasts, and complete, that all the names are installed, or are provided by
// what is. Whatever else there is to say, dpkg-query says it.
func dpkgSays(names []string) (sound, complete bool) {
	journal, err := filepath.Glob(dpkgJournal)
	text, unread := os.ReadFile(dpkgStatus)
	if err != nil || unread != nil || len(journal) > 0 {
		return false, false
	}
	return dpkgWell(text, names)
}

func dpkgWell(status []byte, names []string) (sound, complete bool) {
	missing := make(map[string]bool, len(names))
	for _, name := range names {
		missing[name] = true
	}
	sound = true
	var p dpkgPackage
	for line := range bytes.Lines(append(status, "\n\n"...)) {
		if len(line) > 1 {
			p.read(line)
			continue
		}
		sound = sound && p.lasts()
		if len(missing) > 0 && p.state == "installed" {
			for name := range p.names() {
				delete(missing, name)
			}
		}
		p = dpkgPackage{}
	}
	return sound, len(missing) == 0
}

// dpkgPackage is one paragraph of the file; deb822(5).
type dpkgPackage struct{ name, arch, provides, flag, state string }

// read takes in a line.
func (p *dpkgPackage) read(line []byte) {
	field, value, _ := bytes.Cut(line, []byte(": "))
	switch string(field) {
	case "Package":
		p.name = trimmed(value)
	case "Architecture":
		p.arch = trimmed(value)
	case "Provides":
		p.provides = trimmed(value)
	case "Status":
		p.flag, p.state = "unknown", "unknown"
		if words := bytes.Fields(value); len(words) == 3 {
			p.flag, p.state = string(words[1]), string(words[2])
		}
	}
}

func trimmed(value []byte) string { return string(bytes.TrimSpace(value)) }

// lasts reports whether no transaction that was cut short has left the package in its state.
func (p *dpkgPackage) lasts() bool {
	return *p == dpkgPackage{} || p.flag == "ok" && slices.Contains([]string{"installed", "config-files", "not-installed"}, p.state)
}

// names yields the names under which the package is there.
func (p *dpkgPackage) names() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if !yield(p.name) || !yield(p.name+":"+p.arch) {
			return
		}
		for provided := range strings.SplitSeq(p.provides, ",") {
			if name, _, _ := strings.Cut(strings.TrimSpace(provided), " "); !yield(name) {
				return
			}
		}
	}
}
