// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"strings"
)

// FreeStyle is a FreeStyle job that does one shell step. It is spelt out as Jenkins itself would write it when it saves
// the job, so that a save alone does not look like a change.
type FreeStyle struct {
	Description string
	Parameters  []Parameter
	// Agent is the agent that the job is tied to, by its name; without one it may roam, and be built several times at once.
	Agent string
	// KeepBuilds is how many builds Jenkins keeps.
	KeepBuilds int
	// Shell is the shell step. Jenkins writes it in the agent's own character set: it should be ASCII.
	Shell string

	nodeParameter string
}

// Parameter is a parameter of a job. All of them become environment variables of its shell step; of a file, its name.
type Parameter struct {
	Name, Value, Description string
	// Secret: Jenkins keeps the value encrypted and shows it nowhere (hudson.model.PasswordParameterValue).
	Secret bool
	// File: Jenkins puts the file into the workspace, under the name of the parameter (hudson.model.FileParameterValue).
	File bool
}

// Classes of parameter definitions.
const (
	stringParameterClass = "hudson.model.StringParameterDefinition"
	secretParameterClass = "hudson.model.PasswordParameterDefinition"
	fileParameterClass   = "hudson.model.FileParameterDefinition"
)

// XML returns the job as config.xml. Its texts must be such that XML can hold them, see [Storable].
func (j FreeStyle) XML() []byte {
	var b strings.Builder
	b.WriteString("<?xml version='1.1' encoding='UTF-8'?>\n<project>\n  <actions/>\n")
	element(&b, 1, "description", j.Description)
	b.WriteString("  <keepDependencies>false</keepDependencies>\n  <properties>\n")
	j.discarderXML(&b)
	b.WriteString("    <hudson.model.ParametersDefinitionProperty>\n      <parameterDefinitions>\n")
	for _, p := range j.Parameters {
		p.xml(&b)
	}
	if j.nodeParameter != "" {
		j.nodeParameterXML(&b)
	}
	b.WriteString("      </parameterDefinitions>\n    </hudson.model.ParametersDefinitionProperty>\n  </properties>\n")
	b.WriteString("  <scm class=\"hudson.scm.NullSCM\"/>\n")
	if j.Agent != "" {
		element(&b, 1, "assignedNode", nodeAtom(j.Agent))
	}
	// Without a node of its own, a job that may not roam is tied to the controller (AbstractProject#getAssignedLabel).
	element(&b, 1, "canRoam", fmt.Sprint(j.Agent == ""))
	b.WriteString("  <disabled>false</disabled>\n")
	b.WriteString("  <blockBuildWhenDownstreamBuilding>false</blockBuildWhenDownstreamBuilding>\n")
	b.WriteString("  <blockBuildWhenUpstreamBuilding>false</blockBuildWhenUpstreamBuilding>\n  <triggers/>\n")
	element(&b, 1, "concurrentBuild", fmt.Sprint(j.Agent == ""))
	b.WriteString("  <builders>\n    <hudson.tasks.Shell>\n")
	element(&b, 3, "command", j.Shell)
	b.WriteString("      <configuredLocalRules/>\n    </hudson.tasks.Shell>\n  </builders>\n  <publishers/>\n  <buildWrappers/>\n</project>\n")
	return []byte(b.String())
}

func (j FreeStyle) discarderXML(b *strings.Builder) {
	fmt.Fprintf(b, `    <jenkins.model.BuildDiscarderProperty>
      <strategy class="hudson.tasks.LogRotator">
        <daysToKeep>-1</daysToKeep>
        <numToKeep>%d</numToKeep>
        <artifactDaysToKeep>-1</artifactDaysToKeep>
        <artifactNumToKeep>-1</artifactNumToKeep>
      </strategy>
    </jenkins.model.BuildDiscarderProperty>
`, j.KeepBuilds)
}

func (p Parameter) xml(b *strings.Builder) {
	class := stringParameterClass
	switch {
	case p.Secret:
		class = secretParameterClass
	case p.File:
		class = fileParameterClass
	}
	fmt.Fprintf(b, "        <%s>\n", class)
	element(b, 5, "name", p.Name)
	element(b, 5, "description", p.Description)
	if !p.File {
		element(b, 5, "defaultValue", p.Value)
	}
	if class == stringParameterClass {
		element(b, 5, "trim", "false")
	}
	fmt.Fprintf(b, "        </%s>\n", class)
}

// nodeParameterXML writes the parameter of the nodelabelparameter plugin. One node per build, any node, and builds for
// different nodes at the same time.
func (j FreeStyle) nodeParameterXML(b *strings.Builder) {
	b.WriteString("        <org.jvnet.jenkins.plugins.nodelabelparameter.NodeParameterDefinition>\n")
	element(b, 5, "name", j.nodeParameter)
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

// Storable reports whether a line of text survives being stored in a job, and being a value of one of its parameters.
func Storable(line string) bool { return badCharacter(line) < 0 }
