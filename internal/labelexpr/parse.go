// SPDX-License-Identifier: Apache-2.0

package labelexpr

import (
	"fmt"
	"strings"
)

const (
	// maxLength bounds the text of an expression, in bytes. Jenkins has no bound; nobody writes this much.
	maxLength = 64 << 10
	// maxDepth bounds nested parentheses, so that hostile text cannot exhaust the stack.
	maxDepth = 1000
)

// SyntaxError says why a text is no label expression.
type SyntaxError struct {
	Offset int // in bytes from the start of the text
	Msg    string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("label expression: %s (at column %d)", e.Msg, e.Offset+1)
}

// Parse reads a label expression. The error, if any, is a [*SyntaxError]; text without any label is an error.
func Parse(text string) (Expr, error) {
	if len(text) > maxLength {
		return Expr{}, &SyntaxError{Offset: maxLength, Msg: fmt.Sprintf("longer than %d bytes", maxLength)}
	}
	p := parser{lex: lexer{text: text}}
	if err := p.advance(); err != nil {
		return Expr{}, err
	}
	e, err := p.iff()
	if err != nil {
		return Expr{}, err
	}
	if p.tok.kind != tokEnd {
		return Expr{}, p.unexpectedAfterOperand()
	}
	return e, nil
}

// ParseLenient reads a label expression the way Jenkins looks one up (jenkins.model.Jenkins#getLabel): a text that
// starts and ends with the same quote loses these quotes first, wherever they belong; and what then does not parse is
// the name of a single label. So "foo bar" is the label "foo bar". Blank text is the zero Expr: jobs with a blank
// label may run anywhere.
//
// Where the controller knows a label with exactly the name of the text, Jenkins takes that label even if the text
// would parse. This cannot be seen from the text and is not imitated.
func ParseLenient(text string) Expr {
	if strings.TrimFunc(text, blankInJava) == "" {
		return Expr{}
	}
	text = unquote(text)
	e, err := Parse(text)
	if err != nil {
		return Atom(text)
	}
	return e
}

// blankInJava holds for what java.lang.String#trim takes off; a no-break space, for one, is not.
func blankInJava(r rune) bool { return r <= ' ' }

// unquote does what hudson.util.QuotedStringTokenizer#unquote does; unlike in the grammar every character may follow
// a backslash, and a text with both quotes but a dangling backslash just loses it.
func unquote(s string) string {
	if len(s) < 2 || s[0] != s[len(s)-1] || (s[0] != '"' && s[0] != '\'') {
		return s
	}
	inner := s[1 : len(s)-1]
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		c := inner[i]
		if c == '\\' {
			i++
			if i == len(inner) {
				break
			}
			c, _ = unescape(inner[i])
		}
		b.WriteByte(c)
	}
	return b.String()
}

// parser is a recursive descent, one method per rule of the grammar in the package comment. tok is the token not yet
// used.
type parser struct {
	lex   lexer
	tok   token
	depth int
}

func (p *parser) advance() (err error) {
	p.tok, err = p.lex.next()
	return err
}

func (p *parser) iff() (Expr, error) { return p.chain(tokIff, opIff, p.implies) }

func (p *parser) implies() (Expr, error) {
	left, err := p.or()
	if err != nil || p.tok.kind != tokImplies {
		return left, err
	}
	if err := p.advance(); err != nil {
		return Expr{}, err
	}
	right, err := p.or()
	if err != nil {
		return Expr{}, err
	}
	if p.tok.kind == tokImplies {
		return Expr{}, &SyntaxError{Offset: p.tok.offset, Msg: `"->" does not chain: use parentheses`}
	}
	return binary(opImplies, left, right), nil
}

func (p *parser) or() (Expr, error) { return p.chain(tokOr, opOr, p.and) }

func (p *parser) and() (Expr, error) { return p.chain(tokAnd, opAnd, p.not) }

// chain parses operands joined by one left-associative operator.
func (p *parser) chain(kind tokenKind, o op, operand func() (Expr, error)) (Expr, error) {
	left, err := operand()
	for err == nil && p.tok.kind == kind {
		if err = p.advance(); err != nil {
			break
		}
		var right Expr
		if right, err = operand(); err == nil {
			left = binary(o, left, right)
		}
	}
	if err != nil {
		return Expr{}, err
	}
	return left, nil
}

func (p *parser) not() (Expr, error) {
	if p.tok.kind != tokNot {
		return p.primary()
	}
	if err := p.advance(); err != nil {
		return Expr{}, err
	}
	if p.tok.kind == tokNot {
		return Expr{}, &SyntaxError{Offset: p.tok.offset, Msg: `"!!" is not allowed: use parentheses`}
	}
	e, err := p.primary()
	return Not(e), err
}

func (p *parser) primary() (Expr, error) {
	switch p.tok.kind {
	case tokAtom:
		e := Atom(p.tok.name)
		return e, p.advance()
	case tokOpen:
		return p.parenthesised()
	case tokEnd:
		return Expr{}, &SyntaxError{Offset: p.tok.offset, Msg: "ends where a label is expected"}
	case tokAnd, tokOr, tokNot, tokImplies, tokIff, tokClose:
	}
	return Expr{}, &SyntaxError{Offset: p.tok.offset, Msg: fmt.Sprintf("%q where a label is expected", p.tok.kind)}
}

func (p *parser) parenthesised() (Expr, error) {
	open := p.tok.offset
	if p.depth++; p.depth > maxDepth {
		return Expr{}, &SyntaxError{Offset: open, Msg: "parentheses nested too deeply"}
	}
	defer func() { p.depth-- }()
	if err := p.advance(); err != nil {
		return Expr{}, err
	}
	e, err := p.iff()
	switch {
	case err != nil:
		return Expr{}, err
	case p.tok.kind == tokClose:
		return e, p.advance()
	case p.tok.kind == tokEnd:
		return Expr{}, &SyntaxError{Offset: open, Msg: `"(" is never closed`}
	}
	return Expr{}, p.unexpectedAfterOperand()
}

// unexpectedAfterOperand explains a token that can follow no complete operand: an atom, "(", "!" or ")". All others
// continue or end the expression.
func (p *parser) unexpectedAfterOperand() error {
	msg := fmt.Sprintf("operator missing before %q", p.tok.kind)
	if p.tok.kind == tokAtom {
		msg = fmt.Sprintf("operator missing before %q (labels with spaces need double quotes)", p.tok.name)
	}
	if p.tok.kind == tokClose {
		msg = `")" without "("`
	}
	return &SyntaxError{Offset: p.tok.offset, Msg: msg}
}

// String returns the operator as it is written.
func (k tokenKind) String() string {
	for _, o := range operators {
		if o.kind == k {
			return o.text
		}
	}
	return "label"
}
