// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

const (
	defaultTimeout    = 10 * time.Minute
	defaultRetryDelay = 10 * time.Second
	maxTimeout        = 24 * time.Hour
	maxRetries        = 20
)

// stepSource is a step while its fields are read: what the fields say before they are put together.
type stepSource struct {
	Step
	path string
	node ast.Node
	// body is the script, from "run" or "file".
	body *script
	// bodies counts the fields that give the step something to do.
	bodies       []string
	retryDelayAt ast.Node
	// as is the user as whom the step says it runs, "" if it does not say.
	as   string
	asAt ast.Node
	// ofScripts is where fields stand that only scripts have.
	ofScripts map[string]ast.Node
}

func (d *decoder) step(path string, n ast.Node, phase Phase) {
	s := &stepSource{path: path, node: n, ofScripts: map[string]ast.Node{}}
	script := func(name string, read func(path string, n ast.Node)) field {
		return field{name, func(path string, n ast.Node) { s.ofScripts[name] = n; read(path, n) }}
	}
	s.Phase = phase
	s.Limits = Limits{Timeout: defaultTimeout, RetryDelay: defaultRetryDelay}
	there := d.mapping(path, n, slices.Concat(d.kinds(s), d.rules(&s.Rules), []field{
		{"name", func(path string, n ast.Node) { d.stepName(s, path, n) }},
		script("interpreter", func(path string, n ast.Node) { d.interpreter(s, path, n) }),
		{"as", func(path string, n ast.Node) { s.as, s.asAt = d.choice(path, n, asRoot, asUser), n }},
		{"timeout", func(path string, n ast.Node) { s.Limits.Timeout = d.duration(path, n, time.Second, maxTimeout) }},
		{"retries", func(path string, n ast.Node) { s.Limits.Retries = d.count(path, n, maxRetries) }},
		{"retryDelay", func(path string, n ast.Node) {
			s.retryDelayAt = n
			s.Limits.RetryDelay = d.duration(path, n, 0, maxTimeout)
		}},
		script("outcomes", func(path string, n ast.Node) { s.Outcomes = d.outcomes(path, n) }),
		script("env", func(path string, n ast.Node) { s.Env = d.env(path, n) }),
		script("carry", func(path string, n ast.Node) { s.Files = d.files(path, n) }),
		script("before", func(path string, n ast.Node) { s.Before = d.before(phase, path, n) }),
	}))
	if !isMapping(n) {
		return
	}
	d.finish(s, there)
	d.recipe.Steps = append(d.recipe.Steps, s.Step)
}

