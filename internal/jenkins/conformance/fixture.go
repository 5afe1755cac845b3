// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// nodeSpec describes a node to create; zero values are one executor, EXCLUSIVE.
type nodeSpec struct {
	name, labels, description, remoteFS string
	executors                           int
	normal                              bool // mode NORMAL
}

func (n nodeSpec) form() url.Values {
	return testbed.NodeSpec{
		Name: n.name, Labels: n.labels, Description: n.description, RemoteFS: n.remoteFS, Executors: n.executors, Normal: n.normal,
	}.Form()
}

// node creates a node by the form and has it deleted at the end of the test. It
// returns the node's path.
func (p *probe) node(n nodeSpec) (name, path string) {
	p.Helper()
	if n.name == "" {
		n.name = p.unique("n")
	}
	if n.remoteFS == "" {
		n.remoteFS = "/nonexistent/" + n.name
	}
	p.mustBe("create node "+n.name, p.post("/computer/doCreateItem", n.form()), 302)
	path = computerPath(n.name)
	p.deleteAtEnd(path)
	return n.name, path
}

func (p *probe) deleteAtEnd(path string) {
	w := p.suite.wire
	p.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), time.Minute)
		defer cancel()
		_, _ = w.send(ctx, request{method: "POST", path: path + "/doDelete"}) // the sweep looks again
	})
}

func computerPath(name string) string { return testbed.NodePath(name) }

func labelPath(expression string) string { return "/label/" + url.PathEscape(expression) }

// setLabels posts the node's document with another label string.
func (p *probe) setLabels(path, labels string) answer {
	p.Helper()
	return p.postXML(path+"/config.xml", withLabels(p.document(path), labels))
}

// document is the node's or job's stored configuration.
func (p *probe) document(path string) string {
	p.Helper()
	a := p.get(path + "/config.xml")
	p.mustBe("GET "+path+"/config.xml", a, 200)
	return a.body
}

func withLabels(document, labels string) string { return testbed.WithLabels(document, labels) }

// labelString is the text of the node's own label element, unescaped.
func labelString(document string) string { return testbed.LabelString(document) }

// labelNodes are the names of the nodes that the scheduler sees behind an expression.
func (p *probe) labelNodes(expression string) []string {
	p.Helper()
	label := readJSON[struct {
		Nodes []struct{ NodeName string }
	}](p, labelPath(expression)+"/api/json?tree=nodes[nodeName]")
	names := []string{}
	for _, n := range label.Nodes {
		names = append(names, n.NodeName)
	}
	return names
}

// computer is what a single agent's API says, as far as behaviours need it.
type computer struct {
	Class              string `json:"_class"`
	DisplayName        string
	Idle               bool
	Offline            bool
	TemporarilyOffline bool
	OfflineCauseReason string
	OfflineCause       *struct {
		Class       string `json:"_class"`
		Description string
	}
	AssignedLabels  []struct{ Name string }
	NumExecutors    int
	JnlpAgent       bool
	LaunchSupported bool
	Executors       []struct {
		Idle              bool
		CurrentExecutable *struct {
			Number int
			URL    string
		}
	}
}

const computerTree = "?tree=displayName,idle,offline,temporarilyOffline,offlineCauseReason,offlineCause[description]," +
	"assignedLabels[name],numExecutors,jnlpAgent,launchSupported,executors[idle,currentExecutable[number,url]]"

func (p *probe) computer(path string) computer {
	p.Helper()
	return readJSON[computer](p, path+"/api/json"+computerTree)
}

// sweep removes whatever a behaviour that ended early left behind, and says so.
func (s *suite) sweep(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	defer cancel()
	var left struct {
		Computer []struct{ DisplayName string }
		Jobs     []struct{ Name string }
	}
	var paths []string
	for _, path := range []string{"/computer/api/json?tree=computer[displayName]", "/api/json?tree=jobs[name]"} {
		a, err := s.wire.send(ctx, request{method: "GET", path: path})
		if err == nil {
			err = json.Unmarshal([]byte(a.body), &left)
		}
		if err != nil {
			t.Errorf("look for leftovers: %v", err)
		}
	}
	for _, c := range left.Computer {
		if strings.HasPrefix(c.DisplayName, s.target.Prefix) {
			paths = append(paths, computerPath(c.DisplayName))
		}
	}
	for _, j := range left.Jobs {
		if strings.HasPrefix(j.Name, s.target.Prefix) {
			paths = append(paths, jobPath(j.Name))
		}
	}
	for _, path := range paths {
		t.Logf("removing a leftover: %s", path)
		a, err := s.wire.send(ctx, request{method: "POST", path: path + "/doDelete"})
		if err != nil || a.status >= 400 && a.status != 404 {
			t.Errorf("it is left on the controller: %s: status %d, error %v", path, a.status, err)
		}
	}
}

func jobPath(name string) string { return testbed.JobPath(name) }

// escapeXML escapes as Jenkins writes: control characters as references, which
// need an XML 1.1 prologue.
func escapeXML(s string) string {
	var out strings.Builder
	for _, r := range s {
		switch {
		case r == '&':
			out.WriteString("&amp;")
		case r == '<':
			out.WriteString("&lt;")
		case r == '>':
			out.WriteString("&gt;")
		case r < ' ' && r != '\n' && r != '\t':
			fmt.Fprintf(&out, "&#%d;", r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
