// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// computerFeed lists the FreeStyle builds of an agent as Atom; Pipelines' node blocks are
// unknown to it.
func (c *call) computerFeed(comp *computer) {
	c.feed("Jenkins:"+comp.displayName(c.lang), func(b *build) bool { return b.nodeKnown && b.node == comp.name && b.job.kind != kindPipeline })
}

func (c *call) rootFeed() { c.feed("Jenkins:all", func(*build) bool { return true }) }

func (c *call) jobFeed(jb *job) {
	c.feed("Jenkins:"+jb.fullDisplayName(), func(b *build) bool { return b.job == jb })
}

// feed writes the newest builds that fit. rssLatest has one per job.
func (c *call) feed(title string, fits func(*build) bool) {
	kindOf := c.r.URL.Path[strings.LastIndexByte(strings.TrimSuffix(c.r.URL.Path, "/"), '/')+1:]
	c.j.mu.Lock()
	builds := c.collect(c.j.root, fits, strings.HasPrefix(kindOf, "rssLatest"))
	if strings.HasPrefix(kindOf, "rssFailed") {
		builds = slices.DeleteFunc(builds, func(b *build) bool { return b.result != resultFailure })
	}
	slices.SortStableFunc(builds, func(a, b *build) int { return b.started.Compare(a.started) })
	out := c.atom(title, builds)
	c.j.mu.Unlock()
	c.w.Header().Set("Content-Type", "application/atom+xml;charset=UTF-8")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(out) //nolint:errcheck // the client went away
}

func (c *call) collect(folder *job, fits func(*build) bool, latest bool) []*build {
	var found []*build
	for _, jb := range folder.sortedChildren() {
		if jb.container() {
			found = append(found, c.collect(jb, fits, latest)...)
			continue
		}
		if !c.who.canJob(JobRead, jb) {
			continue
		}
		for _, b := range slices.Backward(jb.builds) {
			if fits(b) {
				found = append(found, b)
				if latest {
					break
				}
			}
		}
	}
	return found
}

func (c *call) atom(title string, builds []*build) []byte {
	feed := &element{name: "feed", attrs: xmlAttrs("xmlns", "http://www.w3.org/2005/Atom")}
	feed.setValue("title", title+" (all builds)")
	feed.children = append(feed.children, linkElement(c.rootURL()))
	feed.setValue("updated", c.updated(builds))
	author := &element{name: "author"}
	author.setValue("name", "Jenkins Server")
	feed.children = append(feed.children, author)
	feed.setValue("id", "urn:uuid:903deee0-7bfa-11db-9fe1-0800200c9a66")
	for _, b := range builds {
		e := &element{name: "entry"}
		e.setValue("title", b.fullDisplay()+" ("+c.feedResult(b)+")")
		e.children = append(e.children, linkElement(c.rootURL()+b.path()))
		at := b.started.UTC().Format(time.RFC3339)
		e.setValue("id", "tag:hudson.dev.java.net,"+b.started.UTC().Format("2006")+":"+b.job.fullName()+":"+itoa(b.number))
		e.setValue("published", at)
		e.setValue("updated", at)
		feed.children = append(feed.children, e)
	}
	doc := feed.append([]byte(`<?xml version="1.0" encoding="UTF-8"?>`), 0)
	return doc
}

func (c *call) updated(builds []*build) string {
	if len(builds) == 0 {
		return "2001-01-01T00:00:00Z"
	}
	return builds[0].started.UTC().Format(time.RFC3339)
}

func linkElement(href string) *element {
	return &element{name: "link", attrs: xmlAttrs("rel", "alternate", "type", "text/html", "href", href)}
}

// feedResult is the text in parentheses of an entry's title.
func (c *call) feedResult(b *build) string {
	switch b.result {
	case "":
		return c.lang.pick("?", "?")
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
