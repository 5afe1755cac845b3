// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

//go:embed shell/boot.sh
var bootStage string

//go:embed shell/bind.sh
var bindPart string

//go:embed shell/line.sh
var linePart string

//go:embed shell/digest.sh
var digestPart string

//go:embed shell/room.sh
var roomPart string

//go:embed shell/process.sh
var processPart string

//go:embed shell/lineage.sh
var lineagePart string

//go:embed shell/facts.sh
var factsPart string

//go:embed shell/session.sh
var sessionPart string

//go:embed shell/scrub.sh
var scrubPart string

//go:embed shell/server.sh
var serverPart string

//go:embed shell/raise.sh
var raisePart string

//go:embed shell/prove.sh
var provePart string

//go:embed shell/raised.sh
var raisedPart string

//go:embed shell/cache.sh
var cachePart string

//go:embed shell/report.sh
var reportPart string

//go:embed shell/fence.sh
var fencePart string

//go:embed shell/lent.sh
var lentPart string

//go:embed shell/engine.sh
var enginePart string

// maxProgram bounds a program, however it is delivered. It has to go over the wire for each cleanup, and through the memory
// of a shell: one that comes by file takes about five times its size there, ten times in bash. Tools belong into a recipe,
// images and packages do not.
const maxProgram = 16 << 20

// Program is a compiled recipe.
type Program struct {
	// Recipe is the name of the recipe.
	Recipe string
	// Text is the program: pure ASCII, to be run by sh.
	Text []byte
	// Digest is the SHA-256 of Text in hex.
	Digest string
	// Revision identifies the recipe with all its files, and this compiler, in hex. The program reports it.
	Revision string
	// Carried says for which platforms the program carries scrub: none if no step has a goal.
	Carried []Carried
	// Steps are the names of the recipe's steps, in order, by phase.
	Steps []StepName
	// Notes are remarks for the operator, such as that a step carries a large file.
	Notes []string

	goals  []spec.Spec
	limits map[string]time.Duration // of steps, by their names
}

// Carried is scrub for one platform as a program carries it.
type Carried struct {
	// Platform is written GOOS/GOARCH.
	Platform string
	// Size is that of the executable, Packed what it takes in the program before it is made text, both in bytes.
	Size   int64
	Packed int
	// Digest is the SHA-256 of the executable in hex.
	Digest string
}

// StepName is a step's place in the program.
type StepName struct {
	Phase Phase
	Name  string
}

// Compile makes the program of r. The same recipe gives the same bytes.
func (r *Recipe) Compile() (*Program, error) {
	scrubs, err := r.scrubs()
	if err != nil {
		return nil, fmt.Errorf("compile recipe %s: %w", r.Name, err)
	}
	draft, _ := r.text(strings.Repeat("0", 2*sha256.Size), scrubs)
	if len(draft) > maxProgram {
		return nil, fmt.Errorf("compile recipe %s: the program would have %d bytes; the limit is %d", r.Name, len(draft), maxProgram)
	}
	revision := sha256Hex([]byte(draft))
	text, notes := r.text(revision, scrubs)
	p := &Program{
		Recipe: r.Name, Text: []byte(text), Digest: sha256Hex([]byte(text)), Revision: revision, Notes: notes, goals: r.goals(), limits: map[string]time.Duration{},
	}
	for _, s := range scrubs {
		p.Carried = append(p.Carried, Carried{Platform: s.platform, Size: s.Size, Packed: len(s.Packed), Digest: s.Digest})
	}
	for _, s := range r.Steps {
		p.Steps = append(p.Steps, StepName{s.Phase, s.Name})
		p.limits[s.Name] = s.Limits.Timeout
	}
	return p, nil
}

