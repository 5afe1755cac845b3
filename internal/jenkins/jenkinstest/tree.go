// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
)

// pruner decides what of an object is written: by depth, or by the names of a tree
// parameter (org.kohsuke.stapler.export.TreePruner).
type pruner struct {
	tree  *tree // nil: by depth
	level int
}

// tree is a parsed tree parameter.
type tree struct {
	children []*tree
	name     string
	from, to int // range of an array
}

var errTree = errors.New("malformed tree parameter")

// byDepth starts at level 1-depth: properties of at least that visibility are shown,
// and nested objects are one level deeper.
func byDepth(depth int) pruner { return pruner{level: 1 - depth} }

// property reports whether a property is shown, with the pruner for its value.
func (p pruner) property(name string, visibility int) (pruner, bool) {
	if p.tree == nil {
		return p, visibility >= p.level
	}
	for _, c := range p.tree.children {
		if c.name == name || c.name == "*" {
			return pruner{tree: c}, true
		}
	}
	return p, false
}

// nested is the pruner inside a value: inline ones stay on their level.
func (p pruner) nested(inline bool) pruner {
	if p.tree == nil && !inline {
		p.level++
	}
	return p
}

// bounds clips an array of n elements to the range of the tree.
func (p pruner) bounds(n int) (from, to int) {
	if p.tree == nil {
		return 0, n
	}
	from = min(max(0, p.tree.from), n)
	return from, max(from, min(p.tree.to, n))
}

// treeCache keeps parsed parameters: clients send the same few.
type treeCache struct {
	mu     sync.Mutex
	parsed map[string]*tree
}

const treeCacheLimit = 1000

func (c *treeCache) parse(s string) (*tree, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.parsed[s]; t != nil {
		return t, nil
	}
	t, err := parseTree(s)
	if err != nil {
		return nil, err
	}
	if c.parsed == nil || len(c.parsed) >= treeCacheLimit {
		c.parsed = map[string]*tree{}
	}
	c.parsed[s] = t
	return t, nil
}

func parseTree(s string) (*tree, error) {
	p := treeParser{rest: s}
	t := &tree{to: math.MaxInt}
	if err := p.list(t); err != nil {
		return nil, err
	}
	if p.rest != "" {
		return nil, errTree
	}
	return t, nil
}

type treeParser struct{ rest string }

// list parses name[...]{range},... up to the closing bracket or the end.
func (p *treeParser) list(into *tree) error {
	for {
		end := strings.IndexAny(p.rest, ",[]{}")
		if end < 0 {
			end = len(p.rest)
		}
		name := strings.TrimSpace(p.rest[:end])
		if name == "" {
			return errTree
		}
		p.rest = p.rest[end:]
		child := &tree{name: name, to: math.MaxInt}
		into.children = append(into.children, child)
		if err := p.suffix(child); err != nil {
			return err
		}
		if !strings.HasPrefix(p.rest, ",") {
			return nil
		}
		p.rest = p.rest[1:]
	}
}

// suffix parses the optional [...] and {from,to}.
func (p *treeParser) suffix(t *tree) error {
	if rest, ok := strings.CutPrefix(p.rest, "["); ok {
		p.rest = rest
		if err := p.list(t); err != nil {
			return err
		}
		if rest, ok = strings.CutPrefix(p.rest, "]"); !ok {
			return errTree
		}
		p.rest = rest
	}
	rest, ok := strings.CutPrefix(p.rest, "{")
	if !ok {
		return nil
	}
	text, rest, ok := strings.Cut(rest, "}")
	if !ok {
		return errTree
	}
	p.rest = rest
	return t.setRange(text)
}

// setRange understands {from,to}, {n}, {from,} and {,to}.
func (t *tree) setRange(text string) error {
	from, to, both := strings.Cut(text, ",")
	number := func(s string, fallback int) (int, error) {
		if s = strings.TrimSpace(s); s == "" {
			return fallback, nil
		}
		return strconv.Atoi(s)
	}
	a, err := number(from, 0)
	if err != nil {
		return errTree
	}
	if !both {
		t.from, t.to = a, a+1
		return nil
	}
	b, err := number(to, math.MaxInt)
	if err != nil {
		return errTree
	}
	t.from, t.to = a, b
	return nil
}
