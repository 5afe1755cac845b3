// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// feedStep is how much of a feed is read at a time: most are shorter.
const feedStep = 4 << 10

// maxFeed bounds what is read of a feed, some twenty thousand builds.
const maxFeed = 8 << 20

// FeedBuild is a build in the feed of an agent.
type FeedBuild struct {
	Job    string // full name, from URL
	Number int64
	URL    string
	At     time.Time // when it started; zero if the feed does not say
	Title  string    // such as "app #12 (broken since build #11)"
}

// AgentBuilds returns the builds that began on an agent at since or later, newest first, from its feed: one request, two
// if the agent is not there. The feed knows builds of FreeStyle kind that we may read, running ones included; it knows no
// Pipelines.
//
// The feed has no end but the agent's first build (hudson.model.Computer#getBuilds, unlike the feeds of jobs and views),
// and Jenkins finds each entry by loading builds of all jobs, newest first. So it is read no further than since, and
// given up then; ask once per cleanup all the same, not per poll.
//
// On an error the builds read up to there are returned with it.
func (c *Client) AgentBuilds(ctx context.Context, agent string, since time.Time) ([]FeedBuild, error) {
	path, err := computerPath(agent)
	if err != nil {
		return nil, invalid("read builds", agentObject(agent), err)
	}
	var builds []FeedBuild
	err = lookTwice(ctx, func() error {
		return c.do(ctx, request{
			op: "read builds", object: agentObject(agent), method: http.MethodGet, path: path + "/rssAll", limit: maxFeed,
		}, func(r *reply) error {
			doc, cut, readErr := readFeed(r.body, r.length, since)
			r.abandoned = cut
			var err error
			if builds, err = parseFeed(doc); readErr != nil {
				return readErr
			}
			return err
		})
	})
	return builds, err
}

// A publication is the start of a build.
var publication, publicationEnd = []byte("<published>"), []byte("</published>")

// nextPublication returns where the first publication of a document begins, what it says, and where it ends.
func nextPublication(doc []byte) (start int, text []byte, end int, ok bool) {
	start = bytes.Index(doc, publication)
	if start < 0 {
		return 0, nil, 0, false
	}
	text, _, ok = bytes.Cut(doc[start+len(publication):], publicationEnd)
	return start, text, start + len(publication) + len(text) + len(publicationEnd), ok
}

// readFeed reads a feed as far as the first entry that is older than since, and ends the document before it. Cut tells
// that there was one.
func readFeed(r io.Reader, length int64, since time.Time) (doc []byte, cut bool, err error) {
	doc = make([]byte, 0, min(length, feedStep)+bytes.MinRead)
	for seen := 0; ; {
		if cap(doc)-len(doc) < bytes.MinRead {
			doc = slices.Grow(doc, feedStep)
		}
		n, err := r.Read(doc[len(doc):cap(doc)])
		doc = doc[:len(doc)+n]
		for {
			start, text, end, ok := nextPublication(doc[seen:])
			if !ok {
				break
			}
			at, timeErr := time.Parse(time.RFC3339, string(text))
			if entry := bytes.LastIndex(doc[:seen+start], []byte("<entry>")); timeErr == nil && at.Before(since) && entry >= 0 {
				return append(doc[:entry], "</feed>"...), true, nil
			}
			seen += end
		}
		switch {
		case errors.Is(err, io.EOF):
			return doc, false, nil
		case err != nil:
			return doc, false, err
		}
	}
}

// atomEntry is one build in a feed.
type atomEntry struct {
	Title     string     `xml:"title"`
	Links     []atomLink `xml:"link"`
	Published string     `xml:"published"`
	Updated   string     `xml:"updated"`
}

type atomLink struct {
	Href string `xml:"href,attr"`
}

// parseFeed reads an Atom feed. Entries that are no builds are skipped.
func parseFeed(doc []byte) ([]FeedBuild, error) {
	if builds, ok := plainFeed(doc); ok {
		return builds, nil
	}
	return strictFeed(doc)
}

// plainFeed is strictFeed for a feed of the kind that Jenkins writes; false for all others.
func plainFeed(doc []byte) (builds []FeedBuild, ok bool) {
	var e atomEntry
	var field *string // of the entry, whose text is read
	p := plain{doc: doc}
	ok = p.walk(func(p *plain, m mark) bool {
		entry := len(p.open) > 1 && string(p.open[1]) == "entry"
		switch {
		case m.kind == markStart && (len(p.open) == 0 || string(p.open[0]) != "feed"):
			return false
		case m.kind == markStart && string(m.name) == "entry" && (len(p.open) != 2 || m.empty):
			return false
		case m.kind == markText:
			if field != nil {
				*field = unnamed(p.doc[m.start:m.end])
			}
		case m.kind == markEnd:
			field = nil
			if len(p.open) == 1 && string(m.name) == "entry" {
				if b, ok := e.build(); ok {
					builds = append(builds, b)
				}
				e = atomEntry{}
			}
		case entry && (m.empty && len(p.open) == 2 || !m.empty && len(p.open) == 3):
			return e.begin(m, &field)
		case entry && len(p.open) > 2 && field != nil:
			return false
		}
		return true
	})
	return builds, ok
}

// begin begins a child of the entry. One that there is already is left to those who know which of two counts.
func (e *atomEntry) begin(m mark, field **string) bool {
	switch string(m.name) {
	case "title":
		*field = &e.Title
	case "published":
		*field = &e.Published
	case "updated":
		*field = &e.Updated
	case "link":
		e.Links = append(e.Links, atomLink{m.attribute("href")})
		return true
	default:
		return true
	}
	again := **field != ""
	if m.empty {
		*field = nil
	}
	return !again
}

// strictFeed is parseFeed by encoding/xml.
func strictFeed(doc []byte) ([]FeedBuild, error) {
	dec := xml.NewDecoder(bytes.NewReader(passedOffAs10(doc)))
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	var builds []FeedBuild
	root := ""
	for {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return builds, fmt.Errorf("feed: %w", err)
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if root == "" {
			root = start.Name.Local
		}
		if start.Name.Local != "entry" {
			continue
		}
		var e atomEntry
		if err := dec.DecodeElement(&e, &start); err != nil {
			return builds, fmt.Errorf("feed: %w", err)
		}
		if b, ok := e.build(); ok {
			builds = append(builds, b)
		}
	}
	if root != "feed" {
		return nil, fmt.Errorf("feed: root is <%s>", root)
	}
	return builds, nil
}

func (e *atomEntry) build() (FeedBuild, bool) {
	b := FeedBuild{Title: oneLine(e.Title)}
	for _, l := range e.Links {
		if b.Job, b.Number = parseBuildURL(l.Href); b.Number > 0 {
			b.URL = l.Href
			break
		}
	}
	for _, text := range []string{e.Published, e.Updated} {
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			b.At = at
			break
		}
	}
	return b, b.Job != "" && b.Number > 0
}
