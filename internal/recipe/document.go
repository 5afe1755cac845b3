// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// document is a YAML file being read strictly: it walks the syntax tree itself, because a decoder stops at the first
// mistake, and collects every problem with its place.
type document struct {
	source
	problems Problems
}

// field is a key that a mapping may have, and what reads its value.
type field struct {
	name string
	read func(path string, n ast.Node)
}

// root parses data and returns its one document's content; nil, with the problem noted, if there is none.
func (d *document) root(data []byte) ast.Node {
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntaxProblem(err)
		return nil
	}
	if len(file.Docs) > 1 && file.Docs[1].Body != nil {
		d.fail(file.Docs[1].Body, "", "a recipe is one YAML document; this begins another")
		return nil
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		d.problems = append(d.problems, Problem{File: d.file, Msg: "the recipe is empty"})
		return nil
	}
	return file.Docs[0].Body
}

func (d *document) syntaxProblem(err error) {
	at, msg := token.Position{}, err.Error()
	var syntax interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &syntax) {
		msg = syntax.GetMessage()
		if t := syntax.GetToken(); t != nil && t.Position != nil {
			at = *t.Position
		}
	}
	if d.tabbed(at.Line) {
		msg = "the line begins with a tab: YAML wants blanks"
	}
	d.failAt(at.Line, at.Column, "", "%s", msg)
}

// tabbed reports whether a line has a tab in its indentation.
func (d *document) tabbed(line int) bool {
	if line < 1 || line > len(d.lines) {
		return false
	}
	text := d.lines[line-1]
	return strings.Contains(text[:len(text)-len(strings.TrimLeft(text, " \t"))], "\t")
}

func (d *document) fail(n ast.Node, path, format string, args ...any) {
	line, column := position(n)
	d.failAt(line, column, path, format, args...)
}

func (d *document) failAt(line, column int, path, format string, args ...any) {
	d.problems = append(d.problems, Problem{
		File: d.file, Line: line, Column: column, Path: path,
		Msg:     fmt.Sprintf(format, args...),
		Excerpt: excerpt(d.lines, line, column),
	})
}

// position returns where n begins. A mapping begins at its first key, not at the colon its token stands for.
func position(n ast.Node) (line, column int) {
	switch v := n.(type) {
	case *ast.MappingNode:
		if len(v.Values) > 0 && !v.IsFlowStyle {
			return position(v.Values[0])
		}
	case *ast.MappingValueNode:
		return position(v.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, t.Position.Column
	}
	return 0, 0
}

// mapping reads n as a mapping of fields and returns the names that are there.
func (d *document) mapping(path string, n ast.Node, fields []field) map[string]bool {
	there := map[string]bool{}
	var m ast.MapNode
	switch v := n.(type) {
	case *ast.MappingNode:
		m = v
	case *ast.MappingValueNode:
		m = v
	default:
		d.fail(n, path, "want a mapping of %s, not %s", names(fields), kindOf(n))
		return there
	}
	for entries := m.MapRange(); entries.Next(); {
		key := entries.KeyValue().Key
		name := key.GetToken().Value
		switch f := find(fields, name); {
		case key.Type() == ast.MergeKeyType:
			d.fail(key, path, "merge keys are no part of the recipe language; write the fields out")
		case there[name]:
			d.fail(key, path+"."+name, "the field is there twice")
		case f == nil:
			d.fail(key, path+"."+name, "unknown field %q%s", name, didYouMean(name, fieldNames(fields)))
		default:
			there[name] = true
			f.read(path+"."+name, entries.Value())
		}
	}
	return there
}

func find(fields []field, name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

func fieldNames(fields []field) []string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.name
	}
	return all
}

func names(fields []field) string { return strings.Join(fieldNames(fields), ", ") }

// list reads n as a list and calls read for each entry.
func (d *document) list(path string, n ast.Node, read func(path string, n ast.Node)) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(n, path, "want a list, not %s", kindOf(n))
		return
	}
	for i, entry := range s.Values {
		read(fmt.Sprintf("%s[%d]", path, i), entry)
	}
}

// text reads n as text; ok is false, with the problem noted, if it is something else.
func (d *document) text(path string, n ast.Node) (value string, ok bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		d.fail(n, path, "want text; put %s in quotes", n.GetToken().Value)
	default:
		d.fail(n, path, "want text, not %s", kindOf(n))
	}
	return "", false
}

// scalar reads n as text, taking numbers and booleans as they are spelt.
func (d *document) scalar(path string, n ast.Node) (value string, ok bool) {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return d.text(path, n)
}

func (d *document) boolean(path string, n ast.Node) (value, ok bool) {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		d.fail(n, path, "want true or false, not %s", kindOf(n))
		return false, false
	}
	return b.Value, true
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias (they are no part of the recipe language)"
	case *ast.TagNode:
		return "a tag (they are no part of the recipe language)"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	default:
		return "this"
	}
}
