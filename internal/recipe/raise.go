// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// The users as whom a step may ask to run: root, or the user that the program runs as.
const (
	asRoot = "root"
	asUser = "user"
)

// codeUnraised is the exit code of a step that could not be raised.
const codeUnraised = 125

// finishRights settles whether s runs as root, and judges whether it may.
func (d *decoder) finishRights(s *stepSource) {
	s.AsRoot = s.as == asRoot || s.as == "" && d.recipe.Raise && s.Kind().NeedsRoot()
	if !s.AsRoot || s.asAt == nil {
		return
	}
	// What runs as root comes after what ends the processes that could get in its way.
	switch path := s.path + ".as"; {
	case s.Before == spec.KindProcesses:
		d.fail(s.asAt, path, "what runs as root runs after processes, which ends those that could get in its way: not before: processes")
	case s.Phase == Clean && s.Kind() == spec.KindProcesses && !slices.ContainsFunc(d.recipe.Steps, Step.ends):
		d.fail(s.asAt, path, "put a step with processes and without \"as\" before it: as root comes after this user's own are ended")
	case s.Outcomes[codeUnraised] != "":
		d.fail(s.asAt, path, "exit code %d says that it could not be raised: no outcome can be given to it", codeUnraised)
	}
}

// ends reports whether s ends the processes of the program's own user, without which nothing is raised.
func (s Step) ends() bool { return s.Phase == Clean && s.Kind() == spec.KindProcesses && !s.AsRoot }

// raise is the command by which step number n gets to its root's side; command is what a script begins with.
func (s Step) raise(n int, command string) string {
	if s.Goal != nil {
		return fmt.Sprintf(`raise %d 'raised_goal %s' '' "$@" "PITCREW_ENGINE=$$"`, n, s.verb())
	}
	tail := ` "PITCREW_FILES=$root_dir/files" ` + command + ` "$root_dir/script"`
	return fmt.Sprintf(`raise %d raised_script %s "$@"`, n, ShellQuote(tail))
}

// defineParts writes what is handed to the root's side of step number n.
func (s Step) defineParts(b *strings.Builder, n int) {
	part := func(name string, content []byte, mode, from string) {
		fmt.Fprintf(b, "\t\"$1\" %s %d %s %s \"$work/%d/\"%s\n", ShellQuote(name), len(content), sha256Hex(content), mode, n, ShellQuote(from))
	}
	fmt.Fprintf(b, "raised_%d() {\n", n)
	if s.Goal != nil {
		part("spec", s.Script, "600", "script")
		b.WriteString("\thand_scrub \"$1\"\n}\n")
		return
	}
	part("script", s.Script, "600", "script")
	for _, f := range s.Files {
		at := path.Join("files", f.Path)
		part(at, f.Content, f.mode(), at)
	}
	b.WriteString("}\n")
}

// defineRaising tells the engine how steps are raised, if any may have to be.
func (r *Recipe) defineRaising(b *strings.Builder) {
	if !slices.ContainsFunc(r.Steps, func(s Step) bool { return s.AsRoot }) {
		return
	}
	b.WriteString("enders='")
	for i, s := range r.Steps {
		if s.ends() {
			fmt.Fprintf(b, " %d", i+1)
		}
	}
	b.WriteString("'\n" + raisePart)
	fmt.Fprintf(b, "raise_prove=%s\n", ShellQuote(terse(digestPart+roomPart+provePart)))
	fmt.Fprintf(b, "raise_stage=%s\n", ShellQuote(terse(processPart+sessionPart+cachePart+raisedPart)))
	fmt.Fprintf(b, "with_places() { \"$@\" %s; }\n\n", r.placeWords())
}

// terse returns a shell text without comments of whole lines and indentation: sudo logs what it is told to run.
func terse(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimLeft(line, "\t"); line != "\n" && (!strings.HasPrefix(line, "#")) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// RootSteps are the names of the steps that run as root or not at all. What a script gets from sudo by itself is not seen.
func (r *Recipe) RootSteps() []string {
	var names []string
	for _, s := range r.Steps {
		if s.AsRoot {
			names = append(names, s.Name)
		}
	}
	return names
}
