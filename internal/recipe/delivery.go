// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed shell/deliver.sh
var deliverStage string

// MaxEmbedded is the size in bytes up to which a program is embedded in its job. Beyond it Jenkins' configuration page
// gets heavy, and every slot would be read and written whole for each cleanup; so the program goes by file parameter.
const MaxEmbedded = 1 << 20

// FileParameter is the name of the file parameter by which a large program is sent, and thereby of the file in the
// workspace: Jenkins puts it at the path that the parameter is named after (hudson.model.FileParameterValue).
const FileParameter = "PITCREW_PROGRAM"

// The builds that Jenkins keeps of a job, with whatever file was sent with each.
const (
	keptBuilds = 50
	// keptWithFile is for a slot, whose builds follow one another: no more of them are read than the last.
	keptWithFile = 5
)

// ByFile reports whether a job of p delivers it by file parameter, because it is too large to be embedded.
func (p *Program) ByFile() bool { return len(p.Text) > MaxEmbedded }

// FileName is what the file is called when p is sent by file parameter. Builds show it to people.
func (p *Program) FileName() string { return fmt.Sprintf("%s-%.12s.sh", p.Recipe, p.Digest) }

// Delivery says in words how a job delivers p.
func (p *Program) Delivery() string {
	if p.ByFile() {
		return fmt.Sprintf("by file parameter with each build, %.1f MB", float64(len(p.Text))/1e6)
	}
	return fmt.Sprintf("embedded in the job, %d kB", (len(p.Text)+500)/1000)
}

// shellStep returns the shell step of a job of p: p itself, or what takes it out of the file and proves it by its digest.
func (p *Program) shellStep() string {
	if !p.ByFile() {
		return string(p.Text)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\n# Runs pitcrew recipe %s, revision %s, which comes by file parameter.\n", p.Recipe, p.Revision)
	b.WriteString("# Made by a compiler: change the recipe, not this.\n\n")
	b.WriteString(digestPart + "\n" + linePart + "\n" + bindPart + "\n" + deliverStage)
	fmt.Fprintf(&b, "\npitcrew_file=%s pitcrew_size=%d\npitcrew_digest=%s\npitcrew_deliver\n", FileParameter, len(p.Text), p.Digest)
	return b.String()
}

// Carries reports whether a job's config.xml is one that delivers program p: its first shell step is exactly that of p,
// and if p goes by file parameter, the job has that parameter. A final line break does not matter: renderings differ in
// it.
func Carries(config []byte, p *Program) bool {
	root, err := readTree(config)
	if err != nil {
		return false
	}
	step := root.find(func(n *tree) bool { return n.name == "hudson.tasks.Shell" })
	if step == nil || trimNewline(step.value("command")) != trimNewline(p.shellStep()) {
		return false
	}
	return !p.ByFile() || root.find(func(n *tree) bool {
		return n.name == fileParameterClass && n.value("name") == FileParameter
	}) != nil
}

// find returns the first element, in the order of the document, of which is holds, or nil.
func (t *tree) find(is func(*tree) bool) *tree {
	if is(t) {
		return t
	}
	for _, c := range t.children {
		if found := c.find(is); found != nil {
			return found
		}
	}
	return nil
}

// value returns the text of the child called name.
func (t *tree) value(name string) string {
	for _, c := range t.children {
		if c.name == name {
			return c.text
		}
	}
	return ""
}

func trimNewline(s string) string { return strings.TrimRight(s, "\n") }
