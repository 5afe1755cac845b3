// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// maxConditionLabels bounds how many different labels one condition may mention: the program decides them by a tree.
const maxConditionLabels = 10

// virtualisations are the words that a condition may use for what a machine is: none, or vm and mostly one more, by the names
// that systemd-detect-virt has for them.
var virtualisations = []string{"none", "vm", "kvm", "qemu", "vmware", "microsoft", "xen", "oracle", "amazon", "google", "zvm", "powervm"}

// Virtualisations returns the words that a condition may use for what a machine is.
func Virtualisations() []string { return slices.Clone(virtualisations) }

// PackageManagers returns the words that a condition may use for what installs packages.
func PackageManagers() []string { return slices.Clone(packageManagers) }

// packageManagers are the words for what installs packages.
var packageManagers = []string{"apt", "dnf", "yum", "zypper", "apk", "pacman"}

var conditionWord = regexp.MustCompile(`^!?[A-Za-z0-9][A-Za-z0-9._+-]*$`)

// when reads the condition of a step.
func (d *decoder) when(path string, n ast.Node) When {
	var w When
	d.mapping(path, n, []field{
		{"labels", func(path string, n ast.Node) { w.Labels = d.labels(path, n) }},
		{"os", func(path string, n ast.Node) { w.OS = d.systems(path, n) }},
		{"arch", func(path string, n ast.Node) {
			w.Arch = d.words(path, n, true)
			for i, word := range w.Arch {
				w.Arch[i] = architecture(word)
			}
		}},
		{"virtualisation", func(path string, n ast.Node) { w.Virtualisation = d.machines(path, n) }},
		{"packageManager", func(path string, n ast.Node) {
			w.PackageManager = d.words(path, n, true)
			d.known(path, n, w.PackageManager, packageManagers)
		}},
		{"tools", func(path string, n ast.Node) { w.Tools = d.words(path, n, false) }},
		{"container", func(path string, n ast.Node) { w.Container = d.flag(path, n) }},
		{"root", func(path string, n ast.Node) { w.Root = d.flag(path, n) }},
		{"sudo", func(path string, n ast.Node) { w.Sudo = d.flag(path, n) }},
	})
	if isMapping(n) && w.IsZero() && len(d.problems) == 0 {
		d.fail(n, path, "the condition is empty; leave it out")
	}
	if w.Root != nil && *w.Root && w.Sudo != nil && !*w.Sudo {
		d.fail(n, path, "can never hold: root needs no password for sudo")
	}
	return w
}

// architecture returns the name by which the program knows an architecture.
func architecture(word string) string {
	name, negated := strings.CutPrefix(word, "!")
	switch name {
	case "amd64":
		name = "x86_64"
	case "arm64":
		name = "aarch64"
	}
	if negated {
		return "!" + name
	}
	return name
}

func (d *decoder) flag(path string, n ast.Node) *bool {
	if v, ok := d.boolean(path, n); ok {
		return &v
	}
	return nil
}

// systems reads words for the system, which may compare its version.
func (d *decoder) systems(path string, n ast.Node) []string {
	all := d.wordsLike(path, n, true, func(word string) bool {
		_, compares := comparisonOf(strings.TrimPrefix(word, "!"))
		return compares || conditionWord.MatchString(word)
	})
	wanted, refused := split(all)
	if len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool { return systemPossible(w, refused) }) {
		return all
	}
	if !slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Path == path }) {
		d.fail(n, path, "can never hold: every version it asks for is negated as well")
	}
	return all
}

// systemPossible reports whether any system is wanted and none of refused.
func systemPossible(wanted string, refused []string) bool {
	c, compares := comparisonOf(wanted)
	name := wanted
	if compares {
		name = c.name
	}
	var versions []comparison
	for _, word := range refused {
		if word == wanted || word == name {
			return false
		}
		if r, ok := comparisonOf(word); ok && r.name == name {
			versions = append(versions, r)
		}
	}
	return !compares || c.possible(versions)
}

// machines reads words for what a machine is.
func (d *decoder) machines(path string, n ast.Node) []string {
	all := d.words(path, n, true)
	d.known(path, n, all, virtualisations)
	wanted, refused := split(all)
	noVM, noMetal := slices.Contains(refused, "vm"), slices.Contains(refused, "none")
	onlyVMs := len(wanted) > 0 && !slices.Contains(wanted, "none")
	if noVM && (noMetal || onlyVMs) && !slices.Contains(wanted, "vm") {
		d.fail(n, path, "can never hold: a machine is either none or a vm, and each kind of virtualisation is a vm")
	}
	return all
}

