// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"strings"
)

// RenderXML returns the job as config.xml, to be posted to createItem or to the job's own config.xml. It spells out
// what Jenkins itself would write when it saves the job, so that a save alone does not look like a change.
func RenderXML(s JobSpec) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("<?xml version='1.1' encoding='UTF-8'?>\n<project>\n  <actions/>\n")
	element(&b, 1, "description", s.description())
	b.WriteString("  <keepDependencies>false</keepDependencies>\n  <properties>\n")
	s.discarderXML(&b)
	b.WriteString("    <hudson.model.ParametersDefinitionProperty>\n      <parameterDefinitions>\n")
	for _, p := range s.parameters() {
		p.xml(&b)
	}
	if s.NodeParameter != "" {
		s.nodeParameterXML(&b)
	}
	b.WriteString("      </parameterDefinitions>\n    </hudson.model.ParametersDefinitionProperty>\n  </properties>\n")
	b.WriteString("  <scm class=\"hudson.scm.NullSCM\"/>\n")
	if s.NodeParameter == "" {
		element(&b, 1, "assignedNode", nodeAtom(s.Agent))
	}
	// Without a node of its own, a job that may not roam is tied to the controller (AbstractProject#getAssignedLabel).
	element(&b, 1, "canRoam", fmt.Sprint(s.NodeParameter != ""))
	b.WriteString("  <disabled>false</disabled>\n")
	b.WriteString("  <blockBuildWhenDownstreamBuilding>false</blockBuildWhenDownstreamBuilding>\n")
	b.WriteString("  <blockBuildWhenUpstreamBuilding>false</blockBuildWhenUpstreamBuilding>\n  <triggers/>\n")
	element(&b, 1, "concurrentBuild", fmt.Sprint(s.NodeParameter != ""))
	b.WriteString("  <builders>\n    <hudson.tasks.Shell>\n")
	element(&b, 3, "command", s.Program.shellStep())
	b.WriteString("      <configuredLocalRules/>\n    </hudson.tasks.Shell>\n  </builders>\n  <publishers/>\n  <buildWrappers/>\n</project>\n")
	return []byte(b.String()), nil
}

func (s JobSpec) discarderXML(b *strings.Builder) {
	fmt.Fprintf(b, `    <jenkins.model.BuildDiscarderProperty>
      <strategy class="hudson.tasks.LogRotator">
        <daysToKeep>-1</daysToKeep>
        <numToKeep>%d</numToKeep>
        <artifactDaysToKeep>-1</artifactDaysToKeep>
        <artifactNumToKeep>-1</artifactNumToKeep>
      </strategy>
    </jenkins.model.BuildDiscarderProperty>
`, s.keepBuilds())
}

func (p parameter) xml(b *strings.Builder) {
	class := stringParameterClass
	switch {
	case p.secret:
		class = secretParameterClass
	case p.file:
		class = fileParameterClass
	}
	fmt.Fprintf(b, "        <%s>\n", class)
	element(b, 5, "name", p.name)
	element(b, 5, "description", p.description)
	if !p.file {
		element(b, 5, "defaultValue", p.value)
	}
	if class == stringParameterClass {
		element(b, 5, "trim", "false")
	}
	fmt.Fprintf(b, "        </%s>\n", class)
}

// nodeParameterXML writes the parameter of the nodelabelparameter plugin. One node per build, any node, and builds for
// different nodes at the same time.
func (s JobSpec) nodeParameterXML(b *strings.Builder) {
	b.WriteString("        <org.jvnet.jenkins.plugins.nodelabelparameter.NodeParameterDefinition>\n")
	element(b, 5, "name", s.NodeParameter)
	element(b, 5, "description", "The agent to clean; the same as PITCREW_AGENT.")
	b.WriteString(`          <allowedSlaves>
            <string>ALL (no restriction)</string>
          </allowedSlaves>
          <defaultSlaves/>
          <triggerIfResult>multiSelectionDisallowed</triggerIfResult>
          <allowMultiNodeSelection>false</allowMultiNodeSelection>
          <triggerConcurrentBuilds>false</triggerConcurrentBuilds>
          <ignoreOfflineNodes>false</ignoreOfflineNodes>
          <nodeEligibility class="org.jvnet.jenkins.plugins.nodelabelparameter.node.AllNodeEligibility"/>
        </org.jvnet.jenkins.plugins.nodelabelparameter.NodeParameterDefinition>
`)
}

// element writes an element that holds text. Line ends and tabs stay as they are, which encoding/xml would not do.
func element(b *strings.Builder, depth int, name, text string) {
	indent := strings.Repeat("  ", depth)
	if text == "" {
		fmt.Fprintf(b, "%s<%s/>\n", indent, name)
		return
	}
	fmt.Fprintf(b, "%s<%s>%s</%[2]s>\n", indent, name, xmlText.Replace(text))
}

// xmlText escapes text content. A carriage return would be dropped; there is none in a program.
var xmlText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
