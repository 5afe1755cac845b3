// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// call is one request on its way through the controller.
type call struct {
	j       *Jenkins
	w       http.ResponseWriter
	r       *http.Request
	who     *principal
	lang    locale
	session string   // X-Jenkins-Session
	path    []string // decoded segments that are still to be resolved
	slash   bool     // the path ends in a slash
	files   map[string]upload
}

// ServeHTTP answers as the controller would in its present phase.
func (j *Jenkins) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Date"] = j.date() // servers set it by the real clock
	f := j.faults.take(r)
	if f != nil {
		if f = f.before(w, r); f == nil {
			return
		}
		w = f.wrap(w)
		defer f.after(j, w, r) //nolint:contextcheck // a restart outlives the request that caused it
	}
	j.serve(w, r)
}

// date is the value of the header for now, which is that of the request before as long as the second lasts.
func (j *Jenkins) date() []string {
	now := j.clock(time.Now())
	d := j.dated.Load()
	if d == nil || d.second != now.Unix() {
		d = &dated{now.Unix(), []string{now.UTC().Format(http.TimeFormat)}}
		j.dated.Store(d)
	}
	return d.text
}

// dated is the text of a second; it is never changed.
type dated struct {
	second int64
	text   []string
}

// clock returns what the controller's clock showed at a time.
func (j *Jenkins) clock(at time.Time) time.Time { return at.Add(j.opts.Ahead) }

func (j *Jenkins) serve(w http.ResponseWriter, r *http.Request) {
	raw := r.URL.EscapedPath()
	if strings.Contains(r.RequestURI, ";") || strings.Contains(raw, ";") {
		htmlPage(w, http.StatusBadRequest, "Bad Request", "Semicolons are not allowed in the request URI")
		return
	}
	path, ok := strings.CutPrefix(raw, j.prefix)
	if !ok {
		htmlPage(w, http.StatusNotFound, "Not Found", "Outside of the context path")
		return
	}
	session, up := j.admit(w)
	if !up {
		return
	}
	if h := j.mounts.find(path); h != nil {
		http.StripPrefix(j.prefix, h).ServeHTTP(w, r)
		return
	}
	who := j.doors.authenticate(w, r)
	if who == nil {
		return
	}
	var files map[string]upload
	if r.Method == http.MethodPost {
		files = readUploads(r)
		if !j.doors.crumbOK(r, who) {
			htmlPage(w, http.StatusForbidden, "Forbidden", "No valid crumb was included in the request")
			return
		}
		pause(r.Context(), j.timing().QueueLock)
	}
	c := &call{j: j, w: w, r: r, who: who, lang: localeOf(r), session: session, files: files}
	if c.path, c.slash, ok = segments(path); !ok {
		c.refuse(http.StatusBadRequest, "Bad path")
		return
	}
	c.route()
}

// admit lets a request in if the controller is up, and answers it otherwise.
func (j *Jenkins) admit(w http.ResponseWriter) (session string, up bool) {
	j.mu.Lock()
	phase, session := j.life.phase, j.life.session
	j.mu.Unlock()
	switch phase {
	case phaseUp:
		return session, true
	case phaseDown, phaseClosed:
		panic(http.ErrAbortHandler) // nobody listens
	case phaseAborted:
		htmlPage(w, http.StatusInternalServerError, "Error", "Jenkins failed to start")
	case phaseBooting, phaseReload, phaseFailed:
		htmlPage(w, http.StatusServiceUnavailable, "Starting Jenkins", "Please wait while Jenkins is getting ready to work")
	}
	return session, false
}

// segments splits a raw path; only %XX is decoded, a plus stays a plus.
func segments(raw string) (parts []string, slash, ok bool) {
	slash = strings.HasSuffix(raw, "/")
	for part := range strings.SplitSeq(raw, "/") {
		if part == "" {
			continue
		}
		s, err := url.PathUnescape(part)
		if err != nil {
			return nil, slash, false
		}
		parts = append(parts, s)
	}
	return parts, slash, true
}

// next takes the next segment, "" at the end.
func (c *call) next() string {
	if len(c.path) == 0 {
		return ""
	}
	s := c.path[0]
	c.path = c.path[1:]
	return s
}

// base is the root URL as the request sees it, with a slash at its end.
func (c *call) base() string {
	scheme := "http"
	if c.r.TLS != nil || c.r.URL.Scheme == "https" {
		scheme = "https"
	}
	host := c.r.Host
	if host == "" {
		host = c.r.URL.Host
	}
	return scheme + "://" + host + c.j.prefix + "/"
}

// rootURL is the configured one, or the request's.
func (c *call) rootURL() string {
	if r := c.j.opts.RootURL; r != "" {
		return strings.TrimSuffix(r, "/") + "/"
	}
	return c.base()
}

// openPaths are those that need no Overall/Read.
var openPaths = map[string]func(*call){
	"login": (*call).login, "logout": (*call).logout, "j_spring_security_check": (*call).formLogin,
	"whoAmI": (*call).whoAmI, "health": (*call).health, "tcpSlaveAgentListener": (*call).tcpListener,
	"crumbIssuer": (*call).crumbIssuer, "loginError": (*call).login, "accessDenied": (*call).login,
}

// closedPaths need Overall/Read.
var closedPaths = map[string]func(*call){
	"": (*call).front, "api": (*call).front, "computer": (*call).computerSet, "label": (*call).labelPage, "queue": (*call).queuePages,
	"job": (*call).rootJob, "view": (*call).viewPage, "createItem": (*call).rootCreateItem, "createView": (*call).createView, "me": (*call).me, "user": (*call).userPage,
	"quietDown": (*call).quietDown, "cancelQuietDown": (*call).cancelQuietDown, "restart": (*call).restart, "safeRestart": (*call).safeRestart,
	"reload": (*call).reload, "pitcrew-gate": (*call).gatePages, "scriptText": (*call).scriptText, "pluginManager": (*call).pluginManager,
	"rssAll": (*call).rootFeed, "rssLatest": (*call).rootFeed, "rssFailed": (*call).rootFeed,
}

func (c *call) route() {
	first := ""
	if len(c.path) > 0 {
		first = c.path[0]
	}
	if h := openPaths[first]; h != nil {
		c.next()
		h(c)
		return
	}
	if c.agentFileEncrypted() {
		c.computerSetChild()
		return
	}
	h := closedPaths[first]
	switch {
	case !c.allowed(Read):
	case h == nil:
		c.notFound()
	case first == "api":
		h(c)
	default:
		c.next()
		h(c)
	}
}

// mounts are handlers of others.
type mounts struct {
	mu   sync.Mutex
	list map[string]http.Handler
}

func (m *mounts) add(pattern string, h http.Handler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.list == nil {
		m.list = map[string]http.Handler{}
	}
	m.list[pattern] = h
}

func (m *mounts) find(path string) http.Handler {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.list[path]; h != nil {
		return h
	}
	for pattern, h := range m.list {
		if strings.HasSuffix(pattern, "/") && (strings.HasPrefix(path, pattern) || path+"/" == pattern) {
			return h
		}
	}
	return nil
}
