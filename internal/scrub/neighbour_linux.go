// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"net/url"
	"path"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

// othersBuild reports whether an environment is that of a build of another agent than this one.
func (j *judge) othersBuild(e procfs.Environ) bool {
	node, controller := e.Get("NODE_NAME"), e.Get("JENKINS_URL")
	if j.here.Agent == "" || node == "" || e.Get("BUILD_TAG") == "" {
		return false
	}
	namesake := controller != "" && j.here.Controller != "" && !same(controller, j.here.Controller) && !same(e.Get("JENKINS_SERVER_COOKIE"), j.here.Cookie)
	return node != j.here.Agent || namesake
}

// hasNeighbour reports whether an agent other than ours runs here. The two may share an owned user, and what a build has put into the
// background, as it is with each step of a Pipeline, descends from no agent. What a build of ours has left is no neighbour, nor is what an
// agent has under it. Where no agent is above us, as over SSH, ours is known by the name that it was told; if it was told none, it is taken
// for one of the others.
func (j *judge) hasNeighbour(parents map[int]int) bool {
	above := false
	for pid := range j.agents {
		above = above || j.ours[pid]
	}
	ours, unnamed := above, 0
	for pid := range j.agents {
		if j.ours[pid] || j.underAgent(parents[pid], parents) || j.left(pid) {
			continue
		}
		switch name := j.agentName(pid); {
		case above, name != "" && name != j.here.Agent:
			return true
		case name == "":
			unnamed++
		default:
			ours = true
		}
	}
	return unnamed > 1 || ours && unnamed > 0
}

// underAgent reports whether a process is an agent or descends from one.
func (j *judge) underAgent(pid int, parents map[int]int) bool {
	for steps := 0; pid > 0 && steps < len(parents); steps++ { // a list that is made while processes end may go round
		if j.agents[pid] {
			return true
		}
		pid = parents[pid]
	}
	return false
}

// left reports whether an agent was started by an earlier build, or for a loan.
func (j *judge) left(pid int) (left bool) {
	s, _ := j.proc.Stat(pid)
	j.proc.Environ(j.proc.Body(s), func(e procfs.Environ) { left = j.earlierBuild(e) || j.lent(e) })
	return left
}

// agentName is what an agent was told that it is called, "" if it was not: one that Jenkins has started over SSH is not.
func (j *judge) agentName(pid int) string {
	s, _ := j.proc.Stat(pid)
	return nameOf(j.proc.Args(j.proc.Body(s)))
}

// nameOf is the name that an agent with these arguments goes by (hudson.remoting.jnlp.Main, hudson.remoting.Launcher).
func nameOf(args []string) string {
	program, _, options := javaProgram(args)
	for i, option := range options {
		if i+1 == len(options) {
			break
		}
		switch option {
		case "-name":
			return options[i+1]
		case "-jnlpUrl": // http://ci/computer/NAME/jenkins-agent.jnlp
			u, err := url.Parse(options[i+1])
			if err == nil && path.Base(path.Dir(path.Dir(u.Path))) == "computer" {
				return path.Base(path.Dir(u.Path))
			}
		}
	}
	if strings.HasPrefix(program, "hudson.remoting.jnlp.") && len(options) > 1 { // the secret and the name come last
		return options[len(options)-1]
	}
	return ""
}
