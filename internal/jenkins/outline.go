// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// element is a direct child of the root of a document, as ranges of its bytes.
type element struct {
	name       string
	class      string // attribute of that name
	start, end int    // with its tags
	from, to   int    // its content
	empty      bool   // <name/>: no content and no end tag
	plain      bool   // the content is text only: no elements, comments, CDATA or processing instructions
}

// outline is what must be known of the structure of a configuration document to change the text of one element.
type outline struct {
	root     string
	children []element
	rootEnd  int // where the end tag of the root begins
}

// child returns the only child of that name, or nil. Two of them are an error: which one counts is Jenkins' secret.
func (o *outline) child(name string) (*element, error) {
	var found *element
	for i := range o.children {
		if o.children[i].name != name {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("document has more than one <%s>", name)
		}
		found = &o.children[i]
	}
	return found, nil
}

var (
	errNotXML  = errors.New("not a well-formed document")
	errNotText = errors.New("holds elements where text is expected")
)

// parseOutline finds the children of the root.
func parseOutline(doc []byte) (*outline, error) {
	if o, ok := plainOutline(doc); ok {
		return o, nil
	}
	return strictOutline(doc)
}

// plainOutline is strictOutline for a document of the kind that Jenkins writes; false for all others.
func plainOutline(doc []byte) (*outline, bool) {
	var o outline
	p := plain{doc: doc}
	ok := p.walk(func(p *plain, m mark) bool {
		depth := len(p.open)
		switch {
		case m.kind == markStart && !m.empty && depth == 1:
			o.root = string(m.name)
		case m.kind == markStart && (m.empty && depth == 1 || !m.empty && depth == 2):
			o.children = append(o.children, element{
				name: string(m.name), class: m.attribute("class"), start: m.start, end: m.end, from: m.end, to: m.end, empty: m.empty, plain: true,
			})
		case m.kind == markStart && depth >= 2:
			o.children[len(o.children)-1].plain = false
		case m.kind == markStart:
			return false // a root without anything
		case m.kind == markEnd && depth == 1:
			e := &o.children[len(o.children)-1]
			e.to, e.end = m.start, m.end
		case m.kind == markEnd && depth == 0:
			o.rootEnd = m.start
		}
		return true
	})
	return &o, ok && o.root != ""
}

// strictOutline reads XML 1.1, which Jenkins writes and encoding/xml refuses: a copy
// is passed off as 1.0, with those character references that only 1.1 allows replaced by text of equal length, and
// nothing but offsets is taken from it.
func strictOutline(doc []byte) (*outline, error) {
	if !utf8.Valid(doc) {
		return nil, fmt.Errorf("%w: not UTF-8", errNotXML)
	}
	w := outlineWalk{doc: doc}
	dec := xml.NewDecoder(bytes.NewReader(passedOffAs10(doc)))
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // the bytes are UTF-8
	for start := 0; ; {
		t, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotXML, err)
		}
		end := int(dec.InputOffset())
		if err := w.step(t, start, end); err != nil {
			return nil, err
		}
		start = end
	}
	if len(w.open) != 0 || w.root == "" {
		return nil, fmt.Errorf("%w: ends too early", errNotXML)
	}
	return &w.outline, nil
}

// outlineWalk follows the tokens of a document, which xml.Decoder.RawToken does not match with each other.
type outlineWalk struct {
	outline
	doc  []byte
	open []xml.Name // elements that have not ended
}

func (w *outlineWalk) step(t xml.Token, start, end int) error {
	switch t := t.(type) {
	case xml.StartElement:
		return w.opened(t, start, end)
	case xml.EndElement:
		return w.closed(t, start, end)
	case xml.CharData:
		if len(w.open) == 0 && len(bytes.TrimSpace(bytes.TrimPrefix(t, []byte("\ufeff")))) > 0 {
			return fmt.Errorf("%w: text outside of the root", errNotXML)
		}
		if bytes.HasPrefix(w.doc[start:end], []byte("<![CDATA[")) {
			w.notPlain()
		}
	default:
		w.notPlain()
	}
	return nil
}

func (w *outlineWalk) opened(t xml.StartElement, start, end int) error {
	switch len(w.open) {
	case 0:
		if w.root != "" {
			return fmt.Errorf("%w: second root", errNotXML)
		}
		w.root = rawName(t.Name)
	case 1:
		e := element{name: rawName(t.Name), start: start, end: end, from: end, to: end, plain: true}
		e.empty = bytes.HasSuffix(w.doc[start:end], []byte("/>"))
		for _, a := range t.Attr {
			if rawName(a.Name) == "class" {
				e.class = a.Value
			}
		}
		w.children = append(w.children, e)
	default:
		w.notPlain()
	}
	w.open = append(w.open, t.Name)
	return nil
}

func (w *outlineWalk) closed(t xml.EndElement, start, end int) error {
	if len(w.open) == 0 || w.open[len(w.open)-1] != t.Name {
		return fmt.Errorf("%w: unexpected end of <%s>", errNotXML, rawName(t.Name))
	}
	w.open = w.open[:len(w.open)-1]
	switch len(w.open) {
	case 0:
		w.rootEnd = start
	case 1:
		e := &w.children[len(w.children)-1]
		e.end = end
		if !e.empty {
			e.to = start
		}
	}
	return nil
}

// notPlain records that the child of the root that is open just now, if one is, holds more than text.
func (w *outlineWalk) notPlain() {
	if len(w.open) >= 2 {
		w.children[len(w.children)-1].plain = false
	}
}

// rawName keeps the prefix, so that <x:label> is no <label>.
func rawName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

var (
	versionOf11   = regexp.MustCompile(`^(?:\x{feff})?<\?xml\s+version\s*=\s*["'](1\.1)["']`)
	charReference = regexp.MustCompile(`&#(?:x[0-9A-Fa-f]+|[0-9]+);`)
)

// passedOffAs10 returns a copy of doc, byte for byte as long, that encoding/xml can read.
func passedOffAs10(doc []byte) []byte {
	masked := bytes.Clone(doc)
	if v := versionOf11.FindSubmatchIndex(masked); v != nil {
		copy(masked[v[2]:v[3]], "1.0")
	}
	for _, at := range charReference.FindAllIndex(masked, -1) {
		ref := masked[at[0]:at[1]]
		if r, ok := referenced(string(ref[2 : len(ref)-1])); !ok || !legalIn10(r) {
			for i := range ref {
				ref[i] = 'x'
			}
		}
	}
	return masked
}

// referenced reads the number of a character reference, such as "27" or "x1b".
func referenced(digits string) (rune, bool) {
	base := 10
	if rest, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = rest, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n == 0 || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return 0, false
	}
	return rune(n), true
}

func legalIn10(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000
}
