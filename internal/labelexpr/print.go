// SPDX-License-Identifier: Apache-2.0

package labelexpr

import "strings"

// opText is how operators are printed. Jenkins prints no spaces; people read it more easily with them.
var opText = map[op]string{opAnd: " && ", opOr: " || ", opImplies: " -> ", opIff: " <-> "}

// String returns e in canonical form: parentheses only where the grammar needs them to keep the tree, quotes only
// where the label needs them. Jenkins reads it as the same expression.
func (e Expr) String() string {
	if e.IsZero() {
		return ""
	}
	var b strings.Builder
	e.print(&b)
	s := b.String()
	// Jenkins strips a quote from both ends before it parses ("a b" || "c d" becomes a b" || "c d): hide them.
	if s[0] == '"' && s[len(s)-1] == '"' && !ParseLenient(s).Equal(e) {
		return "(" + s + ")"
	}
	return s
}

func (e Expr) print(b *strings.Builder) {
	switch e.op {
	case opNone:
	case opAtom:
		b.WriteString(quoteAtom(e.name))
	case opNot:
		b.WriteByte('!')
		e.left.printOperand(b, opAtom)
	case opImplies: // does not chain on either side
		e.left.printOperand(b, opImplies+1)
		b.WriteString(opText[e.op])
		e.right.printOperand(b, opImplies+1)
	case opIff, opOr, opAnd: // left-associative
		e.left.printOperand(b, e.op)
		b.WriteString(opText[e.op])
		e.right.printOperand(b, e.op+1)
	}
}

// printOperand puts e into parentheses if it binds weaker than weakest.
func (e Expr) printOperand(b *strings.Builder, weakest op) {
	if e.op >= weakest {
		e.print(b)
		return
	}
	b.WriteByte('(')
	e.print(b)
	b.WriteByte(')')
}

// quoteAtom returns how a label is written in an expression.
func quoteAtom(name string) string {
	if name != "" && atomLen(name) == len(name) && !strings.ContainsFunc(name, isControl) {
		return name
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(name) {
		switch c := name[i]; c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '\f':
			b.WriteString(`\f`)
		case '\b':
			b.WriteString(`\b`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// isControl reports characters that the grammar allows unquoted, but that no reader would see.
func isControl(r rune) bool { return r < ' ' || r == 0x7f }
