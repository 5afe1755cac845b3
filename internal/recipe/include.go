// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

const (
	maxIncludeDepth = 5  // files on the way from the recipe to one that it includes
	maxIncludes     = 50 // files that a recipe consists of
)

// source is a file that the recipe, or a part of it, is read from.
type source struct {
	// key is its path below the recipe's directory, by which it is opened and known.
	key string
	// file is what problems call it, lines are its text.
	file  string
	lines []string
}

// dir is the directory below the recipe's in which the file stands: what it mentions is relative to that.
func (s source) dir() string { return path.Dir(s.key) }

func newSource(key, file string, data []byte) source {
	return source{key, file, strings.Split(string(data), "\n")}
}

// in reads something of file s.
func (d *decoder) in(s source, read func()) {
	outer := d.source
	d.source = s
	read()
	d.source = outer
}

// part reads the content n of the current file: the recipe, or a part that it includes. It returns the names of the fields
// that are there, and what reads the steps: they are read last, wherever they stand, because they are judged by what the
// recipe owns. Steps of included files come before those of the file that includes them. own are the fields that only the
// recipe itself has.
func (d *decoder) part(n ast.Node, own []field) (there map[string]bool, steps []func()) {
	s := d.source
	later := func(phase Phase) func(path string, n ast.Node) {
		return func(path string, n ast.Node) {
			steps = append(steps, func() { d.in(s, func() { d.steps(phase, path, n) }) })
		}
	}
	var include func()
	there = d.mapping("$", n, slices.Concat([]field{
		{"version", d.version},
		{"description", func(path string, n ast.Node) {
			if text, ok := d.text(path, n); ok && len(d.chain) == 1 {
				d.recipe.Description = text
			}
		}},
		{"include", func(path string, n ast.Node) {
			include = func() {
				more, before := d.includes(path, n)
				steps = append(before, steps...)
				for name := range more {
					there[name] = true
				}
			}
		}},
		{"owns", d.owns},
		{"clean", later(Clean)},
		{"setup", later(Setup)},
		{"verify", later(Verify)},
	}, own))
	if _, is := n.(ast.MapNode); is && !there["version"] {
		d.fail(n, "$", "the field \"version\" is missing")
	}
	if include != nil {
		include()
	}
	return there, steps
}

// includes reads the files of a list, with what they include themselves. It returns which phases they have, and what reads
// their steps.
func (d *decoder) includes(where string, n ast.Node) (phases map[string]bool, steps []func()) {
	phases = map[string]bool{}
	var listed []string
	d.list(where, n, func(where string, n ast.Node) {
		name, ok := d.relative(where, n)
		if !ok {
			return
		}
		if slices.Contains(listed, name) {
			d.fail(n, where, "%s is there twice", name)
			return
		}
		listed = append(listed, name)
		there, more := d.include(name, where, n)
		steps = append(steps, more...)
		for _, phase := range Phases() {
			phases[string(phase)] = phases[string(phase)] || there[string(phase)]
		}
	})
	if s, is := n.(*ast.SequenceNode); is && len(s.Values) == 0 {
		d.fail(n, where, "the list is empty; leave it out")
	}
	return phases, steps
}

// include reads the file called name beside the current one. A file that was included already is not read again.
func (d *decoder) include(name, where string, n ast.Node) (there map[string]bool, steps []func()) {
	key := path.Join(d.dir(), name)
	switch {
	case slices.Contains(d.chain, key):
		d.fail(n, where, "%s includes itself: %s", key, strings.Join(append(d.chain[slices.Index(d.chain, key):], key), " includes "))
		return nil, nil
	case slices.Contains(d.read, key):
		return nil, nil
	case len(d.chain) > maxIncludeDepth:
		d.fail(n, where, "%s is included over more than %d files; the limit keeps recipes readable", key, maxIncludeDepth)
		return nil, nil
	case len(d.read) >= maxIncludes:
		d.fail(n, where, "a recipe of more than %d files is too much", maxIncludes)
		return nil, nil
	}
	f, err := d.open(key)
	switch {
	case err != nil:
		d.fail(n, where, "%s: %s", name, err)
		return nil, nil
	case len(f.Content) > maxRecipe:
		d.fail(n, where, "%s: %d bytes is too large; the limit is %d", name, len(f.Content), maxRecipe)
		return nil, nil
	}
	data := bytes.TrimPrefix(f.Content, []byte("\ufeff"))
	d.in(newSource(key, path.Join(path.Dir(d.top.file), key), data), func() {
		d.chain, d.read = append(d.chain, key), append(d.read, key)
		if d.characters(data) {
			if root := d.root(data); root != nil {
				there, steps = d.part(root, d.refused())
			}
		}
		d.chain = d.chain[:len(d.chain)-1]
	})
	return there, steps
}

// refused are the fields that an included file cannot have.
func (d *decoder) refused() []field {
	fields := d.own()
	for i, f := range fields {
		fields[i].read = func(path string, n ast.Node) {
			d.fail(n, path, "only the recipe itself says its %s, not a file that it includes", f.name)
		}
	}
	return fields
}
