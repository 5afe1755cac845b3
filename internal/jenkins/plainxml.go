// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// plain goes through XML of the kind that Jenkins writes, at a tenth of what encoding/xml takes, which is left all else: no more
// markup than tags with names in ASCII, and the five entities that have names. Whatever it takes, encoding/xml takes for the same.
type plain struct {
	doc  []byte
	at   int
	open [][]byte // names of the elements that have not ended
}

// A mark is a piece of markup, or the text between two.
type mark struct {
	kind       markKind
	name       []byte // of an element
	attributes []byte
	start, end int  // in the document
	empty      bool // <name/>, which has no end of its own
}

type markKind int

const (
	markText markKind = iota
	markStart
	markEnd
)

// declarations are what documents of Jenkins begin with.
var declarations = [][]byte{
	[]byte(`<?xml version='1.1' encoding='UTF-8'?>`), []byte(`<?xml version="1.1" encoding="UTF-8"?>`),
	[]byte(`<?xml version='1.0' encoding='UTF-8'?>`), []byte(`<?xml version="1.0" encoding="UTF-8"?>`),
}

// walk calls visit at each mark of the document, from its root on. It is false where something is not plain, or visit said so.
func (p *plain) walk(visit func(*plain, mark) bool) bool {
	if !utf8.Valid(p.doc) || bytes.Contains(p.doc, []byte("\ufffe")) || bytes.Contains(p.doc, []byte("\uffff")) {
		return false
	}
	for _, d := range declarations {
		if bytes.HasPrefix(p.doc, d) {
			p.at = len(d)
			break
		}
	}
	rooted := false
	for p.at < len(p.doc) {
		if rooted && len(p.open) == 0 {
			return len(bytes.TrimSpace(p.doc[p.at:])) == 0 && isPlainText(p.doc[p.at:])
		}
		m, ok := p.next()
		if !ok || len(p.open) == 0 && m.kind == markText && len(bytes.TrimSpace(p.doc[m.start:m.end])) > 0 {
			return false
		}
		switch m.kind {
		case markText:
		case markStart:
			rooted = true
			if !m.empty {
				p.open = append(p.open, m.name)
			}
		case markEnd:
			last := len(p.open) - 1
			if last < 0 || !bytes.Equal(p.open[last], m.name) {
				return false
			}
			p.open = p.open[:last]
		}
		if !visit(p, m) {
			return false
		}
	}
	return rooted && len(p.open) == 0
}

func (p *plain) next() (mark, bool) {
	rest := p.doc[p.at:]
	m := mark{start: p.at}
	if rest[0] != '<' {
		n := bytes.IndexByte(rest, '<')
		if n < 0 {
			n = len(rest)
		}
		p.at += n
		m.end = p.at
		return m, isPlainText(rest[:n])
	}
	n := bytes.IndexByte(rest, '>')
	if n < 2 {
		return m, false
	}
	p.at += n + 1
	m.end = p.at
	inner := rest[1:n]
	if inner[0] == '/' {
		m.kind, m.name = markEnd, inner[1:]
		return m, isPlainName(m.name)
	}
	m.kind = markStart
	if inner[n-2] == '/' {
		m.empty, inner = true, inner[:n-2]
	}
	m.name = inner
	if space := bytes.IndexByte(inner, ' '); space >= 0 {
		m.name, m.attributes = inner[:space], inner[space:]
	}
	return m, isPlainName(m.name) && isPlainList(m.attributes)
}

// attribute returns the value of an attribute, the last if there are several of that name.
func (m mark) attribute(name string) string {
	value := ""
	for list := m.attributes; len(list) > 0; {
		var key, text []byte
		key, text, list = nextAttribute(list)
		if string(key) == name {
			value = unnamed(text)
		}
	}
	return value
}

// nextAttribute takes the first off a list that is plain.
func nextAttribute(list []byte) (key, value, rest []byte) {
	key, rest, _ = bytes.Cut(list[1:], []byte{'='})
	value, rest, _ = bytes.Cut(rest[1:], rest[:1])
	return key, value, rest
}

// isPlainList reports whether attributes are written as Jenkins does: a space, a name, =, and a value between quotes.
func isPlainList(list []byte) bool {
	for len(list) > 0 {
		equals := bytes.IndexByte(list, '=')
		if list[0] != ' ' || equals < 2 || equals+2 >= len(list) || !isPlainName(list[1:equals]) {
			return false
		}
		quote := list[equals+1]
		length := bytes.IndexByte(list[equals+2:], quote)
		if quote != '"' && quote != '\'' || length < 0 || !isPlainText(list[equals+2:equals+2+length]) {
			return false
		}
		list = list[equals+2+length+1:]
	}
	return true
}

func isPlainName(name []byte) bool {
	for i, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '.' && c != '-') {
			return false
		}
	}
	return len(name) > 0
}

// isPlainText also takes attributes' values, which must hold no < and have been looked for >.
func isPlainText(text []byte) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '&':
			name, _ := named(text[i:])
			if name == "" {
				return false
			}
			i += len(name) - 1
		case c == '<', c == '>', c < ' ' && c != '\t' && c != '\n':
			return false
		}
	}
	return true
}

// namedEntities are those that every document has.
var namedEntities = map[string]string{"&amp;": "&", "&lt;": "<", "&gt;": ">", "&apos;": "'", "&quot;": `"`}

// named returns the entity that a text begins with, and what it stands for.
func named(text []byte) (name, meaning string) {
	end := bytes.IndexByte(text[:min(len(text), 6)], ';')
	name = string(text[:end+1])
	if meaning = namedEntities[name]; meaning == "" {
		name = ""
	}
	return name, meaning
}

// unnamed is a plain text with what its entities stand for.
func unnamed(text []byte) string {
	if bytes.IndexByte(text, '&') < 0 {
		return string(text)
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '&' {
			b.WriteByte(text[i])
			continue
		}
		name, meaning := named(text[i:])
		b.WriteString(meaning)
		i += len(name) - 1
	}
	return b.String()
}