// text returns the whole program, with remarks about it.
func (r *Recipe) text(revision string, scrubs []scrub) (text string, notes []string) {
	engine := r.engine(revision, scrubs)
	pack := packer{caches: r.Cache && len(scrubs) > 0}
	pack.scrubs(scrubs)
	pack.file(packed{path: "lib/engine", mode: "600", content: []byte(engine + "engine_main \"$@\"\n"), from: "engine"})
	for i, s := range r.Steps {
		pack.step(i+1, s)
	}
	pack.check()
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\n# pitcrew recipe %s, revision %s. Made by a compiler: change the recipe, not this.\n", r.Name, revision)
	b.WriteString("# By hand: sh program.sh --plan, sh program.sh --by-hand.\n\n")
	b.WriteString(digestPart + "\n" + roomPart + "\n" + processPart + "\n" + bindPart + "\n" + bootStage)
	if pack.caches {
		b.WriteString("\n" + cachePart)
	}
	fmt.Fprintf(&b, "\npitcrew_engine() {\n\tcat <<'%s'\n%s%[1]s\n}\n", delimiter("PITCREW_ENGINE", []byte(engine)), engine)
	fmt.Fprintf(&b, "\nPITCREW_KIB=%d\npitcrew_places() { \"$@\" %s; }\n", pack.kib(), r.placeWords())
	fmt.Fprintf(&b, "\npitcrew_dirs() { dirs %s; }\n", quoteAll(append([]string{"lib"}, pack.dirs...)))
	fmt.Fprintf(&b, "\n{\n\tpitcrew_main \"$@\"\n%s\tpitcrew_become\n}\n", pack.script.String())
	return b.String(), pack.notes
}

// placeWords returns the places as shell words; one whose variable is not set is left empty and thereby passed over.
func (r *Recipe) placeWords() string {
	words := make([]string, len(r.Places))
	for i, p := range r.Places {
		if !strings.HasPrefix(p, "$") {
			words[i] = ShellQuote(p)
			continue
		}
		name, rest, _ := strings.Cut(p[1:], "/")
		if rest != "" {
			rest = ShellQuote("/" + rest)
		}
		words[i] = fmt.Sprintf(`"${%s-}"%s`, name, rest)
	}
	return strings.Join(words, " ")
}

// engine returns the text of the engine stage without the line that starts it.
func (r *Recipe) engine(revision string, scrubs []scrub) string {
	var b strings.Builder
	fmt.Fprintf(&b, "recipe=%s\nrevision=%s\nreboot_command=%s\nsteps='", r.Name, revision, ShellQuote(r.RebootCommand))
	for i := range r.Steps {
		fmt.Fprintf(&b, " %d", i+1)
	}
	b.WriteString("'\n")
	fmt.Fprintf(&b, "cache=%s\n", yesNo(r.Cache))
	defineScrubs(&b, scrubs)
	r.defineRaising(&b)
	for i, s := range r.Steps {
		s.define(&b, i+1)
	}
	b.WriteString(digestPart + "\n" + processPart + "\n" + lineagePart + "\n" + factsPart + "\n" + sessionPart + "\n" + linePart + "\n" + reportPart + "\n" + fencePart + "\n" + serverPart + "\n" + cachePart + "\n" + lentPart + "\n" + enginePart + "\n")
	return b.String()
}

