// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const canary = "11canary0token0that0must0stay0secret"

func fixed(s string) Secret { return func(context.Context) (string, error) { return s, nil } }

// inMemory is a transport that calls a handler without sockets, so that it works in virtual time.
type inMemory struct{ h http.Handler }

func (m inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	defer req.Body.Close()
	rec := httptest.NewRecorder()
	m.h.ServeHTTP(rec, req)
	return rec.Result(), nil
}

// clientOf returns a client with an API token whose requests h answers.
func clientOf(tb testing.TB, h http.HandlerFunc) *Client {
	tb.Helper()
	return clientWith(tb, Options{User: "pit", Token: fixed(canary)}, h)
}

func clientWith(tb testing.TB, o Options, h http.HandlerFunc) *Client {
	tb.Helper()
	o.URL = "http://ci.example/jenkins/"
	if o.Transport == nil {
		o.Transport = inMemory{h}
	}
	c, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// answering answers every request with one status and body.
func answering(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// journal records requests, made one after another, as "METHOD path?query".
type journal struct{ lines []string }

func (j *journal) add(r *http.Request) {
	line := r.Method + " " + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		line += "?" + r.URL.RawQuery
	}
	j.lines = append(j.lines, line)
}

func (j *journal) String() string { return strings.Join(j.lines, "\n") }

// node is an agent whose configuration can be read and posted, with a hook between to play the other writer.
type node struct {
	doc     string
	onPost  func(n *node, body string) (status int) // default: store it, 200
	onGet   func(n *node)                           // before a read of the configuration
	cached  map[string]bool                         // labels for which the scheduler still lists the agent
	journal journal
}

const linux7 = `<?xml version="1.1" encoding="UTF-8"?>
<slave>
  <name>linux-7</name>
  <description>rack &#x1b; 3</description>
  <numExecutors>1</numExecutors>
  <mode>NORMAL</mode>
  <retentionStrategy class="hudson.slaves.RetentionStrategy$Always"/>
  <launcher class="hudson.slaves.JNLPLauncher">
    <label>not me</label>
  </launcher>
  <label>%s</label>
  <nodeProperties/>
</slave>`

func newNode(labels string) *node { return &node{doc: fmt.Sprintf(linux7, labels)} }

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.journal.add(r)
	switch {
	case strings.HasPrefix(r.URL.Path, "/jenkins/label/"):
		label := strings.Split(r.URL.Path, "/")[3]
		if n.cached[label] {
			_, _ = io.WriteString(w, `{"nodes":[{"nodeName":"linux-7"},{"nodeName":"x"}]}`)
			return
		}
		_, _ = io.WriteString(w, `{"nodes":[]}`)
	case r.URL.Path != "/jenkins/computer/linux-7/config.xml":
		http.NotFound(w, r)
	case r.Method == http.MethodGet:
		if n.onGet != nil {
			n.onGet(n)
		}
		w.Header().Set("Content-Type", "application/xml")
		_, _ = io.WriteString(w, n.doc)
	default:
		body, _ := io.ReadAll(r.Body)
		status := http.StatusOK
		if n.onPost != nil {
			status = n.onPost(n, string(body))
		} else {
			n.doc = string(body)
		}
		w.WriteHeader(status)
	}
}

func (n *node) labels(t *testing.T) []string {
	t.Helper()
	c, err := parseNodeConfig([]byte(n.doc))
	if err != nil {
		t.Fatal(err)
	}
	return c.Labels
}
