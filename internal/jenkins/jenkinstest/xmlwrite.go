// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"fmt"
	"unicode/utf8"
)

// prologue is the first line of a node's document, which Jenkins writes when it is asked
// (hudson.util.XStream2#toXMLUTF8).
const prologue = `<?xml version="1.1" encoding="UTF-8"?>` + "\n"

// filePrologue is the first line of the files that Jenkins writes (hudson.XmlFile#write);
// config.xml of a job is its file.
const filePrologue = `<?xml version='1.1' encoding='UTF-8'?>` + "\n"

// render writes the document as XStream does: two blanks per level, texts on one
// line, "<x></x>" for an empty string and "<x/>" for an object without fields.
func (e *element) render() []byte { return e.append([]byte(prologue), 0) }

// stringElements are the fields of nodes and jobs that hold strings, which XStream
// writes with both tags even if empty.
var stringElements = map[string]bool{
	"name": true, "description": true, "remoteFS": true, "label": true, "numExecutors": true, "mode": true,
	"assignedNode": true, "defaultValue": true, "command": true, "configuredLocalRules": false,
	"inDemandDelay": true, "idleDelay": true, "script": true, "string": true, "host": true, "jvmOptions": true,
}

func (e *element) append(b []byte, depth int) []byte {
	for range depth {
		b = append(b, "  "...)
	}
	b = append(append(b, '<'), e.name...)
	for _, a := range e.attrs {
		b = append(append(append(b, ' '), a.Name.Local...), `="`...)
		b = append(appendEscaped(b, a.Value), '"')
	}
	switch {
	case len(e.children) > 0:
		b = append(b, '>', '\n')
		for _, c := range e.children {
			b = append(c.append(b, depth+1), '\n')
		}
		for range depth {
			b = append(b, "  "...)
		}
		return append(append(append(b, "</"...), e.name...), '>')
	case e.text == "" && !stringElements[e.name]:
		return append(b, "/>"...)
	}
	b = appendEscaped(append(b, '>'), e.text)
	return append(append(append(b, "</"...), e.name...), '>')
}

// appendEscaped escapes text as XStream's PrettyPrintWriter does.
func appendEscaped(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '"':
			b = append(b, "&quot;"...)
		case r == '\'':
			b = append(b, "&apos;"...)
		case r == '\r':
			b = append(b, "&#xd;"...)
		case r < firstPrintable && r != '\t' && r != '\n':
			b = fmt.Appendf(b, "&#x%x;", r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}
