// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// element is one XML element as XStream sees it: either children or text.
type element struct {
	name     string
	attrs    []xml.Attr
	children []*element
	text     string
}

// Limits and private markers of parsing. XML 1.1 allows references to control
// characters, which encoding/xml refuses: they travel as private-use runes.
const (
	maxXMLDepth      = 200
	controlRuneBase  = '\uE400'
	firstPrintable   = 0x20
	declarationStart = "<?xml"
)

var (
	declaration      = regexp.MustCompile(`^\s*<\?xml\s+version=["'](1\.[01])["'][^>]*\?>`)
	controlReference = regexp.MustCompile(`&#(x[0-9a-fA-F]+|[0-9]+);`)
)

// parseXML reads a configuration document. The prologue may be missing, 1.0 or
// 1.1; references to control characters need 1.1.
func parseXML(data []byte) (*element, error) {
	if m := declaration.FindSubmatch(data); m != nil {
		data = data[len(m[0]):]
		if string(m[1]) == "1.1" {
			if bytes.ContainsFunc(data, isC1) {
				return nil, errors.New("parse XML: raw control character")
			}
			data = hideControlReferences(plainLineEnds(data))
		}
	} else if bytes.HasPrefix(bytes.TrimSpace(data), []byte(declarationStart)) {
		return nil, errors.New("parse XML: unsupported declaration")
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	root, err := readRoot(d)
	if err != nil {
		return nil, fmt.Errorf("parse XML: %w", err)
	}
	return root, nil
}

// isC1 reports control characters that XML 1.1 allows as references only.
func isC1(r rune) bool { return r >= 0x7F && r <= 0x9F && r != 0x85 }

func hideControlReferences(data []byte) []byte {
	if !bytes.Contains(data, []byte("&#")) {
		return data
	}
	return controlReference.ReplaceAllFunc(data, func(ref []byte) []byte {
		digits, base := string(ref[2:len(ref)-1]), 10
		if digits[0] == 'x' {
			digits, base = digits[1:], 16
		}
		n, err := strconv.ParseInt(digits, base, 32)
		if err != nil || n == 0 || n >= firstPrintable || n == '\t' || n == '\n' || n == '\r' {
			return ref
		}
		return []byte(string(controlRuneBase + rune(n)))
	})
}

func readRoot(d *xml.Decoder) (*element, error) {
	var root *element
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			if root == nil {
				return nil, errors.New("no root element")
			}
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if root != nil {
				return nil, errors.New("more than one root element")
			}
			if root, err = readElement(d, t, 0); err != nil {
				return nil, err
			}
		case xml.Directive:
			return nil, errors.New("document type is not allowed")
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, errors.New("content is not allowed outside the root element")
			}
		}
	}
}

func readElement(d *xml.Decoder, start xml.StartElement, depth int) (*element, error) {
	if depth > maxXMLDepth {
		return nil, errors.New("nested too deeply")
	}
	e := &element{name: start.Name.Local, attrs: start.Attr}
	var text strings.Builder
	for {
		tok, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			child, err := readElement(d, t, depth+1)
			if err != nil {
				return nil, err
			}
			e.children = append(e.children, child)
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			if len(e.children) == 0 {
				e.text = elementText(e.name, text.String())
			}
			return e, nil
		}
	}
}

// elementText drops the indentation between the tags of an empty object.
func elementText(name, s string) string {
	if !stringElements[name] && strings.TrimSpace(s) == "" {
		return ""
	}
	return revealControls(s)
}

func revealControls(s string) string {
	if !strings.ContainsFunc(s, isHiddenControl) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isHiddenControl(r) {
			return r - controlRuneBase
		}
		return r
	}, s)
}

func isHiddenControl(r rune) bool { return r > controlRuneBase && r < controlRuneBase+firstPrintable }

// child returns the first direct child of that name, or nil.
func (e *element) child(name string) *element {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// path follows names downwards and returns nil where one is missing.
func (e *element) path(names ...string) *element {
	for _, n := range names {
		e = e.child(n)
	}
	return e
}

// value is the text of the direct child of that name, "" if there is none.
func (e *element) value(name string) string {
	if c := e.child(name); c != nil {
		return c.text
	}
	return ""
}

func (e *element) intValue(name string, fallback int) int {
	if n, err := strconv.Atoi(strings.TrimSpace(e.value(name))); err == nil {
		return n
	}
	return fallback
}

func (e *element) boolValue(name string) bool { return strings.TrimSpace(e.value(name)) == "true" }

func (e *element) attr(name string) string {
	if e == nil {
		return ""
	}
	for _, a := range e.attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// setValue sets the text of a direct child and appends the child if it is missing.
func (e *element) setValue(name, text string) {
	if c := e.child(name); c != nil {
		c.text, c.children = text, nil
		return
	}
	e.children = append(e.children, &element{name: name, text: text})
}

// clone copies the element deeply.
func (e *element) clone() *element {
	c := &element{name: e.name, attrs: e.attrs, text: e.text}
	for _, k := range e.children {
		c.children = append(c.children, k.clone())
	}
	return c
}

// xmlAttrs makes attributes from names and values in turn.
func xmlAttrs(pairs ...string) []xml.Attr {
	var attrs []xml.Attr
	for i := 0; i+1 < len(pairs); i += 2 {
		attrs = append(attrs, xml.Attr{Name: xml.Name{Local: pairs[i]}, Value: pairs[i+1]})
	}
	return attrs
}