// define writes the functions of step number n: its settings, condition, command, and what its exit codes mean.
func (s Step) define(b *strings.Builder, n int) {
	fmt.Fprintf(b, "step_%d() {\n\tphase=%s name=%s json=%s\n\tlimit=%d tries=%d delay=%d\n", n, s.Phase,
		ShellQuote(s.Name), ShellQuote(jsonQuote(s.Name)),
		s.Limits.Timeout/time.Second, s.Limits.Retries+1, s.Limits.RetryDelay/time.Second)
	fmt.Fprintf(b, "\tdepth=%s on_failure=%s required=%s forbidden=%s\n", s.Depth, s.OnFailure,
		ShellQuote(s.Required.words()), ShellQuote(s.Forbidden.words()))
	fmt.Fprintf(b, "\tgoal=%s as_root=%s ends=%s\n}\n", yesNo(s.Goal != nil), yesNo(s.AsRoot), yesNo(s.ends()))
	s.When.define(b, "when", n)
	if s.Required != nil {
		s.Required.define(b, "required", n)
	}
	if s.Forbidden != nil {
		s.Forbidden.define(b, "forbidden", n)
	}
	s.defineCommand(b, n)
	fmt.Fprintf(b, "outcome_%d() {\n\tcase $1 in\n", n)
	for _, code := range s.codes() {
		fmt.Fprintf(b, "\t%d) outcome=%s ;;\n", code, s.Outcomes[code])
	}
	b.WriteString("\t0) outcome=ok ;;\n\t*) outcome=retry ;;\n\tesac\n}\n\n")
}

// defineCommand writes how step number n is run.
func (s Step) defineCommand(b *strings.Builder, n int) {
	env := make([]string, len(s.Env))
	for i, v := range s.Env {
		env[i] = v.Name + "=" + v.Value
	}
	command := quoteAll(append(env, s.Interpreter...))
	fmt.Fprintf(b, "command_%d() {\n", n)
	if s.AsRoot {
		fmt.Fprintf(b, "\t[ \"$uid\" = 0 ] || %s\n", s.raise(n, command))
	}
	if s.Goal != nil {
		fmt.Fprintf(b, "\trun_scrub %d \"$@\"\n}\n", n)
	} else {
		fmt.Fprintf(b, "\tin_session \"$@\" %s \"$work/%d/script\" 9<&-\n}\n", command, n) // 9 is scrub
	}
	if s.AsRoot {
		s.defineParts(b, n)
	}
}

// define writes the condition called name of step number n.
func (w When) define(b *strings.Builder, name string, n int) {
	var parts []string
	add := func(function string, words []string) {
		if len(words) > 0 {
			parts = append(parts, function+" "+quoteAll(words))
		}
	}
	for _, list := range []struct {
		words         []string
		wanted, other string
	}{
		{w.OS, "os_among", "os_is_not"},
		{w.Arch, "arch_among", "arch_is_not"},
		{w.Virtualisation, "virt_among", "virt_is_not"},
		{w.PackageManager, "packages_among", "packages_are_not"},
		{w.Tools, "tools_here", "tools_not_here"},
	} {
		wanted, refused := split(list.words)
		add(list.wanted, wanted)
		add(list.other, refused)
	}
	if w.Container != nil {
		parts = append(parts, "container_is "+yesNo(*w.Container))
	}
	if w.Root != nil {
		parts = append(parts, "root_is "+yesNo(*w.Root))
	}
	if w.Sudo != nil {
		parts = append(parts, "sudo_is "+yesNo(*w.Sudo))
	}
	fmt.Fprintf(b, "%s_%d() {\n", name, n)
	if !w.Labels.IsZero() {
		fmt.Fprintf(b, "\twhy=%s\n", ShellQuote("labels do not match "+w.Labels.String()))
		decide(w.Labels).define(b, "\t")
	}
	if len(parts) == 0 {
		parts = []string{"return 0"}
	}
	fmt.Fprintf(b, "\t%s\n}\n", strings.Join(parts, " && "))
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

// define writes the questions of t; it returns from the function where the answer is no.
func (t *decision) define(b *strings.Builder, indent string) {
	if t.leaf {
		fmt.Fprintf(b, "%s%s\n", indent, map[bool]string{true: ":", false: "return 1"}[t.value])
		return
	}
	fmt.Fprintf(b, "%sif label %s; then\n", indent, ShellQuote(t.label))
	t.yes.define(b, indent+"\t")
	fmt.Fprintf(b, "%selse\n", indent)
	t.no.define(b, indent+"\t")
	fmt.Fprintf(b, "%sfi\n", indent)
}
