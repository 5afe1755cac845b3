// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// spliceText returns doc with the content of the root's child name replaced by text, which is XML already. Every byte
// outside of that content is that of doc. <name/> is opened for it, and a missing element is put after the last child.
func spliceText(doc []byte, o *outline, name, text string) ([]byte, error) {
	e, err := o.child(name)
	switch {
	case err != nil:
		return nil, err
	case e == nil && len(o.children) == 0:
		return nil, fmt.Errorf("document has no <%s> and no place for one", name)
	case e == nil:
		at := o.children[len(o.children)-1].end
		return replaced(doc, at, at, "\n  <"+name+">"+text+"</"+name+">"), nil
	case e.empty:
		slash := bytes.LastIndexByte(doc[e.start:e.end], '/') + e.start
		return replaced(doc, slash, e.end, ">"+text+"</"+name+">"), nil
	default:
		return replaced(doc, e.from, e.to, text), nil
	}
}

func replaced(doc []byte, from, to int, text string) []byte {
	return slices.Concat(doc[:from], []byte(text), doc[to:])
}

// withoutText returns doc without the content of the child name, for comparing the rest of two documents.
func withoutText(doc []byte, o *outline, name string) []byte {
	e, err := o.child(name)
	if err != nil || e == nil {
		return doc
	}
	return replaced(doc, e.start, e.end, "<"+name+"/>")
}

// spliceLabels returns doc with the label string changed to mean wanted. Labels that stay keep their bytes and their
// order, new ones are put at the end: pitcrew changes its own labels and nothing else, down to the spacing between the
// labels of others.
func spliceLabels(doc []byte, o *outline, wanted []string) ([]byte, error) {
	for _, l := range wanted {
		if err := checkLabel(l); err != nil {
			return nil, err
		}
	}
	e, err := o.child("label")
	if err != nil {
		return nil, err
	}
	text := escaped(labelexpr.Join(wanted))
	if e != nil && e.plain {
		raw := string(doc[e.from:e.to])
		if edited, ok := editLabelText(raw, wanted); ok {
			text = edited
		}
	}
	return spliceText(doc, o, "label", text)
}

// checkLabel refuses what Jenkins could not read back as the same label.
func checkLabel(label string) error {
	if label == "" || !utf8.ValidString(label) || strings.ContainsFunc(label, func(r rune) bool { return r < ' ' || r == 0x7F || !legalIn10(r) }) {
		return fmt.Errorf("%q cannot be a label", label)
	}
	return nil
}

// editLabelText edits the escaped text of a label element so that it means wanted. ok is false if the text is beyond
// such an edit: then it is to be written anew.
func editLabelText(raw string, wanted []string) (text string, ok bool) {
	value, offsets, ok := decodedText(raw)
	if !ok {
		return "", false
	}
	var b strings.Builder
	var kept []string
	copied := 0 // of raw
	for _, s := range segments(value) {
		tokens := labelexpr.Tokens(value[s.from:s.to])
		if len(tokens) != 1 {
			return "", false
		}
		if !slices.Contains(wanted, tokens[0]) {
			// The separator goes with the label: the one after it, or at the end the one before it.
			from, to := offsets[s.from], offsets[s.next]
			if s.next == len(value) {
				from = offsets[s.before]
			}
			b.WriteString(raw[copied:max(copied, from)])
			copied = max(copied, to)
			continue
		}
		kept = append(kept, tokens[0])
	}
	b.WriteString(raw[copied:])
	text = b.String()
	for _, l := range wanted {
		if slices.Contains(kept, l) {
			continue
		}
		if v, _, ok := decodedText(text); ok && v != "" && !strings.ContainsAny(v[len(v)-1:], " \t\r\n") {
			text += " "
		}
		text += escaped(labelexpr.Join([]string{l}))
	}
	value, _, ok = decodedText(text)
	return text, ok && sameLabels(labelexpr.Tokens(value), wanted)
}

// sameLabels reports whether a and b are the same set, which is how Jenkins takes them.
func sameLabels(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// segment is one label within a label string, with its quotes.
type segment struct {
	before   int // where the white space before it begins
	from, to int
	next     int // where the next segment begins, or the end of the string
}

// segments cuts a label string at the white space outside of quotes (hudson.util.QuotedStringTokenizer). What each
// segment means is left to package labelexpr, and so is the proof that the cuts were right.
func segments(s string) []segment {
	var found []segment
	end := 0 // of the segment before
	for i := 0; i < len(s); {
		for i < len(s) && isBlank(s[i]) {
			i++
		}
		if len(found) > 0 {
			found[len(found)-1].next = i
		}
		if i == len(s) {
			break
		}
		to := segmentEnd(s, i)
		found = append(found, segment{before: end, from: i, to: to, next: to})
		i, end = to, to
	}
	return found
}

func segmentEnd(s string, start int) int {
	var quote byte
	for i := start; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i > start:
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case isBlank(c):
			return i
		}
	}
	return len(s)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// escaper writes text the way Jenkins does (XStream's PrettyPrintWriter).
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;", "\r", "&#xd;")

func escaped(s string) string { return escaper.Replace(s) }

var entities = map[string]string{"amp": "&", "lt": "<", "gt": ">", "quot": `"`, "apos": "'"}

// decodedText returns what the text of an element means, and for each of its bytes, and its end, where in raw it comes
// from. ok is false for markup and for references that are not understood.
func decodedText(raw string) (value string, offsets []int, ok bool) {
	var b strings.Builder
	for i := 0; i < len(raw); {
		piece, n := raw[i:i+1], 1
		switch raw[i] {
		case '<':
			return "", nil, false
		case '&':
			name, _, found := strings.Cut(raw[i+1:], ";")
			if !found {
				return "", nil, false
			}
			if piece, ok = dereferenced(name); !ok {
				return "", nil, false
			}
			n = len(name) + 2
		case '\r': // a raw line end is read as LF, whichever kind it is
			if piece = "\n"; strings.HasPrefix(raw[i:], "\r\n") {
				n = 2
			}
		}
		for range len(piece) {
			offsets = append(offsets, i)
		}
		b.WriteString(piece)
		i += n
	}
	return b.String(), append(offsets, len(raw)), true
}

func dereferenced(name string) (string, bool) {
	if digits, ok := strings.CutPrefix(name, "#"); ok {
		r, ok := referenced(digits)
		return string(r), ok
	}
	s, ok := entities[name]
	return s, ok
}
