// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// maxGroovyLiteral keeps string literals well below the 65,535 bytes that a class file can hold.
const maxGroovyLiteral = 16 << 10

// RenderJobDSL returns the job as a script for the Job DSL plugin.
func RenderJobDSL(s JobSpec) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "// Made by pitcrew.\nfreeStyleJob(%s) {\n", groovyQuote(s.Name))
	fmt.Fprintf(&b, "    description(%s)\n", groovyQuote(s.description()))
	if s.NodeParameter == "" {
		fmt.Fprintf(&b, "    label(%s)\n", groovyQuote(nodeAtom(s.Agent)))
	}
	fmt.Fprintf(&b, "    concurrentBuild(%t)\n", s.NodeParameter != "")
	fmt.Fprintf(&b, "    logRotator {\n        numToKeep(%d)\n    }\n    parameters {\n", s.keepBuilds())
	for _, p := range s.parameters() {
		switch {
		case p.File:
			fmt.Fprintf(&b, "        fileParam(%s, %s)\n", groovyQuote(p.Name), groovyQuote(p.Description))
		case !p.Secret:
			fmt.Fprintf(&b, "        stringParam(%s, %s, %s)\n", groovyQuote(p.Name), groovyQuote(p.Value), groovyQuote(p.Description))
		}
	}
	if s.NodeParameter != "" {
		fmt.Fprintf(&b, "        nodeParam(%s) {\n            description('The agent to clean; the same as PITCREW_AGENT.')\n", groovyQuote(s.NodeParameter))
		b.WriteString("            trigger('multiSelectionDisallowed')\n            eligibility('AllNodeEligibility')\n        }\n")
	}
	b.WriteString("    }\n")
	s.secretParametersDSL(&b)
	b.WriteString("    steps {\n        shell([\n")
	for _, chunk := range chunks(s.shell(), maxGroovyLiteral) {
		fmt.Fprintf(&b, "            %s,\n", groovyQuote(chunk))
	}
	b.WriteString("        ].join(''))\n    }\n}\n")
	return []byte(b.String()), nil
}

// secretParametersDSL adds the password parameters by their XML: Job DSL has no method for those of Jenkins itself.
func (s JobSpec) secretParametersDSL(b *strings.Builder) {
	for _, p := range s.parameters() {
		if p.Secret {
			fmt.Fprintf(b, `    configure { project ->
        (project / 'properties' / 'hudson.model.ParametersDefinitionProperty' / 'parameterDefinitions') << 'hudson.model.PasswordParameterDefinition' {
            name(%s)
            description(%s)
            defaultValue('')
        }
    }
`, groovyQuote(p.Name), groovyQuote(p.Description))
		}
	}
}

// chunks cuts text, which is ASCII, into pieces of at most size bytes, at line ends where there are any.
func chunks(text string, size int) []string {
	var all []string
	for len(text) > size {
		cut := strings.LastIndexByte(text[:size], '\n') + 1
		if cut == 0 {
			cut = size
		}
		all = append(all, text[:cut])
		text = text[cut:]
	}
	return append(all, text)
}

// groovyQuote returns text as a Groovy string without interpolation, in pure ASCII: in triple quotes if it has several
// lines, so that a script stays readable.
func groovyQuote(text string) string {
	quote := "'"
	if strings.Contains(text, "\n") {
		quote = "'''"
	}
	var b strings.Builder
	b.WriteString(quote)
	for _, r := range text {
		switch {
		case r == '\\' || r == '\'':
			b.WriteString(`\` + string(r))
		case !foreign(r):
			b.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
	}
	b.WriteString(quote)
	return b.String()
}
