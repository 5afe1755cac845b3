// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// State is what became of a step.
type State string

// The states of a step.
const (
	// Unchanged: the goal was reached before anything was done.
	Unchanged State = "unchanged"
	// Changed: it was reached by what was done, as a second look proved.
	Changed State = "changed"
	// Skipped: what the step looks after does not exist here, or not on this platform; see Reason.
	Skipped State = "skipped"
	// Unmet: it is not reached; Problems say what stands in the way.
	Unmet State = "unmet"
	// Planned: nothing was done because nothing was to be done; Found says what would have been, and Problems what would
	// stay and why.
	Planned State = "planned"
)

// Limits on what one result carries: a machine can hold more residue than anybody can read.
const (
	MaxFound    = 100
	MaxProblems = 50
	MaxNotes    = 50
)

// Result is what became of one step.
type Result struct {
	Kind  Kind  `json:"kind"`
	State State `json:"state"`
	// Reason says why it was skipped, or in one line why the goal is not reached or why the agent has to reconnect.
	Reason string `json:"reason,omitempty"`
	// Removed is how many things are gone by this step; Bytes is what they held, where that was learnt.
	Removed int64 `json:"removed"`
	Bytes   int64 `json:"bytes"`
	// Found is the residue, at most MaxFound entries, the largest and oldest first. More is how many others there were.
	Found []Residue `json:"found,omitempty"`
	More  int       `json:"more,omitempty"`
	// Differs is what a kind that removes nothing found other than its goal asks, in place of Found and with the same
	// limits.
	Differs []Residue `json:"differs,omitempty"`
	// Reconnect is whether the goal is reached and the agent sees it only after it has reconnected.
	Reconnect bool `json:"reconnect,omitempty"`
	// Problems is what is still there at the end, at most MaxProblems entries.
	Problems []Problem `json:"problems,omitempty"`
	// Notes are remarks that change nothing, at most MaxNotes and one that counts the others.
	Notes []string `json:"notes,omitempty"`
	// Milliseconds is how long the step took, by a clock that only runs forward.
	Milliseconds int64 `json:"milliseconds"`
}

// Residue is one thing that did not belong.
type Residue struct {
	// Kind is what it is, in one word: process, mount, loop, directory, file.
	Kind string `json:"kind"`
	// ID names it on this machine: a path, a process number.
	ID string `json:"id"`
	// What describes it for a person: the name of a program, the type of a file system.
	What string `json:"what,omitempty"`
	// Bytes is what it holds, 0 where that was not learnt.
	Bytes int64 `json:"bytes,omitempty"`
	// Age is how long it has been there or unused.
	Age Seconds `json:"age,omitempty"`
	// Owner is the user it belongs to.
	Owner   string   `json:"owner,omitempty"`
	Culprit *Culprit `json:"culprit,omitempty"`
}

// Culprit is the build that left something behind.
type Culprit struct {
	// Job is the full name of the job, Build its number there; either may be unknown.
	Job   string `json:"job,omitempty"`
	Build int64  `json:"build,omitempty"`
	// By is the evidence: environment, workspace, label.
	By string `json:"by"`
}

// ByWorkspace is the evidence of a directory's name, which is that of the job, or of the folder that it is in.
const ByWorkspace = "workspace"

// Problem is something that is still there, and why.
type Problem struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

// Limits on the text of a result: a path may have thousands of bytes, and a report travels through a log.
const (
	maxText = 300
	maxLine = 64 << 10
)

// Line returns r as one line of JSON in ASCII, of at most 64 KiB: long texts are shortened, and what does not fit is
// counted in More instead.
func (r Result) Line() ([]byte, error) {
	r.Reason = shortened(r.Reason)
	r.Found, r.Differs = shortenedAll(r.Found), shortenedAll(r.Differs)
	r.Problems = append([]Problem{}, r.Problems...)
	for i := range r.Problems {
		r.Problems[i] = Problem{shortened(r.Problems[i].ID), shortened(r.Problems[i].Why)}
	}
	r.Notes = shortenedNotes(r.Notes)
	for {
		text, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("encode the result of %s: %w", r.Kind, err)
		}
		if line := ascii(text); len(line) <= maxLine || len(r.Found)+len(r.Differs)+len(r.Problems) == 0 {
			return line, nil
		}
		found, differs := len(r.Found)/2, len(r.Differs)/2
		r.More += len(r.Found) - found + len(r.Differs) - differs
		r.Found, r.Differs, r.Problems = r.Found[:found], r.Differs[:differs], r.Problems[:(len(r.Problems)+1)/2]
		if found+differs == 0 && len(r.Problems) == 1 {
			r.Problems = nil
		}
	}
}

// shortenedAll returns a copy of all with texts that fit.
func shortenedAll(all []Residue) []Residue {
	all = slices.Clone(all)
	for i := range all {
		all[i].ID, all[i].What = shortened(all[i].ID), shortened(all[i].What)
		if c := all[i].Culprit; c != nil { // whose environment it was, that one has chosen the name
			all[i].Culprit = &Culprit{shortened(c.Job), c.Build, c.By}
		}
	}
	return all
}

// shortenedNotes does the same with notes, which have to fit beside all else.
func shortenedNotes(all []string) []string {
	more := len(all) - MaxNotes
	all = slices.Clone(all[:min(len(all), MaxNotes)])
	for i := range all {
		all[i] = shortened(all[i])
	}
	if more > 0 {
		all = append(all, fmt.Sprintf("and %d more notes", more))
	}
	return all
}

// shortened keeps both ends of a long text: of a path the file, of a sentence its beginning.
func shortened(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText/2], "") + "[...]" + strings.ToValidUTF8(s[len(s)-maxText/2:], "")
}

// ascii escapes what is not ASCII in a JSON text, and ends it with a line end.
func ascii(text []byte) []byte {
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('\n')
	return []byte(b.String())
}
