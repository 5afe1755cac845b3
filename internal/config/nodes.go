// SPDX-License-Identifier: Apache-2.0

package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// entry is one line of a mapping.
type entry struct {
	key   string
	node  ast.Node // of the key
	value ast.Node
}

// entries lists a mapping in order, with what "<<" merges into it; ok is false if n is no mapping.
func (d *decoder) entries(n ast.Node, path string) (entries []entry, ok bool) {
	mapping, ok := n.(ast.MapNode)
	if !ok {
		d.report(n, path, "want a mapping, not %s", kindOf(n))
		return nil, false
	}
	var merged []entry
	for it := mapping.MapRange(); it.Next(); {
		key := it.Key()
		if key.Type() == ast.MergeKeyType {
			merged = append(merged, d.merge(it.Value(), path)...)
			continue
		}
		e := entry{key: keyText(key), node: key, value: it.Value()}
		if has(entries, e.key) {
			d.src.mask(startOf(e.value))
			d.report(key, join(path, e.key), "a second %q", e.key)
			continue
		}
		entries = append(entries, e)
	}
	for _, e := range merged {
		if !has(entries, e.key) {
			entries = append(entries, e)
		}
	}
	return entries, true
}

func has(entries []entry, key string) bool {
	return slices.ContainsFunc(entries, func(e entry) bool { return e.key == key })
}

// merge lists what a "<<" adds: the entries of a mapping, or of a list of mappings.
func (d *decoder) merge(n ast.Node, path string) []entry {
	leave, ok := d.enter(n, path)
	defer leave()
	if n = d.resolve(n, path); n == nil || !ok {
		return nil
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		entries, _ := d.entries(n, path)
		return entries
	}
	var all []entry
	for _, item := range seq.Values {
		if item = d.resolve(item, path); item != nil {
			entries, _ := d.entries(item, path)
			all = append(all, entries...)
		}
	}
	return all
}

func keyText(key ast.MapKeyNode) string {
	if s, ok := key.(*ast.StringNode); ok {
		return s.Value
	}
	return strings.TrimSpace(key.GetToken().Value)
}

// startOf returns where the text of n starts: its own token is often a colon in the middle.
func startOf(n ast.Node) place {
	switch node := n.(type) {
	case *ast.MappingNode:
		if !node.IsFlowStyle && len(node.Values) > 0 {
			return startOf(node.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return startOf(node.Key)
	}
	at := n.GetToken().Position
	return place{at.Line, max(at.Column, 1)}
}

func wanted(v reflect.Value) string {
	switch {
	case isText(v.Type()), v.Kind() == reflect.String:
		return "text"
	case v.Kind() == reflect.Bool:
		return "true or false"
	case v.Kind() == reflect.Int:
		return "a whole number"
	default:
		return "a number"
	}
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	}
	return "text"
}

// quotesAt reports whether the text at p starts with a quote, so that its content starts one column later.
func (d *decoder) quotesAt(p place) bool {
	if p.line < 1 || p.line > len(d.src.lines) {
		return false
	}
	runes := []rune(d.src.lines[p.line-1])
	return p.column <= len(runes) && (runes[p.column-1] == '"' || runes[p.column-1] == '\'')
}
