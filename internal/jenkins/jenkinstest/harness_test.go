// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// admin is the account that tests use unless they are about permissions.
var admin = User{Name: "ada", Password: "correct horse", Tokens: []string{"11aa"}, Admin: true}

// bench is a controller with a plain HTTP client in front of it.
type bench struct {
	t        *testing.T
	j        *Jenkins
	rt       http.RoundTripper
	url      string
	user     string
	secret   string
	language string
}

// inBubble runs a test in virtual time against a fresh controller.
func inBubble(t *testing.T, opts Options, test func(b *bench)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, opts)
		defer b.j.Close()
		test(b)
	})
}

// inBubbleNamed is inBubble as a subtest.
func inBubbleNamed(t *testing.T, name string, opts Options, test func(b *bench)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { inBubble(t, opts, test) })
}

func newBench(t *testing.T, opts Options) *bench {
	t.Helper()
	if opts.Security.Users == nil {
		opts.Security.Users = []User{admin}
	}
	j, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, j: j, rt: j.Transport(), url: "http://ci.example" + j.prefix, user: "ada", secret: "11aa", language: "en"}
}

// as returns a bench that authenticates differently; "" is anonymous.
func (b *bench) as(user, secret string) *bench {
	c := *b
	c.user, c.secret = user, secret
	return &c
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// send makes a request; headers are given as name, value pairs.
func (b *bench) send(method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if b.user != "" {
		req.SetBasicAuth(b.user, b.secret)
	}
	if b.language != "" {
		req.Header.Set("Accept-Language", b.language)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.rt.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(data)}, err
}

func (b *bench) do(method, path, body string, headers ...string) answer {
	b.t.Helper()
	a, err := b.send(method, path, body, headers...)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// get and post fail the test unless the status is the one expected.
func (b *bench) get(status int, path string) answer {
	b.t.Helper()
	return b.expect(status, b.do("GET", path, ""), "GET "+path)
}

func (b *bench) post(status int, path string, form url.Values) answer {
	b.t.Helper()
	return b.expect(status, b.do("POST", path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded"), "POST "+path)
}

func (b *bench) postXML(status int, path, document string) answer {
	b.t.Helper()
	return b.expect(status, b.do("POST", path, document, "Content-Type", "application/xml; charset=UTF-8"), "POST "+path)
}

func (b *bench) expect(status int, a answer, what string) answer {
	b.t.Helper()
	if a.status != status {
		b.t.Fatalf("%s: status %d, want %d; body %.300s", what, a.status, status, a.body)
	}
	return a
}

// json decodes an API answer and follows a path of keys and indexes, as far as given.
func (b *bench) json(path string, keys ...any) any {
	b.t.Helper()
	a := b.get(http.StatusOK, path)
	var v any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		b.t.Fatalf("GET %s: %v in %.300s", path, err, a.body)
	}
	return dig(v, keys...)
}

// dig follows keys of objects and indexes of arrays; nil where one is missing.
func dig(v any, keys ...any) any {
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			a, _ := v.([]any)
			if k >= len(a) {
				return nil
			}
			v = a[k]
		}
	}
	return v
}

// want compares printed values, which is enough for what JSON holds.
func (b *bench) want(got, want any, what string) {
	b.t.Helper()
	if f, ok := got.(float64); ok && f == float64(int64(f)) {
		got = int64(f)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (b *bench) agent(spec AgentSpec) *Agent {
	b.t.Helper()
	a, err := b.j.AddAgent(spec)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *bench) job(spec JobSpec) {
	b.t.Helper()
	if err := b.j.CreateFreeStyle(spec); err != nil {
		b.t.Fatal(err)
	}
}

// start asks for a build and returns the id of its item.
func (b *bench) start(job string) string {
	b.t.Helper()
	a := b.post(http.StatusCreated, "/job/"+job+"/build?delay=0sec", nil)
	return itemID(a)
}

func itemID(a answer) string {
	parts := strings.Split(strings.Trim(a.header.Get("Location"), "/"), "/")
	return parts[len(parts)-1]
}

const (
	second = time.Second
	minute = time.Minute
)

// pass lets virtual time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// settle waits until nothing more happens without time passing.
func settle() { synctest.Wait() }

// query escapes a tree parameter.
func query(tree string) string { return "?tree=" + url.QueryEscape(tree) }

// relabelJob replaces the label expression in a job's document.
func relabelJob(doc, from, to string) string {
	return strings.Replace(doc, "<assignedNode>"+from+"<", "<assignedNode>"+to+"<", 1)
}

// locked runs f under the queue lock, where hooks run too.
func (b *bench) locked(f func()) {
	b.j.mu.Lock()
	defer b.j.mu.Unlock()
	f()
}

func contains(s, sub string) bool { return strings.Contains(s, sub) }