// known notes words that no machine will ever have.
func (d *decoder) known(path string, n ast.Node, words, all []string) {
	for _, word := range words {
		if name := strings.TrimPrefix(word, "!"); !slices.Contains(all, name) {
			d.fail(n, path, "%q is unknown: want one of %s%s", name, strings.Join(all, ", "), didYouMean(name, all))
		}
	}
}

// words reads one word or a list of words, each possibly negated. alternatives says that the plain ones are
// alternatives, so that negations beside them only narrow them.
func (d *decoder) words(path string, n ast.Node, alternatives bool) []string {
	return d.wordsLike(path, n, alternatives, conditionWord.MatchString)
}

func (d *decoder) wordsLike(path string, n ast.Node, alternatives bool, is func(word string) bool) []string {
	var all []string
	read := func(path string, n ast.Node) {
		word, ok := d.scalar(path, n)
		switch {
		case !ok:
		case !is(word):
			d.fail(n, path, "%q is no word: want letters, digits and any of . _ + -, after a ! to negate it", word)
		case slices.Contains(all, word):
			d.fail(n, path, "%s is there twice", word)
		default:
			all = append(all, word)
		}
	}
	if list, ok := n.(*ast.SequenceNode); ok {
		d.list(path, n, read)
		if len(list.Values) == 0 {
			d.fail(n, path, "can never hold: the list is empty; leave it out if it does not matter")
		}
	} else {
		read(path, n)
	}
	d.contradiction(path, n, all, alternatives)
	return all
}

// contradiction notes words that exclude each other.
func (d *decoder) contradiction(path string, n ast.Node, all []string, alternatives bool) {
	wanted, refused := split(all)
	both := func(word string) bool { return slices.Contains(refused, word) }
	if len(wanted) == 0 {
		return
	}
	if alternatives && !slices.ContainsFunc(wanted, func(w string) bool { return !both(w) }) {
		d.fail(n, path, "can never hold: everything it asks for is negated as well")
	}
	if i := slices.IndexFunc(wanted, both); !alternatives && i >= 0 {
		d.fail(n, path, "can never hold: asks for %s and for its absence", wanted[i])
	}
}

// split separates plain words from negated ones, whose mark is removed.
func split(words []string) (wanted, refused []string) {
	for _, w := range words {
		if name, negated := strings.CutPrefix(w, "!"); negated {
			refused = append(refused, name)
		} else {
			wanted = append(wanted, w)
		}
	}
	return wanted, refused
}

// labels reads a label expression.
func (d *decoder) labels(path string, n ast.Node) labelexpr.Expr {
	text, ok := d.scalar(path, n)
	if !ok {
		return labelexpr.Expr{}
	}
	e, err := labelexpr.Parse(text)
	if err != nil {
		d.fail(n, path, "%s", err)
		return labelexpr.Expr{}
	}
	for _, atom := range e.Atoms() {
		if strings.ContainsFunc(atom, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			d.fail(n, path, "label %q: the labels of a build are separated by blanks, so it cannot be told", atom)
			return labelexpr.Expr{}
		}
	}
	if len(e.Atoms()) > maxConditionLabels {
		d.fail(n, path, "%d labels in one condition are too many; the limit is %d", len(e.Atoms()), maxConditionLabels)
		return labelexpr.Expr{}
	}
	if t := decide(e); t.leaf && !t.value {
		d.fail(n, path, "can never hold: no set of labels satisfies %s", e)
	}
	return e
}

// decision is a label expression as a tree of yes-or-no questions, each about one label.
type decision struct {
	leaf, value bool // of a leaf
	label       string
	yes, no     *decision
}

// decide returns the decision tree of e, without questions whose answer does not matter.
func decide(e labelexpr.Expr) *decision {
	if e.IsZero() {
		return &decision{leaf: true, value: true}
	}
	return decideRest(e, e.Atoms(), map[string]bool{})
}

func decideRest(e labelexpr.Expr, atoms []string, known map[string]bool) *decision {
	if len(atoms) == 0 {
		return &decision{leaf: true, value: e.Matches(func(label string) bool { return known[label] })}
	}
	known[atoms[0]] = true
	yes := decideRest(e, atoms[1:], known)
	known[atoms[0]] = false
	no := decideRest(e, atoms[1:], known)
	if yes.same(no) {
		return yes
	}
	return &decision{label: atoms[0], yes: yes, no: no}
}

func (t *decision) same(o *decision) bool {
	if t.leaf || o.leaf {
		return t.leaf == o.leaf && t.value == o.value
	}
	return t.label == o.label && t.yes.same(o.yes) && t.no.same(o.no)
}
