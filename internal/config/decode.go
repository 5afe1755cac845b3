// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxNodes and maxDepth bound how much a file can grow through its aliases. The settings themselves nest five deep.
const (
	maxNodes = 200_000
	maxDepth = 50
)

// decoder fills a Config from a syntax tree. Unlike the decoder of the YAML library it does not stop at the first
// problem, and remembers where each setting stands for the checks that come later.
type decoder struct {
	src     *source
	places  map[string]place // of values, by path
	anchors map[string]ast.Node
	found   findings
	nodes   int
	depth   int
	gaveUp  bool // the rest of the file was not decoded
}

func newDecoder(src *source) *decoder {
	return &decoder{src: src, places: map[string]place{}, anchors: map[string]ast.Node{}}
}

func (d *decoder) report(n ast.Node, path, format string, args ...any) {
	d.found.add(d.src.problem(startOf(n), path, fmt.Sprintf(format, args...)))
}

// document parses the text and decodes it into c.
func (d *decoder) document(data []byte, c *Config) {
	if at := d.src.foreign(); at.line > 0 {
		d.src.mask(at)
		d.found.add(d.src.problem(at, "", "the line is not UTF-8: save the file in that encoding"))
		return
	}
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.found.add(d.syntax(err))
		return
	}
	var body ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case body != nil:
			d.report(doc.Body, "", "a second document: there must be only one")
			return
		default:
			body = doc.Body
		}
	}
	v := reflect.ValueOf(c).Elem()
	if err := setDefaults(v); err != nil {
		d.found.add(Problem{File: d.src.file, Msg: err.Error()})
		return
	}
	if body != nil {
		d.collectAnchors(body)
		body = d.resolve(body, "")
	}
	if body == nil {
		d.found.add(Problem{File: d.src.file, Msg: "the file is empty"})
		return
	}
	d.mapping(body, v, "")
}

// syntax turns an error of the parser into a problem. The excerpt of the library is not used: it quotes neighbouring
// lines, which may hold a secret.
func (d *decoder) syntax(err error) Problem {
	var located yaml.Error
	if !errors.As(err, &located) || located.GetToken() == nil {
		return Problem{File: d.src.file, Msg: "no valid YAML"}
	}
	at := located.GetToken().Position
	msg := located.GetMessage()
	if d.src.tabbed(at.Line) {
		msg = "the line begins with a tab: YAML wants blanks"
	}
	return d.src.problem(place{at.Line, max(at.Column, 1)}, "", msg)
}

func (d *decoder) collectAnchors(body ast.Node) {
	for _, n := range ast.Filter(ast.AnchorType, body) {
		if anchor, ok := n.(*ast.AnchorNode); ok && anchor.Name != nil {
			d.anchors[anchor.Name.GetToken().Value] = anchor.Value
		}
	}
}

// enter counts one more node, and one more level until the returned function is called; ok is false if that is too
// much. An alias inside its own anchor would be followed for ever otherwise.
func (d *decoder) enter(n ast.Node, path string) (leave func(), ok bool) {
	d.nodes++
	d.depth++
	if (d.nodes > maxNodes || d.depth > maxDepth) && !d.gaveUp {
		d.gaveUp = true
		d.report(n, path, "the aliases in this file expand to too much")
	}
	return func() { d.depth-- }, !d.gaveUp
}

// resolve follows anchors, aliases and tags to the node that holds the value; nil means no value.
func (d *decoder) resolve(n ast.Node, path string) ast.Node {
	for range maxDepth {
		switch node := n.(type) {
		case *ast.AnchorNode:
			n = node.Value
		case *ast.TagNode:
			n = node.Value
		case *ast.AliasNode:
			name := node.Value.GetToken().Value
			target, ok := d.anchors[name]
			if !ok {
				d.report(node, path, "unknown anchor %q", name)
				return nil
			}
			n = target
		case *ast.NullNode, nil:
			return nil
		default:
			return n
		}
	}
	d.report(n, path, "an anchor that stands for itself")
	return nil
}

