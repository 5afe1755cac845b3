// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strings"
)

// packer writes the part of a program that unpacks files.
type packer struct {
	script strings.Builder
	size   int
	dirs   []string
	notes  []string
	// caches has scrub unpacked only where the machine's cache has none.
	caches bool
	// paths and contents are those of the files that are proved together, in order.
	paths    []string
	contents []byte
}

// packed is one file to be unpacked below the private directory.
type packed struct {
	path, mode string
	content    []byte
	// from is "engine" if the program holds the content elsewhere.
	from string
}

func (p *packer) step(n int, s Step) {
	p.dirs = append(p.dirs, fmt.Sprintf("%d/files", n))
	p.file(packed{path: fmt.Sprintf("%d/script", n), mode: "600", content: s.Script})
	for _, f := range s.Files {
		at := path.Join(fmt.Sprintf("%d/files", n), f.Path)
		if dir := path.Dir(at); !slices.Contains(p.dirs, dir) {
			p.dirs = append(p.dirs, dir)
		}
		p.file(packed{path: at, mode: f.mode(), content: f.Content})
		if len(f.Content) > 1<<20 {
			p.notes = append(p.notes, fmt.Sprintf("step %q carries %s with %.1f MB", s.Name, f.Path, float64(len(f.Content))/1e6))
		}
	}
}

// mode is what the file is unpacked with.
func (f File) mode() string {
	if f.Executable {
		return "755"
	}
	return "644"
}

// file writes the commands that unpack f and prove it.
func (p *packer) file(f packed) {
	p.unpack(f)
	p.paths, p.contents = append(p.paths, f.path), append(p.contents, f.content...)
}

// unpack writes those that unpack f. Text stays readable, so that whoever looks at the job sees what it does; everything that
// could suffer on its way is sent as base64.
func (p *packer) unpack(f packed) {
	p.size += len(f.content)
	name := ShellQuote(f.path)
	switch {
	case f.from == "engine":
		fmt.Fprintf(&p.script, "\tpitcrew_engine >\"$pitcrew_work/\"%[1]s && echo 'engine_main \"$@\"' >>\"$pitcrew_work/\"%[1]s || pitcrew_die 'cannot unpack the engine'\n", name)
	case len(f.content) == 0:
		fmt.Fprintf(&p.script, "\tput %s </dev/null\n", name)
	case readable(f.content) && bytes.Count(f.content, []byte("\n")) == 1: // as a goal is
		fmt.Fprintf(&p.script, "\tput_line %s %s\n", name, ShellQuote(strings.TrimSuffix(string(f.content), "\n")))
	case readable(f.content):
		fmt.Fprintf(&p.script, "\tput %s <<'%s'\n%s%[2]s\n", name, delimiter("PITCREW_FILE", f.content), f.content)
	default:
		fmt.Fprintf(&p.script, "\tput64 %s <<'%s'\n%s%[2]s\n", name, "PITCREW_FILE", wrapped(f.content))
	}
	if f.mode != "600" {
		fmt.Fprintf(&p.script, "\tchmod %s \"$pitcrew_work/\"%s\n", f.mode, name)
	}
}

// check writes the command that proves all files since the last one.
func (p *packer) check() {
	fmt.Fprintf(&p.script, "\tcheck %s '%s' %s\n", sha256Hex(p.contents), cksum(p.contents), quoteAll(p.paths))
	p.paths, p.contents = nil, nil
}

// kib returns how much room unpacking needs, here-documents that the shell keeps in files included.
func (p *packer) kib() int { return 256 + 3*p.size/1024 }

// readable reports whether content survives as a here-document: text in ASCII with whole lines that no editor, XML
// parser or shell has a reason to touch.
func readable(content []byte) bool {
	return bytes.HasSuffix(content, []byte("\n")) && bytes.IndexFunc(content, foreign) < 0
}

// delimiter returns a line beginning with name that does not occur in content.
func delimiter(name string, content []byte) string {
	line := name
	for n := 1; ; n++ {
		if !bytes.Contains(append([]byte("\n"), content...), []byte("\n"+line+"\n")) {
			return line
		}
		line = fmt.Sprintf("%s_%d", name, n)
	}
}

// wrapped returns content in base64, in lines of 76.
func wrapped(content []byte) string {
	text := base64.StdEncoding.EncodeToString(content)
	var b strings.Builder
	for len(text) > 76 {
		b.WriteString(text[:76] + "\n")
		text = text[76:]
	}
	b.WriteString(text + "\n")
	return b.String()
}
