// SPDX-License-Identifier: Apache-2.0

package mess

import (
	"bytes"
	_ "embed"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strings"
)

//go:embed shell/ledger.sh
var ledgerPart string

//go:embed shell/make.sh
var makePart string

//go:embed shell/undo.sh
var undoPart string

//go:embed shell/main.sh
var mainPart string

// ids are what a mess can be called: it stands in names of files, mounts and containers, and nobody may guess it.
var ids = regexp.MustCompile(`^[a-z0-9]{8,32}$`)

// words are what needs are called in the program.
var words = map[Need]string{Root: "root", Proc: "proc", Setsid: "setsid", Loop: "loop", Engine: "engine", SysV: "sysv", Shm: "shm"}

// segment returns the size, in bytes, of the memory segment of a mess: one of its marks, since a segment has no name.
func segment(id string) uint32 { return 100_000 + crc32.ChecksumIEEE([]byte(id))%900_000 }

// Script returns the program that makes and undoes the mess of makers, which must be of All. id tells this mess from
// every other, on this machine and for ever: 8 to 32 random characters of a-z and 0-9.
func Script(makers []Maker, id string) ([]byte, error) {
	if !ids.MatchString(id) {
		return nil, fmt.Errorf("id %q of a mess: want 8 to 32 characters of a-z and 0-9", id)
	}
	if len(makers) == 0 {
		return nil, fmt.Errorf("mess %s has no makers", id)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "#!/bin/sh\n# Leaves the mess %s and takes it away. Made by pitcrew: change it there, not here.\n\nid=%s segment=%d\n\n", id, id, segment(id))
	for _, part := range []string{ledgerPart, makePart, undoPart, mainPart} {
		b.WriteString(part + "\n")
	}
	b.WriteString("# each_maker calls $1 with each maker and its needs.\neach_maker() {\n")
	seen := map[string]bool{}
	for _, m := range makers {
		known := slices.IndexFunc(all, func(a Maker) bool { return a.Name == m.Name })
		if known < 0 || seen[m.Name] {
			return nil, fmt.Errorf("maker %q is not known, or there twice", m.Name)
		}
		seen[m.Name] = true
		line := []string{"\t\"$1\"", m.Name}
		for _, need := range all[known].Needs {
			line = append(line, words[need])
		}
		b.WriteString(strings.Join(line, " ") + "\n")
	}
	// The braces keep a program that was cut short from doing anything.
	b.WriteString("}\n\n{\n\tmain \"$@\"\n\texit\n}\n")
	return b.Bytes(), nil
}
