// SPDX-License-Identifier: Apache-2.0

// Package labelexpr reads Jenkins' two languages of labels.
//
// A label expression ("clean && (el7 || el8)") says which agents may run a job. [Parse] accepts exactly what
// hudson.model.Label#parseExpression accepts (grammar files LabelExpressionLexer.g4 and LabelExpressionParser.g4):
//
//	iff     = implies { "<->" implies }      left-associative
//	implies = or [ "->" or ]                 at most one: "a -> b -> c" is an error
//	or      = and { "||" and }
//	and     = not { "&&" not }
//	not     = [ "!" ] primary                at most one: "!!a" is an error, "!(!a)" is not
//	primary = "(" iff ")" | atom | string
//
// An unquoted atom is any run of characters other than & | ! < > ( ) " ' space and tab; it may contain "-" unless
// that starts "->". Backslash, newline and non-ASCII characters are ordinary. A string is in double quotes, without
// raw line breaks, with the escapes \b \t \n \f \r \" \' \\. A single quote is never legal outside of a string.
// Only space and tab separate.
//
// Jenkins itself, when it looks an expression up (jenkins.model.Jenkins#getLabel), is more forgiving in one odd way;
// [ParseLenient] does the same.
//
// A label string ("cleanable linux \"two words\"") is the list of labels in an agent's configuration. It has other
// quoting rules than expressions; [Tokens] and [Join] read and write it.
//
// The package also answers what an audit of jobs asks of an expression: [Unprotected], [Suggest] and [Expr.Negated].
//
// Invariants: an [Expr] is immutable; Parse(e.String()) and ParseLenient(e.String()) both give back e.
package labelexpr