// value decodes n into v; f holds what the tags say of the setting.
func (d *decoder) value(n ast.Node, v reflect.Value, f field, path string) {
	leave, ok := d.enter(n, path)
	defer leave()
	if !ok {
		return
	}
	d.places[path] = startOf(n)
	if holdsSecret(v.Type()) {
		d.src.mask(startOf(n))
	}
	given := n
	n = d.resolve(n, path)
	if n == nil {
		if f.required && !d.found.paths[path] {
			d.report(given, path, "a value is missing")
		}
		return
	}
	switch {
	case isText(v.Type()):
		d.scalar(n, v, f, path)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if err := setDefaults(v.Elem()); err != nil {
			d.report(n, path, "%v", err)
		}
		d.mapping(n, v.Elem(), path)
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, path)
	case v.Kind() == reflect.Slice:
		d.list(n, v, f, path)
	case v.Kind() == reflect.Map:
		d.table(n, v, path)
	default:
		d.scalar(n, v, f, path)
	}
}

// holdsSecret reports types whose text may be a secret by mistake.
func holdsSecret(t reflect.Type) bool {
	return t == reflect.TypeFor[Secret]() || t == reflect.TypeFor[Endpoint]()
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, f field, path string) {
	text, ok := scalarText(n, v)
	if !ok {
		d.report(n, path, "want %s, not %s", wanted(v), kindOf(n))
		return
	}
	if err := setText(v, text); err != nil {
		d.report(n, path, "%v", err)
		return
	}
	if err := f.check(v); err != nil {
		d.report(n, path, "%v", err)
	}
}

// scalarText returns the text of a scalar that may be assigned to v.
func scalarText(n ast.Node, v reflect.Value) (string, bool) {
	number := n.Type() == ast.IntegerType || n.Type() == ast.FloatType
	switch kind := v.Kind(); {
	case isText(v.Type()), kind == reflect.String:
	case kind == reflect.Bool && n.Type() != ast.BoolType:
		return "", false
	case (kind == reflect.Int || kind == reflect.Float64) && !number:
		return "", false
	}
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func (d *decoder) list(n ast.Node, v reflect.Value, f field, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.report(n, path, "want a list, not %s", kindOf(n))
		return
	}
	f.typ = v.Type().Elem()
	f.required = true
	for i, item := range seq.Values {
		element := reflect.New(f.typ).Elem()
		at := fmt.Sprintf("%s[%d]", path, i)
		if isSection(f.typ) {
			if err := setDefaults(element); err != nil {
				d.report(item, at, "%v", err)
			}
		}
		d.value(item, element, f, at)
		v.Set(reflect.Append(v, element))
	}
}

// table decodes a mapping with free keys.
func (d *decoder) table(n ast.Node, v reflect.Value, path string) {
	entries, ok := d.entries(n, path)
	if !ok {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range entries {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(e.value, element, field{typ: element.Type()}, path+"."+e.key)
		v.SetMapIndex(reflect.ValueOf(e.key), element)
	}
}

// mapping decodes a section.
func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	entries, ok := d.entries(n, path)
	if !ok {
		return
	}
	fields := fieldsOf(v.Type())
	var given []string
	for _, e := range entries {
		at := join(path, e.key)
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == e.key })
		if i < 0 {
			d.src.mask(startOf(e.value)) // a misspelt token, perhaps
			d.report(e.node, at, "unknown setting %q%s", e.key, didYouMean(e.key, namesOf(fields, func(f field) string { return f.name })))
			continue
		}
		given = append(given, e.key)
		d.value(e.value, v.FieldByIndex(fields[i].index), fields[i], at)
	}
	for _, f := range fields {
		if f.required && !slices.Contains(given, f.name) {
			d.report(n, path, "%q is missing", f.name)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
