// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// Rules say where a step runs, and what it means if it does not, or fails.
type Rules struct {
	// When is the condition under which the step runs.
	When When
	// Depth is the least depth of a cleanup at which it runs.
	Depth Depth
	// Required says where the step must not be skipped, Forbidden where it must not run: nil is nowhere, the zero When
	// everywhere. What neither names is optional.
	Required, Forbidden *When
	// OnFailure is what a failure of the step asks for: StepFailed, StepWarned, StepReconnect or StepReboot.
	OnFailure StepOutcome
}

// Depth is how thorough a cleanup is: the domain's word for it.
type Depth = hygiene.Depth

// The depths, as the domain has them.
const (
	Light    = hygiene.Light
	Standard = hygiene.Standard
	Deep     = hygiene.Deep
)

// onFailure are the words of the recipe for what a failure asks for.
var onFailure = map[string]StepOutcome{
	"fail": StepFailed, "warn": StepWarned, "reconnect": StepReconnect, "reboot": StepReboot,
}

// rules are the fields by which a step, whatever its kind, says where it runs and what its failure means.
func (d *decoder) rules(r *Rules) []field {
	r.Depth, r.OnFailure = Light, StepFailed
	return []field{
		{"when", func(path string, n ast.Node) { r.When = d.when(path, n) }},
		{"depth", func(path string, n ast.Node) {
			r.Depth = Depth(d.choice(path, n, string(Light), string(Standard), string(Deep)))
		}},
		{"required", func(path string, n ast.Node) { r.Required = d.where(path, n) }},
		{"forbidden", func(path string, n ast.Node) {
			if r.Forbidden = d.where(path, n); r.Forbidden != nil && r.Forbidden.IsZero() {
				d.fail(n, path, "a step that is forbidden everywhere never runs: leave it out, or say where as in {labels: shared}")
			}
		}},
		{"onFailure", func(path string, n ast.Node) {
			r.OnFailure = onFailure[d.choice(path, n, "fail", "warn", "reconnect", "reboot")]
		}},
	}
}

// where reads true for everywhere, false for nowhere, or a condition.
func (d *decoder) where(path string, n ast.Node) *When {
	if b, is := n.(*ast.BoolNode); is && !b.Value {
		return nil
	} else if is {
		return &When{}
	}
	if !isMapping(n) {
		d.fail(n, path, "want true, or the condition where, not %s", kindOf(n))
		return nil
	}
	before := len(d.problems)
	w := d.when(path, n)
	if len(d.problems) > before {
		return nil // what is left of it could mean everywhere
	}
	return &w
}

// choice reads one of a few words.
func (d *decoder) choice(path string, n ast.Node, words ...string) string {
	word, ok := d.text(path, n)
	if ok && !slices.Contains(words, word) {
		d.fail(n, path, "%q: want one of %s%s", word, strings.Join(words, ", "), didYouMean(word, words))
	}
	return word
}

// finishRules judges the rules of a step together.
func (d *decoder) finishRules(s *stepSource) {
	if s.Forbidden == nil || s.Forbidden.IsZero() {
		return
	}
	switch forbidden := s.Forbidden.String(); {
	case forbidden == s.When.String():
		d.fail(s.node, s.path, "it is forbidden wherever its condition holds, so it can never run")
	case s.Required != nil && s.Required.String() == forbidden:
		d.fail(s.node, s.path, "it is required and forbidden under the same condition")
	}
}

// String returns w in words, "" for the condition that always holds.
func (w When) String() string {
	var parts []string
	if !w.Labels.IsZero() {
		parts = append(parts, "labels "+w.Labels.String())
	}
	for _, list := range []struct {
		what  string
		words []string
	}{
		{"os", w.OS}, {"arch", w.Arch}, {"virtualisation", w.Virtualisation}, {"package manager", w.PackageManager}, {"tools", w.Tools},
	} {
		if len(list.words) > 0 {
			parts = append(parts, list.what+" "+strings.Join(list.words, " "))
		}
	}
	for _, flag := range []struct {
		value   *bool
		yes, no string
	}{{w.Container, "in a container", "not in a container"}, {w.Root, "root", "not root"}, {w.Sudo, "sudo", "no sudo"}} {
		switch {
		case flag.value == nil:
		case *flag.value:
			parts = append(parts, flag.yes)
		default:
			parts = append(parts, flag.no)
		}
	}
	return strings.Join(parts, ", ")
}

// everywhere is how the program names the condition that always holds.
const everywhere = "everywhere"

// words returns where a profile applies: "" for nowhere.
func (w *When) words() string {
	switch {
	case w == nil:
		return ""
	case w.IsZero():
		return everywhere
	}
	return w.String()
}

// fate is what becomes of a step before it is run: it runs, or why says why not, which is a failure if fails.
func (r Rules) fate(f Facts, depth Depth) (runs, fails bool, why string) {
	if !depth.Covers(r.Depth) {
		return false, false, fmt.Sprintf("runs from depth %s on; this is %s", r.Depth, depth)
	}
	if holds, why := r.When.Holds(f); !holds {
		if r.Required != nil {
			if required, _ := r.Required.Holds(f); required {
				return false, true, fmt.Sprintf("required (%s), but skipped: %s", r.Required.words(), why)
			}
		}
		return false, false, why
	}
	if r.Forbidden != nil {
		if forbidden, _ := r.Forbidden.Holds(f); forbidden {
			return false, true, fmt.Sprintf("forbidden (%s)", r.Forbidden.words())
		}
	}
	return true, false, ""
}
