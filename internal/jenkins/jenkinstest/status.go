// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"fmt"
	"html"
	"net/http"
	"strings"
)

// htmlPage answers with a page of the size class that Jenkins' error pages have.
func htmlPage(w http.ResponseWriter, status int, title, message string) {
	w.Header().Set("Content-Type", "text/html;charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!DOCTYPE html><html><head><title>%s</title></head><body><h1>%s</h1><p>%s</p><!-- %s --></body></html>",
		html.EscapeString(title), html.EscapeString(title), html.EscapeString(message), strings.Repeat("Jenkins ", 64))
}

// notFound is the ordinary 404 page; it stores the requested URI in a session.
func (c *call) notFound() {
	c.j.doors.session(c.w, c.r)
	c.advertise()
	htmlPage(c.w, http.StatusNotFound, "Not Found", "The requested page was not found.")
}

// empty answers with a bare status, without any X-Jenkins header.
func (c *call) empty(status int) { c.w.WriteHeader(status) }

// failure is an anticipated user error: 400 with the message in X-Error, unless the
// header cannot carry it (hudson.model.Failure).
func (c *call) failure(message string) {
	if latin1(message) {
		c.w.Header().Set("X-Error", message)
	}
	c.advertise()
	htmlPage(c.w, http.StatusBadRequest, "Error", message)
}

func latin1(s string) bool {
	for _, r := range s {
		if r > 0xff {
			return false
		}
	}
	return true
}

// refuse is an error without stack: the container's page, no X-Error.
func (c *call) refuse(status int, message string) {
	htmlPage(c.w, status, http.StatusText(status), message)
}

// oops is an uncaught exception: no message for the client.
func (c *call) oops() {
	htmlPage(c.w, http.StatusInternalServerError, "Oops!", "A problem occurred while processing the request. Logging ID=00000000-0000-4000-8000-000000000000")
}

// denied is 403 for anonymous and known users alike.
func (c *call) denied(p Permission) {
	h := c.w.Header()
	h.Set("X-You-Are-Authenticated-As", c.who.id())
	h.Set("X-You-Are-In-Group-Disabled", "JENKINS-39402: use -Dhudson.security.AccessDeniedException2.REPORT_GROUP_HEADERS=true or use /whoAmI to diagnose")
	h.Set("X-Required-Permission", p.id())
	for _, by := range append(impliedBy[p], Administer) {
		h.Add("X-Permission-Implied-By", by.id())
	}
	if c.who.name != "" {
		htmlPage(c.w, http.StatusForbidden, "Access Denied", c.who.name+" is missing the "+string(p)+" permission")
		return
	}
	c.advertise()
	from := html.EscapeString(c.r.URL.Path)
	h.Set("Content-Type", "text/html;charset=utf-8")
	c.w.WriteHeader(http.StatusForbidden)
	fmt.Fprintf(c.w, "<html><head><meta http-equiv='refresh' content='1;url=/login?from=%s'/></head><body>Authentication required</body></html>", from)
}

// allowed checks a permission and answers 403 if it is missing.
func (c *call) allowed(p Permission) bool {
	if c.who.can(p) {
		return true
	}
	c.denied(p)
	return false
}

// allowedOn checks a permission on a job and answers 403 if it is missing.
func (c *call) allowedOn(p Permission, jb *job) bool {
	if c.holds(p, jb) {
		return true
	}
	c.denied(p)
	return false
}

// holds checks a permission on a job.
func (c *call) holds(p Permission, jb *job) bool {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return c.who.canJob(p, jb)
}

// isPOST answers 405 to anything but POST, as @RequirePOST does.
func (c *call) isPOST() bool {
	if c.r.Method == http.MethodPost {
		return true
	}
	c.w.Header().Set("Allow", http.MethodPost)
	c.advertise()
	c.w.Header().Set("Content-Type", "text/html;charset=utf-8")
	c.w.WriteHeader(http.StatusMethodNotAllowed)
	fmt.Fprint(c.w, "<html><body><form method='POST'>This URL requires POST <input type='submit' value='Retry using POST'></form></body></html>")
	return false
}

// advertise sets the headers of Jenkins' own pages.
func (c *call) advertise() {
	h := c.w.Header()
	h.Set("X-Hudson", "1.395")
	c.identify()
}

// identify sets version and session.
func (c *call) identify() {
	h := c.w.Header()
	h.Set("X-Jenkins", c.j.opts.Version)
	h.Set("X-Jenkins-Session", c.session)
}

// redirect answers 302 to a path below the root.
func (c *call) redirect(path string) {
	c.w.Header().Set("Location", c.base()+path)
	c.w.WriteHeader(http.StatusFound)
}

// page is a page of the user interface that scripts only need to be there.
func (c *call) page(title string) {
	c.advertise()
	htmlPage(c.w, http.StatusOK, title, title)
}
