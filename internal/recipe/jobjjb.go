// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"strings"
)

// RenderJJB returns the job as a file for Jenkins Job Builder. It is a job template with one job made of it, because
// templates are what every version of Jenkins Job Builder formats: all braces are doubled, and come out single.
func RenderJJB(s JobSpec) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	y := yamlWriter{}
	y.line(0, "# Made by pitcrew. Braces are doubled because Jenkins Job Builder formats templates.")
	y.line(0, "- job-template:")
	y.text(4, "name", s.Name)
	y.line(4, "project-type: freestyle")
	y.text(4, "description", s.description())
	if s.NodeParameter == "" {
		y.text(4, "node", nodeAtom(s.Agent))
	}
	y.line(4, fmt.Sprintf("concurrent: %t", s.NodeParameter != ""))
	y.line(4, "properties:")
	y.line(6, "- build-discarder:")
	y.line(10, fmt.Sprintf("num-to-keep: %d", s.keepBuilds()))
	y.line(4, "parameters:")
	for _, p := range s.parameters() {
		y.parameter(p)
	}
	if s.NodeParameter != "" {
		y.line(6, "- node:")
		y.text(10, "name", s.NodeParameter)
		y.text(10, "description", "The agent to clean; the same as PITCREW_AGENT.")
		y.text(10, "allowed-slaves", "ALL (no restriction)", "- ")
	}
	y.line(4, "builders:")
	y.text(6, "- shell", s.shell())
	y.line(0, "")
	y.line(0, "- project:")
	y.text(4, "name", s.Name)
	y.line(4, "jobs:")
	y.text(6, "", s.Name, "- ")
	return []byte(y.b.String()), nil
}

// yamlWriter writes YAML whose texts Jenkins Job Builder will format.
type yamlWriter struct{ b strings.Builder }

func (y *yamlWriter) line(indent int, text string) {
	y.b.WriteString(strings.TrimRight(strings.Repeat(" ", indent)+text, " ") + "\n")
}

func (y *yamlWriter) parameter(p Parameter) {
	kind := "string"
	switch {
	case p.Secret:
		kind = "password"
	case p.File:
		kind = "file"
	}
	y.line(6, "- "+kind+":")
	y.text(10, "name", p.Name)
	if !p.File {
		y.text(10, "default", p.Value)
	}
	y.text(10, "description", p.Description)
}

// doubled is what formatting turns back into the original.
var doubled = strings.NewReplacer("{", "{{", "}", "}}")

// text writes a key with a text: in single quotes, or as a literal block if it has several lines. With a dash it
// writes a list of one instead; an empty key then is the entry alone.
func (y *yamlWriter) text(indent int, key, value string, dash ...string) {
	value = doubled.Replace(value)
	switch {
	case len(dash) > 0:
		if key != "" {
			y.line(indent, key+":")
			indent += 2
		}
		y.line(indent, dash[0]+singleQuoted(value))
	case strings.Contains(value, "\n"):
		chomp := "|-"
		if text, ended := strings.CutSuffix(value, "\n"); ended {
			chomp, value = "|", text
		}
		y.line(indent, key+": "+chomp)
		for line := range strings.SplitSeq(value, "\n") {
			if line == "" {
				y.b.WriteByte('\n')
				continue
			}
			y.b.WriteString(strings.Repeat(" ", indent+4) + line + "\n")
		}
	default:
		y.line(indent, key+": "+singleQuoted(value))
	}
}

func singleQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