func isMapping(n ast.Node) bool {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// kinds are the fields that give a step something to do; a step has exactly one of them. Each lowers what it reads to
// a script, its interpreter and its files.
func (d *decoder) kinds(s *stepSource) []field {
	kind := func(name string, read func(path string, n ast.Node) *script) field {
		return field{name, func(path string, n ast.Node) {
			s.bodies = append(s.bodies, name)
			s.body = read(path, n)
		}}
	}
	return slices.Concat([]field{kind("run", d.runScript), kind("file", d.fileScript)}, d.goals(s))
}

// finish judges the fields of s together.
func (d *decoder) finish(s *stepSource, there map[string]bool) {
	if !there["name"] {
		d.fail(s.node, s.path, "the field \"name\" is missing")
	}
	switch len(s.bodies) {
	case 1:
	case 0:
		d.fail(s.node, s.path, "nothing to do: want one of %s", names(d.kinds(s)))
	default:
		d.fail(s.node, s.path, "%s exclude each other: a step does one thing", strings.Join(s.bodies, " and "))
	}
	if s.retryDelayAt != nil && s.Limits.Retries == 0 {
		d.fail(s.retryDelayAt, s.path+".retryDelay", "without retries there is nothing to delay")
	}
	d.finishRules(s)
	d.finishRights(s)
	if s.Goal != nil {
		d.finishGoal(s)
		return
	}
	if s.body == nil {
		return
	}
	if s.Interpreter == nil {
		s.Interpreter = interpreterOf(s.body.text)
	}
	s.body.interpreter = s.Interpreter
	d.checkScript(*s.body)
	s.Script = []byte(s.body.text)
}

// finishGoal judges the fields of a step with a goal together.
func (d *decoder) finishGoal(s *stepSource) {
	for name, at := range s.ofScripts {
		d.fail(at, s.path+"."+name, "only scripts have this field; %s says what is to be reached, not how", s.Kind())
	}
	d.goalPhase(s)
	d.ownsSomething(s)
	d.finishPackages(s)
	if p := s.Goal.Processes; p != nil && p.Grace.Duration() >= s.Limits.Timeout {
		d.fail(s.node, s.path+".processes.grace", "what does not end by itself would never be killed: want less than the timeout of the step, which is %s", s.Limits.Timeout)
	}
	if s.Phase == Verify && s.Goal.Engine != nil && s.Goal.Engine.Pull {
		d.fail(s.node, s.path, "the verify phase changes nothing, so it pulls no image; let a step of the setup phase pull it")
	}
	text, err := d.encoded(s.Step)
	if err != nil {
		d.fail(s.node, s.path, "%s", err)
	}
	s.Script = text
	s.Outcomes = map[int]StepOutcome{scrubWrong: StepFailed, scrubAbsent: StepSkipped, scrubReconnect: StepReconnect}
}

// encoded is the goal of a step as scrub reads it.
func (d *decoder) encoded(s Step) ([]byte, error) {
	return spec.Spec{Version: spec.Version, Name: s.Name, Owned: d.recipe.Owned, Goal: *s.Goal}.Encode()
}

// goalPhase judges whether the goal belongs into the phase it stands in. Two have something to say in each.
func (d *decoder) goalPhase(s *stepSource) {
	anywhere := s.Goal.Disk != nil || s.Goal.Packages != nil
	cleans := s.Kind().Cleans()
	switch {
	case anywhere, s.Phase == Verify, cleans == (s.Phase == Clean):
	case cleans:
		d.fail(s.node, s.path, "%s belongs to the clean phase, or to the verify phase, where it is judged only", s.Kind())
	case s.Kind().Judges():
		d.fail(s.node, s.path, "%s is judged only: it belongs to the verify phase, or to the setup phase, where nothing after it begins without it", s.Kind())
	default:
		d.fail(s.node, s.path, "%s belongs to the setup phase, or to the verify phase, where it is judged only", s.Kind())
	}
}

// The exit codes of scrub that mean more than that the goal is not reached.
const (
	scrubWrong     = 2 // it did not understand the step
	scrubAbsent    = 3 // there is nothing here to look after
	scrubReconnect = 4 // the goal is reached, and the agent sees it once it has reconnected
)

// before reads which kind a script of the clean phase runs before.
func (d *decoder) before(phase Phase, path string, n ast.Node) spec.Kind {
	text, ok := d.text(path, n)
	kinds := spec.CleanKinds()
	switch {
	case !ok:
	case phase != Clean:
		d.fail(n, path, "only the clean phase is put in order; in others steps run as they stand")
	case !slices.Contains(kinds, spec.Kind(text)):
		d.fail(n, path, "%q is no kind: want one of %s", text, kindNames(kinds))
	default:
		return spec.Kind(text)
	}
	return ""
}

func kindNames(kinds []spec.Kind) string {
	all := make([]string, len(kinds))
	for i, k := range kinds {
		all[i] = string(k)
	}
	return strings.Join(all, ", ")
}

func (d *decoder) stepName(s *stepSource, path string, n ast.Node) {
	name, ok := d.text(path, n)
	if !ok {
		return
	}
	s.Name = name
	line, _ := position(n)
	first, again := d.named[name]
	switch {
	case name == "" || len(name) > 80 || strings.TrimSpace(name) != name || strings.ContainsAny(name, "\n\t"):
		d.fail(n, path, "%q is no name: want one line of at most 80 bytes, without blanks at its ends", name)
	case again && first.file != d.file:
		d.fail(n, path, "the step on line %d of %s is called %q already", first.line, first.file, name)
	case again:
		d.fail(n, path, "the step on line %d is called %q already", first.line, name)
	default:
		d.named[name] = place{d.file, line}
	}
}

func (d *decoder) interpreter(s *stepSource, path string, n ast.Node) {
	if text, ok := d.text(path, n); ok {
		if s.Interpreter = strings.Fields(text); len(s.Interpreter) == 0 {
			d.fail(n, path, "the interpreter is empty; leave the field out for sh")
		}
	}
}

// duration reads a whole number of seconds between least and most.
func (d *decoder) duration(path string, n ast.Node, least, most time.Duration) time.Duration {
	text, ok := d.scalar(path, n)
	if !ok {
		return 0
	}
	v, err := time.ParseDuration(text)
	switch {
	case err != nil:
		d.fail(n, path, "%q is no duration: write for example 90s, 10m or 1h30m", text)
	case v < least || v > most || v%time.Second != 0:
		d.fail(n, path, "%s: want whole seconds from %s to %s", text, least, most)
	}
	return v
}

func (d *decoder) count(path string, n ast.Node, most int) int {
	text, ok := d.scalar(path, n)
	if !ok {
		return 0
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < 0 || v > most {
		d.fail(n, path, "%s: want a number from 0 to %d", text, most)
	}
	return v
}

var assignable = []string{string(StepOK), string(StepWarned), string(StepFailed), string(StepReconnect), string(StepReboot)}

// outcomes reads what exit codes mean.
func (d *decoder) outcomes(path string, n ast.Node) map[int]StepOutcome {
	all := map[int]StepOutcome{}
	d.entries(path, n, func(path, key string, keyNode, n ast.Node) {
		code, err := strconv.Atoi(key)
		if err != nil || code < 0 || code > 255 {
			d.fail(keyNode, path, "%q is no exit code: want a number from 0 to 255", key)
			return
		}
		text, ok := d.text(path, n)
		switch {
		case !ok:
		case !slices.Contains(assignable, text):
			d.fail(n, path, "%q is no outcome: want one of %s%s", text, strings.Join(assignable, ", "),
				didYouMean(text, assignable))
		case code == 0 && text == string(StepFailed):
			d.fail(n, path, "a step that fails when it succeeds can never pass")
		default:
			all[code] = StepOutcome(text)
		}
	})
	return all
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// env reads the environment of a step.
func (d *decoder) env(path string, n ast.Node) []EnvVar {
	var all []EnvVar
	d.entries(path, n, func(path, name string, keyNode, n ast.Node) {
		value, ok := d.scalar(path, n)
		switch {
		case !ok:
		case !envName.MatchString(name):
			d.fail(keyNode, path, "%q is no name of a variable: want letters, digits and '_'", name)
		case strings.HasPrefix(strings.ToUpper(name), "PITCREW_"):
			d.fail(keyNode, path, "names that begin with PITCREW_ are reserved")
		case strings.ContainsRune(value, 0):
			d.fail(n, path, "a variable cannot hold a NUL byte")
		default:
			all = append(all, EnvVar{name, value})
		}
	})
	return all
}

// entries reads n as a mapping with keys of the user's choice.
func (d *decoder) entries(path string, n ast.Node, read func(path, key string, keyNode, n ast.Node)) {
	if !isMapping(n) {
		d.fail(n, path, "want a mapping, not %s", kindOf(n))
		return
	}
	seen := map[string]bool{}
	for entries := n.(ast.MapNode).MapRange(); entries.Next(); {
		key := entries.KeyValue().Key
		name := key.GetToken().Value
		if seen[name] {
			d.fail(key, path+"."+name, "the field is there twice")
			continue
		}
		seen[name] = true
		read(path+"."+name, name, key, entries.Value())
	}
}

// codes returns the exit codes of s that have a meaning of their own, in order.
func (s Step) codes() []int { return slices.SortedFunc(maps.Keys(s.Outcomes), cmp.Compare[int]) }
