// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// computerFeed lists the FreeStyle builds of an agent as Atom, of any age and running ones
// included: unlike other feeds it is not restricted to hudson.util.RunList#newBuilds.
// Pipelines' node blocks are unknown to it.
func (c *call) computerFeed(comp *computer) {
	c.j.mu.Lock()
	builds := slices.Clone(c.j.history[comp.name])
	builds = slices.DeleteFunc(builds, func(b *build) bool { return b.deleted || !c.who.canJob(JobRead, b.job) })
	c.j.mu.Unlock()
	c.feed("Jenkins:"+comp.displayName(c.lang), c.chosen(builds, false))
}

func (c *call) rootFeed() { c.jobFeed(c.j.root) }

// jobFeed lists the builds of a job, or of all jobs of a folder.
func (c *call) jobFeed(jb *job) {
	title := "Jenkins:all"
	if jb.parent != nil {
		title = "Jenkins:" + jb.fullDisplayName()
	}
	c.j.mu.Lock()
	builds := c.collect(jb)
	c.j.mu.Unlock()
	c.feed(title, c.chosen(builds, true))
}

func (c *call) collect(jb *job) []*build {
	if !jb.container() {
		if c.who.canJob(JobRead, jb) {
			return slices.Clone(jb.builds)
		}
		return nil
	}
	var found []*build
	for _, k := range jb.sortedChildren() {
		found = append(found, c.collect(k)...)
	}
	return found
}

// remember adds a build to its node's history.
func (j *Jenkins) remember(b *build) {
	if b.job.kind == kindPipeline {
		return
	}
	list := append(j.history[b.node], b)
	if limit := j.opts.FeedLimit; limit > 0 && len(list) > limit {
		list = list[len(list)-limit:]
	}
	if len(list)%32 == 0 {
		list = slices.DeleteFunc(list, func(x *build) bool { return x.deleted })
	}
	j.history[b.node] = list
}

// feedFloor and feedAge bound the feeds of jobs: at least so many builds, otherwise recent
// ones (hudson.util.RunList#newBuilds).
const (
	feedFloor = 10
	feedAge   = 7 * 24 * time.Hour
)

// chosen sorts builds, newest first, and leaves out what a feed does not show: rssLatest
// has one build per job, rssFailed the broken ones; new ones have ended, and not long ago.
func (c *call) chosen(builds []*build, onlyNew bool) []*build {
	which := c.r.URL.Path[strings.LastIndexByte(strings.TrimSuffix(c.r.URL.Path, "/"), '/')+1:]
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	slices.SortStableFunc(builds, func(a, b *build) int {
		return cmp.Or(b.started.Compare(a.started), cmp.Compare(b.queueID, a.queueID))
	})
	seen, n := map[*job]bool{}, 0
	return slices.DeleteFunc(builds, func(b *build) bool {
		if onlyNew && b.building || strings.HasPrefix(which, "rssFailed") && b.result != resultFailure || strings.HasPrefix(which, "rssLatest") && seen[b.job] {
			return true
		}
		seen[b.job] = true
		n++
		return onlyNew && n > feedFloor && time.Since(b.started) > feedAge
	})
}

// feed writes builds.
func (c *call) feed(title string, builds []*build) {
	c.j.mu.Lock()
	out := c.atom(title, builds)
	c.j.mu.Unlock()
	c.w.Header().Set("Content-Type", "application/atom+xml;charset=UTF-8")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(out) // the client went away
}

// atom writes the document (hudson/atom.jelly).
func (c *call) atom(title string, builds []*build) []byte {
	root := c.rootURL()
	out := make([]byte, 0, 512+400*len(builds))
	out = append(out, `<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>`...)
	out = append(appendEscaped(out, title+" (all builds)"), `</title><link rel="alternate" type="text/html" href="`...)
	out = append(appendEscaped(out, root), `"/><updated>`...)
	out = append(out, c.updated(builds)...)
	out = append(out, `</updated><author><name>Jenkins Server</name></author><id>urn:uuid:903deee0-7bfa-11db-9fe1-0800200c9a66</id>`...)
	for _, b := range builds {
		out = append(out, "<entry><title>"...)
		out = append(appendEscaped(out, b.fullDisplay()+" ("+c.feedResult(b)+")"), `</title><link rel="alternate" type="text/html" href="`...)
		out = append(appendEscaped(out, root+b.path()), `"/><id>tag:hudson.dev.java.net,`...)
		out = c.j.clock(b.started).UTC().AppendFormat(out, "2006:")
		out = append(appendEscaped(out, root+b.path()), "</id><published>"...)
		out = c.j.clock(b.started).UTC().AppendFormat(out, time.RFC3339)
		out = append(out, "</published><updated>"...)
		out = c.j.clock(b.started).UTC().AppendFormat(out, time.RFC3339)
		out = append(out, "</updated></entry>"...)
	}
	return append(out, "</feed>"...)
}

func (c *call) updated(builds []*build) string {
	if len(builds) == 0 {
		return "2001-01-01T00:00:00Z"
	}
	return c.j.clock(builds[0].started).UTC().Format(time.RFC3339)
}

// feedResult is the text in parentheses of an entry's title.
func (c *call) feedResult(b *build) string {
	switch b.result {
	case "":
		return "?"
	case resultSuccess:
		return c.lang.pick("stable", "stabil")
	case resultUnstable:
		return c.lang.pick("unstable", "instabil")
	case resultAborted:
		return c.lang.pick("aborted", "abgebrochen")
	default:
		return c.lang.pick("broken since this build", "Seit diesem Build defekt.")
	}
}
