// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// Classes of parameter definitions by the kind of value they make.
const (
	paramString  = "StringParameterDefinition"
	paramText    = "TextParameterDefinition"
	paramBoolean = "BooleanParameterDefinition"
	paramChoice  = "ChoiceParameterDefinition"
	paramSecret  = "PasswordParameterDefinition"
	paramFile    = "FileParameterDefinition"
	paramNode    = "NodeParameterDefinition"
	paramLabel   = "LabelParameterDefinition"
)

// corePrefix and nodeParamPrefix precede the kinds in the documents.
const (
	corePrefix      = "hudson.model."
	nodeParamPrefix = "org.jvnet.jenkins.plugins.nodelabelparameter."
)

// ParamSpec declares a parameter of a job.
type ParamSpec struct {
	Name    string
	Default string
	Kind    string // "" means StringParameterDefinition
	Choices []string
}

// param is a value of a build's parameter.
type param struct {
	kind  string
	name  string
	value string
	label string // overrides the job's label (nodelabelparameter)
	file  []byte
	lost  bool // the file was, by a restart
}

// shown is the value as APIs show it: secrets never are.
func (p param) shown() string {
	switch p.kind {
	case paramSecret:
		return "****"
	default:
		return p.value
	}
}

// valueClass is the class of the parameter's value.
func (p param) valueClass() string {
	kind := strings.TrimSuffix(p.kind, "Definition") + "Value"
	switch p.kind {
	case paramNode, paramLabel:
		return nodeParamPrefix + kind
	case paramChoice:
		return corePrefix + "StringParameterValue"
	default:
		return corePrefix + kind
	}
}

// same is ParameterValue.equals. Files are equal only if they are the same upload.
func (p param) same(o param) bool {
	return p.kind == o.kind && p.name == o.name && p.value == o.value && p.label == o.label &&
		p.kind != paramFile && o.kind != paramFile
}

// sameParams is ParametersAction.shouldSchedule: any difference keeps requests apart.
func sameParams(a, b []param) bool { return slices.EqualFunc(a, b, param.same) }

// value makes the parameter's value from a text.
func (d ParamSpec) value(text string) param {
	p := param{kind: d.Kind, name: d.Name, value: text}
	switch d.Kind {
	case paramNode:
		p.label = labelexpr.Atom(text).String()
	case paramLabel:
		p.label = text
	case paramBoolean:
		if text != "true" && text != "on" {
			p.value = "false"
		}
	}
	return p
}

// paramsFromXML reads the parameter definitions of a job. Those of a plugin that is
// not installed are dropped.
func paramsFromXML(defs *element, nodeParams bool) []ParamSpec {
	var specs []ParamSpec
	if defs == nil {
		return nil
	}
	for _, e := range defs.children {
		kind := e.name[strings.LastIndexByte(e.name, '.')+1:]
		plugin := strings.HasPrefix(e.name, nodeParamPrefix)
		if plugin && !nodeParams {
			continue
		}
		s := ParamSpec{Name: e.value("name"), Default: e.value("defaultValue"), Kind: kind}
		if kind == paramChoice {
			s.Choices = choicesFromXML(e.child("choices"))
			if len(s.Choices) > 0 {
				s.Default = s.Choices[0]
			}
		}
		if plugin {
			if first := e.path("defaultSlaves", "string"); first != nil {
				s.Default = first.text
			}
		}
		specs = append(specs, s)
	}
	return specs
}

func choicesFromXML(choices *element) []string {
	var list []string
	if a := choices.child("a"); a != nil { // java.util.Arrays$ArrayList
		choices = a
	}
	if choices == nil {
		return nil
	}
	for _, c := range choices.children {
		list = append(list, c.text)
	}
	return list
}

// element is the definition as a job's document holds it.
func (d ParamSpec) element() *element {
	kind := d.Kind
	if kind == "" {
		kind = paramString
	}
	prefix := corePrefix
	if kind == paramNode || kind == paramLabel {
		prefix = nodeParamPrefix
	}
	e := &element{name: prefix + kind}
	e.setValue("name", d.Name)
	e.setValue("description", "")
	switch kind {
	case paramFile, paramNode:
	case paramChoice:
		choices := &element{name: "choices"}
		for _, c := range d.Choices {
			choices.children = append(choices.children, &element{name: "string", text: c})
		}
		e.children = append(e.children, choices)
	default:
		e.setValue("defaultValue", d.Default)
	}
	return e
}
