// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// isAPI reports whether the remaining path is the API of the object reached. Only the
// JSON flavour is served.
func (c *call) isAPI() bool { return len(c.path) == 2 && c.path[0] == "api" }

// api answers with the exported bean. fields runs under the queue lock.
func (c *call) api(class string, fields func(*object)) {
	if c.path[1] != "json" && c.path[1] != "python" {
		c.notFound()
		return
	}
	p, err := c.pruner()
	if err != nil {
		c.oops()
		return
	}
	w := &exportWriter{buf: make([]byte, 0, c.j.answers.expect(class)), j: c.j, who: c.who, lang: c.lang, base: c.rootURL()}
	if !c.export(w, p, class, fields) {
		c.oops()
		return
	}
	c.j.answers.note(class, len(w.buf))
	h := c.w.Header()
	c.identify()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "deny")
	h.Set("Content-Security-Policy-Report-Only", "base-uri 'none'; default-src 'self'; form-action 'self'; frame-ancestors 'self'; report-to content-security-policy")
	h.Set("Content-Type", "application/json;charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(w.buf)))
	c.w.WriteHeader(http.StatusOK)
	if in, ok := c.w.(interface{ own([]byte) }); ok {
		in.own(w.buf)
		return
	}
	_, _ = c.w.Write(w.buf) // the client went away
}

// export writes the bean under the queue lock; false if a getter of the outermost
// object failed.
func (c *call) export(w *exportWriter, p pruner, class string, fields func(*object)) bool {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return w.try(func() {
		o := w.begin(p, class)
		fields(o)
		o.end()
	})
}

func (c *call) pruner() (pruner, error) {
	q := c.r.URL.Query()
	if t := q.Get("tree"); t != "" {
		parsed, err := c.j.trees.parse(t)
		return pruner{tree: parsed}, err
	}
	if d := q.Get("depth"); d != "" {
		depth, err := strconv.Atoi(d)
		return byDepth(depth), err
	}
	return byDepth(0), nil
}

// field returns a value of the query or form.
func (c *call) field(name string) string {
	if v := c.r.URL.Query().Get(name); v != "" {
		return v
	}
	if formEncoded(c.r) {
		return c.r.PostFormValue(name)
	}
	return ""
}

// formLimit is how long an url-encoded form may be before the server ignores all of it (Tomcat's, as seen
// live). Parts of a multipart form have no such limit.
const formLimit = 2 << 20

// parameter is a value of the query or form, as ServletRequest.getParameter has it.
func (c *call) parameter(name string) string {
	if c.r.ContentLength > formLimit && !strings.HasPrefix(c.r.Header.Get("Content-Type"), "multipart/") {
		return c.r.URL.Query().Get(name)
	}
	return c.field(name)
}

// sizes remembers how large the last answer of each class was, so that buffers need not
// grow.
type sizes struct {
	mu   sync.Mutex
	last map[string]int
}

func (s *sizes) expect(class string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return 1024 + s.last[class]*9/8
}

func (s *sizes) note(class string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = map[string]int{}
	}
	s.last[class] = n
}
