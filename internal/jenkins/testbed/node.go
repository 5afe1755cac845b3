// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// NodeSpec describes a node for an inbound agent; the zero value is one executor,
// EXCLUSIVE.
type NodeSpec struct {
	Name, Labels, Description, RemoteFS string
	Executors                           int
	Normal                              bool // mode NORMAL

	Java string // program that its process is started by; "" is java on PATH
	URL  string // root address that its process connects to, without trailing slash; "" is the controller's
}

// Form is the submission of Jenkins' own page for a new permanent agent
// (hudson.model.ComputerSet#doDoCreateItem).
func (n NodeSpec) Form() url.Values {
	launcher := "hudson.slaves.JNLPLauncher"
	always := "hudson.slaves.RetentionStrategy$Always"
	mode := "EXCLUSIVE"
	if n.Normal {
		mode = "NORMAL"
	}
	submission, err := json.Marshal(map[string]any{
		"name": n.Name, "nodeDescription": n.Description, "numExecutors": strconv.Itoa(max(n.Executors, 1)),
		"remoteFS": n.RemoteFS, "labelString": n.Labels, "mode": mode, "type": "hudson.slaves.DumbSlave",
		"launcher":          map[string]any{"stapler-class": launcher, "$class": launcher, "webSocket": true},
		"retentionStrategy": map[string]any{"stapler-class": always, "$class": always},
		"nodeProperties":    map[string]any{"stapler-class-bag": "true"},
	})
	if err != nil {
		panic(err) // a map of strings
	}
	return url.Values{"name": {n.Name}, "type": {"hudson.slaves.DumbSlave"}, "json": {string(submission)}}
}

// Must sends a request that must be answered with one of these statuses.
func (c *Controller) Must(ctx context.Context, tb testing.TB, r Request, statuses ...int) Answer {
	tb.Helper()
	a, err := c.Send(ctx, r)
	if err != nil {
		tb.Fatalf("%s %s: %v", r.Method, r.Path, err)
	}
	if !slices.Contains(statuses, a.Status) {
		tb.Fatalf("%s %s: status %d, want %v: %s", r.Method, r.Path, a.Status, statuses, a.Excerpt())
	}
	return a
}

// Post submits a form, which must be answered by a redirect or an empty success.
func (c *Controller) Post(ctx context.Context, tb testing.TB, path string, form url.Values) Answer {
	tb.Helper()
	r := Request{Method: http.MethodPost, Path: path, ContentType: "application/x-www-form-urlencoded", Body: form.Encode()}
	return c.Must(ctx, tb, r, http.StatusOK, http.StatusCreated, http.StatusNoContent, http.StatusFound)
}

// PostXML sends a document.
func (c *Controller) PostXML(ctx context.Context, tb testing.TB, path, document string) {
	tb.Helper()
	c.Must(ctx, tb, Request{Method: http.MethodPost, Path: path, ContentType: "application/xml; charset=UTF-8", Body: document}, http.StatusOK)
}

// Get returns the body of a page that must be there.
func (c *Controller) Get(ctx context.Context, tb testing.TB, path string) string {
	tb.Helper()
	return c.Must(ctx, tb, Request{Method: http.MethodGet, Path: path}, http.StatusOK).Body
}

// Read decodes the JSON answer to GET path, which must be there.
func Read[T any](ctx context.Context, tb testing.TB, c *Controller, path string) T {
	tb.Helper()
	var v T
	if err := c.read(ctx, path, &v); err != nil {
		tb.Fatal(err)
	}
	return v
}

// Node creates a node, and deletes it at the end of the test.
func (c *Controller) Node(ctx context.Context, tb testing.TB, n NodeSpec) {
	tb.Helper()
	c.own(tb, n.Name)
	c.Post(ctx, tb, "/computer/doCreateItem", n.Form())
	c.removeAtEnd(ctx, tb, NodePath(n.Name)+"/doDelete")
}

// Job creates a job from its document, and deletes it with its builds at the end of
// the test.
func (c *Controller) Job(ctx context.Context, tb testing.TB, name, document string) {
	tb.Helper()
	c.own(tb, name)
	c.PostXML(ctx, tb, "/createItem?name="+url.QueryEscape(name), document)
	c.RemoveJob(ctx, tb, name)
}

// RemoveJob deletes a job at the end of the test, whoever makes it.
func (c *Controller) RemoveJob(ctx context.Context, tb testing.TB, name string) {
	tb.Helper()
	c.own(tb, name)
	c.removeAtEnd(ctx, tb, JobPath(name)+"/doDelete")
}

func (c *Controller) own(tb testing.TB, name string) {
	tb.Helper()
	if !c.made(name) {
		tb.Fatalf("%q does not begin with the prefix %s", name, c.Prefix)
	}
}

// removeAtEnd removes something when the test ends, however it does.
func (c *Controller) removeAtEnd(ctx context.Context, tb testing.TB, path string) {
	tb.Helper()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := c.remove(ctx, path); err != nil {
			tb.Logf("the sweep looks again: %v", err)
		}
	})
}

// labelElement is the node's own label element; it stands at a depth of one.
var labelElement = regexp.MustCompile(`(?m)^  <label>[^<]*</label>|^  <label/>`)

// LabelString is the label string of a node's document.
func LabelString(document string) string {
	found := labelElement.FindString(document)
	text := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(found), "<label>"), "</label>")
	return strings.NewReplacer("<label/>", "", "&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&amp;", "&").Replace(text)
}

// WithLabels is a node's document with another label string.
func WithLabels(document, labels string) string {
	escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(labels)
	return labelElement.ReplaceAllLiteralString(document, "  <label>"+escaped+"</label>")
}

var firstArgument = regexp.MustCompile(`<argument>([0-9a-f]{64})</argument>`)

// Secret reads the inbound secret of a node from its JNLP file.
func (c *Controller) Secret(ctx context.Context, name string) (string, error) {
	a, err := c.Send(ctx, Request{Method: http.MethodGet, Path: NodePath(name) + "/jenkins-agent.jnlp"})
	if err != nil {
		return "", err
	}
	found := firstArgument.FindStringSubmatch(a.Body)
	if a.Status != http.StatusOK || found == nil {
		return "", fmt.Errorf("read secret of %s: status %d, no secret of 64 hex digits in it", name, a.Status)
	}
	return found[1], nil
}
