// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// defaultQuiet is the global quiet period.
const defaultQuiet = 5 * time.Second

// buildJob is /build: for a parameterised job it needs a form with json.
func (c *call) buildJob(jb *job) {
	if !c.mayBuild(jb) {
		return
	}
	if len(jb.conf.params) == 0 {
		it, _ := c.schedule(jb, nil)
		c.queued(it, http.StatusCreated)
		return
	}
	text := c.field("json")
	if text == "" {
		c.refuse(http.StatusBadRequest, "This page expects a form submission")
		return
	}
	params, err := c.paramsFromForm(jb, text)
	if errors.Is(err, errForm) {
		c.oops()
		return
	}
	if err != nil {
		c.refuse(http.StatusBadRequest, "Nothing is submitted")
		return
	}
	it, merged := c.schedule(jb, params)
	if merged {
		c.redirect(jb.path())
		return
	}
	c.queued(it, http.StatusCreated)
}

// buildWithParameters takes query and form fields: unknown ones are ignored, missing
// ones take their defaults, one given twice is an error.
func (c *call) buildWithParameters(jb *job) {
	if !c.mayBuild(jb) {
		return
	}
	if len(jb.conf.params) == 0 {
		c.refuse(http.StatusBadRequest, jb.name+" is not parameterized")
		return
	}
	params, ok := c.paramsFromFields(jb)
	if !ok {
		c.oops()
		return
	}
	it, merged := c.schedule(jb, params)
	if merged && c.j.version.since(308) {
		c.queued(it, http.StatusSeeOther)
		return
	}
	c.queued(it, http.StatusCreated)
}

// mayBuild checks token, method, permission and whether the job can be built at all.
func (c *call) mayBuild(jb *job) bool {
	if given := c.r.URL.Query().Get("token"); given != "" && jb.conf.token != "" {
		if given != jb.conf.token {
			c.refuse(http.StatusForbidden, "Invalid token provided.")
			return false
		}
	} else {
		if !c.isPOST() || !c.allowedOn(JobBuild, jb) {
			return false
		}
	}
	c.j.mu.Lock()
	buildable := jb.buildable()
	c.j.mu.Unlock()
	if !buildable {
		c.refuse(http.StatusConflict, jb.fullDisplayName()+" is not buildable")
	}
	return buildable
}

func (c *call) schedule(jb *job, params []param) (*item, bool) {
	quiet := jb.quietPeriod()
	if text := c.field("delay"); text != "" {
		if d, ok := parseDelay(text); ok {
			quiet = d
		}
	}
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return c.j.scheduleItem(jb, quiet, params, []buildCause{userIDCause(c.who.id())})
}

func (jb *job) quietPeriod() time.Duration {
	if jb.conf.quiet != nil {
		return *jb.conf.quiet
	}
	return defaultQuiet
}

// parseDelay is jenkins.util.TimeDuration: a bare number is milliseconds, and all is
// truncated to seconds.
func parseDelay(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	unit := time.Millisecond
	for _, suffix := range []string{"secs", "sec"} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = strings.TrimSpace(rest), time.Second
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false
	}
	return (time.Duration(n) * unit).Truncate(time.Second), true
}

// queued answers with the item's URL, built from the request's own host.
func (c *call) queued(it *item, status int) {
	c.w.Header().Set("Location", c.base()+"queue/item/"+strconv.FormatInt(it.id, 10)+"/")
	c.w.WriteHeader(status)
}
