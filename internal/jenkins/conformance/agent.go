// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// startPatience bounds the start of one agent while others start on the same machine.
const startPatience = 2 * time.Minute

// agentSpec describes a node together with the process that serves it.
type agentSpec struct {
	tail      string // of the name
	labels    string
	executors int
	normal    bool
	arguments []string // more options of agent.jar
	argfile   bool     // all options in one @argfile
}

// agent is a node of the controller with our process for it.
type agent struct {
	name, path string
	dir        string // remoteFS, and the process's working directory
	secret     string
	process    *testbed.Process
}

// startAgent creates a node and starts the controller's own agent.jar for it.
func (p *probe) startAgent(spec agentSpec) *agent {
	p.Helper()
	a := &agent{dir: p.TempDir()}
	a.name, a.path = p.node(nodeSpec{
		name: p.unique("a") + spec.tail, labels: spec.labels, executors: spec.executors, normal: spec.normal, remoteFS: a.dir,
	})
	a.secret = p.secret(a.path)
	a.process = p.startProcess(a, spec.argfile, spec.arguments...)
	return a
}

// startProcess runs agent.jar over WebSocket with the secret in a file.
func (p *probe) startProcess(a *agent, argfile bool, more ...string) *testbed.Process {
	p.Helper()
	dir := p.TempDir()
	secret := filepath.Join(dir, "secret")
	p.write(secret, a.secret)
	arguments := append([]string{
		"-url", p.suite.target.URL, "-secret", "@" + secret, "-name", a.name, "-webSocket", "-workDir", a.dir,
	}, more...)
	if argfile {
		file := filepath.Join(dir, "arguments")
		arguments[3] = a.secret // an @file is not expanded inside an @file
		p.write(file, strings.Join(arguments, "\n")+"\n")
		arguments = []string{"@" + file}
	}
	return p.startJava(filepath.Join(dir, "log"), arguments)
}

func (p *probe) write(name, text string) {
	p.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		p.Fatalf("write %s: %v", name, err)
	}
}

// startJava runs agent.jar; it is killed at the end of the test.
func (p *probe) startJava(log string, arguments []string) *testbed.Process {
	p.Helper()
	pr, err := testbed.StartJava(p.ctx, p.suite.target.Java, p.suite.jar, log, arguments...)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		pr.Kill()
		if p.Failed() {
			p.Logf("log of agent %v: %s", arguments, pr.Output())
		}
	})
	return pr
}

func (a *agent) log() string {
	if a.process == nil {
		return "offline; its process was not started here"
	}
	return "offline; the log of its process: " + a.process.Output()
}

// waitOnline waits until the controller has the agent's connection.
func (a *agent) waitOnline(p *probe) {
	p.Helper()
	if !p.within(startPatience, func() bool { return !p.computer(a.path).Offline }) {
		p.differs("agent "+a.name, "online within "+startPatience.String(), a.log())
		p.FailNow()
	}
}

var firstArgument = regexp.MustCompile(`<argument>([0-9a-f]{64})</argument>`)

// secret reads the inbound secret from the agent's JNLP file.
func (p *probe) secret(path string) string {
	p.Helper()
	a := p.get(path + "/jenkins-agent.jnlp")
	p.mustBe("GET jenkins-agent.jnlp", a, 200)
	found := firstArgument.FindStringSubmatch(a.body)
	if found == nil {
		p.differs("JNLP file", "first argument is a secret of 64 hex digits", a.text())
		p.FailNow()
	}
	return found[1]
}

// fetchAgentJar loads the controller's agent program, which needs no credentials.
func (s *suite) fetchAgentJar(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, err := s.wire.as("", "").send(ctx, request{method: "GET", path: "/jnlpJars/agent.jar"})
	if err != nil || a.status != 200 {
		t.Fatalf("GET agent.jar: status %d, error %v", a.status, err)
	}
	s.jar = filepath.Join(t.TempDir(), "agent.jar")
	if err := os.WriteFile(s.jar, []byte(a.body), 0o600); err != nil {
		t.Fatalf("store agent.jar: %v", err)
	}
}
