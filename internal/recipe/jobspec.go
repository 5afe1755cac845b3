// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// JobSpec describes the Jenkins job that delivers a program.
type JobSpec struct {
	// Name is the full name of the job, with the folders it is in.
	Name    string
	Program *Program
	// Controller is the name by which the daemon knows the Jenkins controller. It is written into the job, so that a
	// job copied to another controller refuses attempts issued for this one, and the other way round.
	Controller string
	// Owner identifies the daemon that the job belongs to; another daemon leaves it alone.
	Owner string
	// Agent is the agent that a slot is tied to at first; Retarget ties it to another. It is not used with NodeParameter.
	Agent string
	// NodeParameter, if set, makes one job for all agents instead of a slot: the name of the parameter by which the
	// nodelabelparameter plugin sends a build to its agent.
	NodeParameter string
	// NodeLabels, if set, are told to the program in place of those of the node that it runs on, which need not have them.
	NodeLabels []string
	// KeepBuilds is how many builds Jenkins keeps. 0 means 50; and 5 for a slot whose program goes by file parameter,
	// because Jenkins keeps the file as long as its build.
	KeepBuilds int
}

// parameters returns those of s. The nonce is a password parameter: Jenkins keeps it encrypted in the build's record
// and shows it nowhere (hudson.model.PasswordParameterValue), the program takes it out of its environment.
func (s JobSpec) parameters() []Parameter {
	all := []Parameter{
		{Name: "PITCREW_AGENT", Description: "The agent that this attempt was issued for."},
		{Name: "PITCREW_CONTROLLER", Description: "The controller that it was issued for."},
		{Name: "PITCREW_ATTEMPT", Description: "The number of the attempt."},
		{Name: "PITCREW_NONCE", Description: "Proves that the report is of this attempt.", Secret: true},
		{Name: "PITCREW_PHASES", Value: "all", Description: "all, or verify for that phase alone."},
		{Name: "PITCREW_DEPTH", Value: string(Standard), Description: "How deep to clean: light, standard or deep."},
		{Name: "PITCREW_JOB_CONTROLLER", Value: s.Controller, Description: "The controller that this job was made for. Leave it alone."},
	}
	if s.Program.ByFile() {
		all = append(all, Parameter{Name: FileParameter, Description: "The program. Jenkins puts it into the workspace and keeps a copy with the build.", File: true})
	}
	return all
}

const ownerMark = "pitcrew-owner: "

// description says to whoever opens the job what it is and what not to touch.
func (s JobSpec) description() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Cleans agents with recipe %s, revision %.12s. Made by pitcrew: change the recipe and render it again.\n",
		s.Program.Recipe, s.Program.Revision)
	if s.NodeParameter == "" {
		b.WriteString("pitcrew changes one field itself, just before each build: assignedNode, the agent that the build is for.\n")
	} else {
		fmt.Fprintf(&b, "The parameter %s says which agent a build is for; pitcrew changes nothing in this job.\n", s.NodeParameter)
	}
	b.WriteString(OwnerLine(s.Owner) + "\nWho may configure this job may do everything on every agent.")
	return b.String()
}

func (s JobSpec) keepBuilds() int {
	switch {
	case s.KeepBuilds != 0:
		return s.KeepBuilds
	case s.Program.ByFile() && s.NodeParameter == "":
		return keptWithFile
	}
	return keptBuilds
}

// shell is the job's shell step.
func (s JobSpec) shell() string {
	step := s.Program.shellStep()
	if s.NodeLabels == nil {
		return step
	}
	first, rest, _ := strings.Cut(step, "\n") // which says what runs it
	return first + "\nNODE_LABELS=" + ShellQuote(strings.Join(s.NodeLabels, " ")) + "\nexport NODE_LABELS\n" + rest
}

// check refuses what no rendering could express.
func (s JobSpec) check() error {
	switch {
	case s.Program == nil:
		return fmt.Errorf("render job %q: no program", s.Name)
	case s.Agent == "" && s.NodeParameter == "":
		return fmt.Errorf("render job %q: neither an agent nor a node parameter", s.Name)
	case s.Controller == "":
		return fmt.Errorf("render job %q: no controller", s.Name)
	}
	for _, text := range []string{s.Name, s.Controller, s.Owner, s.Agent, s.NodeParameter} {
		if badCharacter(text) >= 0 {
			return fmt.Errorf("render job %q: control character in %q", s.Name, text)
		}
	}
	return nil
}

// nodeAtom returns the label expression that matches the label of the agent's own name.
func nodeAtom(agent string) string { return labelexpr.Atom(agent).String() }
